"""What workflow code may not reach, by name, each with what to write instead: tables for the guard and for `dwf check`.

Only names in here: how a call is stopped is the guard's business (guard.py).
"""

from __future__ import annotations

IN_ACTIVITY = "do it in an activity: @dwf.activity, dwf.step(...) or dwf.sh(...)"
SLEEP = "use: await dwf.sleep('10s')"
ENVIRON = "pass it as a parameter of the workflow, or read it in an activity"
ASK = "ask with dwf.approve(...) or wait for a signal: dwf.wait_signal(name)"
BLOCKS = "use what can be awaited: asyncio.Queue, asyncio.Lock, asyncio.Event, dwf.wait_signal(name) or a step"
LIMIT = "use: async with asyncio.timeout(10):"
END = "return from the workflow, or raise dwf.Failure('why')"
THREAD = "threads have no place in a replay; use asyncio.gather over activities"
AUDITED = {
    "time.sleep": SLEEP,
    "_thread.start_new_thread": THREAD,
    "_thread.start_joinable_thread": THREAD,
    "builtins.input": ASK,
    "os.putenv": ENVIRON,
    "os.unsetenv": ENVIRON,
    **dict.fromkeys(
        "open subprocess.Popen os.system os.exec os.fork os.forkpty os.posix_spawn os.spawn os.startfile pty.spawn "
        "os.listdir os.scandir os.walk os.fwalk os.remove os.rename os.mkdir os.rmdir os.link os.symlink os.truncate "
        "os.chmod os.chown os.kill os.killpg os.utime os.chdir os.fchdir os.lockf "
        "os.getxattr os.setxattr os.listxattr os.removexattr "
        "shutil.copyfile shutil.copytree shutil.move shutil.rmtree shutil.make_archive shutil.unpack_archive "
        "glob.glob glob.glob/2 tempfile.mkstemp tempfile.mkdtemp mmap.__new__ "
        "fcntl.flock fcntl.lockf socket.connect socket.bind socket.sendto socket.sendmsg "
        "socket.getaddrinfo socket.getnameinfo socket.gethostbyname socket.gethostbyaddr socket.gethostname "
        "socket.__new__ sqlite3.connect urllib.Request".split(),
        IN_ACTIVITY,
    ),
}
NOW = "use: dwf.now()"
CHANCE = "use: dwf.random()"
UUID = "use: dwf.uuid4()"
NAMES: dict[str, dict[str, str]] = {
    "time": {
        **dict.fromkeys(
            "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time process_time_ns thread_time "
            "thread_time_ns clock_gettime clock_gettime_ns localtime gmtime ctime asctime strftime".split(),
            NOW,
        ),
        "sleep": SLEEP,
    },
    "datetime": {"datetime": NOW, "date": NOW},
    "random": dict.fromkeys(
        "random randint randrange choice choices sample shuffle uniform gauss getrandbits randbytes betavariate "
        "binomialvariate expovariate gammavariate lognormvariate normalvariate paretovariate triangular "
        "vonmisesvariate weibullvariate seed getstate setstate Random SystemRandom".split(),
        CHANCE,
    ),
    "uuid": dict.fromkeys("uuid1 uuid4 uuid6 uuid7 uuid8 getnode".split(), UUID),
    "secrets": dict.fromkeys(
        "token_bytes token_hex token_urlsafe choice randbelow randbits SystemRandom".split(), CHANCE
    ),
    "os": {
        **dict.fromkeys("environ environb getenv getenvb getcwd getcwdb".split(), ENVIRON),
        **dict.fromkeys("urandom getrandom".split(), CHANCE),
        **dict.fromkeys(
            "getpid getppid getpgid getpgrp getsid getuid geteuid getgid getegid getlogin getloadavg cpu_count uname "
            "times stat lstat statvfs access readlink popen pipe umask read write pread pwrite readv writev sendfile "
            "fsync fdatasync sync mkfifo mknod chroot nice get_terminal_size".split(),
            IN_ACTIVITY,
        ),
        **dict.fromkeys("wait wait3 wait4 waitpid waitid".split(), BLOCKS),
        **dict.fromkeys("_exit abort".split(), END),
    },
    "posixpath": dict.fromkeys(
        "exists lexists isfile isdir islink ismount getsize getmtime getatime getctime samefile realpath expanduser "
        "expandvars".split(),
        IN_ACTIVITY,
    ),
    "sys": dict.fromkeys("stdin __stdin__".split(), ASK),
    "signal": {
        **dict.fromkeys("pause sigwait sigwaitinfo sigtimedwait".split(), BLOCKS),
        **dict.fromkeys("alarm setitimer".split(), LIMIT),
    },
    "select": dict.fromkeys("select poll epoll kqueue".split(), BLOCKS),
    "shutil": dict.fromkeys("which disk_usage get_terminal_size".split(), IN_ACTIVITY),
    "getpass": {"getuser": ENVIRON, "getpass": ASK},
    "platform": dict.fromkeys("node uname platform release version".split(), ENVIRON),
    "email.utils": {"formatdate": NOW, "localtime": NOW, "make_msgid": UUID},
    "email": {},  # the way to its utils
    "_thread": dict.fromkeys("start_new_thread start_new start_joinable_thread".split(), THREAD),
    "threading": {},  # for its locks
}
# With so many arguments these only convert a time that they are given.
HARMLESS_WITH = {"gmtime": 1, "localtime": 1, "ctime": 1, "asctime": 1, "strftime": 2, "formatdate": 1}
TIMES_GIVEN = {"timeval", "dt"}
"""The names of such arguments."""
CLOCKS = {"datetime": ("now", "utcnow", "today"), "date": ("today",)}
LOCKS = {"threading": ("Lock", "RLock"), "_thread": ("allocate_lock", "allocate", "RLock", "lock")}
"""What makes locks that a thread can be stopped at: allowed, until one would have to be waited for."""
EVERYWHERE = {
    "os": {
        **dict.fromkeys("stat lstat statvfs access readlink".split(), IN_ACTIVITY),
        **dict.fromkeys("getcwd getcwdb".split(), ENVIRON),
    },
    "posixpath": {"expanduser": IN_ACTIVITY},
}
"""What libraries (pathlib, shutil) may not do on behalf of workflow code, either, and Python shows nobody."""

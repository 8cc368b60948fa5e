"""The guard: what workflow code may not reach, with the line and the cure.

Two nets, both active only in the thread and for the time in which workflow code runs; activities never notice them:

* names: in a runbook's own modules, `time`, `datetime`, `random`, `uuid`, `secrets`, `os` and their functions stand
  behind proxies. Libraries that read the clock for themselves (logging, say) are not touched.
* audit: Python's audit events show files, sockets, processes, threads and `time.sleep`, from wherever they are called.

A guard error is sticky: whatever the script's `except Exception` does with it, the activation counts for nothing.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Protocol

from dwf.errors import GuardError, ScriptError


class Guarded(Protocol):
    """The run whose code is being watched."""

    def where(self) -> str: ...

    def refuse(self, error: ScriptError) -> None: ...

    def note(self, line: str) -> None: ...


_thread = threading.local()
"""Which run's workflow code runs in this thread: the audit hook has no other way to know."""


def enter(run: Guarded) -> Guarded | None:
    """Workflow code of `run` begins in this thread; the result is for `leave`."""
    before: Guarded | None = getattr(_thread, "run", None)
    _thread.run = run
    return before


def leave(before: Guarded | None) -> None:
    _thread.run = before


def active() -> bool:
    """Whether workflow code is running in this thread, unsuspended."""
    return getattr(_thread, "run", None) is not None


@contextlib.contextmanager
def suspended() -> Iterator[None]:
    """Let a piece of workflow code reach out (dwf.once)."""
    before = enter(None)  # type: ignore[arg-type]
    try:
        yield
    finally:
        leave(before)


def refusal(run: Guarded, what: str, cure: str) -> GuardError:
    """The error to raise; the activation is void from here on."""
    error = GuardError(what=what, where=run.where(), cure=cure)
    run.refuse(error)
    return error


def check(what: str, cure: str) -> None:
    """Refuse something in workflow code; nothing happens elsewhere."""
    run: Guarded | None = getattr(_thread, "run", None)
    if run is not None:
        raise refusal(run, what, cure)


# -- the audit net ----------------------------------------------------------------------------------------------

IN_ACTIVITY = "do it in an activity: @dwf.activity, dwf.step(...) or dwf.sh(...)"
SLEEP = "use: await dwf.sleep('10s')"
ENVIRON = "pass it as a parameter of the workflow, or read it in an activity"
THREAD = "threads have no place in a replay; use asyncio.gather over activities"
AUDITED = {
    "time.sleep": SLEEP,
    "_thread.start_new_thread": THREAD,
    "_thread.start_joinable_thread": THREAD,
    "builtins.input": "ask with dwf.approve(...) or wait for a signal: dwf.wait_signal(name)",
    "os.putenv": ENVIRON,
    "os.unsetenv": ENVIRON,
    **dict.fromkeys(
        "open subprocess.Popen os.system os.exec os.fork os.forkpty os.posix_spawn os.spawn os.startfile pty.spawn "
        "os.listdir os.scandir os.walk os.fwalk os.remove os.rename os.mkdir os.rmdir os.link os.symlink os.truncate "
        "os.chmod os.chown os.kill os.killpg os.utime os.chdir os.fchdir os.lockf shutil.copyfile shutil.copytree "
        "shutil.move shutil.rmtree shutil.make_archive shutil.unpack_archive glob.glob glob.glob/2 tempfile.mkstemp "
        "tempfile.mkdtemp mmap.__new__ fcntl.flock fcntl.lockf socket.connect socket.bind socket.sendto socket.sendmsg "
        "socket.getaddrinfo socket.getnameinfo socket.gethostbyname socket.gethostbyaddr socket.gethostname "
        "socket.__new__ sqlite3.connect urllib.Request".split(),
        IN_ACTIVITY,
    ),
}
# Python reads files for itself: modules, the lines of a traceback, time zones, a log file that is opened late.
_PYTHONS_OWN = ("linecache", "tokenize", "logging", "logging.handlers", "zoneinfo._common", "zoneinfo._tzpath")


def install() -> None:
    """Watch this process. An audit hook cannot be removed, so it is added once, by whoever runs workflow code."""
    if not getattr(install, "done", False):
        install.done = True  # type: ignore[attr-defined]
        sys.addaudithook(_audit)
        # Python 3.11 tells nobody of a thread that is started, and up to 3.12 of none that sleeps.
        time.sleep = _function_proxy(time.sleep, "time.sleep", SLEEP)
        warnings._warn_unawaited_coroutine = _never_awaited(warnings._warn_unawaited_coroutine)  # type: ignore[attr-defined]
        threading.Thread.start = _function_proxy(threading.Thread.start, "starting a thread", THREAD)  # type: ignore[method-assign]


def _never_awaited(tell: Callable[[Any], None]) -> Callable[[Any], None]:
    """Python's own complaint goes to the run's log: once, when it is live, and never while it is being closed."""

    def told(coroutine: Any) -> None:
        run: Guarded | None = getattr(_thread, "run", None)
        if run is None:
            tell(coroutine)
        else:
            run.note(f"{coroutine.__qualname__}() was called at {run.where()} and never awaited")

    return told


def _audit(event: str, args: tuple[Any, ...]) -> None:
    cure = AUDITED.get(event)
    if cure is None:
        return
    run: Guarded | None = getattr(_thread, "run", None)
    if run is None or _is_harmless_open(event, args) or _python_itself():
        return
    raise refusal(run, _named(event, args), cure)


def _named(event: str, args: tuple[Any, ...]) -> str:
    if event.startswith("_thread"):
        return "starting a thread"
    first = args[0] if args else ""
    return f"{event}({first!r:.60})" if isinstance(first, str) and first else event


def _python_itself() -> bool:
    """Whether this is done on Python's behalf; asked only after a hit, so the walk costs nothing."""
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith(("<frozen importlib", "<frozen zipimport")):
            return True
        if frame.f_globals.get("__name__") in _PYTHONS_OWN:
            return True
        frame = frame.f_back
    return False


def _is_harmless_open(event: str, args: tuple[Any, ...]) -> bool:
    """A number is no file: how that came to be open is asked elsewhere. ZoneInfo("Europe/Berlin") opens its from C."""
    if event != "open" or isinstance(args[0], int):
        return event == "open"
    zoneinfo = sys.modules.get("zoneinfo")
    if zoneinfo is None or not isinstance(args[0], str):
        return False
    return any(args[0].startswith(f"{place}/") for place in zoneinfo.TZPATH)


# -- the net of names -------------------------------------------------------------------------------------------

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
            "times stat lstat statvfs access readlink popen pipe umask".split(),
            IN_ACTIVITY,
        ),
    },
    "posixpath": dict.fromkeys(
        "exists lexists isfile isdir islink ismount getsize getmtime getatime getctime samefile realpath expanduser "
        "expandvars".split(),
        IN_ACTIVITY,
    ),
}
# With so many arguments these only convert a time that they are given.
HARMLESS_WITH = {"gmtime": 1, "localtime": 1, "ctime": 1, "asctime": 1, "strftime": 2}
CLOCKS = {"datetime": ("now", "utcnow", "today"), "date": ("today",)}
_ABSENT = object()


def protect(namespace: dict[str, Any]) -> None:
    """Put proxies in place of what a runbook's module has imported. `__dwf_real__` keeps the originals by name."""
    known, real = _known(), {}
    for name, value in list(namespace.items()):
        stand_in = _stand_in(value, known)
        if stand_in is not None:
            real[name], namespace[name] = value, stand_in
    namespace["__dwf_real__"] = {**namespace.get("__dwf_real__", {}), **real}


def stand_in_for(value: Any) -> Any | None:
    """The proxy for a module, function or class that workflow code may not use freely; None if it may."""
    return _stand_in(value, _known())


def _known() -> dict[int, tuple[str, str, str]]:
    """What is watched, by identity: module, name, cure. A function of that name from elsewhere is none of ours."""
    known = {}
    for home, names in NAMES.items():
        module = sys.modules.get(home)
        for name, cure in names.items() if module is not None else ():
            value = getattr(module, name, _ABSENT)
            if value is not _ABSENT:
                known[id(value)] = (home, name, cure)
    return known


def _stand_in(value: Any, known: dict[int, tuple[str, str, str]]) -> Any | None:
    if type(value) is types.ModuleType:
        return _ModuleProxy(value) if value.__name__ in NAMES else None
    if id(value) not in known:
        return None
    home, name, cure = known[id(value)]
    what = f"{home}.{name}".replace("posixpath", "os.path")
    if isinstance(value, type):
        refused = dict.fromkeys((f"{name}.{clock}" for clock in CLOCKS.get(name, ("()",))), cure)
        return _ClassProxy(name, (), {"dwf_real": value, "dwf_refused": refused, "__module__": value.__module__})
    if callable(value):
        return _function_proxy(value, what, cure)
    return _MappingProxy(value, what, cure)


class _ModuleProxy(types.ModuleType):
    """A module whose listed names are refused while workflow code runs."""

    def __init__(self, module: types.ModuleType) -> None:
        super().__init__(module.__name__, module.__doc__)
        self.__dict__["dwf_real"] = module

    def __getattr__(self, name: str) -> Any:
        module = self.__dict__["dwf_real"]
        value = getattr(module, name)
        watched = name in NAMES[module.__name__] or type(value) is types.ModuleType
        stand_in = stand_in_for(value) if watched else None
        if stand_in is None:
            return value
        # Kept, so that `datetime.datetime is datetime.datetime` stays true.
        self.__dict__[name] = stand_in
        return stand_in

    def __dir__(self) -> list[str]:
        return dir(self.__dict__["dwf_real"])


def _function_proxy(real: Callable[..., Any], what: str, cure: str) -> Callable[..., Any]:
    harmless_with = HARMLESS_WITH.get(real.__name__, sys.maxsize)

    def guarded(*args: Any, **kwargs: Any) -> Any:
        if len(args) < harmless_with:
            check(what, cure)
        return real(*args, **kwargs)

    guarded.__name__ = real.__name__
    guarded.__doc__ = real.__doc__
    guarded.dwf_real = real  # type: ignore[attr-defined]
    return guarded


class _MappingProxy(MutableMapping[Any, Any]):
    """`os.environ` behind a check."""

    def __init__(self, real: MutableMapping[Any, Any], what: str, cure: str) -> None:
        self.dwf_real, self._what, self._cure = real, what, cure

    def _checked(self) -> MutableMapping[Any, Any]:
        check(self._what, self._cure)
        return self.dwf_real

    def __getitem__(self, key: Any) -> Any:
        return self._checked()[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._checked()[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._checked()[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._checked())

    def __len__(self) -> int:
        return len(self._checked())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._checked(), name)


class _ClassProxy(type):
    """Makes a stand-in for `datetime`, `date` or `Random` that is them in every respect but for clock and chance."""

    dwf_real: type
    dwf_refused: dict[str, str]

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **more: Any) -> Any:
        if not bases:
            return super().__new__(cls, name, bases, namespace)
        # A class derived from a stand-in is derived from what it stands for.
        real = tuple(getattr(base, "dwf_real", base) for base in bases)
        return types.new_class(name, real, more, lambda body: body.update(namespace))

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if not args and not kwargs:
            cls._check(f"{cls.__name__}.()")
        return cls.dwf_real(*args, **kwargs)

    def _check(cls, what: str) -> None:
        if what in cls.dwf_refused:
            check(what.replace(".()", "() without a seed"), cls.dwf_refused[what])

    def __getattr__(cls, name: str) -> Any:
        cls._check(f"{cls.__name__}.{name}")
        return getattr(cls.dwf_real, name)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.dwf_real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(getattr(subclass, "dwf_real", subclass), cls.dwf_real)

    def __eq__(cls, other: object) -> bool:
        return getattr(other, "dwf_real", other) is cls.dwf_real

    def __hash__(cls) -> int:
        return hash(cls.dwf_real)

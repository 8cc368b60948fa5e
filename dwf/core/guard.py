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
import types
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from dwf.errors import GuardError, ScriptError


class Guarded(Protocol):
    """The run whose code is being watched."""

    def where(self) -> str: ...

    def refuse(self, error: ScriptError) -> None: ...


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


def _check(what: str, cure: str) -> None:
    run: Guarded | None = getattr(_thread, "run", None)
    if run is not None:
        raise refusal(run, what, cure)


# -- the audit net ----------------------------------------------------------------------------------------------

_IN_ACTIVITY = "do it in an activity: @dwf.activity, dwf.step(...) or dwf.sh(...)"
_SLEEP = "use: await dwf.sleep('10s')"
_AUDITED = {
    "time.sleep": _SLEEP,
    "_thread.start_new_thread": "threads have no place in a replay; use asyncio.gather over activities",
    "_thread.start_joinable_thread": "threads have no place in a replay; use asyncio.gather over activities",
    **dict.fromkeys(
        "open subprocess.Popen os.system os.exec os.fork os.forkpty os.posix_spawn os.spawn os.startfile pty.spawn "
        "os.listdir os.scandir os.remove os.rename os.mkdir os.rmdir os.link os.symlink os.truncate os.chmod os.chown "
        "os.kill os.utime os.chdir shutil.copyfile shutil.move shutil.rmtree glob.glob tempfile.mkstemp "
        "tempfile.mkdtemp socket.connect socket.bind socket.sendto socket.sendmsg socket.getaddrinfo "
        "socket.gethostbyname socket.__new__ sqlite3.connect urllib.Request".split(),
        _IN_ACTIVITY,
    ),
}


def install() -> None:
    """Watch this process. An audit hook cannot be removed, so it is added once, by whoever runs workflow code."""
    if not getattr(install, "done", False):
        install.done = True  # type: ignore[attr-defined]
        sys.addaudithook(_audit)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    cure = _AUDITED.get(event)
    if cure is None:
        return
    run: Guarded | None = getattr(_thread, "run", None)
    if run is None or _python_itself():
        return
    raise refusal(run, _named(event, args), cure)


def _named(event: str, args: tuple[Any, ...]) -> str:
    first = args[0] if args else ""
    shown = f"({first!r:.60})" if isinstance(first, str) and first else ""
    return ("starting a thread" if event.startswith("_thread") else event) + shown


def _python_itself() -> bool:
    """An import or a traceback reads files on Python's behalf; asked only after a hit, so the walk costs nothing."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib") or name.endswith(("linecache.py", "tokenize.py")):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


# -- the net of names -------------------------------------------------------------------------------------------

_NOW = "use: dwf.now()"
_CHANCE = "use: dwf.random()"
_UUID = "use: dwf.uuid4()"
_ENVIRON = "pass it as a parameter of the workflow, or read it in an activity"
_NAMES: dict[str, dict[str, str]] = {
    "time": {
        **dict.fromkeys(
            "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns localtime gmtime ctime".split(), _NOW
        ),
        "sleep": _SLEEP,
    },
    "random": dict.fromkeys(
        "random randint randrange choice choices sample shuffle uniform gauss getrandbits randbytes betavariate "
        "expovariate normalvariate triangular seed SystemRandom".split(),
        _CHANCE,
    ),
    "uuid": dict.fromkeys("uuid1 uuid4 getnode".split(), _UUID),
    "secrets": dict.fromkeys("token_bytes token_hex token_urlsafe choice randbelow randbits".split(), _CHANCE),
    "os": {
        **dict.fromkeys("environ environb getenv getcwd".split(), _ENVIRON),
        **dict.fromkeys("urandom getrandom".split(), _CHANCE),
        **dict.fromkeys("getpid getppid times stat popen".split(), _IN_ACTIVITY),
    },
    "datetime": {},
}
_CLOCKS = {"datetime": ("now", "utcnow", "today"), "date": ("today",)}


class _ModuleProxy(types.ModuleType):
    """A module whose listed names are refused while workflow code runs."""

    def __init__(self, module: types.ModuleType) -> None:
        super().__init__(module.__name__, module.__doc__)
        self.__dict__["dwf_real"] = module

    def __getattr__(self, name: str) -> Any:
        module = self.__dict__["dwf_real"]
        cure = _NAMES[module.__name__].get(name)
        if cure is not None:
            _check(f"{module.__name__}.{name}", cure)
        value = getattr(module, name)
        return _clock_proxy(value) if module.__name__ == "datetime" and name in _CLOCKS else value


class _ClockMeta(type):
    """Makes a stand-in for `datetime` or `date` that is them in every respect but for the clock."""

    dwf_real: type

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls.dwf_real(*args, **kwargs)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.dwf_real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(getattr(subclass, "dwf_real", subclass), cls.dwf_real)

    def __eq__(cls, other: object) -> bool:
        return getattr(other, "dwf_real", other) is cls.dwf_real

    def __hash__(cls) -> int:
        return hash(cls.dwf_real)

    def __getattr__(cls, name: str) -> Any:
        if name in _CLOCKS[cls.dwf_real.__name__]:
            _check(f"{cls.dwf_real.__name__}.{name}", _NOW)
        return getattr(cls.dwf_real, name)


def _clock_proxy(real: type) -> type:
    return _ClockMeta(real.__name__, (), {"dwf_real": real, "__doc__": real.__doc__})


def protect(namespace: dict[str, Any]) -> None:
    """Put proxies in place of what a runbook's module has imported. `__dwf_real__` keeps the originals by name."""
    real = {}
    for name, value in list(namespace.items()):
        stand_in = stand_in_for(value)
        if stand_in is not None:
            real[name], namespace[name] = value, stand_in
    namespace["__dwf_real__"] = real


def stand_in_for(value: Any) -> Any | None:
    """The proxy for a module, function or class that workflow code may not use freely; None if it may."""
    if isinstance(value, types.ModuleType):
        return _ModuleProxy(value) if value.__name__ in _NAMES and type(value) is types.ModuleType else None
    home = getattr(value, "__module__", None)
    if isinstance(value, type):
        return _clock_proxy(value) if home == "datetime" and value.__name__ in _CLOCKS else None
    name = getattr(value, "__name__", "")
    home = {"_random": "random", "posix": "os"}.get(home or "", home)
    if home is None and isinstance(getattr(value, "__self__", None), sys.modules["random"].Random if "random" in sys.modules else ()):
        home = "random"
    cure = _NAMES.get(home or "", {}).get(name)
    if cure is None or not callable(value):
        return None
    return _function_proxy(value, f"{home}.{name}", cure)


def _function_proxy(real: Callable[..., Any], what: str, cure: str) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        _check(what, cure)
        return real(*args, **kwargs)

    guarded.__name__ = real.__name__
    guarded.__doc__ = real.__doc__
    guarded.dwf_real = real  # type: ignore[attr-defined]
    return guarded

"""The guard: what workflow code may not reach, with the line and the cure.

Three nets, all active only in the thread and for the time in which workflow code runs; activities never notice them:

* names: in a runbook's own modules, `time`, `datetime`, `random`, `uuid`, `secrets`, `os` and their functions stand
  behind proxies. Libraries that read the clock for themselves (logging, say) are not touched.
* audit: Python's audit events show files, sockets, processes, threads and `time.sleep`, from wherever they are called.
* everywhere: what no event shows and libraries do for others (pathlib asks os.stat) is checked where it is defined, and
  so are the waits that stop a thread.

What is refused, and what to write instead, is in banned.py; the net of names in standins.py.

A guard error is sticky: whatever the script's `except Exception` does with it, the activation counts for nothing.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from dwf.core.banned import (
    AUDITED,
    BLOCKS,
    EVERYWHERE,
    HARMLESS_WITH,
    SLEEP,
    THREAD,
    TIMES_GIVEN,
)
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

# Python reads files for itself: modules, the lines of a traceback, time zones, a log file that is opened late.
_PYTHONS_OWN = (
    *"linecache tokenize inspect gettext logging logging.handlers zoneinfo._common zoneinfo._tzpath".split(),
)
# Modules that ask the system on behalf of who calls them.
_IN_BETWEEN = {"pathlib": "Path", "genericpath": "os.path", "posixpath": "os.path", "shutil": "shutil"}


def install() -> None:
    """Watch this process. An audit hook cannot be removed, so it is added once, by whoever runs workflow code."""
    if not getattr(install, "done", False):
        install.done = True  # type: ignore[attr-defined]
        sys.addaudithook(_audit)
        # Python 3.11 tells nobody of a thread that is started, and up to 3.12 of none that sleeps.
        time.sleep = function_proxy(time.sleep, "time.sleep", SLEEP)
        warnings._warn_unawaited_coroutine = _never_awaited(warnings._warn_unawaited_coroutine)  # type: ignore[attr-defined]
        threading.Thread.start = function_proxy(threading.Thread.start, "starting a thread", THREAD)  # type: ignore[method-assign]
        threading.Thread.join = function_proxy(threading.Thread.join, "waiting for a thread", BLOCKS)  # type: ignore[method-assign]
        # Events, semaphores, barriers, queues and futures of threads: all of them wait here.
        threading.Condition.wait = _wait_proxy(threading.Condition.wait)  # type: ignore[method-assign]
        for module in (os, posixpath):
            for name, cure in EVERYWHERE[module.__name__].items():
                _watch_everywhere(module, name, cure)


def _watch_everywhere(module: types.ModuleType, name: str, cure: str) -> None:
    real = getattr(module, name, None)
    if real is None:
        return
    home = module.__name__.replace("posixpath", "os.path")

    def guarded(*args: Any, **kwargs: Any) -> Any:
        run: Guarded | None = getattr(_thread, "run", None)
        if run is not None and not _is_harmless_path(name, args) and not _python_itself():
            raise refusal(run, _asked_by(f"{home}.{name}", sys._getframe(1)), cure)
        return real(*args, **kwargs)

    setattr(module, name, disguised(guarded, real))
    for functions in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks, os.supports_effective_ids):
        if real in functions:
            functions.add(guarded)  # it is asked there what a function can do


def _is_harmless_path(name: str, args: tuple[Any, ...]) -> bool:
    """A number is no file, as for `open`; only with a tilde is there a home to look for."""
    if name == "expanduser":
        return bool(args) and isinstance(args[0], str) and not args[0].startswith("~")
    return bool(args) and isinstance(args[0], int)


def _asked_by(what: str, frame: types.FrameType | None) -> str:
    """What a script has called, if the call came through a module for paths."""
    while frame is not None and (home := str(frame.f_globals.get("__name__")).partition(".")[0]) in _IN_BETWEEN:
        what = f"{_IN_BETWEEN[home]}.{frame.f_code.co_name}"
        frame = frame.f_back
    return what


def _wait_proxy(real: Callable[..., bool]) -> Callable[..., bool]:
    def wait(self: Any, timeout: float | None = None) -> bool:
        if timeout is None or timeout > 0:
            check("a wait that stops the thread", BLOCKS)
        return real(self, timeout)

    return disguised(wait, real)


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


def function_proxy(real: Callable[..., Any], what: str, cure: str) -> Callable[..., Any]:
    """The function, refused in workflow code unless a time is given that it only converts."""
    harmless_with = HARMLESS_WITH.get(real.__name__, sys.maxsize)

    def guarded(*args: Any, **kwargs: Any) -> Any:
        if len(args) + len(TIMES_GIVEN & kwargs.keys()) < harmless_with:
            check(what, cure)
        return real(*args, **kwargs)

    return disguised(guarded, real)


def disguised(stand_in: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
    """The stand-in, to be taken for what it stands for."""
    stand_in.__name__ = real.__name__
    stand_in.__doc__ = real.__doc__
    stand_in.dwf_real = real  # type: ignore[attr-defined]
    return stand_in

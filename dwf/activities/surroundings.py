"""What belongs to the process and not to a function: cwd, umask, environment, stdout, signal handlers.

A function may change any of it; the next one must start clean. Performances overlap in threads, so the picture of how
it was is taken when the first of them begins, and compared when each of them ends. Functions that change such things
*while* others run can only be kept apart by a process of their own.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from _signal import getsignal  # type: ignore[import-not-found,unused-ignore]  # the enum wrapper costs 20 times as much
from typing import Any

from dwf.activities.environment import variables

# Plain numbers: the enum's conversion would be most of the cost.
_HANDLED = [int(getattr(signal, f"SIG{name}")) for name in "TERM INT HUP ALRM CHLD PIPE USR1 USR2".split()]


class Surroundings:
    """The picture, and who is inside. One per process, as what it is a picture of."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._cwd = ""
        self._environ: Any = os.environ
        self._variables: dict[Any, Any] = {}
        self._streams: tuple[Any, Any, Any] = (None, None, None)

    def hold(self) -> None:
        """Take the picture if nobody has it, and keep it until `let_go`: one for several functions in a row."""
        with self._lock:
            if self._inside == 0:
                self._take()
            self._inside += 1

    def let_go(self) -> None:
        with self._lock:
            self._inside -= 1

    def enter(self) -> list[Any] | None:
        """To be called before a function runs; the answer goes to `leave`."""
        self.hold()
        # Only the main thread can change handlers, so only it needs to look.
        if threading.get_ident() == threading.main_thread().ident:
            return list(map(getsignal, _HANDLED))
        return None

    def _take(self) -> None:
        self._cwd = _cwd()
        self._environ = os.environ
        self._variables = variables(os.environ).copy()
        self._streams = (sys.stdin, sys.stdout, sys.stderr)

    def leave(self, handlers: list[Any] | None) -> None:
        """Put back what has changed."""
        with self._lock:
            self._inside -= 1
            sys.stdin, sys.stdout, sys.stderr = self._streams
            os.umask(_umask())
            if os.environ is not self._environ:
                os.environ = self._environ  # noqa: B003 - somebody put another object there
            if variables(os.environ) != self._variables:
                self._restore_variables()
            if _cwd() != self._cwd:
                _change_to(self._cwd)
        if handlers is not None and handlers != list(map(getsignal, _HANDLED)):
            _restore_handlers(handlers)

    def _restore_variables(self) -> None:
        for name in variables(os.environ).keys() - self._variables.keys():
            del os.environb[name]
        for name, value in self._variables.items():
            os.environb[name] = value


def _cwd() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        return ""  # it was deleted


def _change_to(path: str) -> None:
    try:
        os.chdir(path or "/")
    except OSError:
        os.chdir("/")


@functools.cache
def _umask() -> int:
    """The process's own umask. Read from /proc, for os.umask() can only tell it by changing it under other threads."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            return int(next(line for line in status if line.startswith("Umask:")).split()[1], 8)
    except (OSError, StopIteration, ValueError):
        before = os.umask(0o077)
        os.umask(before)
        return before


def _restore_handlers(handlers: list[Any]) -> None:
    for number, handler in zip(_HANDLED, handlers, strict=True):
        if getsignal(number) is not handler and handler is not None:
            if number == signal.SIGALRM:
                signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(number, handler)

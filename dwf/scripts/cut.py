"""Cutting off: ending a piece of a script that does not come to its end, in a thread that cannot be killed.

An exception is raised into the thread. A script may catch it (`while True: try: poll() except: pass`), so when one is
made in there it has the script's next line traced, and the trace raises another: out of the handler, out of the loop.
Code that computes in C, or that catches twice over, goes on; what raises does so again and again.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Generic, TypeVar

from dwf.activities import unheard
from dwf.core.outcome import place
from dwf.host import start_thread

T = TypeVar("T")

_AGAIN_SECONDS = 0.05
# Then it is left behind; what is raised last comes when it wakes.
_TRIES = 20
_MARK = "@"  # in the file name of a script's code, and of nothing else


class Cut(BaseException):
    """What is raised into a script. A BaseException, so that `except Exception` lets it pass."""

    def __init__(self) -> None:
        super().__init__()
        # Python makes the exception where it was raised to, in that thread; so this runs there.
        _trace_script(type(self))


def raise_in(thread: int, kind: type[Cut]) -> None:
    """Raise an exception in another thread at its next line of Python, if it runs a script just now."""
    frame = sys._current_frames().get(thread)
    while frame is not None and not _is_script(frame):
        frame = frame.f_back
    # One that comes when the script has just been left is caught by whoever waits for this one; a second would not be.
    if frame is not None:
        _set_pending(thread, ctypes.py_object(kind))


def take_back() -> None:
    """In the thread that was raised into, once it has left the script: nothing is raised there any more."""
    _calm_down()
    if isinstance(sys.gettrace(), _Trace):
        sys.settrace(None)


class Aside(Generic[T]):
    """A piece of a script in a thread of its own: if it sleeps, or waits for something, it can only be left behind.

    result, error: what came of it, if it has ended by itself.
    """

    def __init__(self, work: Callable[[], T], kind: type[Cut]) -> None:
        self.result: T | None = None
        self.error: BaseException | None = None
        self._work, self._kind = work, kind
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def ended_within(self, seconds: float) -> str | None:
        """Wait for its end. None if it came by itself in time; else it was cut off: the line at which, "" if unknown.

        Raises DiskError where there is no room for a thread.
        """
        thread = start_thread("dwf-aside", self._run)
        if self._ended.wait(seconds):
            return None
        where = _line(thread.ident or 0)
        for _ in range(_TRIES):
            with self._lock:
                if not self._ended.is_set():
                    raise_in(thread.ident or 0, self._kind)
            if self._ended.wait(_AGAIN_SECONDS):
                break
        else:
            _calm_down()
        return where

    def _run(self) -> None:
        try:
            with unheard():
                self.result = self._work()
        except BaseException as error:
            self.error = error
        while not self._ended.is_set():
            try:
                self._end()
            except Cut:
                continue

    def _end(self) -> None:
        """From here on nothing is raised in this thread. Interrupted by just that, it is to be called again."""
        with self._lock:
            take_back()
            self._ended.set()


def _line(thread: int) -> str:
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if _is_script(frame):
            return place(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return ""


def _set_pending(thread: int, raised: ctypes.py_object[type[BaseException]] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)


class _Received(BaseException):
    """Raised by a thread in itself."""


def _calm_down() -> None:
    """Receive something in this thread, in place of what may be raised in it.

    As long as nobody has received what was raised anywhere, Python looks for it in all threads, at each call: with a
    trace function (up to 3.11) for ever. What a thread that is left behind has not received stays for when it wakes.
    """
    me = threading.get_ident()
    try:
        _set_pending(me, ctypes.py_object(_Received))
        while True:
            pass
    except _Received:
        return
    except BaseException:
        with suppress(_Received):
            _set_pending(me, None)
        raise


class _Trace:
    """A trace function that lets no line of a script pass. Python takes it away when it has raised once."""

    def __init__(self, kind: type[Cut]) -> None:
        self._kind = kind

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event in ("call", "line") and _is_script(frame):
            raise self._kind


def _trace_script(kind: type[Cut]) -> None:
    trace = _Trace(kind)
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if _is_script(frame):
            frame.f_trace = trace
        frame = frame.f_back
    sys.settrace(trace)


def _is_script(frame: FrameType) -> bool:
    return _MARK in frame.f_code.co_filename.rpartition("/")[2]

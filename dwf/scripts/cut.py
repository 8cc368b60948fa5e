"""Cutting off: ending a piece of a script that does not come to its end, in a thread that cannot be killed.

An exception is raised into the thread. A script may catch it (`while True: try: poll() except: pass`), so when one is
made in there it has the script's next line traced, and the trace raises another: out of the handler, out of the loop.
Code that computes in C, or that catches twice over, goes on; what raises does so again and again.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dwf.host import start_thread

_AGAIN_SECONDS = 0.05
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
    _set_pending(threading.get_ident(), None)
    if isinstance(sys.gettrace(), _Trace):
        sys.settrace(None)


@contextmanager
def within(seconds: float, kind: type[Cut]) -> Iterator[None]:
    """Raise `kind` in this thread, again and again, if the block has not ended by then. Raises DiskError."""
    thread, lock, ended = threading.get_ident(), threading.Lock(), threading.Event()

    def look() -> None:
        ended.wait(seconds)
        while True:
            with lock:
                if ended.is_set():
                    return
                raise_in(thread, kind)
            time.sleep(_AGAIN_SECONDS)

    start_thread("dwf-cut", look)
    try:
        yield
    finally:
        with lock:
            ended.set()
            take_back()


def _set_pending(thread: int, raised: ctypes.py_object[type[Cut]] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)


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

"""The watchdog: ends workflow code that computes for ever instead of coming to a wait.

A run reports before and after each activation. One thread looks on; when the same event has been in delivery for longer
than the limit, the activation is made void (with the line it is at) and an exception is raised into its thread, again
and again until it gives in. Nothing of it is recorded as an outcome: the run is blocked. What does not give in for
PATIENCE_SECONDS, or lets nobody look on, ends the process (lastresort.py).
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import get_ident

from dwf.core.outcome import place
from dwf.core.replay import Replay
from dwf.engine.lastresort import LastResort
from dwf.errors import BusyLoop
from dwf.host import start_thread
from dwf.scripts.cut import Cut, raise_in, take_back

LIMIT_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.25


class OutOfTime(Cut):
    """Raised into workflow code that has used up its time."""


@dataclass(slots=True)
class _Watched:
    """event: in delivery when the watchdog last looked, at `since`; what it has not seen yet is as good as new.

    tries: how often it was called off in vain. Counted, and no seconds: nobody looks while a process is stopped.
    """

    replay: Replay
    thread: int
    event: object = None
    since: float = 0.0
    tries: int = 0


class Watchdog:
    """Looks after all activations of a process."""

    def __init__(self, limit_seconds: float | None = None) -> None:
        self._limit = LIMIT_SECONDS if limit_seconds is None else limit_seconds
        self._lock = threading.Lock()
        self._watched: dict[int, _Watched] = {}
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._last_resort = LastResort()

    def over(self, replay: Replay) -> AbstractContextManager[None]:
        """Watch what the calling thread does with `replay` in a `with` block; may be entered again and again."""
        if self._thread is None:
            self._begin()
        return _Watching(self, replay)

    def enter(self, watched: _Watched) -> None:
        self._watched[watched.thread] = watched
        self._last_resort.put_off()

    def leave(self, watched: _Watched) -> None:
        """Look no longer. Interrupted by what it is there to call off, it is to be called again."""
        with self._lock:
            self._watched.pop(watched.thread, None)
            if watched.event is OutOfTime:
                take_back()
            if not self._watched:
                self._last_resort.rest()

    def close(self) -> None:
        self._closing.set()

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._last_resort.begin()
                self._thread = start_thread("dwf-watchdog", self._look)

    def _look(self) -> None:
        while not self._closing.wait(_LOOK_SECONDS):
            with self._lock:
                if self._watched:
                    self._last_resort.put_off()
                for watched in list(self._watched.values()):
                    self._look_at(watched)

    def _look_at(self, watched: _Watched) -> None:
        if watched.event is OutOfTime:
            self._call_off(watched)
        elif watched.event is not watched.replay.last:
            watched.event, watched.since = watched.replay.last, time.monotonic()
        elif time.monotonic() - watched.since > self._limit:
            error = BusyLoop(what=f"it computes for more than {self._limit:g} s", where=_line(watched))
            # Between two callbacks the loop sees that it is void; what is inside one is interrupted at the next look.
            watched.replay.commands.refuse(error)
            watched.event, watched.tries = OutOfTime, 0

    def _call_off(self, watched: _Watched) -> None:
        watched.tries += 1
        if watched.tries * _LOOK_SECONDS > PATIENCE_SECONDS:
            run = watched.replay.started.run
            self._last_resort.end(f"run {run} cannot be called off: this process ends ({_line(watched)})")
        raise_in(watched.thread, OutOfTime)


class _Watching:
    """The activations of one replay, one after the other. A class and not a generator: entered for every event."""

    __slots__ = ("_dog", "_watched")

    def __init__(self, dog: Watchdog, replay: Replay) -> None:
        self._dog = dog
        self._watched = _Watched(replay, 0)

    def __enter__(self) -> None:
        watched = self._watched
        watched.thread, watched.event = get_ident(), None
        self._dog.enter(watched)

    def __exit__(self, *_: object) -> None:
        while True:
            try:
                return self._dog.leave(self._watched)
            except OutOfTime:
                continue


def _line(watched: _Watched) -> str:
    frame = sys._current_frames().get(watched.thread)
    while frame is not None:
        if watched.replay.program.is_script(frame.f_code.co_filename):
            return place(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    try:
        # It was met between two of its callbacks: then where it waits for the next.
        return watched.replay.commands.waiting_at(watched.replay.loop.live_tasks())
    except Exception:
        return "the script"  # it goes on while it is looked at

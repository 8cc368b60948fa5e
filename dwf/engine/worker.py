"""The worker: the same engine kept warm. What a tick does once, it does for ever, and between rounds it sleeps.

It is woken by what is posted (inotify), by the next time that a run waits for, and once a second by a look at the
index, for that is how long what leaves no trace in a directory may take to be seen. Everything else is the tick's:
locks, order, what is on disk before anything is done. So ticks and workers may run beside each other, and a worker that
is killed is one more killed tick.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from dwf.activities import capturing
from dwf.core.duration import SECOND
from dwf.engine.context import Engine, Watch, wall_clock_us
from dwf.engine.kept import MOST_RUNS, Kept
from dwf.engine.tick import Rounds, TickReport
from dwf.host import start_thread
from dwf.store.room import Store

_LOOK_SECONDS = 1.0
# How often what dead processes left is tidied away, and what was blocked or in error is looked at again.
_TIDY_SECONDS = 30.0
_ANEW_SECONDS = 5.0


def work(
    store: Store,
    *,
    jobs: int = 8,
    watch: Watch | None = None,
    stop: threading.Event | None = None,
    told: Callable[[TickReport], None] = lambda _: None,
    clock: Callable[[], int] = wall_clock_us,
    queues: Iterable[str] = (),
) -> TickReport:
    """Drive what is due, and what becomes due, until `stop` is set; then park everything, as a tick does.

    told: given what is news, soon after it happened. queues: begin only steps of these.
    Raises DiskError if the index cannot be written at the start.
    """
    engine = Engine.open(store, jobs=jobs, watch=watch, stop=stop, clock=clock, kept=Kept(MOST_RUNS), queues=queues)
    collecting = gc.isenabled()
    gc.disable()
    rounds = Rounds(engine)
    bell = Bell([store.layout.mail_new, store.layout.intents], rounds.nudge)
    try:
        with capturing():
            _rounds(engine, rounds, told)
            return rounds.end()
    finally:
        bell.close()
        if collecting:
            gc.enable()
        engine.close()


def _rounds(engine: Engine, rounds: Rounds, told: Callable[[TickReport], None]) -> None:
    anew = tidied = time.monotonic()
    rounds.begin()
    engine.store.mailbox.follow()
    engine.store.index.note_tick(engine.clock())
    while not engine.stop.is_set():
        looked_us = engine.clock()
        busy = rounds.go_round()
        now = time.monotonic()
        if rounds.news or rounds.remarks or rounds.errors or now - anew > _ANEW_SECONDS:
            anew = now
            told(rounds.look_anew())
        if busy:
            continue
        if now - tidied > _TIDY_SECONDS:
            tidied = now
            rounds.tidy()
            rounds.begin()
            engine.store.index.note_tick(engine.clock())
            gc.collect()
        rounds.rest(_patience(engine, looked_us))


def _patience(engine: Engine, looked_us: int) -> float:
    """Seconds until time alone gives something to do, at most until the next look.

    What was due when the last round looked, and was not taken, is not to be had now: it is locked, blocked or in error.
    """
    due = engine.store.index.next_due_us()
    if due is None or due <= looked_us:
        return _LOOK_SECONDS
    return min(max((due - engine.clock()) / SECOND, 0.0), _LOOK_SECONDS)


class Bell:
    """Calls `ring` when a file appears in, or goes from, one of some directories. Without inotify it never does."""

    def __init__(self, directories: list[str], ring: Callable[[], None]) -> None:
        self._ring = ring
        self._closing = False
        self._end, self._wake = os.pipe2(os.O_CLOEXEC)
        with suppress(ImportError, OSError):
            from inotify_simple import INotify, flags  # type: ignore[import-untyped]

            self._inotify = INotify()
            for directory in directories:
                self._inotify.add_watch(directory, flags.MOVED_TO | flags.CREATE | flags.DELETE)
            start_thread("dwf-bell", self._listen)

    def close(self) -> None:
        """Listen no more."""
        self._closing = True
        os.close(self._wake)

    def _listen(self) -> None:
        import select

        poll = select.poll()
        poll.register(self._inotify.fileno(), select.POLLIN)
        poll.register(self._end, select.POLLIN)
        while True:
            poll.poll()
            if self._closing:
                break
            self._inotify.read(timeout=0)
            self._ring()
        self._inotify.close()
        os.close(self._end)

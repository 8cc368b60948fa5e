"""Drivers: the threads in which runs are driven, one run after the other in each.

A driver that replays and records wants the interpreter, and a few of them keep it busy; more would only fight for it.
One that waits for a step wants nothing. So few are started at first, and one more whenever nothing has ended for a
moment while something that was given still waits. They are kept until the end.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue

from dwf.errors import DiskError
from dwf.host import start_thread

_FEW = 4
# What waits beside those that are being driven, so that not every run that ends asks anew what is due.
_WAITING = 64


class Drivers:
    """`most` threads at most, each of which calls `drive` with the runs that it is given."""

    def __init__(self, most: int, drive: Callable[[str], None]) -> None:
        self.most = most
        self._drive = drive
        self._started = 0
        self._given: SimpleQueue[str | None] = SimpleQueue()

    def give(self, run: str) -> None:
        """Let a run be driven, soon. Raises DiskError if there is no room for a single thread."""
        if self._started < min(_FEW, self.most):
            self._start_one()
        self._given.put(run)

    def room(self, active: int) -> int:
        """How many runs are to be given now, of which `active` are being driven or wait for it."""
        return 0 if self.has_plenty() else self.most + _WAITING - active

    def has_plenty(self) -> bool:
        """Whether so much waits that nobody needs to ask yet what else is due."""
        return self._given.qsize() > _WAITING // 2

    def is_short(self) -> bool:
        """Whether something waits for a driver, and one more could be started."""
        return self._started < self.most and not self._given.empty()

    def add(self) -> None:
        """Start one more."""
        self._start_one()

    def close(self) -> None:
        """Let the threads end when they have nothing to do."""
        for _ in range(self._started):
            self._given.put(None)

    def _start_one(self) -> None:
        try:
            start_thread(f"dwf-driver-{self._started + 1}", self._work)
        except DiskError:
            if not self._started:
                raise
        else:
            self._started += 1

    def _work(self) -> None:
        while (run := self._given.get()) is not None:
            self._drive(run)

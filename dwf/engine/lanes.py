"""Lanes: the threads in which steps run, and the number of steps that may run at a time.

A lane is given a list of performances and plays one after the other. A slow step is alone in its lane; quick functions
are given in growing lists, because handing each over by itself would cost more than the function.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from queue import SimpleQueue

from dwf.activities.plan import Kind, Outcome, Performance
from dwf.core.events import ErrorInfo
from dwf.core.outcome import said
from dwf.host import start_thread


@dataclass(frozen=True, slots=True)
class Ended:
    """One step of a lane has ended."""

    command: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class LaneFree:
    """A lane has played its list."""

    steps: int
    seconds: float


Report = Ended | LaneFree
# For so long a lane that somebody of a higher priority did not get is kept for him; he asks again within that time.
_WANTED_SECONDS = 3.0
Load = list[tuple[int, Performance]]


class Lanes:
    """`count` lanes, shared by all runs of a process. Threads are started when first needed."""

    def __init__(self, count: int) -> None:
        self.count = max(1, count)
        self._free = self.count
        self._wanted: dict[int, float] = {}
        self._lock = threading.Lock()
        self._loads: SimpleQueue[tuple[Load, SimpleQueue[Report]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def take(self, wanted: int, priority: int = 0) -> int:
        """Reserve up to `wanted` lanes; how many there were. Each must be played in or given back.

        Who has got fewer than he wants, and comes again, goes before those of a lower priority.
        """
        with self._lock:
            granted = 0 if self._is_overtaken(priority) else min(wanted, self._free)
            self._free -= granted
            if granted < wanted:
                self._wanted[priority] = time.monotonic()
            else:
                self._wanted.pop(priority, None)
            return granted

    def _is_overtaken(self, priority: int) -> bool:
        since = time.monotonic() - _WANTED_SECONDS
        return any(higher > priority and at > since for higher, at in self._wanted.items())

    def give_back(self, count: int) -> None:
        with self._lock:
            self._free += count

    def any_free(self) -> bool:
        return self._free > 0

    def staff(self) -> None:
        """Give every reserved lane its thread, before it is recorded that a step begins. Raises DiskError."""
        with self._lock:
            while len(self._threads) < self.count - self._free:
                self._threads.append(start_thread(f"dwf-lane-{len(self._threads) + 1}", self._work))

    def play(self, load: Load, reports: SimpleQueue[Report]) -> None:
        """Let the steps of a reserved lane begin, in another thread."""
        self._loads.put((load, reports))

    def close(self) -> None:
        """End the threads after what they are playing."""
        for _ in self._threads:
            self._loads.put(None)
        for thread in self._threads:
            thread.join(timeout=1)

    def _work(self) -> None:
        while (given := self._loads.get()) is not None:
            load, reports = given
            began = time.monotonic()
            for command, performance in load:
                reports.put(Ended(command, played(performance)))
            self.give_back(1)
            reports.put(LaneFree(len(load), time.monotonic() - began))


def played(performance: Performance) -> Outcome:
    """Let a step begin, and wait for its end. Nothing gets out of it but an outcome: somebody is waiting for that."""
    try:
        performance.go()
        return performance.finish()
    except BaseException as error:
        why = f"dwf could not perform it: {type(error).__name__}: {said(error)}"
        return Outcome(Kind.FAILED, time.time_ns() // 1000, error=ErrorInfo(type="InternalError", message=why))

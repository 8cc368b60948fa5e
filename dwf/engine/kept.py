"""Runs that are kept replayed in memory between two drives, so that a signal costs a worker no replay.

A tick keeps parents whose children are open: each end of a child is a drive of them, and would be a replay and a sync.

The lock is given up in between, so anybody may have driven the run meanwhile: it is taken up again only if its file is,
to the last byte, what was left. Else, and when there are too many, the replay is closed: never merely dropped, for a
blocked coroutine that the collector ends would do so in the middle of another run.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dwf.engine.journal import Journal

MOST_RUNS = 1000
MOST_PARENTS = 100
MOST_BYTES = 64 * 1024 * 1024


class Kept:
    """The replays of the runs that were driven last, within a budget: how many, and how long their histories are.

    parents: only of runs that wait for children.
    """

    def __init__(self, runs: int = 0, history_bytes: int = MOST_BYTES, *, parents: bool = False) -> None:
        self._runs, self._bytes, self._parents = runs, history_bytes, parents
        self._guard = threading.Lock()
        self._journals: dict[str, Journal] = {}
        self._held = 0

    def take(self, run: str, link: int) -> Journal | None:
        """The run as it was left, for who holds its lock; None if it is not here, or its file has changed since."""
        with self._guard:
            journal = self._journals.pop(run, None)
            if journal is None:
                return None
            self._held -= journal.history.size
        if journal.link == link and journal.is_as_it_was_left():
            return journal
        journal.close()
        return None

    def keep(self, journal: Journal) -> None:
        """Take over a run that rests; everything of it is on disk. It is closed here, now or later."""
        unwanted = self._parents and not journal.state.children
        if not self._runs or unwanted or not journal.may_be_kept():
            journal.close()
            return
        journal.leave()
        with self._guard:
            before = self._journals.pop(journal.run, None)
            self._journals[journal.run] = journal
            self._held += journal.history.size - (before.history.size if before is not None else 0)
            evicted = [] if before is None else [before]
            while len(self._journals) > self._runs or self._held > self._bytes:
                oldest = next(iter(self._journals))
                evicted.append(self._journals.pop(oldest))
                self._held -= evicted[-1].history.size
        for one in evicted:
            one.close()

    def close(self) -> None:
        """Close them all."""
        with self._guard:
            journals, self._journals, self._held = list(self._journals.values()), {}, 0
        for journal in journals:
            journal.close()

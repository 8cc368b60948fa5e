"""Suspects: the runs that a dead process was at, one of which may have been its death.

They are driven one at a time: if this process dies, too, it is known over which. What it has survived for a while did
not kill the last one, and is in nobody's way any more; a long step of one run must not hold up all the others.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Set

PROOF_SECONDS = 5.0


class Suspects:
    """Those that have not come to rest in this process yet."""

    def __init__(self, runs: Iterable[str] = ()) -> None:
        self.runs = set(runs)
        self._since = 0.0

    def is_tried(self, active: Set[str]) -> bool:
        """Whether one of them is being tried, of what is driven just now."""
        tried = self.runs & active
        if tried and time.monotonic() - self._since > PROOF_SECONDS:
            self.runs -= tried
            return False
        return bool(tried)

    def one_of(self, due: Collection[str], active: Set[str]) -> list[str]:
        """What is due, with one suspect among it at most."""
        if not self.runs:
            return list(due)
        busy = self.is_tried(active)
        chosen = []
        for run in due:
            if run not in self.runs:
                chosen.append(run)
            elif not busy:
                chosen.append(run)
                busy = True
                self._since = time.monotonic()
        return chosen

    def acquit(self, run: str) -> None:
        """It has come to rest."""
        self.runs.discard(run)

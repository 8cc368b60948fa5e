"""Chance in workflow code: the same in every replay, for it is seeded with the run."""

from __future__ import annotations

from functools import cached_property
from random import Random
from typing import Any

from dwf.core.events import WorkflowStarted


def seed_of(started: WorkflowStarted) -> str:
    """What a run's chance is seeded with: its own name, or that of the run whose lines it begins with."""
    own = f"{started.run}:{started.nonce}"
    return own if started.follows is None else started.follows.seed or own


class Chance:
    """numbers: what `dwf.random()` gives. ids: what `dwf.uuid4()` draws from; neither disturbs the other.

    Each is made when it is first asked for: to seed both costs as much as a step, and most scripts want neither.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed

    @cached_property
    def numbers(self) -> Random:
        return Random(self._seed)

    @cached_property
    def ids(self) -> Random:
        return Random(f"{self._seed}:uuid")

    def mark(self) -> tuple[Any, Any]:
        """How far both have come, to return to."""
        return self.numbers.getstate(), self.ids.getstate()

    def return_to(self, mark: tuple[Any, Any]) -> None:
        """Forget what was drawn since the mark."""
        self.numbers.setstate(mark[0])
        self.ids.setstate(mark[1])


class Draws:
    """What a run draws by chance. One that goes on from a line of another draws as that one did up to there."""

    def __init__(self, started: WorkflowStarted) -> None:
        own = f"{started.run}:{started.nonce}"
        self._lines = started.follows.lines if started.follows is not None else 0
        self.first = Chance(seed_of(started))
        self._own = self.first if seed_of(started) == own else Chance(own)

    def at(self, line: int) -> Chance:
        """The chance of what the script does when it is told that line."""
        return self.first if line <= self._lines else self._own

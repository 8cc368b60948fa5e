"""Chance in workflow code: the same in every replay, for it is seeded with the run."""

from __future__ import annotations

from functools import cached_property
from random import Random
from typing import Any


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

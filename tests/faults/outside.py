"""The world outside of dwf, which no crash takes back: what steps have really done, and what happens while they do it.

Scripts of the simulation call `perform` in their steps and `is_done` in their probes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from dwf import activity_info


class Outside:
    """What was done, by the word that the step was given. `during`: called in the middle of every step, with its run,
    key and attempt."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.keys: dict[str, set[str]] = {}
        self.during: Callable[[str, str, int], None] = lambda run, key, attempt: None


_NOW: list[Outside] = []


def enter(outside: Outside) -> None:
    """From here on steps act in this world."""
    _NOW[:] = [outside]


def perform(word: str, fails: int) -> str:
    """A step's effect; it fails that many times before it is done."""
    world, info = _NOW[0], activity_info()
    world.begun[word] += 1
    world.keys.setdefault(word, set()).add(info.idempotency_key())
    world.during(info.run, info.idempotency_key(), info.attempt)
    if world.begun[word] <= fails:
        raise OSError("not yet")
    world.done[word] += 1
    return word.upper()


def is_done(word: str) -> bool:
    """What a probe sees."""
    return _NOW[0].done[word] > 0

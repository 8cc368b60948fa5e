"""How much was tried, and how much of it was survived: counted by tests, told at the end of the test run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

PROPERTY = "faults"


class Tally:
    """What one test has tried, by kind."""

    def __init__(self) -> None:
        self._tried: Counter[str] = Counter()
        self._survived: Counter[str] = Counter()

    @contextmanager
    def trying(self, kind: str, count: int = 1) -> Iterator[None]:
        """What happens in the block is tried; it is survived if nothing is raised."""
        self._tried[kind] += count
        yield
        self._survived[kind] += count

    def properties(self) -> list[tuple[str, str]]:
        """As a test report can carry it, also from one process to another."""
        return [(PROPERTY, f"{kind}|{tried}|{self._survived[kind]}") for kind, tried in self._tried.items()]


def told(properties: Iterable[tuple[str, object]]) -> list[str]:
    """The lines for the end of the test run."""
    tried: Counter[str] = Counter()
    survived: Counter[str] = Counter()
    for name, value in properties:
        if name == PROPERTY:
            kind, some, ok = str(value).split("|")
            tried[kind] += int(some)
            survived[kind] += int(ok)
    width = max(map(len, tried), default=0)
    return [f"{kind:{width}}  {tried[kind]:>9,} tried  {survived[kind]:>9,} survived" for kind in sorted(tried)]

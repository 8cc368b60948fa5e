"""Ways: how an open run may go on, one play for each, from its first choice on through the questions behind it.

The first choices come first, then what parts from them at a later question, the earliest first: whoever reads a few of
them has read of what is near.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from dwf.testing.playing import Choice, Played

Play = Callable[[Choice, Sequence[Choice]], Played]


@dataclass(frozen=True)
class Way:
    """One play. first: what the first thing comes to. of: the way that it parts from, None for a first choice."""

    first: Choice
    later: tuple[Choice, ...]
    played: Played
    of: Way | None = None

    @property
    def turned(self) -> list[tuple[str, Choice]]:
        """What comes to something else than yes behind the first choice: the question, and what it comes to."""
        return [(turn.what, turn.chosen) for turn in self.played.turns if turn.chosen is not Choice.YES]


def ways(play: Play, firsts: Sequence[Choice], told: Callable[[Played], Hashable]) -> Iterator[Way]:
    """Way after way, as long as there is another one to go; whoever asks for them knows when it is enough.

    told: what a play is for whoever reads of it. What cannot come to a choice goes as it goes anyway, and is no other
    way, nor is what would part from it.
    """
    seen = set[Hashable]()
    todo: deque[tuple[Choice, tuple[Choice, ...], Way | None]] = deque((first, (), None) for first in firsts)
    while todo:
        first, later, of = todo.popleft()
        way = Way(first, later, play(first, later), of)
        if (told_of := told(way.played)) in seen:
            continue
        seen.add(told_of)
        yield way
        # Of the usual way the first question has been a first choice already.
        begin = max(len(later), 1 if first is Choice.YES else 0)
        for n, turn in enumerate(way.played.turns[begin:], begin):
            as_usual = (*later, *[Choice.YES] * (n - len(later)))
            todo += [(first, (*as_usual, other), way) for other in turn.options if other is not Choice.YES]

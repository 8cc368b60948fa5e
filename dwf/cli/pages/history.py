"""`dwf history`: a line an event, grouped by local day, told by the one table in words.py."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from dwf.cli.screen import Line, Marks, Piece
from dwf.cli.table import cells_of, fitting
from dwf.cli.times import Clock
from dwf.cli.words import Thread, Told
from dwf.core.events import Event, RunBlocked, WorkflowCompleted, WorkflowFailed

# What is left for `what` before `beside` is cut too.
_LEAST_WHAT = 24
_TYPE_WIDTH = 18
_STYLES: dict[type[Event], str] = {RunBlocked: "red bold", WorkflowFailed: "red", WorkflowCompleted: "green"}


class HistoryPage:
    """Lines of one history. Feed it every event once, in order: names of steps are remembered."""

    def __init__(self, clock: Clock, marks: Marks, width: int = 0, *, detailed: bool = False, widest: int = 0) -> None:
        self._clock, self._marks, self._width, self._detailed = clock, marks, width, detailed
        self._thread = Thread(clock)
        self._day = ""
        # What comes while we follow may be wider than all that was there.
        self._type_width = widest or _TYPE_WIDTH

    def tell(self, events: Iterable[Event]) -> list[tuple[Event, Told]]:
        """The events in words, to be chosen from and then given to `lines`."""
        return [(event, self._thread.tell(event)) for event in events]

    def lines(self, told: Iterable[tuple[Event, Told]]) -> Iterator[Line]:
        """Lines, with a heading wherever the day or the offset changes."""
        for event, words in told:
            when = self._clock.of(event.ts)
            day = f"{when:%Y-%m-%d} {when.isoformat()[-6:]}"
            if day != self._day:
                self._day = day
                yield [(day, "bold")]
            yield self._line(event, words, f"{when:%H:%M:%S}")
            if self._detailed:
                yield from _details(event)

    def _line(self, event: Event, words: Told, time: str) -> Line:
        name = type(event).__name__
        self._type_width = max(self._type_width, len(name))
        start = f"{event.id:>4}  {time}  "
        what, beside = words
        if self._width:
            room = self._width - len(start) - self._type_width - 2
            what, beside = self._fit(what, beside, room)
        pieces: list[Piece] = [
            start,
            (name, _STYLES.get(type(event), "")),
            " " * (self._type_width - len(name) + 2),
            what,
        ]
        return [*pieces, "  ", (beside, "dim")] if beside else pieces

    def _fit(self, what: str, beside: str, room: int) -> tuple[str, str]:
        beside_room = cells_of(beside) + 2 if beside else 0
        room = max(room, 1)
        left = min(max(room - beside_room, _LEAST_WHAT), room)
        what = fitting(what, left, self._marks.cut)
        beside = fitting(beside, max(room - cells_of(what) - 2, 0), self._marks.cut)
        return what, beside


def _details(event: Event) -> Iterator[Line]:
    for name, value in fields_of(event).items():
        if name not in ("id", "ts", "type"):
            yield ["        ", (f"{name}: ", "dim"), json.dumps(value, ensure_ascii=False)]


def fields_of(event: Event) -> dict[str, Any]:
    """All recorded fields of an event, as plain data."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(event))
    return found

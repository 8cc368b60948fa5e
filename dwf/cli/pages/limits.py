"""`dwf limits`: a line for each limit, then its steps: those that run, those that wait, the next one first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dwf.cli.screen import Marks, Piece
from dwf.cli.table import Column, table
from dwf.cli.times import Clock, iso

if TYPE_CHECKING:
    from dwf.engine.limiting import Known, Place

_COLUMNS = (Column("LIMIT", 8), Column("COUNTS"), Column("USE"), Column("RUN"), Column("STEP", 8), Column("SINCE"))
_SHOWN = 10


def limit_lines(limits: Sequence[Known], clock: Clock, marks: Marks, width: int) -> list[list[Piece]]:
    """The table, in the order given."""
    rows: list[list[Piece]] = []
    for limit in limits:
        counts = str(limit.bound) if limit.bound is not None else "-"
        use = f"{len(limit.running)} run, {limit.started} began, {len(limit.waiting)} wait"
        rows.append([limit.name, counts + (" (set)" if limit.is_set else ""), use, "", "", ""])
        rows += [_row("runs", place, clock) for place in limit.running[:_SHOWN]]
        rows += [_row(f"waits {i}", place, clock) for i, place in enumerate(limit.waiting[:_SHOWN], 1)]
    return table(_COLUMNS, rows, width, marks.cut) if rows else []


def _row(word: str, place: Place, clock: Clock) -> list[Piece]:
    word += f", pid {place.pid}" if place.pid else ""
    return ["", "", word, place.run, place.step, clock.ago(place.since_us)]


def limit_document(limit: Known) -> dict[str, Any]:
    """One of them for programs. Spans in microseconds."""
    bound = limit.bound
    return {
        "limit": limit.name,
        "at_once": bound.at_once or None if bound is not None else None,
        "rate": bound.rate or None if bound is not None else None,
        "window_us": bound.window_us or None if bound is not None else None,
        "set": limit.is_set,
        "started": limit.started,
        "running": [_place(place) for place in limit.running],
        "waiting": [_place(place) for place in limit.waiting],
    }


def _place(place: Place) -> dict[str, Any]:
    return {"run": place.run, "step": place.step, "since": iso(place.since_us), "pid": place.pid or None}

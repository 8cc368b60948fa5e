"""`dwf timers`: what waits for its time, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dwf.cli.screen import Marks, Piece
from dwf.cli.table import Column, table
from dwf.cli.times import Clock, iso

if TYPE_CHECKING:
    from dwf.engine.timing import Pending

_COLUMNS = (
    *(Column("RUN"), Column("KIND"), Column("NO", right=True)),
    *(Column("PURPOSE", 10), Column("DUE"), Column("LEFT")),
)


def timer_lines(timers: Sequence[Pending], clock: Clock, marks: Marks, width: int) -> list[list[Piece]]:
    """The table, in the order given."""
    rows: list[list[Piece]] = [
        [
            timer.run,
            timer.kind,
            str(timer.command or ""),
            timer.purpose + (" (moved)" if timer.moved else ""),
            clock.full(timer.due_us),
            (clock.left(timer.due_us), "yellow" if timer.due_us < clock.now else ""),
        ]
        for timer in timers
    ]
    return table(_COLUMNS, rows, width, marks.cut)


def timer_document(timer: Pending, clock: Clock) -> dict[str, Any]:
    """One of them for programs."""
    return {
        "run": timer.run,
        "kind": timer.kind,
        "timer": timer.command,
        "purpose": timer.purpose,
        "since": iso(timer.since_us),
        "due": iso(timer.due_us),
        "overdue": timer.due_us < clock.now,
        "moved": timer.moved,
    }

"""`dwf locks`: who holds a lock and who waits for it, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dwf.cli.screen import Marks, Piece
from dwf.cli.table import Column, table
from dwf.cli.times import Clock, iso

if TYPE_CHECKING:
    from dwf.engine.holding import Held, Place

_COLUMNS = (Column("LOCK", 8), Column("HAS IT"), Column("RUN"), Column("SINCE"), Column("STATUS"), Column("LOOK"))


def lock_lines(locks: Sequence[Held], clock: Clock, marks: Marks, width: int) -> list[list[Piece]]:
    """The table: the holders of each lock, then those who wait, the next one first."""
    rows: list[list[Piece]] = []
    for lock in locks:
        places = f"of {lock.slots}" if lock.slots > 1 else ""
        words = [("holds " + places).rstrip()] * len(lock.holders)
        words += [f"waits {number}" for number in range(1, len(lock.queue) + 1)]
        for place, word in zip([*lock.holders, *lock.queue], words, strict=True):
            rows.append([lock.name, word, place.run, clock.ago(place.since_us), place.status, f"dwf show {place.run}"])
    return table(_COLUMNS, rows, width, marks.cut) if rows else []


def lock_document(lock: Held) -> dict[str, Any]:
    """One of them for programs."""
    return {
        "lock": lock.name,
        "slots": lock.slots,
        "holders": [_place(place) for place in lock.holders],
        "queue": [_place(place) for place in lock.queue],
    }


def _place(place: Place) -> dict[str, Any]:
    return {"run": place.run, "since": iso(place.since_us), "status": place.status}

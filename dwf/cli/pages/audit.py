"""`dwf audit`: a line for each act, the oldest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dwf.cli.screen import Piece
from dwf.cli.table import Column, table, wrapped
from dwf.cli.times import Clock

if TYPE_CHECKING:
    from dwf.engine.audit import Act

_COLUMNS = (
    Column("WHEN"),
    Column("WHO", 6),
    Column("WHAT", 8),
    Column("RUN"),
    Column("OUTCOME"),
    Column("REASON", 10),
    Column("WHY", 12),
)
_INDENT = " " * 4
_STYLES = {"done": "green", "posted": "yellow", "late": "red", "refused": "red"}


def audit_lines(acts: Sequence[Act], clock: Clock, width: int, cut_mark: str) -> list[list[Piece]]:
    """The table; `width` 0 is without limit. A column that is empty throughout is left out.

    On a terminal it is told under the line why something was refused: there is no room beside it.
    """
    rows = [_row(act, clock) for act in acts]
    beside = _COLUMNS[:-1] if width else _COLUMNS
    used = [i for i in range(len(beside)) if i < 5 or any(row[i] for row in rows)]
    head, *lines = table([beside[i] for i in used], [[row[i] or "-" for i in used] for row in rows], width, cut_mark)
    if not width:
        return [head, *lines]
    told = [head]
    for act, line in zip(acts, lines, strict=True):
        told.append(line)
        for text in wrapped(act.why, width - len(_INDENT)) if act.why else ():
            told.append([_INDENT, (text, "dim")])
    return told


def _row(act: Act, clock: Clock) -> list[Piece]:
    outcome = (act.outcome, _STYLES.get(act.outcome, ""))
    run = act.run if act.instance == 1 else f"{act.run} ({act.instance})"
    return [clock.full(act.at_us), act.who, act.what, run, outcome, act.reason, act.why]

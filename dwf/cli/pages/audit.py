"""`dwf audit`: a line for each act, the oldest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dwf.cli.screen import Piece
from dwf.cli.table import Column, table
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
_STYLES = {"done": "green", "posted": "yellow", "late": "red", "refused": "red"}


def audit_lines(acts: Sequence[Act], clock: Clock, width: int, cut_mark: str) -> list[list[Piece]]:
    """The table; `width` 0 is without limit. A column that is empty throughout is left out."""
    rows = [_row(act, clock) for act in acts]
    used = [i for i in range(len(_COLUMNS)) if i < 5 or any(row[i] for row in rows)]
    columns = [_COLUMNS[i] for i in used]
    return table(columns, [[row[i] or "-" for i in used] for row in rows], width, cut_mark)


def _row(act: Act, clock: Clock) -> list[Piece]:
    outcome = (act.outcome, _STYLES.get(act.outcome, ""))
    run = act.run if act.instance == 1 else f"{act.run} ({act.instance})"
    return [clock.full(act.at_us), act.who, act.what, run, outcome, act.reason, act.why]

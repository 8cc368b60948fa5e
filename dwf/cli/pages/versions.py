"""`dwf versions` and `dwf patches`: a line for each code that runs are on, or each patch, and whether it may go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dwf.cli.screen import Piece
from dwf.cli.table import Column, table
from dwf.cli.times import Clock, iso
from dwf.cli.words import script_name
from dwf.engine.versions import LIVE

if TYPE_CHECKING:
    from dwf.engine.patches import Needed
    from dwf.engine.versions import Version

_COLUMNS = (
    Column("SCRIPT", 8),
    Column("CODE"),
    Column("FIRST"),
    Column("LAST"),
    Column("OPEN", right=True),
    Column("CLOSED", right=True),
    Column("PYTHON", 6),
    Column("STATE", 8),
)


def version_lines(found: Sequence[Version], clock: Clock, width: int, cut: str) -> list[list[Piece]]:
    """The table, in the order given."""
    return table(_COLUMNS, [_row(version, clock) for version in found], width, cut) if found else []


def _row(version: Version, clock: Clock) -> list[Piece]:
    return [
        script_name(version.script),
        version.code[:7],
        clock.ago(version.first_us),
        clock.ago(version.last_us),
        str(len(version.open)),
        str(version.closed),
        ", ".join(sorted({python.rpartition(".")[0] for python in version.python} - {""})),
        state_of(version),
    ]


def state_of(version: Version) -> str:
    """What that code is needed for, in words."""
    if version.code == LIVE:
        return "the file as it is"
    if version.current:
        return "current"
    if version.open:
        return "in use"
    return "can be dropped" if version.is_done else "no open run"


def version_document(version: Version) -> dict[str, Any]:
    """One of them for programs."""
    return {
        "script": version.script,
        "code": version.code,
        "first_started": iso(version.first_us),
        "last_started": iso(version.last_us),
        "open": version.open,
        "closed": version.closed,
        "current": version.current,
        "droppable": version.is_done,
        "python": sorted(version.python - {""}),
        "dwf": sorted(version.dwf - {""}),
        "packages": {name: sorted(found) for name, found in sorted(version.packages.items())},
    }


_PATCHES = (Column("PATCH", 8), Column("AT", 8), Column("ADVICE"), Column("WHY", 16))


def patch_lines(found: Sequence[Needed], width: int, cut: str) -> list[list[Piece]]:
    """The table of patches, in the order given."""
    rows: list[list[Piece]] = []
    for needed in found:
        at = ", ".join([*needed.patch.asked, *needed.patch.deprecated])
        rows.append([needed.patch.name, at, needed.advice, needed.why])
    return table(_PATCHES, rows, width, cut) if rows else []


def patch_document(needed: Needed) -> dict[str, Any]:
    """One of them for programs."""
    return {
        "patch": needed.patch.name,
        "asked_at": needed.patch.asked,
        "deprecated_at": needed.patch.deprecated,
        "advice": needed.advice,
        "old": needed.old,
        "marked": needed.marked,
        "may": needed.may,
    }

"""`dwf versions`, `routes` and `patches`: a line for each code that runs are on, that starts take, for each patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from dwf.cli.phrases import person, script_name
from dwf.cli.screen import Piece
from dwf.cli.table import Column, table
from dwf.cli.times import Clock, iso
from dwf.core.duration import unstamp
from dwf.engine.versions import ALL, LIVE

if TYPE_CHECKING:
    from dwf.engine.patches import Needed
    from dwf.engine.versions import Version
    from dwf.store.routes import Route

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
    if version.starts:
        return "current" if version.current and version.starts == ALL else f"{version.starts} % of new starts"
    if version.current:
        return "in the file only"
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
        "starts": version.starts,
        "droppable": version.is_done,
        "python": sorted(version.python - {""}),
        "dwf": sorted(version.dwf - {""}),
        "packages": {name: sorted(found) for name, found in sorted(version.packages.items())},
    }


_ROUTES = (
    Column("SCRIPT", 8),
    Column("KEPT"),
    Column("STARTS", right=True),
    Column("FILE", right=True),
    Column("SINCE"),
    Column("BY"),
    Column("REASON", 8),
)


def route_lines(found: Sequence[Route], clock: Clock, width: int, cut: str) -> list[list[Piece]]:
    """The table of routes, in the order given; with the whole paths where there is room (width 0)."""
    return table(_ROUTES, [_route_row(route, clock, whole=not width) for route in found], width, cut) if found else []


def _route_row(route: Route, clock: Clock, *, whole: bool) -> list[Piece]:
    share = [f"{100 - route.ramp} %", f"{route.ramp} %"]
    since = clock.ago(unstamp(route.at))
    return [
        route.script if whole else script_name(route.script),
        route.code[:7],
        *share,
        since,
        person(route.by),
        route.reason,
    ]


def route_document(route: Route) -> dict[str, Any]:
    """One of them for programs."""
    return {
        "script": route.script,
        "kept": route.code,
        "ramp": route.ramp,
        "at": route.at,
        "by": to_builtins(route.by),
        "reason": route.reason,
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

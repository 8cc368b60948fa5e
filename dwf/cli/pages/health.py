"""`dwf doctor`: a line for each finding, and under it what to type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dwf.cli.screen import Line, Piece
from dwf.cli.table import wrapped

if TYPE_CHECKING:
    from dwf.engine.doctor import Finding

_STYLES = {"ok": "green", "warn": "yellow", "bad": "red bold", "fixed": "cyan"}
_GRADE_WIDTH, _LEAST = 7, 20


def doctor_lines(findings: Sequence[Finding], done: Sequence[str], width: int) -> list[Line]:
    """What was mended, then every finding; `width` 0 is without limit."""
    widest = max((len(finding.check) for finding in findings), default=0) + 2
    lines: list[Line] = []
    for text in done:
        lines += _told("fixed", "", text, "", widest, width)
    for f in findings:
        lines += _told(f.grade.value, f.check, f.what, f.type, widest, width)
    return lines


def _told(grade: str, check: str, what: str, type_: str, widest: int, width: int) -> list[Line]:
    indent = _GRADE_WIDTH + widest
    room = max(width - indent, _LEAST) if width else 0
    first, *more = wrapped(what, room)
    lead: list[Piece] = [(f"{grade.upper():{_GRADE_WIDTH}}", _STYLES[grade]), f"{check:{widest}}", first]
    rest: list[Line] = [[" " * indent, line] for line in more]
    # A command is never broken: it is there to be copied.
    command: list[Line] = [[" " * indent, ("type: ", "cyan"), type_]] if type_ else []
    return [lead, *rest, *command]


def doctor_document(findings: Iterable[Finding], done: Iterable[str]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "schema": "dwf.doctor/1",
        "fixed": list(done),
        "findings": [finding_document(finding) for finding in findings],
    }


def finding_document(finding: Finding) -> dict[str, Any]:
    """One finding for programs."""
    return {"check": finding.check, "grade": finding.grade.value, "what": finding.what, "type": finding.type}


def verdict(findings: Iterable[Finding]) -> str:
    """All of it in a few words."""
    grades = [finding.grade.value for finding in findings]
    bad, warned = grades.count("bad"), grades.count("warn")
    if not bad and not warned:
        return "all is well"
    words = [f"{bad} bad" if bad else "", f"{warned} to look at" if warned else ""]
    return ", ".join(filter(None, words)) + "; dwf help health explains each"

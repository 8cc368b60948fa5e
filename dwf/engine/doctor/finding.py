"""What a check says: well, take care, or bad, in one line, with the command to type. Data only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dwf.engine.doctor.patient import Patient


class Grade(Enum):
    """BAD: something does not work, or will be lost, before somebody acts. WARN: somebody should look."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found. `type`: the command that helps, "" where nothing has to be done."""

    check: str
    grade: Grade
    what: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One question. `look` answers with what is not as it should be; with nothing if all is `well`.

    anywhere: it can be asked before there is a state directory.
    """

    name: str
    look: Callable[[Patient], list[Finding]]
    well: str
    anywhere: bool = False


def warn(check: str, what: str, type: str = "") -> Finding:  # noqa: A002 - what the person types
    return Finding(check, Grade.WARN, what, type)


def bad(check: str, what: str, type: str = "") -> Finding:  # noqa: A002
    return Finding(check, Grade.BAD, what, type)


def several(count: int, one: str, many: str) -> str:
    """`1 file`, `3 files`."""
    return f"{count} {one if count == 1 else many}"

"""What all events share: five roles, one record, and the rule that names and fields are added to, never renamed."""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from dwf.core.parts import Part

FORMAT = 1


class Role(Enum):
    LIFECYCLE = "lifecycle"
    OPENING = "opening"
    CLOSING = "closing"
    INPUT = "input"
    PROGRESS = "progress"


class Event(Part, frozen=True, kw_only=True, tag_field="type"):
    """`id` is the line number from 1; `ts` is UTC, RFC 3339, six decimals. Zero and empty: not recorded yet."""

    role: ClassVar[Role]
    id: int = 0
    ts: str = ""

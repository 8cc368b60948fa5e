"""Opening events of what holds several steps together: sagas with their undo ledger, and fan-outs."""

# ruff: noqa: RUF012 - msgspec gives each record its own copy of a mutable default

from __future__ import annotations

from dwf.core.events.openings import Opening, StepCall


class UndoRecorded(StepCall, frozen=True, kw_only=True):
    """How a step can be taken back, recorded before that step begins. `of` names the step for people."""

    of: str


class UndoSettled(Opening, frozen=True, kw_only=True):
    """Its step has ended. `due`: there is something to take back if it comes to that; else the entry is dropped."""

    matched = ("undo", "due")
    undo: int
    due: bool = False


class CompensationStarted(Opening, frozen=True, kw_only=True):
    """A saga takes back what it has done: the entries `undos`, in that order. Their steps have `part_of` set."""

    matched = ("undos",)
    why: str
    undos: list[int] = []


class FanOutStarted(Opening, frozen=True, kw_only=True):
    """One step for each of many items; those steps have `part_of` set. `tolerated`: how many may fail.

    `stages`: how many items have begun when each stage is over; the last is all.
    """

    matched = ("name", "items")
    name: str
    items: int
    tolerated: int = 0
    stages: list[int] = []


class ItemCarried(Opening, frozen=True, kw_only=True):
    """An item that was done in the run that this one follows: its result came with line 1, and no step is run."""

    matched = ("part_of", "name", "fingerprint")
    part_of: int
    name: str
    fingerprint: str

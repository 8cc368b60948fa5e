"""Exit codes: the one table. Shells and monitoring depend on it, so a number never changes its meaning.

An error brings its own number (dwf/errors.py); what is in here besides is how a *run* that was asked about translates
into one, and the words of `dwf help exit-codes`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dwf.core.state import RunState, Status


class Exit(IntEnum):
    """What the process says to its parent when it ends."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNFINISHED = 3
    NOT_FOUND = 4
    NEEDS_PERSON = 5
    CANCELLED = 6
    WRONG_STATE = 7
    CONFLICT = 9
    DAMAGED = 65
    INTERNAL = 70
    CANNOT_CREATE = 73
    DISK = 74
    BUSY = 75
    NOT_PERMITTED = 77
    CONFIGURATION = 78
    TIMEOUT = 124


MEANINGS: dict[Exit, str] = {
    Exit.OK: "it worked; also a run that is degraded, and a tick that found nothing to do",
    Exit.FAILED: "what was asked about failed: the run, a run in the list, a run of this tick",
    Exit.USAGE: "a word on the command line is wrong, or a script cannot be loaded; nothing was changed",
    Exit.UNFINISHED: "the run is not finished yet",
    Exit.NOT_FOUND: "there is no such run, script, workflow, step or topic",
    Exit.NEEDS_PERSON: "the run waits for a person: an approval, or it is blocked or paused",
    Exit.CANCELLED: "the run was cancelled or terminated",
    Exit.WRONG_STATE: "too late or too early: the run is closed or moved away, the question answered or not asked",
    Exit.CONFLICT: "the id is in use",
    Exit.DAMAGED: "a history is damaged, written by a newer dwf, or cannot be replayed with its script",
    Exit.INTERNAL: "a fault of dwf itself; please report it",
    Exit.CANNOT_CREATE: "the state directory, or a file in it, cannot be made",
    Exit.DISK: "the disk: full, read-only, an I/O error; nothing was acknowledged",
    Exit.BUSY: "somebody else works on the run just now; try again later",
    Exit.NOT_PERMITTED: "this user may not do that",
    Exit.CONFIGURATION: "dwf refuses to work with this directory or environment",
    Exit.TIMEOUT: "the time given with --timeout ran out",
}
SIGNAL_BASE = 128
SIGNAL_MEANING = "ended by signal n: 130 for Ctrl-C, 143 for SIGTERM, 141 when the reader of a pipe went away"


def by_signal(number: int) -> int:
    """The code of a process that a signal ended."""
    return SIGNAL_BASE + number


def of_status(status: Status, *, asks_person: bool = False) -> Exit:
    """How a run in this status answers `wait`, `run`, `result` and `show --exit-status`."""
    if asks_person:
        return Exit.NEEDS_PERSON
    return _BY_STATUS.get(status.value, Exit.UNFINISHED)


def of_run(status: Status, state: RunState | None) -> Exit:
    """The same, for a whole run: one that waits for an approval needs a person."""
    return of_status(status, asks_person=status.value == "waiting" and state is not None and state.asks_person)


def worst(codes: Iterable[Exit]) -> Exit:
    """One code for several runs: the gravest that any of them has."""
    found = set(codes)
    return next((code for code in _GRAVEST_FIRST if code in found), Exit.OK)


# By word, so that this table costs no import of the events.
_BY_STATUS = {
    "completed": Exit.OK,
    "degraded": Exit.OK,
    "failed": Exit.FAILED,
    "cancelled": Exit.CANCELLED,
    "terminated": Exit.CANCELLED,
    "timed-out": Exit.FAILED,
    "moved": Exit.WRONG_STATE,
    "imported": Exit.WRONG_STATE,
    "blocked": Exit.NEEDS_PERSON,
    "paused": Exit.NEEDS_PERSON,
    "corrupt": Exit.DAMAGED,
    "newer": Exit.DAMAGED,
    "running": Exit.UNFINISHED,
    "waiting": Exit.UNFINISHED,
}
_GRAVEST_FIRST = (
    Exit.INTERNAL,
    Exit.CONFIGURATION,
    Exit.CANNOT_CREATE,
    Exit.DISK,
    Exit.DAMAGED,
    Exit.NOT_PERMITTED,
    Exit.FAILED,
    Exit.CANCELLED,
    Exit.CONFLICT,
    Exit.WRONG_STATE,
    Exit.BUSY,
    Exit.NEEDS_PERSON,
    Exit.NOT_FOUND,
    Exit.USAGE,
    Exit.UNFINISHED,
    Exit.TIMEOUT,
)

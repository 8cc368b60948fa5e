"""The doctor: finds what is wrong with a state directory and what is around it, and says what to type.

    finding.py    what a check says
    patient.py    what the checks look at; each history is read once
    place.py      the directory: owner, modes, file system, locks, room
    driving.py    the clock, the last tick, who calls the next, dwf's own start
    files.py      histories, index, what was left behind
    open_runs.py  steps, code, runs that are stuck or blocked
    mending.py    what is safe to mend

A check is a function from a patient to findings, and a line in CHECKS. It changes nothing. What it cannot look at is a
finding, too, and never keeps the other checks from theirs.
"""

from __future__ import annotations

from dwf.engine.doctor import driving, files, open_runs, place
from dwf.engine.doctor.finding import Check, Finding, Grade, bad
from dwf.engine.doctor.mending import mend
from dwf.engine.doctor.patient import Limits, Patient
from dwf.errors import DwfError

__all__ = ["CHECKS", "Check", "Finding", "Grade", "Limits", "Patient", "examine", "mend"]

CHECKS: tuple[Check, ...] = (
    Check("directory", place.directory, "it is yours alone, and of this machine"),
    Check("contents", place.contents, "everything in it is yours, and closed to others"),
    Check("file-system", place.file_system, "it lies on a local file system"),
    Check("locks", place.locks, "a lock that is held keeps others out"),
    Check("space", place.space, "there is room on the disk"),
    Check("clock", driving.clock, "the clock fits what was recorded"),
    Check("tick", driving.tick, "", anywhere=True),
    Check("paused", driving.held_back, "no workflow is paused"),
    Check("histories", files.histories, "every history can be read to its end"),
    Check("index", files.index, "the index says what the histories say"),
    Check("steps", open_runs.steps, "no step was left behind"),
    Check("code", open_runs.code, "the script of every open run and every route is there"),
    Check("stuck", open_runs.stuck, "every open run has a way to go on"),
    Check("blocked", open_runs.blocked, "no run is blocked"),
    Check("leftovers", files.leftovers, "nothing was left behind"),
    Check("hooks", driving.hooks, "every hook can be called, and was told"),
    Check("start-up", driving.start_up, "", anywhere=True),
)


def examine(patient: Patient) -> list[Finding]:
    """Every check, in the order of the table."""
    checks = [check for check in CHECKS if check.anywhere or patient.exists]
    found = [] if patient.exists else [_nothing_yet(patient)]
    for check in checks:
        found += _asked(check, patient)
    return found


def _nothing_yet(patient: Patient) -> Finding:
    what = f"nothing was started in {patient.home} yet; the first start makes it"
    return Finding("directory", Grade.OK, what)


def _asked(check: Check, patient: Patient) -> list[Finding]:
    try:
        found = check.look(patient)
    except DwfError as error:
        return [bad(check.name, f"cannot be checked: {error.message}", error.hint or "")]
    except OSError as error:
        return [bad(check.name, f"cannot be checked: {error}", "")]
    return found or [Finding(check.name, Grade.OK, check.well)]

from __future__ import annotations

import inspect

import pytest

import dwf.errors
from dwf.cli.exits import MEANINGS, Exit, by_signal, of_run, of_status, worst
from dwf.core.state import Status
from dwf.errors import DwfError
from tests.cli.told import history, rotation, started, state_of

NUMBERS = {
    "OK": 0,
    "FAILED": 1,
    "USAGE": 2,
    "UNFINISHED": 3,
    "NOT_FOUND": 4,
    "NEEDS_PERSON": 5,
    "CANCELLED": 6,
    "WRONG_STATE": 7,
    "CONFLICT": 9,
    "DAMAGED": 65,
    "INTERNAL": 70,
    "CANNOT_CREATE": 73,
    "DISK": 74,
    "BUSY": 75,
    "NOT_PERMITTED": 77,
    "CONFIGURATION": 78,
    "TIMEOUT": 124,
}
STATUSES = {
    Status.COMPLETED: 0,
    Status.FAILED: 1,
    Status.RUNNING: 3,
    Status.WAITING: 3,
    Status.BLOCKED: 5,
    Status.PAUSED: 5,
    Status.CANCELLED: 6,
    Status.TERMINATED: 6,
    Status.TIMED_OUT: 1,
    Status.DEGRADED: 0,
    Status.CONTINUED: 3,
    Status.MOVED: 7,
    Status.IMPORTED: 7,
    Status.CORRUPT: 65,
    Status.NEWER: 65,
}


@pytest.mark.parametrize(("name", "number"), NUMBERS.items())
def test_a_number_never_changes_its_meaning(name: str, number: int) -> None:
    assert Exit[name] == number
    assert MEANINGS[Exit(number)]


def test_the_table_has_no_number_that_is_not_promised() -> None:
    assert {code.name: int(code) for code in Exit} == NUMBERS
    assert set(MEANINGS) == set(Exit)


@pytest.mark.parametrize(("status", "number"), STATUSES.items())
def test_every_status_has_its_exit_code(status: Status, number: int) -> None:
    assert of_status(status) == number


def test_every_status_is_in_the_table() -> None:
    assert set(STATUSES) == set(Status)


def test_a_run_that_waits_for_an_approval_needs_a_person() -> None:
    state = state_of(rotation())

    assert of_run(state.status, state) is Exit.NEEDS_PERSON


def test_a_run_that_waits_for_time_is_not_finished() -> None:
    state = state_of(history(started(start_at="2027-01-01T00:00:00.000000Z")))

    assert of_run(state.status, state) is Exit.UNFINISHED


def test_a_signal_is_128_and_its_number() -> None:
    assert (by_signal(2), by_signal(13), by_signal(15)) == (130, 141, 143)


def test_of_several_runs_the_gravest_counts() -> None:
    assert worst([]) is Exit.OK
    assert worst([Exit.OK, Exit.UNFINISHED]) is Exit.UNFINISHED
    assert worst([Exit.CANCELLED, Exit.FAILED, Exit.OK]) is Exit.FAILED
    assert worst([Exit.FAILED, Exit.DAMAGED]) is Exit.DAMAGED
    assert worst([Exit.NOT_FOUND, Exit.WRONG_STATE, Exit.BUSY]) is Exit.WRONG_STATE
    for code in Exit:
        assert worst([Exit.OK, code]) is code


def errors() -> list[type[DwfError]]:
    return [c for _, c in inspect.getmembers(dwf.errors, inspect.isclass) if issubclass(c, DwfError)]


@pytest.mark.parametrize("error", errors(), ids=lambda e: e.__name__)
def test_every_error_ends_with_a_number_of_the_table(error: type[DwfError]) -> None:
    assert Exit(error.exit_code) in MEANINGS

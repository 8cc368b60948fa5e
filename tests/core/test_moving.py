"""A run that moves: which copy is open, and what stays as it was."""

from __future__ import annotations

import msgspec
import pytest

from dwf.core import events as ev
from dwf.core.state import STANDING, Status, fold
from tests.core.driver import Fake, act

ME = ev.Identity(uid=1000, login="anna")
STARTED = ev.WorkflowStarted(id=1, run="r1", nonce="n", workflow="w", script="s.py", code="c0de", code_owner=4711)
MOVED, ADOPTED = ev.RunMoved(to="/tmp/r1.dwf", by=ME), ev.RunAdopted(by=ME)
TIMER = ev.TimerStarted(command=1, fire_at="2026-11-22T15:02:11.000000Z")


def folded(*bodies: ev.Event) -> list[ev.Event]:
    return [msgspec.structs.replace(body, id=number) for number, body in enumerate((STARTED, *bodies), 1)]


@pytest.mark.parametrize(
    ("bodies", "status"),
    [
        ((TIMER, MOVED), Status.MOVED),
        ((TIMER, MOVED, ADOPTED), Status.WAITING),
        ((TIMER, MOVED, ADOPTED, MOVED), Status.MOVED),
        ((TIMER, MOVED, ev.RunImported()), Status.IMPORTED),
        ((TIMER, ev.RunImported()), Status.IMPORTED),
        ((ev.RunBlocked(code="script-bug", message="x"), MOVED), Status.MOVED),
        ((ev.RunBlocked(code="script-bug", message="x"), MOVED, ADOPTED), Status.BLOCKED),
        ((ev.WorkflowCompleted(), ev.RunImported()), Status.COMPLETED),
        ((ev.WorkflowTerminated(), ev.RunImported()), Status.TERMINATED),
    ],
)
def test_a_copy_is_open_where_it_was_taken_up_and_nowhere_else(bodies: tuple[ev.Event, ...], status: Status) -> None:
    state = fold(folded(*bodies))

    assert state.status is status
    assert (state.ended is not None) == status.closed


@pytest.mark.parametrize("kind", STANDING, ids=lambda kind: kind.__name__)
def test_what_decides_whether_a_history_is_open_can_be_folded_alone(kind: type[ev.Event]) -> None:
    """Both ends of a file are enough to tell."""
    needed = {
        ev.WorkflowFailed: {"error": ev.ErrorInfo(type="E", message="m")},
        ev.WorkflowTimedOut: {"due": "2026-01-01T00:00:00.000000Z"},
    }
    event = kind(**needed.get(kind, {}))

    assert fold(folded(TIMER, event)).status.closed == fold([STARTED, event]).status.closed


def test_whoever_takes_a_run_up_vouches_for_its_code() -> None:
    assert fold(folded(MOVED)).code_owner == 4711
    assert fold(folded(MOVED, ADOPTED)).code_owner == 1000


def test_the_script_does_not_learn_that_it_was_moved() -> None:
    async def main() -> str:
        return f"{await act('a')}, {await act('b')}"

    with Fake(main) as run:
        run.complete("a")
        asked = len(run.events)
        run.note(ev.RunMoved(to="/tmp/r1.dwf"))
        run.note(ev.RunAdopted())
        assert len(run.events) == asked + 2
        run.complete("b")
        run.prove()

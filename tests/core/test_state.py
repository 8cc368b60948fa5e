"""The fold: what people and the engine are told of a history is what its script is waiting for."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

import dwf
from dwf.core import events as ev
from dwf.core.duration import SECOND, stamp, unstamp
from dwf.core.events import EVENT_TYPES, Role
from dwf.core.state import DONE_KEPT, RunState, Status, fold
from tests.core.driver import BEGIN_US, Fake, act, started


async def busy() -> None:
    waits = [
        act("a"),
        act("b"),
        dwf.sleep("1h", "the window"),
        dwf.wait_signal("go"),
        dwf.approve("go on?", timeout="2h"),
    ]
    await asyncio.gather(*waits)


def test_everything_that_is_open_is_known_by_its_number() -> None:
    with Fake(busy) as run:
        state = run.state()
        assert (list(state.steps), list(state.timers), list(state.signal_waits), list(state.approvals)) == (
            [1, 2],
            [3],
            [4],
            [5],
        )
        assert state.timers[3].started.purpose == "the window"
        run.complete("a")
        run.fire()
        run.signal("go")
        run.deliver(ev.ApprovalResolved(command=5, outcome="approved"))
        assert list(state.steps) == [2] and not (state.timers or state.signal_waits or state.approvals)
        run.fail("b")
        assert state.steps == {} and state.status is Status.RUNNING
        run.note(run.outcome)
        assert state.status is Status.FAILED and state.status.closed


def test_a_run_is_due_when_the_first_of_its_times_comes() -> None:
    with Fake(busy) as run:
        state = run.state()
        assert state.next_due_us() == BEGIN_US + 3600 * SECOND
        run.note(ev.ActivityStarted(command=1, attempt=1))
        assert state.next_due_us() == BEGIN_US + 3600 * SECOND
        retry_at = stamp(BEGIN_US + 60 * SECOND)
        failed = ev.ErrorInfo(type="E", message="no")
        run.note(ev.ActivityAttemptFailed(command=1, attempt=1, error=failed, retry_at=retry_at))
        assert state.next_due_us() == unstamp(retry_at)
        run.fire()
        run.deliver(ev.ActivityCompleted(command=1))
        assert state.next_due_us() == BEGIN_US + 7200 * SECOND


def test_a_step_goes_from_runnable_to_running_to_waiting_for_its_next_attempt() -> None:
    async def main() -> None:
        await act("a")

    with Fake(main) as run:
        state = run.state()
        assert not state.steps[1].rests and state.status is Status.RUNNING
        run.note(ev.ActivityStarted(command=1, attempt=1, pid=5))
        assert state.steps[1].started is not None and state.status is Status.RUNNING
        error = ev.ErrorInfo(type="E", message="no")
        run.note(ev.ActivityAttemptFailed(command=1, attempt=1, error=error, retry_at=stamp(BEGIN_US + SECOND)))
        step = state.steps[1]
        assert (step.attempts, step.last_error, step.started) == (1, error, None)
        assert state.status is Status.WAITING and state.steps[1].rests
        run.note(ev.ActivityStarted(command=1, attempt=2))
        run.now_us += 3 * SECOND
        run.complete("a")
        done = state.done[-1]
        assert (done.title, done.outcome, done.attempts, done.took_us) == ("a", "completed", 2, 3 * SECOND + 1)


def test_a_request_to_end_is_noted_at_the_step() -> None:
    async def main() -> None:
        await act("a")

    with Fake(main) as run:
        run.cancel("enough")
        assert run.state().steps[1].cancel_requested
        assert run.state().cancel is not None and run.state().cancel.reason == "enough"


def test_a_blocked_run_is_blocked_until_it_goes_on() -> None:
    with Fake(busy) as run:
        run.note(ev.RunBlocked(code="script-bug", message="typo"))
        assert run.state().status is Status.BLOCKED
        run.note(ev.RunUnblocked())
        assert run.state().status is Status.RUNNING
        run.note(ev.RunBlocked(code="script-bug", message="typo"))
        run.note(ev.WorkflowTerminated(reason="enough"))
        assert run.state().status is Status.TERMINATED and run.state().blocked is None


def test_a_start_that_lies_ahead_is_waited_for_whatever_news_there_is() -> None:
    later = stamp(BEGIN_US + 60 * SECOND)
    state = fold([started(start_at=later)])
    assert state.status is Status.WAITING and state.next_due_us() == unstamp(later)
    state.apply(ev.CodeUpgraded(id=2, ts=stamp(BEGIN_US), code="c", script="s"))
    assert state.status is Status.WAITING and state.next_due_us() == unstamp(later) and not state.begun
    state.apply(ev.StatusChanged(id=3, ts=later, command=1, text="on"))
    assert state.status is Status.RUNNING and state.next_due_us() is None and state.begun


def test_messages_are_remembered_by_id_whatever_they_brought() -> None:
    with Fake(busy) as run:
        run.deliver(ev.SignalReceived(name="x", message="m1"))
        run.deliver(ev.CancelRequested(message="m2"))
        run.note(ev.ApprovalAnswered(command=5, answer="approve", message="m3"))
        assert run.state().messages == {"m1", "m2", "m3"}


def test_answers_gather_at_their_question() -> None:
    with Fake(busy) as run:
        for message, answer in enumerate(("approve", "reject", "approve")):
            run.note(ev.ApprovalAnswered(command=5, answer=answer, message=str(message)))
        approval = run.state().approvals[5]
        assert len(approval.given("approve")) == 2 and len(approval.given("reject")) == 1


def test_new_code_is_what_counts_from_then_on() -> None:
    state = fold([started()])
    state.apply(ev.CodeUpgraded(id=2, ts=stamp(BEGIN_US), code="new", script="new.py", code_owner=5))
    assert (state.code, state.script, state.code_owner) == ("new", "new.py", 5)


def test_a_long_history_folds_in_bounded_memory() -> None:
    async def main() -> None:
        for _ in range(100):
            await act("a")

    with Fake(main) as run:
        for number in range(1, 101):
            run.complete(number)
        assert len(run.state().done) == DONE_KEPT and run.state().steps_done == 100


@pytest.mark.parametrize("cut", range(1, 12))
def test_the_fold_of_any_prefix_is_the_fold_on_the_way(cut: int) -> None:
    with Fake(busy) as run:
        run.complete("a")
        run.fire()
        run.signal("go")
        run.cancel()
        whole = RunState()
        for event in run.events[:cut]:
            whole.apply(event)
        assert vars(fold(run.events[:cut])) == vars(whole)


# -- events as data -------------------------------------------------------------------------------------------------


def test_every_event_has_a_role_and_a_name_that_stays() -> None:
    """Names and roles are persisted: to change one here is to break every history there is."""
    by_role = {role: sorted(n for n, cls in EVENT_TYPES.items() if cls.role is role) for role in Role}
    assert by_role == {
        Role.LIFECYCLE: [
            "WorkflowCancelled",
            "WorkflowCompleted",
            "WorkflowContinuedAsNew",
            "WorkflowFailed",
            "WorkflowStarted",
            "WorkflowTerminated",
            "WorkflowTimedOut",
        ],
        Role.OPENING: [
            "ActivityCancelRequested",
            "ActivityScheduled",
            "ApprovalRequested",
            "ApprovalWithdrawn",
            "CallbackOpened",
            "CallbackWithdrawn",
            "ChildWorkflowRequested",
            "CompensationStarted",
            "FanOutStarted",
            "ItemCarried",
            "LockReleased",
            "LockRequested",
            "MemoChanged",
            "MessageRequested",
            "RunDegraded",
            "SideEffectRecorded",
            "SignalWaitClosed",
            "SignalWaitOpened",
            "SignalsTaken",
            "StatusChanged",
            "TagsChanged",
            "TimerCancelled",
            "TimerStarted",
            "UndoRecorded",
            "UndoSettled",
            "UpdateCompleted",
            "UpdateFailed",
            "VersionMarkerRecorded",
        ],
        Role.CLOSING: [
            "ActivityCancelled",
            "ActivityCompleted",
            "ActivityFailed",
            "ActivityTimedOut",
            "ApprovalResolved",
            "CallbackCompleted",
            "CallbackFailed",
            "CallbackTimedOut",
            "ChildWorkflowCancelled",
            "ChildWorkflowCompleted",
            "ChildWorkflowFailed",
            "LockAcquired",
            "MessageRefused",
            "MessageSent",
            "TimerFired",
        ],
        Role.INPUT: ["CancelRequested", "DeadlinePassed", "SignalReceived", "UpdateAccepted"],
        Role.PROGRESS: [
            "ActivityAttemptFailed",
            "ActivityOptionsChanged",
            "ActivityOverruled",
            "ActivityPaused",
            "ActivityReset",
            "ActivityRetryRequested",
            "ActivityStarted",
            "ActivityUnknown",
            "ActivityUnpaused",
            "ApprovalAnswered",
            "CallbackHeartbeat",
            "CodeRefused",
            "CodeUpgraded",
            "HandlersRegistered",
            "HistoryRepaired",
            "LineLeftOut",
            "RunAdopted",
            "RunBlocked",
            "RunImported",
            "RunMoved",
            "RunPaused",
            "RunResumed",
            "RunUnblocked",
            "TimerMoved",
        ],
    }


@pytest.mark.parametrize("name", [n for n, cls in EVENT_TYPES.items() if cls.role is Role.OPENING])
def test_what_replay_compares_are_fields(name: str) -> None:
    cls = EVENT_TYPES[name]
    assert cls.matched and set(cls.matched) <= set(cls.__struct_fields__)  # type: ignore[attr-defined]


def test_events_survive_json_and_leave_out_what_is_not_said() -> None:
    with Fake(busy) as run:
        run.complete("a", {"x": [1]})
        run.cancel("enough")
        for event in run.events:
            line = msgspec.json.encode(event)
            assert msgspec.json.decode(line, type=type(event)) == event
            assert b'""' not in line and b":0" not in line

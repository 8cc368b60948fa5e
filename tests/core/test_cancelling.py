"""Cancelling: what is asked to end is waited for, the first request counts, and cleanups run to their end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import dwf
from dwf.core import events as ev
from dwf.errors import ActivityCancelled, ActivityTimeout, NondeterminismError, WaitsForNothing
from tests.core.driver import Fake, act, program, replayed


async def with_cleanup() -> None:
    try:
        await act("switch")
    except asyncio.CancelledError:
        await act("undo")
        raise


def test_cancelling_a_step_waits_for_its_end_so_that_no_cleanup_runs_beside_it() -> None:
    with Fake(with_cleanup) as run:
        run.cancel()
        assert run.asked == ["act switch", "cancel 1"]
        run.end_cancelled("switch")
        assert run.asked == ["act switch", "cancel 1", "act undo"]
        run.complete("undo")
        assert isinstance(run.outcome, ev.WorkflowCancelled)
        run.prove()


def test_a_second_cancel_does_not_kill_the_cleanup_of_the_first() -> None:
    with Fake(with_cleanup) as run:
        run.cancel("enough")
        run.cancel("enough!")
        run.end_cancelled("switch")
        run.cancel("ENOUGH")
        assert run.outcome is None
        run.complete("undo")
        assert run.outcome.reason == "enough"
        assert run.asked == ["act switch", "cancel 1", "act undo"]
        run.prove()


def test_a_step_that_completed_after_all_leaves_its_result_on_the_cancellation() -> None:
    async def main() -> Any:
        try:
            await act("switch")
        except asyncio.CancelledError as error:
            return error.args[0]

    with Fake(main) as run:
        run.cancel()
        run.complete("switch", {"moved": 3})
        assert run.result == {"moved": 3}
        run.prove()


@pytest.mark.parametrize("end", ["end_cancelled", "fail", "complete"])
def test_whatever_the_step_comes_to_the_cancellation_is_raised(end: str) -> None:
    async def main() -> str:
        try:
            await act("switch")
        except asyncio.CancelledError:
            return "cancelled"
        return "not"

    with Fake(main) as run:
        run.cancel()
        getattr(run, end)("switch")
        assert run.result == "cancelled"


def test_a_step_is_asked_to_end_once_however_often_it_is_cancelled() -> None:
    async def main() -> None:
        task = asyncio.create_task(act("a"))
        await act("b")
        task.cancel()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    with Fake(main) as run:
        run.complete("b")
        assert run.asked == ["act b", "act a", "cancel 2"]
        run.end_cancelled("a")
        run.prove()


def test_a_step_that_an_operator_cancelled_is_an_error_and_no_cancellation() -> None:
    async def main() -> str:
        try:
            await act("a")
        except ActivityCancelled as error:
            return error.reason
        return "not"

    with Fake(main) as run:
        run.end_cancelled("a")
        assert run.result == "asked to"


def test_a_step_that_ran_out_of_time_says_so() -> None:
    async def main() -> str:
        try:
            await act("a")
        except ActivityTimeout as error:
            return f"{error.attempts} {error.reason}"
        return "not"

    with Fake(main) as run:
        run.deliver(ev.ActivityTimedOut(command=1, timeout=90_000_000, attempts=2))
        assert run.result == "2 no end within 1m30s"


def test_a_cancelled_sleep_calls_its_timer_off_at_once() -> None:
    async def main() -> None:
        await dwf.sleep(60)

    with Fake(main) as run:
        run.cancel()
        assert run.asked == ["timer 60", "untimer 1"]
        assert isinstance(run.outcome, ev.WorkflowCancelled)
        run.prove()


def test_a_cancelled_wait_for_a_signal_is_closed_and_the_signal_kept_for_others() -> None:
    async def main() -> Any:
        waiter = asyncio.create_task(dwf.wait_signal("go"))
        await act("a")
        waiter.cancel()
        await asyncio.wait([waiter])
        await act("b")
        return await dwf.wait_signal("go")

    with Fake(main) as run:
        run.complete("a")
        run.signal("go", 5)
        run.complete("b")
        assert run.result == 5
        assert run.asked == ["act a", "wait go", "unwait 2", "act b", "wait go got 7"]
        run.prove()


def test_a_cancelled_approval_is_withdrawn() -> None:
    async def main() -> None:
        await dwf.approve("go on?", by="ann", timeout="1h")

    with Fake(main) as run:
        assert len(run.state().approvals) == 1
        run.cancel()
        assert run.asked == ["ApprovalRequested", "ApprovalWithdrawn"] and not run.state().approvals
        run.prove()


def test_a_shielded_step_goes_on() -> None:
    async def main() -> Any:
        step = asyncio.create_task(act("a"))
        try:
            await asyncio.shield(step)
        except asyncio.CancelledError:
            return await step

    with Fake(main) as run:
        run.cancel()
        assert run.asked == ["act a"]
        run.complete("a", 3)
        assert run.result == 3
        run.prove()


def test_swallowing_the_cancellation_is_allowed() -> None:
    async def main() -> str:
        try:
            await dwf.sleep(60)
        except asyncio.CancelledError:
            pass
        await act("last words")
        return "stayed"

    with Fake(main) as run:
        run.cancel()
        run.complete("last words")
        assert run.result == "stayed"
        run.prove()


def test_a_failure_during_the_cleanup_is_a_failure() -> None:
    with Fake(with_cleanup) as run:
        run.cancel()
        run.end_cancelled("switch")
        run.fail("undo")
        assert isinstance(run.outcome, ev.WorkflowFailed)
        run.prove()


def test_cancellations_in_groups_are_a_cancellation() -> None:
    async def main() -> None:
        try:
            await dwf.sleep(60)
        except asyncio.CancelledError as error:
            raise BaseExceptionGroup("all", [error]) from None

    with Fake(main) as run:
        run.cancel()
        assert isinstance(run.outcome, ev.WorkflowCancelled)


@pytest.mark.parametrize("gathered", [False, True])
def test_tasks_that_wait_for_each_other_cannot_be_cancelled_but_are_seen_to_be_stuck(gathered: bool) -> None:
    """asyncio's own would pass the request on from one to the other until the stack is full."""
    tasks: list[asyncio.Task[None]] = []

    async def waits_for(number: int) -> None:
        await act("a")
        await (asyncio.gather(tasks[number]) if gathered else tasks[number])

    async def main() -> None:
        tasks[:] = [asyncio.create_task(waits_for(1)), asyncio.create_task(waits_for(0))]
        await tasks[0]

    with Fake(main) as run:
        run.complete(1)
        run.complete(2)
        run.cancel()
        with pytest.raises(WaitsForNothing):
            run.replay.check_not_stuck()


def test_what_came_too_late_for_a_command_does_not_fit() -> None:
    """The engine asks what is open before it records an end; a history with one is not this script's."""

    async def main() -> None:
        async with asyncio.timeout(5):
            await act("a")
        await act("b")

    with Fake(main) as run:
        run.complete("a")
        assert list(run.replay.commands.open_numbers()) == [4]
        with pytest.raises(NondeterminismError, match="command 1 is not open"):
            run.deliver(ev.TimerFired(command=1))


async def goes_on(how: str) -> str:
    task = asyncio.ensure_future(act("switch", cancellation=how))
    await asyncio.sleep(0)
    await act("before")
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        await act("after")
    return "done"


@pytest.mark.parametrize("how", ["try", "abandon"])
@pytest.mark.parametrize("ends", ["cancelled", "completed", "never"])
def test_a_script_that_does_not_wait_goes_on_at_once_and_hears_no_more_of_the_step(how: str, ends: str) -> None:
    """Fails when the script waits for the end of a step that it has given up, or gets its late result."""
    with Fake(goes_on, how) as run:
        run.complete("before")
        assert run.asked == ["act switch", "act before", "cancel 1", "act after"]
        asked = next(event for event in run.events if isinstance(event, ev.ActivityCancelRequested))
        assert asked.how == how
        assert run.state().steps[1].cancel_requested is (how == "try"), "an abandoned step is not even asked"
        if ends == "cancelled":
            run.end_cancelled("switch")
        elif ends == "completed":
            run.complete("switch", "too late")
        run.complete("after")
        assert run.result == "done"
        assert run.outcome.open == ([1] if ends == "never" else [])
        run.prove()


def test_an_option_that_changes_what_a_cancelled_script_does_is_no_silent_change() -> None:
    """Fails when a step that was asked to end is replayed as one that was left alone."""
    with Fake(goes_on, "try") as run:
        run.complete("before")
    for other in ("", "abandon"):
        with pytest.raises(NondeterminismError):
            replayed(program(lambda _, other=other: goes_on(other)), run.events)

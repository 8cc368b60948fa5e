"""Sagas: the way back is recorded first, taken in reverse for what succeeded, and by nothing kept from its end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import dwf
from dwf.core import events as ev
from dwf.core.state import Status
from dwf.core.undos import Stand
from dwf.errors import NotInWorkflow, ScriptBug, ValueRefused
from tests.core.driver import Fake, act, blocked


@dwf.activity
def do(name: str) -> Any:
    return name


@dwf.activity
def undo(name: str) -> Any:
    return name


def asked(run: Fake) -> list[str]:
    """Steps by their argument, and what the ledger says of them."""
    found = []
    for opening in run.openings:
        match opening:
            case ev.ActivityScheduled(name=name, input=given):
                words = bytes(given).decode().split(chr(34))
                found.append(f"{name} {words[3]}" if len(words) > 3 else name)
            case ev.UndoRecorded(command=number, of=of):
                found.append(f"record {number} {of}")
            case ev.UndoSettled(undo=number, due=due):
                found.append(f"{'due' if due else 'drop'} {number}")
            case ev.CompensationStarted(undos=undos):
                found.append(f"compensate {undos}")
            case ev.ActivityCancelRequested(activity=number):
                found.append(f"cancel {number}")
            case other:
                found.append(type(other).__name__)
    return found


async def three() -> None:
    async with dwf.saga() as saga:
        await saga.step(do("a"), undo=undo("a"))
        await saga.step(do("b"), undo=undo("b"))
        await saga.step(do("c"), undo=undo("c"))
        await act("rest")


def test_the_way_back_is_recorded_before_its_step_begins() -> None:
    with Fake(three) as run:
        assert asked(run) == ["record 1 do", "do a"]
        assert run.state().undos.entries[1].stand is Stand.OPEN


def test_what_succeeded_is_taken_back_in_reverse_order_and_the_failure_stays_what_it_was() -> None:
    with Fake(three) as run:
        run.complete("do")
        run.complete("do")
        run.fail("do", "no disk")
        assert asked(run)[-4:] == ["do c", "drop 7", "compensate [4, 1]", "undo b"]
        run.complete("undo")
        assert asked(run)[-1] == "undo a"
        run.complete("undo")
        assert (
            isinstance(run.outcome, ev.WorkflowFailed) and run.outcome.error.message == "do failed: ValueError: no disk"
        )
        assert run.outcome.undone == ["do", "do"] and run.outcome.not_undone == []
        run.prove()


def test_a_saga_that_ends_well_takes_nothing_back_and_its_ledger_stays() -> None:
    with Fake(three) as run:
        for name in ("do", "do", "do", "rest"):
            run.complete(name)
        assert isinstance(run.outcome, ev.WorkflowCompleted) and run.outcome.undone == []
        assert [entry.stand for entry in run.state().undos.entries.values()] == [Stand.DUE] * 3
        run.prove()


def test_an_undo_that_fails_holds_up_none_of_the_others_and_the_report_names_it() -> None:
    async def main() -> None:
        async with dwf.saga() as saga:
            await saga.step(do.options(title="first")("a"), undo=undo("a"))
            await saga.step(do.options(title="second")("b"), undo=undo("b"))
            raise dwf.Failure("not served")

    with Fake(main) as run:
        run.complete("do")
        run.complete("do")
        run.fail("undo", "no route")
        run.complete("undo")
        error = run.outcome.error
        assert error.type == "CompensationFailed"
        assert error.message == "not served; undone: first; NOT undone: second (undo failed: ValueError: no route)"
        assert run.outcome.undone == ["first"]
        assert run.outcome.not_undone == ["second (undo failed: ValueError: no route)"]
        assert [e.stand for e in run.state().undos.entries.values()] == [Stand.UNDONE, Stand.FAILED]
        run.prove()


def test_an_undo_that_may_fail_by_its_options_is_still_not_undone() -> None:
    async def main() -> None:
        async with dwf.saga() as saga:
            await saga.step(do("a"), undo=undo.options(critical=False)("a"))
            raise dwf.Failure("no")

    with Fake(main) as run:
        run.complete("do")
        run.fail("undo")
        assert run.outcome.not_undone and run.outcome.error.type == "CompensationFailed"


def test_a_step_that_failed_is_taken_back_only_if_that_is_asked_for() -> None:
    async def main() -> None:
        async with dwf.saga(undo_if_unknown=True) as saga:
            await saga.step(do("a"), undo=undo("a"))

    with Fake(main) as run:
        run.fail("do")
        assert asked(run) == ["record 1 do", "do a", "due 1", "compensate [1]", "undo a"]
        run.complete("undo")
        run.prove()


def test_cancelling_waits_for_the_step_then_takes_back_what_had_succeeded() -> None:
    with Fake(three) as run:
        run.complete("do")
        run.cancel("wrong host")
        assert asked(run)[-1] == "cancel 5"
        run.end_cancelled("do")
        assert asked(run)[-3:] == ["cancel 5", "compensate [1]", "undo a"], "of what was cut off nothing is settled"
        assert run.openings[-2].why == "cancelled by somebody: wrong host"  # type: ignore[attr-defined]
        run.complete("undo")
        assert isinstance(run.outcome, ev.WorkflowCancelled) and run.outcome.undone == ["do"]
        assert run.outcome.not_undone == ["do (it was cut off, and what it has done is not known)"]
        run.prove()


@pytest.mark.parametrize(
    ("closing", "known"),
    [
        (ev.ActivityFailed(command=5, error=ev.ErrorInfo(type="Interrupted", message="dwf was killed")), False),
        (ev.ActivityFailed(command=5, error=ev.ErrorInfo(type="NoEffect", message="its probe says so")), True),
        (ev.ActivityFailed(command=5, error=ev.ErrorInfo(type="ValueError", message="no")), True),
        (ev.ActivityTimedOut(command=5, timeout=1), False),
        (ev.ActivityCancelled(command=5, reason=ev.NEVER_BEGAN), True),
        (ev.ActivityCancelled(command=5, reason="cancelled"), False),
    ],
)
def test_of_a_step_that_was_cut_off_it_is_not_said_that_there_is_nothing_to_take_back(
    closing: ev.Closing, known: bool
) -> None:
    with Fake(three) as run:
        run.complete("do")
        if isinstance(closing, ev.ActivityCancelled):
            run.cancel()
        run.deliver(closing)
        assert ("drop 4" in asked(run)) == known
        run.complete("undo")
        assert bool(run.outcome.not_undone) == (not known)
        assert [entry.of for entry in run.state().undos.left()] == ([] if known else ["do"])
        run.prove()


def test_a_step_that_completed_although_it_was_cancelled_is_taken_back() -> None:
    with Fake(three) as run:
        run.cancel()
        run.complete("do")
        assert asked(run)[-3:] == ["due 1", "compensate [1]", "undo a"]
        run.complete("undo")
        assert isinstance(run.outcome, ev.WorkflowCancelled)
        run.prove()


def test_a_cancel_in_the_middle_of_the_way_back_does_not_stop_it() -> None:
    with Fake(three) as run:
        run.complete("do")
        run.complete("do")
        run.fail("do")
        run.cancel("hurry")
        assert asked(run)[-1] == "undo b", "the step that undoes is not asked to end"
        run.complete("undo")
        run.complete("undo")
        assert isinstance(run.outcome, ev.WorkflowFailed)
        run.prove()


def test_that_cancel_is_not_lost_if_the_script_goes_on() -> None:
    async def main() -> None:
        try:
            await three()
        except dwf.ActivityError:
            await act("another way")

    with Fake(main) as run:
        run.complete("do")
        run.fail("do")
        run.cancel("hurry")
        run.complete("undo")
        assert run.asked[-1].startswith("cancel"), "the other way is called off where it begins"
        run.end_cancelled("another way")
        assert isinstance(run.outcome, ev.WorkflowCancelled)
        run.prove()


def test_a_time_limit_around_a_saga_takes_back_and_is_told_as_a_timeout() -> None:
    async def main() -> str:
        try:
            async with asyncio.timeout(60):
                await three()
        except TimeoutError:
            return "too slow"
        return "done"

    with Fake(main) as run:
        run.complete("do")
        run.fire()
        run.end_cancelled("do")
        run.complete("undo")
        assert run.result == "too slow"
        assert run.outcome.undone == ["do"]
        run.prove()


@pytest.mark.parametrize("bug", [KeyError("typo"), TypeError("typo"), AssertionError("typo"), OSError("typo")])
def test_a_bug_takes_nothing_back_and_blocks_whatever_the_script_catches(bug: Exception) -> None:
    async def main() -> None:
        try:
            async with dwf.saga() as saga:
                await saga.step(do("a"), undo=undo("a"))
                raise bug
        except Exception:
            await act("never")

    with Fake(main) as run:
        with pytest.raises(ScriptBug):
            run.complete("do")
        assert asked(run) == ["record 1 do", "do a"], "nothing of the void activation is recorded"


def test_steps_side_by_side_are_ended_before_anything_is_taken_back() -> None:
    async def main() -> None:
        async with dwf.saga() as saga:
            await asyncio.gather(
                saga.step(do("a"), undo=undo("a")),
                saga.step(do("b"), undo=undo("b")),
                saga.step(do("c"), undo=undo("c")),
            )

    with Fake(main) as run:
        run.complete(2)
        run.fail(4)
        assert asked(run)[-2:] == ["drop 3", "cancel 6"], "it waits for the step that still runs"
        run.complete(6)
        assert asked(run)[-3:] == ["due 5", "compensate [5, 1]", "undo c"]
        run.complete("undo")
        run.complete("undo")
        assert isinstance(run.outcome, ev.WorkflowFailed)
        run.prove()


def test_several_undos_of_one_step_run_in_the_order_in_which_they_are_given() -> None:
    async def main() -> None:
        async with dwf.saga() as saga:
            await saga.step(do("a"), undo=[undo("first"), dwf.sh("second")])
            raise dwf.Failure("no")

    with Fake(main) as run:
        run.complete("do")
        assert asked(run)[-1] == "undo first"
        run.complete("undo")
        assert run.openings[-1].name == "second"  # type: ignore[attr-defined]


def test_a_way_back_can_be_added_for_what_is_done() -> None:
    async def main() -> None:
        async with dwf.saga() as saga:
            vm = await do("vm-7")
            saga.add(undo=undo(vm), of="the machine")
            raise dwf.Failure("no")

    with Fake(main) as run:
        run.complete("do", "vm-7")
        assert asked(run)[-1] == "undo vm-7"
        run.complete("undo")
        assert run.outcome.undone == ["the machine"]


def test_past_the_point_of_no_return_nothing_of_before_is_taken_back() -> None:
    async def main() -> None:
        async with dwf.saga() as saga:
            await saga.step(do("a"), undo=undo("a"))
            saga.keep()
            await saga.step(do("b"), undo=undo("b"))
            raise dwf.Failure("no")

    with Fake(main) as run:
        run.complete("do")
        run.complete("do")
        assert asked(run)[-2:] == ["compensate [5]", "undo b"]
        run.complete("undo")
        assert run.state().undos.left() == []
        run.prove()


def test_anything_that_can_be_awaited_is_a_step() -> None:
    async def several() -> str:
        await act("one")
        return await act("two")

    async def main() -> Any:
        async with dwf.saga() as saga:
            got = await saga.step(several(), undo=undo("both"))
            await act("check")
            return got

    with Fake(main) as run:
        run.complete("one")
        run.complete("two", 2)
        run.fail("check")
        assert run.state().undos.entries[1].of == "several"
        run.complete("undo")
        run.prove()


def test_a_step_that_was_not_critical_and_failed_is_not_taken_back() -> None:
    async def main() -> None:
        async with dwf.saga() as saga:
            await saga.step(do.options(critical=False)("a"), undo=undo("a"))
            raise dwf.Failure("no")

    with Fake(main) as run:
        run.fail("do")
        assert "drop 1" in asked(run) and run.outcome.undone == []


def test_a_branch_that_goes_on_after_the_block_was_left_does_nothing_more() -> None:
    async def branch(saga: Any) -> None:
        await act("apart")
        await saga.step(do("late"), undo=undo("late"))

    async def main() -> None:
        try:
            async with dwf.saga() as saga:
                task = asyncio.create_task(branch(saga))
                await saga.step(do("a"), undo=undo("a"))
                raise dwf.Failure("no")
        except dwf.Failure:
            await asyncio.wait([task])

    with Fake(main) as run:
        run.complete("do")
        run.complete("apart")
        run.complete("undo")
        assert isinstance(run.outcome, ev.WorkflowCompleted)
        assert "do late" not in asked(run)
        run.prove()


def test_while_it_is_taken_back_the_state_says_how_far_it_is() -> None:
    with Fake(three) as run:
        run.complete("do")
        run.complete("do")
        run.fail("do")
        run.complete("undo")
        undos = run.state().undos
        assert [entry.stand for entry in undos.compensated()] == [Stand.UNDONE, Stand.BEGUN]
        assert run.state().status is Status.RUNNING
        assert [entry.of for entry in undos.left()] == ["do"]


# -- what is refused ----------------------------------------------------------------------------------------------


async def nothing() -> None: ...


@pytest.mark.parametrize("given", [lambda: nothing(), lambda: "undo", lambda: None, list, lambda: [nothing()]])
def test_a_way_back_that_is_no_declared_step_is_refused(given: Any) -> None:
    async def main() -> None:
        async with dwf.saga() as saga:
            await saga.step(do("a"), undo=given())

    assert isinstance(blocked(main), ValueRefused)


def test_a_way_back_that_could_not_be_found_again_is_refused() -> None:
    async def main() -> None:
        async with dwf.saga() as saga:
            await saga.step(do("a"), undo=dwf.step("inline", print, "x"))

    error = blocked(main)
    assert isinstance(error, ValueRefused) and "dwf.sh" in (error.hint or "")


def test_a_saga_is_used_in_its_block_and_once() -> None:
    async def unopened() -> None:
        await dwf.saga().step(do("a"), undo=undo("a"))

    async def twice() -> None:
        saga = dwf.saga()
        async with saga:
            pass
        async with saga:
            pass

    async def afterwards() -> None:
        async with dwf.saga() as saga:
            pass
        await saga.step(do("a"), undo=undo("a"))

    for main in (unopened, twice, afterwards):
        assert isinstance(blocked(main), ValueRefused)


def test_a_saga_outside_of_a_workflow_is_told_so() -> None:
    async def main() -> None:
        async with dwf.saga():
            raise AssertionError("it was entered")

    with pytest.raises(NotInWorkflow):
        asyncio.run(main())

"""asyncio's tools in a workflow: the same on every Python, in every process, and the standard library's elsewhere."""

from __future__ import annotations

import asyncio
import gc
import re
from typing import Any

import pytest

import dwf
from dwf.core import ledger, loop
from dwf.errors import ActivityError, BusyLoop, GuardError, ScriptBug, ValueRefused
from tests.core.driver import Fake, act, blocked

# -- wait_for -----------------------------------------------------------------------------------------------------


def test_wait_for_gives_the_result_in_time_and_calls_its_timer_off() -> None:
    async def main() -> Any:
        return await asyncio.wait_for(act("a"), 10)

    with Fake(main) as run:
        run.complete("a", 7)
        assert run.result == 7
        assert run.asked == ["timer 10", "act a", "untimer 1"]
        run.prove()


def test_wait_for_that_runs_out_waits_for_the_end_of_the_step() -> None:
    async def main() -> str:
        try:
            await asyncio.wait_for(act("a"), 10)
        except TimeoutError:
            return "late"
        return "in time"

    with Fake(main) as run:
        run.fire()
        assert run.asked == ["timer 10", "act a", "cancel 2"] and run.outcome is None
        run.end_cancelled("a")
        assert run.result == "late"
        run.prove()


def test_wait_for_no_time_does_not_even_begin() -> None:
    async def main() -> str:
        try:
            await asyncio.wait_for(act("a"), 0)
        except TimeoutError:
            return "late"
        return "in time"

    with Fake(main) as run:
        assert run.result == "late" and run.asked == []


def test_a_cancellation_during_wait_for_no_time_is_not_taken_for_the_timeout() -> None:
    async def stubborn() -> None:
        try:
            await act("a")
        except asyncio.CancelledError:
            await act("tidy")
            raise

    async def main() -> str:
        task = asyncio.create_task(stubborn())
        await act("b")
        try:
            await asyncio.wait_for(task, 0)
        except TimeoutError:
            return "late"
        return "in time"

    with Fake(main) as run:
        run.complete("b")
        run.end_cancelled("a")
        assert run.outcome is None
        run.cancel()
        assert type(run.outcome).__name__ == "WorkflowCancelled"
        run.prove()


# -- gather, wait, as_completed -----------------------------------------------------------------------------------


def test_gather_gives_results_in_the_order_of_its_arguments() -> None:
    async def main() -> Any:
        return await asyncio.gather(act("a"), act("b"), asyncio.sleep(1, "slept"))

    with Fake(main) as run:
        run.fire()
        run.complete("b", 2)
        run.complete("a", 1)
        assert run.result == [1, 2, "slept"]
        run.prove()


def test_gather_raises_the_first_failure_and_leaves_the_others_running() -> None:
    async def main() -> Any:
        try:
            await asyncio.gather(act("a"), act("b"))
        except ActivityError as error:
            return [error.activity, await act("c")]

    with Fake(main) as run:
        run.fail("b")
        run.complete("c", 3)
        assert run.result == ["b", 3]
        assert run.outcome.open == [1]
        run.prove()


def test_gather_can_return_failures_also_falsy_ones() -> None:
    class Falsy(Exception):
        def __bool__(self) -> bool:
            return False

    async def broken() -> None:
        raise Falsy

    async def main() -> Any:
        results = await asyncio.gather(broken(), act("b"), return_exceptions=True)
        return [type(result).__name__ for result in results]

    with Fake(main) as run:
        run.complete("b", 1)
        assert run.result == ["Falsy", "int"]


def test_the_same_awaitable_twice_in_a_gather_is_run_once() -> None:
    async def main() -> Any:
        step = act("a")
        return await asyncio.gather(step, step)

    with Fake(main) as run:
        run.complete("a", 1)
        assert run.result == [1, 1] and run.asked == ["act a"]


def test_cancelling_a_gather_asks_every_child_and_waits_for_all_ends() -> None:
    async def main() -> Any:
        await asyncio.gather(act("a"), act("b"))

    with Fake(main) as run:
        run.cancel()
        run.end_cancelled("b")
        assert run.outcome is None
        run.complete("a")
        assert type(run.outcome).__name__ == "WorkflowCancelled"
        assert run.asked == ["act a", "act b", "cancel 1", "cancel 2"]
        run.prove()


@pytest.mark.parametrize(
    ("when", "events", "done"),
    [
        (asyncio.FIRST_COMPLETED, [("complete", "b")], ["t3"]),
        (asyncio.FIRST_EXCEPTION, [("complete", "b"), ("fail", "c")], ["t3", "t4"]),
        (asyncio.ALL_COMPLETED, [("fail", "c"), ("complete", "b"), ("complete", "a")], ["t2", "t3", "t4"]),
        (asyncio.ALL_COMPLETED, [("fail", "c"), ("fire", "")], ["t4"]),
    ],
)
def test_wait_gives_what_is_done_in_the_order_of_birth(when: str, events: list[Any], done: list[str]) -> None:
    async def main() -> Any:
        tasks = [asyncio.create_task(act(name)) for name in "abc"]
        ready, _ = await asyncio.wait(tasks, return_when=when, timeout=60)
        return [task.get_name() for task in ready]

    with Fake(main) as run:
        for how, step in events:
            getattr(run, how)(*([step] if step else []))
        assert run.result == done
        run.prove()


def test_as_completed_gives_results_as_they_come_and_then_a_timeout() -> None:
    async def main() -> Any:
        seen = []
        for result in asyncio.as_completed([act("a"), act("b"), act("c")], timeout=60):
            try:
                seen.append(await result)
            except TimeoutError:
                seen.append("late")
        return seen

    with Fake(main) as run:
        run.complete("c", 3)
        run.complete("a", 1)
        run.fire()
        assert run.result == [3, 1, "late"]
        run.prove()


@pytest.mark.parametrize("tool", [asyncio.wait, asyncio.as_completed])
def test_one_future_instead_of_a_list_is_refused(tool: Any) -> None:
    async def main() -> None:
        await tool(asyncio.create_task(act("a")))

    error = blocked(main)
    assert isinstance(error, ScriptBug) and re.search("expect a list of futures", str(error))


def test_a_fan_out_of_thousands_costs_no_more_for_each() -> None:
    """A look at all others whenever one ends would take minutes here."""

    async def main() -> int:
        done, _ = await asyncio.wait([asyncio.create_task(act("a", n)) for n in range(4000)])
        return len(done)

    with Fake(main) as run:
        for number in range(1, 4001):
            run.complete(number)
        assert run.result == 4000


# -- chance is a count --------------------------------------------------------------------------------------------


def test_sets_of_tasks_and_futures_have_the_order_in_which_they_were_made() -> None:
    """Fails when the order of a set of tasks hangs on where they lie in memory."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(5)]
        tasks = {asyncio.create_task(act(str(n))) for n in range(5)}
        assert sorted(map(hash, futures), reverse=True) == [hash(f) for f in futures]
        return [task.get_name() for task in tasks]

    with Fake(main) as run:
        assert run.result == [f"t{n}" for n in range(2, 7)]


def test_futures_that_asyncio_makes_for_itself_do_not_shift_the_hashes_of_others() -> None:
    hashes: list[list[int]] = []

    async def one(extra: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(extra):
            loop.create_future()
        hashes.append([hash(loop.create_future()), hash(asyncio.create_task(asyncio.sleep(0)))])

    for extra in (0, 7):

        async def main(extra: int = extra) -> None:
            await one(extra)

        with Fake(main, given=extra):
            pass
    assert hashes[0] == hashes[1]


def test_all_tasks_are_listed_by_age() -> None:
    async def main() -> Any:
        made = [asyncio.create_task(asyncio.sleep(1)) for _ in range(40)]
        assert made
        return [task.get_name() for task in asyncio.all_tasks()]

    with Fake(main) as run:
        assert run.result == [f"t{n}" for n in range(1, 42)]


def test_a_future_or_task_made_by_hand_is_refused_with_its_line() -> None:
    async def future() -> None:
        asyncio.Future()  # type: ignore[var-annotated]

    async def task() -> None:
        asyncio.Task(act("a"))

    for main in (future, task):
        error = blocked(main)
        assert isinstance(error, GuardError) and re.search(r"made by hand .*test_waiting\.py:\d+", str(error))


def test_gathers_and_handles_are_not_taken_for_hand_made_futures() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        repr(loop.call_later(5, print))
        loop.call_soon(print).cancel()
        await asyncio.shield(asyncio.gather())
        return "fine"

    with Fake(main) as run:
        assert run.result == "fine"


def test_no_task_factory_is_known_so_that_libraries_use_create_task() -> None:
    async def main() -> Any:
        return asyncio.get_running_loop().get_task_factory()

    with Fake(main) as run:
        assert run.result is None


# -- groups and locks ---------------------------------------------------------------------------------------------


def test_a_failure_in_a_group_cancels_the_others_and_waits_for_their_ends() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(act("a"))
            group.create_task(act("b"))

    with Fake(main) as run:
        run.fail("a")
        assert run.asked == ["act a", "act b", "cancel 2"] and run.outcome is None
        run.end_cancelled("b")
        assert run.outcome.error.type == "ActivityError"
        run.prove()


def test_a_cancellation_is_not_lost_beside_a_failure_in_a_group() -> None:
    """Python 3.11 and 3.12 forget it."""

    async def main() -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(act("a"))
                group.create_task(act("b"))
        except* ActivityError:
            pass
        await act("next")
        return "nobody cancelled"

    with Fake(main) as run:
        run.cancel()
        run.fail("a")
        run.fail("b")
        assert type(run.outcome).__name__ == "WorkflowCancelled"
        assert run.asked == ["act a", "act b", "cancel 1", "cancel 2"]
        run.prove()


def test_nobody_overtakes_those_who_wait_for_a_semaphore() -> None:
    async def main() -> Any:
        semaphore, order = asyncio.Semaphore(1), []

        async def hold(name: str) -> None:
            async with semaphore:
                order.append(name)
                await act(name)

        async def late() -> None:
            await act("go")
            await hold("late")

        await asyncio.gather(hold("a"), hold("b"), late())
        return order

    with Fake(main) as run:
        run.complete("go")
        for name in ("a", "b", "late"):
            run.complete(name)
        assert run.result == ["a", "b", "late"]
        run.prove()


def test_a_notification_to_one_who_was_cancelled_goes_to_the_next() -> None:
    async def main() -> Any:
        condition, woken = asyncio.Condition(), []

        async def sleeper(name: str) -> None:
            async with condition:
                await condition.wait()
                woken.append(name)

        first, second = (asyncio.create_task(sleeper(name)) for name in "ab")
        await act("go")
        async with condition:
            condition.notify()
            first.cancel()
        await asyncio.wait([first, second])
        return woken

    with Fake(main) as run:
        run.complete("go")
        assert run.result == ["b"]
        run.prove()


# -- time ---------------------------------------------------------------------------------------------------------


def test_nan_is_refused_and_infinity_is_no_timer() -> None:
    async def nan() -> None:
        await asyncio.sleep(float("nan"))

    async def infinity() -> None:
        async with asyncio.timeout(float("inf")):
            await act("a")

    error = blocked(nan)
    assert isinstance(error, ValueRefused) and re.search("NaN", str(error))
    with Fake(infinity) as run:
        assert run.asked == ["act a"]


@pytest.fixture
def short_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CALLBACK_BUDGET", 5000)
    monkeypatch.setattr(ledger, "COMMAND_BUDGET", 5000)


@pytest.mark.usefixtures("short_budget")
@pytest.mark.parametrize("wait", [asyncio.sleep, dwf.sleep])
def test_a_loop_that_never_waits_is_blocked(wait: Any) -> None:
    async def main() -> None:
        while True:
            await wait(0)

    error = blocked(main)
    assert isinstance(error, BusyLoop) and re.search("5,000 callbacks", str(error))


@pytest.mark.usefixtures("short_budget")
def test_a_loop_that_asks_for_ever_is_blocked_too() -> None:
    async def main() -> None:
        number = 0
        while True:
            number += 1
            dwf.status(str(number))

    error = blocked(main)
    assert isinstance(error, BusyLoop) and re.search(r"commands in one go at test_waiting\.py", str(error))


@pytest.mark.usefixtures("short_budget")
def test_a_loop_that_only_looks_for_signals_is_blocked_too() -> None:
    async def main() -> None:
        while await dwf.wait_signal("go", timeout=0, default=None) is None:
            pass

    assert isinstance(blocked(main), BusyLoop)


# -- elsewhere ----------------------------------------------------------------------------------------------------


def test_on_any_other_loop_asyncio_is_as_it_was() -> None:
    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        results = [await asyncio.wait_for(asyncio.sleep(0, 1), 5), *await asyncio.gather(asyncio.sleep(0, 2))]
        done, _ = await asyncio.wait([asyncio.create_task(asyncio.sleep(0, 3))])
        results += [task.result() for task in done]
        results += [await result for result in asyncio.as_completed([asyncio.sleep(0, 4)])]
        async with asyncio.TaskGroup() as group:
            results.append(await group.create_task(asyncio.sleep(0, 5)))
        async with asyncio.Semaphore(1), asyncio.Condition() as condition:
            assert condition is None
        assert type(loop.create_future()) is not None and asyncio.all_tasks() == {asyncio.current_task()}
        return results

    assert asyncio.run(main()) == [1, 2, 3, 4, 5]


def test_what_was_to_be_waited_for_is_let_go_of_when_the_timer_is_refused() -> None:
    """Else Python complains of a coroutine that was never awaited, later and in the middle of something else."""

    async def main() -> None:
        try:
            raise TypeError("typo")
        finally:
            await asyncio.wait_for(act("a"), 5)

    error = blocked(main)
    assert "typo; while handling that" in str(error)
    del error
    gc.collect()

"""Conditions: `dwf.wait_until` looks after each event, wakes one at a time, and may only look."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

import dwf
from dwf.core import events as ev
from dwf.errors import BusyLoop, ScriptBug, ValueRefused, WaitsForNothing
from tests.core.driver import Fake, act, blocked


async def count_up(box: list[int], name: str) -> None:
    box.append(await act(name))


def test_a_wait_until_ends_with_the_event_that_makes_its_predicate_true() -> None:
    async def main() -> Any:
        votes: list[int] = []
        tasks = [asyncio.create_task(count_up(votes, name)) for name in "abc"]
        await dwf.wait_until(lambda: len(votes) >= 2)
        seen = list(votes)
        await asyncio.gather(*tasks)
        return seen

    with Fake(main) as run:
        run.complete("b", 2)
        assert run.outcome is None
        run.complete("c", 3)
        run.complete("a", 1)
        assert run.result == [2, 3]
        assert run.asked == ["act a", "act b", "act c"], "the wait itself is no command"
        run.prove()


def test_what_holds_already_is_not_waited_for() -> None:
    async def main() -> Any:
        await dwf.wait_until(lambda: True)
        await dwf.wait_until(lambda: [1], timeout=0)
        return "so it is"

    with Fake(main) as run:
        assert run.result == "so it is"
        assert run.asked == []
        run.prove()


def test_a_wait_until_gives_up_at_its_timeout_which_is_a_durable_timer() -> None:
    async def main() -> Any:
        task = asyncio.create_task(act("never"))
        try:
            await dwf.wait_until(task.done, timeout="1h")
        except TimeoutError as error:
            return str(error)

    with Fake(main) as run:
        assert run.asked == ["timer 3600", "act never"]
        run.fire()
        assert run.result == "the condition of dwf.wait_until() did not hold within 1h"
        run.prove()


def test_a_condition_in_time_calls_the_timer_off() -> None:
    async def main() -> Any:
        votes: list[int] = []
        task = asyncio.create_task(count_up(votes, "a"))
        await dwf.wait_until(lambda: votes, timeout=60)
        await task
        return votes

    with Fake(main) as run:
        run.complete("a", 7)
        assert run.result == [7]
        assert run.asked == ["timer 60", "act a", "untimer 1"]
        run.prove()


def test_timeout_0_only_looks() -> None:
    async def main() -> Any:
        try:
            await dwf.wait_until(lambda: False, timeout=0)
        except TimeoutError:
            return "not so"

    with Fake(main) as run:
        assert run.result == "not so"
        assert run.asked == []


def test_those_who_wait_for_the_same_are_let_go_on_one_at_a_time_and_find_it_true() -> None:
    async def main() -> Any:
        left = [1, 2]
        told: list[str] = []

        async def take(name: str) -> None:
            await dwf.wait_until(lambda: left)
            told.append(f"{name} {left.pop()}")

        tasks = [asyncio.create_task(take(name)) for name in ("first", "second", "third")]
        await act("a")
        left.append(await act("b"))
        await asyncio.gather(*tasks)
        return told

    with Fake(main) as run:
        run.complete("a")
        assert run.outcome is None, "there was nothing left for the third"
        run.complete("b", 3)
        assert run.result == ["first 2", "second 1", "third 3"]
        run.prove()


def test_a_wait_until_that_was_cancelled_is_not_asked_any_more() -> None:
    async def main() -> Any:
        asked: list[int] = []

        def look() -> bool:
            asked.append(1)
            return False

        task = asyncio.create_task(dwf.wait_until(look))
        await act("a")
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        before = len(asked)
        await act("b")
        await act("c")
        return len(asked) - before

    with Fake(main) as run:
        for name in "abc":
            run.complete(name)
        assert run.result == 0
        run.prove()


def test_a_predicate_that_raises_is_a_bug_whatever_the_script_would_catch() -> None:
    async def at_once() -> None:
        with contextlib.suppress(Exception):
            await dwf.wait_until(lambda: {}["typo"])
        await act("undo")

    error = blocked(at_once)
    assert isinstance(error, ScriptBug)
    assert "KeyError: 'typo'" in str(error) and "test_conditions.py" in str(error)

    async def later() -> None:
        found: dict[str, int] = {}
        task = asyncio.create_task(act("a"))
        with contextlib.suppress(Exception):
            await dwf.wait_until(lambda: task.done() and found["typo"])
        await act("undo")

    run = Fake(later)
    run.start()
    with pytest.raises(ScriptBug, match="KeyError: 'typo'"):
        run.complete("a")
    assert run.asked == ["act a"]
    run.replay.close()


@pytest.mark.parametrize("name", ["command", "signal", "random", "uuid", "task", "status", "future"])
def test_a_predicate_may_only_look(name: str) -> None:
    async def main() -> Any:
        asked = {
            "command": lambda: asyncio.ensure_future(act("a")),
            "signal": lambda: asyncio.ensure_future(dwf.wait_signal("go")),
            "random": lambda: dwf.random().random(),
            "uuid": dwf.uuid4,
            "task": lambda: asyncio.create_task(asyncio.sleep(0)),
            "status": lambda: dwf.status("here"),
            "future": lambda: asyncio.get_running_loop().create_future(),
        }[name]
        with contextlib.suppress(Exception):
            await dwf.wait_until(asked)
        await act("undo")

    error = blocked(main)
    assert isinstance(error, ScriptBug)
    assert "ReadOnly: a condition of dwf.wait_until() may only look" in str(error)


@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_condition_is_a_plain_function() -> None:
    async def of_a_value() -> None:
        votes: list[int] = []
        await dwf.wait_until(len(votes) > 1)

    async def of_a_coroutine() -> None:
        await dwf.wait_until(lambda: act("a"))

    for main, told in ((of_a_value, "give a function: lambda"), (of_a_coroutine, "a plain function can be asked")):
        error = blocked(main)
        assert isinstance(error, ValueRefused)
        assert told in str(error)


def test_a_wait_until_that_nothing_can_make_true_is_told() -> None:
    async def main() -> None:
        await dwf.wait_until(lambda: False)

    run = Fake(main)
    with contextlib.closing(run.replay):
        run.start()
        with pytest.raises(WaitsForNothing, match="test_conditions"):
            run.replay.check_not_stuck()


def test_a_wait_until_with_a_step_beside_it_is_not_stuck() -> None:
    async def main() -> None:
        task = asyncio.create_task(act("a"))
        await dwf.wait_until(task.done)

    with Fake(main) as run:
        run.replay.check_not_stuck()
        run.complete("a")
        assert isinstance(run.outcome, ev.WorkflowCompleted)


def test_conditions_that_undo_each_other_for_ever_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dwf.core.conditions._LOOKS", 1000)

    async def main() -> None:
        side = [0]

        async def turn(mine: int) -> None:
            while True:
                await dwf.wait_until(lambda: side[0] == mine)
                side[0] = 1 - mine

        await asyncio.gather(turn(0), turn(1))

    assert isinstance(blocked(main), BusyLoop)


def test_a_loop_over_a_condition_that_holds_comes_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dwf.core.conditions._LOOKS", 1000)

    async def main() -> None:
        while True:
            await dwf.wait_until(lambda: True)

    assert isinstance(blocked(main), BusyLoop)


def test_a_run_that_is_closed_while_it_waits_for_a_condition_leaves_no_trace() -> None:
    async def main() -> None:
        try:
            await asyncio.gather(act("a"), dwf.wait_until(lambda: False))
        finally:
            while True:
                with contextlib.suppress(BaseException):
                    await dwf.wait_until(lambda: False)

    run = Fake(main)
    run.start()
    run.replay.close()
    assert run.asked == ["act a"]

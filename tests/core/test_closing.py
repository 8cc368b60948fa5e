"""A run that is put away is closed, never dropped: its coroutines end now, and not at the collector's whim."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import warnings
import weakref
from typing import Any

import pytest

import dwf
from dwf.errors import InternalError
from tests.core.driver import Fake, act, program, replayed, started


async def compensating() -> None:
    try:
        await act("change")
    finally:
        await act("compensate")


def test_dropped_runs_do_not_issue_commands_into_another_run() -> None:
    """Three waiting runs are put away; then one live run goes on, with the collector running all the while."""
    for _ in range(3):
        with Fake(compensating):
            pass

    async def other() -> None:
        gc.collect()
        await act("A")
        gc.collect()
        await act("B")

    gc.collect()
    with Fake(other) as run:
        run.complete("A")
        gc.collect()
        assert run.asked == ["act A", "act B"]


def test_a_closed_run_issues_nothing_and_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []

    async def main() -> None:
        try:
            await act("change")
        finally:
            said.append("plain code in a finally runs")
            dwf.log.info("bye")
            said.append("and stops at the first thing it asks of dwf")

    with Fake(main) as run:
        pass
    assert said == ["plain code in a finally runs"]
    assert run.asked == ["act change"]
    assert run.replay.commands.take_new() == [] and run.replay.commands.emissions == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "ask",
    [
        lambda: act("more"),
        lambda: dwf.sleep(0),
        lambda: dwf.sleep(5),
        lambda: asyncio.sleep(5),
        lambda: dwf.wait_signal("go", timeout=0),
        lambda: dwf.approve("go on?"),
        lambda: asyncio.Event().wait(),
        lambda: asyncio.gather(act("x"), act("y")),
        lambda: _called(lambda: dwf.once(lambda: 1 / 0)),
        lambda: _called(lambda: dwf.patched("p")),
        lambda: _called(lambda: dwf.status("x")),
        lambda: _called(dwf.now),
        lambda: _called(dwf.uuid4),
        lambda: _called(dwf.info),
        lambda: _called(lambda: asyncio.create_task(act("z"))),
    ],
)
def test_while_it_closes_every_door_is_shut_whatever_the_script_catches(ask: Any) -> None:
    after: list[str] = []

    async def main() -> None:
        try:
            await act("a")
        finally:
            try:
                await ask()
            except Exception:
                after.append("the script thought it could go on")
            after.append("it went on")

    with Fake(main) as run:
        pass
    assert after == []
    assert run.asked == ["act a"]


async def _called(ask: Any) -> None:
    ask()


def test_a_coroutine_that_answers_its_closing_with_another_await_is_closed_again() -> None:
    rounds: list[int] = []

    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        for number in range(5):
            try:
                await future
            except GeneratorExit:
                rounds.append(number)
                if number == 4:
                    raise

    with Fake(main):
        pass
    assert rounds == [0, 1, 2, 3, 4]


def test_a_coroutine_that_never_gives_in_is_kept_from_the_collector() -> None:
    """Collected, it would run inside whatever run is active then."""
    turns: list[int] = []

    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        while True:
            try:
                await future
            except BaseException:
                turns.append(1)

    with Fake(main) as run:
        coroutine = weakref.ref(run.replay.stack()[0].get_coro())
    before = len(turns)
    del run
    gc.collect()
    assert len(turns) == before and coroutine() is not None


def test_one_that_swallows_everything_does_not_keep_the_process_from_ending() -> None:
    program = """
import asyncio
from tests.core.driver import Fake, act
async def main():
    while True:
        try:
            async with asyncio.TaskGroup():
                await act("a")
        except:
            pass
with Fake(main):
    pass
"""
    ended = subprocess.run([sys.executable, "-c", program], timeout=30, check=False, capture_output=True)
    assert (ended.returncode, ended.stderr) == (0, b"")


async def _in_time() -> None:
    async with asyncio.timeout(5):
        await act("a")


async def _in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(act("a"))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: act("a"),
        lambda: dwf.sleep(5),
        lambda: asyncio.sleep(5),
        lambda: asyncio.create_task(act("a")),
        lambda: asyncio.gather(act("a"), act("b")),
        lambda: asyncio.wait_for(asyncio.Event().wait(), 5),
        lambda: dwf.wait_signal("go"),
        lambda: dwf.wait_signal("go", timeout=5),
        lambda: dwf.approve("go on?"),
        _in_time,
        _in_a_group,
    ],
)
def test_a_loop_that_swallows_everything_does_not_hang_the_closing(ask: Any) -> None:
    async def main() -> None:
        while True:
            try:
                await ask()
            except:  # noqa: E722 - as people write it
                pass

    with Fake(main) as run:
        asked = list(run.asked)
    assert asked and run.asked == asked


def test_tasks_are_closed_last_born_first_and_generators_too() -> None:
    ended: list[str] = []

    async def child(name: str) -> None:
        try:
            await act(name)
        finally:
            ended.append(name)

    async def numbers() -> Any:
        try:
            yield 1
        finally:
            ended.append("generator")

    async def main() -> None:
        async for _ in numbers():
            break
        tasks = [asyncio.create_task(child(name)) for name in "abc"]
        try:
            await asyncio.wait(tasks)
        finally:
            ended.append("main")

    with Fake(main):
        pass
    assert ended == ["c", "b", "a", "main", "generator"]


def test_a_generator_left_half_way_is_not_finished_by_the_collector() -> None:
    ended: list[str] = []

    async def numbers() -> Any:
        try:
            yield 1
        finally:
            ended.append("finished")
            await act("cleanup")

    async def main() -> None:
        async for _ in numbers():
            break
        gc.collect()
        await act("a")
        gc.collect()
        await act("b")

    with Fake(main) as run:
        run.complete("a")
        assert run.asked == ["act a", "act b"] and ended == []
        run.prove()


def test_generators_that_are_done_are_not_kept() -> None:
    async def numbers() -> Any:
        yield 1

    async def main() -> None:
        for _ in range(2000):
            async for _ in numbers():
                pass
        await act("a")

    with Fake(main) as run:
        assert len(run.replay.loop._generators) < 600


def test_many_tasks_are_not_kept_either_and_cost_no_more_each() -> None:
    async def main() -> int:
        for _ in range(3000):
            await asyncio.create_task(asyncio.sleep(0))
        return len(asyncio.all_tasks())

    with Fake(main) as run:
        assert run.result == 1
        assert len(run.replay.loop._tasks) < 600


def test_what_was_closed_is_freed() -> None:
    class Mark:
        pass

    marks: list[weakref.ref[Mark]] = []

    async def main() -> None:
        mark = Mark()
        marks.append(weakref.ref(mark))
        await act("a")

    for _ in range(20):
        with Fake(main):
            pass
    gc.collect()
    assert not any(mark() for mark in marks)


def test_the_collector_is_off_inside_and_back_on_outside() -> None:
    seen: list[bool] = []

    async def main() -> None:
        seen.append(gc.isenabled())

    assert gc.isenabled()
    with Fake(main):
        assert gc.isenabled()
    assert seen == [False]


def test_a_coroutine_that_nobody_awaits_is_named_once_and_only_while_the_run_lives() -> None:
    async def main() -> None:
        act("forgotten")
        try:
            await act("a")
        finally:
            await asyncio.gather(act("b"), act("c"))

    with Fake(main) as run:
        assert [line for _, _, line in run.replay.commands.emissions] == [
            f"act() was called at test_closing.py:{main.__code__.co_firstlineno + 1} and never awaited"
        ]
        with contextlib.closing(replayed(run.program, run.events)) as again:
            assert again.commands.emissions == []


def test_coroutines_left_over_by_a_refusal_go_without_a_word() -> None:
    """The second half of the gather is never begun; it must not be complained of when others are at work."""

    async def half() -> None:
        await act("clean up")

    async def main() -> None:
        kept = []
        try:
            await act("change")
        finally:
            try:
                await asyncio.gather(half(), half())
            except BaseException as error:
                kept.append(error)  # a cycle: the error holds the frames, and these hold the list
                raise

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with Fake(main) as run:
            keep = run.replay
        gc.collect()
    assert keep.closed and [str(warning.message) for warning in told] == []


def test_a_closed_or_failed_replay_takes_nothing_more() -> None:
    run = Fake(compensating)
    run.start()
    run.replay.close()
    run.replay.close()
    with pytest.raises(InternalError, match="closed replay"):
        run.replay.apply([])


def test_workflow_code_never_runs_inside_another_loop() -> None:
    """From Python 3.14 on a thread has one current task: the outer one would be taken for the script's."""

    async def engine() -> None:
        replay = Fake(program(compensating)).replay
        with pytest.raises(InternalError, match="inside another event loop"):
            replay.apply([started()])

    asyncio.run(engine())

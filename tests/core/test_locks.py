"""Locks between runs in replay: asked for by a command, got by one event, given up by another command."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import dwf
from dwf.core import events as ev
from dwf.core.state import Status, fold
from dwf.errors import ScriptBug, ValueRefused
from tests.core.driver import Fake, act


def got(run: Fake, number: int) -> list[Any]:
    return run.deliver(ev.LockAcquired(command=number))


def test_the_block_runs_between_getting_a_lock_and_giving_it_up() -> None:
    async def main() -> Any:
        async with dwf.lock("db-prod"):
            return await act("migrate")

    with Fake(main) as run:
        assert run.asked == ["LockRequested"]
        got(run, 1)
        run.complete("migrate", 7)
        assert run.result == 7
        assert run.asked == ["LockRequested", "act migrate", "LockReleased"]
        run.prove()


def test_a_lock_is_given_up_when_the_block_fails() -> None:
    async def main() -> Any:
        try:
            async with dwf.lock("db-prod"):
                raise dwf.Failure("no")
        except dwf.Failure:
            return await act("told")

    with Fake(main) as run:
        got(run, 1)
        assert run.asked == ["LockRequested", "LockReleased", "act told"]
        run.prove()


def test_who_is_cancelled_while_waiting_leaves_the_line() -> None:
    async def main() -> Any:
        async def hold() -> None:
            async with dwf.lock("db-prod"):
                await act("never")

        task = asyncio.create_task(hold())
        await act("first")
        task.cancel()
        await asyncio.wait([task])
        return "done"

    with Fake(main) as run:
        run.complete("first")
        assert run.result == "done"
        assert sorted(run.asked) == ["LockReleased", "LockRequested", "act first"]
        run.prove()


def test_a_block_that_asks_for_the_lock_it_holds_is_a_bug_of_the_script() -> None:
    """Fails when it waits for itself instead, for ever."""

    async def main() -> Any:
        async with dwf.lock("db-prod"), dwf.lock("db-prod"):
            return await act("never")

    with Fake(main) as run, pytest.raises(ScriptBug, match="holds it already would wait for itself"):
        got(run, 1)


def test_two_tasks_of_a_run_may_wait_for_one_another() -> None:
    async def main() -> Any:
        async def one(name: str) -> None:
            async with dwf.lock("db-prod"):
                await act(name)

        await asyncio.gather(one("a"), one("b"))
        return "both"

    with Fake(main) as run:
        got(run, 1)
        run.complete("a")
        got(run, 2)
        run.complete("b")
        assert run.result == "both"
        run.prove()


def test_names_and_numbers_that_make_no_sense_are_refused() -> None:
    for wrong in ({"name": ""}, {"name": "x" * 101}, {"name": "x", "n": 0}, {"name": "x", "n": True}):
        with pytest.raises(ValueRefused):
            dwf.lock(**wrong)  # type: ignore[arg-type]


def test_the_fold_tells_who_waits_from_who_holds() -> None:
    started = ev.WorkflowStarted(
        id=1, ts="2026-01-01T00:00:00.000000Z", run="r", nonce="n", workflow="w", script="s", code="c"
    )
    asked = ev.LockRequested(id=2, ts="2026-01-01T00:00:01.000000Z", command=1, name="db")
    state = fold([started, asked])
    assert state.status is Status.WAITING
    assert state.locks.waited_for
    state.apply(ev.LockAcquired(id=3, ts="2026-01-01T00:00:02.000000Z", command=1))
    assert not state.locks.waited_for
    assert state.locks[1].since
    state.apply(ev.LockReleased(id=4, ts="2026-01-01T00:00:03.000000Z", command=2, lock=1))
    assert not state.locks
    assert state.locks.names == {"db"}

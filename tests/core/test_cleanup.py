"""Cleaning up: with steps, within its own time, told why and by whom, and not to be interrupted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import dwf
from dwf.core import events as ev
from dwf.errors import ValueRefused
from tests.core.driver import Fake, act, blocked

ANNA = ev.Identity(uid=1003, login="anna")


def ask_to_end(run: Fake, reason: str = "wrong host") -> None:
    run.deliver(ev.CancelRequested(reason=reason, by=ANNA))


def test_a_cleanup_learns_why_it_was_cancelled_and_by_whom() -> None:
    async def main() -> Any:
        assert dwf.info().cancelled is None
        try:
            await act("switch")
        except asyncio.CancelledError as error:
            asked = dwf.info().cancelled
            assert asked is not None
            return [str(error), asked.reason, asked.by, asked.at == dwf.info().cancelled.at]  # type: ignore[union-attr]

    with Fake(main) as run:
        run.cancel()
    with Fake(main) as run:
        ask_to_end(run)
        run.end_cancelled("switch")
        assert run.result == ["cancelled", "wrong host", "anna", True]
        run.prove()


def test_a_cleanup_with_a_time_limit_of_its_own_runs_steps_within_it() -> None:
    async def main() -> None:
        try:
            await act("switch")
        finally:
            await dwf.cleanup(act("tidy"), timeout="5m")

    with Fake(main) as run:
        ask_to_end(run)
        run.end_cancelled("switch")
        assert run.asked == ["act switch", "cancel 1", "timer 300", "act tidy"]
        run.complete("tidy")
        assert isinstance(run.outcome, ev.WorkflowCancelled)
        run.prove()


def test_a_cleanup_that_takes_too_long_is_asked_to_end_and_times_out() -> None:
    async def main() -> str:
        try:
            await dwf.cleanup(act("tidy"), timeout="5m")
        except TimeoutError:
            return "left as it is"
        return "tidy"

    with Fake(main) as run:
        run.fire()
        assert run.asked[-1] == "cancel 2" and run.outcome is None, "it is waited for"
        run.end_cancelled("tidy")
        assert run.result == "left as it is"
        run.prove()


@pytest.mark.parametrize("limited", [True, False])
def test_a_cancel_does_not_reach_into_a_cleanup_and_is_raised_after_it(limited: bool) -> None:
    async def main() -> None:
        try:
            await dwf.cleanup(act("tidy"), timeout="5m" if limited else None)
        finally:
            await act("after")

    with Fake(main) as run:
        ask_to_end(run)
        assert not any(words.startswith("cancel") for words in run.asked)
        run.complete("tidy")
        assert run.asked[-1] == "act after"
        run.complete("after")
        assert isinstance(run.outcome, ev.WorkflowCancelled)
        run.prove()


def test_a_cleanup_that_fails_says_so_and_the_cancel_comes_with_the_next_await() -> None:
    async def main() -> None:
        try:
            await dwf.cleanup(act("tidy"))
        except dwf.ActivityError:
            await act("next")

    with Fake(main) as run:
        ask_to_end(run)
        run.fail("tidy")
        assert run.asked[-1].startswith("cancel")
        run.end_cancelled("next")
        assert isinstance(run.outcome, ev.WorkflowCancelled)
        run.prove()


def test_a_time_limit_around_a_cleanup_waits_for_it() -> None:
    async def main() -> str:
        try:
            async with asyncio.timeout(60):
                await dwf.cleanup(act("tidy"))
        except TimeoutError:
            return "late"
        return "in time"

    with Fake(main) as run:
        run.fire()
        assert run.outcome is None
        run.complete("tidy")
        assert run.result == "late"
        run.prove()


def test_scopes_within_scopes_clean_up_from_the_inside_out_with_steps() -> None:
    async def scope(name: str, body: Any) -> None:
        try:
            await body
        finally:
            await act(f"tidy {name}")

    async def main() -> str:
        try:
            async with asyncio.timeout(100):
                await scope("outer", _inner(scope))
        except TimeoutError:
            return "outer limit"
        return "done"

    async def _inner(scope: Any) -> None:
        try:
            async with asyncio.timeout(10):
                await scope("inner", act("work"))
        except TimeoutError:
            await act("inner limit")

    with Fake(main) as run:
        run.fire()
        run.end_cancelled("work")
        run.complete("tidy inner")
        assert run.asked[-1] == "act inner limit"
        run.fire()
        run.end_cancelled("inner limit")
        run.complete("tidy outer")
        assert run.result == "outer limit"
        run.prove()


def test_a_shielded_part_goes_on_and_can_be_awaited_by_the_cleanup() -> None:
    async def main() -> Any:
        part = asyncio.create_task(act("must end"))
        try:
            await asyncio.shield(part)
        except asyncio.CancelledError:
            return await part

    with Fake(main) as run:
        ask_to_end(run)
        assert run.asked == ["act must end"]
        run.complete("must end", "it did")
        assert run.result == "it did"
        run.prove()


@pytest.mark.parametrize("timeout", [0, -1, "soon", float("nan")])
def test_a_limit_that_makes_no_sense_is_refused(timeout: Any) -> None:
    async def main() -> None:
        await dwf.cleanup(act("tidy"), timeout=timeout)

    assert isinstance(blocked(main), ValueRefused)

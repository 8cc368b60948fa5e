"""Coroutine functions on the loop of a side thread: limits, cancelling, and those that will not end."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dwf.activities import async_function, prepare_async
from dwf.activities.info import activity_info
from dwf.activities.plan import NO_PROCESS, Attempt, Kind, Outcome
from dwf.activities.prints import capturing

from .calls import call_of
from .processes import soon

Make = Callable[..., Attempt]


@pytest.fixture(autouse=True)
def side(monkeypatch: pytest.MonkeyPatch) -> Iterator[async_function._Side]:
    """A loop of the test's own, stopped and closed at its end."""
    side = async_function._Side()
    loops: list[asyncio.AbstractEventLoop] = []
    monkeypatch.setattr(async_function, "_SIDE", side)
    made = asyncio.new_event_loop

    def remembered() -> asyncio.AbstractEventLoop:
        loops.append(made())
        return loops[-1]

    monkeypatch.setattr(asyncio, "new_event_loop", remembered)
    yield side
    for loop in loops:
        asyncio.run_coroutine_threadsafe(_all_cancelled(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        assert soon(lambda loop=loop: not loop.is_running())
        loop.close()


async def _all_cancelled() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def perform(attempt: Attempt, function: Callable[..., Any], *args: Any) -> Outcome:
    performance = prepare_async(call_of(function, *args), attempt)
    performance.go()
    return performance.finish()


def message_of(outcome: Outcome) -> str:
    assert outcome.error is not None
    return outcome.error.message


def test_a_result_comes_back_and_no_process_is_recorded(attempt: Make) -> None:
    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    performance = prepare_async(call_of(add, 1, 2), attempt())
    assert performance.process == NO_PROCESS
    performance.go()
    outcome = performance.finish()
    assert (outcome.kind, outcome.result) == (Kind.COMPLETED, b"3")


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_any_exception_is_a_failed_step_and_the_loop_lives_on(attempt: Make, error: BaseException) -> None:
    async def fail() -> None:
        raise error

    async def fine() -> int:
        return 1

    outcome = perform(attempt(), fail)
    assert (outcome.kind, outcome.error_types[0]) == (Kind.FAILED, type(error).__name__)
    assert perform(attempt(), fine).kind is Kind.COMPLETED


def test_a_result_that_cannot_be_stored_fails_the_step(attempt: Make) -> None:
    async def give() -> float:
        return float("nan")

    assert perform(attempt(), give).error_types[0] == "ValueRefused"


def test_arguments_that_do_not_fit_fail_the_step(attempt: Make) -> None:
    async def one(a: int) -> int:
        return a

    assert perform(attempt(), one).error_types[0] == "TypeError"


def test_a_timeout_cancels_it(attempt: Make) -> None:
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append("tidy")

    outcome = perform(attempt(timeout_us=50_000), wait)
    assert (outcome.kind, message_of(outcome), ended) == (Kind.TIMED_OUT, "it ran longer than 50ms", ["tidy"])


def test_what_ends_well_only_after_its_limit_has_timed_out(attempt: Make) -> None:
    async def late() -> int:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass
        return 1

    assert perform(attempt(timeout_us=30_000), late).kind is Kind.TIMED_OUT


@pytest.mark.parametrize(("ask", "kind"), [("cancel", Kind.CANCELLED), ("interrupt", Kind.INTERRUPTED)])
def test_it_can_be_asked_to_end_from_another_thread(attempt: Make, ask: str, kind: Kind) -> None:
    running = threading.Event()

    async def wait() -> None:
        running.set()
        await asyncio.sleep(1000)

    performance = prepare_async(call_of(wait), attempt())
    performance.go()

    def later() -> None:
        running.wait(5)
        getattr(performance, ask)("maintenance")
        performance.cancel("a second voice")

    thread = threading.Thread(target=later)
    thread.start()
    outcome = performance.finish()
    thread.join()
    assert (outcome.kind, message_of(outcome)) == (kind, "maintenance")


def test_what_completes_although_it_was_cancelled_is_completed(attempt: Make) -> None:
    running = threading.Event()

    async def finish_first() -> str:
        running.set()
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            return "done after all"
        return "never"

    performance = prepare_async(call_of(finish_first), attempt())
    performance.go()
    running.wait(5)
    performance.cancel("enough")
    assert performance.finish().result == b'"done after all"'


def test_an_error_while_ending_is_told(attempt: Make) -> None:
    async def wait() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            raise ValueError("cannot tidy up")

    outcome = perform(attempt(timeout_us=30_000), wait)
    assert outcome.kind is Kind.TIMED_OUT
    performance = prepare_async(call_of(wait), attempt())
    performance.go()
    time.sleep(0.05)
    performance.cancel("enough")
    assert message_of(performance.finish()) == "enough; while it was ending: ValueError: cannot tidy up"


def test_one_that_will_not_end_is_given_up_and_others_go_on(attempt: Make, side: Any) -> None:
    release = threading.Event()

    async def block() -> None:
        release.wait(10)  # it blocks the whole loop

    async def fine() -> int:
        return 1

    outcome = perform(attempt(timeout_us=30_000, grace_us=30_000), block)
    assert (outcome.kind, "runs on" in message_of(outcome)) == (Kind.TIMED_OUT, True)
    assert perform(attempt(timeout_us=5_000_000, grace_us=0), fine).kind is Kind.COMPLETED
    release.set()


@pytest.mark.parametrize("asked", [False, True])
def test_one_that_was_not_begun_or_was_cancelled_before_does_not_run(attempt: Make, asked: bool) -> None:
    ran: list[int] = []

    async def run() -> None:
        ran.append(1)

    performance = prepare_async(call_of(run), attempt())
    if asked:
        performance.cancel("changed my mind")
        performance.go()
    outcome = performance.finish()
    assert (outcome.kind, ran) == (Kind.CANCELLED, [])
    assert message_of(outcome) == ("changed my mind" if asked else "it was never begun")


def test_many_at_once_keep_their_prints_and_names_apart(attempt: Make) -> None:
    async def say(word: str) -> str:
        for _ in range(50):
            print(word)
            await asyncio.sleep(0)
            print(word, file=sys.stderr)
        return activity_info().step

    with capturing():
        steps = [prepare_async(call_of(say, word), attempt(name=word, out_prefix=None)) for word in "abcd"]
        for step in steps:
            step.go()
        outcomes = [step.finish() for step in steps]
    for word, outcome in zip("abcd", outcomes, strict=True):
        assert outcome.output is not None
        assert outcome.output.tail == outcome.output.err_tail == f"{word}\n" * 50
        assert outcome.result == f'"{word}"'.encode()

"""Callbacks in replay: opened by a command, ended by one event, withdrawn when nobody waits any more."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import dwf
from dwf.core import events as ev
from dwf.core.duration import SECOND
from dwf.core.values import encode
from dwf.errors import ActivityError, ActivityTimeout
from tests.core.driver import Fake, act


def completed(run: Fake, number: int, result: Any) -> list[Any]:
    return run.deliver(ev.CallbackCompleted(command=number, result=ev.Payload(encode(result))))


def test_a_callback_gives_what_the_outside_says() -> None:
    async def main() -> Any:
        job = dwf.callback("restore", type=set[int])
        await act("hand out")
        return sorted(await job)

    with Fake(main) as run:
        completed(run, 1, [2, 1])
        run.complete("hand out")
        assert run.result == [1, 2]
        assert run.asked == ["CallbackOpened", "act hand out"]
        run.prove()


def test_a_callback_that_failed_or_timed_out_raises_like_a_step() -> None:
    async def main() -> Any:
        told = []
        for name in "abc":
            try:
                await dwf.callback(name, timeout="2h", heartbeat="5m")
            except ActivityError as error:
                told.append(f"{type(error).__name__}: {error}")
        return told

    with Fake(main) as run:
        run.deliver(ev.CallbackFailed(command=1, error=ev.ErrorInfo(type="Failed", message="disk full")))
        run.deliver(ev.CallbackTimedOut(command=2, heartbeat=True))
        run.deliver(ev.CallbackTimedOut(command=3))
        assert run.result == [
            "ActivityError: a failed: Failed: disk full",
            f"{ActivityTimeout.__name__}: b timed out: no heartbeat for 5m",
            f"{ActivityTimeout.__name__}: c timed out: nobody completed it within 2h",
        ]
        run.prove()


def test_a_result_that_does_not_fit_is_told_to_the_script_and_is_no_bug() -> None:
    async def main() -> Any:
        try:
            await dwf.callback("size", type=int)
        except ActivityError as error:
            return error.type

    with Fake(main) as run:
        completed(run, 1, "much")
        assert run.result == "Misfit"
        run.prove()


def test_a_callback_that_is_given_up_is_withdrawn() -> None:
    async def main() -> Any:
        job = dwf.callback("slow")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                await job
        await act("a")
        return "went on"

    with Fake(main) as run:
        run.fire()
        assert run.asked == ["CallbackOpened", "timer 60", "CallbackWithdrawn", "act a"]
        assert run.state().callbacks == {}
        run.complete("a")
        assert run.result == "went on"
        run.prove()


def test_the_time_of_a_callback_is_the_earlier_of_deadline_and_silence() -> None:
    async def main() -> None:
        await dwf.callback("job", timeout=100, heartbeat=60)

    with Fake(main) as run:
        opened = run.state().callbacks[1]
        begin = opened.beat_us
        assert opened.due_us == begin + 60 * SECOND and opened.is_silent_first
        run.now_us += 50 * SECOND
        run.note(ev.CallbackHeartbeat(command=1, decided=ev.Decision(message="m1")))
        deadline = opened.due_us
        assert deadline is not None and not opened.is_silent_first
        assert begin + 99 * SECOND < deadline <= begin + 100 * SECOND
        assert "m1" in run.state().messages


def test_the_token_is_a_reference_and_nothing_else() -> None:
    seen: list[Any] = []

    async def main() -> None:
        await act("a")
        job = dwf.callback("job")
        seen.append(job)
        await job

    with Fake(main) as run:
        run.complete("a")
        assert repr(seen[0].token) == "dwf.secret('callback:2')"
        assert repr(seen[0]) == "<dwf.callback 'job'>"

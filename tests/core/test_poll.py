"""Polling: a step again and again until it finds what it should, with durable pauses and an end."""

from __future__ import annotations

from typing import Any

import pytest

import dwf
from dwf.errors import ValueRefused
from tests.core.driver import Fake, act, blocked


def polling(**options: Any) -> Any:
    options.setdefault("every", "10s")

    async def main() -> Any:
        try:
            return await dwf.poll(lambda: act("lag"), title="lag", **options)
        except TimeoutError as error:
            return str(error)

    return main


def test_it_tries_at_once_and_then_after_each_pause_until_it_finds_what_it_should() -> None:
    with Fake(polling(until=lambda lag: lag < 5)) as run:
        run.complete("lag", 90)
        run.fire()
        run.complete("lag", 40)
        run.fire()
        run.complete("lag", 3)
        assert run.result == 3
        assert run.asked == ["act lag", "timer 10", "act lag", "timer 20", "act lag"]
        assert [e.purpose for e in run.openings if hasattr(e, "purpose")] == ["lag, try 2", "lag, try 3"]
        run.prove()


def test_pauses_grow_up_to_a_limit() -> None:
    with Fake(polling(every=1, backoff=10, max_every="1m")) as run:
        for _ in range(4):
            run.complete("lag", None)
            run.fire()
        assert [words for words in run.asked if words.startswith("timer")] == [
            "timer 1",
            "timer 11",
            "timer 71",
            "timer 131",
        ]
        run.prove()


def test_after_its_time_a_try_that_runs_is_ended_and_what_was_found_is_told() -> None:
    with Fake(polling(timeout="1m")) as run:
        run.complete("lag", 0)
        run.fire()
        run.fire()
        assert run.asked[-1].startswith("cancel"), "the try that runs is asked to end"
        run.end_cancelled("lag")
        assert run.result == "lag: not as it should be within 1m, after 2 tries; last found: 0"
        run.prove()


def test_after_so_many_tries_it_gives_up() -> None:
    with Fake(polling(max_tries=2)) as run:
        run.complete("lag", 0)
        run.fire()
        run.complete("lag", "")
        assert run.result == "lag: not as it should be, after 2 tries; last found: ''"
        run.prove()


def test_a_try_that_fails_is_a_failure() -> None:
    async def main() -> Any:
        try:
            return await dwf.poll(lambda: act("lag"), every=1)
        except dwf.ActivityError as error:
            return error.reason

    with Fake(main) as run:
        run.fail("lag", "no route")
        assert run.result == "no route"


def test_a_time_limit_of_somebody_else_is_not_its_own() -> None:
    async def signal() -> Any:
        return await dwf.wait_signal("go", timeout=1)

    async def main() -> Any:
        try:
            return await dwf.poll(signal, every=1, timeout="1h")
        except TimeoutError as error:
            return str(error)

    with Fake(main) as run:
        run.fire()
        assert run.result == "no signal 'go' within 1"


def test_cancelling_ends_it_in_the_pause_and_in_the_try() -> None:
    for pause in (True, False):
        with Fake(polling(timeout="1h")) as run:
            if pause:
                run.complete("lag", 0)
            run.cancel()
            if not pause:
                run.end_cancelled("lag")
            assert type(run.outcome).__name__ == "WorkflowCancelled"
            run.prove()


@pytest.mark.parametrize(
    "options",
    [
        {"every": 0}, {"every": -1}, {"every": "soon"}, {"backoff": 0.5}, {"backoff": "2"}, {"backoff": True},
        {"max_tries": 0}, {"max_tries": 1.5}, {"timeout": "x"}, {"max_every": -1},
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(options: Any) -> None:
    assert isinstance(blocked(polling(**options)), ValueRefused)


def test_a_call_in_place_of_a_function_is_told_how_to_write_it() -> None:
    async def main() -> None:
        await dwf.poll(act("lag"), every=1)  # type: ignore[arg-type]

    error = blocked(main)
    assert isinstance(error, ValueRefused) and "lambda" in (error.hint or "")


def test_an_until_that_is_always_true_by_mistake_is_refused() -> None:
    async def enough(_: Any) -> bool:
        return False

    with Fake(polling(until=enough)) as run, pytest.raises(ValueRefused):
        run.complete("lag", 0)

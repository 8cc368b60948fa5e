"""A run that has failed is tried again: as a new instance, after its delay, while policy and time allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine.runs import load
from dwf.errors import ScriptRefused
from tests.engine.dying import each_death
from tests.engine.house import House

FLAKY = """
@dwf.activity(retry=dwf.Retry(max_attempts=1))
def step(n: int) -> int:
    note("step", n)
    with open(LEDGER) as ledger:
        if len(ledger.readlines()) < 3:
            raise ValueError("not yet")
    return n

@dwf.workflow(retry=dwf.Retry(%s))
async def main(n: int = 7):
    return await step(n)
"""
SOON = FLAKY % 'initial="10m", max_interval="1h", jitter="none"'


def all_attempts(house: House, hours: int = 3) -> None:
    for _ in range(hours):
        house.clock.advance("1h")
        house.tick()


def test_a_run_that_failed_begins_again_after_the_delay_with_the_same_input(house: House) -> None:
    house.go(SOON)
    assert house.status() is Status.WAITING and house.notes() == ["step 7"]
    house.clock.advance("9m")
    house.tick()
    assert house.notes() == ["step 7"]
    house.clock.advance("2m")
    house.tick()
    assert house.notes() == ["step 7"] * 2
    house.clock.advance("19m")
    assert house.tick().driven == 0
    house.clock.advance("2m")
    house.tick()
    assert house.result() == 7 and house.state().head.attempt == 3
    house.check()


def test_the_history_of_each_attempt_is_kept_with_its_failure(house: House) -> None:
    house.go(SOON)
    all_attempts(house)
    ends = [load(house.store, "r1", link).state for link in (1, 2)]
    assert all(state is not None and isinstance(state.ended, ev.WorkflowContinuedAsNew) for state in ends)
    assert [state.ended.error.type for state in ends if state and hasattr(state.ended, "error")] == [
        "ActivityError"
    ] * 2


def test_the_last_attempt_s_failure_is_the_run_s(house: House) -> None:
    house.go(FLAKY % "max_attempts=2")
    all_attempts(house)
    assert house.status() is Status.FAILED and house.view().link == 2 and house.notes() == ["step 7"] * 2


@pytest.mark.parametrize("kind", ["ValueError", "ActivityError"])
def test_what_is_not_to_be_retried_fails_at_once(house: House, kind: str) -> None:
    house.go(FLAKY % f'non_retryable=("{kind}",)')
    assert house.status() is Status.FAILED and house.view().link == 1


def test_no_attempt_begins_behind_the_deadline_of_the_run(house: House) -> None:
    house.go(FLAKY % 'initial="10m", max_interval="1h", jitter="none"', deadline_us=15 * 60 * 1_000_000)
    house.clock.advance("11m")
    house.tick()
    assert house.status() is Status.FAILED and house.notes() == ["step 7"] * 2


def test_a_run_that_was_cancelled_and_then_failed_is_over(house: House) -> None:
    house.go(
        """
        @dwf.workflow(retry=dwf.Retry())
        async def main():
            try:
                await dwf.wait_signal("go")
            finally:
                raise dwf.Failure("while it cleaned up")
        """
    )
    house.cancel()
    house.tick()
    assert house.status() is Status.FAILED and house.view().link == 1


def test_between_two_attempts_it_can_be_cancelled_and_takes_signals(house: House) -> None:
    house.go(SOON)
    house.signal("go")
    house.cancel()
    house.tick()
    assert house.status() is Status.CANCELLED and house.notes() == ["step 7"]


def test_a_signal_that_an_attempt_did_not_take_is_there_for_the_next(house: House) -> None:
    house.go(
        """
        @dwf.workflow(retry=dwf.Retry(initial="10m"))
        async def main():
            if not (await dwf.wait_signal("first", timeout=0, default=None)):
                await dwf.wait_signal("fail")
                raise dwf.Failure("no")
            return 1
        """
    )
    house.signal("first", 5)
    house.signal("fail")
    house.tick()
    house.clock.advance("1h")
    house.tick()
    assert house.result() == 1 and house.view().link == 2


def test_a_child_is_tried_again_and_its_parent_sees_only_how_it_ends(house: House) -> None:
    script = SOON.replace("async def main", "async def child") + (
        "\n@dwf.workflow\nasync def main():\n    return await child(4)\n"
    )
    house.start(house.script(script) + ":main")
    house.tick()
    all_attempts(house)
    assert house.result() == 4 and house.view("r1.1").link == 3 and house.view().link == 1


def test_continue_as_new_begins_to_count_anew(house: House) -> None:
    house.go(
        """
        @dwf.activity(retry=dwf.Retry(max_attempts=1))
        def step(n: int) -> None:
            note(n)
            with open(LEDGER) as ledger:
                if ledger.read().split().count(str(n)) < 2:
                    raise ValueError("the first time")

        @dwf.workflow(retry=dwf.Retry(max_attempts=2, initial="1m"))
        async def main(n: int = 0):
            await step(n)
            return n if n == 2 else dwf.continue_as_new(n=n + 1)
        """
    )
    all_attempts(house, 6)
    assert house.result() == 2 and house.notes() == ["0", "0", "1", "1", "2", "2"]


def test_a_retry_that_is_none_is_refused(house: House) -> None:
    with pytest.raises(ScriptRefused):
        house.start(house.script("@dwf.workflow(retry=3)\nasync def main():\n    pass\n"))


def test_a_process_that_dies_anywhere_makes_no_attempt_twice(ram: Path) -> None:
    script = FLAKY.replace("< 3", "< 99") % 'max_attempts=2, initial="10m"'

    def check(house: House) -> None:
        all_attempts(house)
        assert house.status() is Status.FAILED and house.view().link == 2

    assert each_death(ram, lambda house: house.start(house.script(script)), check) > 2

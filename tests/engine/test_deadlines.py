"""Deadlines: what has not come to its end in time is cancelled or ended, and that is how its history ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.duration import SECOND, unstamp
from dwf.core.state import Status
from dwf.errors import ScriptRefused, ValueRefused
from tests.engine.dying import each_death
from tests.engine.house import House

STEP = """
@dwf.activity
def step(word: str) -> None:
    note(word)
"""
CLEANS_UP = f"""{STEP}
@dwf.workflow(deadline="2h")
async def main():
    try:
        await dwf.wait_signal("go")
    finally:
        await step("cleanup")
        await step(dwf.info().cancelled.by + ": " + dwf.info().cancelled.reason)
"""
AT_ONCE = f"""{STEP}
@dwf.workflow(deadline="2h", on_deadline="terminate")
async def main():
    try:
        await dwf.wait_signal("go")
    finally:
        await step("cleanup")
"""
ROUNDS = """
@dwf.workflow(%s)
async def main(n: int = 0):
    await dwf.sleep("1h")
    return dwf.continue_as_new(n=n + 1)
"""


def test_at_its_deadline_a_run_is_cancelled_cleans_up_and_has_timed_out(house: House) -> None:
    house.go(CLEANS_UP)
    assert house.status() is Status.WAITING
    house.clock.advance("119m")
    assert house.tick().driven == 0
    house.clock.advance("2m")
    house.tick()
    assert house.status() is Status.TIMED_OUT
    assert house.notes() == ["cleanup", "its deadline: its deadline has passed"]
    end = house.the(ev.WorkflowTimedOut)
    assert unstamp(end.due) == unstamp(house.state().head.ts) + 2 * 3600 * SECOND
    house.check()


def test_the_deadline_is_when_time_alone_makes_a_waiting_run_due(house: House) -> None:
    house.go(CLEANS_UP)
    assert house.store.index.next_due_us() == unstamp(house.state().head.deadline)


def test_with_terminate_it_ends_at_once_and_says_what_stays_open(house: House) -> None:
    house.go(AT_ONCE)
    house.clock.advance("3h")
    house.tick()
    assert house.status() is Status.TIMED_OUT and house.notes() == []
    assert house.the(ev.WorkflowTimedOut).open == [1]
    assert house.kinds()[-2:] == ["DeadlinePassed", "WorkflowTimedOut"]


def test_what_came_before_the_deadline_wins_though_no_tick_ran_in_between(house: House) -> None:
    house.go(CLEANS_UP.replace("await step", "await dwf.sleep(0) or await step"))
    house.signal("go")
    house.clock.advance("3h")
    house.tick()
    assert house.kinds().index("SignalReceived") < house.kinds().index("DeadlinePassed")


def test_a_run_that_is_done_at_its_deadline_has_completed(house: House) -> None:
    house.go('@dwf.workflow(deadline="2h")\nasync def main():\n    return await dwf.wait_signal("go")\n')
    house.signal("go", 7)
    house.clock.advance("3h")
    house.tick()
    assert house.result() == 7 and "DeadlinePassed" not in house.kinds()


def test_who_catches_the_cancellation_and_returns_has_completed(house: House) -> None:
    house.go(
        """
        @dwf.workflow(deadline="2h")
        async def main():
            try:
                await dwf.wait_signal("go")
            except asyncio.CancelledError:
                return "in time after all"
        """
    )
    house.clock.advance("3h")
    house.tick()
    assert house.result() == "in time after all"


def test_somebody_who_cancelled_it_before_has_ended_it(house: House) -> None:
    """The cleanup goes on over the deadline, and is not cancelled a second time."""
    house.go(
        """
        @dwf.activity
        def step(word: str) -> None:
            note(word)

        @dwf.workflow(deadline="2h")
        async def main():
            try:
                await dwf.wait_signal("go")
            finally:
                await dwf.sleep("3h")
                await step("done")
        """
    )
    house.cancel()
    house.tick()
    house.clock.advance("2h30m")
    house.tick()
    assert "DeadlinePassed" in house.kinds() and house.notes() == []
    house.clock.advance("2h")
    house.tick()
    assert house.status() is Status.CANCELLED and house.notes() == ["done"]


def test_a_start_that_is_put_off_does_not_use_up_the_time(house: House) -> None:
    later = house.clock() + 5 * 3600 * SECOND
    house.start(house.script(CLEANS_UP), start_at_us=later)
    assert unstamp(house.state().head.deadline) == later + 2 * 3600 * SECOND


def test_who_starts_it_can_give_it_another_deadline(house: House) -> None:
    house.go(CLEANS_UP, deadline_us=60 * SECOND)
    house.clock.advance("2m")
    house.tick()
    assert house.status() is Status.TIMED_OUT


def test_the_deadline_is_one_for_all_instances_of_a_run(house: House) -> None:
    house.go(ROUNDS % 'deadline="150m"')
    for _ in range(3):
        house.clock.advance("61m")
        house.tick()
    assert house.status() is Status.TIMED_OUT and house.view().link == 3
    assert house.the(ev.DeadlinePassed).whole


def test_a_run_timeout_begins_anew_with_each_instance(house: House) -> None:
    house.go(ROUNDS % 'run_timeout="90m"')
    for _ in range(3):
        house.clock.advance("61m")
        house.tick()
    assert house.status() is Status.WAITING and house.view().link == 4
    house.clock.advance("91m")
    house.tick()
    assert house.view().link == 5 or house.status() is Status.TIMED_OUT


def test_an_instance_that_takes_too_long_has_timed_out(house: House) -> None:
    house.go('@dwf.workflow(run_timeout="90m")\nasync def main():\n    await dwf.wait_signal("go")\n')
    house.clock.advance("91m")
    house.tick()
    assert house.status() is Status.TIMED_OUT and not house.the(ev.DeadlinePassed).whole


def test_a_blocked_run_meets_its_deadline_too(house: House) -> None:
    house.go('@dwf.workflow(deadline="2h", on_deadline="terminate")\nasync def main():\n    {}["typo"]\n')
    assert house.status() is Status.BLOCKED
    house.clock.advance("3h")
    house.tick()
    assert house.status() is Status.TIMED_OUT


def test_a_blocked_run_that_is_to_clean_up_stays_blocked_and_is_not_looked_at_again(house: House) -> None:
    house.go('@dwf.workflow(deadline="2h")\nasync def main():\n    {}["typo"]\n')
    house.clock.advance("3h")
    house.tick()
    assert house.status() is Status.BLOCKED and "DeadlinePassed" in house.kinds()
    assert house.tick().driven == 0


PARENT = f"""{STEP}
@dwf.workflow(deadline="1h")
async def child():
    try:
        await dwf.wait_signal("go")
    finally:
        await step("child cleaned up")

@dwf.workflow
async def main():
    try:
        await child%s()
    except dwf.ChildError as error:
        return error.outcome
"""


@pytest.mark.parametrize(("options", "hours"), [("", "61m"), ('.options(deadline="3h")', "181m")])
def test_a_child_that_timed_out_tells_its_parent(house: House, options: str, hours: str) -> None:
    house.start(house.script(PARENT % options) + ":main")
    house.tick()
    house.clock.advance("59m")
    house.tick()
    house.clock.advance(hours)
    house.tick()
    assert house.status("r1.1") is Status.TIMED_OUT and house.result() == "timed-out"
    assert house.notes() == ["child cleaned up"]


def test_a_script_may_ask_how_long_it_has(house: House) -> None:
    house.go(
        '@dwf.workflow(deadline="2h")\nasync def main():\n'
        "    return round((dwf.info().deadline - dwf.info().started_at).total_seconds())\n"
    )
    assert house.result() == 7200


@pytest.mark.parametrize("wrong", ['deadline="soon"', "deadline=0", "run_timeout=-1", 'deadline="1h", on_deadline="x"'])
def test_a_limit_that_makes_no_sense_is_refused_when_the_script_is_loaded(house: House, wrong: str) -> None:
    with pytest.raises((ScriptRefused, ValueRefused)):
        house.start(house.script(f"@dwf.workflow({wrong})\nasync def main():\n    pass\n"))


@pytest.mark.parametrize("script", [CLEANS_UP, AT_ONCE])
def test_a_process_that_dies_anywhere_at_the_deadline_loses_nothing(ram: Path, script: str) -> None:
    def begin(house: House) -> None:
        house.go(script)
        house.clock.advance("3h")

    def check(house: House) -> None:
        assert house.status() is Status.TIMED_OUT
        house.the(ev.DeadlinePassed)

    assert each_death(ram, begin, check) > 2

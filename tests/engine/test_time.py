"""Time: runs wait without a process; timers fire once, not early, in their own order, whatever the clock does."""

from __future__ import annotations

import pytest

from dwf.core import events as ev
from dwf.core.duration import unstamp
from dwf.core.state import Status
from dwf.errors import WrongState
from tests.engine.house import House

SLEEPER = """
@dwf.activity
def work(word: str) -> None:
    note(word)

@dwf.workflow
async def main():
    await work("before")
    began = dwf.now()
    await dwf.sleep("3d")
    await work("after")
    return (dwf.now() - began).total_seconds()
"""


def test_a_sleep_of_days_needs_no_process_and_no_tick_in_between(house: House) -> None:
    house.go(SLEEPER)
    assert house.status() is Status.WAITING and house.notes() == ["before"]
    for _ in range(3):
        house.clock.advance("20h")
        house.reopen()
        house.tick()
    assert house.kinds().count("TimerFired") == 0
    house.clock.advance("13h")
    house.reopen()
    house.tick()
    assert 3 * 86400 <= house.result() < 3 * 86400 + 4000
    assert house.notes() == ["before", "after"] and house.kinds().count("TimerFired") == 1


def test_a_waiting_run_is_not_driven_before_its_time(house: House) -> None:
    house.go(SLEEPER)
    assert house.tick().driven == 0
    assert house.store.index.next_due_us() == unstamp(house.the(ev.TimerStarted).fire_at)


def test_overdue_timers_fire_in_the_order_of_their_own_time(house: House) -> None:
    """Fails when what is ready is delivered in the order in which it was found."""
    house.go(
        """
        async def after(hours):
            await dwf.sleep(hours * 3600)
            return hours

        @dwf.workflow
        async def main():
            done = []
            for task in asyncio.as_completed([after(3), after(1), after(2)]):
                done.append(await task)
            return done
        """
    )
    house.clock.advance("10h")
    house.tick()
    assert house.result() == [1, 2, 3]


def test_a_timer_never_fires_before_its_time_by_the_recorded_clock(house: House) -> None:
    """Fails when a timer fires a little before its time."""
    house.go(SLEEPER)
    house.clock.advance("71h59m57s")
    house.tick(only=["r1"])  # whether the index thinks so or not
    assert house.all(ev.TimerFired) == []
    house.clock.advance("4s")
    house.tick()
    assert house.the(ev.TimerFired).ts >= house.the(ev.TimerStarted).fire_at


def test_a_clock_that_is_set_back_loses_no_timer_and_fires_none_twice(house: House) -> None:
    """Fails when the wall clock is recorded as it is."""
    house.clock.advance("365d")
    house.go(SLEEPER)
    house.clock.back("200d")
    house.signal("unasked")  # something to record, while it is earlier than before
    house.tick()
    assert house.status() is Status.WAITING and house.all(ev.SignalReceived)
    house.clock.advance("204d")
    house.tick()
    assert house.result() >= 3 * 86400
    stamps = [event.ts for event in house.events()]
    assert stamps == sorted(stamps)


def test_a_clock_far_ahead_fires_everything_once(house: House) -> None:
    house.go(SLEEPER)
    house.clock.advance("3650d")
    house.tick()
    assert house.status() is Status.COMPLETED and house.notes() == ["before", "after"]


def test_a_deadline_cancels_what_it_is_around_and_the_step_does_not_run_on(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            try:
                async with asyncio.timeout(3600):
                    await dwf.wait_signal("never")
            except TimeoutError:
                return "gave up"
        """
    )
    house.clock.advance("61m")
    house.tick()
    assert house.result() == "gave up"


def test_a_timer_comes_due_while_a_step_of_the_same_run_is_running(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            try:
                async with asyncio.timeout(0.2):
                    await dwf.sh("sleep", "100")
            except TimeoutError:
                return "cut"
        """
    )
    assert house.result() == "cut"
    assert house.kinds().count("ActivityCancelled") == 1


def test_a_start_that_lies_ahead_runs_nothing_until_then(house: House) -> None:
    house.start(house.script(SLEEPER), start_at_us=house.clock() + 3600 * 1_000_000)
    house.tick()
    assert house.status() is Status.WAITING and house.notes() == []
    assert house.kinds() == ["WorkflowStarted"]
    house.clock.advance("61m")
    house.tick()
    assert house.notes() == ["before"]


def test_an_upgrade_before_the_start_does_not_bring_the_start_forward(house: House) -> None:
    from dwf.engine.upgrade import upgrade
    from tests.engine.house import ME

    path = house.script(SLEEPER)
    house.start(path, start_at_us=house.clock() + 3600 * 1_000_000)
    house.tick()
    upgrade(house.store, "r1", path, ME)
    house.tick()
    assert house.notes() == [] and house.status() is Status.WAITING
    house.clock.advance("61m")
    house.tick()
    assert house.notes() == ["before"]


@pytest.mark.parametrize(("act", "status"), [("cancel", Status.CANCELLED), ("terminate", Status.TERMINATED)])
def test_a_run_can_be_ended_before_its_start(house: House, act: str, status: Status) -> None:
    house.start(house.script(SLEEPER), start_at_us=house.clock() + 3600 * 1_000_000)
    house.signal("early")
    getattr(house, act)()
    house.tick()
    assert house.status() is status and house.notes() == []
    assert house.late() == ["early"] and house.mail() == []
    house.clock.advance("2h")
    house.tick()
    assert house.notes() == []
    with pytest.raises(WrongState):
        house.cancel()


def test_a_signal_sent_before_a_start_that_lies_ahead_is_kept_for_it(house: House) -> None:
    house.start(
        house.script("@dwf.workflow\nasync def main():\n    return await dwf.wait_signal('go')\n"),
        start_at_us=house.clock() + 3600 * 1_000_000,
    )
    house.signal("go", "early")
    assert house.tick().driven == 1
    assert len(house.mail()) == 1
    assert house.tick().errors == []
    house.clock.advance("2h")
    house.tick()
    assert house.result() == "early" and house.mail() == []

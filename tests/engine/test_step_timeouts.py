"""The three clocks of a step: one attempt, the wait for the first, and all of them with their waits."""

from __future__ import annotations

from pathlib import Path

import pytest

import dwf
from dwf.core import events as ev
from dwf.core.duration import unstamp
from dwf.core.state import Status
from dwf.core.steps import SCHEDULE_TO_CLOSE, SCHEDULE_TO_START, START_TO_CLOSE
from dwf.errors import ValueRefused
from tests.activities.processes import is_alive, pid_in, soon
from tests.engine.house import House
from tests.engine.test_orphans import killed_tick

TOLD = """
async def told(awaitable):
    try:
        return await awaitable
    except dwf.ActivityTimeout as error:
        return [error.timeout, error.reason, error.attempts]
"""
FLAKY = (
    TOLD
    + """
@dwf.activity(retry=dwf.Retry(None, initial="5m", backoff=1, max_interval="1h", jitter="none"), schedule_to_close=%r)
def flaky() -> None:
    note("flaky")
    raise ValueError("not yet")

@dwf.workflow
async def main():
    return await told(flaky())
"""
)


def test_an_attempt_that_takes_too_long_is_timed_out_as_it_always_was(house: House) -> None:
    house.go(
        TOLD
        + """
@dwf.workflow
async def main():
    return await told(dwf.sh("sleep", "60", timeout="50ms"))
"""
    )
    assert house.result() == [START_TO_CLOSE, "no end within 50ms", 1]
    assert b"which" not in Path(house.view().path).read_bytes(), "an older dwf reads the same"
    house.check()


def test_a_step_that_finds_no_free_slot_in_time_is_timed_out_and_never_begins(house: House) -> None:
    """Fails when the wait for a slot is not counted."""
    house.start(
        house.script(
            TOLD
            + """
@dwf.workflow
async def main():
    first = asyncio.ensure_future(dwf.sh("sleep", "0.7"))
    second = asyncio.ensure_future(told(dwf.sh("true", schedule_to_start="200ms")))
    await first
    return await second
"""
        )
    )
    house.tick(jobs=1)
    over = house.the(ev.ActivityTimedOut)
    assert (over.which, over.attempts, over.timeout) == (SCHEDULE_TO_START, 0, 200_000)
    assert house.result() == [SCHEDULE_TO_START, "no attempt began within 200ms (schedule-to-start)", 0]
    assert [started.command for started in house.all(ev.ActivityStarted)] == [1]
    house.check()


def test_a_step_that_began_in_time_has_no_limit_on_its_start_any_more(house: House) -> None:
    house.go(
        """
@dwf.activity(schedule_to_start="1m", retry=dwf.Retry(initial="5m", jitter="none"))
def twice() -> int:
    note("twice")
    if dwf.activity_info().attempt == 1:
        raise ValueError("not yet")
    return 7

@dwf.workflow
async def main():
    return await twice()
"""
    )
    house.clock.advance("1h")
    house.tick()
    assert house.result() == 7


def test_all_attempts_together_end_when_their_time_is_over_and_nobody_was_there(house: House) -> None:
    """Fails when only the next attempt wakes the run."""
    house.go(FLAKY % "12m")
    scheduled = unstamp(house.the(ev.ActivityScheduled).ts)
    house.clock.advance("6m")
    house.tick()
    assert house.notes() == ["flaky"] * 2
    house.clock.advance("1h")
    house.tick()
    assert house.notes() == ["flaky"] * 2, "the third would have begun in time, and nobody was there"
    assert house.result() == [
        SCHEDULE_TO_CLOSE,
        "no end within 12m (schedule-to-close); before that: not yet",
        2,
    ]
    assert unstamp(house.the(ev.ActivityTimedOut).ts) > scheduled
    house.check()


def test_a_retry_that_would_begin_too_late_is_not_waited_for(house: House) -> None:
    """Fails when the step waits for a retry that can never be made."""
    house.go(FLAKY % "4m")
    over = house.the(ev.ActivityTimedOut)
    assert over.which == SCHEDULE_TO_CLOSE and over.error is not None and over.error.message == "not yet"
    assert house.result()[0] == SCHEDULE_TO_CLOSE and house.notes() == ["flaky"]
    house.check()


def test_time_alone_ends_a_step_between_two_attempts(house: House) -> None:
    """Fails when due_times() knows the retry only."""
    house.go(FLAKY % "7m")
    state, limit = house.state(), unstamp(house.the(ev.ActivityScheduled).ts) + 7 * 60 * 1_000_000
    assert sorted(map(unstamp, state.due_times()))[-1] == limit
    assert state.status is Status.WAITING


@pytest.mark.parametrize("how", ["orphan='kill'", "orphan='adopt'"])
def test_the_attempt_that_runs_then_is_ended_with_all_its_descendants(house: House, how: str) -> None:
    """Fails when only start_to_close ends what runs. A grandchild and a double fork are proven dead."""
    house.go(
        TOLD
        + f"""
SCRIPT = '''
trap "" TERM
sleep 300 & echo $! > {house.path}/child
setsid sh -c 'sleep 300 & echo $! > {house.path}/forked; wait' &
wait; wait; sleep 300
'''

@dwf.workflow
async def main():
    return await told(
        dwf.sh(script=SCRIPT, schedule_to_close="700ms", timeout="1h", grace="200ms", {how},
               retry=dwf.Retry(initial="1ms"))
    )
"""
    )
    assert house.result()[0] == SCHEDULE_TO_CLOSE
    for name in ("child", "forked"):
        pid = pid_in(house.path / name)
        assert soon(lambda pid=pid: not is_alive(pid)), f"{name} lives on"  # type: ignore[misc]
    assert len(house.all(ev.ActivityStarted)) == 1
    house.check()


def test_a_function_with_a_limit_on_all_its_attempts_gets_a_process_that_can_be_ended(house: House) -> None:
    house.go(
        TOLD
        + """
@dwf.activity(schedule_to_close="800ms")
def stuck() -> None:
    time.sleep(60)

@dwf.workflow
async def main():
    return await told(stuck())
"""
    )
    assert house.result()[0] == SCHEDULE_TO_CLOSE
    assert house.the(ev.ActivityStarted).pid > 0


@pytest.mark.parametrize("option", ["schedule_to_close", "start_to_close"])
def test_a_limit_that_nobody_could_keep_is_refused_where_it_is_said(house: House, option: str) -> None:
    house.go(
        f"""
@dwf.activity({option}="1m", isolate=False)
def plain() -> None: ...

@dwf.workflow
async def main():
    await plain()
"""
    )
    assert house.status() is Status.BLOCKED
    assert f"{option} of plain" in house.the(ev.RunBlocked).message


@pytest.mark.parametrize("option", ["schedule_to_close", "schedule_to_start", "start_to_close"])
def test_a_limit_of_no_time_is_refused(option: str) -> None:
    with pytest.raises(ValueRefused, match=f"{option} of"):
        dwf.activity(**{option: 0})(lambda: None)  # type: ignore[call-overload]


def test_a_step_that_waits_for_a_person_s_word_is_not_timed_out(house: House) -> None:
    """Fails when what may have taken effect counts as not done because nobody has looked yet."""
    killed_tick(
        house,
        """
        @dwf.workflow
        async def main():
            text = 'echo $$ >> "$1"; test "$DWF_ATTEMPT" -gt 1 || sleep 1000'
            await dwf.sh(LEDGER, script=text, on_crash="ask", schedule_to_close="1h")
        """,
    )
    house.tick()
    house.clock.advance("2h")
    house.tick()
    assert house.status() is Status.WAITING and house.state().steps[1].asks

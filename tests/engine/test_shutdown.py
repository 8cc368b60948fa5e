"""dwf is told to stop: steps are told so, get their grace, and what is cut off is made again at nobody's expense."""

from __future__ import annotations

import signal

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from tests.activities.processes import is_alive
from tests.engine.house import House, until
from tests.engine.processes import begin_tick, finish

ENDS_EARLY = """
@dwf.activity(%s)
def work() -> int:
    info = dwf.activity_info()
    found = info.heartbeat_details or 0
    note("from", found)
    if info.attempt > 1:
        return found
    for n in range(1, 1000):
        dwf.heartbeat(n)
        if info.shutdown_requested:
            note("told")
            raise dwf.RetryAfter(0)
        time.sleep(0.02)

@dwf.workflow
async def main():
    return await work()
"""
OBLIVIOUS = """
@dwf.workflow
async def main(attempts: int):
    text = 'echo $$ >> "$1"; test -e "$1.done" || sleep 1000; test "$DWF_ATTEMPT" -ne 5'
    try:
        return (await dwf.sh(LEDGER, script=text, retry=dwf.Retry(attempts), grace="200ms")).code
    except dwf.ActivityError as error:
        return [error.type, error.attempts]
"""


def stop(house: House, lines: int) -> None:
    process = begin_tick(house.store.layout.home)
    until(lambda: len(house.notes()) >= lines)
    process.send_signal(signal.SIGTERM)
    finish(process)
    assert process.returncode == 3


@pytest.mark.parametrize("options", ["", "isolate=True"])
def test_an_activity_that_looks_hears_that_dwf_stops_and_leaves_off_where_it_is(house: House, options: str) -> None:
    """Fails when a stop cannot be told from nothing, or ends an activity as a cancel does."""
    house.start(house.script(ENDS_EARLY % options))
    stop(house, 1)
    assert house.notes() == ["from 0", "told"]
    assert house.status() is not Status.CANCELLED
    (failed,) = house.all(ev.ActivityAttemptFailed)
    assert failed.error.type == "RetryAfter" and int(bytes(failed.heartbeat)) > 0
    house.check()
    house.tick()
    assert house.result() == int(bytes(failed.heartbeat))


def test_what_a_stop_cuts_off_does_not_use_up_the_attempts(house: House) -> None:
    """Fails when three restarts of a service fail a step of three attempts."""
    house.start(house.script(OBLIVIOUS), json_input={"attempts": 2})
    for n in range(1, 5):
        stop(house, n)
        assert not is_alive(int(house.notes()[-1])), "nothing of it is left"
        house.check()
    (house.path / "ledger.done").touch()
    house.tick()
    house.clock.advance("1h")
    house.tick()
    assert house.result() == 0, "the first that failed by itself was the first of two"
    assert [failed.spared for failed in house.all(ev.ActivityAttemptFailed)] == [True] * 4 + [False]
    assert [started.attempt for started in house.all(ev.ActivityStarted)] == [1, 2, 3, 4, 5, 6]


def test_what_may_be_made_once_only_is_not_made_again_after_a_stop(house: House) -> None:
    """Fails when a stop makes a step run twice that must not."""
    house.start(house.script(OBLIVIOUS), json_input={"attempts": 1})
    stop(house, 1)
    house.tick()
    assert house.result() == ["Interrupted", 1] and len(house.notes()) == 1


def test_a_kept_step_goes_on_while_dwf_stops(house: House) -> None:
    house.start(house.script(OBLIVIOUS.replace('grace="200ms"', 'orphan="adopt"')), json_input={"attempts": 1})
    stop(house, 1)
    (pid,) = map(int, house.notes())
    assert is_alive(pid) and not house.all(ev.ActivityAttemptFailed)
    house.terminate()
    house.tick()
    assert not is_alive(pid)

"""Steps whose tick was killed: what they left running is ended before anything of them is started again."""

from __future__ import annotations

import os
import signal

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine import steps
from tests.engine.house import House, until
from tests.engine.processes import begin_tick, finish, kill
from tests.engine.test_steps import is_alive

SHELL = """
@dwf.workflow
async def main(attempts: int):
    text = 'echo $$ >> "$1"; test "$DWF_ATTEMPT" -gt 1 || sleep 1000'
    try:
        await dwf.sh(LEDGER, script=text, retry=dwf.Retry(max_attempts=attempts))
    except dwf.ActivityError as error:
        return [error.type, error.attempts]
    return "done"
"""


def killed_tick(house: House, text: str, **given: object) -> int:
    """Start, and kill the tick while the first step runs; the step's pid."""
    house.start(house.script(text), json_input=given)
    process = begin_tick(house.store.layout.home)
    until(house.notes)
    kill(process)
    (pid,) = house.notes()
    return int(pid)


def test_a_step_that_its_killed_tick_has_left_running_is_ended_before_the_next_attempt(house: House) -> None:
    """Fails when nobody looks for what is left."""
    pid = killed_tick(house, SHELL, attempts=3)
    assert is_alive(pid)
    house.tick()
    assert not is_alive(pid)
    assert house.result() == "done" and len(house.notes()) == 2
    failed = house.the(ev.ActivityAttemptFailed)
    assert failed.error.type == "Interrupted" and "killed" in failed.error.message
    assert [started.attempt for started in house.all(ev.ActivityStarted)] == [1, 2]
    house.check()


def test_a_step_that_may_be_tried_once_only_ends_as_unknown_and_is_not_run_again(house: House) -> None:
    """Fails when a step with one attempt is tried again when nobody saw its end."""
    pid = killed_tick(house, SHELL, attempts=1)
    house.tick()
    assert not is_alive(pid) and house.notes() == [str(pid)]
    assert house.result() == ["Interrupted", 1]
    assert "unknown" in house.the(ev.ActivityFailed).error.message


def test_members_of_the_step_whose_leader_is_gone_are_found_by_its_key(house: House) -> None:
    text = """
    @dwf.workflow
    async def main():
        await dwf.sh(LEDGER, script='test "$DWF_ATTEMPT" -gt 1 || { sleep 1000 & echo $! >> "$1"; wait; }',
                     retry=dwf.Retry(max_attempts=2))
    """
    member = killed_tick(house, text)
    leader = house.the(ev.ActivityStarted).pid
    assert leader > 1
    os.kill(leader, signal.SIGKILL)
    assert is_alive(member)
    house.tick()
    assert not is_alive(member) and house.status() is Status.COMPLETED


def test_what_cannot_be_ended_blocks_the_run_and_is_not_started_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when what cannot be ended is taken for gone."""
    pid = killed_tick(house, SHELL, attempts=3)
    asked: list[tuple[int, str]] = []

    def cannot(pid: int, start: int, boot: str, grace_us: int, key: str = "") -> bool:
        asked.append((pid, key))
        return False

    with monkeypatch.context() as patch:
        patch.setattr(steps, "end_orphan", cannot)
        report = house.tick(max_seconds=20)
        assert not report.stopped and len(report.news) == 1
        assert asked == [(pid, "r1:1")]
        blocked = house.the(ev.RunBlocked)
        assert blocked.code == "step-still-runs" and str(pid) in blocked.message
        house.reopen()
        assert house.tick().news == [], "it is looked at again by each tick, and told once"
    assert house.notes() == [str(pid)]
    house.tick()
    assert not is_alive(pid) and house.result() == "done"
    assert "RunUnblocked" in house.kinds()


def test_a_blocked_run_s_orphans_are_ended_too(house: House) -> None:
    text = """
    @dwf.workflow
    async def main():
        task = asyncio.create_task(dwf.sh(LEDGER, script='echo $$ >> "$1"; sleep 1000'))
        await dwf.wait_signal("go")
        {}["k"]
    """
    pid = killed_tick(house, text)
    house.signal("go")
    house.tick()
    assert house.status() is Status.BLOCKED and not is_alive(pid)


def test_an_isolated_function_left_by_a_killed_tick_is_ended(house: House) -> None:
    text = """
    @dwf.activity(isolate=True, retry=dwf.Retry(max_attempts=1))
    def work():
        note(os.getpid())
        time.sleep(1000)

    @dwf.workflow
    async def main():
        await work()
    """
    pid = killed_tick(house, text)
    house.tick()
    assert not is_alive(pid) and house.status() is Status.FAILED


def test_a_function_that_takes_the_tick_down_with_it_is_tried_as_often_as_allowed(house: House) -> None:
    house.start(
        house.script(
            """
            @dwf.activity(retry=dwf.Retry(max_attempts=2))
            def work():
                note("x")
                os._exit(9)

            @dwf.workflow
            async def main():
                await work()
            """
        )
    )
    for _ in range(2):
        process = begin_tick(house.store.layout.home)
        finish(process)
        assert process.returncode == 9
    house.tick()
    assert house.status() is Status.FAILED and house.notes() == ["x", "x"]


# -- told to stop -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_tick_that_is_told_to_stop_ends_its_steps_and_leaves_the_run_due(house: House, number: int) -> None:
    house.start(house.script(SHELL), json_input={"attempts": 3})
    process = begin_tick(house.store.layout.home)
    until(house.notes)
    process.send_signal(number)
    finish(process)
    assert process.returncode == 3
    (pid,) = house.notes()
    assert not is_alive(int(pid))
    failed = house.the(ev.ActivityAttemptFailed)
    assert failed.error.type == "Interrupted" and "stop" in failed.error.message
    house.check()
    house.tick()
    assert house.result() == "done"


def test_what_has_ended_when_the_tick_is_told_to_stop_is_recorded(house: House) -> None:
    """A finished step that was looked at and not delivered yet must not be run again."""
    house.start(
        house.script(
            """
            @dwf.activity
            def work(n: int) -> int:
                note(n)
                return n

            @dwf.workflow
            async def main():
                slow = asyncio.create_task(dwf.sh('sleep', '1000', retry=dwf.Retry(max_attempts=9)))
                for n in range(1000):
                    await work(n)
                return n
            """
        )
    )
    process = begin_tick(house.store.layout.home)
    until(lambda: len(house.notes()) > 20)
    process.send_signal(signal.SIGTERM)
    finish(process)
    assert process.returncode == 3
    done = len(house.all(ev.ActivityCompleted))
    assert len(house.notes()) == done and set(house.counted().values()) == {1}
    house.terminate()
    house.tick()
    house.check()


def test_mail_that_comes_while_a_tick_stops_is_taken_up_by_the_next(house: House) -> None:
    house.start(house.script("@dwf.workflow\nasync def main():\n    return await dwf.wait_signal('go')\n"))
    house.tick()
    house.signal("go", 1)
    import threading

    stop = threading.Event()
    stop.set()
    assert house.try_tick(stop=stop).stopped
    assert len(house.mail()) == 1
    house.tick()
    assert house.result() == 1

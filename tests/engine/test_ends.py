"""Ends: cancelled, terminated, or done while other steps run; nothing runs on, and what was left undone is listed."""

from __future__ import annotations

import time

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.errors import WrongState
from tests.engine.house import House, in_thread, until
from tests.engine.test_steps import is_alive

CLEANS_UP = """
@dwf.activity
def work(word: str) -> str:
    note(word)
    return word

@dwf.workflow
async def main():
    await work("begin")
    try:
        await dwf.wait_signal("never")
    finally:
        await work("undo 1")
        await dwf.sleep("1h")
        await work("undo 2")
"""

# Says its pid, and takes its time when it is asked to end.
STUBBORN = """
TEXT = 'echo $$ >> "$1"; trap "sleep 0.3; echo ended >> \\\\"$1\\\\"; exit 0" TERM; while :; do sleep 0.05; done'
"""


def test_cancelling_lets_the_cleanup_run_its_steps(house: House) -> None:
    house.go(CLEANS_UP)
    house.cancel()
    house.tick()
    assert house.notes() == ["begin", "undo 1"] and house.status() is Status.WAITING
    house.clock.advance("2h")
    house.tick()
    assert house.notes() == ["begin", "undo 1", "undo 2"]
    assert house.status() is Status.CANCELLED
    house.check()


def test_a_second_cancel_is_recorded_and_does_not_kill_the_cleanup(house: House) -> None:
    house.go(CLEANS_UP)
    house.cancel()
    house.tick()
    house.cancel()
    house.tick()
    assert len(house.all(ev.CancelRequested)) == 2 and house.status() is Status.WAITING
    house.clock.advance("2h")
    house.reopen()
    house.tick()
    assert house.notes() == ["begin", "undo 1", "undo 2"] and house.status() is Status.CANCELLED


def test_cancelling_before_the_first_tick_runs_nothing_but_the_cleanup(house: House) -> None:
    house.start(
        house.script(
            """
            @dwf.activity
            def work(word: str) -> None:
                note(word)

            @dwf.workflow
            async def main():
                await work("begin")
                await work("more")
            """
        )
    )
    house.cancel()
    house.tick()
    assert house.status() is Status.CANCELLED and house.notes() == []
    assert house.kinds().count("ActivityStarted") == 0


def test_a_cleanup_that_fails_fails_the_run(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            try:
                await dwf.wait_signal("never")
            finally:
                await dwf.sh("false")
        """
    )
    house.cancel()
    house.tick()
    assert house.status() is Status.FAILED


def test_cancelling_a_running_shell_step_waits_until_it_has_ended(house: House) -> None:
    house.start(
        house.script(
            STUBBORN
            + """
@dwf.activity
def undo() -> None:
    note("undo")

@dwf.workflow
async def main():
    try:
        await dwf.sh(LEDGER, script=TEXT)
    except asyncio.CancelledError:
        await undo()
        raise
"""
        )
    )
    ticking = in_thread(house.tick)
    until(house.notes)
    house.cancel()
    ticking.join(15)
    pid, *rest = house.notes()
    assert rest == ["ended", "undo"] and not is_alive(int(pid))
    assert house.status() is Status.CANCELLED
    kinds = house.kinds()
    assert kinds.index("ActivityCancelRequested") < kinds.index("ActivityCancelled")


def test_a_step_that_completes_although_it_was_cancelled_keeps_its_result_in_the_history(house: House) -> None:
    house.start(
        house.script(
            """
            @dwf.activity
            def slow() -> str:
                open(LEDGER + ".in", "w").close()
                while not os.path.exists(LEDGER + ".out"):
                    time.sleep(0.001)
                return "done after all"

            @dwf.workflow
            async def main():
                other = asyncio.create_task(dwf.wait_signal("other"))
                try:
                    await slow()
                except asyncio.CancelledError as error:
                    return error.args
            """
        )
    )
    ticking = in_thread(house.tick)
    until((house.path / "ledger.in").exists)
    house.cancel()
    until(lambda: "ActivityCancelRequested" in house.kinds())
    (house.path / "ledger.out").touch()
    ticking.join(10)
    assert house.result() == ["done after all"]
    assert "ActivityCompleted" in house.kinds()


def test_a_step_is_cancelled_between_two_attempts(house: House) -> None:
    house.go(
        """
        @dwf.activity(retry=dwf.Retry(max_attempts=9, initial="1h"))
        def work() -> None:
            note("x")
            raise OSError("no")

        @dwf.workflow
        async def main():
            await work()
        """
    )
    house.cancel()
    house.tick()
    assert house.status() is Status.CANCELLED and house.notes() == ["x"]
    assert "before it began" in house.the(ev.ActivityCancelled).reason


def test_terminating_ends_processes_and_lists_what_was_open(house: House) -> None:
    house.start(
        house.script(
            """
            @dwf.workflow
            async def main():
                try:
                    await asyncio.gather(
                        dwf.sh(LEDGER, script='echo $$ >> "$1"; sleep 1000 & wait'),
                        dwf.sleep("1h"), dwf.wait_signal("never"), dwf.approve("Yes?"))
                finally:
                    await dwf.sh("touch", LEDGER + ".cleanup")
            """
        )
    )
    ticking = in_thread(house.tick)
    until(house.notes)
    house.terminate()
    ticking.join(10)
    ended = house.the(ev.WorkflowTerminated)
    assert ended.open == [1, 2, 3, 4] and ended.reason == "enough" and ended.by is not None
    assert house.status() is Status.TERMINATED and not is_alive(int(house.notes()[0]))
    assert not (house.path / "ledger.cleanup").exists()
    assert house.mail() == []
    house.check()
    with pytest.raises(WrongState):
        house.terminate()


def test_two_terminations_at_once_end_it_once(house: House) -> None:
    house.go(CLEANS_UP)
    house.terminate()
    house.terminate()
    house.tick()
    assert house.kinds().count("WorkflowTerminated") == 1
    assert house.late() == ["terminate"] and house.mail() == []


def test_the_end_of_the_script_ends_the_steps_that_still_run(house: House) -> None:
    house.start(
        house.script(
            """
            @dwf.workflow
            async def main():
                other = asyncio.create_task(dwf.sh(LEDGER, script='echo $$ >> "$1"; sleep 1000'))
                await dwf.wait_signal("go")
                return "done"
            """
        )
    )
    ticking = in_thread(house.tick)
    until(house.notes)
    house.signal("go")
    ticking.join(15)
    assert house.result() == "done"
    assert house.the(ev.WorkflowCompleted).open == [2]
    assert not is_alive(int(house.notes()[0]))
    assert house.kinds()[-1] == "WorkflowCompleted"


@pytest.mark.parametrize("round_", range(5))
def test_steps_that_end_in_the_moment_of_the_end_hold_up_nothing(house: House, round_: int) -> None:
    house.start(
        house.script(
            """
            @dwf.activity
            def meet(n: int) -> int:
                note(n)
                while os.path.getsize(LEDGER) < 8:
                    pass
                return n

            @dwf.workflow
            async def main():
                tasks = [asyncio.create_task(meet(n)) for n in range(4)]
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                return len(done)
            """
        )
    )
    ticking = in_thread(lambda: house.tick(jobs=4))
    ticking.join(10)
    assert not ticking.is_alive(), "the run waits for a step that has ended"
    assert house.result() == 1


def test_failures_count_and_bugs_do_not(house: House) -> None:
    report = house.go(
        """
        @dwf.workflow
        async def main():
            raise dwf.Failure("the certificate was not served", serial=7)
        """
    )
    assert house.status() is Status.FAILED
    assert report.news == ["r1 failed: the certificate was not served"]
    assert house.tick().news == []


def test_a_result_that_cannot_be_stored_blocks_and_does_not_end_the_tick(house: House) -> None:
    report = house.go("@dwf.workflow\nasync def main():\n    return object()\n")
    assert report.errors == [] and house.status() is Status.BLOCKED


def test_a_run_that_ends_at_once_costs_one_batch(house: House) -> None:
    house.start(house.script("@dwf.workflow\nasync def main():\n    dwf.status('x')\n    return 1\n"))
    writes: list[float] = []
    commit = type(house.store.disk).fdatasync
    house.store.disk.__class__ = type("Counting", (type(house.store.disk),), {"__slots__": ()})
    house.store.disk.__class__.fdatasync = lambda disk, fd, path: (  # type: ignore[method-assign]
        writes.append(time.monotonic()),
        commit(disk, fd, path),
    )[1]
    house.tick()
    # What was found is made durable with it: status and end.
    assert house.status() is Status.COMPLETED and len(writes) == 1

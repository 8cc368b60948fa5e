"""Steps: each runs once, its result is kept, and what goes wrong is tried again as its policy says."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.duration import unstamp
from dwf.core.state import Status
from tests.engine.house import House, until

pytestmark = pytest.mark.filterwarnings("error")

COUNTING = """
@dwf.activity({options})
def work():
    info = dwf.activity_info()
    note("attempt", info.attempt, info.idempotency_key())
    {body}

@dwf.workflow
async def main():
    return await work()
"""


def counting(body: str, options: str = "") -> str:
    return COUNTING.format(body=body, options=options)


def test_a_sequence_of_steps_runs_each_once_and_hands_results_on(house: House) -> None:
    house.go(
        """
        @dwf.activity
        def add(a: int, b: int = 1) -> int:
            note("add", a, b)
            return a + b

        @dwf.workflow
        async def main(start: int):
            x = await add(start)
            y = await add(x, b=10)
            out = await dwf.sh("echo", y)
            return {"y": y, "out": out.out.strip(), "step": await dwf.step("twice", lambda n: n * 2, y)}
        """,
        json_input={"start": 1},
    )
    assert house.result() == {"y": 12, "out": "12", "step": 24}
    assert house.notes() == ["add 1 1", "add 2 10"]
    house.check()


def test_steps_side_by_side_overlap_and_each_runs_once(house: House) -> None:
    script = house.script(
        """
        @dwf.activity
        def meet(n: int) -> int:
            note("in", n)
            while os.path.getsize(LEDGER) < len("in 1 in 2 "):
                time.sleep(0.001)
            return n

        @dwf.workflow
        async def main():
            return await asyncio.gather(meet(1), meet(2))
        """
    )
    house.start(script)
    house.tick(jobs=2)
    assert house.result() == [1, 2]
    assert house.counted() == {"in 1": 1, "in 2": 1}


@pytest.mark.parametrize("jobs", [1, 2, 3, 8])
def test_any_mix_of_quick_and_slow_steps_on_few_lanes_runs_each_once(house: House, jobs: int) -> None:
    script = house.script(
        """
        @dwf.activity
        def quick(n: int) -> int:
            note("quick", n)
            return n

        @dwf.activity(start_to_close="30s")
        async def beside(n: int) -> int:
            note("async", n)
            return n

        async def one(n):
            if n % 7 == 3:
                await dwf.sh("true")
            await (beside(n) if n % 3 == 0 else quick(n))
            return await quick(n + 100)

        @dwf.workflow
        async def main():
            return sum(await asyncio.gather(*(one(n) for n in range(30))))
        """
    )
    house.start(script)
    house.tick(jobs=jobs)
    assert house.result() == sum(range(100, 130))
    assert set(house.counted().values()) == {1} and len(house.notes()) == 60
    assert all(event.attempt == 1 for event in house.all(ev.ActivityStarted))
    house.check()


def test_one_lane_and_a_slow_step_among_quick_ones_leaves_no_step_behind(house: House) -> None:
    """Quick steps are handed over in growing lists; a slow one between them must not take the place of such a list."""
    script = house.script(
        """
        @dwf.activity
        def quick(n: int) -> int:
            note(n)
            return n

        @dwf.workflow
        async def main():
            for _ in range(4):
                await asyncio.gather(*(quick(n) for n in range(20)))
            await asyncio.gather(quick(1), dwf.sh("true"), dwf.sh("true"), quick(2), dwf.sh("true"), quick(3))
        """
    )
    house.start(script)
    house.tick(jobs=2)
    assert house.status() is Status.COMPLETED
    assert all(event.attempt == 1 for event in house.all(ev.ActivityStarted))


# -- trying again -----------------------------------------------------------------------------------------------


def test_retries_survive_the_tick_and_keep_counting(house: House) -> None:
    house.start(
        house.script(
            counting(
                'if info.attempt < 4: raise OSError("not yet")\n    return "done"',
                'retry=dwf.Retry(max_attempts=5, initial="1m", backoff=2.0, jitter="none")',
            )
        )
    )
    for attempt, minutes in ((1, 1), (2, 2), (3, 1)):
        house.tick()
        (failed,) = house.all(ev.ActivityAttemptFailed)[attempt - 1 :]
        assert (failed.attempt, failed.error.message) == (attempt, "not yet")
        assert house.status() is Status.WAITING
        waits = unstamp(failed.retry_at) - unstamp(failed.ts)
        assert abs(waits - min(minutes * 60, 60) * 1_000_000) < 2_000_000  # max_interval is a minute
        house.tick()
        assert len(house.notes()) == attempt, "it was tried again before its time"
        house.clock.advance("61s")
        house.reopen()
    house.tick()
    assert house.result() == "done"
    assert house.notes() == [f"attempt {n} r1:1" for n in (1, 2, 3, 4)]


def test_backoff_grows_by_its_factor(house: House) -> None:
    options = 'retry=dwf.Retry(max_attempts=4, initial="10s", backoff=3.0, max_interval="1h", jitter="none")'
    house.start(house.script(counting('raise OSError("no")', options)))
    for wait in ("10s", "30s", "90s"):
        house.tick()
        house.clock.advance(wait)
    house.tick()
    failed = house.all(ev.ActivityAttemptFailed)
    assert [(unstamp(f.retry_at) - unstamp(f.ts) + 500_000) // 1_000_000 for f in failed] == [10, 30, 90]
    assert house.the(ev.ActivityFailed).attempts == 4
    assert house.status() is Status.FAILED


def test_what_a_step_asks_for_wins_over_the_policy(house: House) -> None:
    house.start(house.script(counting('if info.attempt == 1: raise dwf.RetryAfter("2h")\n    return 1')))
    house.tick()
    failed = house.the(ev.ActivityAttemptFailed)
    assert abs(unstamp(failed.retry_at) - unstamp(failed.ts) - 2 * 3600 * 1_000_000) < 1_000_000
    house.clock.advance("1h59m")
    house.tick()
    assert len(house.notes()) == 1
    house.clock.advance("2m")
    house.tick()
    assert house.result() == 1


@pytest.mark.parametrize("policy", ["non_retryable=(ValueError,)", 'non_retryable=("ValueError",)'])
def test_an_error_that_is_not_to_be_retried_ends_the_step_at_once(house: House, policy: str) -> None:
    house.go(counting('raise UnicodeError("no")', f"retry=dwf.Retry(max_attempts=9, {policy})"))
    assert house.the(ev.ActivityFailed).attempts == 1
    assert house.the(ev.WorkflowFailed).error.type == "ActivityError"


def test_a_predicate_that_raises_is_no_reason_to_stop_the_tick(house: House) -> None:
    options = "retry=dwf.Retry(max_attempts=2, initial=0, retry_if=lambda e: e.nothing)"
    report = house.go(counting('raise OSError("disk")', options))
    assert report.errors == []
    assert house.the(ev.ActivityFailed).attempts == 2


def test_attempts_used_up_reach_the_script_as_an_error_that_it_can_catch(house: House) -> None:
    house.go(
        """
        @dwf.activity(retry=dwf.Retry(max_attempts=2, initial=0, jitter="none"))
        def work():
            note("x")
            raise KeyError("k")

        @dwf.workflow
        async def main():
            try:
                await work()
            except dwf.ActivityError as error:
                return [error.activity, error.type, error.attempts]
        """
    )
    assert house.result() == ["work", "KeyError", 2]
    assert house.notes() == ["x", "x"]


def test_a_shell_step_is_tried_once_unless_told_otherwise(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            await dwf.sh(script="echo no such disk >&2; exit 3")
        """
    )
    failed = house.the(ev.ActivityFailed)
    assert failed.error.message == "exit code 3: no such disk"
    told = house.the(ev.WorkflowFailed).error.message
    assert told == "echo no such disk >&2; exit 3 failed: exit code 3: no such disk"
    assert json.loads(bytes(failed.error.details))["exit_code"] == 3


def test_the_idempotency_key_is_the_same_for_every_attempt_and_another_for_every_step(house: House) -> None:
    """Fails when the number of the attempt is part of the key."""
    house.go(
        """
        @dwf.workflow
        async def main():
            again = dwf.Retry(max_attempts=3, initial=0, jitter="none")
            text = 'echo "$DWF_STEP $DWF_ATTEMPT $DWF_IDEMPOTENCY_KEY" >> "$1"; test "$DWF_ATTEMPT" = 2'
            await dwf.sh(LEDGER, script=text, retry=again, title="one")
            await dwf.sh(LEDGER, script=text, retry=again, title="two")
        """
    )
    assert house.notes() == ["one 1 r1:1", "one 2 r1:1", "two 1 r1:2", "two 2 r1:2"]


# -- limits -----------------------------------------------------------------------------------------------------


def test_a_shell_step_that_runs_too_long_is_ended_with_everything_it_started(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            try:
                text = 'echo $$ >> "$1"; sleep 1000 & echo $! >> "$1"; wait'
                await dwf.sh(LEDGER, script=text, timeout="300ms", grace="1s")
            except dwf.ActivityTimeout as error:
                return error.attempts
        """
    )
    assert house.result() == 1
    assert house.the(ev.ActivityTimedOut).timeout == 300_000
    assert len(house.notes()) == 2
    assert not any(is_alive(int(pid)) for pid in house.notes())


def test_a_function_with_a_time_limit_gets_a_process_that_is_ended(house: House) -> None:
    house.go(
        """
        @dwf.activity(start_to_close="2s", retry=dwf.Retry(max_attempts=1), grace="200ms")
        def spin():
            note(os.getpid())
            while True:
                pass

        @dwf.workflow
        async def main():
            try:
                await spin()
            except dwf.ActivityTimeout:
                return os.path.basename("cut")
        """
    )
    assert house.result() == "cut"
    (pid,) = house.notes()
    assert int(pid) != os.getpid() and not is_alive(int(pid))
    started = house.the(ev.ActivityStarted)
    assert started.pid == int(pid) and started.boot


def test_an_isolated_function_runs_the_stored_script_and_gives_its_result(house: House) -> None:
    path = house.script(
        """
        import helper

        @dwf.activity(isolate=True)
        def work(n: int) -> list[int]:
            return [helper.FACTOR * n, os.getpid()]

        @dwf.workflow
        async def main():
            return await work(21)
        """
    )
    helper = house.path / "helper.py"
    helper.write_text("FACTOR = 2\n")
    house.start(path)
    helper.write_text("FACTOR = 3\n")
    house.tick()
    value, pid = house.result()
    assert value == 42 and pid != os.getpid()


def test_an_isolated_function_that_takes_its_process_down_is_a_failed_attempt(house: House) -> None:
    house.go(
        """
        @dwf.activity(isolate=True, retry=dwf.Retry(max_attempts=2, initial=0))
        def work() -> str:
            if dwf.activity_info().attempt == 1:
                os._exit(7)
            return "second"

        @dwf.workflow
        async def main():
            return await work()
        """
    )
    assert house.result() == "second"
    assert "exit code 7" in house.the(ev.ActivityAttemptFailed).error.message


def test_a_time_limit_that_cannot_be_kept_is_refused_where_it_is_asked_for(house: House) -> None:
    """Only a process can be ended, and a function that has no name cannot be found by another process."""
    report = house.go(
        """
        @dwf.workflow
        async def main():
            await dwf.step("spin", lambda: note("ran"), start_to_close="1s")
        """
    )
    blocked = house.the(ev.RunBlocked)
    assert blocked.code == "value-refused" and "start_to_close" in blocked.message
    assert house.kinds() == ["WorkflowStarted", "RunBlocked"] and house.notes() == []
    assert len(report.news) == 1


def test_a_nested_function_that_is_to_be_isolated_is_refused_too(house: House) -> None:
    house.go(
        """
        def make():
            @dwf.activity(isolate=True)
            def inner():
                note("ran")
            return inner

        @dwf.workflow
        async def main():
            await make()()
        """
    )
    assert house.the(ev.RunBlocked).code == "value-refused" and house.notes() == []


def test_an_unnamed_coroutine_function_may_have_a_time_limit(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            async def slow():
                await asyncio.sleep(100)
            try:
                await dwf.step("slow", slow, start_to_close="50ms")
            except dwf.ActivityTimeout:
                return "cut"
        """
    )
    assert house.result() == "cut"


def test_async_steps_run_side_by_side_and_are_cut_at_their_limit(house: House) -> None:
    house.go(
        """
        @dwf.activity(start_to_close="100ms", retry=dwf.Retry(max_attempts=1))
        async def nap(seconds: float) -> float:
            await asyncio.sleep(seconds)
            return seconds

        @dwf.workflow
        async def main():
            return [repr(r).split("(")[0] for r in await asyncio.gather(nap(0.001), nap(100.0), return_exceptions=True)]
        """
    )
    assert house.result() == ["0.001", "ActivityTimeout"]


def test_a_result_that_is_not_what_was_annotated_is_a_failed_attempt(house: House) -> None:
    house.go(
        """
        @dwf.activity(retry=dwf.Retry(max_attempts=2, initial=0))
        def work() -> int:
            note("x")
            return "seven"

        @dwf.workflow
        async def main():
            await work()
        """
    )
    failed = house.the(ev.ActivityFailed)
    assert failed.error.type == "ResultType" and failed.attempts == 2
    assert len(house.notes()) == 2


@pytest.mark.parametrize("raised", ["SystemExit(3)", "KeyboardInterrupt()", "BaseException('b')", "RecursionError()"])
def test_whatever_a_step_raises_is_its_failure_and_the_tick_goes_on(house: House, raised: str) -> None:
    report = house.go(counting(f"raise {raised}", "retry=dwf.Retry(max_attempts=1)"))
    assert report.errors == []
    assert house.the(ev.ActivityFailed).error.type == raised.partition("(")[0]


def test_large_results_lie_in_a_blob_and_replay_from_it(house: House) -> None:
    house.go(
        """
        @dwf.activity
        def work() -> str:
            note("x")
            return "y" * 300_000

        @dwf.workflow
        async def main():
            text = await work()
            await dwf.wait_signal("go")
            return len(text)
        """
    )
    assert Path(house.view().path).stat().st_size < 10_000
    house.signal("go")
    house.reopen()
    house.tick()
    assert house.result() == 300_000 and house.notes() == ["x"]


def test_a_fan_out_of_a_thousand_commits_in_groups(house: House) -> None:
    house.go(
        """
        @dwf.activity
        def one(n: int) -> int:
            return n

        @dwf.workflow
        async def main():
            return sum(await asyncio.gather(*(one(n) for n in range(1000))))
        """
    )
    assert house.result() == sum(range(1000))
    assert all(event.attempt == 1 for event in house.all(ev.ActivityStarted))


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def test_prints_of_steps_are_kept_with_the_attempt(house: House) -> None:
    house.go(
        """
        @dwf.activity
        def work():
            print("out of", "a step")
            print("trouble", file=sys.stderr)

        @dwf.workflow
        async def main():
            await work()
        """
    )
    output = house.the(ev.ActivityCompleted).output
    assert output is not None and output.tail == "out of a step\n" and output.err_tail == "trouble\n"
    assert house.store.outputs.read("r1", "1.1.out") == b"out of a step\n"


def test_a_background_child_does_not_hold_the_run(house: House) -> None:
    house.start(
        house.script(
            """
            @dwf.workflow
            async def main():
                await dwf.sh(LEDGER, script='sleep 30 & echo $! >> "$1"')
                return "done"
            """
        )
    )
    began = time.monotonic()
    house.tick()
    assert house.result() == "done" and time.monotonic() - began < 5
    assert house.store.locks.holder("r1") is None
    (pid,) = house.notes()
    lock = house.store.locks.take("r1")
    assert lock is not None, "a child has inherited the lock"
    lock.release()
    os.kill(int(pid), 9)
    until(lambda: not is_alive(int(pid)))


def test_output_that_is_not_as_expected_is_a_failure_and_is_tried_again(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            found = await dwf.sh(script='echo state=$DWF_ATTEMPT', expect=r"^state=[2-9]$",
                                 retry=dwf.Retry(initial=0))
            return found.kv()["state"]
        """
    )
    assert house.result() == "2"
    assert "nothing in its output matches" in house.the(ev.ActivityAttemptFailed).error.message


def test_a_workflow_has_a_retry_for_its_steps_that_say_none(house: House) -> None:
    house.go(
        """
        @dwf.activity
        def fails(name: str):
            note(name)
            raise ValueError("no")

        @dwf.workflow(step_retry=dwf.Retry(max_attempts=2, initial=0))
        async def main():
            for call in (fails("default"), dwf.step("inline", fails, "inline"),
                         fails.options(retry=dwf.Retry(max_attempts=1))("own")):
                try:
                    await call
                except dwf.ActivityError:
                    pass
        """
    )
    assert house.notes() == ["default"] * 2 + ["inline"] * 2 + ["own"]


def test_every_option_of_a_step_can_be_changed_where_it_is_called(house: House) -> None:
    """Fails when a call does as the declaration says."""
    house.go("""
        @dwf.activity(retry=dwf.Retry(max_attempts=5), title="declared")
        def fails(word: str) -> str:
            note("fails", word)
            raise ValueError(word)

        @dwf.workflow
        async def main():
            once = dwf.Retry(max_attempts=1)
            left = fails.options(retry=once, title="called", critical=False, default="nothing")
            for changed in (left, left.options(start_to_close="1m", isolate=True, on_crash="ask", orphan="wait")):
                assert await changed("a") == "nothing"
            fails.options(retry=None)
            return "on"
    """)
    assert house.result() == "on" and house.notes() == ["fails a"] * 2
    first, second = house.all(ev.ActivityScheduled)
    assert (first.title, first.max_attempts, first.timeout) == ("called", 1, 0)
    assert (second.timeout, second.on_crash, second.orphan) == (60_000_000, "ask", "wait")

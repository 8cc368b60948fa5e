"""Steps that outlive their tick: they go on, and the next tick takes up how they ended as if nothing had happened."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dwf.activities.session import DEAD, everyone
from dwf.core import events as ev
from dwf.core.duration import unstamp
from dwf.core.state import Status
from tests.engine.house import House, in_thread, until
from tests.engine.processes import begin_tick, finish, kill
from tests.engine.test_doctor import told
from tests.engine.test_orphans import killed_tick
from tests.engine.test_steps import is_alive

# The step goes on when a file named as its first word appears, and tells how it went.
WORK = """
DAEMON = "import os,sys,time; os.fork() and os._exit(0); os.setpgid(0, 0)"
DAEMON += "; print(os.getpid(), file=open(sys.argv[1], 'a')); os.closerange(0, 3); time.sleep(1000)"
GATE = 'echo $$ >> "$1"; export DAEMON="$3"; until test -e "$2"; do sleep 0.02; done; echo said; echo why >&2; '

@dwf.workflow
async def main(gate: str, more: str = "true", timeout: str = "1h", on_crash: str = "ask"):
    restore = dwf.sh(LEDGER, gate, DAEMON, script=GATE + more, orphan="adopt", on_crash=on_crash, title="restore",
                     timeout=timeout, grace="1s", retry=dwf.Retry(max_attempts=2, initial="0s", jitter="none"))
    done = await restore
    return [done.code, done.out, done.err]
"""


def keeper_of(house: House) -> int:
    return house.all(ev.ActivityStarted)[-1].pid


def gone(house: House) -> bool:
    return not is_alive(keeper_of(house))


@pytest.fixture
def begun(house: House) -> Callable[..., int]:
    """A run whose tick was killed while its step waits at the gate; the step's pid."""

    def begin(**given: object) -> int:
        return killed_tick(house, WORK, gate=str(house.path / "gate"), **given)

    return begin


def open_gate(house: House) -> None:
    (house.path / "gate").touch()


def test_what_ended_while_nobody_was_there_is_recorded_with_its_output_and_its_time(
    house: House, begun: Callable[..., int]
) -> None:
    begun()
    open_gate(house)
    until(lambda: gone(house))
    at = house.clock()
    house.clock.advance("2h")
    house.tick()
    assert house.result() == [0, "said\n", "why\n"]
    done = house.the(ev.ActivityCompleted)
    assert abs(unstamp(done.ended) - at) < 5_000_000 and unstamp(done.ts) - unstamp(done.ended) > 3600_000_000
    assert done.output is not None and (done.output.tail, done.output.err_tail) == ("said\n", "why\n")
    assert (Path(house.store.outputs.directory("r1")) / done.output.ref).with_suffix(".1.out").read_text() == "said\n"
    assert len(house.notes()) == 1 and house.kinds().count("ActivityStarted") == 1
    house.check()


def test_what_still_runs_is_waited_for_and_its_end_is_taken_up(house: House, begun: Callable[..., int]) -> None:
    pid = begun()
    house.tick(max_seconds=0.3)
    assert is_alive(pid) and house.status() is Status.RUNNING
    ticking = in_thread(house.tick)
    open_gate(house)
    ticking.join(20)
    assert house.result() == [0, "said\n", "why\n"] and len(house.notes()) == 1


def test_a_failure_is_a_failure_and_not_an_interruption(house: House, begun: Callable[..., int]) -> None:
    begun(more='test "$DWF_ATTEMPT" -gt 1 || exit 7')
    open_gate(house)
    until(lambda: gone(house))
    house.tick()
    failed = house.the(ev.ActivityAttemptFailed)
    assert (failed.error.type, failed.error.message) == ("ExitCode", "exit code 7: why") and failed.ended
    assert house.result()[0] == 0 and len(house.notes()) == 2
    assert [done.ended for done in house.all(ev.ActivityCompleted)] == [""], "this attempt had its tick with it"


def test_two_ticks_killed_one_after_the_other_change_nothing(house: House, begun: Callable[..., int]) -> None:
    pid = begun()
    for _ in range(2):
        process = begin_tick(house.store.layout.home)
        until(lambda: house.store.locks.holder("r1") is not None)
        kill(process)
        assert is_alive(pid)
    open_gate(house)
    house.tick()
    assert house.result()[0] == 0 and len(house.notes()) == 1


def test_a_tick_that_is_told_to_stop_leaves_it_running(house: House) -> None:
    """Orderly as by Ctrl-C: the step goes on, and the run is due."""
    house.start(house.script(WORK), json_input={"gate": str(house.path / "gate")})
    process = begin_tick(house.store.layout.home)
    (pid,) = until(house.notes)
    process.send_signal(signal.SIGTERM)
    finish(process)
    assert process.returncode == 3 and is_alive(int(pid))
    assert house.kinds()[-1] == "ActivityStarted"
    open_gate(house)
    house.tick()
    assert house.result()[0] == 0 and len(house.notes()) == 1


def test_its_time_is_kept_while_nobody_is_there(house: House, begun: Callable[..., int]) -> None:
    pid = begun(timeout="1s")
    until(lambda: gone(house))
    assert not is_alive(pid)
    house.tick(max_seconds=0.1)
    failed = house.the(ev.ActivityAttemptFailed)
    assert failed.error.type == "TimedOut" and "longer than 1s" in failed.error.message


def test_a_cancel_reaches_it_and_it_is_over_before_the_script_goes_on(house: House, begun: Callable[..., int]) -> None:
    pid = begun()
    house.cancel()
    house.tick()
    assert house.status() is Status.CANCELLED and not is_alive(pid) and gone(house)
    assert house.the(ev.ActivityCancelled).reason.endswith(": enough")


def test_a_terminated_run_leaves_none_behind(house: House, begun: Callable[..., int]) -> None:
    pid = begun()
    house.terminate()
    house.tick()
    assert house.status() is Status.TERMINATED and not is_alive(pid) and gone(house)


def test_if_its_keeper_was_killed_it_is_ended_and_a_person_is_asked(house: House, begun: Callable[..., int]) -> None:
    pid = begun(more='sleep 1000 & echo $! >> "$1"; wait')
    open_gate(house)
    _, child = map(int, until(lambda: found if len(found := house.notes()) == 2 else None))
    os.kill(keeper_of(house), signal.SIGKILL)
    until(lambda: gone(house))
    assert is_alive(pid) and is_alive(child)
    house.tick()
    assert not is_alive(pid) and not is_alive(child), "never two at once"
    assert house.status() is Status.WAITING and "nobody saw" in house.the(ev.ActivityUnknown).why
    assert len(house.notes()) == 2


def test_with_its_tick_alive_the_death_of_the_keeper_is_noticed_too(house: House) -> None:
    house.start(house.script(WORK), json_input={"gate": str(house.path / "gate"), "on_crash": "retry"})
    ticking = in_thread(house.tick)
    (pid,) = until(house.notes)
    os.kill(keeper_of(house), signal.SIGKILL)
    until(lambda: len(house.notes()) == 2)
    assert not is_alive(int(pid)), "the second attempt begins when nothing is left of the first"
    open_gate(house)
    ticking.join(20)
    assert house.result()[0] == 0


def test_a_service_that_is_stopped_whole_leaves_a_step_whose_end_was_not_seen(
    house: House, begun: Callable[..., int]
) -> None:
    """As systemd does it: every process of the service is told to end, and the keeper tells so."""
    pid = begun()
    os.kill(keeper_of(house), signal.SIGTERM)
    until(lambda: gone(house))
    assert not is_alive(pid)
    house.tick()
    assert house.status() is Status.WAITING and "told to end" in house.the(ev.ActivityUnknown).why


def test_what_it_left_in_the_background_runs_on(house: House, begun: Callable[..., int]) -> None:
    """Forked twice, in the step's session or out of it: what goes on after the step is no part of its outcome."""
    more = '( sleep 1000 & echo $! >> "$1" ); ( setsid sleep 1000 & echo $! >> "$1" )'
    begun(more=more)
    open_gate(house)
    until(lambda: gone(house))
    house.tick()
    assert house.result()[0] == 0
    for left in map(int, house.notes()[1:]):
        assert is_alive(left)
        os.kill(left, signal.SIGKILL)


def test_grandchildren_that_were_forked_twice_are_ended_with_it(house: House, begun: Callable[..., int]) -> None:
    """This one has also left the step's process group, and its parent is dead: only its session tells whose it is."""
    begun(more=f'{sys.executable} -c "$DAEMON" "$1"; sleep 1000', timeout="3s")
    open_gate(house)
    _, child = map(int, until(lambda: found if len(found := house.notes()) == 2 else None))
    until(lambda: gone(house))
    assert not is_alive(child)
    assert not [found for found in everyone() if found.session == keeper_of(house) and found.state not in DEAD]


@pytest.mark.parametrize("damage", ["missing", "torn", "foreign", "link"])
def test_a_record_that_cannot_be_believed_is_none(house: House, begun: Callable[..., int], damage: str) -> None:
    begun()
    open_gate(house)
    until(lambda: gone(house))
    record = Path(house.store.outputs.directory("r1")) / "1.1.end"
    whole = record.read_bytes()
    record.unlink()
    if damage == "torn":
        record.write_bytes(whole[:-1])
    elif damage == "foreign":
        import hashlib

        body = whole.partition(b"\n")[2].replace(b'"keeper":[%d,' % keeper_of(house), b'"keeper":[1,')
        assert body != whole.partition(b"\n")[2]
        record.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    elif damage == "link":
        (house.path / "elsewhere").write_bytes(whole)
        record.symlink_to(house.path / "elsewhere")
    house.tick()
    assert house.status() is Status.WAITING and "ActivityUnknown" in house.kinds()
    assert len(house.notes()) == 1


def test_a_function_in_a_process_of_its_own_can_be_adopted_too(house: House) -> None:
    text = """
    @dwf.activity(isolate=True, orphan="adopt", on_crash="ask")
    def work(gate: str) -> int:
        print("at work")
        note(os.getpid())
        while not os.path.exists(gate):
            time.sleep(0.02)
        return 42

    @dwf.workflow
    async def main(gate: str):
        return await work(gate)
    """
    killed_tick(house, text, gate=str(house.path / "gate"))
    open_gate(house)
    house.tick()
    assert house.result() == 42 and len(house.notes()) == 1
    output = house.the(ev.ActivityCompleted).output
    assert output is not None and output.tail == "at work\n"


@pytest.mark.parametrize("head", ["@dwf.activity(orphan='adopt')\ndef", "@dwf.activity(orphan='adopt')\nasync def"])
def test_what_runs_in_dwf_s_own_process_cannot_outlive_it(house: House, head: str) -> None:
    house.go(f"{head} work():\n    pass\n\n@dwf.workflow\nasync def main():\n    await work()\n")
    assert house.status() is Status.BLOCKED and "isolate=True" in str(house.the(ev.RunBlocked))


def test_a_secret_is_masked_in_what_the_keeper_writes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUSH", "s3cret-value")
    house.go(
        """
        @dwf.workflow
        async def main():
            return (await dwf.sh(script='echo "$T"', env={"T": dwf.secret("env:HUSH")}, orphan="adopt")).out
        """
    )
    assert house.result() == "***\n"
    for path in Path(house.store.layout.home).rglob("*"):
        assert not path.is_file() or b"s3cret-value" not in path.read_bytes()


def test_the_one_who_starts_it_waits_as_for_any_step(house: House) -> None:
    """No killed tick here: order, retries and exit codes are those of every shell step."""
    house.go(
        """
        @dwf.workflow
        async def main():
            words = [dwf.sh("sh", "-c", f"echo {n}; exit {n}", ok_codes=(0, 1, 2), orphan="adopt") for n in range(3)]
            return [(done.code, done.out) for done in await asyncio.gather(*words)]
        """
    )
    assert house.result() == [[0, "0\n"], [1, "1\n"], [2, "2\n"]]
    assert {event.ended for event in house.all(ev.ActivityCompleted)} == {""}


def test_the_doctor_says_what_a_tick_will_do_with_it(house: House, begun: Callable[..., int]) -> None:
    begun()
    assert "waits for the process" in steps_told(house)
    open_gate(house)
    until(lambda: gone(house))
    assert "records how" in steps_told(house) and "cut off" not in steps_told(house)
    house.tick()
    assert steps_told(house) == ""


def steps_told(house: House) -> str:
    """What the doctor says of steps without a driver."""
    return " ".join(f"{found.what} {found.type}" for found in told(house, "steps"))

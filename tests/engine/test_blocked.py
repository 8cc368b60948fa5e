"""Blocked: what is wrong with a script stops its run, is said once, loses no fact, and goes away with mended code."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine import lists
from dwf.engine.upgrade import upgrade
from dwf.errors import CodeMissing, HistoryCorrupt, NondeterminismError, WrongState
from tests.engine.house import ME, House, in_thread, until

WAITS = """
@dwf.activity
def work(word: str) -> str:
    note(word)
    return word

@dwf.workflow
async def main():
    await work("first")
    payload = await dwf.wait_signal("go")
    {then}
    await work("second")
    return payload
"""


def mended(house: House, then: str = "") -> str:
    return house.script(WAITS.format(then=then or "pass"))


def test_a_bug_blocks_the_run_and_is_recorded_once(house: House) -> None:
    """Fails when each tick records the block anew."""
    report = house.go(WAITS.format(then="{}['k']"))
    house.signal("go", 7)
    report = house.tick()
    blocked = house.the(ev.RunBlocked)
    assert blocked.code == "script-bug" and "KeyError" in blocked.message and blocked.where == "book.py:12"
    assert report.news == [f"r1 is blocked: {blocked.message}"]
    size = os.stat(house.view().path).st_size  # noqa: PTH116
    for _ in range(3):
        house.reopen()
        house.store.index.wake("r1")
        assert house.tick().news == []
    assert os.stat(house.view().path).st_size == size  # noqa: PTH116
    assert house.status() is Status.BLOCKED and house.notes() == ["first"]


def test_a_blocked_run_waits_for_nothing_by_itself(house: House) -> None:
    house.go("@dwf.workflow\nasync def main():\n    {}['k']\n")
    assert house.status() is Status.BLOCKED
    assert house.tick().driven == 0
    house.clock.advance("100d")
    assert house.tick().driven == 0


def test_mended_code_takes_up_where_it_stopped(house: House) -> None:
    """Fails when it is not recorded that a run goes on."""
    house.go(WAITS.format(then="{}['k']"))
    house.signal("go", 7)
    house.tick()
    moved = upgrade(house.store, "r1", mended(house), ME, "typo")
    assert moved.unblocked
    house.tick()
    assert house.result() == 7 and house.notes() == ["first", "second"]
    kinds = house.kinds()
    assert kinds.index("RunBlocked") < kinds.index("CodeUpgraded") < kinds.index("RunUnblocked")
    house.check()


def test_facts_are_recorded_while_blocked_and_delivered_after_the_upgrade(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            await dwf.wait_signal("go")
            asked = asyncio.create_task(dwf.wait_signal("more"))
            {}["k"]
        """
    )
    house.signal("go")
    house.tick()
    for n in range(3):
        house.signal("more", n)
        house.tick()
    assert house.kinds().count("SignalReceived") == 4 and house.mail() == []
    assert house.kinds().count("RunBlocked") == 1
    upgrade(
        house.store,
        "r1",
        house.script(
            """
            @dwf.workflow
            async def main():
                await dwf.wait_signal("go")
                asked = asyncio.create_task(dwf.wait_signal("more"))
                return [await asked, await dwf.wait_signal("more"), await dwf.wait_signal("more")]
            """
        ),
        ME,
    )
    house.tick()
    assert house.result() == [0, 1, 2]
    house.check()


def test_an_answer_and_a_deadline_are_facts_too(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            task = asyncio.create_task(dwf.approve("One?"))
            other = asyncio.create_task(dwf.approve("Two?", timeout="1h", on_timeout="approve"))
            await dwf.sleep("1m")
            {}["k"]
        """
    )
    house.clock.advance("2m")
    house.tick()
    assert house.status() is Status.BLOCKED
    house.answer(True, step="One", comment="fine")
    house.tick()
    assert house.kinds().count("ApprovalResolved") == 1
    house.clock.advance("2h")
    assert house.tick().driven == 0, "blocked on stored code, nobody looks at the clock"
    text = """
        @dwf.workflow
        async def main():
            task = asyncio.create_task(dwf.approve("One?"))
            other = asyncio.create_task(dwf.approve("Two?", timeout="1h", on_timeout="approve"))
            await dwf.sleep("1m")
            return [(await task).comment, (await other).timed_out]
        """
    upgrade(house.store, "r1", house.script(text), ME)
    house.tick()
    assert house.result() == ["fine", True]


def test_a_step_that_ends_while_the_run_is_blocked_is_recorded_and_not_run_again(house: House) -> None:
    script = """
        @dwf.activity
        def other() -> str:
            note("other")
            while not os.path.exists(LEDGER + ".out"):
                time.sleep(0.001)
            return "kept"

        @dwf.workflow
        async def main():
            task = asyncio.create_task(other())
            await dwf.wait_signal("go")
            {then}
            return await task
        """
    house.start(house.script(script.replace("{then}", "{}['k']")))
    ticking = in_thread(house.tick)
    until(house.notes)
    house.signal("go")
    until(lambda: "RunBlocked" in house.kinds())
    (house.path / "ledger.out").touch()
    ticking.join(10)
    assert "ActivityCompleted" in house.kinds() and house.status() is Status.BLOCKED
    upgrade(house.store, "r1", house.script(script.replace("{then}", "pass")), ME)
    house.tick()
    assert house.result() == "kept" and house.notes() == ["other"]


def test_a_blocked_run_starts_nothing(house: House) -> None:
    house.go(
        """
        @dwf.activity(retry=dwf.Retry(initial="1m"))
        def work() -> None:
            note("attempt")
            raise OSError("no")

        @dwf.workflow
        async def main():
            task = asyncio.create_task(work())
            await dwf.wait_signal("go")
            {}["k"]
        """
    )
    house.signal("go")
    house.tick()
    house.clock.advance("1h")
    house.store.index.wake("r1")
    house.tick()
    assert house.notes() == ["attempt"]


def test_a_blocked_run_can_be_terminated_and_its_cancellation_is_kept_for_the_mended_script(house: House) -> None:
    house.go("@dwf.workflow\nasync def main():\n    {}['k']\n")
    house.cancel()
    house.tick()
    assert house.status() is Status.BLOCKED and "CancelRequested" in house.kinds()
    house.terminate()
    house.tick()
    assert house.status() is Status.TERMINATED


def test_waiting_for_nothing_is_said_once_whatever_comes(house: House) -> None:
    report = house.go("@dwf.workflow\nasync def main():\n    await asyncio.Event().wait()\n")
    assert house.the(ev.RunBlocked).code == "waits-for-nothing" and len(report.news) == 1
    for n in range(3):
        house.signal("anything", n)
        house.reopen()
        assert house.tick().news == []
    assert house.kinds().count("RunBlocked") == 1 and house.kinds().count("RunUnblocked") == 0
    assert house.kinds().count("SignalReceived") == 3


def test_a_stuck_run_can_be_cancelled(house: House) -> None:
    house.start(
        house.script(
            """
            @dwf.workflow
            async def main():
                try:
                    await asyncio.Event().wait()
                finally:
                    await dwf.sh("touch", LEDGER)
            """
        )
    )
    house.tick()
    house.cancel()
    house.tick()
    assert house.status() is Status.CANCELLED and house.ledger.exists()


def test_a_stuck_run_gets_unstuck_by_mended_code(house: House) -> None:
    house.go("@dwf.workflow\nasync def main():\n    await asyncio.Event().wait()\n")
    upgrade(house.store, "r1", house.script("@dwf.workflow\nasync def main():\n    await dwf.sleep('1h')\n"), ME)
    house.tick()
    assert house.status() is Status.WAITING and "RunUnblocked" in house.kinds()
    house.clock.advance("2h")
    house.tick()
    assert house.status() is Status.COMPLETED


def test_code_that_is_gone_blocks_its_runs_until_it_is_back(house: House) -> None:
    house.go(WAITS.format(then="pass"))
    away = Path(house.store.layout.code).with_name("away")
    shutil.move(house.store.layout.code, away)
    Path(house.store.layout.code).mkdir(mode=0o700)
    house.signal("go", 1)
    house.reopen()
    house.tick()
    assert house.the(ev.RunBlocked).code == CodeMissing.code and "SignalReceived" in house.kinds()
    shutil.rmtree(house.store.layout.code)
    shutil.move(away, house.store.layout.code)
    house.store.index.wake("r1")
    house.reopen()
    house.tick()
    assert house.result() == 1 and "RunUnblocked" in house.kinds()


def test_an_upgrade_that_does_not_fit_changes_nothing(house: House) -> None:
    house.go(WAITS.format(then="pass"))
    before = house.kinds()
    other = house.script("@dwf.workflow\nasync def main():\n    await dwf.sleep('1h')\n", "other.py")
    with pytest.raises(NondeterminismError):
        upgrade(house.store, "r1", other, ME)
    assert house.kinds() == before
    house.signal("go", 1)
    house.tick()
    assert house.result() == 1


def test_a_closed_run_cannot_be_moved(house: House) -> None:
    house.go("@dwf.workflow\nasync def main():\n    pass\n")
    with pytest.raises(WrongState):
        upgrade(house.store, "r1", mended(house), ME)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("while True: pass", "busy-loop"),
        ("while True: await asyncio.sleep(0)", "busy-loop"),
        ("import time as t; t.sleep(1)", "guard"),
        ("open('/etc/passwd')", "guard"),
        ("sys.exit(3)", "script-bug"),
        ("raise KeyboardInterrupt", "script-bug"),
        ("raise BaseException('x')", "script-bug"),
        ("def f(): f()\n    f()", "script-bug"),
        ("os._exit", "waits-for-nothing"),
    ],
)
def test_whatever_workflow_code_does_only_its_own_run_is_stopped(
    house: House, text: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dwf.engine.watchdog.LIMIT_SECONDS", 0.3)
    if code == "waits-for-nothing":
        text = "await asyncio.get_running_loop().create_future()"
    house.start(house.script(f"@dwf.workflow\nasync def main():\n    {text}\n", "bad.py"), "bad")
    house.start(house.script("@dwf.workflow\nasync def main():\n    return 1\n", "good.py"), "good")
    report = house.tick()
    assert report.errors == []
    assert house.the(ev.RunBlocked, "bad").code == code
    assert house.status("good") is Status.COMPLETED


def test_workflow_code_that_will_not_be_stopped_is_stopped_all_the_same(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dwf.engine.watchdog.LIMIT_SECONDS", 0.2)
    report = house.go(
        """
        @dwf.workflow
        async def main():
            for _ in range(3):
                try:
                    while True:
                        pass
                except BaseException:
                    continue
            return 1
        """
    )
    assert report.errors == []
    assert house.the(ev.RunBlocked).code == "busy-loop"
    assert "book.py" in house.the(ev.RunBlocked).message


def test_the_inbox_shows_what_is_blocked(house: House) -> None:
    house.go("@dwf.workflow\nasync def main():\n    {}['k']\n")
    (need,) = lists.inbox(house.store)
    assert need.kind == "FIX" and "KeyError" in need.what and "upgrade" in need.detail


# -- histories that cannot be read ------------------------------------------------------------------------------


def damage(house: House, run: str, old: bytes, new: bytes) -> None:
    path = Path(house.view(run).path)
    data = path.read_bytes()
    assert data.count(old)
    path.write_bytes(data.replace(old, new, 1))


def test_a_corrupt_history_stops_only_its_own_run_and_is_told_once(house: House) -> None:
    """Fails when damage is an error of the tick."""
    script = house.script(WAITS.format(then="pass"))
    for run in ("bad", "good"):
        house.start(script, run)
    house.tick()
    damage(house, "bad", b'"first"', b'"fjrst"')
    before = Path(house.view("bad").path).read_bytes()
    for run in ("bad", "good"):
        house.signal("go", 1, "good") if run == "good" else house.store.index.wake(run)
    report = house.tick()
    assert house.status("good") is Status.COMPLETED
    assert house.status("bad") is Status.CORRUPT and len(report.news) == 1 and report.errors == []
    assert Path(house.view("bad").path).read_bytes() == before
    house.reopen()
    house.store.index.wake("bad")
    assert house.tick().news == []
    with pytest.raises(HistoryCorrupt):
        house.signal("go", run="bad")
    assert {s.run: s.status for s in lists.summaries(house.store)}["bad"] is Status.CORRUPT


def test_a_history_of_a_newer_version_is_left_alone(house: House) -> None:
    from dwf.store.record import Chain

    house.go(WAITS.format(then="pass"))
    path = Path(house.view().path)
    events = house.events()
    chain = Chain.begin("r1", house.state().head.nonce)
    lines = [chain.append(event, 0)[1] for event in events]
    newer = lines[-1].replace(b'"SignalWaitOpened"', b'"SomethingNewer"')
    assert newer != lines[-1]
    import hashlib

    body = newer.rpartition(b',"hash"')[0]
    previous = lines[-2].rstrip()[-34:-2]
    digest = hashlib.sha256(previous + body).hexdigest()[:32].encode()
    path.write_bytes(b"".join(lines[:-1]) + body + b',"hash":"' + digest + b'"}\n')
    before = path.read_bytes()
    house.store.index.wake("r1")
    report = house.tick()
    assert house.status() is Status.NEWER and len(report.news) == 1 and "newer" in report.news[0]
    assert path.read_bytes() == before


SENSELESS = {
    "an attempt of no step": ev.ActivityStarted(command=99, attempt=1),
    "a time that is none": ev.TimerStarted(command=99, fire_at="soon"),
}


@pytest.mark.parametrize("record", SENSELESS)
def test_records_that_are_whole_and_make_no_sense_are_told_as_damage(house: House, record: str) -> None:
    from dwf.store.history import History

    house.go(WAITS.format(then="pass"), run="odd")
    house.start(house.script("@dwf.workflow\nasync def main():\n    return 1\n"), "good")
    with History.open(house.store.disk, house.view("odd").path) as history:
        history.stage(SENSELESS[record], 0)
        history.commit()
    house.store.index.wake("odd")
    report = house.tick()
    assert report.errors == [] and house.status("good") is Status.COMPLETED
    assert house.view("odd").status is Status.CORRUPT and len(report.news) == 1
    assert {s.run: s.status for s in lists.summaries(house.store)}["odd"] is Status.CORRUPT


def test_a_torn_tail_is_mended_and_the_run_goes_on(house: House) -> None:
    house.go(WAITS.format(then="pass"))
    with open(house.view().path, "ab") as file:
        file.write(b'{"id":99,"ts":"20')
    house.signal("go", 1)
    house.tick()
    assert house.result() == 1 and "HistoryRepaired" in house.kinds()
    house.check()


def test_an_error_in_dwf_itself_stops_one_run_and_is_reported(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.start(house.script(WAITS.format(then="pass")), "bad")
    house.start(house.script("@dwf.workflow\nasync def main():\n    return 1\n", "good.py"), "good")
    from dwf.engine import drive

    take = drive._Drive._act

    def broken(self: drive._Drive) -> bool:
        if self._run == "bad":
            raise ZeroDivisionError("ours")
        return take(self)

    monkeypatch.setattr(drive._Drive, "_act", broken)
    report = house.try_tick()
    assert house.status("good") is Status.COMPLETED
    (error,) = report.errors
    assert "bad" in error.message and "ZeroDivisionError" in error.message and error.exit_code == 70

"""The order of things: what is on disk before what is done, and what is delivered before the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine.drive import _Drive
from dwf.engine.lanes import Lanes, Load, Report
from dwf.engine.waiting import wait_for
from tests.engine.house import House, in_thread, until
from tests.faults import Call, FaultyDisk


def written(calls: list[Call], operation: str, part: str, after: int = 0) -> int:
    """Where in the calls an operation on a path first comes."""
    return next(n for n, call in enumerate(calls) if n >= after and call.operation == operation and part in call.path)


def test_a_step_begins_after_its_attempt_is_on_disk(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when steps are let go before the batch is committed that says so."""
    let_go: list[bool] = []
    play = Lanes.play

    def looked(lanes: Lanes, load: Load, reports: SimpleQueue[Report]) -> None:
        # The steps look for themselves, too; but a thread may begin late enough to hide the mistake.
        begun = {event.command for event in house.all(ev.ActivityStarted)}
        let_go.extend(command in begun for command, _ in load)
        play(lanes, load, reports)

    monkeypatch.setattr(Lanes, "play", looked)
    house.start(
        house.script(
            """
            @dwf.activity
            def work(history: str) -> str:
                with open(history) as file:
                    return file.read()

            @dwf.workflow
            async def main(history: str):
                texts = await asyncio.gather(work(history), work(history))
                texts.append((await dwf.sh("cat", history)).out)
                return ['"ActivityStarted","command":%d' % (n + 1) in text for n, text in enumerate(texts)]
            """
        ),
        json_input={"history": house.store.layout.history_path("r1", 1)},
    )
    house.tick()
    assert house.result() == [True, True, True]
    assert len(let_go) == 3 and all(let_go)


def test_a_letter_goes_after_history_and_row_and_the_end_comes_after_it_is_gone_for_good(house: House) -> None:
    """Fails when the mailbox is not synced before an end is recorded."""
    house.go("@dwf.workflow\nasync def main():\n    return await dwf.wait_signal('go')\n")
    house.signal("go", 1)
    disk = FaultyDisk()
    house.reopen(disk)
    house.tick()
    assert house.status() is Status.COMPLETED
    # The first sync is of what was there and of the signal; the last is of the end.
    syncs = [n for n, call in enumerate(disk.calls) if call.operation == "fdatasync" and "r1.jsonl" in call.path]
    received, ended = syncs
    gone = written(disk.calls, "unlink", "mail/new")
    for_good = written(disk.calls, "fsync", "mail/new", gone)
    assert received < gone < for_good < ended


def test_a_letter_of_a_run_that_goes_on_waiting_goes_after_the_row_is_written(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it is what makes the run due.

    Fails when a message is removed before the row is written.
    """
    house.go("@dwf.workflow\nasync def main():\n    return [await dwf.wait_signal('go') for _ in range(2)]\n")
    house.signal("go", 1)
    order: list[str] = []
    index, mailbox = type(house.store.index), type(house.store.mailbox)
    settle, discard = index.settle, mailbox.discard
    monkeypatch.setattr(index, "settle", lambda *args: (order.append("row"), settle(*args))[1])
    monkeypatch.setattr(mailbox, "discard", lambda *args: (order.append("letter"), discard(*args))[1])
    house.tick()
    assert order == ["row", "letter"]


def test_a_wish_to_cancel_is_on_disk_before_the_step_is_told(house: House) -> None:
    house.start(
        house.script(
            """
            TEXT = 'trap "cat $2 > $1; exit 0" TERM; touch $3; while :; do sleep 0.01; done'

            @dwf.workflow
            async def main(history: str):
                await dwf.sh(LEDGER, history, LEDGER + ".in", script=TEXT)
            """
        ),
        json_input={"history": house.store.layout.history_path("r1", 1)},
    )

    class Slow(FaultyDisk):
        def _call(self, operation: str, path: str, function: Callable[..., object], *args: object) -> object:
            if operation == "write" and path.endswith("r1.jsonl"):
                time.sleep(0.1)
            return super()._call(operation, path, function, *args)

    house.reopen(Slow())
    ticking = in_thread(house.tick)
    until((house.path / "ledger.in").exists)
    house.cancel()
    ticking.join(15)
    assert '"ActivityCancelRequested"' in house.ledger.read_text()


# -- what comes in time -----------------------------------------------------------------------------------------


def post_without_a_trace(house: House) -> None:
    """A posting within the same tick of the kernel's file clock as the last look: the directory's time is as before."""
    new = house.store.layout.mail_new
    before = os.stat(new).st_mtime_ns  # noqa: PTH116
    house.signal("go", "in time")
    os.utime(new, ns=(before, before))


def test_a_signal_that_left_no_trace_is_found_before_the_run_is_left(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when the last look before a run is left trusts the time of the directory."""
    house.start(house.script("@dwf.workflow\nasync def main():\n    return [await dwf.wait_signal('go')]\n"))
    rest = _Drive._rest
    posted: list[bool] = []

    def post_first(drive: _Drive) -> object:
        if not posted:
            posted.append(True)
            post_without_a_trace(house)
        return rest(drive)

    monkeypatch.setattr(_Drive, "_rest", post_first)
    assert house.tick(max_seconds=5).driven == 1
    assert house.result() == ["in time"]


def test_a_signal_that_is_found_when_the_script_is_done_is_delivered_before_what_ended_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when a run ends without a last look into its mail."""
    house.start(
        house.script(
            """
            @dwf.activity(retry=dwf.Retry(max_attempts=1))
            def last():
                note("last")
                return "step"

            @dwf.workflow
            async def main():
                return [await last(), await dwf.wait_signal("go", timeout=0, default=None)]
            """
        )
    )
    play = _Drive._play_alone

    def post_after(drive: _Drive, command: int) -> None:
        play(drive, command)
        post_without_a_trace(house)

    monkeypatch.setattr(_Drive, "_play_alone", post_after)
    house.tick()
    assert house.result() == ["step", "in time"]
    assert house.notes() == ["last"] and house.the(ev.ActivityStarted).attempt == 1
    assert house.late() == [] and house.mail() == []
    house.check()


def test_steps_that_had_ended_when_the_last_batch_was_thrown_away_are_not_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps end at once; with the first the script would be done, but for the signal that makes it go on.

    Fails when what steps have come to is thrown away with the batch that held it.
    """
    house.start(
        house.script(
            """
            @dwf.activity(retry=dwf.Retry(max_attempts=1))
            def work(n: int) -> int:
                note(n)
                return n

            @dwf.workflow
            async def main():
                tasks = [asyncio.create_task(work(n)) for n in range(3)]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if await dwf.wait_signal("go", timeout=0, default=None) is None:
                    return "alone"
                return await asyncio.gather(*tasks)
            """
        )
    )

    def until_all_have_ended(drive: _Drive) -> None:
        until(lambda: len(house.notes()) == 3)
        time.sleep(0.05)
        if not house.mail():
            post_without_a_trace(house)
        await_report(drive)

    await_report = _Drive._await_report
    monkeypatch.setattr(_Drive, "_await_report", until_all_have_ended)
    house.tick(jobs=4)
    assert house.result() == [0, 1, 2]
    assert house.counted() == {"0": 1, "1": 1, "2": 1} and len(house.all(ev.ActivityCompleted)) == 3


def test_the_lock_is_kept_until_nothing_of_the_run_is_running(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the disk has failed: else the next tick would start the step beside itself."""
    house.start(
        house.script(
            """
            @dwf.activity
            def work(n: int) -> int:
                note("in", n)
                time.sleep(0.2 * n)
                note("out", n)
                return n

            @dwf.workflow
            async def main():
                await asyncio.gather(work(0), work(2))
            """
        )
    )

    class FullLater(FaultyDisk):
        def _call(self, operation: str, path: str, function: Callable[..., object], *args: object) -> object:
            if operation == "write" and path.endswith("r1.jsonl") and "out 0" in house.notes():
                raise OSError(28, "full")
            return super()._call(operation, path, function, *args)

    seen: list[list[str]] = []
    from dwf.store.locks import RunLock

    release = RunLock.release

    def note_first(lock: RunLock) -> None:
        if lock.run == "r1":
            seen.append(house.notes())
        release(lock)

    monkeypatch.setattr(RunLock, "release", note_first)
    house.reopen(FullLater())
    assert len(house.try_tick(jobs=2).errors) == 1
    assert "out 2" in seen[0]


def test_a_row_that_cannot_be_written_keeps_work_from_beginning(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when a run is driven without being marked as due."""
    from dwf.errors import DiskError

    house.start(
        house.script("@dwf.activity\ndef work():\n    note('x')\n@dwf.workflow\nasync def main():\n    await work()\n")
    )

    def refuse(index: object, run: str) -> None:
        raise DiskError(operation="write", path="index.sqlite", why="full", errno=28)

    with monkeypatch.context() as patch:
        patch.setattr(type(house.store.index), "mark_due", refuse)
        assert len(house.try_tick().errors) == 1
    assert house.notes() == [] and house.kinds() == ["WorkflowStarted"]
    house.tick()
    assert house.status() is Status.COMPLETED


def test_what_is_answered_for_a_known_key_is_on_disk(house: House) -> None:
    """A killed process may have left the record in memory only.

    Fails when a signal that is known by its key is called a duplicate without a sync of what it is known from.
    """
    house.go("@dwf.workflow\nasync def main():\n    return [await dwf.wait_signal('go') for _ in range(2)]\n")
    house.signal("go", 1, key="k")
    house.tick()
    disk = FaultyDisk()
    house.reopen(disk)
    assert house.signal("go", 1, key="k").duplicate
    assert any(call.operation == "fdatasync" and "r1.jsonl" in call.path for call in disk.calls)
    assert Path(house.view().path).exists()


def synced(disk: FaultyDisk) -> set[str]:
    """Which files and directories of histories were synced, by the ends of their paths."""
    syncs = [call.path for call in disk.calls if call.operation in ("fsync", "fdatasync")]
    return {os.path.basename(path) for path in syncs}  # noqa: PTH119


def test_what_is_answered_to_one_who_waits_is_on_disk(house: House) -> None:
    """Fails when a waiter is answered from what may be in memory only."""
    house.go("@dwf.workflow\nasync def main():\n    return 7\n")
    disk = FaultyDisk()
    house.reopen(disk)
    assert wait_for(house.store, "r1").status is Status.COMPLETED
    assert synced(disk) == {"r1.jsonl", "runs"}


def test_what_is_answered_to_a_start_of_what_is_there_is_on_disk(house: House) -> None:
    """Fails when a start that uses what is there is answered from what may be in memory only."""
    script = house.script("@dwf.workflow\nasync def main():\n    return 7\n")
    house.start(script)
    path = house.store.layout.history_path("r1", 1)
    disk = FaultyDisk()
    house.reopen(disk)
    assert not house.start(script, if_exists="use").created
    # The intent's own sync is of the same file, before: it is not the one that is meant.
    assert Call("fdatasync", path) in disk.calls

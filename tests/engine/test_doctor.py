"""The doctor: every check finds the fault that is made here for real, and is silent without it."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.duration import SECOND
from dwf.core.state import Status
from dwf.engine.doctor import CHECKS, Finding, Grade, Limits, Patient, examine, mend
from dwf.engine.doctor.driving import found_callers
from dwf.engine.lists import inbox
from dwf.errors import BadConfiguration, NotPermitted
from dwf.host import process
from dwf.store import record
from dwf.store.files import Disk
from dwf.store.history import History
from tests.engine.house import House

WAITS = """
    @dwf.workflow
    async def w():
        await dwf.wait_signal("go")
"""
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


@pytest.fixture
def waiting(house: House) -> House:
    """A run that waits for a signal, in a directory where all is well."""
    house.start(house.script(WAITS))
    house.tick()
    return house


def patient(house: House, **changes: object) -> Patient:
    """Without cron, without systemd: only what a test puts there is found."""
    environ = {"PATH": str(house.path / "bin"), "HOME": str(house.path), "DWF_HOME": str(house.path / "home")}
    found = Patient(str(house.path / "home"), environ, house.clock, etc=str(house.path / "etc"))
    return dataclasses.replace(found, **changes)  # type: ignore[arg-type]


def told(house: House, check: str, **changes: object) -> list[Finding]:
    """What one check has to say that is not OK."""
    (asked,) = [c for c in CHECKS if c.name == check]
    return [f for f in asked.look(patient(house, **changes)) if f.grade is not Grade.OK]


def the(house: House, check: str, **changes: object) -> Finding:
    (found,) = told(house, check, **changes)
    return found


# -- all is well ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_is_silent_where_all_is_well(waiting: House, check: object) -> None:
    waiting.go(WAITS.replace('await dwf.wait_signal("go")', 'await dwf.sleep("1h")'), "r2")

    assert told(waiting, check.name) == []  # type: ignore[attr-defined]


def test_every_check_answers_with_a_line(waiting: House) -> None:
    found = examine(patient(waiting))

    assert [f.check for f in found] == [check.name for check in CHECKS]
    assert all(f.what and "\n" not in f.what for f in found)
    assert {f.grade for f in found} == {Grade.OK}


def test_looking_changes_nothing(waiting: House) -> None:
    def snapshot() -> dict[str, bytes]:
        home = waiting.path / "home"
        return {str(p): p.read_bytes() for p in sorted(home.rglob("*")) if p.is_file() and "index" not in p.name}

    before = snapshot()
    examine(patient(waiting))

    assert snapshot() == before


def test_before_anything_was_started_there_is_nothing_bad(tmp_path: Path) -> None:
    found = examine(Patient(str(tmp_path / "none"), {"PATH": ""}, etc=str(tmp_path)))

    assert [f.check for f in found] == ["directory", "tick", "start-up"]
    assert not [f for f in found if f.grade is Grade.BAD]
    assert not (tmp_path / "none").exists()


def test_a_check_that_cannot_look_says_so_and_the_others_go_on(waiting: House) -> None:
    runs = waiting.path / "home" / "runs"
    runs.rename(runs.with_name("away"))
    runs.write_text("")

    found = examine(patient(waiting))

    assert {f.check for f in found} == {check.name for check in CHECKS}
    assert any(f.grade is Grade.BAD and "cannot be checked" in f.what for f in found)


# -- the directory ----------------------------------------------------------------------------------------------


def test_a_directory_that_others_may_write_to_is_bad(waiting: House) -> None:
    (waiting.path / "home").chmod(0o770)

    found = the(waiting, "directory")

    assert found.grade is Grade.BAD
    assert found.type == f"chmod go-rwx {waiting.path / 'home'}"


def test_a_directory_that_others_may_look_into_is_worth_a_look(waiting: House) -> None:
    (waiting.path / "home").chmod(0o755)

    assert the(waiting, "directory").grade is Grade.WARN


@ROOT_ONLY
def test_a_directory_of_somebody_else_is_bad(waiting: House) -> None:
    os.chown(waiting.path / "home", 4711, -1)

    assert "belongs to" in the(waiting, "directory").what


def test_a_directory_of_another_machine_is_bad(waiting: House) -> None:
    (waiting.path / "home" / "machine").write_text("0" * 32 + "\n")

    assert "another machine" in the(waiting, "directory").what


def test_a_directory_that_is_a_file_is_bad(house: House, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert the(house, "directory", home=str(tmp_path / "file")).grade is Grade.BAD


def test_a_history_that_others_may_write_is_bad_and_is_mended(waiting: House) -> None:
    history = waiting.path / "home" / "runs" / "r1.jsonl"
    history.chmod(0o666)

    assert the(waiting, "contents").grade is Grade.BAD
    done = mend(patient(waiting))

    assert history.stat().st_mode & 0o777 == 0o600
    assert len(done) == 1 and "0666" in done[0]
    assert told(waiting, "contents") == []


def test_a_directory_in_it_that_others_may_enter_is_mended(waiting: House) -> None:
    (waiting.path / "home" / "blobs").chmod(0o755)

    assert the(waiting, "contents").grade is Grade.WARN
    mend(patient(waiting))

    assert told(waiting, "contents") == []


@ROOT_ONLY
def test_a_history_of_somebody_else_is_bad(waiting: House) -> None:
    os.chown(waiting.path / "home" / "runs" / "r1.jsonl", 4711, -1)

    found = the(waiting, "contents")

    assert (found.grade, "chown" in found.type) == (Grade.BAD, True)


def test_a_missing_directory_is_bad_and_is_made(waiting: House) -> None:
    gone = waiting.path / "home" / "mail" / "late"
    gone.rmdir()

    assert str(gone) in the(waiting, "contents").what
    mend(patient(waiting))

    assert gone.stat().st_mode & 0o777 == 0o700


def test_a_network_file_system_is_bad(waiting: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of mounts is the kernel's; here it says that everything is on NFS."""
    mounts = waiting.path / "mountinfo"
    mounts.write_text("36 35 98:0 / / rw,noatime master:1 - nfs4 server:/export rw\n")
    real = open
    monkeypatch.setattr(
        "builtins.open",
        lambda path, *a, **k: real(mounts if path == "/proc/self/mountinfo" else path, *a, **k),
    )

    assert "nfs4" in the(waiting, "file-system").what


class NoLocks(Disk):
    """A file system that grants every lock: each look at the file shows another one, so nobody is in anybody's way."""

    __slots__ = ()

    def open_new(self, path: str, mode: int = 0o600) -> int:
        if path.endswith(".lock") and os.path.lexists(path):
            self.unlink(path)
        return super().open_new(path, mode)


def test_locks_that_keep_nobody_out_are_bad(waiting: House) -> None:
    sick = patient(waiting)
    sick.store = type(sick.store)(NoLocks(), sick.layout)  # type: ignore[misc]
    (asked,) = [c for c in CHECKS if c.name == "locks"]

    (found,) = asked.look(sick)

    assert (found.grade, "two holders" in found.what) == (Grade.BAD, True)


def test_locks_that_cannot_be_taken_are_bad(waiting: House) -> None:
    locks = waiting.path / "home" / "locks"
    locks.rmdir()
    locks.write_text("")

    assert "cannot be taken" in the(waiting, "locks").what


@pytest.mark.parametrize(
    ("limits", "grade"),
    [
        (Limits(low_bytes=1 << 60), Grade.WARN),
        (Limits(low_bytes=1 << 60, no_bytes=1 << 60), Grade.BAD),
        (Limits(low_inodes=1 << 60), Grade.WARN),
        (Limits(low_inodes=1 << 60, no_inodes=1 << 60), Grade.BAD),
    ],
    ids=["little", "none", "few-inodes", "no-inodes"],
)
def test_a_full_disk_is_told(waiting: House, limits: Limits, grade: Grade) -> None:
    if limits.low_inodes > 10_000 and not os.statvfs(waiting.path).f_files:
        pytest.skip("this file system does not count inodes")

    found = the(waiting, "space", limits=limits)

    assert (found.grade, found.type.startswith("df ")) == (grade, True)


# -- what drives ------------------------------------------------------------------------------------------------


def test_a_clock_that_was_set_back_is_told(waiting: House) -> None:
    waiting.clock.back("3d")

    found = the(waiting, "clock")

    assert (found.grade, "in the future" in found.what) == (Grade.WARN, True)


def test_a_clock_that_lost_its_battery_is_bad(waiting: House) -> None:
    waiting.clock.ahead_us = 3600 * SECOND - time.time_ns() // 1000

    assert "2024" in the(waiting, "clock").what


def test_a_run_without_ticks_is_bad(waiting: House) -> None:
    waiting.clock.advance("10m")

    found = the(waiting, "tick")

    assert found.grade is Grade.BAD
    assert "10m" in found.what and "crontab" in found.type


def test_no_ticks_where_nothing_is_open_is_only_worth_a_look(waiting: House) -> None:
    waiting.terminate()
    waiting.tick()
    waiting.clock.advance("10m")

    assert the(waiting, "tick").grade is Grade.WARN


def program(house: House, name: str, text: str) -> None:
    """A program of that name, found before any other."""
    path = house.path / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def in_crontab(house: House, line: str) -> None:
    program(house, "crontab", f"echo '{line}'")


def in_cron_d(house: House, line: str) -> None:
    path = house.path / "etc" / "cron.d" / "dwf"
    path.parent.mkdir(parents=True)
    path.write_text(f"SHELL=/bin/sh\n{line}\n")


def in_timers(house: House, line: str) -> None:
    program(house, "systemctl", 'echo "Mon 2026-11-23 04:51:00 UTC 8s left - - dwf-tick.timer dwf-tick.service"')


def in_a_unit(house: House, line: str) -> None:
    path = house.path / ".config" / "systemd" / "user" / "books.service"
    path.parent.mkdir(parents=True)
    path.write_text("[Service]\nType=oneshot\nExecStart=/opt/dwf/bin/dwf tick\n")


@pytest.mark.parametrize("where", [in_crontab, in_cron_d, in_timers, in_a_unit])
def test_a_caller_of_ticks_is_found(waiting: House, where: Callable[[House, str], None]) -> None:
    assert not list(found_callers(patient(waiting)))

    where(waiting, "* * * * * root /opt/dwf/bin/dwf tick -q")

    assert list(found_callers(patient(waiting)))
    assert told(waiting, "tick") == []
    waiting.clock.advance("10m")
    assert "although there is" in the(waiting, "tick").what


@pytest.mark.parametrize("line", ["# * * * * * dwf tick", "* * * * * /opt/other tick", "0 3 * * * dwf list"])
def test_a_line_that_calls_no_tick_is_not_taken_for_one(waiting: House, line: str) -> None:
    in_crontab(waiting, line)

    assert not list(found_callers(patient(waiting)))


def test_a_program_that_fails_or_hangs_is_passed_over(waiting: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dwf.engine.doctor.driving._SECONDS", 0.2)
    program(waiting, "crontab", "echo '* * * * * dwf tick'; exit 1")
    program(waiting, "systemctl", "exec /bin/sleep 60")

    assert not list(found_callers(patient(waiting)))


def test_a_slow_start_is_told(waiting: House) -> None:
    assert the(waiting, "start-up", limits=Limits(slow_start_us=1)).grade is Grade.WARN


# -- files ------------------------------------------------------------------------------------------------------


def torn(house: House, run: str = "r1") -> Path:
    path = house.path / "home" / "runs" / f"{run}.jsonl"
    with path.open("ab") as file:
        file.write(b'{"id":3,"ts":"20')
    return path


def test_a_torn_tail_is_told_and_mended_as_a_tick_would(waiting: House) -> None:
    path = torn(waiting)
    before = path.read_bytes()

    assert the(waiting, "histories").grade is Grade.WARN
    done = mend(patient(waiting))

    told_of = waiting.the(ev.HistoryRepaired)
    assert told_of.dropped_bytes == 16
    assert Path(f"{path}.broken-{told_of.id}").read_bytes() == before[-16:]
    assert any("HistoryRepaired" in line for line in done)
    assert told(waiting, "histories") == []
    waiting.signal("go")
    waiting.tick()
    assert waiting.status() is Status.COMPLETED
    waiting.check()


def test_a_torn_tail_that_somebody_is_writing_is_left_to_him(waiting: House) -> None:
    path = torn(waiting)
    lock = waiting.store.locks.take("r1")
    assert lock is not None
    with lock:
        assert told(waiting, "histories") == []
        assert mend(patient(waiting)) == []
    assert path.read_bytes().endswith(b'"20')


def test_a_damaged_history_is_bad_and_is_not_touched(waiting: House) -> None:
    path = waiting.path / "home" / "runs" / "r1.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"ts":"2', b'"ts":"3', 1))
    before = path.read_bytes()

    found = the(waiting, "histories")
    mend(patient(waiting))

    assert (found.grade, found.type) == (Grade.BAD, "dwf verify r1")
    assert path.read_bytes() == before


def test_a_history_of_a_newer_dwf_is_bad(waiting: House) -> None:
    path = waiting.path / "home" / "runs" / "r1.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    seen = record.glance(lines[-1].rstrip(b"\n"))
    assert seen is not None
    body = lines[-1].replace(b'"id":2', b'"id":3').replace(b"SignalWaitOpened", b"SomethingNew")
    body = body[: -record.SUFFIX_LENGTH - 1]
    line = body + b',"hash":"' + record.hash_line(seen.hash.encode(), body) + b'"}\n'
    path.write_bytes(b"".join(lines) + line)

    assert "newer dwf" in the(waiting, "histories").what


def test_a_name_that_no_run_can_have_is_told(waiting: House) -> None:
    (waiting.path / "home" / "runs" / "no id~.jsonl").write_text("")

    assert "no id~" in the(waiting, "histories").what


def test_an_index_that_is_garbage_is_told_and_made_anew(waiting: House) -> None:
    last = waiting.store.index.last_tick_us()
    waiting.store.index.close()
    Path(waiting.store.layout.index).write_bytes(b"garbage" * 999)

    assert the(waiting, "index").grade is Grade.WARN
    mend(patient(waiting))

    assert told(waiting, "index") == []
    assert last is not None
    left = the(waiting, "leftovers")
    assert "set aside" in left.what


def test_an_index_that_is_made_anew_keeps_the_last_tick(waiting: House) -> None:
    last = waiting.store.index.last_tick_us()

    mend(patient(waiting), rebuild=True)

    assert patient(waiting).store.index.last_tick_us() == last


def test_a_row_without_a_history_is_told(waiting: House) -> None:
    (waiting.path / "home" / "runs" / "r1.jsonl").unlink()

    assert "without a history" in the(waiting, "index").what


def forget(house: House, run: str) -> None:
    """Take the row of a run out of the index, which it does only of one that is gone."""
    path = Path(house.store.layout.history_path(run))
    aside = path.rename(house.path / "aside")
    house.store.index.forget(run)
    aside.rename(path)


def test_a_history_without_a_row_is_bad(waiting: House) -> None:
    forget(waiting, "r1")
    assert "misses 1 run" in the(waiting, "index").what
    mend(patient(waiting))
    assert told(waiting, "index") == []


def test_a_row_that_would_let_a_run_sleep_for_ever_is_bad(waiting: House) -> None:
    """As if a history had been put back from a backup behind the index's back."""
    waiting.go(WAITS.replace('await dwf.wait_signal("go")', 'await dwf.sleep("1h")'), "r2")
    row = waiting.store.index.row("r2")
    assert row is not None
    waiting.store.index.settle("r2", waiting.store.index.wakes_seen("r2"), dataclasses.replace(row, due_at=None))

    assert "first r2" in the(waiting, "index").what
    mend(patient(waiting))
    assert told(waiting, "index") == []


def test_a_start_that_was_cut_off_is_told_and_cleared_away(waiting: House) -> None:
    left = Path(waiting.store.layout.intents) / "00aa00aa00aa00aa.lost.jsonl"
    left.write_bytes(b"")
    left.chmod(0o600)
    assert told(waiting, "leftovers") == []  # its maker may be at it

    waiting.clock.advance("5m")
    assert "cut off" in the(waiting, "leftovers").what
    mend(patient(waiting))

    assert not left.exists()


def test_mail_that_did_not_count_is_told(waiting: House) -> None:
    (Path(waiting.store.layout.mail_new) / "rubbish").write_text("")
    waiting.tick()

    assert "1 file in the mailbox" in the(waiting, "leftovers").what


def test_mail_that_came_late_is_told(waiting: House) -> None:
    posted = waiting.signal("go")
    waiting.store.mailbox.to_late(posted.message)

    assert "after the end" in the(waiting, "leftovers").what


# -- open runs --------------------------------------------------------------------------------------------------


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process like one that a killed dwf has left."""
    process = subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def begun(house: House, pid: int, start: int, boot: str) -> None:
    """A run of which a step was begun, and then its dwf was killed."""
    house.start(house.script(WAITS))
    with History.open(Disk(), house.store.layout.history_path("r1")) as history:
        scheduled = ev.ActivityScheduled(command=1, name="drain", kind="shell", input=ev.NOTHING)
        history.stage(scheduled, house.clock())
        started = ev.ActivityStarted(command=1, attempt=1, pid=pid, pid_start=start, boot=boot)
        history.stage(started, house.clock())
        history.commit()


def test_a_step_that_still_runs_although_nobody_drives_it_is_told(
    house: House, sleeper: subprocess.Popen[bytes]
) -> None:
    known = process(sleeper.pid)
    assert known is not None
    begun(house, known.pid, known.start, known.boot)

    assert f"still runs (pid {sleeper.pid})" in the(house, "steps").what


def test_a_step_that_was_cut_off_is_told(house: House) -> None:
    begun(house, 1, 1, "another boot")

    assert "was cut off" in the(house, "steps").what


def test_a_step_of_a_run_that_is_being_driven_is_not_told(house: House) -> None:
    begun(house, 1, 1, "another boot")
    lock = house.store.locks.take("r1")
    assert lock is not None
    with lock:
        assert told(house, "steps") == []


def test_code_that_is_gone_is_bad(waiting: House) -> None:
    for path in (waiting.path / "home" / "code").rglob("*"):
        if path.is_file():
            path.unlink()

    found = the(waiting, "code")

    assert found.grade is Grade.BAD
    assert found.type == f"dwf upgrade r1 --to {waiting.path}/book.py"


def test_a_live_script_that_is_gone_is_bad(house: House) -> None:
    house.start(house.script(WAITS), code="live")
    house.tick()
    assert told(house, "code") == []
    (house.path / "book.py").unlink()

    assert "is gone" in the(house, "code").what


ASKS = """
    @dwf.workflow
    async def w():
        await dwf.approve("Switch?", by={by!r}{more})
"""


def test_a_question_that_nobody_can_answer_is_a_run_that_is_stuck(house: House) -> None:
    house.go(ASKS.format(by=["@no-such-group"], more=""))

    found = the(house, "stuck")

    assert (found.grade, "nobody can answer" in found.what) == (Grade.BAD, True)
    assert [(need.kind, need.run) for need in inbox(house.store)] == [("STUCK", "r1")]


@pytest.mark.parametrize("more", [', timeout="1h"'])
def test_a_question_with_a_deadline_is_never_stuck(house: House, more: str) -> None:
    house.go(ASKS.format(by=["@no-such-group"], more=more))

    assert told(house, "stuck") == []


def test_a_run_that_still_waits_for_a_signal_is_not_stuck(house: House) -> None:
    text = """
    @dwf.workflow
    async def w():
        await asyncio.gather(dwf.approve("Switch?", by=["@no-such-group"]), dwf.wait_signal("go"))
    """
    house.go(text)

    assert told(house, "stuck") == []


def test_a_question_that_i_may_answer_is_not_stuck(house: House) -> None:
    import pwd

    house.go(ASKS.format(by=[pwd.getpwuid(os.geteuid()).pw_name], more=""))

    assert told(house, "stuck") == []


def test_a_blocked_run_is_told(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def w():
            {}["host"]
        """
    )

    assert the(house, "blocked").type == "dwf show r1"


# -- mending ----------------------------------------------------------------------------------------------------


def test_mending_what_is_well_does_nothing(waiting: House) -> None:
    assert mend(patient(waiting)) == []


@ROOT_ONLY
def test_a_directory_of_somebody_else_is_not_mended(waiting: House) -> None:
    (waiting.path / "home").chmod(0o755)
    os.chown(waiting.path / "home", 4711, -1)

    with pytest.raises(NotPermitted):
        mend(patient(waiting))

    assert (waiting.path / "home").stat().st_mode & 0o777 == 0o755


def test_a_directory_of_another_machine_is_not_mended(waiting: House) -> None:
    path = torn(waiting)
    before = path.read_bytes()
    (waiting.path / "home" / "machine").write_text("0" * 32 + "\n")

    with pytest.raises(BadConfiguration):
        mend(patient(waiting))

    assert path.read_bytes() == before


def test_a_history_that_is_shorter_than_the_index_has_seen_it_is_bad_and_the_index_is_kept(house: House) -> None:
    """The index is all that knows of it: made anew it would forget, and the run would do again what it did."""
    house.go("@dwf.activity\ndef work():\n    note('worked')\n\n@dwf.workflow\nasync def w():\n    await work()\n")
    path = house.path / "home" / "runs" / "r1.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    found = the(house, "histories")
    assert found.grade is Grade.BAD and "lines are missing at its end" in found.what and found.type == "dwf help stuck"
    assert told(house, "index") == []
    assert mend(patient(house)) == [] or "left as it is" in mend(patient(house))[0]
    house.reopen()
    house.tick()
    assert house.notes() == ["worked"]
    path.write_bytes(whole)
    assert told(house, "histories") == []
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    assert "made anew" in mend(patient(house), rebuild=True)[-1]
    assert told(house, "histories") == []


def test_an_index_that_is_stale_is_not_made_anew_while_it_has_seen_more_than_is_there(house: House) -> None:
    house.go("@dwf.workflow\nasync def w():\n    return 1\n")
    house.start(house.script(WAITS), "r2")
    house.tick()
    path = house.path / "home" / "runs" / "r1.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    forget(house, "r2")
    assert the(house, "index").what.startswith("the index misses 1 run, first r2")
    (said,) = mend(patient(house))
    assert said == "index.sqlite: left as it is, for it has seen more of r1 than is there: dwf help stuck"


def test_a_start_that_was_killed_before_its_row_is_not_missed_for_the_next_tick_finds_it(waiting: House) -> None:
    history = waiting.path / "home" / "runs" / "r1.jsonl"
    intent = waiting.path / "home" / "runs" / ".tmp" / "00ff.r1.jsonl"
    intent.hardlink_to(history)
    forget(waiting, "r1")
    assert told(waiting, "index") == []
    waiting.tick()
    assert waiting.store.index.row("r1") is not None


def test_a_run_that_goes_on_while_the_doctor_looks_is_not_taken_for_one_that_was_cut(waiting: House) -> None:
    looked_at = patient(waiting)
    assert looked_at.histories
    waiting.signal("go")
    waiting.tick()
    (asked,) = [check for check in CHECKS if check.name == "histories"]
    assert [found for found in asked.look(looked_at) if found.grade is not Grade.OK] == []

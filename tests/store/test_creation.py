"""Creation by intent: acknowledged is there for good, killed is whole or not there, and exactly one of two wins."""

# ruff: noqa: PTH102, PTH116, PTH208

from __future__ import annotations

import errno
import os
import random
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dwf.errors import Conflict, DiskError
from dwf.store import creation
from dwf.store.creation import create_run, create_runs, intents_waiting, recover_intents, sync_if_new
from dwf.store.files import Disk
from dwf.store.index import Index
from dwf.store.layout import Layout
from dwf.store.row import Row
from tests.faults import Crash, FaultyDisk, PowerCut, points
from tests.store import histories
from tests.store.places import child, end, new_home

BOOT, LATER = "boot-1", "boot-2"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return new_home(tmp_path)


@pytest.fixture
def index(layout: Layout) -> Iterator[Index]:
    index = Index(Disk(), layout, BOOT)
    assert index.rebuild()
    yield index
    index.close()


def first_lines(run: str = "r1") -> bytes:
    return b"".join(histories.lines(0, run))


def row(run: str = "r1", **fields: Any) -> Row:
    return Row(run, **{"nonce": histories.NONCE, "workflow": "deploy"} | fields)


def create(layout: Layout, index: Index, run: str = "r1", disk: Disk | None = None, **fields: Any) -> str:
    return create_run(disk or Disk(), layout, index, row(run, **fields), first_lines(run))


def whole(layout: Layout, run: str = "r1") -> bool:
    """Whether the run is there; if so it must be whole."""
    path = Path(layout.history_path(run))
    if not path.exists():
        return False
    assert path.read_bytes() == first_lines(run)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return True


def placed(tmp_path: Path, name: str) -> tuple[Layout, Index]:
    path = tmp_path / name
    path.mkdir()
    layout = new_home(path)
    index = Index(Disk(), layout, BOOT)
    index.rebuild()
    return layout, index


# -- the ordinary way -------------------------------------------------------------------------------------------


def test_a_created_run_is_there_with_its_row_and_no_intent(layout: Layout, index: Index) -> None:
    path = create(layout, index)
    assert path == layout.history_path("r1")
    assert whole(layout)
    assert index.due(0, 10) == ["r1"]
    assert index.row("r1") == row()
    assert not intents_waiting(layout)
    assert os.stat(path).st_nlink == 1


def test_a_delayed_run_is_due_when_its_time_comes(layout: Layout, index: Index) -> None:
    create(layout, index, status="waiting", due_at=700)
    assert index.due(699, 10) == []
    assert index.due(700, 10) == ["r1"]


def test_creating_costs_two_syncs_and_a_batch_one_for_its_directory(layout: Layout, index: Index) -> None:
    disk = FaultyDisk()
    create(layout, index, disk=disk)
    assert sum(call.operation in ("fsync", "fdatasync") for call in disk.calls) == 2
    disk = FaultyDisk()
    create_runs(disk, layout, index, [(row(f"b{n}"), first_lines(f"b{n}")) for n in range(50)])
    assert sum(call.operation in ("fsync", "fdatasync") for call in disk.calls) == 51
    assert len(index.due(0, 100) or []) == 51


def test_the_order_of_the_steps(layout: Layout, index: Index) -> None:
    disk = FaultyDisk()
    create(layout, index, disk=disk)
    steps = [call.operation for call in disk.calls if call.operation not in ("chmod", "open")]
    assert steps == ["create", "write", "fsync", "link", "fsync", "unlink"]


def test_an_id_in_use_is_a_conflict_and_changes_nothing(layout: Layout, index: Index) -> None:
    create(layout, index)
    index.mark_due("r1")
    settled = row(status="waiting", due_at=None)
    assert index.settle("r1", index.wakes_seen("r1"), settled)
    with pytest.raises(Conflict) as caught:
        create_run(Disk(), layout, index, row(nonce="other"), b"other")
    assert (caught.value.run, caught.value.path) == ("r1", layout.history_path("r1"))
    assert whole(layout)
    assert index.row("r1") == settled
    assert not intents_waiting(layout)


def test_an_id_in_use_is_answered_only_when_it_is_on_disk_and_has_its_row(tmp_path: Path) -> None:
    """The first maker died before his sync: who is told "it is in use" will believe in that run.

    Fails when "in use" is answered while the row is missing.
    """
    layout, index = placed(tmp_path, "x")
    power = PowerCut(layout.home)
    disk = FaultyDisk(power)
    _die_after(disk, "link")
    with pytest.raises(Crash):
        create(layout, index, disk=disk)
    assert index.rows() == []
    with pytest.raises(Conflict):
        create(layout, index, disk=FaultyDisk(power))
    assert index.due(0, 10) == ["r1"]
    power.cut()
    assert whole(layout)
    power.close()


def test_what_a_killed_writer_left_in_it_is_on_disk_before_it_is_called_in_use(tmp_path: Path) -> None:
    """Fails when "in use" is answered before what is there is synced."""
    layout, index = placed(tmp_path, "x")
    path = create(layout, index)
    power = PowerCut(layout.home)
    disk = FaultyDisk(power)
    fd = disk.open_regular(path, append=True)
    disk.write_all(fd, b"unsynced", path)
    os.close(fd)
    with pytest.raises(Conflict):
        create(layout, index, disk=FaultyDisk(power))
    power.cut()
    assert Path(path).read_bytes() == first_lines() + b"unsynced"
    power.close()


def test_a_second_instance_has_its_own_file_and_takes_over_the_row(layout: Layout, index: Index) -> None:
    create(layout, index, status="completed", open=False, due_at=None)
    assert create(layout, index, link=2) == layout.history_path("r1", 2)
    found = index.row("r1")
    assert found is not None
    assert (found.link, found.due_at) == (2, 0)
    with pytest.raises(Conflict):
        create(layout, index, link=2)


def test_a_batch_answers_each_for_itself(layout: Layout, index: Index) -> None:
    create(layout, index, "b")
    answers = create_runs(Disk(), layout, index, [(row(run), first_lines(run)) for run in ("a", "b", "c", "a")])
    assert [answer is None for answer in answers] == [True, False, True, False]
    assert isinstance(answers[1], Conflict)
    assert sorted(index.due(0, 10) or []) == ["a", "b", "c"]
    assert not intents_waiting(layout)
    assert create_runs(Disk(), layout, index, []) == []


def test_a_large_batch_does_not_need_a_descriptor_for_each(
    layout: Layout, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creation, "_BATCH", 3)
    answers = create_runs(Disk(), layout, index, [(row(f"r{n}"), first_lines(f"r{n}")) for n in range(10)])
    assert answers == [None] * 10
    assert len(index.due(0, 100) or []) == 10


# -- killed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power_lost", [False, True])
def test_killed_at_any_call_it_is_whole_with_a_row_or_not_there_after_recovery(
    tmp_path: Path, power_lost: bool
) -> None:
    """Fails when the intent is removed before the row is there."""
    layout, index = placed(tmp_path, "count")
    calls = points(lambda disk: create(layout, index, disk=disk) and None)
    assert calls >= 7
    fates = set()
    for number in range(1, calls + 1):
        for after in (False, True):
            layout, index = placed(tmp_path, f"{number}-{after}")
            power = PowerCut(layout.home)
            disk = FaultyDisk(power)
            disk.crash_at(number, after=after)
            with pytest.raises(Crash):
                create(layout, index, disk=disk)
            index.close()
            if power_lost:
                power.cut()
            again = Index(Disk(), layout, LATER if power_lost else BOOT)
            if power_lost:
                assert not again.trusted()
                assert again.rebuild()
            recover_intents(Disk(), layout, again)
            assert not intents_waiting(layout)
            there = whole(layout)
            fates.add(there)
            assert (again.due(0, 10) == ["r1"]) is there
            # asking again works, and gives the answer that is true
            try:
                create(layout, again)
                assert not there
            except Conflict:
                assert there
            assert again.due(0, 10) == ["r1"]
            again.close()
            power.close()
    assert fates == {False, True}


def test_a_batch_killed_at_any_call_leaves_each_run_whole_or_not_there(tmp_path: Path) -> None:
    wanted = [(row(run), first_lines(run)) for run in ("a", "b", "c")]
    layout, index = placed(tmp_path, "count")
    calls = points(lambda disk: create_runs(disk, layout, index, wanted) and None)
    for number in range(1, calls + 1):
        layout, index = placed(tmp_path, f"{number}")
        disk = FaultyDisk()
        disk.crash_at(number)
        with pytest.raises(Crash):
            create_runs(disk, layout, index, wanted)
        recover_intents(Disk(), layout, index)
        assert not intents_waiting(layout)
        there = [run for run in ("a", "b", "c") if whole(layout, run)]
        assert sorted(index.due(0, 10) or []) == there
        index.close()


@pytest.mark.parametrize("seed", range(30))
def test_an_acknowledged_run_survives_a_power_cut_of_any_kind(tmp_path: Path, seed: int) -> None:
    """Fails when the directory of the histories is not synced before the id is given."""
    layout, index = placed(tmp_path, "x")
    power = PowerCut(layout.home)
    create(layout, index, disk=FaultyDisk(power))
    power.cut(random.Random(seed) if seed else None)
    again = Index(Disk(), layout, LATER)
    again.rebuild()
    recover_intents(Disk(), layout, again)
    assert whole(layout)
    assert again.due(0, 10) == ["r1"]
    assert not intents_waiting(layout)
    power.close()


def test_what_recovery_gives_a_row_is_on_disk_first(tmp_path: Path) -> None:
    """A run that has a row is driven, and what it does must not vanish with its name.

    Fails when a run that a dead maker linked gets its row before its name is on disk.
    """
    layout, index = placed(tmp_path, "x")
    power = PowerCut(layout.home)
    disk = FaultyDisk(power)
    _die_after(disk, "link")
    with pytest.raises(Crash):
        create(layout, index, disk=disk)
    assert recover_intents(FaultyDisk(power), layout, index) == 1
    assert index.due(0, 10) == ["r1"]
    power.cut()
    assert whole(layout)
    power.close()
    # and if that sync fails there is no row
    layout, index = placed(tmp_path, "y")
    disk = FaultyDisk()
    _die_after(disk, "link")
    with pytest.raises(Crash):
        create(layout, index, disk=disk)
    failing = FaultyDisk()
    failing.fail_on("fsync", errno.EIO)
    with pytest.raises(DiskError):
        recover_intents(failing, layout, index)
    assert index.due(0, 10) == []
    assert intents_waiting(layout)


def test_recovery_killed_at_any_call_can_be_done_again(tmp_path: Path) -> None:
    def left(name: str) -> tuple[Layout, Index]:
        layout, index = placed(tmp_path, name)
        for run, operation in (("a", "link"), ("b", "write")):
            disk = FaultyDisk()
            _die_after(disk, operation)
            with pytest.raises(Crash):
                create(layout, index, run, disk)
        assert len(os.listdir(layout.intents)) == 2
        return layout, index

    layout, index = left("count")
    calls = points(lambda disk: recover_intents(disk, layout, index) and None)
    for number in range(1, calls + 1):
        for after in (False, True):
            layout, index = left(f"{number}-{after}")
            disk = FaultyDisk()
            disk.crash_at(number, after=after)
            with pytest.raises(Crash):
                recover_intents(disk, layout, index)
            recover_intents(Disk(), layout, index)
            assert not intents_waiting(layout)
            assert index.due(0, 10) == ["a"]
            assert whole(layout, "a")
            assert not whole(layout, "b")
            index.close()


# -- failures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["create", "chmod", "write", "fsync", "link", "open"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EMFILE])
@pytest.mark.parametrize("forever", [False, True])
def test_a_failing_disk_is_told_and_later_it_works_again(
    layout: Layout, index: Index, operation: str, code: int, forever: bool
) -> None:
    disk = FaultyDisk()
    disk.fail_on(operation, code, forever=forever)
    with pytest.raises(DiskError) as caught:
        create(layout, index, disk=disk)
    assert caught.value.errno == code
    recover_intents(Disk(), layout, index)
    assert not intents_waiting(layout)
    there = whole(layout)
    assert (index.due(0, 10) == ["r1"]) is there
    if not there:
        create(layout, index)
    assert whole(layout)


def test_a_failed_sync_of_the_directory_is_not_acknowledged(layout: Layout, index: Index) -> None:
    class Failing(Disk):
        __slots__ = ()

        def fsync_dir(self, path: str) -> None:
            assert path == layout.runs
            raise DiskError(operation="fsync", path=path, why="I/O error", errno=errno.EIO)

    with pytest.raises(DiskError):
        create(layout, index, disk=Failing())
    # linked and not acknowledged: it says itself that it is not finished
    assert intents_waiting(layout)
    assert index.due(0, 10) == []
    assert recover_intents(Disk(), layout, index) == 1
    assert index.due(0, 10) == ["r1"]


def test_without_its_row_it_is_not_acknowledged_and_not_lost(
    layout: Layout, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*rows: Row) -> None:
        raise DiskError(operation="use", path=layout.index, why="another process keeps it locked", errno=0)

    monkeypatch.setattr(index, "insert_new", locked)
    with pytest.raises(DiskError):
        create(layout, index)
    monkeypatch.undo()
    assert intents_waiting(layout)
    recover_intents(Disk(), layout, index)
    assert index.due(0, 10) == ["r1"]


def test_a_run_can_be_created_while_the_index_is_damaged_and_the_rebuild_finds_it(layout: Layout, index: Index) -> None:
    for n, damage in enumerate((b"", b"garbage" * 1000)):
        Path(layout.index).write_bytes(damage)
        create(layout, index, f"r{n}")
        assert not index.trusted()
        assert index.anything_due(0)
        assert index.rebuild()
        assert f"r{n}" in (index.due(0, 10) or [])


def test_a_missing_directory_is_an_error_of_ours(layout: Layout, index: Index) -> None:
    os.rmdir(layout.intents)  # noqa: PTH106
    assert not intents_waiting(layout)
    assert recover_intents(Disk(), layout, index) == 0
    with pytest.raises(DiskError):
        create(layout, index)


# -- makers that live -------------------------------------------------------------------------------------------

MAKER = """
import sys
from dwf.store.files import Disk
from dwf.store.layout import Layout
from dwf.store.index import Index
from dwf.store.row import Row
from dwf.store.creation import create_run
class Slow(Disk):
    __slots__ = ()
    def _call(self, operation, path, function, *args):
        if operation == sys.argv[2]:
            print("ready", flush=True)
            sys.stdin.read(1)
        return super()._call(operation, path, function, *args)
layout = Layout(sys.argv[1])
create_run(Slow(), layout, Index(Disk(), layout, "boot-1"), Row("r1"), b"line")
print("done", flush=True)
"""


@pytest.mark.parametrize("stop_before", ["write", "link"])
@pytest.mark.parametrize("stopped", [False, True])
def test_the_intent_of_a_living_maker_is_left_alone(
    layout: Layout, index: Index, stop_before: str, stopped: bool
) -> None:
    """Fails when the intent of a living maker is taken for a dead one's."""
    maker = child(MAKER, layout.home, stop_before)
    if stopped:
        os.kill(maker.pid, signal.SIGSTOP)
    assert intents_waiting(layout)
    assert recover_intents(Disk(), layout, index) == 0
    assert intents_waiting(layout)
    os.kill(maker.pid, signal.SIGCONT)
    out, _ = maker.communicate("x")
    assert out == "done\n"
    assert index.due(0, 10) == ["r1"]
    assert not intents_waiting(layout)


def test_the_intent_of_a_killed_maker_goes_and_his_id_is_free(layout: Layout, index: Index) -> None:
    end(child(MAKER, layout.home, "link"))
    assert intents_waiting(layout)
    assert recover_intents(Disk(), layout, index) == 1
    assert not intents_waiting(layout)
    assert os.listdir(layout.runs) == [".tmp"]
    create(layout, index)


def test_the_linked_intent_of_a_killed_maker_gets_its_row(layout: Layout, index: Index) -> None:
    """Fails when nobody makes the row that a dead maker owed."""
    Index(Disk(), layout, BOOT).rebuild(force=True)
    end(child(MAKER, layout.home, "open"))  # of the directory, to sync it: linked, and no row yet
    assert index.row("r1") is None
    assert recover_intents(Disk(), layout, index) == 1
    assert index.due(0, 10) == ["r1"]
    assert not intents_waiting(layout)


def test_an_intent_cleared_away_between_its_open_and_its_lock_is_begun_again(layout: Layout, index: Index) -> None:
    class Interrupted(Disk):
        __slots__ = ()

        def open_new(self, path: str, mode: int = 0o600) -> int:
            fd = super().open_new(path, mode)
            if times.pop():
                # a tick takes it for the work of a dead maker in exactly this moment
                assert recover_intents(Disk(), layout, index) == 1
            return fd

    times = [False, True]
    create(layout, index, disk=Interrupted())
    assert times == []
    assert whole(layout)
    assert index.due(0, 10) == ["r1"]


def test_a_run_reached_by_mail_before_its_maker_synced_is_synced_first(tmp_path: Path) -> None:
    """Fails when a run that is reached by mail is driven while its name is not on disk."""
    layout, index = placed(tmp_path, "x")
    power = PowerCut(layout.home)
    disk = FaultyDisk(power)
    _die_after(disk, "link")
    with pytest.raises(Crash):
        create(layout, index, disk=disk)
    sync_if_new(FaultyDisk(power), layout, "r1")
    power.cut()
    assert whole(layout)
    power.close()
    quiet = FaultyDisk()
    sync_if_new(quiet, layout, "r2")
    sync_if_new(quiet, layout, "1")
    sync_if_new(quiet, layout, "r1", link=2)
    assert quiet.calls == []


def test_a_run_created_while_its_absence_is_being_noted_keeps_its_row(layout: Layout, index: Index) -> None:
    """Mail came for a run that is not there: its row, made by the due mark, is dropped. Unless it is there now."""
    index.mark_due("r1")
    index.forget("r1")
    assert index.rows() == []
    index.mark_due("r1")
    create(layout, index)
    index.forget("r1")
    assert index.due(0, 10) == ["r1"]


def test_of_many_creators_of_one_id_exactly_one_wins(layout: Layout, index: Index) -> None:
    code = """
import sys
from dwf.errors import Conflict
from dwf.store.files import Disk
from dwf.store.layout import Layout
from dwf.store.index import Index
from dwf.store.row import Row
from dwf.store.creation import create_run, recover_intents
layout = Layout(sys.argv[1])
index = Index(Disk(), layout, "boot-1")
for n in range(25):
    try:
        create_run(Disk(), layout, index, Row(f"r{n}"), sys.argv[2].encode())
        print(n, sys.argv[2])
    except Conflict:
        pass
    recover_intents(Disk(), layout, index)
"""
    makers = [
        subprocess.Popen([sys.executable, "-c", code, layout.home, str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    winners = [line.split() for maker in makers for line in maker.communicate(timeout=60)[0].splitlines()]
    assert [maker.returncode for maker in makers] == [0] * 4
    assert sorted(int(n) for n, _ in winners) == list(range(25))
    for n, maker_name in winners:
        assert Path(layout.history_path(f"r{n}")).read_text() == maker_name
    assert len(index.due(0, 100) or []) == 25
    assert not intents_waiting(layout)


def test_creators_killed_at_random_leave_only_whole_runs_with_rows(layout: Layout, index: Index) -> None:
    code = """
import sys
from dwf.store.files import Disk
from dwf.store.layout import Layout
from dwf.store.index import Index
from dwf.store.row import Row
from dwf.store.creation import create_run, create_runs
layout = Layout(sys.argv[1])
index = Index(Disk(), layout, "boot-1")
print("ready", flush=True)
n = 0
while True:
    create_run(Disk(), layout, index, Row(f"{sys.argv[2]}-{n}"), b"whole")
    print(f"{sys.argv[2]}-{n}", flush=True)
    n += 1
"""
    chance = random.Random(5)
    acknowledged: list[str] = []
    for batch in range(2):
        makers = [child(code, layout.home, f"m{batch}{n}") for n in range(3)]
        for maker in makers:
            try:
                maker.wait(0.05 + chance.random() * 0.1)
            except subprocess.TimeoutExpired:
                maker.kill()
            out, _ = maker.communicate()
            acknowledged += out.split("\n")[:-1]
        recover_intents(Disk(), layout, index)
    found = [name.removesuffix(".jsonl") for name in os.listdir(layout.runs) if name != ".tmp"]
    assert acknowledged
    assert set(acknowledged) <= set(found)
    assert sorted(index.due(0, 100_000) or []) == sorted(found)
    assert all(Path(layout.history_path(run)).read_bytes() == b"whole" for run in found)
    assert not intents_waiting(layout)


# -- what does not belong there ---------------------------------------------------------------------------------


def test_what_is_no_intent_is_set_aside_and_does_not_keep_ticks_awake(layout: Layout, index: Index) -> None:
    Path(layout.intents, "notes").write_bytes(b"keep me")
    Path(layout.intents, "abc.x.txt").write_bytes(b"")
    Path(layout.intents, "ab.r9.jsonl").symlink_to("/etc/passwd")
    os.mkdir(f"{layout.intents}/directory")
    os.mkfifo(f"{layout.intents}/ab.fifo.jsonl")
    Path(layout.intents, "ab.r2.jsonl").write_bytes(b"half")
    assert recover_intents(Disk(), layout, index) == 1
    assert not intents_waiting(layout)
    assert Path(layout.mail_bad, "notes").read_bytes() == b"keep me"
    assert index.rows() == []
    assert os.listdir(layout.runs) == [".tmp"]


def test_a_file_planted_in_place_of_a_history_is_not_believed(layout: Layout, index: Index) -> None:
    from dwf.errors import NotPermitted

    Path(layout.history_path("r1")).symlink_to("/etc/passwd")
    with pytest.raises(NotPermitted):
        create(layout, index)
    assert not intents_waiting(layout)


def _die_after(disk: FaultyDisk, operation: str) -> None:
    """The process dies right after the first call of this name."""
    real = disk._call

    def call(called: str, path: str, function: Any, *args: Any) -> Any:
        result = real(called, path, function, *args)
        if called == operation:
            disk.dead = True
            raise Crash
        return result

    disk._call = call  # type: ignore[method-assign]

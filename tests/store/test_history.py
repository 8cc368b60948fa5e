"""The writer of a history: what is acknowledged is durable, and what is found is made durable before it is believed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec
import pytest

from dwf.core import events as ev
from dwf.core.duration import stamp, unstamp
from dwf.errors import (
    DiskError,
    HistoryCorrupt,
    InternalError,
    NotFound,
    NotPermitted,
    ValueRefused,
)
from dwf.store import history as history_module
from dwf.store.files import Disk
from dwf.store.history import History, believe_history, read_history, tail, verify_history
from tests.faults import Crash, FaultyDisk, PowerCut
from tests.store.histories import (
    LATER,
    NOW,
    RUN,
    content,
    lines,
    make,
    names,
    note,
    open_history,
    repairs,
    texts,
    write,
)

# -- appending ---------------------------------------------------------------------------------------------------------


def test_what_is_staged_is_numbered_and_timed_and_on_disk_after_commit(tmp_path: Path) -> None:
    path = make(tmp_path)
    with open_history(path) as history:
        first = history.stage(note("a"), LATER)
        second = history.stage(note("b"), LATER + 1)
        assert (first.id, first.ts, second.id, second.ts) == (6, stamp(LATER), 7, stamp(LATER + 1))
        assert texts(read_history(path).events) == []
        history.commit()
    assert texts(read_history(path).events) == ["a", "b"]
    assert verify_history(path) == []


def test_a_batch_is_one_write_and_one_sync_and_nothing_is_nothing(tmp_path: Path) -> None:
    """Fails when a batch costs a sync for each of its records."""
    disk = FaultyDisk()
    with open_history(make(tmp_path), disk) as history:
        disk.calls.clear()
        for n in range(50):
            history.stage(note(str(n)), LATER)
        history.commit()
        assert [call.operation for call in disk.calls] == ["write", "fdatasync"]
        history.commit()
        assert len(disk.calls) == 2


def test_commit_returns_only_when_the_batch_would_survive_a_power_cut(tmp_path: Path) -> None:
    """Fails when a batch is written and not synced."""
    path = make(tmp_path)
    power = PowerCut(tmp_path)
    with open_history(path, FaultyDisk(power)) as history:
        history.stage(note("acknowledged"), LATER)
        history.commit()
        history.stage(note("not committed"), LATER)
    power.cut()
    power.close()
    assert texts(read_history(path).events) == ["acknowledged"]


def test_a_rollback_forgets_what_is_staged_and_nothing_else(tmp_path: Path) -> None:
    path = make(tmp_path)
    with open_history(path) as history:
        history.stage(note("kept"), LATER)
        history.commit()
        head = history.head
        assert history.stage(note("dropped"), LATER + 9).id == 7
        assert history.pending_bytes > 0
        history.rollback()
        assert (history.head, history.length, history.pending_bytes) == (head, 6, 0)
        again = history.stage(note("instead"), LATER + 1)
        assert (again.id, again.ts) == (7, stamp(LATER + 1))
        history.commit()
    assert texts(read_history(path).events) == ["kept", "instead"]


def test_length_head_and_size_follow(tmp_path: Path) -> None:
    path = make(tmp_path)
    with open_history(path) as history:
        assert history.length == len(history.events) == 5
        assert history.size == os.path.getsize(path)  # noqa: PTH202
        history.stage(note("x"), LATER)
        history.commit()
        assert history.length == 6
        assert history.size == os.path.getsize(path)  # noqa: PTH202
        assert history.head == read_history(path).head_hash


def test_times_never_go_back_over_openings_whatever_the_clock_does(tmp_path: Path) -> None:
    path = make(tmp_path, count=0)
    for now in (NOW + 100, 0, NOW + 50, -5, NOW + 200, 1):
        with History.open(Disk(), path, now) as history:
            history.stage(note("tick"), now)
            history.commit()
    times = [unstamp(event.ts) - NOW for event in read_history(path).events]
    assert times == [0, 100, 100, 100, 100, 200, 200]


def test_a_payload_that_is_no_json_is_refused_and_the_batch_goes_on_without_it(tmp_path: Path) -> None:
    path = make(tmp_path)
    with open_history(path) as history:
        history.stage(note("a"), LATER)
        with pytest.raises(ValueRefused):
            history.stage(ev.ActivityCompleted(command=1, result=msgspec.Raw(b"{")), LATER)
        assert history.stage(note("b"), LATER).id == 7
        history.commit()
    assert texts(read_history(path).events) == ["a", "b"]
    assert verify_history(path) == []


def test_a_batch_cannot_grow_without_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "PENDING_LIMIT", 1000)
    with open_history(make(tmp_path)) as history:
        with pytest.raises(ValueRefused, match="over 1,000 bytes"):
            for _ in range(100):
                history.stage(note("x" * 50), LATER)
        assert history.pending_bytes < 1300
        history.commit()


# -- failing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["write", "fdatasync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.EROFS])
@pytest.mark.parametrize("forever", [False, True])
def test_a_failed_commit_is_not_retried_and_leaves_the_history_as_it_was(
    tmp_path: Path, operation: str, code: int, forever: bool
) -> None:
    """Fails when the same writer may go on after a failed sync."""
    path = make(tmp_path)
    before = content(path)
    disk = FaultyDisk()
    with open_history(path, disk) as history:
        disk.calls.clear()
        disk.fail_on(operation, code, forever=forever)
        history.stage(note("lost"), LATER)
        with pytest.raises(DiskError) as failed:
            history.commit()
        assert (failed.value.operation, failed.value.path, failed.value.errno) == (operation, path, code)
        assert failed.value.exit_code == 74
        assert [call.operation for call in disk.calls].count(operation) == 1
        calls = len(disk.calls)
        with pytest.raises(InternalError, match="after a failed write"):
            history.commit()
        assert len(disk.calls) == calls
    assert content(path) == before
    with open_history(path) as history:  # it works again without help
        history.stage(note("anew"), LATER)
        history.commit()
    assert texts(read_history(path).events) == ["anew"]


def test_a_write_that_fails_half_way_is_taken_back(tmp_path: Path) -> None:
    """Fails when what a failed write has left is not taken back."""
    path = make(tmp_path)
    before = content(path)
    disk = FaultyDisk()
    with open_history(path, disk) as history:
        disk.write_at_most(20)
        disk.fail_at(len(disk.calls) + 3, errno.ENOSPC)
        history.stage(note("lost"), LATER)
        with pytest.raises(DiskError):
            history.commit()
    assert content(path) == before


def test_what_cannot_be_taken_back_is_cut_by_the_next(tmp_path: Path) -> None:
    path = make(tmp_path)
    disk = FaultyDisk()
    with open_history(path, disk) as history:
        disk.write_at_most(20)
        disk.fail_at(len(disk.calls) + 3, errno.EIO, forever=True)
        history.stage(note("lost"), LATER)
        with pytest.raises(DiskError):
            history.commit()
    assert read_history(path).torn_bytes == 40
    with open_history(path) as history:
        assert texts(history.events) == []
        assert repairs(history.events)[0].dropped_bytes == 40
    assert verify_history(path) == []


def test_short_writes_are_completed(tmp_path: Path) -> None:
    path = make(tmp_path)
    disk = FaultyDisk()
    with open_history(path, disk) as history:
        disk.write_at_most(7)
        for n in range(3):
            history.stage(note(str(n)), LATER)
        history.commit()
    assert texts(read_history(path).events) == ["0", "1", "2"]
    assert verify_history(path) == []


def test_whoever_writes_without_the_lock_is_noticed_and_not_destroyed(tmp_path: Path) -> None:
    path = make(tmp_path)
    with open_history(path) as one, open_history(path) as two:
        two.stage(note("two"), LATER)
        two.commit()
        one.stage(note("one"), LATER)
        with pytest.raises(DiskError, match="changed or removed by something else"):
            one.commit()
        with pytest.raises(InternalError):
            one.commit()
    assert texts(read_history(path).events) == ["two"]


def test_a_history_that_was_removed_meanwhile_takes_no_records(tmp_path: Path) -> None:
    path = make(tmp_path)
    with open_history(path) as history:
        Path(path).unlink()
        history.stage(note("lost"), LATER)
        with pytest.raises(DiskError, match="changed or removed"):
            history.commit()


def test_a_killed_writer_leaves_the_whole_batch_a_prefix_of_it_or_a_torn_tail(tmp_path: Path) -> None:
    """After the next opening: what was acknowledged, then any number of records of the batch, and the news."""
    sample = make(tmp_path)
    with open_history(sample) as history:
        for n in range(3):
            history.stage(note(str(n)), LATER)
        size = history.pending_bytes
    for torn_at in range(size + 1):
        path = make(tmp_path, run=f"r{torn_at}")
        acknowledged = content(path)
        disk = FaultyDisk()
        history = open_history(path, disk)
        disk.tear_at(len(disk.calls) + 1, torn_at)
        for n in range(3):
            history.stage(note(str(n)), LATER)
        with pytest.raises(Crash):
            history.commit()
        history.close()
        left = content(path)
        assert left.startswith(acknowledged)
        reading = read_history(path)
        assert reading.problem is None
        found = texts(reading.events)
        assert found == ["0", "1", "2"][: len(found)]
        with open_history(path) as history:
            assert texts(history.events) == found
            assert [repair.dropped_bytes for repair in repairs(history.events)] == (
                [reading.torn_bytes] if reading.torn_bytes else []
            )
        assert content(path).startswith(left[: reading.size])
        assert verify_history(path) == []


# -- believing ---------------------------------------------------------------------------------------------------------


def test_what_a_killed_writer_left_is_made_durable_before_it_is_believed(tmp_path: Path) -> None:
    """Fails when what is found in a history is believed without a sync."""
    path = make(tmp_path)
    power = PowerCut(tmp_path)
    disk = FaultyDisk(power)
    history = open_history(path, disk)
    disk.crash_at(len(disk.calls) + 2)  # the write happens, the sync does not
    history.stage(note("left behind"), LATER)
    with pytest.raises(Crash):
        history.commit()
    history.close()
    with open_history(path, FaultyDisk(power)) as history:
        assert texts(history.events) == ["left behind"]  # now it may be answered, executed, decided upon
    power.cut()
    power.close()
    assert texts(read_history(path).events) == ["left behind"]


def test_the_name_of_a_new_history_is_made_durable_before_it_is_believed(tmp_path: Path) -> None:
    power = PowerCut(tmp_path)
    path = str(tmp_path / f"{RUN}.jsonl")
    FaultyDisk(power).write_new(path, lines(0)[0])  # its maker died before the sync of the directory
    open_history(path, FaultyDisk(power)).close()
    power.cut()
    power.close()
    assert len(read_history(path).events) == 1


def open_lazily(path: str, disk: FaultyDisk) -> History:
    return History.open(disk, path, lazily=True)


@pytest.mark.parametrize("staged", [0, 2])
def test_what_was_found_lazily_is_durable_with_the_first_commit(tmp_path: Path, staged: int) -> None:
    """Fails when a commit makes durable only what it writes, or a commit of nothing does nothing."""
    power = PowerCut(tmp_path)
    disk = FaultyDisk(power)
    path = str(tmp_path / f"{RUN}.jsonl")
    fd = disk.open_new(path)
    disk.write_all(fd, lines(0)[0], path)  # its maker died before any sync
    os.close(fd)
    history = open_lazily(path, FaultyDisk(power))
    for n in range(staged):
        history.stage(note(f"more {n}"), NOW)
    history.commit()
    history.close()
    power.cut()
    power.close()
    assert len(read_history(path).events) == 1 + staged


def test_a_history_opened_lazily_is_synced_once_however_often_it_is_committed(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with open_lazily(make(tmp_path, 4), disk) as history:
        assert [call.operation for call in disk.calls] == ["open"]
        history.commit()
        history.commit()
    assert [call.operation for call in disk.calls] == ["open", "fdatasync"]


def test_opening_syncs_the_file_once_and_the_directory_only_while_the_run_is_new(tmp_path: Path) -> None:
    for count, expected in ((0, ["open", "fdatasync", "open", "fsync"]), (4, ["open", "fdatasync"])):
        disk = FaultyDisk()
        open_history(make(tmp_path, count), disk).close()
        assert [call.operation for call in disk.calls] == expected


def test_a_history_that_cannot_be_synced_is_not_believed(tmp_path: Path) -> None:
    for operation in ("fdatasync", "fsync"):
        disk = FaultyDisk()
        disk.fail_on(operation, errno.EIO)
        with pytest.raises(DiskError):
            open_history(make(tmp_path, 0), disk)


def test_a_reader_whose_answer_others_act_upon_makes_it_durable_first(tmp_path: Path) -> None:
    """Fails when to believe a history is to read it."""
    power = PowerCut(tmp_path)
    disk = FaultyDisk(power)
    path = str(tmp_path / f"{RUN}.jsonl")
    fd = disk.open_new(path)
    disk.write_all(fd, b"".join(lines(2)), path)
    os.close(fd)
    reading = believe_history(FaultyDisk(power), path)
    assert [event.id for event in reading.events] == [1, 2, 3]
    power.cut()
    power.close()
    assert read_history(path) == reading or len(read_history(path).events) == 3


# -- what is opened ----------------------------------------------------------------------------------------------------


def test_no_history_is_not_found(tmp_path: Path) -> None:
    path = str(tmp_path / "r.jsonl")
    for opening in (
        lambda: open_history(path),
        lambda: read_history(path),
        lambda: verify_history(path),
        lambda: tail(path),
        lambda: believe_history(Disk(), path),
    ):
        with pytest.raises(NotFound) as missing:
            opening()
        assert missing.value.exit_code == 4
    assert names(tmp_path) == []


def test_links_other_kinds_and_files_that_others_write_are_refused(tmp_path: Path) -> None:
    real = make(tmp_path)
    (tmp_path / "link.jsonl").symlink_to(real)
    os.mkfifo(tmp_path / "fifo.jsonl")
    (tmp_path / "dir.jsonl").mkdir()
    for name in ("link", "fifo", "dir"):
        for opening in (read_history, verify_history, tail):
            with pytest.raises((NotPermitted, DiskError)):
                opening(str(tmp_path / f"{name}.jsonl"))
        with pytest.raises(HistoryCorrupt, match="not a regular file"):
            open_history(str(tmp_path / f"{name}.jsonl"))
    Path(real).chmod(0o620)
    with pytest.raises(NotPermitted, match="others may write"):
        open_history(real)
    read_history(real)


def test_a_history_of_somebody_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(NotPermitted, match="belongs to uid"):
        open_history(path)
    read_history(path)


def test_a_refused_history_costs_no_descriptor(tmp_path: Path) -> None:
    path = write(tmp_path, b"x\n")
    before = len(names(Path("/proc/self/fd")))
    for _ in range(3):
        with pytest.raises(HistoryCorrupt):
            open_history(path)
    assert len(names(Path("/proc/self/fd"))) == before


def test_a_closed_history_takes_nothing(tmp_path: Path) -> None:
    path = make(tmp_path)
    before = content(path)
    history = open_history(path)
    history.close()
    history.close()
    history.stage(note("x"), LATER)
    with pytest.raises(InternalError):
        history.commit()
    assert content(path) == before

"""The index: derived, never trusted across boots, damage or replacement; no wake is lost; asking costs O(due)."""

# ruff: noqa: PTH102, PTH108, PTH110, PTH116, PTH208, PTH211

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dwf.core import events as ev
from dwf.errors import DiskError, DwfError
from dwf.store import indexfile as sql
from dwf.store.choice import Choice
from dwf.store.files import Disk
from dwf.store.index import Index
from dwf.store.layout import Layout
from dwf.store.locks import INDEX, RunLocks
from dwf.store.record import Chain
from dwf.store.row import Row
from tests.faults import FaultyDisk
from tests.store import histories
from tests.store.places import new_home

BOOT = "boot-1"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return new_home(tmp_path)


@pytest.fixture
def index(layout: Layout) -> Iterator[Index]:
    index = Index(Disk(), layout, BOOT)
    assert index.rebuild()
    yield index
    index.close()


def waiting(run: str, at: int | None = None, **fields: Any) -> Row:
    return Row(run, status="waiting", due_at=at, **fields)


def settle(index: Index, row: Row) -> None:
    index.mark_due(row.run)
    assert index.settle(row.run, index.wakes_seen(row.run), row)


def history(layout: Layout, run: str, *more: ev.Event, link: int = 1) -> None:
    chain = Chain.begin(run, "n0nce")
    lines = [chain.append(event, histories.NOW)[1] for event in (histories.started(run), *more)]
    path = Path(layout.history_path(run, link))
    path.write_bytes(b"".join(lines))
    path.chmod(0o600)


# -- what is due ------------------------------------------------------------------------------------------------


def test_a_new_run_is_due_until_it_is_settled(index: Index) -> None:
    assert not index.anything_due(10)
    index.insert_new(Row("a"))
    assert index.anything_due(0)
    assert index.due(0, 10) == ["a"]
    settle(index, waiting("a", 500))
    assert index.due(499, 10) == []
    assert not index.anything_due(499)
    assert index.due(500, 10) == ["a"]
    assert index.anything_due(500)
    assert index.next_due_us() == 500


def test_a_run_that_waits_for_mail_only_is_never_due_by_time(index: Index) -> None:
    settle(index, waiting("a", None))
    assert index.due(2**62, 10) == []
    assert index.next_due_us() is None
    assert index.wake("a")
    assert index.due(0, 10) == ["a"]


def test_marked_runs_come_first_then_by_time_and_the_longest_untouched_first(index: Index) -> None:
    settle(index, waiting("late", 200))
    settle(index, waiting("early", 100))
    index.insert_new(Row("new", updated_us=50), Row("old", updated_us=40))
    assert index.due(1000, 10) == ["old", "new", "early", "late"]
    assert index.due(1000, 2) == ["old", "new"]


def test_what_cannot_be_taken_now_does_not_hide_what_is_behind_it(index: Index) -> None:
    index.insert_new(*(Row(f"r{n}", updated_us=n) for n in range(10)))
    assert index.due(0, 2, skip={"r0", "r1", "r2"}) == ["r3", "r4"]


def test_a_clock_that_goes_back_does_not_hide_a_run_that_was_marked_due(index: Index) -> None:
    settle(index, waiting("a", 2**50))
    index.wake("a")
    assert index.due(0, 10) == ["a"]


# -- nothing is lost while a run goes to sleep ------------------------------------------------------------------


def test_a_wake_after_the_last_look_makes_settling_fail_and_leaves_the_run_due(index: Index) -> None:
    """Fails when a run is settled although it was woken since the last look."""
    index.mark_due("a")
    seen = index.wakes_seen("a")
    index.wake("a")
    assert not index.settle("a", seen, waiting("a", None))
    assert index.due(0, 10) == ["a"]
    assert index.settle("a", index.wakes_seen("a"), waiting("a", None))
    assert index.due(0, 10) == []


def test_a_run_that_is_due_already_can_still_be_woken(index: Index) -> None:
    index.mark_due("a")
    seen = index.wakes_seen("a")
    index.mark_due("a")
    assert index.wake("a")
    assert not index.settle("a", seen, waiting("a", None))


def test_marking_a_run_due_tells_how_often_it_was_woken_before(index: Index) -> None:
    assert index.mark_due("a") == index.wakes_seen("a")
    index.wake("a")
    assert index.mark_due("a") == index.wakes_seen("a")
    assert index.settle("a", index.mark_due("a"), waiting("a", None))
    assert index.mark_due("a") == index.wakes_seen("a")
    assert index.due(0, 10) == ["a"]


def test_many_are_woken_at_once_and_those_without_a_row_are_passed_over(index: Index) -> None:
    for run in ("a", "b"):
        assert index.settle(run, index.mark_due(run), waiting(run, None))
    seen = index.wakes_seen("a")
    assert index.wake_each(["a", "missing", "b"]) == 2
    assert index.due(0, 10) == ["a", "b"] and index.wakes_seen("a") == seen + 1
    assert index.row("missing") is None


def test_waking_a_run_without_a_row_makes_none(index: Index) -> None:
    assert not index.wake("a")
    assert index.rows() == []


def test_the_count_of_a_replaced_index_does_not_fit_the_new_one(index: Index, layout: Layout) -> None:
    history(layout, "a")
    index.insert_new(Row("a"))
    index.mark_due("a")
    seen = index.wakes_seen("a")
    # In the old file it is woken; the new file is built before the history shows it.
    index.wake("a")
    assert Index(Disk(), layout, BOOT).rebuild(force=True)
    assert not index.settle("a", seen, waiting("a", None))
    assert not index.settle("a", seen, waiting("a", None))
    assert index.due(0, 10) == ["a"]


def test_a_settle_that_went_into_a_replaced_file_does_not_count(index: Index, layout: Layout) -> None:
    history(layout, "a")
    index.mark_due("a")
    other = Index(Disk(), layout, BOOT)

    def replaced_meanwhile(connection: Any) -> int:
        changed = connection.execute("UPDATE run SET due_at = NULL").rowcount
        assert other.rebuild(force=True)
        return int(changed)

    assert index._write(replaced_meanwhile, again=False) is None
    assert index.due(0, 10) == ["a"]
    other.close()


def test_a_wake_that_went_into_a_replaced_file_is_written_again(index: Index, layout: Layout) -> None:
    """Fails when a write into a file that was replaced meanwhile counts."""
    history(layout, "a")
    index.insert_new(Row("a"))
    other = Index(Disk(), layout, BOOT)
    times: list[int] = []

    def wake(connection: Any) -> int:
        changed = connection.execute(sql.WAKE, ("a",)).rowcount
        if not times:
            assert other.rebuild(force=True)
            settle(other, waiting("a", None))
        times.append(1)
        return int(changed)

    assert index._write(wake) == 1
    assert len(times) == 2
    assert other.due(0, 10) == ["a"]
    other.close()


def test_who_has_the_old_file_open_writes_into_the_new_one(index: Index, layout: Layout) -> None:
    index.insert_new(Row("a"))
    settle(index, waiting("a", None))
    history(layout, "a", ev.WorkflowCompleted())
    assert Index(Disk(), layout, BOOT).rebuild(force=True)
    assert index.wake("a")
    assert Index(Disk(), layout, BOOT).due(0, 10) == ["a"]


def test_a_due_mark_that_cannot_be_written_is_an_error(
    index: Index, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "BUSY_SECONDS", 0.0)
    index.close()
    blocker = sqlite3.connect(layout.index, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DiskError):
        index.mark_due("a")
    with pytest.raises(DiskError):
        index.insert_new(Row("a"))
    with pytest.raises(DiskError):
        index.wake("a")
    with pytest.raises(DiskError):
        index.due(0, 10)
    # Who only reads scans instead; a tick looks more closely. Being locked is no damage.
    assert index.rows() is None
    assert index.anything_due(0)
    blocker.close()
    assert index.trusted()


def test_too_many_open_files_are_not_taken_for_damage(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.insert_new(Row("a"))
    index.close()
    taken: list[int] = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        assert error.errno == errno.EMFILE
    try:
        with pytest.raises(DiskError):
            index.mark_due("a")
    finally:
        for fd in taken:
            os.close(fd)
    assert index.trusted()
    assert [row.run for row in index.rows() or []] == ["a"]


# -- rows -------------------------------------------------------------------------------------------------------


def test_a_row_comes_back_as_it_was_written(index: Index) -> None:
    row = Row("a", "n1", 2, "deploy", "waiting", True, 77, "approve", "@oncall", 5, 6, 7, "anna")
    row = replace(row, parent="n0.3", parent_run="fleet", tags='{"env":"prod"}')
    settle(index, row)
    assert index.row("a") == row
    assert index.rows() == [row]


def test_text_that_sqlite_would_refuse_and_long_text_can_be_stored(index: Index) -> None:
    settle(index, Row("a", step="\udcff\x00é", waiting="w" * 100_000))
    row = index.row("a")
    assert row is not None
    assert row.step == "\\udcff\x00é"
    assert len(row.waiting) == 1000


def test_rows_can_be_chosen(index: Index) -> None:
    for row in (
        Row("web-1", workflow="deploy", status="waiting", started_us=1, due_at=None),
        Row("web-2", workflow="deploy", status="failed", open=False, started_us=2, due_at=None),
        Row("we_b", workflow="backup", status="running", started_us=3),
    ):
        settle(index, row)

    def ids(limit: int = -1, **wishes: Any) -> list[str]:
        return [row.run for row in index.rows(Choice(**wishes), limit=limit) or []]

    assert ids() == ["we_b", "web-2", "web-1"]
    assert ids(limit=2) == ["we_b", "web-2"]
    assert ids(open_only=True) == ["we_b", "web-1"]
    assert ids(workflow="deploy", status=("waiting",)) == ["web-1"]
    assert ids(status=("failed", "running")) == ["we_b", "web-2"]
    assert ids(prefix="web") == ["web-2", "web-1"]
    assert ids(prefix="web-1", open_only=True) == ["web-1"]
    assert index.row("nobody") is None


def test_a_row_that_is_there_stays_and_a_later_instance_takes_it_over(index: Index) -> None:
    settle(index, Row("a", nonce="n1", status="completed", open=False, due_at=None))
    index.insert_new(Row("a", nonce="other"))
    row = index.row("a")
    assert row is not None
    assert (row.nonce, row.open) == ("n1", False)
    seen = index.wakes_seen("a")
    index.insert_new(Row("a", nonce="n2", link=2))
    row = index.row("a")
    assert row is not None
    assert (row.nonce, row.link, row.open, row.due_at) == ("n2", 2, True, 0)
    # the holder that was settling the old instance has to look again, and cannot write the old one back
    assert not index.settle("a", seen, Row("a", nonce="n1", open=False, due_at=None))
    assert not index.settle("a", index.wakes_seen("a"), Row("a", nonce="n1", open=False, due_at=None))
    assert index.due(0, 10) == ["a"]


def test_the_last_tick_is_remembered(index: Index) -> None:
    assert index.last_tick_us() is None
    index.note_tick(5)
    index.note_tick(7)
    assert index.last_tick_us() == 7


# -- trust ------------------------------------------------------------------------------------------------------


def test_an_index_of_another_boot_is_not_trusted_and_is_rebuilt(index: Index, layout: Layout) -> None:
    """Fails when it is not asked of which boot an index is."""
    history(layout, "a")
    settle(index, waiting("a", None))
    later = Index(Disk(), layout, "boot-2")
    assert not later.trusted()
    assert later.anything_due(0)
    assert later.rows() is None
    assert later.row("a") is None
    assert later.rebuild()
    assert later.trusted()
    assert later.due(0, 10) == ["a"]


def test_without_a_boot_id_nothing_is_trusted(layout: Layout) -> None:
    index = Index(Disk(), layout, "")
    assert index.rebuild()
    assert not index.trusted()


def test_a_copy_of_the_index_is_not_trusted(index: Index, layout: Layout) -> None:
    """A restored backup: the histories beside it may be others.

    Fails when it is not asked whether an index is the file that was built.
    """
    assert index.trusted()
    shutil.copy(layout.index, layout.index + ".copy")
    os.rename(layout.index + ".copy", layout.index)  # noqa: PTH104
    assert not index.trusted()
    assert not Index(Disk(), layout, BOOT).trusted()


def test_looking_at_a_missing_index_makes_none(layout: Layout) -> None:
    index = Index(Disk(), layout, BOOT)
    assert not index.trusted()
    assert index.anything_due(0)
    assert index.rows() is None
    assert index.due(0, 1) is None
    assert not os.path.exists(layout.index)


def test_its_files_are_private_whatever_the_umask(layout: Layout) -> None:
    before = os.umask(0)
    try:
        index = Index(Disk(), layout, BOOT)
        index.rebuild()
        index.insert_new(Row("a"))
    finally:
        os.umask(before)
    for name in os.listdir(layout.home):
        if name.startswith("index"):
            assert stat.S_IMODE(os.stat(f"{layout.home}/{name}").st_mode) == 0o600, name


@pytest.mark.parametrize("name", ["a b", "q?x#y%41", "'\"\\", "new\nline", os.fsdecode(b"\xff\xfe"), "ü"])
def test_the_state_directory_may_have_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    layout = new_home(tmp_path / name)
    index = Index(Disk(), layout, BOOT)
    assert index.rebuild()
    index.insert_new(Row("a"))
    assert Index(Disk(), layout, BOOT).due(0, 1) == ["a"]
    assert sorted(os.listdir(tmp_path)) == [name]


# -- damage -----------------------------------------------------------------------------------------------------


def _garbage(path: str) -> None:
    Path(path).write_bytes(b"\x00garbage\xff" * 4096)


def _empty(path: str) -> None:
    Path(path).write_bytes(b"")


def _directory(path: str) -> None:
    os.unlink(path)
    os.mkdir(path)
    Path(path, "full").write_bytes(b"x")


def _newer(path: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET schema = 99")
    connection.close()


def _other_tables(path: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE run")
        connection.execute("CREATE TABLE run(x)")
    connection.close()


def _no_meta(path: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM meta")
    connection.close()


def _half(path: str) -> None:
    os.truncate(path, os.stat(path).st_size // 2 + 100)


def _link(path: str) -> None:
    os.rename(path, path + ".away")  # noqa: PTH104
    os.symlink(path + ".away", path)


def _fifo(path: str) -> None:
    os.unlink(path)
    os.mkfifo(path)


def _journal_directory(path: str) -> None:
    Path(path + "-journal").unlink(missing_ok=True)
    os.mkdir(path + "-journal")


DAMAGES = [
    _garbage, _empty, _directory, _newer, _other_tables, _no_meta, _half, _link, _fifo, os.unlink, _journal_directory,
]  # fmt: skip


def use_all(index: Index) -> None:
    """Every operation once; none of them may raise for a damaged file."""
    index.trusted()
    index.anything_due(5)
    index.due(5, 5)
    index.next_due_us()
    index.last_tick_us()
    index.rows()
    index.row("b")
    index.wakes_seen("b")
    index.wake("b")
    index.settle("b", 1, Row("b"))
    index.note_tick(1)
    index.insert_new(Row("c"))
    index.mark_due("b")


def test_damage_that_only_a_settle_comes_by_is_replaced_by_it(index: Index, layout: Layout) -> None:
    """Else its caller marks the run as due, which works, and looks again, for ever."""
    index.insert_new(Row("a"))
    index.close()
    with sqlite3.connect(layout.index) as connection:
        connection.execute("CREATE TRIGGER rot BEFORE UPDATE OF status ON run BEGIN SELECT RAISE(ABORT, 'rot'); END")
    connection.close()
    index.mark_due("a")
    assert not index.settle("a", index.wakes_seen("a"), waiting("a", 500))
    settle(index, waiting("a", 500))
    assert not index.trusted()


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("opened_before", [False, True])
def test_damage_changes_no_answer_and_raises_nothing(
    layout: Layout, damage: Callable[[str], None], opened_before: bool
) -> None:
    history(layout, "b")
    history(layout, "done", ev.WorkflowCompleted())
    index = Index(Disk(), layout, BOOT)
    assert index.rebuild()
    index.insert_new(*(Row(f"r{n}") for n in range(200)))
    answers = index.row("b"), index.row("done")
    if not opened_before:
        index.close()
    damage(layout.index)
    use_all(index)
    history(layout, "c")
    assert index.rebuild()
    assert index.trusted()
    assert (index.row("b"), index.row("done")) == answers
    assert index.due(0, 10) == ["b", "c"] or damage is _journal_directory
    leftovers = {name for name in os.listdir(layout.home) if "new" in name or "old" in name}
    assert leftovers == set()


@pytest.mark.parametrize("damage", [_garbage, _empty, _directory, _newer, os.unlink])
def test_a_due_mark_can_be_written_whatever_is_at_the_path(layout: Layout, damage: Callable[[str], None]) -> None:
    index = Index(Disk(), layout, BOOT)
    index.rebuild()
    damage(layout.index)
    index.mark_due("a")
    assert index.due(0, 10) == ["a"]
    assert index.settle("a", index.wakes_seen("a"), waiting("a", None))
    assert not index.trusted()


def test_what_was_damaged_is_set_aside_and_only_once(index: Index, layout: Layout) -> None:
    for n in range(3):
        Path(layout.index).write_bytes(b"damage %d" % n)
        assert index.rebuild()
    assert Path(layout.index + ".broken").read_bytes() == b"damage 2"
    assert len([name for name in os.listdir(layout.home) if "broken" in name]) == 1


def test_damage_deep_in_the_file_that_hides_from_the_first_look_is_found_by_who_meets_it(
    index: Index, layout: Layout
) -> None:
    """The first page is sound, so it looks trusted; a run created now must not vanish in it."""
    index.insert_new(*(Row(f"r{n}") for n in range(500)))
    index.close()
    data = bytearray(Path(layout.index).read_bytes())
    page = 4096
    assert len(data) > 6 * page
    data[3 * page :] = os.urandom(len(data) - 3 * page)
    inode = os.stat(layout.index).st_ino
    with open(layout.index, "r+b") as file:
        file.write(data)
    assert os.stat(layout.index).st_ino == inode
    # Whatever the damage hid from it: the row is there, or nobody trusts the file.
    index.insert_new(Row("mine"))
    again = Index(Disk(), layout, BOOT)
    assert not again.trusted() or again.row("mine") is not None
    if (found := again.due(0, 10_000)) is None:
        assert again.rebuild()
        assert again.trusted()
    else:
        assert "mine" in found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), spots=st.integers(1, 400), cut=st.booleans())
def test_random_damage_never_raises_anything_but_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, seed: int, spots: int, cut: bool
) -> None:
    layout = new_home(tmp_path_factory.mktemp("h"))
    history(layout, "b")
    index = Index(Disk(), layout, BOOT)
    index.rebuild()
    index.insert_new(*(Row(f"r{n}", step="s" * 50) for n in range(100)))
    chance = random.Random(seed)
    index.close()
    data = bytearray(Path(layout.index).read_bytes())
    for _ in range(spots):
        data[chance.randrange(len(data))] = chance.randrange(256)
    if cut:
        del data[chance.randrange(len(data)) :]
    Path(layout.index).write_bytes(data)
    try:
        use_all(index)
    except DwfError:
        pass
    assert index.rebuild(force=True)
    assert index.trusted()
    assert index.due(0, 10) == ["b"]
    index.close()


# -- rebuilding -------------------------------------------------------------------------------------------------


def test_a_rebuild_tells_closed_from_due_and_takes_the_newest_instance(index: Index, layout: Layout) -> None:
    history(layout, "open", *histories.bodies(3))
    history(layout, "done", *histories.bodies(2), ev.WorkflowCompleted())
    history(layout, "failed", ev.WorkflowFailed(error=ev.ErrorInfo(type="X", message="m")))
    history(layout, "twice", ev.WorkflowCompleted())
    history(layout, "twice", link=2)
    for n in range(8):
        # some file systems list in the order of making, some the other way round
        for link in (1, 2, 3) if n % 2 else (3, 2, 1):
            history(layout, f"chain{n}", ev.WorkflowCompleted(), link=link)
    history(layout, "mended", ev.WorkflowCompleted(), ev.HistoryRepaired(dropped_bytes=1, sha256="x"))
    Path(layout.history_path("corrupt")).write_bytes(b"nonsense\n")
    Path(layout.history_path("empty")).write_bytes(b"")
    Path(layout.runs, "notes.txt").write_bytes(b"")
    Path(layout.runs, "x.jsonl.broken-1").write_bytes(b"")
    os.mkdir(layout.history_path("directory"))
    assert index.rebuild(force=True)
    rows = {row.run: row for row in index.rows() or []}
    assert {run for run, row in rows.items() if row.open} == {"open", "twice", "corrupt", "empty", "directory"}
    assert {rows.pop(f"chain{n}").link for n in range(8)} == {3}
    assert {run: row.status for run, row in rows.items() if not row.open} == {
        "done": "completed",
        "failed": "failed",
        "mended": "completed",
    }
    assert rows["twice"].link == 2
    assert (rows["open"].workflow, rows["open"].nonce) == ("deploy", "n0nce")
    assert rows["open"].started_us == histories.NOW
    assert sorted(index.due(0, 10) or []) == ["corrupt", "directory", "empty", "open", "twice"]


def test_a_torn_end_does_not_make_a_run_closed(index: Index, layout: Layout) -> None:
    history(layout, "a", ev.WorkflowCompleted())
    path = layout.history_path("a")
    os.truncate(path, os.stat(path).st_size - 5)
    index.rebuild(force=True)
    assert index.due(0, 10) == ["a"]


def test_rebuilding_twice_gives_the_same_rows(index: Index, layout: Layout) -> None:
    for n in range(20):
        history(layout, f"r{n}", *([ev.WorkflowCompleted()] if n % 2 else []))
    index.rebuild(force=True)
    first = index.rows()
    index.rebuild(force=True)
    assert index.rows() == first
    assert first is not None
    assert len(first) == 20


def test_a_trusted_index_is_not_rebuilt_unless_asked(index: Index, layout: Layout) -> None:
    settle(index, waiting("a", 5))
    assert index.rebuild()
    assert index.row("a") is not None
    assert index.rebuild(force=True)
    assert index.row("a") is None


def test_the_new_index_is_in_place_and_used_while_it_is_filled(index: Index, layout: Layout) -> None:
    """Fails when a rebuild writes over rows that others have written meanwhile."""
    history(layout, "a")
    history(layout, "b")
    others = Index(Disk(), layout, BOOT)
    seen: list[object] = []

    def derive(run: str, link: int, path: str) -> Row | None:
        if run == "a":
            seen.append(others.trusted())
            # somebody drives b meanwhile, and somebody starts c
            settle(others, waiting("b", 500))
            others.insert_new(Row("c"))
        return None

    assert index.rebuild(derive=derive, force=True)
    assert seen == [False]
    assert index.trusted()
    assert set(index.due(0, 10) or []) == {"a", "c"}
    assert index.row("b") == waiting("b", 500)


def test_only_who_holds_the_lock_may_say_more_than_due(index: Index, layout: Layout) -> None:
    """Fails when a row is derived from a history that is not locked."""
    history(layout, "free")
    history(layout, "taken")
    locks = RunLocks(Disk(), layout)
    asked: list[tuple[str, bool]] = []

    def derive(run: str, link: int, path: str) -> Row | None:
        lock = locks.take(run)
        asked.append((run, lock is None))
        assert path == layout.history_path(run, link)
        return waiting(run, 700)

    held = locks.take("taken")
    assert held is not None
    index.rebuild(derive=derive, force=True)
    assert asked == [("free", True)]
    assert index.due(0, 10) == ["taken"]
    assert index.row("free") == waiting("free", 700)
    held.release()


def test_only_one_rebuilds_at_a_time(index: Index, layout: Layout) -> None:
    """Fails when a rebuild asks for no lock."""
    lock = RunLocks(Disk(), layout).take(INDEX)
    assert lock is not None
    assert not index.rebuild(force=True)
    lock.release()
    assert index.rebuild(force=True)


def test_who_waited_for_a_rebuild_does_not_do_it_again(layout: Layout) -> None:
    first, second = Index(Disk(), layout, BOOT), Index(Disk(), layout, BOOT)
    assert not second.trusted()
    assert first.rebuild()
    settle(first, waiting("a", 9))
    assert second.rebuild()
    assert second.row("a") == waiting("a", 9)


def test_names_are_synced_before_they_are_believed(layout: Layout) -> None:
    """A run whose maker died between link and sync is acted upon from the rebuild on.

    Fails when names are believed that may not be on disk.
    """
    disk = FaultyDisk()
    history(layout, "a")
    index = Index(disk, layout, BOOT)
    disk.fail_on("fsync", errno.EIO)
    with pytest.raises(DiskError):
        index.rebuild()
    assert not index.trusted()
    assert index.rows() is None
    assert index.due(0, 10) == []
    assert index.rebuild()
    assert index.trusted()


def test_a_rebuild_killed_anywhere_leaves_an_index_that_nobody_trusts(layout: Layout) -> None:
    from tests.faults import Crash

    for n in range(3):
        history(layout, f"r{n}")
    whole = FaultyDisk()
    assert Index(whole, layout, BOOT).rebuild()
    for number in range(1, len(whole.calls) + 1):
        for after in (False, True):
            # damaged first, so that something has to be set aside too
            Path(layout.index).write_bytes(b"damage")
            disk = FaultyDisk()
            disk.crash_at(number, after=after)
            index = Index(disk, layout, BOOT)
            try:
                index.rebuild()
                survived = True
            except Crash:
                survived = False
            index.close()
            again = Index(Disk(), layout, BOOT)
            assert again.trusted() <= (survived or number >= len(whole.calls) - 3), (number, after)
            use_all(again)
            assert again.rebuild()
            assert again.due(0, 10) is not None
            assert {"r0", "r1", "r2"} <= set(again.due(0, 10) or [])
            again.close()
    assert {name for name in os.listdir(layout.home) if "new" in name or "old" in name} == set()


def test_a_rebuild_killed_while_it_fills_is_not_trusted(layout: Layout) -> None:
    """Fails when the index is called complete before it is filled."""
    history(layout, "a")
    index = Index(Disk(), layout, BOOT)

    class Killed(BaseException):
        pass

    def die(done: int, of: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        index.rebuild(progress=die)
    assert not index.trusted()
    assert index.anything_due(0)
    told: list[tuple[int, int]] = []
    assert index.rebuild(progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 1)]
    assert index.trusted()


def test_an_index_deleted_while_it_is_built_is_not_trusted(layout: Layout) -> None:
    history(layout, "a")
    index = Index(Disk(), layout, BOOT)
    assert not index.rebuild(progress=lambda done, of: os.unlink(layout.index))
    assert not index.trusted()
    assert index.rebuild()
    assert index.trusted()


def test_a_journal_left_by_the_old_file_is_not_rolled_back_into_the_new_one(index: Index, layout: Layout) -> None:
    """A writer killed in a transaction leaves a journal, found by name; then the file alone is deleted."""
    index.insert_new(*(Row(f"r{n}") for n in range(300)))
    index.close()
    code = """
import os, sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA journal_mode=PERSIST"); c.execute("PRAGMA synchronous=OFF"); c.execute("PRAGMA cache_size=1")
c.execute("BEGIN"); c.execute("UPDATE run SET workflow = hex(randomblob(200))")
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code, layout.index], check=False).returncode == -9
    assert os.stat(layout.index + "-journal").st_size > 1000
    os.unlink(layout.index)
    history(layout, "a")
    again = Index(Disk(), layout, BOOT)
    assert again.rebuild()
    assert again.due(0, 10) == ["a"]
    connection = sqlite3.connect(layout.index)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_a_writer_killed_in_a_transaction_leaves_a_sound_index(index: Index, layout: Layout) -> None:
    index.insert_new(*(Row(f"r{n}", workflow="before") for n in range(300)))
    index.close()
    code = """
import os, sys
from dwf.store.files import Disk
from dwf.store.index import Index
from dwf.store.layout import Layout
index = Index(Disk(), Layout(sys.argv[1]), "boot-1")
def half(connection):
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN")
    connection.execute("UPDATE run SET workflow = hex(randomblob(200))")
    os.kill(os.getpid(), 9)
index._write(half)
"""
    assert subprocess.run([sys.executable, "-c", code, layout.home], check=False).returncode == -9
    assert index.trusted()
    rows = index.rows()
    assert rows is not None
    assert {row.workflow for row in rows} == {"before"}


# -- cost -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", [sql.DUE[1], sql.IDLE, sql.NEXT_DUE])
def test_what_is_due_is_answered_by_its_index_alone(index: Index, question: str) -> None:
    index.insert_new(Row("a"))
    assert index._connection is not None
    values = [0] * question.count("?")
    plan = [line[3] for line in index._connection.execute(f"EXPLAIN QUERY PLAN {question}", values)]
    about_runs = [line for line in plan if "run" in line]
    assert about_runs
    assert all("SEARCH run USING COVERING INDEX run_due" in line for line in about_runs), plan
    assert not any("TEMP B-TREE" in line for line in plan), plan


@pytest.mark.parametrize("question", [sql.DUE[0], sql.DUE[2]])
def test_what_has_a_priority_is_found_by_its_index_and_no_other_row_looked_at(index: Index, question: str) -> None:
    index.insert_new(Row("a"))
    assert index._connection is not None
    plan = [line[3] for line in index._connection.execute(f"EXPLAIN QUERY PLAN {question}", (0, 9))]
    assert any("SEARCH run USING INDEX run_first" in line for line in plan), plan


def test_nothing_of_the_index_is_ever_synced_and_its_journal_is_kept(index: Index, layout: Layout) -> None:
    """A sync would cost more than all the rest; making and deleting a journal file as much again."""
    index.insert_new(Row("a"))
    assert index._connection is not None
    assert index._connection.execute("PRAGMA synchronous").fetchone() == (0,)
    journal = os.stat(layout.index + "-journal")
    index.mark_due("b")
    assert os.path.samestat(journal, os.stat(layout.index + "-journal"))


def test_asking_what_is_due_costs_the_same_however_many_runs_wait(index: Index) -> None:
    def steps() -> int:
        count: list[int] = []
        assert index._connection is not None
        index._connection.set_progress_handler(lambda: count.append(1) and None, 1)
        assert index.anything_due(100)
        assert index.due(100, 10) == ["due"]
        index._connection.set_progress_handler(None, 1)
        return len(count)

    index.insert_new(Row("due"))
    few = steps()
    index.insert_new(*(Row(f"w{n}", due_at=1000 + n if n % 2 else None) for n in range(5000)))
    assert steps() <= few + 5


def test_the_idle_questions_import_next_to_nothing(layout: Layout) -> None:
    Index(Disk(), layout).rebuild()
    code = """
import sys
before = set(sys.modules)
from dwf.store import creation, index, mailbox
from dwf.store.files import Disk
from dwf.store.layout import Layout
layout = Layout(sys.argv[1])
disk = Disk()
mail, rows = mailbox.Mailbox(disk, layout), index.Index(disk, layout)
print(mail.names(), rows.anything_due(1), creation.intents_waiting(layout))
from dwf.store.locks import RunLocks
print(" ".join(sorted(set(sys.modules) - before)))
"""
    done = subprocess.run([sys.executable, "-S", "-c", code, layout.home], capture_output=True, text=True, check=True)
    answer, modules = done.stdout.splitlines()
    assert answer == "[] False False"
    heavy = "msgspec asyncio typing json dataclasses filelock sqlite3 datetime pathlib threading re enum"
    # dwf/__init__.py is not this room's: what it imports is counted in its own test
    allowed = _imported_by("import dwf")
    assert set(heavy.split()) & (set(modules.split()) - allowed) == set()


def _imported_by(code: str) -> set[str]:
    script = f"import sys; before = set(sys.modules); {code}; print(' '.join(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


# -- many at once -----------------------------------------------------------------------------------------------


def test_threads_may_share_one_object(index: Index) -> None:
    failures: list[BaseException] = []

    def work(n: int) -> None:
        try:
            for i in range(30):
                settle(index, waiting(f"t{n}", i))
                index.wake(f"t{n}")
                index.due(0, 5)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(index.due(0, 100) or []) == 6


HAMMER = """
import os, random, sys, time
from dwf.store.files import Disk
from dwf.store.index import Index
from dwf.store.layout import Layout
from dwf.store.locks import RunLocks
from dwf.store.row import Row
layout, role, seed = Layout(sys.argv[1]), sys.argv[2], sys.argv[3]
chance = random.Random(seed)
index, locks = Index(Disk(), layout, "boot-1"), RunLocks(Disk(), layout)
inbox, done = sys.argv[1] + "/inbox", sys.argv[1] + "/done"
end = time.monotonic() + float(sys.argv[4])

def send(n):
    with open(f"{inbox}/.{seed}-{n}", "w"): pass
    os.rename(f"{inbox}/.{seed}-{n}", f"{inbox}/{seed}-{n}")
    index.wake("a")

def drive():
    lock = locks.take("a")
    if lock is None:
        return
    index.mark_due("a")
    for _ in range(50):
        seen = index.wakes_seen("a")
        for name in os.listdir(inbox):
            if not name.startswith("."):
                os.rename(f"{inbox}/{name}", f"{done}/{name}")
        if index.settle("a", seen, Row("a", status="waiting", due_at=None)):
            break
        index.mark_due("a")
    lock.release()

n = 0
while time.monotonic() < end:
    if role == "send":
        send(n)
        time.sleep(chance.random() * 0.003)
    elif role == "drive":
        if index.due(0, 5) != []:
            drive()
    elif role == "rebuild":
        index.rebuild(force=True)
        time.sleep(chance.random() * 0.02)
    elif role == "delete":
        time.sleep(chance.random() * 0.2)
        try: os.unlink(layout.index)
        except FileNotFoundError: pass
    n += 1
"""


def test_no_wake_is_lost_among_senders_drivers_rebuilds_deletions_and_kills(layout: Layout) -> None:
    history(layout, "a")
    for name in ("inbox", "done"):
        os.mkdir(f"{layout.home}/{name}")
    Index(Disk(), layout, BOOT).rebuild()

    def start(role: str, seed: int, seconds: float = 3.0) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", HAMMER, layout.home, role, str(seed), str(seconds)])

    roles = ("send", "send", "drive", "drive", "rebuild", "delete")
    steady = [start(role, seed) for seed, role in enumerate(roles)]
    for seed in range(8):
        victim = start(("drive", "send", "rebuild")[seed % 3], 100 + seed, 9)
        try:
            victim.wait(0.15 + 0.03 * seed)
        except subprocess.TimeoutExpired:
            victim.kill()
            victim.wait()
    assert [process.wait(60) for process in steady] == [0] * len(steady)
    index = Index(Disk(), layout, BOOT)
    index.rebuild()
    left = [name for name in os.listdir(f"{layout.home}/inbox") if not name.startswith(".")]
    assert os.listdir(f"{layout.home}/done")
    # Nothing is left behind that nobody would ever look at. (A sender killed before its wake was not acknowledged.)
    unacknowledged = {name for name in left if int(name.split("-")[0]) >= 100}
    assert set(left) == unacknowledged or index.due(0, 10) == ["a"]
    connection = sqlite3.connect(layout.index)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()

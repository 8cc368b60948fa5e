"""Several instances of one id appear together or not at all, wherever their maker is killed."""

# ruff: noqa: PTH208

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from dwf.errors import Conflict, DiskError
from dwf.store.creation import Together, intents_waiting, recover_intents
from dwf.store.files import Disk
from dwf.store.index import Index
from dwf.store.layout import Layout
from dwf.store.row import Row
from tests.faults import Crash, FaultyDisk, PowerCut, points
from tests.store import histories
from tests.store.test_creation import BOOT, LATER, placed

LINKS = (1, 2, 3)


def content(link: int) -> bytes:
    return b"".join(histories.lines(link, "r1"))


def appear(disk: Disk, layout: Layout, index: Index) -> None:
    with Together(disk, layout, "r1") as together:
        for link in LINKS:
            data = content(link)
            together.add(link, (data[:7], data[7:]))
        together.commit(index, Row("r1", nonce=histories.NONCE, link=3))


def there(layout: Layout) -> list[int]:
    """The instances that are there; they must be whole."""
    found = [link for link in LINKS if Path(layout.history_path("r1", link)).exists()]
    assert all(Path(layout.history_path("r1", link)).read_bytes() == content(link) for link in found)
    return found


def test_they_are_there_with_the_row_of_the_newest(tmp_path: Path) -> None:
    layout, index = placed(tmp_path, "x")

    appear(Disk(), layout, index)

    assert there(layout) == [1, 2, 3]
    assert index.row("r1") == Row("r1", nonce=histories.NONCE, link=3)
    assert not intents_waiting(layout)
    index.close()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("lost", ["nothing", "all", "some"])
def test_killed_at_any_call_all_are_there_after_recovery_or_none(tmp_path: Path, after: bool, lost: str) -> None:
    layout, index = placed(tmp_path, "count")
    fates = set()
    calls = points(lambda disk: appear(disk, layout, index))
    for number in range(1, calls + 1):
        layout, index = placed(tmp_path, str(number))
        power = PowerCut(layout.home)
        disk = FaultyDisk(power)
        disk.crash_at(number, after=after)
        with pytest.raises(Crash):
            appear(disk, layout, index)
        index.close()
        if lost != "nothing":
            power.cut(random.Random(number) if lost == "some" else None)
        index = Index(Disk(), layout, BOOT if lost == "nothing" else LATER)
        if lost != "nothing":
            assert index.rebuild()
        recover_intents(Disk(), layout, index)
        found = there(layout)
        fates.add(len(found))
        assert not intents_waiting(layout)
        if found:
            row = index.row("r1")
            assert row is not None and row.link == 3 and index.due(0, 10) == ["r1"]
            with pytest.raises(Conflict):
                appear(Disk(), layout, index)
        else:
            appear(Disk(), layout, index)
        assert there(layout) == [1, 2, 3]
        index.close()
        power.close()
    assert fates == {0, 3}


def test_recovery_killed_at_any_call_can_be_done_again(tmp_path: Path) -> None:
    layout, index = _half(tmp_path, "count")
    calls = points(lambda disk: recover_intents(disk, layout, index))
    for number in range(1, calls + 1):
        for after in (False, True):
            layout, index = _half(tmp_path, f"{number}-{after}")
            disk = FaultyDisk()
            disk.crash_at(number, after=after)
            with pytest.raises(Crash):
                recover_intents(disk, layout, index)
            recover_intents(Disk(), layout, index)
            assert there(layout) == [1, 2, 3]
            assert not intents_waiting(layout)
            index.close()


def _half(tmp_path: Path, name: str) -> tuple[Layout, Index]:
    """Killed between the first link and the second."""
    layout, index = placed(tmp_path, name)
    disk = FaultyDisk()
    disk.crash_at(_second_link(tmp_path, name))
    with pytest.raises(Crash):
        appear(disk, layout, index)
    assert there(layout) == [1]
    assert len(os.listdir(layout.intents)) == 3
    return layout, index


def _second_link(tmp_path: Path, name: str) -> int:
    layout, index = placed(tmp_path, f"{name}-whole")
    disk = FaultyDisk()
    appear(disk, layout, index)
    index.close()
    return [number for number, call in enumerate(disk.calls, 1) if call.operation == "link"][1]


def test_what_somebody_else_is_just_recovering_is_not_taken_from_under_him(tmp_path: Path) -> None:
    """The first instance's intent is what tells him that the others belong to a run that is there."""
    from dwf.store.locks import lock_now

    layout, index = _half(tmp_path, "x")
    (second,) = [name for name in os.listdir(layout.intents) if name.endswith("~2.jsonl")]
    fd = os.open(f"{layout.intents}/{second}", os.O_RDONLY)
    assert lock_now(fd, second)

    recover_intents(Disk(), layout, index)
    assert there(layout) == [1, 3]
    os.close(fd)
    recover_intents(Disk(), layout, index)

    assert there(layout) == [1, 2, 3]
    assert not intents_waiting(layout)
    index.close()


@pytest.mark.parametrize("operation", ["create", "write", "fsync", "link"])
def test_a_failing_disk_leaves_nothing_and_it_can_be_tried_again(tmp_path: Path, operation: str) -> None:
    layout, index = placed(tmp_path, "x")
    disk = FaultyDisk()
    disk.fail_on(operation, errno.ENOSPC)
    with pytest.raises(DiskError):
        appear(disk, layout, index)
    assert there(layout) == [] and not intents_waiting(layout)

    appear(Disk(), layout, index)
    index.close()


def test_an_id_in_use_is_a_conflict_and_nothing_of_the_others_is_left(tmp_path: Path) -> None:
    layout, index = placed(tmp_path, "x")
    mine = Path(layout.history_path("r1"))
    mine.write_bytes(b"mine")

    with pytest.raises(Conflict):
        appear(Disk(), layout, index)

    assert mine.read_bytes() == b"mine"
    assert not Path(layout.history_path("r1", 2)).exists()
    assert not intents_waiting(layout)
    index.close()

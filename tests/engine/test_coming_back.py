"""A moved run that comes back: what is here grows by what happened elsewhere, or it stays as it is."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.errors import Conflict, DiskError, WrongState
from tests.engine.house import House
from tests.engine.test_moving import STORY, copy, move, placed, take
from tests.faults import Crash, FaultyDisk, PowerCut


@pytest.fixture
def here(tmp_path: Path) -> House:
    return placed(tmp_path, "here")


@pytest.fixture
def there(tmp_path: Path) -> House:
    return placed(tmp_path, "there")


def history(house: House) -> bytes:
    return Path(house.store.layout.history_path("r1")).read_bytes()


def been_away(here: House, there: House) -> None:
    """Moved to `there`, answered there, and moved on from there: the bundle is to come back."""
    here.go(STORY)
    move(here)
    take(there, resume=True)
    there.answer()
    there.tick()
    move(there, name="back.dwf")


def test_it_goes_on_here_and_what_was_here_is_its_beginning(here: House, there: House) -> None:
    been_away(here, there)
    before = history(here)
    take(here, resume=True, name="back.dwf")
    assert history(here).startswith(before) and here.status() is Status.WAITING
    here.signal("go", 7)
    here.tick()
    assert here.result()[1] == 7
    assert [len(here.all(kind)) for kind in (ev.RunMoved, ev.RunAdopted)] == [2, 2]
    assert [note.split()[0] for note in [*here.notes(), *there.notes()]] == ["first", "second"]
    here.check()
    assert there.status() is Status.MOVED
    with pytest.raises(WrongState):
        there.signal("go", 8)


def test_a_move_that_was_a_mistake_is_undone_with_its_own_bundle(here: House) -> None:
    here.go(STORY)
    move(here)
    take(here, resume=True)
    here.answer()
    here.signal("go", 1)
    here.tick()
    assert here.status() is Status.COMPLETED


def test_it_comes_back_once(here: House, there: House) -> None:
    been_away(here, there)
    take(here, resume=True, name="back.dwf")
    before = history(here)
    for name in ("back.dwf", "r1.dwf"):
        with pytest.raises(Conflict):
            take(here, resume=True, name=name)
    assert history(here) == before


def test_a_bundle_from_before_another_move_does_not_come_back(here: House, there: House) -> None:
    """Moved twice: the first bundle is a beginning of what is here, and not the other way round."""
    been_away(here, there)
    take(here, resume=True, name="back.dwf")
    move(here, name="again.dwf")
    before = history(here)
    for name in ("back.dwf", "r1.dwf"):
        with pytest.raises(Conflict, match="another history"):
            take(here, resume=True, name=name)
    assert history(here) == before and here.status() is Status.MOVED
    take(here, resume=True, name="again.dwf")
    assert here.status() is Status.WAITING


def test_another_run_of_the_same_id_does_not_come_back(tmp_path: Path, here: House, there: House) -> None:
    here.go(STORY)
    move(here)
    before = history(here)
    there.go(STORY)
    move(there, name="other.dwf")
    with pytest.raises(Conflict, match="another history"):
        take(here, resume=True, name="other.dwf")
    assert history(here) == before and not list(Path(here.store.layout.intents).iterdir())


def test_a_copy_to_look_into_does_not_take_the_place_of_a_moved_run(here: House, there: House) -> None:
    been_away(here, there)
    with pytest.raises(Conflict, match="moved from here"):
        take(here, name="back.dwf")


def test_an_open_run_and_an_inspected_one_are_in_use(here: House, there: House) -> None:
    here.go(STORY)
    copy(here, name="copy.dwf")
    take(there, name="copy.dwf")
    move(here)
    with pytest.raises(Conflict, match="in use"):
        take(there, resume=True)


def test_one_changed_byte_here_keeps_it_out(here: House, there: House) -> None:
    been_away(here, there)
    path = Path(here.store.layout.history_path("r1"))
    whole = path.read_bytes()
    path.write_bytes(whole + b"x")
    with pytest.raises(Conflict, match="another history"):
        take(here, resume=True, name="back.dwf")
    assert path.read_bytes() == whole + b"x"


def test_its_instances_before_the_last_must_be_the_same(here: House, there: House) -> None:
    here.start(here.script("@dwf.workflow\nasync def main():\n    return 1\n", "quick.py"))
    here.tick()
    here.start(here.script(STORY), if_exists="new")
    here.tick()
    move(here)
    take(there, resume=True)
    move(there, name="back.dwf")
    first = Path(here.store.layout.history_path("r1"))
    whole = first.read_bytes()
    for other in (whole[:-2], whole + b"{}\n"):
        first.write_bytes(other)
        with pytest.raises(Conflict, match="another history"):
            take(here, resume=True, name="back.dwf")
    first.write_bytes(whole)
    take(here, resume=True, name="back.dwf")
    assert here.status() is Status.WAITING


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_call_it_has_come_back_or_not_and_it_can_be_typed_again(tmp_path: Path, after: bool) -> None:
    number, done, fates = 0, False, set()
    while not done:
        number += 1
        (tmp_path / f"{number}").mkdir()
        here, there = placed(tmp_path / f"{number}", "here"), placed(tmp_path / f"{number}", "there")
        been_away(here, there)
        before = history(here)
        here.store.index.close()
        disk = FaultyDisk()
        disk.crash_at(number, after=after)
        here.reopen(disk)
        try:
            take(here, resume=True, name="back.dwf")
            done = True
        except Crash:
            pass
        here.store.index.close()
        here.reopen()
        here.tick()
        fates.add(here.status())
        if here.status() is Status.MOVED:
            assert history(here) == before
            take(here, resume=True, name="back.dwf")
        assert history(here).startswith(before) and here.kinds().count("RunAdopted") == 2
        here.signal("go", 7)
        here.tick()
        assert here.result()[1] == 7
        here.check()
        for house in (here, there):
            house.store.index.close()
    assert fates == {Status.MOVED, Status.WAITING} and number > 10


@pytest.mark.parametrize("operation", ["create", "write", "fsync", "rename"])
def test_a_full_disk_leaves_it_as_it_was(here: House, there: House, operation: str) -> None:
    been_away(here, there)
    before = history(here)
    disk = FaultyDisk()
    disk.fail_on(operation, errno.ENOSPC, forever=True)
    here.reopen(disk)
    with pytest.raises(DiskError):
        take(here, resume=True, name="back.dwf")
    here.reopen()
    assert history(here) == before and here.status() is Status.MOVED


def test_what_was_told_outlives_a_power_cut(here: House, there: House) -> None:
    been_away(here, there)
    here.store.index.close()
    power = PowerCut(here.store.layout.home)
    here.reopen(FaultyDisk(power))
    take(here, resume=True, name="back.dwf")
    power.cut()
    here.reopen()
    assert here.status() is Status.WAITING
    here.signal("go", 7)
    here.tick()
    assert here.result()[1] == 7
    power.close()

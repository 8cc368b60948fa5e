"""Archiving, broken off anywhere: killed, out of power, out of disk. A closed run is here or there, and never lost
or counted twice; an open one is never moved."""

from __future__ import annotations

import errno
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from dwf.core.state import Status
from dwf.engine import archiving, lists
from dwf.errors import Conflict, DiskError
from dwf.store.archive import archived, entries, months
from dwf.store.history import verify_history
from dwf.store.room import Store
from tests.engine.house import ME, House
from tests.faults import FaultyDisk, PowerCut
from tests.faults.disk import Crash
from tests.faults.killing import command, killed_at, points, why_not
from tests.faults.tally import Tally

SCRIPT = """
    @dwf.workflow
    async def main(wait: bool = False):
        return await dwf.wait_signal("go") if wait else 1
"""
RUNS = ("a", "b", "c", "w")
CLOSED = ("a", "b", "c")


def furnished(path: Path) -> House:
    """Three closed runs, one of them in its third instance, and one that waits."""
    path.mkdir(parents=True, exist_ok=True)
    house = House(path)
    script = house.script(SCRIPT)
    for run in RUNS:
        house.start(script, run, json_input={"wait": run == "w"})
    house.tick()
    for _ in range(2):
        house.start(script, "b", if_exists="new")
        house.tick()
    return house


def put_away(store: Store) -> list[archiving.Outcome]:
    return list(archiving.archive(store, RUNS, ME, "old"))


def must_hold(house: House) -> None:
    """After a tick, as cron brings it: each run once, whole, in a list or among the archived."""
    house.tick()
    listed = Counter(summary.run for summary in lists.summaries(house.store))
    away = Counter(summary.run for summary in lists.archived(house.store))
    assert listed + away == Counter(RUNS)
    assert "w" in listed and house.status("w") is Status.WAITING
    assert lists.tally(house.store).total == len(listed)
    for run in CLOSED:
        view = house.view(run)
        assert view.status is Status.COMPLETED and view.link == (3 if run == "b" else 1)
        assert bool(view.month) == (run in away)
        assert not verify_history(view.path)
    with pytest.raises(Conflict):
        house.start(house.script(SCRIPT), "a")


def finished(house: House) -> None:
    put_away(house.store)
    house.tick()
    assert {run for run, *_ in found(house.store)} == set(CLOSED)
    assert sorted(link for run, link, _ in found(house.store) if run == "b") == [1, 2, 3]
    assert [summary.run for summary in lists.summaries(house.store)] == ["w"]
    house.check()


def found(store: Store) -> list[tuple[str, int, str]]:
    return [entry for month in months(store.layout) for entry in entries(store.layout, month)]


def calls(ram: Path) -> int:
    house = furnished(ram / "whole")
    disk = FaultyDisk()
    house.reopen(disk)
    put_away(house.store)
    must_hold(house)
    return len(disk.calls)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_death_at_each_call(ram: Path, after: bool, tally: Tally) -> None:
    total = calls(ram)
    assert total > 20
    for number in range(1, total + 1):
        house = furnished(ram / str(number))
        disk = FaultyDisk()
        house.reopen(disk)
        disk.crash_at(number, after=after)
        with tally.trying("archive: death at a call to the disk"):
            try:
                put_away(house.store)
            except Crash:
                pass
            house.store.index.close()
            house.reopen()
            must_hold(house)
            finished(house)


def test_power_lost_at_each_call(ram: Path, tally: Tally) -> None:
    for number in range(1, calls(ram) + 1):
        house = furnished(ram / str(number))
        house.store.index.close()
        power = PowerCut(house.path / "home")
        disk = FaultyDisk(power)
        house.reopen(disk)
        disk.crash_at(number, after=bool(number % 2))
        chance = random.Random(number)
        told: list[archiving.Outcome] = []
        with tally.trying("archive: power lost at a call to the disk"):
            try:
                told += archiving.archive(house.store, RUNS, ME, "old")
            except Crash:
                pass
            house.store.index.close()
            power.cut(chance if number % 3 else None)
            Path(house.store.layout.index).unlink(missing_ok=True)
            house.reopen()
            must_hold(house)
            assert all(archived(house.store.layout, outcome.run) for outcome in told if outcome.month)
            finished(house)
        power.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES], ids=["ENOSPC", "EIO", "EACCES"])
def test_an_error_at_each_call(ram: Path, code: int, tally: Tally) -> None:
    for number in range(1, calls(ram) + 1):
        house = furnished(ram / str(number))
        disk = FaultyDisk()
        house.reopen(disk)
        disk.fail_at(len(disk.calls) + number, code)
        with tally.trying("archive: an error at a call to the disk"):
            try:
                put_away(house.store)
            except Exception as error:
                assert getattr(error, "exit_code", 70) in (74, 77), error
            house.store.index.close()
            house.reopen()
            must_hold(house)
            finished(house)


@pytest.mark.skipif(bool(why_not()), reason=why_not())
@pytest.mark.parametrize("share", [6, pytest.param(1, marks=pytest.mark.long)], ids=["some", "all"])
def test_a_real_archive_command_is_really_killed(ram: Path, share: int) -> None:
    words = command("archive", *CLOSED, "-m", "old")
    whole = furnished(ram / "whole")
    whole.store.index.close()
    chosen = points(words, whole.store.layout.home)
    random.Random(4).shuffle(chosen)
    killed = 0
    for number, point in enumerate(chosen[: max(len(chosen) // share, 1)]):
        house = furnished(ram / str(number))
        house.store.index.close()
        ended = killed_at(words, house.store.layout.home, point)
        killed += ended.killed
        told = ended.out.split()
        house.reopen()
        assert all(house.view(run).month for run in told), f"{point}: told, and not away"
        must_hold(house)
        finished(house)
    assert killed > 2


# -- a start of the same id in the same moment ------------------------------------------------------------------


class Meddling(FaultyDisk):
    """Before a certain call, somebody else does something."""

    def __init__(self, operation: str, part: str, act: Callable[[], object]) -> None:
        super().__init__()
        self._at, self._act = (operation, part), act

    def _call(self, operation: str, path: str, function: Callable[..., object], *args: object) -> object:
        if operation == self._at[0] and self._at[1] in path and self._act is not None:
            act, self._act = self._act, lambda: None
            act()
        return super()._call(operation, path, function, *args)


@pytest.mark.parametrize(
    ("operation", "part"),
    [("mkdir", "archive"), ("link", "archive/"), ("fsync", "archive/"), ("unlink", "runs/a"), ("fsync", "/runs")],
)
def test_a_start_while_its_id_is_on_the_way_into_the_archive(ram: Path, operation: str, part: str) -> None:
    house = furnished(ram / "h")
    other = House(ram / "h")
    script = house.script(SCRIPT)
    refused: list[Conflict] = []

    def start() -> None:
        try:
            other.start(script, "a")
        except Conflict as error:
            refused.append(error)

    house.reopen(Meddling(operation, part, start))
    put_away(house.store)
    assert len(refused) == 1
    must_hold(house)


@pytest.mark.parametrize("operation", ["write", "fsync", "link"])
def test_an_archivist_while_a_start_with_the_same_id_is_under_way(ram: Path, operation: str) -> None:
    house = furnished(ram / "h")
    other = House(ram / "h")
    script = house.script(SCRIPT)
    told: list[archiving.Outcome] = []
    house.reopen(Meddling(operation, "a.jsonl", lambda: told.extend(archiving.archive(other.store, ["a"], ME))))
    with pytest.raises(Conflict):
        house.start(script, "a")
    assert told and told[0].why == "a start with its id is under way"
    must_hold(house)
    finished(house)


def test_a_history_that_cannot_be_moved_stays(ram: Path) -> None:
    house = furnished(ram / "h")
    disk = FaultyDisk()
    house.reopen(disk)
    disk.fail_on("link", errno.EMLINK)
    with pytest.raises(DiskError):
        put_away(house.store)
    must_hold(house)

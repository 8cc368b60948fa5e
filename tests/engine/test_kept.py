"""Runs that stay replayed in memory between two drives: as long as nobody else has written a byte, and no longer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dwf.core.state import Status
from dwf.engine.context import Engine
from dwf.engine.drive import drive
from dwf.engine.ending import Rest
from dwf.engine.journal import Journal
from dwf.engine.kept import Kept
from dwf.engine.upgrade import upgrade
from tests.engine.house import ME, House

ECHO = """
@dwf.activity
def heed(n: int) -> int:
    note(n)
    return n

@dwf.workflow
async def main():
    heard = []
    async for n in dwf.signals("go", type=int):
        heard.append(await heed(n))
        if n == 0:
            return heard
"""


@contextmanager
def kept(house: House, runs: int = 10) -> Iterator[Engine]:
    engine = Engine.open(house.store, kept=Kept(runs), clock=house.clock)
    try:
        yield engine
    finally:
        engine.close()


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[Journal]:
    """Each journal that was replayed from its file."""
    found: list[Journal] = []
    replay_all = Journal.replay_all
    monkeypatch.setattr(Journal, "replay_all", lambda self, code: (found.append(self), replay_all(self, code))[1])
    return found


def hear(house: House, engine: Engine, n: int, run: str = "r1") -> Rest:
    house.signal("go", n, run)
    return drive(engine, run).rest


def test_a_run_that_is_driven_again_and_again_is_replayed_once(house: House, replays: list[Journal]) -> None:
    house.start(house.script(ECHO))
    with kept(house) as engine:
        assert drive(engine, "r1").rest is Rest.WAITING
        for n in (3, 2, 1):
            assert hear(house, engine, n) is Rest.WAITING
        assert hear(house, engine, 0) is Rest.CLOSED
    assert len(replays) == 1 and replays[0].replay.closed
    assert house.result() == [3, 2, 1, 0] and house.notes() == ["3", "2", "1", "0"]
    house.check()


def test_what_another_process_has_done_meanwhile_is_read(house: House, replays: list[Journal]) -> None:
    house.start(house.script(ECHO))
    with kept(house) as engine:
        hear(house, engine, 3)
        house.signal("go", 2)
        house.tick()
        assert hear(house, engine, 1) is Rest.WAITING
        hear(house, engine, 0)
    assert len(replays) == 3 and all(journal.replay.closed for journal in replays)
    assert house.result() == [3, 2, 1, 0] and house.counted() == {"3": 1, "2": 1, "1": 1, "0": 1}


def change_a_byte(path: Path) -> None:
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.write(data.replace(b'"heed"', b'"need"', 1))


def put_a_copy_in_place(path: Path) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.chmod(0o600)
    copy.rename(path)


@pytest.mark.parametrize(("change", "rest"), [(change_a_byte, Rest.UNREADABLE), (put_a_copy_in_place, Rest.WAITING)])
def test_a_file_that_was_touched_is_read_anew(
    house: House, replays: list[Journal], change: Callable[[Path], None], rest: Rest
) -> None:
    house.start(house.script(ECHO))
    path = Path(house.store.layout.history_path("r1"))
    with kept(house) as engine:
        hear(house, engine, 3)
        os.utime(path, ns=(0, 0))  # the kernel's clock for files is coarse; another time shows whatever its tick
        house.signal("go", 2)
        change(path)
        assert drive(engine, "r1").rest is rest
    assert replays[0].replay.closed
    assert house.notes() == (["3"] if rest is Rest.UNREADABLE else ["3", "2"])


def test_those_that_are_too_many_are_closed_the_one_that_rested_longest_first(
    house: House, replays: list[Journal]
) -> None:
    path = house.script(ECHO)
    for run in ("r1", "r2", "r3"):
        house.start(path, run)
    with kept(house, runs=2) as engine:
        for run in ("r1", "r2", "r1", "r3"):
            hear(house, engine, 5, run)
        assert [journal.run for journal in replays if journal.replay.closed] == ["r2"]
        hear(house, engine, 0, "r1")
        hear(house, engine, 0, "r2")
    assert [journal.run for journal in replays] == ["r1", "r2", "r3", "r2"]
    assert all(journal.replay.closed for journal in replays)
    assert house.result("r1") == [5, 5, 0] and house.result("r2") == [5, 0]


def test_a_run_that_is_moved_to_other_code_goes_on_with_that(house: House, replays: list[Journal]) -> None:
    house.start(house.script(ECHO))
    with kept(house) as engine:
        hear(house, engine, 3)
        other = house.script(ECHO.replace("return heard", "return [*heard, 'new']"))
        upgrade(house.store, "r1", other, ME, "better")
        hear(house, engine, 0)
    assert house.result() == [3, 0, "new"] and house.status() is Status.COMPLETED
    assert len(replays) == 2


def test_a_tick_keeps_nothing(house: House, replays: list[Journal]) -> None:
    house.start(house.script(ECHO))
    for n in (2, 1):
        house.signal("go", n)
        house.tick()
    assert len(replays) == 2 and all(journal.replay.closed for journal in replays)

"""Real processes, really killed: `dwf export --move` and `dwf import --resume` by SIGKILL at their calls to the kernel.

After each kill the same is typed again: the run goes on in one place, once, where it was.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from dwf.core.state import Status
from dwf.engine import moving
from dwf.errors import NotFound
from tests.engine.house import ME, House
from tests.faults.killing import Point, command, killed_at, points, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
_SAMPLE_SECONDS, _FEWEST = 4.0, 3
STORY = """
    @dwf.workflow
    async def story(text: str = ""):
        print("waiting")
        return [await dwf.wait_signal("go"), len(text)]
"""


class Pair:
    """A run here, and a state directory there."""

    def __init__(self, path: Path) -> None:
        self.file = str(path / "r1.dwf")
        for name in ("here", "there"):
            (path / name).mkdir(parents=True)
        self.here, self.there = House(path / "here"), House(path / "there")
        self.here.go(STORY, json_input={"text": "x" * 300_000})
        self.here.store.index.close()
        self.out = command("export", "r1", self.file, "--move", "-m", "why")
        self.back = command("import", self.file, "--resume")

    def export(self) -> None:
        self.here.reopen()
        self.here.tick()
        if not Path(self.file).exists():
            moving.move(self.here.store, "r1", self.file, ME, "why")
        assert self.here.kinds().count("RunMoved") == 1 and self.here.status() is Status.MOVED

    def take(self) -> None:
        self.there.reopen()
        self.there.tick()
        try:
            self.there.view()
        except NotFound:
            moving.take_in(self.there.store, moving.examined(self.file), ME, resume=True)
        self.there.signal("go", 7)
        self.there.tick()
        assert self.there.result() == [7, 300_000] and "waiting" in self.there.log()
        assert self.there.kinds().count("RunAdopted") == 1

    def check(self) -> None:
        self.here.check()
        self.there.check()


def killed_everywhere(ram: Path, verb: str, seconds: float | None) -> int:
    whole = Pair(ram / "whole")
    if verb == "import":
        whole.export()
    words = whole.out if verb == "export" else whole.back
    home = whole.here if verb == "export" else whole.there
    chosen: list[Point] = points(words, home.store.layout.home)
    random.Random(verb).shuffle(chosen)
    until, kills = None if seconds is None else time.monotonic() + seconds, 0
    for number, point in enumerate(chosen):
        if until is not None and time.monotonic() > until and kills > _FEWEST:
            break
        kills += killed_once(Pair(ram / str(number)), verb, point)
    return kills


def killed_once(pair: Pair, verb: str, point: Point) -> bool:
    if verb == "import":
        pair.export()
    words, home = (pair.out, pair.here) if verb == "export" else (pair.back, pair.there)
    ended = killed_at(words, home.store.layout.home, point)
    try:
        assert ended.killed or ended.code == 0, ended
        told = bool(ended.out.strip())
        if verb == "export":
            assert not told or Path(pair.file).exists()
            pair.export()
        elif told:
            assert pair.there.view().events
        pair.take()
        pair.check()
    except BaseException as error:
        error.add_note(f"killed at {point}: {ended}; see {pair.file}")
        raise
    return ended.killed


@pytest.mark.parametrize("verb", ["export", "import"])
def test_a_move_that_is_killed_at_any_of_its_calls(ram: Path, verb: str) -> None:
    assert killed_everywhere(ram, verb, _SAMPLE_SECONDS) > _FEWEST


@pytest.mark.long
@pytest.mark.parametrize("verb", ["export", "import"])
def test_a_move_that_is_killed_at_each_of_its_calls(ram: Path, verb: str) -> None:
    assert killed_everywhere(ram, verb, None) > 20

"""One story, broken off at each of its calls to the disk: the process dies there, the power goes, the disk fails.

Dying is a private BaseException out of the disk seam, at once and at every call after it: nothing that handles errors
can go on, as nothing does after `kill -9`. (Real kills, of real processes, are in test_kills.py.)
"""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.story import Story
from tests.faults import FaultyDisk, PowerCut
from tests.faults.tally import Tally

LONG = pytest.mark.long
CODES = {name: getattr(errno, name) for name in ("ENOSPC", "EIO", "EROFS", "EMFILE", "EACCES", "EDQUOT")}


def calls_of_a_story(ram: Path) -> int:
    disk = FaultyDisk()
    story = Story(ram / "whole", disk)
    assert story.play() == 0
    return len(disk.calls)


def some_of(total: int, step: int, offset: int = 0) -> Iterator[int]:
    return iter(range(1 + offset, total + 1, step))


def die_and_recover(path: Path, number: int, *, after: bool) -> int:
    disk = FaultyDisk()
    disk.crash_at(number, after=after)
    story = Story(path, disk)

    def recover() -> None:
        story.house.store.index.close()
        story.house.reopen()

    return story.play(on_break=recover)


def test_the_story_itself_comes_to_its_end(ram: Path) -> None:
    assert calls_of_a_story(ram) > 60


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=LONG)], ids=["some", "all"])
def test_death_at_any_call_loses_nothing_and_repeats_nothing(ram: Path, after: bool, step: int, tally: Tally) -> None:
    """Fails when an attempt whose process died is left as it is."""
    total = calls_of_a_story(ram)
    broken = 0
    for number in some_of(total, step, offset=step // 2 if after else 0):
        with tally.trying("story: death at a call to the disk"):
            broken += die_and_recover(ram / str(number), number, after=after)
    assert broken >= total // step - 2, "hardly anything broke off"


@pytest.mark.parametrize("forever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("step", [29, pytest.param(1, marks=LONG)], ids=["some", "all"])
def test_an_error_at_any_call_loses_nothing_and_repeats_nothing(
    ram: Path, code: str, step: int, forever: bool, tally: Tally
) -> None:
    total = calls_of_a_story(ram)
    broken = 0
    for number in some_of(total, step, offset=list(CODES).index(code) * 5 % step):
        disk = FaultyDisk()
        disk.fail_at(number, CODES[code], forever=forever)
        with tally.trying(f"story: {code} at a call to the disk"):
            story = Story(ram / str(number), disk)

            def space_is_back(story: Story = story) -> None:
                story.house.store.index.close()
                story.house.reopen()

            broken += story.play(on_break=space_is_back)
    assert broken > 0


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=LONG)], ids=["some", "all"])
def test_power_lost_at_any_call_loses_nothing_that_was_acknowledged(ram: Path, step: int, tally: Tally) -> None:
    total = calls_of_a_story(ram)
    for number in some_of(total, step, offset=3 % step):
        path = ram / str(number)
        Story(path)  # makes the state directory, which is durable then
        power = PowerCut(path / "home")
        disk = FaultyDisk(power)
        disk.crash_at(number, after=bool(number % 2))
        story = Story(path, disk)
        chance = random.Random(number)

        def recover(story: Story = story, power: PowerCut = power, chance: random.Random = chance) -> None:
            story.house.store.index.close()
            power.cut(chance if chance.random() < 0.7 else None)
            # Another boot: nothing of the index is believed.
            Path(story.house.store.layout.index).unlink(missing_ok=True)
            story.house.reopen(FaultyDisk(power))

        try:
            with tally.trying("story: power lost at a call to the disk"):
                story.play(on_break=recover)
        finally:
            power.close()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(60))
def test_deaths_one_after_another_at_random(ram: Path, seed: int, tally: Tally) -> None:
    chance = random.Random(seed)
    story = Story(ram / "s")

    def faulty() -> FaultyDisk:
        disk = FaultyDisk()
        disk.crash_at(chance.randint(1, 40), after=chance.random() < 0.5)
        return disk

    story.house.reopen(faulty())
    left = [12]

    def recover() -> None:
        story.house.store.index.close()
        left[0] -= 1
        story.house.reopen(faulty() if left[0] > 0 else None)

    with tally.trying("story: death after death"):
        story.play(on_break=recover)

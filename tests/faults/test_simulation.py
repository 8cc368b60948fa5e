"""The simulation, seed after seed. `DWF_SEED=123` repeats one; the bounded form tries the same seeds each time."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import pytest

from tests.faults.simulation import Simulation
from tests.faults.tally import Tally

_BOUNDED = range(36)
_LONG_SECONDS = 600.0
_ASKED = os.environ.get("DWF_SEED", "")


def play(path: Path, seed: int, tally: Tally, *, length: int = 25) -> None:
    simulation = Simulation(path, seed, length=length)
    try:
        with tally.trying("simulation: seeds"):
            simulation.play()
    except BaseException as error:
        error.add_note(f"seed {seed}: DWF_SEED={seed} python -m pytest tests/faults/test_simulation.py repeats it")
        raise
    for kind, count in simulation.counts.items():
        with tally.trying(kind, count):
            pass
    shutil.rmtree(path)


@pytest.mark.skipif(bool(_ASKED), reason="one seed is asked for")
@pytest.mark.parametrize("part", range(6))
def test_whatever_goes_wrong_what_was_promised_holds(ram: Path, part: int, tally: Tally) -> None:
    for seed in _BOUNDED[part::6]:
        play(ram / str(seed), seed, tally)


@pytest.mark.skipif(not _ASKED, reason="no seed is asked for")
def test_the_seed_that_is_asked_for(ram: Path, tally: Tally) -> None:
    play(ram / "world", int(_ASKED), tally)


def test_the_same_seed_tells_the_same_story(ram: Path) -> None:
    told = []
    for name in ("one", "two"):
        simulation = Simulation(ram / name, 7)
        simulation.play()
        told.append([line.replace(str(ram / name), "") for line in simulation.story])
    assert told[0] == told[1]


@pytest.mark.long
def test_ten_minutes_of_new_seeds(ram: Path, tally: Tally) -> None:
    first = random.SystemRandom().randrange(10**9)
    until = time.monotonic() + _LONG_SECONDS
    seed = first
    while time.monotonic() < until:
        play(ram / str(seed), seed, tally, length=10 + seed % 60)
        seed += 1
    print(f"seeds {first} to {seed - 1}")

"""Limits hold under four ticks at a time that are killed at random: counted by the steps themselves, while they run.

Each step notes in a file, under a lock, that it begins, and who else is there: whose process lives and who has not
noted an end. So what is counted is what really ran, whatever dwf believes.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from dwf.core.state import Status
from dwf.engine.stepping import unblock
from tests.engine.house import ME, House

_ROOT = Path(__file__).parents[2]
_AT_ONCE, _RATE, _SPAN = 2, 6, 2.0
_WITNESS = """
import fcntl, os, sys, time, uuid

def lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False

def inside(path, seconds):
    token = uuid.uuid4().hex
    with open(path, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        there = {}
        for line in file.read().splitlines():
            sign, who, pid, *_ = line.split()
            there.pop(who, None) if sign == "-" else there.update({who: int(pid)})
        count = 1 + sum(lives(pid) for pid in there.values())
        file.write(f"+ {token} {os.getpid()} {time.time()} {count}\\n")
    time.sleep(seconds)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"- {token} {os.getpid()}\\n")
"""
_BOOK = """
import asyncio, os, sys
import dwf
sys.path.insert(0, {where!r})
AGAIN = dwf.Retry(max_attempts=None, initial="10ms", backoff=1)

@dwf.activity(limit=dwf.Limit("cap", at_once={at_once}), retry=AGAIN)
def here(path: str) -> None:
    import fire_witness
    fire_witness.inside(path, 0.1)

@dwf.activity(limit=dwf.Limit("rate", rate="{rate}/2s"), retry=AGAIN)
def rated(path: str) -> None:
    import fire_witness
    fire_witness.inside(path, 0.01)

@dwf.workflow
async def main(where: str) -> int:
    words = [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1]); import fire_witness as w;"
             " w.inside(sys.argv[2], 0.1)", where, where + "/cap"]
    cap = dwf.Limit("cap", at_once={at_once})
    await asyncio.gather(
        here(where + "/cap"), rated(where + "/rate"), here(where + "/cap"), rated(where + "/rate"),
        dwf.sh(*words, limit=cap, retry=AGAIN), dwf.sh(*words, limit=cap, retry=AGAIN, orphan="adopt"),
    )
    return 1
"""


def fire(house: House, where: Path, runs: int, seconds: float, seed: int) -> None:
    """Start runs, tick with four processes, kill them at random for a while, and let the rest come to its end."""
    chance = random.Random(seed)
    (where / "fire_witness.py").write_text(_WITNESS)
    book = where / "book.py"
    book.write_text(textwrap.dedent(_BOOK.format(where=str(where), at_once=_AT_ONCE, rate=_RATE)))
    names = [f"r{number}" for number in range(runs)]
    for name in names:
        house.start(str(book), name, json_input={"where": str(where)})
    command = [sys.executable, "-m", "dwf", "tick", "--home", house.store.layout.home]
    ticks: list[subprocess.Popen[bytes] | None] = [None] * 4
    began = time.monotonic()
    while any(house.status(name) is not Status.COMPLETED for name in names):
        now = time.monotonic() - began
        assert now < seconds + 120, {name: (house.status(name), house.state(name).blocked) for name in names}
        for place, tick in enumerate(ticks):
            if tick is None or tick.poll() is not None:
                ticks[place] = subprocess.Popen(command, cwd=_ROOT, stderr=subprocess.DEVNULL)
        time.sleep(0.2)
        victim = chance.choice(ticks)
        if now < seconds and victim is not None and chance.random() < 0.4:
            victim.kill()
            victim.wait()
        for name in names:
            if house.status(name) is Status.BLOCKED:  # so many died over it that it was set aside
                unblock(house.store, name, ME, "they were shot")
    for tick in ticks:
        if tick is not None:
            tick.terminate()
            tick.wait()


def judge(where: Path) -> None:
    """What the steps have seen."""
    counts = [int(line.split()[4]) for line in (where / "cap").read_text().splitlines() if line.startswith("+")]
    assert max(counts) <= _AT_ONCE
    starts = [float(line.split()[3]) for line in (where / "rate").read_text().splitlines() if line.startswith("+")]
    assert min(later - first for first, later in zip(starts, starts[_RATE:], strict=False)) >= _SPAN - 0.02


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_limits_hold_for_long_under_fire(house: House, tmp_path: Path, seed: int) -> None:
    fire(house, tmp_path, 12, 40.0, seed)
    judge(tmp_path)


def test_limits_hold_under_fire(house: House, tmp_path: Path) -> None:
    """Fails when a slot is given out without a look at who holds it, or a start is written down too late."""
    fire(house, tmp_path, 4, 4.0, os.getpid())
    judge(tmp_path)
    assert [name for name in house.store.limits.names() if name != "rate"] in ([], ["cap"])
    house.store.limits.sweep(house.clock() + 10_000_000)

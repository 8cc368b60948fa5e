"""A history that grows long: told when it passes a stage, once, with what can be done; and it goes on."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from dwf.core import length
from dwf.engine import runs
from dwf.engine.asking import query
from dwf.store.history import verify_history
from dwf.store.walk import Walk
from tests.engine.house import ME, House

SCRIPT = """
@dwf.activity
def work(n: int) -> int:
    return n

@dwf.workflow
async def main():
    for round in range(3):
        for n in range(10):
            await work(n)
        await dwf.wait_signal("on")
"""


def test_the_stages_are_crossed_once_each() -> None:
    told = [n for n in range(1, 120_000) if length.crossed(n - 1, n)]
    assert told == [10_000, 60_000, 80_000, 100_000]
    assert length.measure(9_999) == "" and length.measure(60_000) == "60,000 events, 60% of 100,000"


def test_a_run_that_passes_a_stage_is_remarked_on_by_that_tick_only(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(length, "_STAGES", (40, 80))
    monkeypatch.setattr(length, "LONG", 40)
    house.start(house.script(SCRIPT))
    told = [house.tick().remarks]
    for _ in range(2):
        house.signal("on")
        told.append(house.tick().remarks)
        told.append(house.tick().remarks)
    assert told[0] == [] and told[2] == []
    (line,) = told[1]
    assert line.startswith("r1 has ") and "events" in line and length.CURE in line
    # The end of the run is crossed the other stage with, and a run that is over needs no cure.
    assert house.kinds()[-1] != "WorkflowCompleted" or told[3] == []


def test_a_long_history_is_verified_and_walked_in_little_memory(house: House) -> None:
    """Line by line: what is held is a piece of it, not it."""
    house.go(
        """
        @dwf.activity
        def work(n: int) -> str:
            return "x" * 200

        @dwf.workflow
        async def main():
            for n in range(1500):
                await work(n)
        """
    )
    path = house.view().path
    size = Path(path).stat().st_size
    assert size > 1_000_000
    verify_history(path)
    tracemalloc.start()
    assert verify_history(path) == []
    assert tracemalloc.get_traced_memory()[1] < size // 4
    tracemalloc.reset_peak()
    walk = Walk(path)
    with open(path, "rb") as file:
        while piece := file.read(65536):
            walk.feed(piece)
    assert walk.end().length == len(house.events())
    tracemalloc.stop()


def test_what_is_shown_of_a_long_run_is_the_same_and_keeps_none_of_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.go(SCRIPT)
    whole = runs.standing(house.store, "r1")
    monkeypatch.setattr(runs, "_LONG_BYTES", 100)
    monkeypatch.setattr(runs, "_PIECE", 64)
    folded = runs.standing(house.store, "r1")
    assert whole.events and not folded.events
    assert folded.state is not None and whole.state is not None
    assert (folded.status, folded.state.last_id, folded.link) == (whole.status, whole.state.last_id, whole.link)
    with open(folded.path, "ab") as file:
        file.write(b'{"id":9')
    assert runs.standing(house.store, "r1").torn_bytes == 7
    with open(folded.path, "ab") as file:
        file.write(b"\n")
    assert runs.standing(house.store, "r1").problem is not None


def test_a_script_is_told_how_large_its_history_is_the_same_live_and_in_replay(house: House) -> None:
    house.go(
        """
        @dwf.activity
        def work(n: int) -> str:
            return "x" * n

        @dwf.workflow
        async def main():
            sizes = [dwf.info().history_bytes]
            for n in (10, 1000):
                await work(n)
                sizes.append(dwf.info().history_bytes)
            dwf.on_query("sizes", lambda: [*sizes, dwf.info().history_bytes])
            await dwf.wait_signal("go")
            return [*sizes, dwf.info().history_bytes]
        """
    )
    asked = json.loads(query(house.store, "r1", "sizes", ME.uid, {}))
    house.signal("go")
    house.tick()
    lines = (house.path / "home" / "runs" / "r1.jsonl").read_bytes().splitlines(keepends=True)
    ends = {kind: sum(map(len, lines[: n + 1])) for n, kind in enumerate(house.kinds())}
    first_done = sum(map(len, lines[: house.kinds().index("ActivityCompleted") + 1]))
    sizes = [len(lines[0]), first_done, ends["ActivityCompleted"], ends["SignalReceived"]]
    assert house.result() == sizes and asked[:3] == sizes[:3] and sizes[2] - sizes[1] > 1000

"""A flood of signals under four ticks at once: every one is handled, once, whoever takes it up."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine.bulk import prepare_each, start_each
from dwf.engine.start import Started, StartRequest
from tests.engine.house import ME, House
from tests.engine.processes import begin_tick, finish

SCRIPT = """
@dwf.activity
def take(run: str, n: int) -> None:
    note(run, n)

@dwf.workflow
async def main(run: str, wanted: int):
    for _ in range(wanted):
        await take(run, await dwf.wait_signal("go"))
"""


@pytest.mark.parametrize(("runs", "each"), [(30, 6), pytest.param(1000, 10, marks=pytest.mark.long)])
def test_signals_to_many_runs_under_four_ticks(
    house: House, runs: int, each: int, record_property: pytest.RecordProperty
) -> None:
    request = StartRequest(house.script(SCRIPT), ME, run="{run}")
    inputs = ({"run": f"r{n}", "wanted": each} for n in range(runs))
    assert all(
        isinstance(answer, Started) for answer in start_each(house.store, prepare_each(request, inputs, house.store))
    )
    house.tick()

    ticks = [begin_tick(house.store.layout.home, wait=True) for _ in range(4)]
    for number in range(each):
        for n in range(runs):
            house.signal("go", number, f"r{n}")
        if number == each // 2:
            began = time.monotonic()
            for process in ticks:
                assert process.stdin
                process.stdin.write("\n")
                process.stdin.flush()
    for process in ticks:
        finish(process, 900)
        assert process.returncode == 0
    house.tick()  # what was posted after the last of them had looked
    record_property("signals a second", round(runs * each / (time.monotonic() - began)))

    wanted = [*range(each)]
    for n in range(runs):
        run = f"r{n}"
        assert house.status(run) is Status.COMPLETED
        received = [json.loads(bytes(event.payload)) for event in house.all(ev.SignalReceived, run)]
        assert sorted(received) == wanted, "lost or doubled"
    assert set(house.counted().values()) == {1}
    assert Counter(note.split()[0] for note in house.notes()) == Counter({f"r{n}": each for n in range(runs)})
    house.check()

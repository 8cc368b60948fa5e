"""Priority: an incident overtakes a batch, among due runs and at full lanes; equals keep their order."""

from __future__ import annotations

import pytest

from dwf.core import events as ev
from dwf.engine.lanes import Lanes
from dwf.errors import ValueRefused
from tests.engine.house import House, until
from tests.engine.processes import begin_tick, finish

BOOK = """
    @dwf.activity
    def step(name):
        note(name)
    @dwf.workflow
    async def w(name):
        await step(name)
"""


def start(house: House, run: str, priority: int = 0) -> None:
    house.start(house.script(BOOK), run, json_input={"name": run}, priority=priority)


def test_who_is_higher_is_driven_first_and_equals_in_the_order_of_their_time(house: House) -> None:
    """Fails when due runs are taken by their time alone."""
    for run, priority in (("a", 0), ("low", -5), ("b", 0), ("high", 9), ("higher", 50), ("c", 0)):
        start(house, run, priority)
    due = house.store.index.due(house.clock(), 10)
    assert due == ["higher", "high", "a", "b", "c", "low"]
    assert house.store.index.due(house.clock(), 3, {"higher", "a"}) == ["high", "b", "c"]
    house.tick(jobs=1)
    assert sorted(house.notes()) == sorted(due)


def test_it_is_the_same_when_the_index_is_made_anew(house: House) -> None:
    for run, priority in (("a", 0), ("high", 9)):
        start(house, run, priority)
    house.store.index.rebuild()
    assert house.store.index.due(house.clock(), 10) == ["high", "a"]


def test_a_lane_that_was_wanted_by_a_higher_one_is_kept_for_him() -> None:
    """Fails when a batch takes each lane that becomes free before the incident asks again."""
    lanes = Lanes(2)
    assert lanes.take(5) == 2
    assert lanes.take(1, 10) == 0
    lanes.give_back(1)
    assert lanes.take(3) == 0, "it is kept"
    assert lanes.take(1, 10) == 1
    lanes.give_back(1)
    assert lanes.take(3) == 1, "nobody else wants it"
    lanes.close()


def test_an_incident_overtakes_a_batch_that_fills_the_lanes(house: House) -> None:
    """Fails when a run of a higher priority waits until the batch has begun all its steps."""
    batch = house.script(
        """
        @dwf.workflow
        async def w(n):
            await dwf.map(lambda i: dwf.sh("sh", "-c", 'echo "batch $1" >> "$0"; sleep 0.3', LEDGER, i), list(range(n)))
    """,
        "batch.py",
    )
    urgent = house.script(
        """
        @dwf.workflow
        async def w():
            await dwf.sh("sh", "-c", 'echo urgent >> "$0"', LEDGER)
    """,
        "urgent.py",
    )
    house.start(batch, "batch", json_input={"n": 80})
    tick = begin_tick(house.store.layout.home)
    until(lambda: len(house.notes()) >= 8)
    house.start(urgent, "urgent", priority=10)
    finish(tick, 60)

    did = house.notes()
    assert did.index("urgent") < len(did) - 10, did


def test_children_and_next_instances_have_the_priority_of_their_run(house: House) -> None:
    house.start(
        house.script("""
        @dwf.workflow
        async def child():
            return 1
        @dwf.workflow
        async def w(n=0):
            await child()
            if n < 1:
                return dwf.continue_as_new(n=n + 1)
    """)
        + ":w",
        priority=7,
    )
    house.tick()
    heads = [house.events("r1")[0], house.events("r1.1")[0]]
    assert [head.priority for head in heads if isinstance(head, ev.WorkflowStarted)] == [7, 7]
    assert house.view().link == 2


def test_a_priority_that_is_none_is_refused(house: House) -> None:
    with pytest.raises(ValueRefused, match="from -100 to 100"):
        start(house, "r1", 101)

"""Tags and memo of real runs: where they go along, and what they cost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from dwf.core import events as ev
from dwf.core.tags import plain_tags, tag_changes
from dwf.store.history import Tail, tail
from tests.engine.dying import each_death
from tests.engine.house import House
from tests.faults.disk import FaultyDisk

BOOK = """
@dwf.activity
def step(n: int) -> int:
    return n

@dwf.workflow
async def marks(n: int = 0):
    if n:
        dwf.tag(env="prod", n=n)
        dwf.memo(plan=[n])
    await step(n)

@dwf.workflow
async def rounds(n: int = 0):
    if n == 0:
        dwf.tag(env="prod", old=None)
        dwf.memo(plan=[1])
        return dwf.continue_as_new(n=1)
    return [dwf.info().tags, dwf.info().memo]

@dwf.workflow
async def child():
    return [dwf.info().tags, dwf.info().memo]

@dwf.workflow
async def parent():
    return [await child(), await child.options(tags={"part": 1})()]

@dwf.workflow
async def waits():
    dwf.tag(env="prod")
    await dwf.wait_signal("go")
"""


def test_they_go_on_to_the_next_instance(house: House) -> None:
    house.start(f"{house.script(BOOK)}:rounds", tags=tag_changes({"old": 1, "team": "web"}))
    house.tick()
    assert house.result() == [{"team": "web", "env": "prod"}, {"plan": [1]}]
    house.check()


def test_a_child_has_none_but_those_that_it_is_given(house: House) -> None:
    house.start(f"{house.script(BOOK)}:parent", tags=tag_changes({"env": "prod"}))
    house.tick()
    assert house.result() == [[{}, {}], [{"part": 1}, {}]]


def test_they_cost_no_sync_of_their_own(house: House) -> None:
    syncs = []
    for n in (0, 1):
        house.start(f"{house.script(BOOK)}:marks", f"r{n}", json_input={"n": n})
        disk = FaultyDisk()
        house.reopen(disk)
        house.tick()
        names = Counter(call.operation for call in disk.calls if call.path.endswith(f"r{n}.jsonl"))
        syncs.append(names["fdatasync"])
    assert "TagsChanged" in house.kinds("r1") and "MemoChanged" in house.kinds("r1")
    assert syncs[0] == syncs[1]


def test_the_end_of_a_history_says_what_its_tags_are(house: House) -> None:
    """Fails when a reader of both ends has to believe the first line."""
    for end in (house.terminate, house.cancel):
        run = end.__name__
        house.start(f"{house.script(BOOK)}:waits", run)
        house.tick()
        end(run)
        house.tick()
        ends = tail(house.store.layout.history_path(run))
        assert isinstance(ends, Tail) and isinstance(ends.last[-1], ev.WorkflowTerminated | ev.WorkflowCancelled)
        assert ends.started.tags == {}
        assert plain_tags(ends.last[-1].tags or {}) == {"env": "prod"}
    house.start(f"{house.script(BOOK)}:marks", "plain", tags=tag_changes({"env": "prod"}))
    house.tick()
    assert house.the(ev.WorkflowCompleted, "plain").tags is None


def test_a_rebuilt_index_has_the_tags_of_closed_runs(house: House) -> None:
    """Fails when a rebuild believes the first line of a history."""
    house.start(f"{house.script(BOOK)}:marks", json_input={"n": 7}, tags=tag_changes({"team": "web"}))
    house.tick()
    before = house.store.index.row("r1")
    assert before is not None and before.tags == '{"team":"web","env":"prod","n":7}'
    assert house.store.index.rebuild(force=True)
    after = house.store.index.row("r1")
    assert after is not None and after.tags == before.tags


def test_the_row_of_a_child_names_its_parent(house: House) -> None:
    house.start(f"{house.script(BOOK)}:parent")
    house.tick()
    rows = {row.run: row.parent_run for row in house.store.index.rows() or []}
    assert rows == {"r1": "", "r1.1": "r1", "r1.2": "r1"}
    house.store.index.rebuild(force=True)
    assert {row.run: row.parent_run for row in house.store.index.rows() or []} == rows


def test_they_survive_a_death_at_every_call_that_changes_the_disk(ram: Path) -> None:
    def begin(house: House) -> None:
        house.start(f"{house.script(BOOK)}:rounds", tags=tag_changes({"old": 1, "team": "web"}))

    def check(house: House) -> None:
        assert house.result() == [{"team": "web", "env": "prod"}, {"plan": [1]}]
        row = house.store.index.row("r1")
        assert row is not None and row.tags == '{"team":"web","env":"prod"}'

    assert each_death(ram, begin, check) > 5

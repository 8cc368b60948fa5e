"""Fan-out with real steps: how far it is is seen, and what each item costs of the history stays small."""

from __future__ import annotations

from pathlib import Path

from dwf.core import events as ev
from dwf.core.state import Status
from tests.engine.house import House

MAP = """
@dwf.activity(retry=dwf.Retry(max_attempts=1))
def patch(host: str) -> int:
    note(host)
    if host in {fails!r}:
        raise OSError("no disk")
    return len(host)

@dwf.workflow
async def main():
    found = await dwf.map(patch, ["web%d" % n for n in range({count})], {options})
    return found.values
"""


def test_a_map_runs_in_a_tick_and_tolerates_what_it_is_told_to(house: House) -> None:
    house.go(MAP.format(fails=["web3"], count=8, options="tolerate=1, max_concurrent=3"))
    assert house.result() == [4, 4, 4, None, 4, 4, 4, 4] and house.status() is Status.DEGRADED
    assert sorted(house.notes()) == [f"web{n}" for n in range(8)]
    house.check()


def test_a_gate_may_wait_for_days_and_the_rest_goes_on_where_it_was(house: House) -> None:
    gate = "ramp=[1, '100%'], gate=lambda stage: dwf.approve(f'{stage.next} more?')"
    house.go(MAP.format(fails=[], count=5, options=gate))
    assert house.notes() == ["web0"] and house.status() is Status.WAITING
    (fan_out,) = house.state().fan_outs.values()
    assert (fan_out.done, fan_out.stage) == (1, 1)
    house.reopen()
    house.clock.advance("3d")
    house.answer(True)
    house.tick()
    assert house.result() == [4] * 5 and len(house.notes()) == 5
    house.check()


def test_a_failed_canary_leaves_the_others_alone_and_names_them(house: House) -> None:
    house.go(MAP.format(fails=["web0"], count=4, options="ramp=[1, '100%']"))
    assert house.notes() == ["web0"]
    assert house.the(ev.WorkflowFailed).error.message == (
        "1 of 4 of patch failed: web0 (patch failed: OSError: no disk); not begun: web1, web2, web3"
    )


def test_an_item_costs_three_short_lines(house: House) -> None:
    house.go(MAP.format(fails=[], count=200, options="max_concurrent=20"))
    path = Path(house.store.layout.history_path("r1"))
    lines = len(house.events())
    assert lines == 3 * 200 + 3, "start, map, end, and for each item: scheduled, started, completed"
    assert path.stat().st_size / 200 < 600, "bytes for each item"

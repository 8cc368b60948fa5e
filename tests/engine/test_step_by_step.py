"""Step by step: no step of such a run begins before a person lets it, and nothing else is different."""

from __future__ import annotations

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine.lists import inbox
from dwf.engine.stepping import decide
from tests.engine.house import ME, House

BOOK = """
@dwf.activity
def step(n: int) -> int:
    note("step", n)
    return n

@dwf.workflow
async def child():
    return await step(9)

@dwf.workflow
async def main(again: bool = False):
    await step(1)
    out = await dwf.sh("true")
    if not again:
        return dwf.continue_as_new(again=True)
    return await child()
"""


def begun(house: House) -> None:
    house.start(f"{house.script(BOOK)}:main", step_by_step=True)
    house.tick()


def let(house: House, run: str = "r1") -> None:
    decide(house.store, run, "unpause", ME, "looked at it")
    house.reopen()
    house.tick()


def test_each_step_waits_for_a_person_and_is_in_the_inbox(house: House) -> None:
    """Fails when a step begins before anybody has let it."""
    begun(house)
    assert house.notes() == [] and house.status() is Status.WAITING
    (need,) = inbox(house.store)
    assert (need.kind, need.what) == ("PAUSED", "step") and "dwf step unpause r1" in need.detail
    let(house)
    assert house.notes() == ["step 1"] and house.status() is Status.WAITING
    assert house.all(ev.ActivityPaused) == []  # line 1 says it: there is no event for each
    house.check()


def test_it_goes_on_so_in_the_next_instance_and_in_children(house: House) -> None:
    begun(house)
    for _ in range(4):
        let(house)
    assert house.notes() == ["step 1", "step 1"]
    (child,) = house.state().children.values()
    let(house, child.requested.run)
    house.tick()
    assert house.status() is Status.COMPLETED and house.notes()[-1] == "step 9"
    house.check()


def test_who_is_asked_step_by_step_can_skip_one_or_cancel_the_run(house: House) -> None:
    begun(house)
    house.cancel()
    house.tick()
    assert house.status() is Status.CANCELLED and house.notes() == []

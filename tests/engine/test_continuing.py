"""Continue-as-new: one run, a chain of histories, nothing lost between two of them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine.chain import has_taken_up
from dwf.engine.runs import load
from dwf.engine.start import StartRequest, start
from dwf.errors import Conflict, WrongState
from tests.engine.dying import each_death
from tests.engine.house import ME, House

ROUNDS = """
@dwf.activity
def step(n: int) -> int:
    note("step", n)
    return n

@dwf.workflow
async def main(n: int = 0, last: int = 3):
    await step(n)
    if n < last:
        return dwf.continue_as_new(n=n + 1, last=last)
    return [n, await dwf.wait_signal("go", timeout=0, default=None)]
"""
WAITS = """
@dwf.workflow
async def main(n: int = 0):
    if n == 0:
        await dwf.wait_signal("on")
        return dwf.continue_as_new(n=1)
    return [await dwf.wait_signal("go"), await dwf.wait_signal("go")]
"""


def test_a_run_goes_on_in_a_new_history_with_new_arguments(house: House) -> None:
    house.go(ROUNDS)
    assert house.result() == [3, None]
    assert house.notes() == ["step 0", "step 1", "step 2", "step 3"]
    assert house.view().link == 4
    first = house.state().head
    assert (first.link, first.run) == (4, "r1") and first.continues and first.chain
    house.check()


def test_each_instance_names_the_one_before_and_the_first(house: House) -> None:
    house.go(ROUNDS)
    states = [load(house.store, "r1", link).state for link in (1, 2, 3, 4)]
    heads = [state.head for state in states if state is not None]
    assert len(heads) == 4
    for before, after in itertools.pairwise(heads):
        assert after.continues == before.nonce
        assert after.chain == heads[0].nonce


def test_signals_that_nobody_took_go_along_in_their_order(house: House) -> None:
    """Fails when signals that nobody took stay behind."""
    house.go(WAITS)
    for value in (1, 2):
        house.signal("go", value)
    house.signal("on")
    house.tick()
    assert house.result() == [1, 2]
    assert house.view().link == 2


def test_a_signal_that_comes_between_two_instances_is_not_lost(house: House) -> None:
    house.go(WAITS)
    house.signal("on")
    house.signal("go", 1)  # posted before the tick that continues the run, taken up by whichever instance is there
    house.tick()
    house.signal("go", 2)
    house.tick()
    assert house.result() == [1, 2]


def test_a_key_still_counts_in_the_next_instance(house: House) -> None:
    """Fails when keys that were used stay behind."""
    house.go(WAITS)
    house.signal("on", key="once")
    house.tick()
    assert house.view().link == 2
    assert house.signal("on", key="once").duplicate
    with pytest.raises(Conflict):
        house.signal("on", 2, key="once")


def test_who_ends_a_run_ends_the_chain_wherever_it_has_come_to(house: House) -> None:
    house.go(WAITS)
    house.signal("on")
    house.cancel()  # names the first instance; the second takes it
    house.tick()
    house.tick()
    assert house.status() is Status.CANCELLED


def test_an_answer_names_the_instance_that_asked_and_no_other(house: House) -> None:
    script = """
        @dwf.workflow
        async def main(n: int = 0):
            asked = asyncio.create_task(dwf.approve("Go?"))
            await dwf.wait_signal("on")
            asked.cancel()
            await asyncio.wait([asked])
            return n if n else dwf.continue_as_new(n=1)
        """
    house.go(script)
    house.signal("on")
    house.answer(True)
    house.tick()
    house.tick()
    assert house.view().link == 2 and house.status() is Status.WAITING


def test_steps_and_children_must_be_over(house: House) -> None:
    report = house.go(
        """
        @dwf.activity
        def step(): time.sleep(0.01)

        @dwf.workflow
        async def main():
            asyncio.create_task(step())
            await asyncio.sleep(0)
            return dwf.continue_as_new()
        """
    )
    assert "leave behind: step step" in report.news[0]
    assert house.status() is Status.BLOCKED


def test_arguments_that_do_not_fit_block_the_run_and_name_the_parameters(house: House) -> None:
    report = house.go("@dwf.workflow\nasync def main(n: int = 0):\n    return dwf.continue_as_new(m=1)\n")
    assert "dwf.continue_as_new(): main has no parameter 'm'" in report.news[0]
    house.start(
        house.script("@dwf.workflow\nasync def main(n: int = 0):\n    return dwf.continue_as_new(n='x')\n"), "r2"
    )
    assert "is not an int" in house.tick().news[0]


def test_a_child_that_continues_is_still_that_child(house: House) -> None:
    house.start(
        house.script(ROUNDS + "\n@dwf.workflow\nasync def parent():\n    return await main(n=1, last=3)\n") + ":parent"
    )
    house.tick()
    assert house.result() == [3, None]
    assert house.view("r1.1").link == 3


def test_children_of_different_instances_have_different_ids(house: House) -> None:
    script = house.script(
        "@dwf.workflow\nasync def child(n: int): return n\n\n"
        "@dwf.workflow\nasync def main(n: int = 0):\n"
        "    await child(n)\n    return n if n else dwf.continue_as_new(n=1)\n"
    )
    house.start(script + ":main")
    house.tick()
    assert (house.result("r1.1"), house.result("r1-2.1"), house.result()) == (0, 1, 1)


def test_a_chain_is_one_run_for_a_start_that_finds_it(house: House) -> None:
    script = house.script(WAITS)
    house.start(script)
    house.tick()
    house.signal("on")
    house.tick()
    with pytest.raises(Conflict):
        house.start(script)
    again = start(house.store, StartRequest(script, ME, run="r1", json_input={}, if_exists="use"), house.clock)
    assert not again.created


def test_a_message_that_was_taken_up_by_an_earlier_instance_is_not_sent_again(house: House) -> None:
    house.start(house.script(WAITS.replace("main", "other"), "other.py"), run="other")
    house.tick()
    house.go('@dwf.workflow\nasync def main():\n    await dwf.send_signal("other", "on")\n    await dwf.sleep("1h")\n')
    house.tick()
    assert house.view("other").link == 2
    sent = house.the(ev.MessageSent).message
    assert has_taken_up(house.store, house.view("other"), sent, house.the(ev.MessageRequested).ts)
    assert not has_taken_up(house.store, house.view("other"), "another", house.the(ev.MessageRequested).ts)


@pytest.mark.parametrize("index_survives", [True, False])
def test_a_chain_survives_a_death_at_every_call_that_changes_the_disk(ram: Path, index_survives: bool) -> None:

    def begin(house: House) -> None:
        house.start(house.script(ROUNDS))
        house.signal("go", "late")

    def check(house: House) -> None:
        assert house.result() == [3, "late"]
        assert {*house.notes()} == {f"step {n}" for n in range(4)}
        assert house.mail() == [] and house.late() == []

    assert each_death(ram, begin, check, index_survives=index_survives) > 20


def test_a_run_that_is_over_is_not_continued(house: House) -> None:
    house.go(ROUNDS)
    with pytest.raises(WrongState):
        house.signal("go")

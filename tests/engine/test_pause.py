"""Paused runs: nothing of them begins, what happens is recorded, and the script is told of it when they go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.status import Status
from dwf.engine import lists, pausing
from dwf.engine.audit import acts
from dwf.engine.post import Posted
from dwf.errors import WrongState
from tests.engine.dying import each_death
from tests.engine.house import ME, House, until
from tests.engine.processes import begin_tick, finish, kill

BOOK = """
    @dwf.activity
    def step(n):
        note("step", n)
        return n
    @dwf.workflow
    async def w():
        await step(1)
        await step(await dwf.wait_signal("go"))
        await step(2)
        return await step(3)
"""


def pause(house: House, reason: str = "freeze") -> Posted:
    return pausing.hold(house.store, "r1", ME, reason, pause=True)


def resume(house: House) -> Posted:
    return pausing.hold(house.store, "r1", ME, "over", pause=False)


def test_nothing_of_a_paused_run_begins_until_it_is_resumed(house: House) -> None:
    """Fails when a paused run begins a step, or its script is told of a signal."""
    house.go(BOOK)
    pause(house)
    house.signal("go", 7)
    house.tick()

    assert house.status() is Status.PAUSED
    assert house.notes() == ["step 1"]
    assert [type(event).__name__ for event in house.events()[-2:]] == ["RunPaused", "SignalReceived"]
    house.tick()
    resume(house)
    house.tick()
    assert house.notes() == ["step 1", "step 7", "step 2", "step 3"]
    assert (house.status(), house.result()) == (Status.COMPLETED, 3)
    house.check()


def test_a_step_that_runs_comes_to_its_end_and_no_other_begins(house: House) -> None:
    """Fails when a pause cuts a step off, or the next one begins because the pause came in the middle."""
    house.start(
        house.script(
            """
        @dwf.workflow
        async def w():
            await dwf.sh("sh", "-c", 'touch "$0"/runs; while ! [ -e "$0/over" ]; do sleep 0.02; done', PLACE)
            await dwf.step("after", note, "after")
    """.replace("PLACE", repr(str(house.path)))
        )
    )
    tick = begin_tick(house.store.layout.home)
    until((house.path / "runs").exists)
    pause(house)
    until(lambda: house.all(ev.RunPaused))
    (house.path / "over").touch()
    finish(tick)

    assert house.status() is Status.PAUSED
    assert len(house.all(ev.ActivityCompleted)) == 1 and house.notes() == []
    resume(house)
    house.tick()
    assert house.status() is Status.COMPLETED and house.notes() == ["after"]


def test_a_run_that_is_paused_before_it_has_begun_does_nothing(house: House) -> None:
    house.start(house.script(BOOK))
    pause(house)
    house.tick()
    assert (house.status(), house.notes()) == (Status.PAUSED, [])
    resume(house)
    house.tick()
    assert house.notes() == ["step 1"]


def test_timers_wait_and_fire_when_it_goes_on(house: House) -> None:
    house.go("""
        @dwf.workflow
        async def w():
            await dwf.sleep("1h")
            await dwf.step("slept", note, "slept")
    """)
    pause(house)
    house.tick()
    house.clock.advance("2h")
    assert house.tick().driven == 0, "it is not due for the sake of its timer"
    assert house.notes() == []
    resume(house)
    house.tick()
    assert house.notes() == ["slept"]


def test_it_stays_paused_over_the_death_of_a_tick_and_a_new_index(house: House) -> None:
    house.go(BOOK)
    pause(house)
    kill(begin_tick(house.store.layout.home))
    house.signal("go")
    house.store.index.rebuild()
    house.reopen()
    house.tick()
    house.tick()
    assert (house.status(), house.notes()) == (Status.PAUSED, ["step 1"])


def test_a_paused_run_can_be_ended_and_a_cancel_waits(house: House) -> None:
    house.go(BOOK)
    pause(house)
    house.tick()
    house.cancel()
    house.tick()
    assert house.status() is Status.PAUSED
    house.terminate()
    house.tick()
    assert house.status() is Status.TERMINATED


def test_a_cancel_of_a_paused_run_is_heard_when_it_goes_on(house: House) -> None:
    house.go(BOOK)
    pause(house)
    house.cancel()
    house.tick()
    resume(house)
    house.tick()
    assert house.status() is Status.CANCELLED


def test_its_deadline_passes_all_the_same(house: House) -> None:
    house.start(house.script(BOOK), deadline_us=3600 * 1_000_000)
    house.tick()
    pause(house)
    house.tick()
    house.clock.advance("2h")
    house.tick()
    assert len(house.all(ev.DeadlinePassed)) == 1


def test_what_is_so_already_is_refused(house: House) -> None:
    house.go(BOOK)
    with pytest.raises(WrongState, match="not paused"):
        resume(house)
    pause(house)
    with pytest.raises(WrongState, match="decided already"):
        pause(house)
    house.tick()
    with pytest.raises(WrongState, match="paused already"):
        pause(house)


def test_it_is_in_the_inbox_with_who_and_what_to_type(house: House) -> None:
    house.go(BOOK)
    pause(house, "change freeze")
    house.tick()
    (need,) = lists.inbox(house.store)
    assert (need.kind, need.run) == ("PAUSED", "r1")
    assert need.what.startswith("paused by ") and need.what.endswith(": change freeze")
    assert need.detail == "dwf resume r1"


# -- everything -------------------------------------------------------------------------------------------------


def hold_everything(house: House, *, pause: bool = True) -> None:
    pausing.hold_everything(house.store, ME, "the SAN is moved", pause=pause, now_us=house.clock())


def test_while_everything_is_paused_ticks_drive_nothing_also_of_what_is_started(house: House) -> None:
    """Fails when a tick drives a run, or takes up its mail, although everything is paused."""
    house.go(BOOK)
    hold_everything(house)
    house.signal("go", 7)
    house.start(house.script(BOOK, "other.py"), "r2")
    assert house.tick().driven == 0
    assert house.notes() == ["step 1"] and len(house.mail()) == 1
    assert house.tick(only={"r2"}).driven == 1, "by hand it is driven"
    hold_everything(house, pause=False)
    house.tick()
    assert house.status() is Status.COMPLETED


def test_that_everything_is_paused_is_there_for_good_and_refused_twice(house: House) -> None:
    with pytest.raises(WrongState, match="everything is not paused"):
        hold_everything(house, pause=False)
    hold_everything(house)
    house.reopen()
    with pytest.raises(WrongState, match="everything is paused already"):
        hold_everything(house)
    found = [(act.what, act.reason) for act in acts(house.store)]
    assert found == [("pause everything", "the SAN is moved")]


# -- a workflow -------------------------------------------------------------------------------------------------

FAMILY = """
    @dwf.workflow
    async def kid():
        await dwf.step("kid", note, "kid")
        return 1
    @dwf.workflow
    async def w(rounds: int = 0):
        if rounds:
            return dwf.continue_as_new(rounds=rounds - 1)
        await dwf.step("w", note, "w")
        return await kid()
"""


def hold_workflow(house: House, workflow: str, *, pause: bool = True) -> bool:
    return pausing.hold_workflow(house.store, workflow, ME, "freeze", pause=pause, now_us=house.clock())


def test_a_run_that_begins_while_its_workflow_is_paused_is_paused_before_its_script_is_asked(house: House) -> None:
    assert hold_workflow(house, "w") and not hold_workflow(house, "w")
    house.start(house.script(FAMILY) + ":w")
    house.tick()
    assert house.status() is Status.PAUSED and house.notes() == []
    assert [type(event) for event in house.events()] == [ev.WorkflowStarted, ev.RunPaused]
    assert house.the(ev.RunPaused).decided.reason == "freeze"
    assert ("pause", "freeze") in [(act.what, act.reason) for act in acts(house.store, "r1")]
    house.reopen()
    house.tick()
    assert len(house.events()) == 2
    resume(house)
    house.tick()
    assert house.notes() == ["w", "kid"] and house.result() == 1
    house.check()


def test_children_of_a_paused_workflow_wait_and_those_of_others_do_not(house: House) -> None:
    hold_workflow(house, "kid")
    house.start(house.script(FAMILY) + ":w")
    house.tick()
    assert house.notes() == ["w"]
    (child,) = [run for run in lists.summaries(house.store) if run.run != "r1"]
    assert child.status is Status.PAUSED
    assert hold_workflow(house, "kid", pause=False) and not hold_workflow(house, "kid", pause=False)
    pausing.hold(house.store, child.run, ME, "over", pause=False)
    house.tick()
    assert house.notes() == ["w", "kid"] and house.result() == 1


def test_a_run_that_was_resumed_by_itself_is_not_paused_again_by_its_next_instance(house: House) -> None:
    hold_workflow(house, "w")
    house.start(house.script(FAMILY) + ":w", json_input={"rounds": 2})
    house.tick()
    resume(house)
    house.tick()
    assert house.notes() == ["w", "kid"] and house.view().link == 3


def test_what_cannot_be_read_holds_all_the_same(house: House) -> None:
    hold_workflow(house, "w")
    (file,) = Path(house.store.layout.held).iterdir()
    file.write_text("{")
    house.start(house.script(FAMILY) + ":w")
    house.tick()
    assert house.status() is Status.PAUSED and "cannot be read" in house.the(ev.RunPaused).decided.reason


def test_killed_at_any_call_while_it_is_held_back_it_is_paused_once(ram: Path) -> None:
    def begin(house: House) -> None:
        hold_workflow(house, "w")
        house.start(house.script(FAMILY) + ":w")

    def check(house: House) -> None:
        assert house.status() is Status.PAUSED and len(house.all(ev.RunPaused)) == 1 and house.notes() == []

    assert each_death(ram, begin, check) > 5

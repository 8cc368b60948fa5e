"""Timers by hand: which there are, and what becomes of one that a person lets fire or moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.duration import SECOND
from dwf.core.state import Status
from dwf.engine.timing import fire, move, pending
from dwf.errors import UsageError, WrongState
from tests.engine.dying import each_death
from tests.engine.house import ME, House

SLEEPS = (
    '@dwf.workflow\nasync def main():\n    await dwf.sleep("3d", purpose="soak")\n    return dwf.now().isoformat()\n'
)
TWO = """
@dwf.workflow
async def main():
    await asyncio.gather(dwf.sleep("2h", purpose="soak"), dwf.sleep("1h", purpose="cool down"))
"""
TIMEOUT = """
@dwf.workflow
async def main():
    try:
        async with asyncio.timeout(3600):
            await dwf.wait_signal("go")
    except TimeoutError:
        return "too late"
"""


def test_a_timer_fires_when_a_person_says_so_and_the_history_says_who(house: House) -> None:
    house.go(SLEEPS)
    fire(house.store, "r1", ME, "the window is open")
    house.tick()
    fired = house.the(ev.TimerFired)
    assert fired.decided is not None and fired.decided.reason == "the window is open"
    assert fired.decided.by == ME and house.status() is Status.COMPLETED


def test_now_in_the_script_is_when_the_timer_fired_and_not_when_it_was_due(house: House) -> None:
    house.go(SLEEPS)
    fire(house.store, "r1", ME, "go")
    house.tick()
    assert house.result()[:19] == house.the(ev.TimerFired).ts[:19]


def test_a_timer_that_was_moved_forward_fires_then_and_the_script_never_sees_the_move(house: House) -> None:
    house.go(SLEEPS)
    at_us = house.clock() + 600 * SECOND
    move(house.store, "r1", at_us, ME, "sooner")
    house.tick()
    assert house.status() is Status.WAITING and house.store.index.next_due_us() == at_us
    house.clock.advance("9m")
    assert house.tick().driven == 0
    house.clock.advance("2m")
    house.tick()
    assert house.status() is Status.COMPLETED
    house.check()


def test_a_timer_that_was_put_off_does_not_fire_at_its_old_time(house: House) -> None:
    house.go(SLEEPS)
    move(house.store, "r1", house.clock() + 7 * 86400 * SECOND, ME, "later")
    house.tick()
    house.clock.advance("4d")
    house.tick()
    assert house.status() is Status.WAITING
    house.clock.advance("4d")
    house.tick()
    assert house.status() is Status.COMPLETED


def test_the_word_that_was_posted_before_the_timer_was_due_counts(house: House) -> None:
    """No tick ran in between: by its own time the move came first."""
    house.go('@dwf.workflow\nasync def main():\n    await dwf.sleep("1h")\n')
    move(house.store, "r1", house.clock() + 7 * 86400 * SECOND, ME, "later")
    house.clock.advance("2h")
    house.tick()
    assert house.status() is Status.WAITING


def test_a_timeout_of_asyncio_is_a_timer_that_can_be_let_run_out(house: House) -> None:
    house.go(TIMEOUT)
    fire(house.store, "r1", ME, "it will not come")
    house.tick()
    assert house.result() == "too late"


def test_pending_timers_are_listed_the_first_due_first(house: House) -> None:
    house.go(TWO)
    house.start(house.script(SLEEPS, "other.py"), "r2")
    house.tick()
    assert [(t.run, t.purpose) for t in pending(house.store)] == [("r1", "cool down"), ("r1", "soak"), ("r2", "soak")]
    soon = house.clock() + 5400 * SECOND
    assert [t.purpose for t in pending(house.store, soon)] == ["cool down"]


def test_without_an_index_the_same_timers_are_found(house: House) -> None:
    house.go(TWO)
    found = pending(house.store)
    Path(house.store.layout.index).unlink()
    house.reopen()
    assert pending(house.store) == found and len(found) == 2


def test_a_moved_timer_is_listed_by_its_new_time(house: House) -> None:
    house.go(TWO)
    at_us = house.clock() + 30 * 86400 * SECOND
    move(house.store, "r1", at_us, ME, "later", "cool")
    house.tick()
    assert [(t.purpose, t.moved) for t in pending(house.store)] == [("soak", False), ("cool down", True)]


def test_the_word_on_a_timer_that_has_fired_meanwhile_is_late(house: House) -> None:
    house.go(TWO)
    fire(house.store, "r1", ME, "once", "cool")
    with pytest.raises(WrongState, match="decided already: timer fire by"):
        move(house.store, "r1", house.clock() + SECOND, ME, "of two people at once", "cool")
    (first,) = house.store.mailbox.pending("r1")
    house.store.mailbox.post(first.message)  # both have looked before one of them has posted
    house.tick()
    assert len(house.all(ev.TimerFired)) == 1 and house.late() == ["fire"]


@pytest.mark.parametrize("which", [None, "o", "9", "nothing"])
def test_of_several_timers_one_must_be_named(house: House, which: str | None) -> None:
    house.go(TWO)
    with pytest.raises(UsageError):
        fire(house.store, "r1", ME, "why", which)
    assert not house.mail()


def test_a_word_without_a_reason_or_on_a_run_without_timers_is_refused(house: House) -> None:
    house.go('@dwf.workflow\nasync def main():\n    await dwf.wait_signal("go")\n')
    with pytest.raises(WrongState):
        fire(house.store, "r1", ME, "why")
    with pytest.raises(UsageError):
        fire(house.store, "r1", ME, "")


@pytest.mark.parametrize("act", ["fire", "move"])
def test_a_process_that_dies_anywhere_loses_no_word_on_a_timer(ram: Path, act: str) -> None:
    def begin(house: House) -> None:
        house.go(SLEEPS)
        if act == "fire":
            fire(house.store, "r1", ME, "now")
        else:
            move(house.store, "r1", house.clock() - SECOND, ME, "a second ago")

    def check(house: House) -> None:
        assert house.status() is Status.COMPLETED and len(house.all(ev.TimerFired)) == 1
        assert not house.mail()

    assert each_death(ram, begin, check) > 2

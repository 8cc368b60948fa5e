"""Packages: whatever makes a run, its first line says which versions there were then of what its script imports."""

from __future__ import annotations

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine import branching
from dwf.engine.again import retry_failed_items
from dwf.engine.branching import Wish
from dwf.engine.undo import undo
from dwf.engine.upgrade import upgrade
from tests.engine.house import ME, House
from tests.installed import Install

BOOK = """
def never_called():
    import {imports}

@dwf.activity
def work(word: str) -> str:
    return word

@dwf.activity(retry=dwf.Retry(max_attempts=1))
def poor(word: str) -> str:
    raise OSError(word)

@dwf.workflow
async def kid():
    await dwf.wait_signal("go")

@dwf.workflow(upgrade="{mode}")
async def main(n: int = 0):
    {body}
"""
WAITS = 'await dwf.wait_signal("go")'


def book(house: House, body: str, imports: str = "wires", mode: str = "pinned", name: str = "book.py") -> str:
    return house.script(BOOK.format(body=body, imports=imports, mode=mode), name)


def begun(house: House, script: str, run: str = "r1") -> None:
    house.start(f"{script}:main", run)
    house.tick()


def on(house: House, run: str = "r1") -> dict[str, str]:
    return house.the(ev.WorkflowStarted, run).packages


def test_a_child_and_a_fork_are_on_what_is_installed_when_they_are_made(house: House, install: Install) -> None:
    """Fails when a run that another one makes has no versions, or those of another day."""
    install("wires", "1.0")
    begun(house, book(house, f'{WAITS}; dwf.start_child(kid.options(id="k1")); await dwf.wait_signal("end")'))
    install("wires", "2.0")
    house.signal("go")
    house.tick()
    branching.fork(house.store, "r1", Wish(to="first", run="r2"), ME, "to see", house.clock)

    assert [on(house, run) for run in ("r1", "k1", "r2")] == [{"wires": "1.0"}, {"wires": "2.0"}, {"wires": "2.0"}]


def test_the_next_instance_has_those_of_the_one_before(house: House, install: Install) -> None:
    """Whoever finds it missing makes it, and two who do so make the same bytes: it follows from what is recorded."""
    install("wires", "1.0")
    begun(house, book(house, f"{WAITS}; return dwf.continue_as_new(n=n + 1)"))
    install("wires", "2.0")
    house.signal("go")
    house.tick()

    head = house.the(ev.WorkflowStarted)
    assert (head.link, head.packages) == (2, {"wires": "1.0"})


def test_other_code_brings_its_own(house: House, install: Install) -> None:
    install("wires", "1.0")
    install("tubes", "3.1")
    begun(house, book(house, WAITS))
    begun(house, book(house, WAITS, mode="auto", name="auto.py"), "r2")

    upgrade(house.store, "r1", book(house, WAITS, "tubes", name="new.py"), ME, "less")
    book(house, WAITS, "os", mode="auto", name="auto.py")
    house.signal("other", run="r2")
    house.tick()

    assert house.the(ev.CodeUpgraded).packages == house.state().packages == {"tubes": "3.1"}
    assert house.the(ev.CodeUpgraded, "r2").packages == house.state("r2").packages == {}
    assert on(house) == on(house, "r2") == {"wires": "1.0"}


def test_an_undo_and_a_retry_are_on_what_is_installed_then(house: House, install: Install) -> None:
    install("wires", "1.0")
    saga = 'async with dwf.saga() as saga: await saga.step(work("a"), undo=work("b"))'
    begun(house, book(house, saga))
    begun(house, book(house, 'await dwf.map(poor, ["a", "b"])', name="map.py"), "m1")
    assert house.status() is Status.COMPLETED and house.status("m1") is Status.FAILED

    install("wires", "2.0")
    undo(house.store, "r1", ME, "wrong one", clock=house.clock)
    retry = retry_failed_items(house.store, "m1", ME, "again", house.clock)

    assert on(house, "r1.undo") == on(house, retry.run) == {"wires": "2.0"}


@pytest.mark.parametrize("now", ["1.0", "2.0"])
def test_a_divergence_is_blamed_on_what_has_changed(house: House, install: Install, now: str) -> None:
    """Fails when the reason of a blocked run keeps quiet about another version, or blames one that is as it was."""
    install("wires", "1.0")
    house.start(f"{book(house, f'await work(str(1)); {WAITS}')}:main", code="live")
    house.tick()
    install("wires", now)
    book(house, f"await work(str(2)); {WAITS}")
    house.signal("go")
    house.tick()

    blocked = house.the(ev.RunBlocked)
    assert blocked.code == "nondeterminism" and "put the script back" in blocked.hint
    assert ("wires was 1.0 and is 2.0 here: that is the usual cause" in blocked.hint) == (now == "2.0")


def test_a_mistake_is_blamed_on_nothing_else(house: House, install: Install) -> None:
    install("wires", "1.0")
    begun(house, book(house, f"{WAITS}; [][0]"))
    install("wires", "2.0")
    house.signal("go")
    house.tick()
    blocked = house.the(ev.RunBlocked)
    assert blocked.code == "script-bug" and "wires" not in blocked.hint

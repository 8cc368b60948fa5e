"""Locks between runs: one at a time, first come first served, and never lost with whoever held them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine import post
from dwf.engine.holding import held, tangled
from dwf.engine.stuck import stuck_at
from dwf.engine.summary import row_of
from dwf.store.history import History
from dwf.store.lines import Ticket, ticket_of
from tests.engine.dying import comes_to_its_end, each_death
from tests.engine.house import ME, House

BOOK = """
    @dwf.workflow
    async def main(name: str = "db-prod", n: int = 1, then: str = "go"):
        async with dwf.lock(name, n=n):
            await dwf.step("in", note, "in", dwf.info().run)
            await dwf.wait_signal(then)
            await dwf.step("out", note, "out", dwf.info().run)
        return "done"
"""


def begin(house: House, run: str, text: str = BOOK, **given: object) -> None:
    house.go(text, run=run, json_input=given)


def go_on(house: House, run: str) -> None:
    post.signal(house.store, run, "go", b"null", ME)
    house.tick()


def block(house: House, run: str) -> None:
    """Let a run meet a bug while it waits."""
    path = house.store.layout.history_path(run)
    error = ev.RunBlocked(code="script-bug", message="KeyError: 'x'", code_hash=house.state(run).code)
    with house.store.locks.take(run) or pytest.fail("somebody drives it"):
        with History.open(house.store.disk, path, house.clock()) as history:
            history.stage(error, house.clock())
            history.commit()
        house.store.index.settle(run, house.store.index.mark_due(run), row_of(house.state(run), 1))


def names(house: House, name: str = "db-prod") -> list[str]:
    return [("+" if t.held else "-") + t.run for t in house.store.claims.look(name)]


@pytest.fixture
def two(house: House) -> House:
    """A run that holds the lock, and one that waits for it."""
    begin(house, "a")
    begin(house, "b")
    return house


def test_one_holds_it_and_the_other_waits_until_it_is_given_up(two: House) -> None:
    assert two.notes() == ["in a"]
    assert two.status("b") is Status.WAITING
    two.tick()
    assert two.notes() == ["in a"]
    go_on(two, "a")
    assert two.notes() == ["in a", "out a", "in b"]
    go_on(two, "b")
    assert two.result("b") == "done"
    assert names(two) == []


def test_who_waits_costs_an_idle_tick_nothing(two: House) -> None:
    assert not two.store.index.anything_due(two.clock())


def test_they_come_in_the_order_in_which_they_asked(two: House) -> None:
    begin(two, "c")
    assert names(two) == ["+a", "-b", "-c"]
    go_on(two, "a")
    go_on(two, "b")
    assert [line for line in two.notes() if line.startswith("in")] == ["in a", "in b", "in c"]


def test_several_may_hold_a_semaphore(house: House) -> None:
    for run in "abc":
        begin(house, run, n=2)
    assert house.notes() == ["in a", "in b"]
    go_on(house, "a")
    assert house.notes()[-1] == "in c"


@pytest.mark.parametrize("how", ["cancel", "terminate"])
def test_whatever_ends_the_holder_frees_the_lock(two: House, how: str) -> None:
    getattr(post, how)(two.store, "a", ME, "enough")
    two.tick()
    assert two.notes()[-1] == "in b"


def test_a_holder_whose_end_nobody_told_is_out_by_his_history(two: House) -> None:
    """Fails when a ticket is believed although its run has ended: a crash between the end and its removal."""
    held = next(t for t in two.store.claims.look("db-prod") if t.held)
    post.terminate(two.store, "a", ME, "enough")
    two.tick(only=["a"])
    with two.store.claims.line("db-prod") as line:
        line.put(held)
    two.tick()
    assert two.notes()[-1] == "in b"
    assert names(two) == ["+b"]


def test_a_lock_that_was_given_before_a_crash_is_found_by_its_ticket(two: House) -> None:
    """Fails when somebody else is let in while the one who was let in had no time to record it."""
    with two.store.claims.line("db-prod") as line:
        waiting = next(t for t in line.tickets() if not t.held)
        line.give(waiting)
    begin(two, "c", n=3)
    two.store.index.wake("b")
    two.tick()

    assert "in b" in two.notes()


def test_lines_that_were_removed_follow_from_the_histories(two: House) -> None:
    """Fails when a lost directory lets a second one in."""
    before = names(two)
    shutil.rmtree(two.store.layout.claims)
    begin(two, "c")
    assert names(two) == [*before, "-c"]
    assert two.notes() == ["in a"]


def test_a_blocked_run_that_waits_lets_others_pass(two: House) -> None:
    """Fails when a script that has to be mended first keeps everybody behind it from a free lock."""
    begin(two, "c")
    block(two, "b")
    go_on(two, "a")
    assert two.notes()[-1] == "in c"
    assert names(two) == ["-b", "+c"]


def test_a_timeout_leaves_the_line(house: House) -> None:
    begin(house, "a")
    house.go(
        """
        @dwf.workflow
        async def main():
            try:
                async with dwf.lock("db-prod", timeout="10m"):
                    pass
            except TimeoutError as error:
                return str(error)
        """,
        run="b",
    )
    house.clock.advance("11m")
    house.tick()
    assert house.result("b") == "lock 'db-prod' was not to be had within 10m"
    assert names(house) == ["+a"]


def test_a_free_lock_is_had_even_if_nobody_wants_to_wait(house: House) -> None:
    begin(house, "a", BOOK.replace("n=n", "n=n, timeout=0"))
    assert house.notes() == ["in a"]


def test_a_run_that_holds_a_lock_may_not_continue_as_new(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            await dwf.lock("db").__aenter__()
            return dwf.continue_as_new()
        """,
        run="no",
    )
    blocked = house.state("no").blocked
    assert blocked is not None and "lock db" in blocked.message


def test_any_text_names_a_lock(house: House) -> None:
    for number, name in enumerate(["../../x", "a/b.c", "~", "é" * 100, ".", "%2E"]):
        begin(house, f"r{number}", name=name)
        assert house.notes()[-1] == f"in r{number}"
        assert names(house, name) == [f"+r{number}"]
    assert len(house.store.claims.names()) == 6


def test_a_ticket_is_its_file_name() -> None:
    ticket = Ticket(0, 1_700_000_000_000_000, "ab" * 8, 12, "deploy.web-1_x", 3)
    assert ticket_of(ticket.file) == ticket
    assert ticket_of("wait.x") is None


TAKES = """
    @dwf.workflow
    async def main():
        async with dwf.lock("db-prod"):
            await dwf.step("in", note, "in", dwf.info().run)
            await dwf.step("out", note, "out", dwf.info().run)
        await dwf.step("after", note, "after", dwf.info().run)
"""


def test_a_process_that_dies_anywhere_neither_loses_a_lock_nor_gives_it_to_two(ram: Path) -> None:
    """Fails when a ticket is removed before it is known that the run is done with it, or a grant is forgotten."""

    def begin(house: House) -> None:
        for run in "abc":
            house.start(house.script(TAKES), run)

    def check(house: House) -> None:
        if not comes_to_its_end(house, "abc"):
            return
        inside = [line for line in house.notes() if not line.startswith("after")]
        # A step may run twice; nobody comes in between.
        runs = [line.split()[1] for line in inside]
        assert sorted(set(runs)) == sorted(dict.fromkeys(runs)) == list("abc")
        assert [run for i, run in enumerate(runs) if i == 0 or runs[i - 1] != run] == list(dict.fromkeys(runs))
        assert house.store.claims.names() == []

    assert each_death(ram, begin, check) > 30


CROSSED = """
    @dwf.workflow
    async def main(first: str, second: str):
        async with dwf.lock(first):
            await dwf.wait_signal("go")
            async with dwf.lock(second):
                return "done"
"""


def test_runs_that_wait_for_each_other_are_told_and_left_alone(house: House) -> None:
    begin(house, "a", CROSSED, first="x", second="y")
    begin(house, "b", CROSSED, first="y", second="x")
    assert tangled(held(house.store)) == []
    go_on(house, "a")
    go_on(house, "b")
    begin(house, "c", name="x")
    assert tangled(held(house.store)) == ["a", "b", "c"]
    assert stuck_at(house.store, house.state("a")) == "it waits for lock y of b, and they wait for each other"
    house.cancel("a")
    house.tick()
    assert house.result("b") == "done"
    assert tangled(held(house.store)) == []
    assert house.notes() == ["in c"]

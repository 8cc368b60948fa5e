"""Reset, retry and fork: a run goes on from a line of a history that stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from dwf.core import events as ev
from dwf.core.status import Status
from dwf.engine import branching
from dwf.engine.branching import LAST_OK, Branch, Wish
from dwf.errors import Conflict, NondeterminismError, NotFound, UsageError, WrongState
from dwf.store.history import verify_history
from tests.engine.house import ME, House

BOOK = """
    @dwf.activity(retry=dwf.Retry(max_attempts=1))
    def step(name):
        note(name)
        if os.path.exists(LEDGER + "." + name):
            raise dwf.Failure(name + " is broken")
        return name.upper()
    @dwf.workflow
    async def w():
        a = await step("a")
        who = await dwf.approve("Go on?")
        token = dwf.uuid4().hex
        b = await step("b")
        word = await dwf.wait_signal("go")
        c = await step("c")
        return [a, b, word, c, token]
"""


def breaks(house: House, name: str) -> Path:
    path = Path(f"{house.ledger}.{name}")
    path.touch()
    return path


def failed(house: House) -> Path:
    """A run that has failed in its last step; what breaks it."""
    broken = breaks(house, "c")
    house.go(BOOK)
    house.answer()
    house.tick()
    house.signal("go", 7)
    house.tick()
    assert house.status() is Status.FAILED
    return broken


def reset(house: House, **wish: Any) -> Branch:
    return branching.reset(house.store, "r1", Wish(**wish), ME, "because", house.clock)


def test_a_retry_goes_on_from_the_step_that_failed_and_does_nothing_else_again(house: House) -> None:
    """Fails when a step that was done is done again, or the question is asked again."""
    failed(house).unlink()
    before = Path(house.view().path).read_bytes()
    made = reset(house, to=LAST_OK)

    assert (made.run, made.link, made.next, made.answers) == ("r1", 2, "step", 1)
    house.tick()
    assert house.status() is Status.COMPLETED
    assert house.result()[:4] == ["A", "B", 7, "C"]
    assert house.notes() == ["a", "b", "c", "c"]
    assert Path(house.store.history("r1", 1)).read_bytes() == before, "the old history stays as it is"
    house.check()


def test_the_new_history_says_whose_lines_it_begins_with_and_verifies(house: House) -> None:
    failed(house).unlink()
    made = reset(house, to=LAST_OK)
    old, new = (branching.load(house.store, "r1", link) for link in (1, 2))
    follows = new.events[0].follows  # type: ignore[attr-defined]
    assert (follows.run, follows.how, follows.lines) == ("r1", "reset", made.lines)
    assert follows.nonce == old.events[0].nonce  # type: ignore[attr-defined]
    assert new.events[0].reason == "because"  # type: ignore[attr-defined]
    for before, after in zip(old.events[1 : made.lines], new.events[1 : made.lines], strict=True):
        assert structs.replace(before, ts=after.ts) == after or isinstance(after, ev.LineLeftOut)
    assert not list(verify_history(new.path))


def test_a_reset_to_a_step_does_that_step_and_what_follows_again(house: House) -> None:
    failed(house).unlink()
    made = reset(house, to="3")
    assert made.signals == 1, "what was sent later is sent again"
    house.tick()
    assert house.notes() == ["a", "b", "c", "b", "c"]
    assert house.status() is Status.COMPLETED


def test_answers_are_kept_or_asked_again(house: House) -> None:
    failed(house).unlink()
    made = reset(house, to=LAST_OK, ask_again=True)
    assert made.answers == 0
    house.tick()
    assert house.status() is Status.WAITING and len(house.view().state.approvals) == 1  # type: ignore[union-attr]
    house.answer()
    house.tick()
    assert house.notes() == ["a", "b", "c", "b", "c"]


def test_signals_are_sent_again_or_not(house: House) -> None:
    failed(house).unlink()
    reset(house, to="3", signals=False)
    house.tick()
    assert house.status() is Status.WAITING
    house.signal("go", 8)
    house.tick()
    assert house.result()[2] == 8


def test_from_the_first_line_all_is_done_again(house: House) -> None:
    failed(house).unlink()
    reset(house, to="first")
    house.tick()
    assert house.notes() == ["a", "b", "c", "a"]
    assert house.status() is Status.WAITING


def test_what_was_drawn_before_stays_and_what_is_drawn_after_is_new(house: House) -> None:
    """Fails when a resource name of the old run is drawn once more behind the place where the new one goes on."""
    house.go("""
        @dwf.activity
        def step(n): return n
        @dwf.workflow
        async def w():
            first = dwf.uuid4().hex
            await step(1)
            await dwf.wait_signal("go")
            return [first, dwf.uuid4().hex]
    """)
    house.signal("go")
    house.tick()
    old = house.result()
    lines = next(event.id for event in house.events() if isinstance(event, ev.SignalWaitOpened))
    reset(house, line=lines)
    house.tick()
    new = house.result()
    assert new[0] == old[0] and new[1] != old[1]


def test_mended_code_goes_on_where_the_old_failed(house: House) -> None:
    failed(house)
    mended = house.script(BOOK.replace('await step("c")', 'await step("d")'), "mended.py")
    reset(house, to=LAST_OK, script=mended)
    house.tick()
    assert house.result()[3] == "D"


def test_code_that_does_not_fit_the_kept_lines_is_refused_and_nothing_is_made(house: House) -> None:
    failed(house)
    other = house.script(BOOK.replace('await step("b")', 'await step("x")'), "other.py")
    with pytest.raises(NondeterminismError):
        reset(house, to=LAST_OK, script=other)
    assert house.store.latest_link("r1") == 1


def test_a_fork_goes_on_beside_the_run_with_another_result(house: House) -> None:
    house.go(BOOK)
    house.answer()
    house.tick()
    wish = Wish(run="beside", results={"1": b'"other"'})
    made = branching.fork(house.store, "r1", wish, ME, "what if", house.clock)
    assert made.run == "beside" and house.status() is Status.WAITING
    house.tick()
    house.answer(run="beside")
    house.tick()
    house.signal("go", 1, run="beside")
    house.tick()
    assert house.result("beside")[0] == "other"
    (changed,) = [e for e in house.all(ev.ActivityCompleted, "beside") if e.decided is not None]
    assert changed.decided is not None and changed.decided.reason == "what if"
    with pytest.raises(Conflict):
        branching.fork(house.store, "r1", wish, ME, "what if", house.clock)


def test_a_failure_can_be_given_a_result_instead(house: House) -> None:
    failed(house)
    wish = Wish(run="beside", results={"5": b'"by hand"'})
    branching.fork(house.store, "r1", wish, ME, "done by hand", house.clock)
    house.tick()
    assert house.result("beside")[3] == "by hand"


def test_an_attempt_in_flight_at_that_place_begins_anew(house: House) -> None:
    """Fails when the new run waits for, or ends, the process of an attempt of the old one."""
    house.go("""
        @dwf.workflow
        async def w():
            await asyncio.gather(dwf.sh("true"), dwf.sh("false"))
    """)
    place = next(event.id for event in house.events() if isinstance(event, ev.ActivityStarted))
    reset(house, line=place)
    left_out = [event.was for event in house.all(ev.LineLeftOut)]
    assert left_out == ["ActivityStarted"]
    house.tick()
    assert house.status() is Status.FAILED
    house.check()


def test_where_a_child_is_open_nothing_can_go_on(house: House) -> None:
    house.start(
        house.script("""
        @dwf.workflow
        async def child():
            await dwf.sleep("1h")
        @dwf.workflow
        async def w():
            dwf.start_child(child)
            await dwf.sleep(0.01)
            await dwf.sh("false")
    """)
        + ":w"
    )
    house.tick()
    house.clock.advance("1s")
    house.tick()
    with pytest.raises(WrongState, match=r"child r1\.1 is open there"):
        reset(house, to=LAST_OK)


LOCKED = """
    @dwf.workflow
    async def w():
        async with dwf.lock("db"):
            await dwf.sh("sh", "-c", '[ -e "$0" ]', LEDGER + "." + dwf.info().run)
            await dwf.wait_signal("go")
"""


def test_a_lock_that_is_held_at_that_place_is_held_again(house: House) -> None:
    """Fails when a run goes on inside of its lock without holding it."""
    house.go(LOCKED)
    assert house.status() is Status.FAILED
    breaks(house, "r1")
    reset(house, to=LAST_OK)
    (ticket,) = house.store.claims.look("db")
    assert ticket.held and ticket.nonce == house.view().state.head.nonce  # type: ignore[union-attr]
    house.start(house.script(LOCKED, "other.py"), "r2")
    breaks(house, "r2")
    house.tick()
    assert [type(event).__name__ for event in house.events("r2")] == ["WorkflowStarted", "LockRequested"]
    house.signal("go")
    house.tick()
    house.signal("go", run="r2")
    house.tick()
    assert (house.status(), house.status("r2")) == (Status.COMPLETED, Status.COMPLETED)


def test_a_lock_that_somebody_else_holds_by_now_is_not_taken_from_him(house: House) -> None:
    """Fails when two runs hold a lock because one of them has gone back to where it held it."""
    house.go(LOCKED)
    breaks(house, "r1")
    breaks(house, "r2")
    house.start(house.script(LOCKED, "other.py"), "r2")
    house.tick()
    with pytest.raises(WrongState, match="lock db, which it holds there, is held by r2 now"):
        reset(house, to=LAST_OK)
    assert house.store.latest_link("r1") == 1
    house.signal("go", run="r2")
    house.tick()
    reset(house, to=LAST_OK)
    house.signal("go")
    house.tick()
    assert house.status() is Status.COMPLETED


def test_what_was_taken_back_since_cannot_be_gone_on_from(house: House) -> None:
    """Fails when a run goes on as if what a saga has undone were still there."""
    house.go("""
        @dwf.workflow
        async def w():
            async with dwf.saga() as saga:
                await saga.step(dwf.sh("true", title="switch"), undo=dwf.sh("true", title="back"))
                await dwf.sh("false")
    """)
    with pytest.raises(WrongState, match="was taken back since: switch"):
        reset(house, to=LAST_OK)
    assert reset(house, to="switch").next == "switch"


def test_children_that_were_over_stay_who_they_were(house: House) -> None:
    house.start(
        house.script(
            """
        @dwf.workflow
        async def child(n):
            return n
        @dwf.workflow
        async def w():
            first = await child(1)
            await dwf.sh("sh", "-c", '[ -e "$0" ]', PLACE)
            return [first, await child(2)]
    """.replace("PLACE", repr(str(house.path / "there")))
        )
        + ":w"
    )
    house.tick()
    assert house.status() is Status.FAILED
    (house.path / "there").touch()
    reset(house, to=LAST_OK)
    house.tick()
    assert house.result() == [1, 2]
    assert [child.run for child in house.all(ev.ChildWorkflowRequested)] == ["r1.1", "r1-2.3"]


def test_a_run_can_be_reset_again_and_again(house: House) -> None:
    broken = failed(house)
    for link in (2, 3):
        assert reset(house, to=LAST_OK).link == link
        house.tick()
        assert house.status() is Status.FAILED
    broken.unlink()
    reset(house, to="3")
    house.tick()
    assert house.result()[:4] == ["A", "B", 7, "C"]


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({}, UsageError),
        ({"to": "nothing"}, NotFound),
        ({"to": "step"}, UsageError),
        ({"line": 99}, UsageError),
        ({"line": 14}, WrongState),
    ],
)
def test_a_place_that_is_none_is_refused(house: House, wish: dict[str, Any], error: type[Exception]) -> None:
    failed(house)
    if wish.get("line") == 14:
        wish = {"line": len(house.events())}
    with pytest.raises(error):
        reset(house, **wish)
    assert house.store.latest_link("r1") == 1


def test_an_open_run_is_forked_and_not_reset(house: House) -> None:
    house.go(BOOK)
    with pytest.raises(WrongState, match="only what is over can begin again"):
        reset(house, to="first")


@settings(max_examples=12)
@given(st.data())
def test_from_any_line_a_run_comes_to_the_same_end(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever line is the last that is kept: the new run replays them, and ends as the first one did."""
    house = House(tmp_path_factory.mktemp("branch"))
    house.go(BOOK)
    house.answer()
    house.tick()
    house.signal("go", 7)
    house.tick()
    lines = data.draw(st.integers(1, len(house.events()) - 1))
    reset(house, line=lines)
    house.tick()
    while house.status() is Status.WAITING:
        house.answer()
        house.tick()
    assert house.result()[:4] == ["A", "B", 7, "C"]
    house.check()


# -- what to type instead ---------------------------------------------------------------------------------------


def test_where_a_child_is_open_the_lines_before_and_behind_it_are_named_and_serve(house: House) -> None:
    """Fails when a person is told to look for another place, or of one from which nothing can go on either."""
    house.start(
        house.script(
            """
        @dwf.activity(retry=dwf.Retry(max_attempts=1))
        def step():
            if not os.path.exists(LEDGER + ".there"):
                raise dwf.Failure("not there")
        @dwf.workflow
        async def child():
            return 1
        @dwf.workflow
        async def w():
            both = await asyncio.gather(child(), dwf.sleep(2))
            await step()
            return both[0]
        """
        )
        + ":w"
    )
    house.tick()
    for _ in range(2):
        house.clock.advance("1m")
        house.tick()
    assert house.status() is Status.FAILED
    asked = house.the(ev.ChildWorkflowRequested).id
    with pytest.raises(WrongState, match=r"its child r1\.1 is open there") as refused:
        reset(house, line=asked)
    done = house.the(ev.ChildWorkflowCompleted).id
    assert refused.value.hint == f"--line {asked - 1} is before it, --line {done} behind it; see dwf history r1"
    Path(f"{house.ledger}.there").touch()
    reset(house, line=done)
    house.tick()
    house.clock.advance("1m")
    house.tick()
    assert house.result() == 1


def test_behind_its_end_there_is_only_a_place_before(house: House) -> None:
    failed(house)
    end = len(house.events())
    with pytest.raises(WrongState, match="the run is over there") as refused:
        reset(house, line=end)
    assert refused.value.hint == f"--line {end - 1} is before it; see dwf history r1"


def test_a_script_that_asks_with_its_own_id_is_told_that_a_reset_keeps_it(house: House) -> None:
    house.go("""
        @dwf.workflow
        async def w():
            await dwf.sh("true", dwf.info().run)
            await dwf.sh("false")
    """)
    with pytest.raises(NondeterminismError) as refused:
        branching.fork(house.store, "r1", Wish(to=LAST_OK, run="other"), ME, "because", house.clock)
    assert refused.value.hint is not None and "dwf.info().run" in refused.value.hint
    assert "dwf reset r1 keeps it" in refused.value.hint
    assert reset(house, to=LAST_OK).link == 2

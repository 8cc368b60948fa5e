"""Approvals: who said yes or no counts if he may, once, in time, for the question that he saw."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core import messages as mail
from dwf.core.messages import Message
from dwf.core.state import Status
from dwf.engine import lists
from dwf.errors import NotPermitted, UsageError, WrongState
from tests.engine.house import ME, House

ASKS = """
@dwf.workflow
async def main(timeout: str = "1h", on_timeout: str = "reject", by: str = "", need: int = 1):
    try:
        yes = await dwf.approve("Switch web1?", by=by or (), need=need, timeout=timeout, on_timeout=on_timeout)
    except dwf.ApprovalRejected as no:
        return ["no", no.by, no.comment, no.timed_out]
    return ["yes", list(yes.by), yes.comment, yes.timed_out]
"""
Post = Callable[..., str]


@pytest.fixture
def asks(house: House) -> Callable[..., House]:
    def make(**given: object) -> House:
        house.go(ASKS, json_input=given)
        return house

    return make


def drop(house: House, kind: str = mail.APPROVE, **more: object) -> str:
    """An answer put into the mailbox without the checks that the sender's side makes."""
    (asked,) = house.all(ev.ApprovalRequested)
    fields = {
        "nonce": house.state().head.nonce,
        "question": asked.id,
        "fingerprint": asked.fingerprint,
        "id": "",
        "run": "r1",
        "kind": kind,
    }
    return house.store.mailbox.post(Message(**{**fields, **more}))  # type: ignore[arg-type]


def reason(house: House) -> str:
    (bad,) = house.store.mailbox.bad()
    return bad.reason


def test_a_yes_lets_the_run_go_on_and_is_recorded_with_who_and_why(asks: Callable[..., House]) -> None:
    house = asks()
    posted = house.answer(True, comment="looks good")
    assert posted.what == 'yes to "Switch web1?"'
    house.tick()
    assert house.result() == ["yes", [getpass.getuser()], "looks good", False]
    answered = house.the(ev.ApprovalAnswered)
    assert answered.by is not None and answered.by.uid == os.getuid() and answered.comment == "looks good"
    assert house.the(ev.ApprovalResolved).answers == [answered.id]
    house.check()


def test_a_no_reaches_the_script(asks: Callable[..., House]) -> None:
    house = asks()
    house.answer(False, comment="not today")
    house.tick()
    assert house.result() == ["no", getpass.getuser(), "not today", False]


@pytest.mark.parametrize(
    ("on_timeout", "outcome"),
    [("approve", ["yes", [], "", True]), ("reject", ["no", "nobody", None, True])],
)
def test_a_deadline_answers_as_it_was_told(asks: Callable[..., House], on_timeout: str, outcome: list[object]) -> None:
    house = asks(on_timeout=on_timeout)
    house.clock.advance("61m")
    house.tick()
    assert house.result() == outcome
    assert house.the(ev.ApprovalResolved).timed_out


def test_a_deadline_that_fails_fails_the_run(asks: Callable[..., House]) -> None:
    house = asks(on_timeout="fail")
    house.clock.advance("61m")
    report = house.tick()
    assert house.status() is Status.FAILED and len(report.news) == 1
    assert "no answer" in house.the(ev.WorkflowFailed).error.message


def test_a_yes_before_the_deadline_counts_although_the_tick_comes_after_it(asks: Callable[..., House]) -> None:
    house = asks()
    house.answer(True)
    house.clock.advance("61m")
    house.tick()
    assert house.result()[0] == "yes"
    assert house.late() == []


def test_a_yes_before_the_deadline_counts_also_where_the_run_goes_on_after_a_no(house: House) -> None:
    """Fails when mail counts from when it was found."""
    house.go("""
        @dwf.workflow
        async def main():
            try:
                await dwf.approve("Go?", timeout="1h")
                said = "yes"
            except dwf.ApprovalRejected:
                said = "no"
            return [said, await dwf.wait_signal("end")]
        """)
    house.answer(True)
    house.clock.advance("61m")
    house.tick()
    house.signal("end")
    house.tick()
    assert house.result()[0] == "yes"


def test_a_yes_after_the_deadline_does_not_count_although_no_tick_ran_since(house: House) -> None:
    """Fails when mail goes before whatever else is ready."""
    house.clock.back("2h")
    house.go(ASKS)
    house.clock.advance("2h")
    house.answer(True)  # an hour after the deadline
    house.tick()
    assert house.result() == ["no", "nobody", None, True]
    assert house.late() == ["approve"] and house.mail() == []
    assert house.all(ev.ApprovalAnswered) == []


def test_a_yes_after_the_deadline_does_not_count_either_if_it_comes_while_the_run_ends(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mail that comes just before the end is delivered before what ended the run, but not before an older deadline."""
    house.clock.back("2h")
    house.go(ASKS)
    house.clock.advance("2h")
    waiting = type(house.store.mailbox).waiting
    looks = []

    def look(box: object, run: str) -> object:
        looks.append(run)
        if len(looks) == 2:
            drop(house)
        return waiting(box, run)  # type: ignore[arg-type]

    monkeypatch.setattr(type(house.store.mailbox), "waiting", look)
    house.tick()
    assert house.result() == ["no", "nobody", None, True]
    assert house.late() == ["approve"]


def test_an_answer_at_once_is_not_taken_for_older_than_its_question(asks: Callable[..., House]) -> None:
    """The file clock of the kernel is some milliseconds behind."""
    house = asks()
    for n in range(20):
        house.start(house.script(ASKS), run=f"x{n}")
        house.tick()
        house.answer(True, run=f"x{n}")
        house.tick()
        assert house.status(f"x{n}") is Status.COMPLETED


def test_an_answer_older_than_its_question_does_not_count(house: House) -> None:
    """Fails when an answer may be older than its question."""
    house.clock.advance("1h")
    house.go(ASKS)
    drop(house)
    house.tick()
    assert house.status() is Status.WAITING and "older" in reason(house)


def test_after_the_clock_was_set_back_an_answer_counts_at_once(house: House) -> None:
    """Every file looks older than the question then, and the next hour would pass without a yes that counts."""
    house.clock.advance("1h")
    house.go(ASKS)
    house.clock.back("1h")
    drop(house)
    house.tick()
    assert house.result()[0] == "yes" and house.store.mailbox.bad() == []


def test_the_clock_set_back_lets_no_answer_to_another_question_count(house: House) -> None:
    house.clock.advance("1h")
    house.go(ASKS)
    house.clock.back("1h")
    drop(house, fingerprint="0" * 64)
    drop(house, question=99)
    drop(house, nonce="0123456789abcdef")
    house.tick()
    assert house.status() is Status.WAITING and house.all(ev.ApprovalAnswered) == []


def test_who_is_not_asked_is_refused_at_once_and_told_who_is(asks: Callable[..., House]) -> None:
    house = asks(by="nobody")
    with pytest.raises(NotPermitted) as refused:
        house.answer(True)
    assert "nobody" in (refused.value.hint or "")
    assert house.mail() == []


def test_an_answer_of_the_wrong_person_does_not_count_and_says_why(asks: Callable[..., House]) -> None:
    house = asks(by="nobody")
    drop(house)
    house.tick()
    assert house.status() is Status.WAITING and house.mail() == []
    assert "is not one of nobody" in reason(house)
    assert house.all(ev.ApprovalAnswered) == []


def test_groups_may_answer(asks: Callable[..., House]) -> None:
    import grp

    house = asks(by=f"@{grp.getgrgid(os.getgid()).gr_name}")
    house.answer(True)
    house.tick()
    assert house.result()[0] == "yes"


def test_twice_is_refused_while_the_first_answer_waits(asks: Callable[..., House]) -> None:
    house = asks()
    house.answer(True)
    with pytest.raises(WrongState, match="already"):
        house.answer(False)
    drop(house, mail.REJECT)
    house.tick()
    assert house.result()[0] == "yes"
    assert house.late() == ["reject"]


def test_nothing_is_asked_yet(house: House) -> None:
    """Fails when an answer is posted although nothing is asked."""
    house.start(house.script(ASKS))
    with pytest.raises(WrongState, match="asks nothing"):
        house.answer(True)
    house.store.mailbox.post(
        Message(id="", run="r1", kind=mail.APPROVE, nonce=house.state().head.nonce, question=9, fingerprint="x")
    )
    house.tick()
    assert house.status() is Status.WAITING
    assert house.late() == ["approve"] and house.mail() == []


def test_after_the_end_an_answer_is_refused(asks: Callable[..., House]) -> None:
    house = asks()
    house.answer(True)
    house.tick()
    with pytest.raises(WrongState):
        house.answer(True)


def test_an_answer_to_the_instance_before_does_not_answer_this_one(asks: Callable[..., House]) -> None:
    house = asks()
    old = house.state().head.nonce
    house.terminate()
    house.tick()
    house.start(house.script(ASKS), if_exists="new")
    house.tick()
    drop(house, nonce=old)
    house.tick()
    assert house.status() is Status.WAITING and house.all(ev.ApprovalAnswered) == []


def test_an_answer_to_another_question_does_not_count(asks: Callable[..., House]) -> None:
    """Fails when it is not asked what question was shown."""
    house = asks()
    drop(house, fingerprint="0" * 32)
    house.tick()
    assert house.status() is Status.WAITING and "not the one that was shown" in reason(house)


def test_an_answer_can_be_bound_to_what_was_shown(asks: Callable[..., House]) -> None:
    """Fails when a yes is not bound to what was shown."""
    house = asks()
    with pytest.raises(WrongState, match="another"):
        house.answer(True, if_hash="abc")
    house.answer(True, if_hash=house.the(ev.ApprovalRequested).fingerprint[:12])
    house.tick()
    assert house.result()[0] == "yes"


def test_several_questions_are_told_apart_by_number_or_words(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            a, b = await asyncio.gather(dwf.approve("Drain web1?"), dwf.approve("Drain web2?"))
            return [a.comment, b.comment]
        """
    )
    with pytest.raises(UsageError) as error:
        house.answer(True)
    assert "web1" in (error.value.hint or "") and "web2" in (error.value.hint or "")
    house.answer(True, step="WEB2", comment="two")
    house.answer(True, step="1", comment="one")
    house.tick()
    assert house.result() == ["one", "two"]


def test_a_question_that_one_user_can_never_answer_is_refused_before_it_is_asked(asks: Callable[..., House]) -> None:
    """Fails when two people are asked for where there is one."""
    house = asks(need=2)
    assert house.kinds() == ["WorkflowStarted", "RunBlocked"]
    assert "one person" in house.the(ev.RunBlocked).message
    house.store.index.wake("r1")
    house.reopen()
    house.tick()
    assert house.kinds() == ["WorkflowStarted", "RunBlocked"], "it is refused again, and said once"


def test_a_question_that_was_withdrawn_cannot_be_answered(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            try:
                async with asyncio.timeout(3600):
                    await dwf.approve("Still there?")
            except TimeoutError:
                await dwf.wait_signal("end")
        """
    )
    house.answer(True)
    house.clock.advance("2h")
    house.reopen()
    house.tick()
    assert house.kinds()[-1] == "WorkflowCompleted", "a yes before the time was up counts"


def test_the_inbox_shows_what_is_asked_of_whom_and_what_happens_without_an_answer(asks: Callable[..., House]) -> None:
    house = asks(by="nobody")
    (need,) = lists.inbox(house.store)
    assert (need.kind, need.run, need.what, need.who, need.then) == (
        "APPROVE",
        "r1",
        "Switch web1?",
        "nobody",
        "reject",
    )
    assert need.until_us is not None


@pytest.mark.parametrize("cut", [0, 20])
def test_an_answer_whose_effect_was_torn_off_counts_all_the_same(house: House, cut: int) -> None:
    """Answer and outcome are one write; a power cut may leave the first alone. No deadline beats it afterwards."""
    house.go("@dwf.workflow\nasync def main():\n    return (await dwf.approve('ok?', timeout='1h')).by\n")
    house.answer(True)
    house.tick()
    path = Path(house.view().path)
    lines = path.read_bytes().splitlines(keepends=True)
    answered = next(number for number, line in enumerate(lines) if b'"ApprovalAnswered"' in line)
    path.write_bytes(b"".join(lines[: answered + 1]) + lines[answered + 1][:cut])
    house.clock.advance("2h")
    house.store.index.wake("r1")
    house.store.index.mark_due("r1")
    house.tick()
    assert house.status() is Status.COMPLETED and house.result() == [ME.login]

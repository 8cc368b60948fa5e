"""Updates: refused before anything is recorded, or accepted for good and answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine import audit, updates
from dwf.engine.post import Posted
from dwf.engine.updates import Asked
from dwf.engine.upgrade import upgrade
from dwf.errors import Conflict, TimedOut, WrongState
from tests.engine.house import ME, House, in_thread, until

BOOK = """
    @dwf.activity
    def work(n):
        note("work", n)
        return n * 2

    @dwf.workflow
    async def main():
        limit = [1]

        def check(to: int, slowly: bool = False) -> None:
            print("checked", to)
            if to < 0:
                raise ValueError("must not be negative")
            if to == 7:
                {}["typo"]

        async def put(to: int, slowly: bool = False) -> int:
            if slowly:
                await dwf.wait_signal("now")
            if to == 13:
                raise dwf.Failure("not that one")
            limit[0] = await work(to)
            return limit[0]

        dwf.on_update("put", put, check)
        dwf.on_update("never", lambda: None, lambda: False)
        dwf.on_update("acts", lambda: None, lambda: dwf.status("changed"))
        await dwf.wait_signal("stop")
        return limit[0]
"""


def send(house: House, name: str = "put", key: str = "", **words: str) -> Posted:
    return updates.send(house.store, "r1", name, Asked(words=words), ME, key=key)


def answer(house: House, posted: Posted) -> tuple[str, Any]:
    found = updates.answer(house.store, posted)
    return found.stage, found.error.message if found.error else json.loads(bytes(found.result))


def test_an_update_goes_from_posted_to_completed_and_is_answered(house: House) -> None:
    house.go(BOOK)
    posted = send(house, to="5")
    assert answer(house, posted) == ("posted", None)
    house.tick()
    assert answer(house, posted) == ("completed", 10)
    recorded = house.the(ev.UpdateAccepted)
    assert bytes(recorded.input) == b'{"to":5}', "typed by the signature"
    assert recorded.by is not None and recorded.by.uid == ME.uid
    assert house.mail() == []


def test_an_update_whose_handler_waits_is_accepted_meanwhile(house: House) -> None:
    house.go(BOOK)
    posted = send(house, to="5", slowly="yes")
    house.tick()
    assert answer(house, posted) == ("accepted", None)
    assert updates.wait(house.store, posted, "accepted", 0).stage == "accepted"
    with pytest.raises(TimedOut, match="accepted, and not yet completed"):
        updates.wait(house.store, posted, "completed", 0)
    house.signal("now")
    house.tick()
    assert answer(house, posted) == ("completed", 10)


def test_a_failure_in_an_update_is_told_to_its_sender(house: House) -> None:
    house.go(BOOK)
    posted = send(house, to="13")
    house.tick()
    assert answer(house, posted) == ("failed", "not that one")
    assert house.status() is Status.WAITING


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("put", {"to": "-1"}, "must not be negative"),
        ("put", {"to": "7"}, "KeyError: 'typo'"),
        ("put", {"to": "x"}, "to='x' is not an int"),
        ("put", {}, "update put needs to"),
        ("put", {"to": "1", "two": "2"}, "update put has no parameter 'two'"),
        ("never", {}, "its validator says no"),
    ],
)
def test_a_refused_update_leaves_no_history_and_is_told_to_sender_and_audit(
    house: House, name: str, words: dict[str, str], told: str
) -> None:
    house.go(BOOK)
    before = house.events()
    posted = send(house, name, **words)
    house.tick()
    assert house.events() == before
    with pytest.raises(WrongState) as caught:
        updates.answer(house.store, posted)
    assert told in caught.value.message and caught.value.exit_code == 7
    assert [act.why for act in audit.acts(house.store, "r1") if act.outcome == "refused"] == [
        caught.value.message.removeprefix("r1 did not take it: ")
    ]
    assert house.mail() == []
    assert "checked" not in house.log() or name == "put"


def test_an_update_that_nobody_takes_is_refused_before_it_is_posted(house: House) -> None:
    house.go(BOOK)
    with pytest.raises(WrongState) as caught:
        send(house, "putt", to="1")
    assert caught.value.hint == "did you mean put?"
    assert house.mail() == []


def test_a_validator_that_asks_for_something_blocks_the_run_and_the_letter_stays(house: House) -> None:
    house.go(BOOK)
    posted = send(house, "acts")
    house.tick()
    blocked = house.state().blocked
    assert blocked is not None and "the validator of update acts may only look" in blocked.message
    assert house.mail() == [posted.message]
    assert "UpdateAccepted" not in house.kinds()


def test_a_blocked_run_keeps_an_update_until_its_script_can_be_asked(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            dwf.on_update("put", lambda: "done")
            await dwf.wait_signal("go")
            {}["typo"]
        """
    )
    house.signal("go")
    house.tick()
    assert house.status() is Status.BLOCKED
    posted = send(house)
    house.tick()
    house.tick()
    assert answer(house, posted) == ("posted", None)
    assert house.mail() == [posted.message]
    mended = house.script(
        """
        @dwf.workflow
        async def main():
            dwf.on_update("put", lambda: "done")
            await dwf.wait_signal("go")
            await dwf.wait_signal("stop")
        """
    )
    upgrade(house.store, "r1", mended, ME)
    house.tick()
    assert answer(house, posted) == ("completed", "done")
    assert house.mail() == []


def test_an_update_to_a_run_that_has_not_begun_waits_for_it(house: House) -> None:
    house.start(house.script(BOOK))
    posted = send(house, to="3")
    assert answer(house, posted) == ("posted", None)
    house.tick()
    assert answer(house, posted) == ("completed", 6)


def test_the_same_key_does_it_once_and_gives_the_same_answer(house: House) -> None:
    house.go(BOOK)
    first = send(house, key="k", to="5")
    assert send(house, key="k", to="5").message == first.message, "it lies in the mailbox"
    house.tick()
    again = send(house, key="k", to="5")
    assert again.duplicate and answer(house, again) == ("completed", 10)
    with pytest.raises(Conflict) as caught:
        send(house, key="k", to="6")
    assert caught.value.exit_code == 9
    assert house.notes() == ["work 5"]


def test_two_letters_with_one_key_are_taken_once(house: House) -> None:
    """Two senders at the same moment do not see each other's letter."""
    house.go(BOOK)
    posted = send(house, key="k", to="5")
    letter = house.store.mailbox.read(posted.message)
    assert letter is not None
    house.store.mailbox.post(letter.message)
    house.tick()
    assert len(house.all(ev.UpdateAccepted)) == 1
    assert house.mail() == []


def test_an_update_that_comes_while_the_run_closes_is_answered(house: House) -> None:
    house.start(
        house.script(
            """
            @dwf.activity
            def last():
                note("last")
                while not os.path.exists(os.path.join(os.path.dirname(LEDGER), "posted")):
                    time.sleep(0.01)

            @dwf.workflow
            async def main():
                seen = []
                dwf.on_update("put", lambda to: seen.append(to) or len(seen))
                await last()
                return seen
            """
        )
    )
    ticking = in_thread(house.tick)
    until(house.notes)
    posted = send(house, to="7")
    (house.path / "posted").touch()
    ticking.join(20)
    assert house.result() == [7]
    assert answer(house, posted) == ("completed", 1)


def test_an_update_that_came_too_late_and_one_that_was_cut_off_say_so(house: House) -> None:
    house.go(BOOK)
    slow = send(house, to="5", slowly="yes")
    house.tick()
    house.signal("stop")
    house.tick()
    assert house.status() is Status.COMPLETED
    assert answer(house, slow) == ("failed", "the run is completed, and the update had not finished")
    with pytest.raises(WrongState, match="completed"):
        send(house, to="5")


def test_a_validator_may_be_asked_often_without_a_trace_in_what_follows(house: House) -> None:
    """Live history and replay are the same, however many updates were refused in between."""
    house.go(BOOK)
    for number in range(5):
        send(house, to=str(-1 - number))
        send(house, to=str(number))
        house.tick()
    house.reopen()
    house.signal("stop")
    house.tick()
    assert house.result() == 8
    assert len(house.all(ev.UpdateAccepted)) == 5


def test_the_same_key_has_its_answer_also_when_the_run_is_over(house: House) -> None:
    """Fails when a sender who asks again after the end is told that nothing reaches the run."""
    house.go(BOOK)
    send(house, key="k", to="5")
    house.tick()
    house.cancel()
    house.tick()
    assert house.view().state is not None and house.view().status.closed
    again = send(house, key="k", to="5")
    assert again.duplicate and answer(house, again) == ("completed", 10)
    with pytest.raises(Conflict):
        send(house, key="k", to="6")
    with pytest.raises(WrongState):
        send(house, key="other", to="5")

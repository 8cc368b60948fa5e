"""Handlers of a run: what it takes is told without running it, and nothing that comes in time is lost."""

from __future__ import annotations

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine import post
from dwf.engine.summary import waiting_for
from dwf.errors import TooManySignals
from tests.engine.house import House, in_thread, until

COUNTER = """
    @dwf.workflow
    async def main():
        seen = []
        dwf.on_signal("add", seen.append)
        await dwf.wait_until(lambda: "stop" in seen)
        return seen
"""


def test_a_run_that_waits_for_its_handlers_rests_and_says_what_it_takes(house: House) -> None:
    house.go(COUNTER)
    assert house.status() is Status.WAITING
    assert house.kinds() == ["WorkflowStarted", "HandlersRegistered"]
    assert waiting_for(house.state()) == "signal add"
    row = house.store.index.row("r1")
    assert row is not None and row.due_at is None, "no tick looks at it before something comes"
    before = house.events()
    house.tick()
    assert house.events() == before
    house.signal("add", 1)
    house.tick()
    house.signal("add", "stop")
    house.tick()
    assert house.result() == [1, "stop"]
    assert house.kinds().count("HandlersRegistered") == 1


def test_what_a_run_takes_is_told_again_only_when_it_has_changed(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            for name in ("a", "b", "b"):
                dwf.on_signal(name, lambda: None)
                await dwf.wait_signal("next")
        """
    )
    for _ in range(3):
        house.signal("next")
        house.tick()
    assert [e.signals for e in house.all(ev.HandlersRegistered)] == [["a"], ["a", "b"]]


def test_handlers_answer_while_a_step_runs(house: House) -> None:
    house.start(
        house.script(
            """
            @dwf.activity
            def long():
                while not os.path.exists(LEDGER):
                    time.sleep(0.01)

            @dwf.activity
            def heard(word):
                note(word)

            @dwf.workflow
            async def main():
                dwf.on_signal("say", heard)
                await long()
            """
        )
    )
    ticking = in_thread(house.tick)
    until(lambda: "ActivityStarted" in house.kinds())
    house.signal("say", "hello")
    ticking.join(20)
    assert house.notes() == ["hello"]
    assert house.status() is Status.COMPLETED


def test_signals_that_come_in_one_batch_are_one_event_to_who_takes_them_all(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            await dwf.wait_signal("begin")
            return [await dwf.wait_signals("n"), await dwf.wait_signals("n", timeout=0, default=[])]
        """
    )
    for number in range(30):
        house.signal("n", number)
    house.signal("begin")
    house.tick()
    assert house.result() == [list(range(30)), []]
    assert len(house.the(ev.SignalsTaken).got) == 30


def test_a_signal_that_comes_while_the_run_closes_is_given_to_its_handler(house: House) -> None:
    """The step that ends the run posts the signal itself: it lies there before the end is on disk."""
    house.start(
        house.script(
            """
            import subprocess
            @dwf.activity
            def last():
                note("last")
                until_file = os.path.join(os.path.dirname(LEDGER), "posted")
                while not os.path.exists(until_file):
                    time.sleep(0.01)

            @dwf.workflow
            async def main():
                seen = []
                dwf.on_signal("add", seen.append)
                await last()
                return seen
            """
        )
    )
    ticking = in_thread(house.tick)
    until(house.notes)
    house.signal("add", 7)
    (house.path / "posted").touch()
    ticking.join(20)
    assert house.result() == [7]
    assert house.late() == []


def test_a_flood_of_signals_that_nobody_takes_is_refused_at_the_sender(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dwf.core.messages.MOST_PENDING", 5)
    house.go(COUNTER)
    for number in range(3):
        house.signal("odd", number)
    house.tick()
    for number in range(2):
        house.signal("odd", number)
    with pytest.raises(TooManySignals) as caught:
        house.signal("odd", 5)
    assert caught.value.exit_code == 75
    assert "5 signals wait for run r1" in str(caught.value)
    house.signal("add", "stop")
    house.tick()
    assert house.status() is Status.COMPLETED, "what has a handler is taken all the same"


def test_a_flood_that_was_posted_all_the_same_is_put_aside_with_the_reason(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.go(COUNTER)
    posted = [house.signal("odd", number) for number in range(7)]
    monkeypatch.setattr("dwf.core.messages.MOST_PENDING", 5)
    house.tick()
    assert len(house.state().unconsumed) == 5
    assert [bad.name for bad in house.store.mailbox.bad()] == [p.message for p in posted[5:]]
    assert "5 signals wait in the run that its script has not taken" in house.store.mailbox.bad()[0].reason
    assert house.mail() == []


def test_mail_that_nobody_imports_is_bounded_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dwf.core.messages.MOST_PENDING", 3)
    house.go(COUNTER)
    for number in range(3):
        house.signal("add", number)
    with pytest.raises(TooManySignals):
        house.signal("add", 4)
    assert house.cancel() is not None, "other things are still taken"
    house.tick()
    assert house.status() is Status.CANCELLED


def test_a_handler_that_had_not_finished_is_named_in_the_record_of_the_end(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            dwf.on_signal("nap", lambda: dwf.sleep("1h"))
            await dwf.wait_signal("stop")
        """
    )
    house.signal("nap")
    house.signal("stop")
    house.tick()
    end = house.the(ev.WorkflowCompleted)
    assert end.notes == ["the handler of signal nap had not finished"]


def test_the_sender_is_not_told_that_nobody_waits_for_what_a_handler_takes(house: House) -> None:
    house.go(COUNTER)
    assert not house.state().keeps("add") and house.state().keeps("odd")
    assert isinstance(house.signal("add"), post.Posted)

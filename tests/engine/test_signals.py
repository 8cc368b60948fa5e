"""Signals: each is handled once or reported as late, whenever it comes."""

from __future__ import annotations

import os

import pytest

from dwf.core import events as ev
from dwf.core import messages as mail
from dwf.core.messages import Message
from dwf.core.state import Status
from dwf.errors import Conflict, NotFound, UsageError, WrongState
from dwf.store.history import History
from tests.engine.house import House, in_thread, until

TAKES = """
@dwf.workflow
async def main(n: int = 1):
    return [await dwf.wait_signal("go") for _ in range(n)]
"""


def test_a_signal_that_is_waited_for_moves_the_run_on(house: House) -> None:
    house.go(TAKES)
    assert house.status() is Status.WAITING
    posted = house.signal("go", {"a": 1})
    assert house.tick().driven == 1
    assert house.result() == [{"a": 1}]
    received = house.the(ev.SignalReceived)
    assert received.message == posted.message and received.by is not None and received.by.uid == os.getuid()
    assert house.mail() == []
    house.check()


def test_a_signal_before_the_first_tick_is_kept(house: House) -> None:
    house.start(house.script(TAKES))
    house.signal("go", 1)
    house.tick()
    assert house.result() == [1]


def test_a_signal_before_the_wait_is_kept(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            await dwf.sleep("1h")
            return await dwf.wait_signal("go")
        """
    )
    house.signal("go", 1)
    house.tick()
    assert house.status() is Status.WAITING
    house.clock.advance("2h")
    house.tick()
    assert house.result() == 1


def test_signals_come_in_the_order_in_which_they_were_posted(house: House) -> None:
    house.start(house.script(TAKES), json_input={"n": 20})
    for n in range(20):
        house.signal("go", n)
    house.tick()
    assert house.result() == list(range(20))


def test_a_signal_during_a_step_is_taken_up_while_it_runs(house: House) -> None:
    """Fails when mail is not looked for while a step runs."""
    house.start(
        house.script(
            """
            @dwf.workflow
            async def main():
                text = 'until test -e "$1.go"; do sleep 0.02; done'
                step = asyncio.create_task(dwf.sh(LEDGER, script=text))
                first = await dwf.wait_signal("go")
                await step
                return first
            """
        )
    )
    ticking = in_thread(house.tick)
    until(lambda: "ActivityStarted" in house.kinds())
    house.signal("go", "now")
    until(lambda: "SignalReceived" in house.kinds())
    assert "ActivityCompleted" not in house.kinds()
    (house.path / "ledger.go").touch()
    ticking.join(10)
    assert house.result() == "now"


def test_a_signal_after_the_end_is_refused_at_once(house: House) -> None:
    """Fails when a closed run is posted to."""
    house.go("@dwf.workflow\nasync def main():\n    return 1\n")
    with pytest.raises(WrongState):
        house.signal("go")
    assert house.mail() == []


def test_a_signal_that_crosses_the_end_is_kept_as_late(house: House) -> None:
    """Fails when a run that has ended is driven like any other. Fails when what comes after the end is removed."""
    house.go("@dwf.workflow\nasync def main():\n    return 1\n")
    house.store.mailbox.post(Message(id="", run="r1", kind=mail.SIGNAL, name="late"))
    house.tick()
    assert house.late() == ["late"] and house.mail() == []
    assert house.kinds()[-1] == "WorkflowCompleted" and house.kinds().count("WorkflowCompleted") == 1
    assert house.tick().driven == 0


LOOKS_ONCE = """
@dwf.workflow
async def main():
    return await dwf.wait_signal("go", timeout=0, default=1)
"""


def test_a_signal_to_a_script_that_is_done_without_waiting_is_kept_as_late(house: House) -> None:
    """Fails when what comes after the end is removed."""
    house.start(house.script(LOOKS_ONCE))
    house.signal("go")
    house.signal("other")
    house.tick()
    assert house.status() is Status.COMPLETED and house.result() == 1
    assert house.late() == ["go", "other"] and house.mail() == []
    house.check()


def test_a_signal_just_before_the_script_is_done_is_handled_first(house: House) -> None:
    """It arrives while the last step runs in the run's own thread, where nobody looks into the mailbox."""
    house.start(
        house.script(
            """
            @dwf.activity(retry=dwf.Retry(max_attempts=1))
            def last():
                note("last")
                open(LEDGER + ".in", "w").close()
                while not os.path.exists(LEDGER + ".out"):
                    time.sleep(0.001)
                return "step"

            @dwf.workflow
            async def main():
                result = await last()
                return [result, await dwf.wait_signal("go", timeout=0, default=None)]
            """
        )
    )
    ticking = in_thread(house.tick)
    until((house.path / "ledger.in").exists)
    house.signal("go", "in time")
    (house.path / "ledger.out").touch()
    ticking.join(10)
    assert house.result() == ["step", "in time"]
    assert house.notes() == ["last"], "the step was run again"
    assert house.the(ev.ActivityStarted).attempt == 1
    assert house.late() == [] and house.mail() == []
    house.check()


def test_steps_that_end_together_with_a_signal_before_the_end_are_recorded_once(house: House) -> None:
    """The last batch is thrown away and made again: what was done in it must be neither lost nor done twice."""
    house.start(
        house.script(
            """
            @dwf.activity(retry=dwf.Retry(max_attempts=1))
            def wait(n: int) -> int:
                note(n)
                while not os.path.exists(LEDGER + ".out"):
                    time.sleep(0.001)
                return n

            @dwf.workflow
            async def main():
                results = await asyncio.gather(wait(1), wait(2), wait(3))
                got = []
                while (one := await dwf.wait_signal("go", timeout=0, default=None)) is not None:
                    got.append(one)
                return [results, got]
            """
        )
    )
    ticking = in_thread(lambda: house.tick(jobs=4))
    until(lambda: len(house.notes()) == 3)
    # Posted now, read at the latest look: the directory's time is looked at once a second while steps run.
    house.signal("go", "a")
    (house.path / "ledger.out").touch()
    house.signal("go", "b")
    ticking.join(10)
    results, got = house.result()
    assert results == [1, 2, 3] and got in (["a", "b"], ["a"])
    assert house.late() == [] or house.late() == ["go"]
    assert house.counted() == {"1": 1, "2": 1, "3": 1}
    assert len(house.all(ev.ActivityCompleted)) == 3


def test_signals_that_keep_coming_do_not_keep_a_run_from_its_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.start(house.script("@dwf.workflow\nasync def main():\n    return 1\n"))
    pending = house.store.mailbox.pending

    def and_one_more(run: str, *args: object) -> object:
        house.store.mailbox.post(Message(id="", run="r1", kind=mail.SIGNAL, name="more"))
        return pending(run)

    monkeypatch.setattr(type(house.store.mailbox), "pending", lambda self, run, *args: and_one_more(run))
    report = house.try_tick(max_seconds=5)
    assert house.status() is Status.COMPLETED
    assert report.errors == []


def test_what_the_history_holds_already_is_not_taken_up_twice(house: House) -> None:
    """A process was killed between writing a signal down and removing its letter.

    Fails when a message that the history has is taken up again.
    """
    house.start(house.script(TAKES), json_input={"n": 2})
    house.tick()
    posted = house.signal("go", 1)
    letter = house.store.mailbox.read(posted.message)
    assert letter is not None
    with History.open(house.store.disk, house.view().path) as history:
        history.stage(ev.SignalReceived(name="go", payload=letter.message.payload, message=posted.message), 0)
        history.commit()
    house.tick()
    assert len(house.all(ev.SignalReceived)) == 1 and house.mail() == []
    house.signal("go", 2)
    house.tick()
    assert house.result() == [1, 2]


def test_a_signal_that_was_recorded_and_not_reacted_to_is_reacted_to(house: House) -> None:
    house.go(TAKES)
    with History.open(house.store.disk, house.view().path) as history:
        history.stage(ev.SignalReceived(name="go", payload=ev.Payload(b"5"), message="x"), 0)
        history.commit()
    house.store.index.wake("r1")
    house.tick()
    assert house.result() == [5]


def test_a_timeout_stays_a_timeout_in_every_replay_although_the_signal_has_come_since(house: House) -> None:
    """Fails when a replay is given the signals first."""
    house.go(
        """
        @dwf.workflow
        async def main():
            first = await dwf.wait_signal("go", timeout="1h", default="none")
            await dwf.wait_signal("end")
            return [first, await dwf.wait_signal("go")]
        """
    )
    house.clock.advance("2h")
    house.tick()
    house.signal("go", "late")
    house.reopen()
    house.tick()
    house.signal("end")
    house.reopen()
    house.tick()
    assert house.result() == ["none", "late"]


# -- keys -------------------------------------------------------------------------------------------------------


def test_the_same_key_twice_is_one_signal(house: House) -> None:
    house.start(house.script(TAKES), json_input={"n": 2})
    first = house.signal("go", {"a": 1, "b": 2}, key="k")
    again = house.signal("go", {"b": 2, "a": 1}, key="k")
    assert (first.duplicate, again.duplicate) == (False, True) and again.message == first.message
    house.tick()
    assert house.signal("go", {"a": 1, "b": 2}, key="k").message == first.message
    with pytest.raises(Conflict):
        house.signal("go", "other", key="k")
    house.tick()
    assert len(house.all(ev.SignalReceived)) == 1
    house.signal("go", 2, key="another")
    house.tick()
    assert house.result() == [{"a": 1, "b": 2}, 2]


def test_the_same_key_from_two_senders_at_once_counts_once(house: House) -> None:
    """Both have looked before either has posted."""
    house.start(house.script(TAKES), json_input={"n": 2})
    for payload in (b"1", b"1", b"2"):
        message = Message(id="", run="r1", kind=mail.SIGNAL, name="go", key="k", payload=ev.Payload(payload))
        house.store.mailbox.post(message)
    house.tick()
    assert len(house.all(ev.SignalReceived)) == 1 and house.mail() == []
    (bad,) = house.store.mailbox.bad()
    assert "key" in bad.reason


def test_a_large_payload_with_the_same_key_is_known_again(house: House) -> None:
    house.start(house.script(TAKES), json_input={"n": 2})
    large = "x" * 300_000
    house.signal("go", large, key="k")
    house.tick()
    assert house.signal("go", large, key="k").duplicate


# -- strange mail -----------------------------------------------------------------------------------------------


def test_mail_for_a_run_that_does_not_exist_is_refused_and_leaves_nothing(house: House) -> None:
    with pytest.raises(NotFound):
        house.signal("go", run="nobody")
    house.store.mailbox.post(Message(id="", run="nobody", kind=mail.SIGNAL, name="go"))
    house.tick()
    (bad,) = house.store.mailbox.bad()
    assert "no run nobody" in bad.reason
    assert house.store.index.rows() == [] and house.mail() == []
    assert house.tick().driven == 0
    house.check()


def test_a_history_that_was_removed_by_hand_is_forgotten_by_the_index(house: House) -> None:
    house.go(TAKES)
    os.unlink(house.view().path)  # noqa: PTH108
    house.store.index.mark_due("r1")
    house.tick()
    assert house.store.index.rows() == [] and house.tick().driven == 0


def test_a_message_that_names_another_instance_is_late_and_not_applied(house: House) -> None:
    """Fails when it is not asked for which instance a message is."""
    house.go(TAKES)
    house.store.mailbox.post(Message(id="", run="r1", kind=mail.CANCEL, nonce="another"))
    house.store.mailbox.post(Message(id="", run="r1", kind=mail.TERMINATE, nonce="another"))
    house.tick()
    assert house.status() is Status.WAITING and house.mail() == []
    assert sorted(house.late()) == ["cancel", "terminate"]


@pytest.mark.parametrize("name", ["", "a b", "__init__", "x" * 65, "a\nb"])
def test_a_signal_needs_a_proper_name(house: House, name: str) -> None:
    house.go(TAKES)
    with pytest.raises(UsageError):
        house.signal(name)

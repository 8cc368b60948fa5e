"""A step whose end nobody saw: made again, told by a probe or a person; never done twice unasked."""

from __future__ import annotations

import json
import os
import signal
import threading

import pytest

from dwf.core import events as ev
from dwf.core import messages as mail
from dwf.core.events import Payload
from dwf.core.messages import Message
from dwf.core.state import Status, fold
from dwf.engine import stepping
from dwf.engine.arrivals import Late, from_letter
from dwf.engine.lists import inbox
from dwf.errors import UsageError, WrongState
from dwf.store.letters import Letter
from tests.engine.house import ME, House, in_thread, until
from tests.engine.test_orphans import killed_tick
from tests.engine.test_steps import is_alive

ASKS = """
@dwf.workflow
async def main(more: int = 0):
    text = 'echo $$ >> "$1"; test "$DWF_ATTEMPT" -gt 1 || sleep 1000'
    try:
        done = await dwf.sh(LEDGER, script=text, on_crash="ask", title="move the address")
    except dwf.ActivityError as error:
        return ["failed", error.type, error.reason]
    return ["done", done.code, done.out]
"""
VERIFIES = """
def probe(host: str):
    note("probe")
    %s

@dwf.activity(verify=probe, isolate=True)
def work(host: str) -> str:
    note(os.getpid())
    if dwf.activity_info().attempt == 1:
        time.sleep(1000)
    return "worked"

@dwf.workflow
async def main():
    return await work("web1")
"""


def asked(house: House) -> int:
    """A run that asks what became of its first attempt; that attempt's pid, which is dead."""
    pid = killed_tick(house, ASKS)
    house.tick()
    assert not is_alive(pid)
    return pid


def test_a_person_is_asked_and_nothing_runs_until_he_has_answered(house: House) -> None:
    pid = asked(house)
    for _ in range(2):
        house.tick()
        assert house.status() is Status.WAITING and house.notes() == [str(pid)]
    (need,) = inbox(house.store)
    assert (need.kind, need.what, need.run) == ("DECIDE", "move the address", "r1")
    assert "killed" in house.the(ev.ActivityUnknown).why
    assert house.store.index.anything_due(house.clock()) is False, "it costs nothing while it waits"


def test_complete_is_believed_and_recorded_with_who_and_why(house: House) -> None:
    pid = asked(house)
    given = json.dumps({"code": 0, "out": "moved"}).encode()
    stepping.decide(house.store, "r1", "complete", ME, "the address answers", result=given)
    house.tick()
    assert house.result() == ["done", 0, "moved"] and house.notes() == [str(pid)]
    decided = house.the(ev.ActivityCompleted).decided
    assert decided is not None and decided.by == ME and decided.reason == "the address answers"
    house.check()


def test_retry_runs_it_once_more_and_fail_ends_it(house: House) -> None:
    asked(house)
    stepping.decide(house.store, "r1", "retry", ME, "it did not move")
    house.tick()
    assert house.result()[0] == "done" and len(house.notes()) == 2
    assert [started.attempt for started in house.all(ev.ActivityStarted)] == [1, 2]


def test_fail_reaches_the_script_as_a_failure_with_the_reason(house: House) -> None:
    asked(house)
    stepping.decide(house.store, "r1", "fail", ME, "the switch is broken")
    house.tick()
    assert house.result() == ["failed", "FailedByHand", "the switch is broken"]


def test_a_result_that_does_not_fit_is_refused_and_the_question_stays(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(house)
    # Who may not ask the script posts it, and the tick refuses it.
    monkeypatch.setattr(stepping, "refuse_unfit", lambda *_: None)
    stepping.decide(house.store, "r1", "complete", ME, "done", result=b'{"code": 0, "out": 5}')
    house.tick()
    assert house.status() is Status.WAITING and house.store.mailbox.count_bad() == 1
    stepping.decide(house.store, "r1", "retry", ME, "again then")
    house.tick()
    assert house.result()[0] == "done"


def test_a_second_decision_is_refused_or_late_and_never_overturns_the_first(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(house)
    stepping.decide(house.store, "r1", "complete", ME, "once", result=b'{"code": 0}')
    with pytest.raises(WrongState, match="decided already"):
        stepping.decide(house.store, "r1", "retry", ME, "twice")
    # Two who post at the same moment do not see each other.
    monkeypatch.setattr(stepping, "refuse_second", lambda *_: None)
    stepping.decide(house.store, "r1", "retry", ME, "at the same moment")
    house.tick()
    assert house.result()[0] == "done" and len(house.notes()) == 1
    assert house.late() == ["retry"]


def test_a_decision_about_an_earlier_attempt_is_late() -> None:
    """Fails when it is not asked which attempt a decision is about."""
    state = fold(
        [
            ev.WorkflowStarted(id=1, run="r1", nonce="n", workflow="w", script="s", code="c"),
            ev.ActivityScheduled(id=2, command=1, name="move", kind="shell", input=Payload(b"{}"), on_crash="ask"),
            ev.ActivityStarted(id=3, command=1, attempt=1),
            ev.ActivityUnknown(id=4, command=1, attempt=1, why="killed"),
            ev.ActivityRetryRequested(id=5, command=1, decided=ev.Decision(by=ME, reason="again")),
            ev.ActivityStarted(id=6, command=1, attempt=2),
            ev.ActivityUnknown(id=7, command=1, attempt=2, why="killed again"),
        ]
    )

    def decided_about(attempt: int) -> list[ev.Event]:
        message = Message(
            id="m", run="r1", kind=mail.STEP, nonce="n", name=mail.COMPLETE, command=1, attempt=attempt,
            payload=Payload(b"1"), by=ME,
        )  # fmt: skip
        return from_letter(Letter("m", message, ME.uid, 1)).make(state)

    assert isinstance(decided_about(2)[0], ev.ActivityCompleted)
    with pytest.raises(Late):
        decided_about(1)


def test_a_decision_on_a_step_that_runs_or_is_over_is_refused(house: House) -> None:
    house.go("@dwf.workflow\nasync def main():\n    await dwf.wait_signal('go')\n")
    with pytest.raises(WrongState):
        stepping.decide(house.store, "r1", "retry", ME, "x")
    with pytest.raises(UsageError):
        stepping.decide(house.store, "r1", "bless", ME, "x")


def test_a_step_between_two_attempts_can_be_decided_too(house: House) -> None:
    house.go(
        """
        @dwf.activity(retry=dwf.Retry(initial="1h", jitter="none"))
        def work() -> int:
            note("work")
            raise ValueError("not yet")

        @dwf.workflow
        async def main():
            return await work()
        """
    )
    assert house.status() is Status.WAITING
    stepping.decide(house.store, "r1", "retry", ME, "it is up again")
    house.tick()
    assert house.notes() == ["work", "work"], "at once, and not in an hour"
    stepping.decide(house.store, "r1", "complete", ME, "done by hand", result=b"42")
    house.tick()
    assert house.result() == 42


@pytest.mark.parametrize(
    ("answer", "result", "attempts"),
    [("return True", None, 1), ("return dwf.Done('moved')", "moved", 1), ("return False", "worked", 2)],
)
def test_a_probe_is_believed(house: House, answer: str, result: object, attempts: int) -> None:
    killed_tick(house, VERIFIES % answer)
    house.tick()
    assert house.notes().count("probe") == 1 and len(house.notes()) == attempts + 1
    if result is None:
        # None is no str, as work() is annotated: then the probe could not tell
        assert house.status() is Status.WAITING and "could not tell" in house.all(ev.ActivityUnknown)[-1].why
    else:
        assert house.result() == result
    house.check()


def test_a_probe_that_cannot_tell_asks_a_person(house: House) -> None:
    killed_tick(house, VERIFIES % "raise OSError('no route to host')")
    house.tick()
    assert house.status() is Status.WAITING and len(house.notes()) == 2
    assert "no route to host" in house.all(ev.ActivityUnknown)[-1].why
    house.tick()
    assert len(house.notes()) == 2, "the probe is asked once"
    stepping.decide(house.store, "r1", "complete", ME, "looked", result=b'"by hand"')
    house.tick()
    assert house.result() == "by hand"


@pytest.mark.parametrize(("code", "ran"), [(0, 1), (1, 2), (3, 1)])
def test_a_shell_probe_says_so_by_its_exit_code(house: House, code: int, ran: int) -> None:
    text = f"""
    @dwf.workflow
    async def main():
        work = 'echo $$ >> "$1"; test "$DWF_ATTEMPT" -gt 1 || sleep 1000'
        return (await dwf.sh(LEDGER, script=work, verify='test -s "$1" && exit {code}')).code
    """
    killed_tick(house, text)
    house.tick()
    assert len(house.notes()) == ran
    assert house.status() is (Status.WAITING if code == 3 else Status.COMPLETED)


def test_what_still_runs_is_waited_for_if_the_step_wants_it(house: House) -> None:
    """Fails when what still runs is ended although the step would wait for it."""
    text = """
    @dwf.workflow
    async def main():
        work = 'echo $$ >> "$1"; test "$DWF_ATTEMPT" -gt 1 || sleep 1000'
        await dwf.sh(LEDGER, script=work, orphan="wait", on_crash="ask")
    """
    pid = killed_tick(house, text)
    house.tick(max_seconds=0.3)
    assert is_alive(pid) and house.status() is Status.RUNNING
    assert "ActivityUnknown" not in house.kinds()
    ticking = in_thread(house.tick)
    until(lambda: any(thread.name == f"dwf-orphan-{pid}" for thread in threading.enumerate()))
    os.kill(pid, signal.SIGTERM)
    ticking.join(20)
    assert house.status() is Status.WAITING and "ended unseen" in house.the(ev.ActivityUnknown).why


def test_what_is_waited_for_ends_with_its_time_and_with_the_run(house: House) -> None:
    text = """
    @dwf.workflow
    async def main():
        work = 'echo $$ >> "$1"; sleep 1000'
        await dwf.sh(LEDGER, script=work, orphan="wait")
    """
    pid = killed_tick(house, text)
    house.terminate()
    house.tick()
    assert house.status() is Status.TERMINATED and not is_alive(pid)


def test_cancelling_a_step_that_asks_ends_it_as_unknown(house: House) -> None:
    asked(house)
    house.cancel()
    house.tick()
    assert house.status() is Status.CANCELLED and len(house.notes()) == 1
    assert "killed" in house.the(ev.ActivityCancelled).reason

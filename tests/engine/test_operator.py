"""What an operator can say of a live step: each word is a message, an event with who and why, and survives a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dwf.core import events as ev
from dwf.core import messages as mail
from dwf.core.state import Status
from dwf.engine import stepping
from dwf.engine.audit import acts
from dwf.engine.lists import inbox
from dwf.engine.timing import pending
from dwf.errors import UsageError, WrongState
from tests.activities.processes import is_alive, pid_in, soon
from tests.engine.dying import each_death
from tests.engine.house import ME, House, in_thread, until
from tests.engine.processes import begin_tick, finish, kill

FLAKY = """
@dwf.activity(retry=dwf.Retry(max_attempts=3, initial="1h", max_interval="1h", backoff=1, jitter="none"))
def flaky() -> int:
    info = dwf.activity_info()
    note("attempt", info.attempt, info.heartbeat_details)
    dwf.heartbeat(info.attempt)
    raise ValueError("not yet")

@dwf.workflow
async def main():
    try:
        return await flaky()
    except dwf.ActivityError as error:
        return [error.type, error.reason, error.attempts]
"""
LONG = """
SCRIPT = '''
echo $$ >> "$1"
sleep 300 &
test "$DWF_ATTEMPT" -gt 1 && { kill %1; exit 0; }
setsid sh -c 'sleep 300 & echo $! > "$1.forked"; wait' forked "$1" &
wait; sleep 300
'''

@dwf.workflow
async def main(orphan: str = "kill"):
    try:
        done = await dwf.sh(LEDGER, script=SCRIPT, title="restore", orphan=orphan, grace="200ms", retry=dwf.Retry())
    except dwf.ActivityError as error:
        return [error.type, error.reason]
    return [done.code, done.out]
"""


def decide(house: House, act: str, **more: Any) -> None:
    result = more.pop("result", None)
    stepping.decide(
        house.store, "r1", act, ME, "because", result=None if result is None else json.dumps(result).encode(), **more
    )


def begun(house: House) -> int:
    """The pid of the command that runs now, with a child and a double fork."""
    return int(until(house.notes)[-1]) if until((house.path / "ledger.forked").exists) else 0


# -- what becomes of it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("orphan", ["kill", "adopt"])
@pytest.mark.parametrize(
    ("act", "result", "gives"),
    [
        (mail.COMPLETE, {"code": 4}, [4, ""]),
        (mail.SKIP, None, [0, ""]),
        (mail.FAIL, None, ["FailedByHand", "because"]),
        (mail.RETRY, None, [0, ""]),
    ],
)
def test_an_attempt_that_runs_is_ended_before_the_decision_counts(
    house: House, act: str, result: Any, gives: list[Any], orphan: str
) -> None:
    """Fails when the script goes on while something of the attempt runs, or gets what that comes to."""
    house.start(house.script(LONG), json_input={"orphan": orphan})
    ticking = in_thread(house.tick)
    pid, forked = begun(house), pid_in(house.path / "ledger.forked")
    decide(house, act, result=result)
    ticking.join(30)
    assert house.result() == gives
    assert not is_alive(pid) and soon(lambda: not is_alive(forked))
    word = house.the(ev.ActivityOverruled)
    assert (word.act, word.decided.reason) == (act, "because") and word.decided.by is not None
    done = [act for act in acts(house.store, "r1") if act.what.startswith("step")]
    assert [(act.what, act.reason) for act in done] == [(f"step {act}", "because")], "one word is one line of the audit"
    house.check()


def test_a_decision_on_a_step_that_runs_survives_the_death_of_its_tick(house: House) -> None:
    """Fails when the word is lost, or counts twice, with the process that has read it."""
    house.start(house.script(LONG), json_input={"orphan": "adopt"})
    process = begin_tick(house.store.layout.home)
    pid = begun(house)
    decide(house, mail.SKIP)
    until(lambda: house.all(ev.ActivityOverruled))
    kill(process)
    house.tick()
    assert house.result() == [0, ""] and not is_alive(pid)
    assert len(house.all(ev.ActivityOverruled)) == 1 and house.the(ev.ActivityCompleted).skipped
    house.check()


def test_a_plain_function_is_not_waited_for_by_force_and_what_it_comes_to_is_dropped(house: House) -> None:
    house.start(
        house.script(
            """
            @dwf.activity
            def work() -> str:
                note("began")
                while not os.path.exists(LEDGER + ".go"):
                    time.sleep(0.02)
                return "its own"

            @dwf.workflow
            async def main():
                return await work()
            """
        )
    )
    ticking = in_thread(house.tick)
    until(house.notes)
    with pytest.raises(WrongState, match="cannot be ended"):
        decide(house, mail.RETRY)
    decide(house, mail.COMPLETE, result="by hand")
    Path(f"{house.ledger}.go").touch()
    ticking.join(20)
    assert house.result() == "by hand" and house.notes() == ["began"]


def test_a_plain_function_that_beats_hears_of_the_decision_and_ends(house: House) -> None:
    """Fails when the thread that performs it does not look for such mail."""
    house.start(
        house.script(
            """
            @dwf.activity
            def work() -> int:
                note("began")
                try:
                    while not os.path.exists(LEDGER + ".go"):
                        dwf.heartbeat()
                        time.sleep(0.02)
                except dwf.ActivityCancelled as error:
                    note(error.reason)
                    raise
                return 1

            @dwf.workflow
            async def main():
                return await work()
            """
        )
    )
    ticking = in_thread(house.tick)
    until(house.notes)
    decide(house, mail.SKIP, result=9)
    ticking.join(5)
    Path(f"{house.ledger}.go").touch()
    ticking.join(20)
    assert house.result() == 9 and house.notes()[1].endswith(": because")


def test_skip_goes_on_without_what_was_not_done_and_says_so(house: House) -> None:
    house.go(FLAKY)
    decide(house, mail.SKIP, result=7)
    house.tick()
    assert house.result() == 7 and house.the(ev.ActivityCompleted).skipped


def test_a_skipped_step_must_give_what_its_annotation_says(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when null is given to a script that asks for a number."""
    house.go(FLAKY)
    with pytest.raises(UsageError, match="does not fit int"):
        decide(house, mail.SKIP)
    # Who may not ask the script posts it, and the tick refuses it.
    monkeypatch.setattr(stepping, "refuse_unfit", lambda *_: None)
    decide(house, mail.SKIP)
    house.tick()
    assert house.state().steps and "does not fit" in house.store.mailbox.bad()[0].reason


def test_a_word_on_an_attempt_that_is_over_comes_too_late(house: House) -> None:
    house.go(FLAKY)
    decide(house, mail.FAIL)
    house.clock.advance("2h")
    # What was posted is older than the attempt that would begin now, and counts first.
    house.tick()
    assert house.result()[0] == "FailedByHand" and len(house.notes()) == 1


# -- how it goes on ---------------------------------------------------------------------------------------------


def test_a_paused_step_begins_no_attempt_until_it_is_unpaused(house: House) -> None:
    """Fails when time begins the next attempt of a paused step."""
    house.go(FLAKY)
    decide(house, mail.PAUSE)
    house.tick()
    assert house.status() is Status.WAITING and house.state().due_times() == [] and pending(house.store) == []
    house.clock.advance("3h")
    house.reopen()
    house.tick()
    assert house.notes() == ["attempt 1 None"]
    (need,) = inbox(house.store)
    assert need.kind == "PAUSED" and "paused by" in need.detail and "dwf step unpause r1 1" in need.detail
    with pytest.raises(WrongState, match="not paused"):
        decide(house, mail.PAUSE)
    decide(house, mail.UNPAUSE)
    house.tick()
    assert house.notes() == ["attempt 1 None", "attempt 2 1"] and inbox(house.store) == []
    with pytest.raises(WrongState, match="is paused"):
        decide(house, mail.UNPAUSE)
    house.check()


def test_a_step_that_was_paused_before_it_began_does_not_begin(house: House) -> None:
    house.start(
        house.script(
            """
            @dwf.activity
            def second() -> None:
                note("second")

            @dwf.workflow
            async def main():
                await asyncio.gather(dwf.sh(LEDGER, script='until test -e "$1.go"; do sleep 0.05; done'), second())
            """
        )
    )
    ticking = in_thread(lambda: house.tick(jobs=1))
    until(lambda: len(house.all(ev.ActivityScheduled)) == 2)
    decide(house, mail.PAUSE, step="second")
    until(lambda: house.all(ev.ActivityPaused))
    Path(f"{house.ledger}.go").touch()
    ticking.join(20)
    assert house.status() is Status.WAITING and house.notes() == []
    decide(house, mail.UNPAUSE)
    house.tick()
    assert house.status() is Status.COMPLETED


def test_reset_counts_anew_and_tries_at_once(house: House) -> None:
    """Fails when the attempts before the reset count, or when it is waited for."""
    house.go(FLAKY)
    house.clock.advance("61m")
    house.tick()
    decide(house, mail.RESET)
    house.tick()
    assert house.notes() == ["attempt 1 None", "attempt 2 1", "attempt 3 None"], "the heartbeat is cleared"
    decide(house, mail.RESET, keep=True)
    house.tick()
    assert house.notes()[-1] == "attempt 4 3" and house.status() is Status.WAITING
    for _ in range(2):
        house.clock.advance("61m")
        house.tick()
    assert house.result() == ["ValueError", "not yet", 6], "three more since the last reset"


def test_what_is_set_counts_from_the_next_attempt_and_for_all_ticks(house: House) -> None:
    house.go(FLAKY)
    decide(house, mail.SET, options={"max_attempts": "4", "schedule_to_close": "9h"})
    house.tick()
    assert house.state().steps[1].options == {"max_attempts": 4, "schedule_to_close": 9 * 3600 * 1_000_000}
    house.reopen()
    for _ in range(4):
        house.clock.advance("61m")
        house.tick()
    assert house.result() == ["ValueError", "not yet", 4]
    assert [act.what for act in acts(house.store, "r1") if act.what.startswith("step")] == ["step set"]


def test_a_timeout_that_is_set_ends_the_next_attempt(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            try:
                await dwf.sh(script='test "$DWF_ATTEMPT" -gt 1 || exit 1; sleep 100', retry=dwf.Retry(2, initial="1h"))
            except dwf.ActivityTimeout as error:
                return error.reason
        """
    )
    decide(house, mail.SET, options={"timeout": "300ms"})
    house.clock.advance("2h")
    house.tick()
    assert house.result() == "no end within 300ms"


TIMED = """
@dwf.workflow
async def main(timeout: str, sleep: str):
    try:
        text = 'echo $$ >> "$1"; sleep "$2"'
        return (await dwf.sh(LEDGER, sleep, script=text, timeout=timeout, heartbeat_timeout="1h", grace="100ms")).code
    except dwf.ActivityTimeout as error:
        return [error.timeout, error.reason]
"""


@pytest.mark.parametrize(
    ("timeout", "sleep", "options", "result"),
    [
        ("2s", "3", {"timeout": "1h"}, 0),
        ("2s", "3", {"timeout": "none"}, 0),
        ("1h", "100", {"timeout": "300ms"}, ["start-to-close", "no end within 300ms"]),
        ("1h", "100", {"schedule_to_close": "300ms"}, ["schedule-to-close", "no end within 300ms (schedule-to-close)"]),
        ("1h", "100", {"heartbeat_timeout": "300ms"}, ["heartbeat", "no heartbeat for 300ms"]),
    ],
)
def test_a_process_that_runs_has_its_other_time_at_once(
    house: House, timeout: str, sleep: str, options: dict[str, str], result: Any
) -> None:
    """Fails when a restore that needs longer is ended although somebody has said so in time."""
    house.start(house.script(TIMED), json_input={"timeout": timeout, "sleep": sleep})
    ticking = in_thread(house.tick)
    pid = int(until(house.notes)[0])
    decide(house, mail.SET, options=options)
    ticking.join(30)
    assert house.result() == result and not is_alive(pid)
    assert len(house.all(ev.ActivityStarted)) == 1


@pytest.mark.parametrize(
    "options",
    [{}, {"timeout": "0s"}, {"timeout": "soon"}, {"max_attempts": "0"}, {"max_attempts": "1.5"}, {"args": "[1]"}],
)
def test_only_options_that_make_sense_can_be_set(house: House, options: dict[str, str]) -> None:
    house.go(FLAKY)
    with pytest.raises(UsageError):
        decide(house, mail.SET, options=options)


def test_one_decision_at_a_time(house: House) -> None:
    house.go(FLAKY)
    decide(house, mail.FAIL)
    with pytest.raises(WrongState, match="decided already"):
        decide(house, mail.SKIP)


@pytest.mark.parametrize("act", [mail.PAUSE, mail.RESET, mail.SET])
def test_what_was_said_is_read_from_the_history_and_once(house: House, act: str) -> None:
    """Live and read anew are the same state, and a letter that is read twice counts once."""
    house.go(FLAKY)
    decide(house, act, options={"max_attempts": "9"} if act == mail.SET else {})
    house.tick()
    events = house.events()
    messages = [event.decided.message for event in events if getattr(event, "decided", None)]  # type: ignore[attr-defined]
    assert len(messages) == len(set(messages)) == 1 and messages[0] in house.state().messages
    assert house.mail() == []


# -- whoever reads it dies --------------------------------------------------------------------------------------

PAUSED = """
@dwf.activity(retry=dwf.Retry(max_attempts=3, initial="1h", max_interval="1h", jitter="none"))
def work() -> int:
    note("attempt", dwf.activity_info().attempt)
    if dwf.activity_info().attempt < 4:
        raise dwf.RetryAfter(0 if dwf.activity_info().attempt in (1, 3) else "1h")
    return 7

@dwf.workflow
async def main():
    try:
        return await work()
    except dwf.ActivityError as error:
        return [error.type, error.attempts]
"""


@pytest.mark.parametrize(
    ("act", "more", "result"),
    [
        (mail.SKIP, {"result": 9}, 9),
        (mail.FAIL, {}, ["FailedByHand", 2]),
        (mail.RESET, {}, 7),
        (mail.SET, {"options": {"max_attempts": "9"}}, 7),
    ],
)
def test_a_word_survives_the_death_of_its_reader_at_every_turn(
    tmp_path: Path, act: str, more: dict[str, Any], result: Any
) -> None:
    """Fails when a word counts twice, or not at all, if the process that reads it dies."""

    def begin(house: House) -> None:
        house.go(PAUSED)
        decide(house, mail.PAUSE)
        house.tick()
        assert house.status() is Status.WAITING and house.notes() == ["attempt 1", "attempt 2"]
        decide(house, act, **more)
        if act in (mail.RESET, mail.SET):
            decide(house, mail.UNPAUSE)
        if act == mail.SET:
            decide(house, mail.RETRY)

    def check(house: House) -> None:
        assert house.result() == result
        decisions = [e.decided.message for e in house.events() if getattr(e, "decided", None)]  # type: ignore[attr-defined]
        assert len(decisions) == len(set(decisions))
        assert house.mail() == []

    assert each_death(tmp_path, begin, check) > 3


def test_evidence_goes_into_the_history_and_too_much_of_it_is_refused(house: House) -> None:
    house.go("""
        @dwf.activity(retry=dwf.Retry(max_attempts=9, initial="1h"))
        def switch():
            raise OSError("no")
        @dwf.workflow
        async def w():
            return await switch()
    """)
    shown = stepping.evidence_of("/var/log/switch.log", b"switched\xff\n")
    stepping.decide(house.store, "r1", "complete", ME, "by hand", result=b"1", evidence=shown)
    house.tick()
    (done,) = house.all(ev.ActivityCompleted)
    assert done.decided is not None and done.decided.evidence == shown
    assert (shown.name, shown.size, shown.text) == ("switch.log", 10, "switched\\xff\n")
    with pytest.raises(UsageError, match="the limit of evidence"):
        stepping.evidence_of("big", b"x" * 40_000)


def test_after_a_word_on_a_running_step_there_may_be_another(house: House) -> None:
    """Fails when the letter of a word that the history has already stands in the way of the next."""
    house.start(
        house.script("""
        @dwf.workflow
        async def w():
            await dwf.sh("sh", "-c", 'echo run >> "$0"; sleep 1000', LEDGER)
    """)
    )
    tick = begin_tick(house.store.layout.home)
    until(lambda: len(house.notes()) == 1)
    stepping.decide(house.store, "r1", "retry", ME, "again")
    until(lambda: len(house.notes()) == 2)
    stepping.decide(house.store, "r1", "fail", ME, "enough")
    finish(tick, 30)
    assert house.status() is Status.FAILED


def test_options_may_be_set_again_before_a_tick_has_come_by(house: House) -> None:
    house.go("""
        @dwf.activity(retry=dwf.Retry(max_attempts=9, initial="1h"))
        def switch():
            raise OSError("no")
        @dwf.workflow
        async def w():
            await switch()
    """)
    stepping.decide(house.store, "r1", "set", ME, "longer", options={"timeout": "2h"})
    stepping.decide(house.store, "r1", "set", ME, "longer still", options={"timeout": "3h"})
    house.tick()
    assert len(house.all(ev.ActivityOptionsChanged)) == 2


@pytest.mark.parametrize("result", [None, b"null", b'{"code": 3, "out": "x"}'])
def test_a_command_is_done_by_hand_with_its_exit_code(house: House, result: bytes | None) -> None:
    """Fails when a command that is said to be done is run again, for null is no result of one."""
    house.go("""
        @dwf.workflow
        async def w():
            later = dwf.Retry(max_attempts=3, initial="1h")
            out = await dwf.sh("sh", "-c", 'echo did >> "$0"; exit 1', LEDGER, retry=later)
            return out.code
    """)
    stepping.decide(house.store, "r1", "complete", ME, "by hand", result=result)
    house.tick()
    house.clock.advance("5h")
    house.tick()
    assert house.result() == (3 if result and b"3" in result else 0)
    assert house.notes() == ["did"]


@pytest.mark.parametrize("result", [b"5", b'"done"', b'{"out": "x"}', b'{"code": "0"}'])
def test_what_no_command_comes_to_is_refused_at_once(house: House, result: bytes) -> None:
    house.go("""
        @dwf.workflow
        async def w():
            await dwf.sh("false", retry=dwf.Retry(max_attempts=3, initial="1h"))
    """)
    with pytest.raises(UsageError, match="is a command"):
        stepping.decide(house.store, "r1", "complete", ME, "by hand", result=result)

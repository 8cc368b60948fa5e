"""Signals, approvals, words: what comes in from outside and what a script says, in order and once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import pytest

import dwf
from dwf.core import events as ev
from dwf.core.duration import SECOND, stamp
from dwf.errors import ApprovalRejected, ScriptBug, ValueRefused
from tests.core.driver import BEGIN_US, Fake, act, blocked, replayed

# -- signals --------------------------------------------------------------------------------------------------------


def test_a_signal_that_came_before_anybody_waited_is_kept() -> None:
    """Fails when a signal that nobody waits for is dropped."""

    async def main() -> Any:
        await act("a")
        return [await dwf.wait_signal("go"), await dwf.wait_signal("go")]

    with Fake(main) as run:
        run.signal("go", 1)
        run.signal("stop", 0)
        run.signal("go", 2)
        run.complete("a")
        assert run.result == [1, 2]
        assert run.asked == ["act a", "wait go got 3", "wait go got 5"]
        assert [s.name for s in run.state().unconsumed.values()] == ["stop"]
        run.prove()


def test_those_who_wait_are_served_in_the_order_in_which_they_came() -> None:
    async def main() -> Any:
        waits = [asyncio.create_task(dwf.wait_signal("go")) for _ in range(3)]
        await act("a")
        waits[0].cancel()
        return await asyncio.gather(*waits[1:])

    with Fake(main) as run:
        run.complete("a")
        run.signal("go", "first")
        run.signal("go", "second")
        assert run.result == ["first", "second"]
        run.prove()


def test_to_wait_no_time_only_looks() -> None:
    async def main() -> Any:
        first = await dwf.wait_signal("go", timeout=0, default="none")
        await act("a")
        return [first, await dwf.wait_signal("go", timeout=0, default="none")]

    with Fake(main) as run:
        run.signal("go", 5)
        run.complete("a")
        assert run.result == ["none", 5] and run.asked == ["act a", "wait go got 3"]
        run.prove()


def test_a_timeout_that_was_recorded_stays_one_although_the_signal_has_come_meanwhile() -> None:
    """Fails when a replay is given the signals first."""

    async def main() -> Any:
        try:
            await dwf.wait_signal("go", timeout="1h")
        except TimeoutError as error:
            await act("a")
            return [str(error), await dwf.wait_signal("go")]

    with Fake(main) as run:
        run.fire()
        run.signal("go", 5)
        run.complete("a")
        assert run.result == ["no signal 'go' within 1h", 5]
        assert run.asked == ["wait go", "timer 3600", "unwait 1", "act a", "wait go got 7"]
        run.prove()


def test_a_signal_in_time_calls_the_timer_off() -> None:
    async def main() -> Any:
        return await dwf.wait_signal("go", timeout=60)

    with Fake(main) as run:
        run.signal("go", 5)
        assert run.result == 5 and run.asked == ["wait go", "timer 60", "untimer 2"]
        run.prove()


def test_the_payload_is_converted_to_the_type_that_is_asked_for() -> None:
    async def main() -> Any:
        return sorted(await dwf.wait_signal("go", type=set[int]))

    with Fake(main) as run:
        run.signal("go", [3, 1])
        assert run.result == [1, 3]


def test_a_payload_that_does_not_fit_is_passed_over_with_a_note_and_the_next_is_taken() -> None:
    """A slip of whoever sent it must not block the run: no upgrade of the script could make it unsent."""

    async def main() -> Any:
        return await dwf.wait_signal("go", type=int)

    with Fake(main) as run:
        run.signal("go", "five")
        assert run.outcome is None and run.asked == ["wait go", "wait go"]
        run.signal("go", 5)
        assert run.result == 5
        (note,) = run.replay.commands.notes
        assert "signal go (line 3) was passed over" in note and "Expected `int`, got `str`" in note
        assert run.replay.outcome.notes == [note]
    run.prove()


def test_the_time_limit_of_a_typed_wait_is_one_however_many_do_not_fit() -> None:
    async def main() -> Any:
        return await dwf.wait_signal("go", type=int, timeout=10, default="none")

    with Fake(main) as run:
        run.now_us += 6 * SECOND
        run.signal("go", "five")
        assert run.outcome is None
        timers = [opening for opening in run.openings if isinstance(opening, ev.TimerStarted)]
        assert len(timers) == 2 and timers[0].fire_at == timers[1].fire_at
        run.fire(timers[1].command)
        assert run.result == "none"


@pytest.mark.parametrize("name", ["", "a b", "__private", "x" * 65, "ä"])
def test_what_is_no_name_of_a_signal_is_refused(name: str) -> None:
    async def main() -> Any:
        return await dwf.wait_signal(name)

    assert isinstance(blocked(main), ScriptBug)


def test_a_wait_given_up_and_taken_up_again_for_ever_keeps_nothing() -> None:
    async def main() -> None:
        while True:
            await dwf.wait_signal("go", timeout=60, default=None)

    with Fake(main) as run:
        for _ in range(50):
            run.fire()
        assert sum(map(len, run.replay.commands.signals._waits.values())) == 1
        assert len(run.replay.commands.signals._names) == 1


# -- approvals ------------------------------------------------------------------------------------------------------


def resolved(run: Fake, outcome: str, **fields: Any) -> None:
    run.deliver(ev.ApprovalResolved(command=1, outcome=outcome, **fields))


async def asks() -> Any:
    answer = await dwf.approve("go on?", by=["ann", "@ops"], need=2, timeout="1h", show={"plan": [1]})
    return [answer.by, answer.comment, answer.timed_out]


def test_a_yes_says_who_and_why() -> None:
    with Fake(asks) as run:
        question = run.openings[0]
        assert isinstance(question, ev.ApprovalRequested)
        assert (question.by, question.need, question.on_timeout) == (["ann", "@ops"], 2, "reject")
        assert question.deadline == stamp(BEGIN_US + 3600 * SECOND)
        resolved(run, "approved", by=["ann", "bob"], comment="fine")
        assert run.result == [["ann", "bob"], "fine", False]
        run.prove()


@pytest.mark.parametrize(
    ("outcome", "fields", "kind"),
    [
        ("rejected", {"by": ["ann"], "comment": "too early"}, "ApprovalRejected"),
        ("rejected", {"timed_out": True}, "ApprovalRejected"),
        ("failed", {"timed_out": True}, "Failure"),
    ],
)
def test_a_no_and_a_deadline_end_the_run_unless_they_are_caught(outcome: str, fields: Any, kind: str) -> None:
    with Fake(asks) as run:
        resolved(run, outcome, **fields)
        assert run.outcome.error.type == kind
        run.prove()


def test_a_no_can_be_caught() -> None:
    async def main() -> Any:
        try:
            await asks()
        except ApprovalRejected as error:
            return [error.by, error.comment, error.timed_out]

    with Fake(main) as run:
        resolved(run, "rejected", by=["ann"], comment="too early")
        assert run.result == ["ann", "too early", False]


def test_the_fingerprint_covers_all_that_was_shown_and_nothing_else() -> None:
    def fingerprint(prompt: str = "go on?", **options: Any) -> str:
        async def main() -> None:
            await dwf.approve(prompt, **options)

        with Fake(main) as run:
            return run.openings[0].fingerprint  # type: ignore[attr-defined, no-any-return]

    shown: list[Any] = [
        fingerprint(),
        fingerprint("go on!"),
        fingerprint(by="ann"),
        fingerprint(need=2),
        fingerprint(show={"a": 1, "b": 2}),
        fingerprint(show={"a": 1, "b": 3}),
    ]
    assert len(set(shown)) == 6
    assert fingerprint(show={"b": 2, "a": 1}) == shown[4]
    assert fingerprint(timeout="1h", on_timeout="approve") == shown[0]


def test_a_deadline_of_no_time_is_a_deadline() -> None:
    async def main() -> None:
        await dwf.approve("go on?", timeout=0)

    with Fake(main) as run:
        assert run.openings[0].deadline  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": " "},
        {"prompt": "\ud800"},
        {"prompt": 5},
        {"need": 0},
        {"need": 1.5},
        {"by": [5]},
        {"on_timeout": "x"},
    ],
)
def test_a_question_that_makes_no_sense_is_refused(options: Any) -> None:
    async def main() -> None:
        await dwf.approve(**{"prompt": "go on?", **options})

    assert isinstance(blocked(main), ValueRefused)


# -- words ----------------------------------------------------------------------------------------------------------


def test_a_status_is_recorded_when_it_changes() -> None:
    async def main() -> None:
        for line in ("one", "one", "two", "two", "one"):
            dwf.status(line)

    with Fake(main) as run:
        assert run.asked == ["status one", "status two", "status one"]
        assert run.state().status_text == "one"
        run.prove()


@pytest.mark.parametrize("line", [5, None, "\ud800", "x" * 5000])
def test_a_status_that_cannot_be_stored_blocks(line: Any) -> None:
    async def main() -> None:
        dwf.status(line)

    assert isinstance(blocked(main), ValueRefused)


def test_a_line_is_said_live_and_never_in_a_replay() -> None:
    async def main() -> None:
        dwf.log.info("begun %s", 5)
        await act("a")
        dwf.log.warning("100% done")

    with Fake(main) as run:
        run.complete("a")
        said = run.replay.commands.emissions
        assert said == [(logging.INFO, "dwf", "begun 5"), (logging.WARNING, "dwf", "100% done")]
        with contextlib.closing(replayed(run.program, run.events)) as again:
            assert again.commands.emissions == []


def test_what_a_torn_batch_said_is_not_said_again() -> None:
    """At most once, and never about something that did not happen."""

    async def main() -> None:
        await act("a")
        dwf.log.info("a is done")
        await act("b")

    with Fake(main) as run:
        run.complete("a")
        with contextlib.closing(replayed(run.program, run.events[:3])) as again:
            assert [o.name for o in again.fresh] == ["b"] and again.commands.emissions == []


def test_outside_of_a_workflow_the_log_is_pythons(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "dwf"):
        dwf.log.debug("a %s", 1)
        dwf.log.error("b")
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [("DEBUG", "a 1"), ("ERROR", "b")]


def test_signals_come_one_after_the_other_until_none_has_come_for_a_while() -> None:
    async def main() -> Any:
        return [order async for order in dwf.signals("order", type=int, timeout="1h")]

    with Fake(main) as run:
        for number in (1, 2):
            run.signal("order", number)
        run.signal("order", "three")
        run.signal("order", 4)
        assert run.outcome is None
        run.fire([opening for opening in run.openings if isinstance(opening, ev.TimerStarted)][-1].command)
        assert run.result == [1, 2, 4]
    run.prove()

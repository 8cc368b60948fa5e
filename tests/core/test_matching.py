"""Is it the history of this script: every command is compared, wherever the two part, and nothing is guessed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import dwf
from dwf.core import events as ev
from dwf.core.duration import stamp
from dwf.core.events import ApprovalRequested, Opening, Payload
from dwf.core.matching import described
from dwf.core.replay import Replay
from dwf.core.values import blob_ref, encode
from dwf.errors import DiskError, InternalError, NondeterminismError
from tests.core.driver import BEGIN_US, Fake, act, program, replayed, started


async def two_steps() -> str:
    await act("drain", "db-1")
    await act("restart")
    return "done"


def history(main: Callable[..., Any], *ends: str) -> list[ev.Event]:
    with Fake(main) as run:
        for end in ends:
            run.complete(end)
        return run.events


def diverges(main: Callable[..., Any], events: list[ev.Event]) -> NondeterminismError:
    with pytest.raises(NondeterminismError) as caught:
        replayed(program(main), events).close()
    return caught.value


# -- what is compared ---------------------------------------------------------------------------------------------


def test_another_argument_is_another_command() -> None:
    """Else the result recorded for db-1 would be handed to a call for db-2 without a word.

    Fails when arguments are not compared.
    """

    async def changed() -> None:
        await act("drain", "db-2")

    error = diverges(changed, history(two_steps))
    assert 'ActivityScheduled drain function {"args":["db-1"]} (command 1)' in error.recorded
    assert 'ActivityScheduled drain function {"args":["db-2"]} (command 1)' in error.asked
    assert error.line == 2 and "test_matching.py:" in error.where


@pytest.mark.parametrize("other", ["name", "kind", "order"])
def test_another_name_kind_or_order_is_refused(other: str) -> None:
    async def changed() -> None:
        if other == "name":
            await act("cordon", "db-1")
        elif other == "kind":
            await dwf.sleep(5)
        else:
            await act("restart")
            await act("drain", "db-1")

    diverges(changed, history(two_steps))


def test_options_may_change_and_so_may_the_order_of_keys() -> None:
    async def before() -> None:
        await act("a", {"x": 1, "y": 2})

    async def after() -> None:
        await act("a", {"y": 2, "x": 1})

    events = history(before)
    options = {"timeout": 5, "max_attempts": 3, "title": "another"}
    events[1] = msgspec.structs.replace(events[1], **options)
    replayed(program(after), events).close()


def test_a_float_is_not_an_integer_and_text_is_no_number() -> None:
    async def main(value: Any) -> None:
        await act("a", value)

    with Fake(main, 1) as run:
        pass
    for other in (1.0, "1", True, None, [1]):
        events = [started(other), *run.events[1:]]
        with pytest.raises(NondeterminismError):
            replayed(program(main), events)


# -- where they part ------------------------------------------------------------------------------------------------


def test_a_script_that_asks_for_less_is_refused_at_once() -> None:
    async def changed() -> str:
        return "done"

    error = diverges(changed, history(two_steps))
    assert error.asked == "for nothing more" and error.where == "the end of the script"


def test_a_script_that_asks_for_less_later_is_refused_too() -> None:
    async def changed() -> None:
        await act("drain", "db-1")

    error = diverges(changed, history(two_steps, "drain"))
    assert "restart" in error.recorded


def test_a_script_that_now_waits_where_it_went_on_is_refused() -> None:
    async def changed() -> None:
        await act("drain", "db-1")
        await asyncio.Event().wait()

    error = diverges(changed, history(two_steps, "drain"))
    assert "restart" in error.recorded and "test_matching.py:" in error.where


def test_a_script_that_asks_for_more_in_the_middle_is_refused_with_its_line() -> None:
    async def changed() -> str:
        await asyncio.gather(act("drain", "db-1"), act("check"))
        await act("restart")
        return "done"

    error = diverges(changed, history(two_steps, "drain"))
    assert "restart" in error.recorded and "check" in error.asked


def test_more_behind_the_end_of_what_was_recorded_is_taken_for_new() -> None:
    """It cannot be told from what a torn batch has lost."""

    async def changed() -> None:
        await asyncio.gather(act("drain", "db-1"), act("check"))

    with contextlib.closing(replayed(program(changed), history(two_steps))) as replay:
        assert [o.name for o in replay.fresh] == ["check"]


def test_more_with_an_end_behind_it_is_refused() -> None:
    async def before() -> None:
        await asyncio.gather(act("a"), act("b"))

    async def changed() -> None:
        await asyncio.gather(act("a"), act("b"), act("c"))

    error = diverges(changed, history(before, "b"))
    assert "ActivityCompleted" in error.recorded and "c function" in error.asked
    assert "test_matching.py" in error.where or "driver.py" in error.where


def test_a_step_that_ends_after_the_script_has_is_refused() -> None:
    async def before() -> None:
        await asyncio.gather(act("a"), act("b"))
        await dwf.sleep(5)

    async def changed() -> None:
        await asyncio.wait([asyncio.create_task(act(n)) for n in "ab"], return_when=asyncio.FIRST_COMPLETED)

    assert "the end of the script" in str(diverges(changed, history(before, "a", "b")))


def test_what_was_recorded_while_the_run_was_blocked_is_delivered_when_it_goes_on() -> None:
    """Facts go on being recorded; the script, once mended, reacts to them with openings that stand behind them all."""

    async def mended() -> str:
        await act("a")
        await act("b")
        signal = await dwf.wait_signal("go")
        await act("c", signal)
        return "done"

    async def broken() -> None:
        await act("a")
        raise KeyError("typo")

    with Fake(broken) as run:
        with pytest.raises(Exception, match="typo"):
            run.complete("a")
        run.note(ev.RunBlocked(code="bug", message="typo"))
        run.note(ev.SignalReceived(name="go", payload=Payload(b"5")))
        run.note(ev.RunUnblocked())
        events = run.events
    with contextlib.closing(replayed(program(mended), events)) as replay:
        assert [o.name for o in replay.fresh] == ["b"]


def test_a_mended_script_may_end_before_what_was_recorded_meanwhile() -> None:
    async def mended() -> str:
        await asyncio.wait([asyncio.create_task(act(n)) for n in "ab"], return_when=asyncio.FIRST_COMPLETED)
        return "done"

    with Fake(mended) as run:
        events = run.events
        run.note(ev.RunBlocked(code="bug", message="typo"))
        run.note(ev.ActivityCompleted(command=1))
        run.note(ev.ActivityCompleted(command=2))
        run.note(ev.RunUnblocked())
    with contextlib.closing(replayed(program(mended), events)) as replay:
        assert replay.outcome is not None


# -- batches --------------------------------------------------------------------------------------------------------


def test_what_a_torn_batch_lost_comes_out_again_before_anything_new() -> None:
    async def main() -> None:
        await act("a")
        await asyncio.gather(act("b"), act("c"), act("d"))

    events = history(main, "a")
    for kept in range(3):
        with contextlib.closing(replayed(program(main), events[: 3 + kept])) as replay:
            assert [o.name for o in replay.fresh] == ["b", "c", "d"][kept:]
            assert [o.command for o in replay.fresh] == [2, 3, 4][kept:]


def test_history_length_is_the_id_of_the_event_reacted_to_live_and_in_replay() -> None:
    async def main() -> list[int]:
        seen = [dwf.info().history_length]
        await asyncio.gather(act("a"), act("b"))
        seen.append(dwf.info().history_length)
        return seen

    with Fake(main) as run:
        run.complete("a")
        run.note(ev.ActivityStarted(command=2, attempt=1))
        run.complete("b")
        assert run.result == [1, 6]
        run.prove()


def test_two_live_events_at_once_are_the_engines_mistake_and_not_the_scripts() -> None:
    with Fake(two_steps) as run:
        events = [
            ev.ActivityCompleted(id=3, ts=stamp(BEGIN_US), command=1),
            ev.SignalReceived(id=4, ts=stamp(BEGIN_US), name="go"),
        ]
        with pytest.raises(InternalError, match="without the openings between them"):
            run.replay.apply(events)


def test_the_end_of_another_kind_of_command_is_refused() -> None:
    """An address is run, number and kind: a late result of an earlier run must not end a timer here."""

    async def main() -> None:
        await asyncio.gather(act("a"), dwf.sleep(5), dwf.wait_signal("go"), dwf.approve("go on?"))

    for command, event in [
        (1, ev.TimerFired),
        (2, ev.ActivityCompleted),
        (3, ev.ActivityCompleted),
        (4, ev.TimerFired),
    ]:
        with Fake(main) as run, pytest.raises(InternalError):
            run.replay.apply([event(id=9, ts=stamp(BEGIN_US), command=command)])


# -- payloads in files ----------------------------------------------------------------------------------------------


def in_file(payload: bytes, files: dict[str, bytes]) -> Payload:
    name = hashlib.sha256(payload).hexdigest()
    files[name] = payload
    return blob_ref(name, len(payload), "...")


def test_payloads_that_lie_in_files_are_compared_and_delivered(tmp_path: Any) -> None:
    files: dict[str, bytes] = {}

    def fetch(name: str) -> bytes:
        (tmp_path / name).write_bytes(files[name])
        return (tmp_path / name).read_bytes()  # the guard lets dwf itself read

    async def main(given: Any) -> Any:
        result = await act("a", given)
        return [result, await dwf.wait_signal("go"), dwf.once(lambda: 1 / 0, name="x")]

    first = msgspec.structs.replace(started(), input=in_file(b'"big"', files))
    opening = ev.ActivityScheduled(command=1, name="a", kind="function", input=in_file(b'{"args":["big"]}', files))
    events: list[ev.Event] = [
        first,
        opening,
        ev.ActivityCompleted(command=1, result=in_file(b'"result"', files)),
        ev.SignalWaitOpened(command=2, name="go"),
        ev.SignalReceived(name="go", payload=in_file(b'"signal"', files)),
        ev.SideEffectRecorded(command=3, name="x", result=in_file(b'"once"', files)),
    ]
    events = [msgspec.structs.replace(e, id=n + 1, ts=stamp(BEGIN_US + n)) for n, e in enumerate(events)]
    openings = [e for e in events if isinstance(e, Opening)]
    with contextlib.closing(Replay(program(main), first, openings, fetch)) as replay:
        assert replay.apply(events) == []
        assert bytes(replay.outcome.result) == encode(["result", "signal", "once"])  # type: ignore[union-attr]


def test_a_file_that_cannot_be_read_is_no_matter_of_the_scripts() -> None:
    def fetch(_: str) -> bytes:
        raise DiskError(operation="open", path="blob", why="no", errno=5)

    async def main() -> str:
        try:
            await dwf.wait_signal("go")
        except Exception:
            return "swallowed"
        return "got it"

    with contextlib.closing(Replay(program(main), started(), (), fetch)) as replay:
        replay.apply([started()])
        replay.live = True
        signal = ev.SignalReceived(id=3, ts=stamp(BEGIN_US), name="go", payload=blob_ref("0" * 64, 5, ""))
        with pytest.raises(DiskError):
            replay.apply([signal])
        with pytest.raises(DiskError):
            replay.apply([signal])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, 'ApprovalRequested "Drain?" (command 3)'),
        ({"by": ["@ops", "eve"], "need": 2}, 'ApprovalRequested "Drain?" by=@ops,eve need=2 (command 3)'),
        ({"show": Payload(b'{"n":1}')}, 'ApprovalRequested "Drain?" show={"n":1} (command 3)'),
    ],
)
def test_a_question_is_told_as_it_is_read(asked: dict[str, Any], told: str) -> None:
    question = ApprovalRequested(command=3, prompt="Drain?", fingerprint="a4d2616f", **asked)
    assert described(question) == told


def test_two_questions_that_differ_where_they_are_too_long_to_be_told_are_told_apart() -> None:
    one, other = (ApprovalRequested(command=3, prompt="x" * 200 + end, fingerprint=end * 9) for end in "ab")
    assert described(one) != described(other)


# -- what is asked for too early --------------------------------------------------------------------------------


async def both_at_once() -> None:
    await asyncio.gather(act("drain", "db-1"), act("restart"))


def test_a_command_that_is_right_and_comes_before_what_it_waited_for_is_a_divergence() -> None:
    """The command matches, for it is recorded; but it is recorded behind the end of the step before it.

    Fails when only what is new is looked for where the two part: there is nothing new.
    """
    error = diverges(both_at_once, history(two_steps, "drain"))
    assert error.recorded == "ActivityCompleted" and error.line == 3
    assert "restart" in error.asked and "already, which is recorded later, in line 4" in error.asked
    assert "test_matching.py:" in error.where

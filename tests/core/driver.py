"""A fake engine in memory: it ends steps, fires timers, delivers signals and records, in the order it is told.

`Fake(main)` drives a workflow by hand, event by event, as the real engine does. `prove()` then replays every prefix of
what was recorded: what a prefix lacks of its last activation must come out again, and the rest must go on the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from dwf.core import events as ev
from dwf.core.duration import SECOND, stamp, unstamp
from dwf.core.events import Event, Opening, Payload
from dwf.core.replay import Program, Replay
from dwf.core.runtime import ActivityCall, current
from dwf.core.state import RunState
from dwf.core.values import decode, encode

BEGIN_US = 1_790_000_000 * SECOND


async def act(name: str, *args: Any, result_type: Any = None, **options: Any) -> Any:
    """A durable step, without anything that could perform it."""
    given = Payload(encode({"args": args}))
    call = ActivityCall(name=name, kind="function", input=given, result_type=result_type, **options)
    return await current("act").activity(call)


def started(given: Any = None, run: str = "r", **fields: Any) -> ev.WorkflowStarted:
    return ev.WorkflowStarted(
        id=1,
        ts=stamp(BEGIN_US),
        run=run,
        nonce=fields.pop("nonce", "n"),
        workflow="main",
        script="script.py",
        code="c",
        input=Payload(encode(given)),
        **fields,
    )


def program(main: Callable[..., Any], **options: Any) -> Program:
    """Of a function with one parameter (the input), or none."""
    file = main.__code__.co_filename
    takes_input = bool(main.__code__.co_argcount)
    return Program(lambda raw: main(decode(raw)) if takes_input else main(), is_script=lambda f: f == file, **options)


class Fake:
    """One run. Everything it does is recorded in `events`, with ids and times, openings behind what they came of."""

    def __init__(self, main: Callable[..., Any] | Program, given: Any = None, **options: Any) -> None:
        self.program = main if isinstance(main, Program) else program(main, **options)
        self.events: list[Event] = []
        self.now_us = BEGIN_US
        self.error: BaseException | None = None
        self.first = started(given)
        self.replay = Replay(self.program, self.first)
        self.replay.live = True
        self._state = RunState()

    def __enter__(self) -> Fake:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.replay.close()

    # -- what happens -------------------------------------------------------------------------------------------

    def start(self) -> list[Opening]:
        return self._deliver(self.first)

    def complete(self, step: str | int, result: Any = None) -> list[Opening]:
        return self._deliver(ev.ActivityCompleted(command=self.command(step), result=Payload(encode(result))))

    def fail(self, step: str | int, message: str = "no", kind: str = "ValueError") -> list[Opening]:
        error = ev.ErrorInfo(type=kind, message=message)
        return self._deliver(ev.ActivityFailed(command=self.command(step), error=error))

    def end_cancelled(self, step: str | int) -> list[Opening]:
        return self._deliver(ev.ActivityCancelled(command=self.command(step), reason="asked to"))

    def fire(self, timer: int | None = None) -> list[Opening]:
        """Fire a timer, the earliest if none is named, at its time."""
        timers = self.state().timers
        chosen = timers[timer] if timer else min(timers.values(), key=lambda t: (t.started.fire_at, t.started.command))
        self.now_us = max(self.now_us, unstamp(chosen.started.fire_at))
        return self._deliver(ev.TimerFired(command=chosen.started.command))

    def signal(self, name: str, payload: Any = None) -> list[Opening]:
        return self._deliver(ev.SignalReceived(name=name, payload=Payload(encode(payload))))

    def cancel(self, reason: str = "") -> list[Opening]:
        return self._deliver(ev.CancelRequested(reason=reason))

    def deliver(self, event: Event) -> list[Opening]:
        return self._deliver(event)

    def note(self, event: Event) -> None:
        """Record news, which the script does not see."""
        self._record(event)

    def _deliver(self, event: Event) -> list[Opening]:
        recorded = self._record(event)
        try:
            fresh = self.replay.apply([recorded])
        except BaseException as error:
            self.error = error
            raise
        return [self._record(opening) for opening in fresh]  # type: ignore[misc]

    def _record(self, event: Event) -> Any:
        self.now_us += 1
        changed = {"id": len(self.events) + 1, "ts": stamp(self.now_us)} if event is not self.first else {}
        recorded = msgspec.structs.replace(event, **changed)
        self.events.append(recorded)
        self._state.apply(recorded)
        return recorded

    # -- what is there ------------------------------------------------------------------------------------------

    def command(self, step: str | int) -> int:
        """The number of an open step by its name."""
        if isinstance(step, int):
            return step
        return next(n for n, s in self.state().steps.items() if s.scheduled.name == step)

    def state(self) -> RunState:
        """The fold so far, kept up like the engine's."""
        return self._state

    @property
    def openings(self) -> list[Opening]:
        return [event for event in self.events if isinstance(event, Opening)]

    @property
    def asked(self) -> list[str]:
        """What the script asked for, in few words."""
        return [words(opening) for opening in self.openings]

    @property
    def outcome(self) -> Any:
        return self.replay.outcome

    @property
    def result(self) -> Any:
        assert isinstance(self.outcome, ev.WorkflowCompleted), (self.outcome, self.asked)
        return decode(self.outcome.result)

    # -- proofs -------------------------------------------------------------------------------------------------

    def prove(self, prefixes: Iterator[int] | range | None = None) -> Fake:
        """Replay every prefix, and go on from it."""
        for length in prefixes or range(1, len(self.events) + 1):
            check_prefix(self.program, self.events, length, self.outcome, self.error)
        return self


def blocked(main: Callable[..., Any], given: Any = None, **options: Any) -> BaseException:
    """What a workflow that cannot even begin is blocked by."""
    run = Fake(main, given, **options)
    with contextlib.closing(run.replay):
        try:
            run.start()
        except BaseException as error:
            return error
    raise AssertionError(f"it goes on: {run.asked}, {run.outcome}")


def words(opening: Opening) -> str:
    match opening:
        case ev.ActivityScheduled(name=name):
            return f"act {name}"
        case ev.ActivityCancelRequested(activity=number):
            return f"cancel {number}"
        case ev.TimerStarted(fire_at=fire_at):
            return f"timer {round((unstamp(fire_at) - BEGIN_US) / SECOND, 2):g}"
        case ev.TimerCancelled(timer=number):
            return f"untimer {number}"
        case ev.SignalWaitOpened(name=name, got=got):
            return f"wait {name}" + (f" got {got}" if got else "")
        case ev.SignalWaitClosed(wait=number):
            return f"unwait {number}"
        case ev.VersionMarkerRecorded(patch=patch):
            return f"patch {patch}"
        case ev.SideEffectRecorded(name=name):
            return f"once {name}"
        case ev.StatusChanged(text=text):
            return f"status {text}"
    return type(opening).__name__


def bare(event: Event) -> Event:
    """An event as it was asked for."""
    return msgspec.structs.replace(event, id=0, ts="")


def replayed(program: Program, events: list[Event], **options: Any) -> Replay:
    """A history given to a program at once, as after a crash."""
    openings = [event for event in events if isinstance(event, Opening)]
    replay = Replay(program, events[0], openings, **options)  # type: ignore[arg-type]
    replay.fresh = replay.apply(events)  # type: ignore[attr-defined]
    return replay


def check_prefix(
    program: Program, events: list[Event], length: int, outcome: Any, error: BaseException | None, go_on: bool = True
) -> Any:
    """A history cut behind `length` events gives what follows, from there to its end. The replay, closed."""
    prefix, rest = events[:length], events[length:]
    openings = [event for event in prefix if isinstance(event, Opening)]
    replay = Replay(program, events[0], openings)  # type: ignore[arg-type]
    fails_at = len(events) if error is not None else -1
    with contextlib.closing(replay):
        try:
            fresh = replay.apply(prefix)
            expected = following_openings(rest)
            assert [bare(o) for o in fresh] == [bare(o) for o in expected], (length, fresh, expected)
            assert not replay.commands.emissions
            replay.live = True
            at = length + len(expected)
            while go_on and at < len(events):
                event = events[at]
                at += 1
                if event.role is ev.Role.OPENING:
                    raise AssertionError(f"nobody asked for {event}")
                fresh = replay.apply([event])
                expected = following_openings(events[at:])
                assert [bare(o) for o in fresh] == [bare(o) for o in expected], (at, fresh, expected)
                at += len(expected)
        except BaseException as raised:
            if isinstance(raised, AssertionError):
                raise
            at_end = length == fails_at or at == fails_at
            assert at_end and error is not None and type(raised) is type(error), (length, raised, error)
            assert str(raised) == str(error)
            return replay
        if go_on:
            assert error is None, f"it no longer fails: {error}"
            assert replay.outcome == outcome
    return replay


def following_openings(events: list[Event]) -> list[Opening]:
    """The openings directly behind: what the activation before them asked for."""
    found = []
    for event in events:
        if not isinstance(event, Opening):
            break
        found.append(event)
    return found

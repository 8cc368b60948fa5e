"""The script's side of replay: what a runbook may ask for, numbered and matched against the history.

Every command goes through `_issue`: it gets the next number, must equal the recorded opening of that number if there
is one, and is new otherwise. An error in here is sticky (`void`): whatever the script's `except` does with it, the
activation counts for nothing and the run is blocked.
"""

from __future__ import annotations

import hashlib
import sys
import uuid
from asyncio import Future
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from dwf.core import guard
from dwf.core.duration import LAST_MICROS, SECOND, moment, stamp, unstamp
from dwf.core.events import (
    ActivityCancelRequested,
    ActivityScheduled,
    ApprovalRequested,
    ApprovalWithdrawn,
    Closing,
    Opening,
    Payload,
    SideEffectRecorded,
    SignalReceived,
    SignalWaitClosed,
    SignalWaitOpened,
    StatusChanged,
    TimerCancelled,
    TimerStarted,
    VersionMarkerRecorded,
)
from dwf.core.futures import ActivityFuture, ApprovalFuture, TimerFuture
from dwf.core.loop import Closed, Loop, WorkflowFuture, WorkflowTask
from dwf.core.outcome import place
from dwf.core.runtime import ActivityCall, Info, Question, Signal
from dwf.core.values import as_blob, canonical, encode, same
from dwf.errors import GuardError, NondeterminismError, ScriptBug, ScriptError, ValueRefused

if TYPE_CHECKING:
    from dwf.core.replay import Replay

DIVERGED = "put the script back, guard the change with dwf.patched(), or start a new run"
# While one of these is being handled, the script is not handling a failure but stumbling over itself.
_BUGS = (NameError, TypeError, AttributeError, ImportError, AssertionError, GuardError)


class Commands:
    """Implements the Runtime that authoring functions talk to, and the loop's TimerHost."""

    def __init__(self, replay: Replay, recorded: Sequence[Opening]) -> None:
        self._replay = replay
        self.recorded = list(recorded)
        self.issued = 0
        self.closing = False
        self.void: ScriptError | None = None
        self.emissions: list[tuple[int, str, str]] = []
        self._fresh: list[Opening] = []
        self._extra: list[tuple[Opening, str]] = []
        self._open: dict[int, Callable[[Closing], None]] = {}
        self.calls: dict[int, ActivityCall] = {}
        self._buffered: dict[str, deque[Signal]] = {}
        self._waiting: dict[str, deque[tuple[int, WorkflowFuture]]] = {}
        self._patches: set[str] = set()
        self._status = ""
        seed = f"{replay.started.run}:{replay.started.nonce}"
        self._random = Random(seed)
        self._uuids = Random(seed + ":uuid")

    # -- issuing ------------------------------------------------------------------------------------------------

    def _issue(self, opening: Opening) -> int:
        if self.closing:
            raise Closed
        if self.void is not None:
            raise self.void
        self._refuse_in_a_bug(opening)
        number = opening.command
        self.issued = number
        if number <= len(self.recorded):
            record = self.recorded[number - 1]
            if not _matches(record, opening):
                raise self._voided(self._diverged(record, opening))
            return number
        self._fresh.append(opening)
        if not self._replay.live:
            self._extra.append((opening, self.where()))
        return number

    def take_new(self) -> list[Opening]:
        """The openings asked for and not recorded yet, in order; they count as recorded from now on."""
        fresh, self._fresh = self._fresh, []
        self._extra.clear()
        return fresh

    def asked_at(self, number: int) -> tuple[Opening, str]:
        """A new command by number, with the line that asked for it."""
        return next((opening, where) for opening, where in self._extra if opening.command == number)

    def resolve(self, event: Closing) -> None:
        """End a command. Raises NondeterminismError if it is not open."""
        settle = self._open.pop(event.command, None)
        self.calls.pop(event.command, None)
        if settle is None:
            raise NondeterminismError(
                line=event.id,
                recorded=type(event).__name__,
                where="the script",
                asked=f"nothing: command {event.command} is not open",
                hint=DIVERGED,
            )
        settle(event)

    def open_numbers(self) -> Iterable[int]:
        """The commands that something outside could end."""
        return self._open.keys()

    def _voided(self, error: ScriptError) -> ScriptError:
        self.void = self.void or error
        return self.void

    def _diverged(self, record: Opening, asked: Opening) -> NondeterminismError:
        return NondeterminismError(
            line=record.id, recorded=described(record), where=self.where(), asked=described(asked), hint=DIVERGED
        )

    def _refuse_in_a_bug(self, opening: Opening) -> None:
        handled = sys.exc_info()[1]
        if handled is None or not isinstance(handled, _BUGS) or self._replay.program.bug_fails:
            return
        raise self._voided(
            ScriptBug(
                type=type(handled).__name__,
                reason=f"{handled}, and the script went on to {described(opening)} while handling it",
                where=self.where(),
                hint="a bug must not start a cleanup: catch dwf.ActivityError, not Exception",
            )
        )

    @property
    def loop(self) -> Loop:
        """The loop this run's futures belong to."""
        return self._replay.loop

    def read(self, payload: Payload) -> bytes:
        """The JSON of a payload, wherever it lies."""
        return self._replay.payload(payload)

    def refuse(self, error: ScriptError) -> None:
        """Make this activation void without raising into the script."""
        self._voided(error)

    # -- activities, timers, approvals --------------------------------------------------------------------------

    def activity(self, call: ActivityCall) -> Future[Any]:
        number = self._issue(
            ActivityScheduled(
                command=self.issued + 1,
                name=call.name,
                kind=call.kind,
                input=call.input,
                title=call.title,
                timeout=call.timeout_us,
                max_attempts=call.retry.max_attempts or 0,
            )
        )
        future = ActivityFuture(number, call, self)
        self._open[number] = future.settle
        self.calls[number] = call
        return future

    def request_activity_cancel(self, number: int) -> None:
        self._issue(ActivityCancelRequested(command=self.issued + 1, activity=number))

    def sleep_until_us(self, fire_at_us: int, purpose: str) -> Future[Any]:
        future = TimerFuture(self)
        if fire_at_us <= self.now_us():
            future.set_result(None)
            return future
        future.number = self._timer(fire_at_us, purpose, future.fire)
        return future

    def start_timer(self, fire_at_us: int, purpose: str, fire: Callable[[], None]) -> int:
        return self._timer(self._replay.first_us() + fire_at_us, purpose, fire)

    def _timer(self, fire_at_us: int, purpose: str, fire: Callable[[], None]) -> int:
        if fire_at_us > LAST_MICROS:
            raise self._voided(ValueRefused(what="a timer", why="it would fire after the year 9999"))
        number = self._issue(TimerStarted(command=self.issued + 1, fire_at=stamp(fire_at_us), purpose=purpose))
        self._open[number] = lambda _: fire()
        return number

    def cancel_timer(self, number: int) -> None:
        if number in self._open:
            self._issue(TimerCancelled(command=self.issued + 1, timer=number))
            del self._open[number]

    def approval(self, question: Question) -> Future[Any]:
        shown = {"prompt": question.prompt, "by": question.by, "need": question.need, "show": question.show}
        fingerprint = hashlib.sha256(canonical(encode(shown))).hexdigest()[:32]
        number = self._issue(
            ApprovalRequested(
                command=self.issued + 1,
                prompt=question.prompt,
                fingerprint=fingerprint,
                by=list(question.by),
                need=question.need,
                deadline=stamp(min(self.now_us() + question.timeout_us, LAST_MICROS)) if question.timeout_us else "",
                on_timeout=question.on_timeout,
                show=question.show,
            )
        )
        future = ApprovalFuture(number, question.prompt, self)
        self._open[number] = future.settle
        return future

    def withdraw_approval(self, number: int) -> None:
        self._issue(ApprovalWithdrawn(command=self.issued + 1, approval=number))
        self._open.pop(number, None)

    # -- signals ------------------------------------------------------------------------------------------------

    def deliver_signal(self, event: SignalReceived) -> None:
        """Give a signal to the first that waits for it, or keep it in order."""
        signal = Signal(event.name, event.payload, event.id)
        waiting = self._waiting.get(event.name)
        while waiting:
            number, future = waiting.popleft()
            if not future.done():
                self._open.pop(number, None)
                future.set_result(signal)
                return
        self._buffered.setdefault(event.name, deque()).append(signal)

    def take_signal(self, name: str) -> Signal | None:
        buffered = self._buffered.get(name)
        if not buffered:
            return None
        signal = buffered.popleft()
        self._issue(SignalWaitOpened(command=self.issued + 1, name=name, got=signal.event))
        return signal

    def put_signal_back(self, signal: Signal) -> None:
        self._buffered.setdefault(signal.name, deque()).appendleft(signal)

    def open_signal_wait(self, name: str) -> tuple[int, Future[Any]]:
        number = self._issue(SignalWaitOpened(command=self.issued + 1, name=name))
        future = self._replay.loop.create_future()
        self._open[number] = lambda _: None
        self._waiting.setdefault(name, deque()).append((number, future))
        return number, future

    def close_signal_wait(self, number: int) -> None:
        if self.closing:
            raise Closed
        self._open.pop(number, None)
        self._issue(SignalWaitClosed(command=self.issued + 1, wait=number))

    # -- markers, values, words ---------------------------------------------------------------------------------

    def once(self, name: str, compute: Callable[[], Any]) -> Payload:
        number = self.issued + 1
        if number <= len(self.recorded):
            record = self.recorded[number - 1]
            self._issue(SideEffectRecorded(command=number, name=name))
            assert isinstance(record, SideEffectRecorded)  # _issue has compared the types
            return Payload(self._replay.payload(record.result))
        with guard.suspended():
            result = Payload(encode(compute(), f"the value of dwf.once({name!r})"))
        self._issue(SideEffectRecorded(command=number, name=name, result=result))
        return result

    def patched(self, patch: str) -> bool:
        """Positional: a set of markers read with the file would make a loop take the new branch in its old rounds."""
        if patch in self._patches:
            return True
        if self.issued < len(self.recorded) and not self._next_is_marker(patch):
            return False
        self._issue(VersionMarkerRecorded(command=self.issued + 1, patch=patch))
        self._patches.add(patch)
        return True

    def deprecate_patch(self, patch: str) -> None:
        if self._next_is_marker(patch):
            self._issue(VersionMarkerRecorded(command=self.issued + 1, patch=patch))

    def _next_is_marker(self, patch: str) -> bool:
        if self.issued >= len(self.recorded):
            return False
        record = self.recorded[self.issued]
        return isinstance(record, VersionMarkerRecorded) and record.patch == patch

    def status(self, text: str) -> None:
        if text != self._status:
            self._issue(StatusChanged(command=self.issued + 1, text=text))
            self._status = text

    def say(self, level: int, logger: str, text: str) -> None:
        """Keep a line for later: it is emitted when the batch it belongs to is on disk, and never in replay."""
        if self._replay.live and not self.closing:
            self.emissions.append((level, logger, text))

    # -- time, chance, self -------------------------------------------------------------------------------------

    def now_us(self) -> int:
        return max(unstamp(self._replay.last.ts), self._replay.first_us())

    def seconds(self) -> float:
        return (self.now_us() - self._replay.first_us()) / SECOND

    def uuid4(self) -> uuid.UUID:
        return uuid.UUID(int=self._uuids.getrandbits(128), version=4)

    def random(self) -> Random:
        return self._random

    def info(self) -> Info:
        started = self._replay.started
        return Info(
            run=started.run,
            nonce=started.nonce,
            workflow=started.workflow,
            started_at=moment(self._replay.first_us()),
            history_length=self._replay.last.id,
            replaying=not self._replay.live,
            tags=dict(started.tags),
        )

    def where(self) -> str:
        """The innermost line of the script that is running now."""
        frame = sys._getframe(1)
        while frame is not None:
            if self._replay.program.is_script(frame.f_code.co_filename):
                return place(frame.f_code.co_filename, frame.f_lineno)
            frame = frame.f_back  # type: ignore[assignment]
        return "the script"

    def waiting_at(self, tasks: Sequence[WorkflowTask]) -> str:
        """Where the first of those tasks waits, in the script's own lines."""
        for task in tasks:
            lines = waiting_lines(task, self._replay.program.is_script)
            if lines:
                return lines[-1]
        return "the end of the script"


def waiting_lines(task: WorkflowTask, is_script: Callable[[str], bool]) -> list[str]:
    """The script's lines on which a task waits, outermost first: each as `file.py:12 in name`."""
    lines = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None) or _agen_frame(awaited)
        if frame is not None and is_script(frame.f_code.co_filename):
            lines.append(f"{place(frame.f_code.co_filename, frame.f_lineno)} in {frame.f_code.co_name}")
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return lines


def _agen_frame(awaited: Any) -> Any:
    return getattr(awaited, "ag_frame", None)


def described(opening: Opening) -> str:
    """A command in few words, for the two sides of a divergence: `ActivityScheduled drain function {...}`."""
    words = [type(opening).__name__]
    for name in opening.matched:
        value = getattr(opening, name)
        words.append(value if isinstance(value, str) else _short(value))
    return " ".join(words) + f" (command {opening.command})"


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, int) else bytes(value).decode("ascii", "replace")
    return text if len(text) <= 80 else text[:79] + "…"


def _matches(record: Opening, asked: Opening) -> bool:
    if type(record) is not type(asked):
        return False
    for name in record.matched:
        left, right = getattr(record, name), getattr(asked, name)
        if left != right and not (isinstance(left, Payload) and _same_payload(left, right)):
            return False
    return True


def _same_payload(record: Payload, asked: Payload) -> bool:
    reference = as_blob(record)
    if reference is not None:
        return hashlib.sha256(bytes(asked)).hexdigest() == reference.sha256
    return same(record, asked)

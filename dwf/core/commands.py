"""The script's side of replay: what a runbook may ask for, and what comes of each wish.

Each becomes a command by way of the ledger. What is open is kept here: by number, with what is to happen when its
closing event comes.
"""

from __future__ import annotations

import hashlib
import uuid
from asyncio import Future
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from dwf.core import guard
from dwf.core.callbacks import open_callback
from dwf.core.chance import Draws
from dwf.core.conditions import Conditions, Predicate
from dwf.core.deadlines import earliest
from dwf.core.duration import LAST_MICROS, SECOND, moment, stamp, unstamp
from dwf.core.events import (
    ActivityCancelRequested,
    ActivityScheduled,
    ApprovalRequested,
    ApprovalWithdrawn,
    Closing,
    Event,
    Opening,
    Payload,
    RunDegraded,
    SideEffectRecorded,
    SignalReceived,
    SignalsTaken,
    SignalWaitClosed,
    SignalWaitOpened,
    StatusChanged,
    TimerCancelled,
    TimerFired,
    TimerStarted,
    VersionMarkerRecorded,
)
from dwf.core.futures import ActivityFuture, ApprovalFuture, TimerFuture
from dwf.core.handlers import Handlers
from dwf.core.ledger import DIVERGED, Ledger
from dwf.core.length import LONG
from dwf.core.links import Links
from dwf.core.locks import Locks
from dwf.core.loop import Loop
from dwf.core.matching import waiting_lines as waiting_lines
from dwf.core.outcome import raised_at, said
from dwf.core.retry import AFTER_CRASH, USUAL
from dwf.core.runtime import ActivityCall, CallbackWish, ChildCall, Info, Outgoing, Question, Signal
from dwf.core.scopes import Scopes
from dwf.core.signals import Signals
from dwf.core.tags import Tagging
from dwf.core.values import canonical, encode, text
from dwf.errors import DwfError, InternalError, NondeterminismError, ScriptBug, ScriptError, ValueRefused

if TYPE_CHECKING:
    from dwf.core.replay import Replay


_WARNING = 30  # logging's number, without importing it
_MOST_NOTES = 20


class Commands(Ledger):
    """Implements the Runtime that authoring functions talk to, and the loop's TimerHost."""

    def __init__(self, replay: Replay, recorded: Sequence[Opening]) -> None:
        super().__init__(replay, recorded)
        self.emissions: list[tuple[int, str, str]] = []
        self.notes: list[str] = []
        self.degraded: list[str] = []
        self._open: dict[int, Callable[[Closing], None]] = {}
        self.calls: dict[int, ActivityCall] = {}
        self.signals = Signals()
        self.conditions = Conditions(self)
        self.handlers = Handlers(self)
        self.scopes = Scopes(self, replay)
        self.links = Links(self, replay.started)
        self.locks = Locks(self)
        self.tagging = Tagging(self, replay.started)
        self._patches: set[str] = set()
        self.old_branches: set[str] = set()
        self._status = ""
        self._clock: tuple[Event | None, int] = (None, 0)
        self._draws = Draws(replay.started)

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

    @property
    def loop(self) -> Loop:
        """The loop this run's futures belong to."""
        return self.replay.loop

    def read(self, payload: Payload) -> bytes:
        """The JSON of a payload, wherever it lies. A payload that cannot be read now is no matter of the script's."""
        try:
            return self.replay.payload(payload)
        except DwfError as error:
            raise self.voided(error) from None

    # -- activities, timers, approvals --------------------------------------------------------------------------

    def activity(self, call: ActivityCall) -> Future[Any]:
        own = self.replay.program.step_retry
        if own is not None and (call.retry is USUAL or call.retry is AFTER_CRASH):
            call = replace(call, retry=own)
        number = self.issue(
            ActivityScheduled(
                command=self.issued + 1,
                name=call.name,
                kind=call.kind,
                input=call.input,
                title=call.title,
                timeout=call.timeout_us,
                max_attempts=call.retry.max_attempts or 0,
                on_crash=call.on_crash,
                orphan=call.orphan,
                part_of=call.part_of,
                schedule_to_start=call.schedule_to_start_us,
                schedule_to_close=call.schedule_to_close_us,
                heartbeat=call.heartbeat_us,
                flow=call.flow,
            )
        )
        future = ActivityFuture(number, call, self)
        self._open[number] = future.settle
        self.calls[number] = call
        return future

    def request_activity_cancel(self, number: int, how: str) -> None:
        self.issue(ActivityCancelRequested(command=self.issued + 1, activity=number, how=how))

    def sleep_until_us(self, fire_at_us: int, purpose: str) -> Future[Any]:
        self.check_usable()
        future = TimerFuture(self)
        if fire_at_us <= self.now_us():
            # By way of the loop: a script that only ever sleeps for no time must come to its callback budget.
            self.loop.call_soon(future.fire)
        else:
            future.number = self._timer(fire_at_us, purpose, future.fire)
        return future

    def start_timer(self, fire_at_us: int, purpose: str, fire: Callable[[], None]) -> int:
        return self._timer(self.replay.first_us() + fire_at_us, purpose, fire)

    def _timer(self, fire_at_us: int, purpose: str, fire: Callable[[], None]) -> int:
        if fire_at_us > LAST_MICROS:
            raise self.voided(ValueRefused(what="a timer", why="it would fire after the year 9999"))
        purpose = text(purpose, "the purpose of a timer")
        number = self.issue(TimerStarted(command=self.issued + 1, fire_at=stamp(fire_at_us), purpose=purpose))

        def settle(event: Closing) -> None:
            if not isinstance(event, TimerFired):
                raise InternalError(what=f"a timer was ended by {type(event).__name__}")
            fire()

        self._open[number] = settle
        return number

    def cancel_timer(self, number: int) -> None:
        if number in self._open:
            self.issue(TimerCancelled(command=self.issued + 1, timer=number))
            del self._open[number]

    def approval(self, question: Question) -> Future[Any]:
        shown = {"prompt": question.prompt, "by": question.by, "need": question.need, "show": question.show}
        fingerprint = hashlib.sha256(canonical(encode(shown))).hexdigest()[:32]
        number = self.issue(
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
        self.issue(ApprovalWithdrawn(command=self.issued + 1, approval=number))
        self.wait_no_more(number)

    def wait_no_more(self, number: int) -> None:
        """A command is over because the script has said so."""
        self._open.pop(number, None)
        self.calls.pop(number, None)

    # -- signals ------------------------------------------------------------------------------------------------

    def deliver_signal(self, event: SignalReceived) -> None:
        """Give a signal to the first that waits for it, else to its handler; or keep it in order."""
        signal = Signal(event.name, event.payload, event.id)
        number = self.signals.offer(signal)
        if number is not None:
            del self._open[number]
        elif not self.handlers.take(signal):
            self.signals.keep(signal)

    def take_signal(self, name: str) -> Signal | None:
        self.check_usable()
        signal = self.signals.take(name)
        if signal is not None:
            self.issue(SignalWaitOpened(command=self.issued + 1, name=name, got=signal.event))
        return signal

    def take_signals(self, name: str) -> list[Signal]:
        self.check_usable()
        found = self.signals.take_all(name)
        if found:
            self.issue(SignalsTaken(command=self.issued + 1, name=name, got=[signal.event for signal in found]))
        return found

    def open_signal_wait(self, name: str) -> tuple[int, Future[Any]]:
        number = self.issue(SignalWaitOpened(command=self.issued + 1, name=name))
        future = self.loop.create_future()
        self._open[number] = _not_for_closings
        self.signals.wait(number, name, future)
        return number, future

    def close_signal_wait(self, number: int) -> None:
        self.check_usable()
        if self._open.pop(number, None) is not None:
            self.signals.forget(number)
            self.issue(SignalWaitClosed(command=self.issued + 1, wait=number))

    # -- conditions ---------------------------------------------------------------------------------------------

    def holds(self, predicate: Predicate) -> bool:
        return self.conditions.holds(predicate)

    def condition(self, predicate: Predicate) -> Future[Any]:
        return self.conditions.wait(predicate)

    def callback(self, wish: CallbackWish) -> Future[Any]:
        return open_callback(self, wish)

    # -- other runs ---------------------------------------------------------------------------------------------

    def child(self, call: ChildCall) -> tuple[str, Future[Any]]:
        return self.links.child(call)

    def message(self, wish: Outgoing) -> Future[Any]:
        return self.links.message(wish)

    def wait_for_closing(self, number: int, settle: Callable[[Closing], None]) -> None:
        """That command is open from now on; `settle` is given the event that ends it."""
        self._open[number] = settle

    def held_by(self) -> list[str]:
        """What is open that a run may not leave behind when it goes on in a new instance, in words."""
        return [call.words for call in self.calls.values()] + self.links.held() + self.locks.words()

    # -- markers, values, words ---------------------------------------------------------------------------------

    def once(self, name: str, compute: Callable[[], Any]) -> Payload:
        self.check_usable()
        number = self.issued + 1
        if number <= len(self.recorded):
            record = self.recorded[number - 1]
            self.issue(SideEffectRecorded(command=number, name=name))
            assert isinstance(record, SideEffectRecorded)  # _issue has compared the types
            return Payload(self.read(record.result))
        result = self._computed(text(name, "the name of dwf.once()"), compute)
        self.issue(SideEffectRecorded(command=number, name=name, result=result))
        return result

    def _computed(self, name: str, compute: Callable[[], Any]) -> Payload:
        """In a replay nothing is computed, so nothing of the run may be used or changed, and nothing raised."""
        drawn = self._draws.at(self.replay.last.id)
        chance = drawn.mark()
        self.loop.step_out()
        try:
            with guard.suspended():
                return Payload(encode(compute(), f"the value of dwf.once({name!r})"))
        except ScriptError as error:
            raise self.voided(error) from None
        except Exception as error:
            bug = ScriptBug(
                type=type(error).__name__,
                reason=f"{said(error)}, in dwf.once({name!r})",
                where=raised_at(error, self.is_script),
                hint="return what went wrong as a value, or use an activity, which may fail",
            )
            raise self.voided(bug) from error
        finally:
            self.loop.step_in()
            drawn.return_to(chance)

    def patched(self, patch: str) -> bool:
        """Positional: a set of markers read with the file would make a loop take the new branch in its old rounds."""
        self.check_usable()
        if patch in self._patches:
            return True
        if self.issued < len(self.recorded) and not self._next_is_marker(patch):
            self.old_branches.add(patch)
            return False
        self.issue(VersionMarkerRecorded(command=self.issued + 1, patch=text(patch, "the name of a patch")))
        self._patches.add(patch)
        return True

    def deprecate_patch(self, patch: str) -> None:
        if self._next_is_marker(patch):
            self.issue(VersionMarkerRecorded(command=self.issued + 1, patch=patch))

    def _next_is_marker(self, patch: str) -> bool:
        if self.issued >= len(self.recorded):
            return False
        record = self.recorded[self.issued]
        return isinstance(record, VersionMarkerRecorded) and record.patch == patch

    def status(self, line: str) -> None:
        if line != self._status:
            self.issue(StatusChanged(command=self.issued + 1, text=text(line, "a status")))
            self._status = line

    def degrade(self, why: str) -> None:
        """Something went wrong that does not end the run."""
        self.issue(RunDegraded(command=self.issued + 1, why=text(why, "the reason of dwf.degrade()")))
        if len(self.degraded) < _MOST_NOTES:
            self.degraded.append(why)

    def say(self, level: int, logger: str, line: str) -> None:
        """Keep a line for later: it is emitted when the batch it belongs to is on disk, and never in replay."""
        if self.replay.live and not self.closing:
            self.emissions.append((level, logger, line))

    def note(self, line: str) -> None:
        """Warn of something that is no error, and keep it for the record of the end."""
        self.say(_WARNING, "dwf", line)
        if not self.closing and len(self.notes) < _MOST_NOTES:
            self.notes.append(line)

    # -- time, chance, self -------------------------------------------------------------------------------------

    def now_us(self) -> int:
        last, now = self._clock
        if last is not self.replay.last:
            now = max(unstamp(self.replay.last.ts), self.replay.first_us())
            self._clock = self.replay.last, now
        return now

    def seconds(self) -> float:
        return (self.now_us() - self.replay.first_us()) / SECOND

    def uuid4(self) -> uuid.UUID:
        self.check_usable()
        return uuid.UUID(int=self._draws.at(self.replay.last.id).ids.getrandbits(128), version=4)

    def random(self) -> Random:
        self.check_usable()
        return self._draws.first.numbers

    def info(self) -> Info:
        started = self.replay.started
        deadline = earliest(started)
        return Info(
            run=started.run,
            nonce=started.nonce,
            workflow=started.workflow,
            started_at=moment(self.replay.first_us()),
            history_length=self.replay.last.id,
            weigh=self.replay.weigh,
            continue_as_new_suggested=self.replay.last.id >= LONG,
            replaying=not self.replay.live,
            headers=dict(started.headers),
            cancelled=self.replay.cancellation,
            deadline=moment(unstamp(deadline)) if deadline else None,
            **self.tagging.known(),
        )


def _not_for_closings(event: Closing) -> None:
    raise InternalError(what=f"a wait for a signal was ended by {type(event).__name__}")

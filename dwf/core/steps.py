"""Steps as a history tells of them: what is open of each, what became of those that are done. A part of the state.

The limits of a step (how long an attempt, all of them, the wait for the first may take) are counted from what is
recorded here; who enforces them is the engine's matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dwf.core import events as ev
from dwf.core.duration import LAST_MICROS, stamp, unstamp

START_TO_CLOSE, SCHEDULE_TO_START = "start-to-close", "schedule-to-start"
SCHEDULE_TO_CLOSE, HEARTBEAT = "schedule-to-close", "heartbeat"


ABANDON = "abandon"
# What a person may set of an open step, by the names of ActivityScheduled.
OPTIONS = ("timeout", "schedule_to_start", "schedule_to_close", "heartbeat", "max_attempts")


class Expiry(NamedTuple):
    """When a step that no attempt is made of has waited too long; `which` of its timeouts that is."""

    at: str
    which: str
    limit_us: int


@dataclass(slots=True)
class OpenStep:
    """An activity without an outcome. `started` is the attempt that is running, as far as the history knows."""

    scheduled: ev.ActivityScheduled
    command: int
    title: str
    attempts: int = 0
    started: ev.ActivityStarted | None = None
    retry_at: str = ""
    last_error: ev.ErrorInfo | None = None
    cancel_requested: bool = False
    unknown: ev.ActivityUnknown | None = None
    """Nobody saw the end of its last attempt, and nobody has said yet what is to become of it."""
    heartbeat: ev.Payload | None = None
    """the details of the last heartbeat of an attempt that has ended, as far as any had some"""
    overruled: ev.ActivityOverruled | None = None
    """what becomes of it when the attempt that runs has been ended"""
    paused: ev.ActivityPaused | None = None
    options: dict[str, int] = field(default_factory=dict)
    """what a person has set since it was scheduled"""
    spent: int = 0
    """so many of its attempts do not count any more"""

    @property
    def is_free(self) -> bool:
        """Whether an attempt of it may begin, as far as it is up to the step."""
        return self.started is None and not self.cancel_requested and self.paused is None

    @property
    def tries(self) -> int:
        """Its attempts, as far as they count."""
        return self.attempts - self.spent

    def option(self, name: str, declared: int) -> int:
        """What a person has set, else what is declared."""
        return self.options.get(name, declared)

    @property
    def max_attempts(self) -> int:
        return self.option("max_attempts", self.scheduled.max_attempts)

    @property
    def schedule_to_close(self) -> int:
        return self.option("schedule_to_close", self.scheduled.schedule_to_close)

    @property
    def schedule_to_start(self) -> int:
        return self.option("schedule_to_start", self.scheduled.schedule_to_start)

    @property
    def asks(self) -> bool:
        """Whether it waits for a person's word on whether it took effect."""
        return self.unknown is not None and (self.unknown.probed or self.scheduled.on_crash != "verify")

    @property
    def rests(self) -> bool:
        """Whether nothing of it runs, and nothing of it can begin now: it waits for its time or for a person."""
        return self.started is None and (bool(self.retry_at) or self.asks or self.paused is not None)

    @property
    def close_by(self) -> str:
        """When all its attempts, and the waits between them, must be over; "" if they may take for ever."""
        return self._after(self.schedule_to_close)

    @property
    def expiry(self) -> Expiry | None:
        """When time alone ends it as it is now. Not while an attempt runs, which ends itself; nor while it is asked
        whether it took effect: the answer to that does not come by itself.
        """
        to_close, to_start = self.schedule_to_close, self.schedule_to_start
        if not (to_close or to_start):
            return None
        if self.started is not None or self.unknown is not None or self.cancel_requested:
            return None
        found = [Expiry(self.close_by, SCHEDULE_TO_CLOSE, to_close)] if to_close else []
        if to_start and not self.attempts:
            found.append(Expiry(self._after(to_start), SCHEDULE_TO_START, to_start))
        return min(found, default=None)

    def _after(self, limit_us: int) -> str:
        return stamp(min(unstamp(self.scheduled.ts) + limit_us, LAST_MICROS)) if limit_us else ""

    @property
    def due_times(self) -> list[str]:
        """When time alone gives it something to do."""
        if self.started is not None:
            return []
        expiry = self.expiry
        again = [self.retry_at] if self.retry_at and self.paused is None else []
        return again + ([expiry.at] if expiry is not None else [])


def opened(event: ev.ActivityScheduled, head: ev.WorkflowStarted) -> OpenStep:
    """A step that was just asked for. In a run that goes step by step it is paused, as if whoever started it had."""
    step = OpenStep(event, event.command, event.title or event.name)
    if head.step_by_step:
        decided = ev.Decision(by=head.by, reason="it goes step by step")
        step.paused = ev.ActivityPaused(id=event.id, ts=event.ts, command=event.command, decided=decided)
    return step


class DoneStep(NamedTuple):
    """A step that ended: `outcome` is completed, failed, timed-out or cancelled; times are its last attempt's."""

    command: int
    title: str
    outcome: str
    began: str
    ended: str
    attempts: int

    @property
    def took_us(self) -> int:
        return unstamp(self.ended) - unstamp(self.began)


# -- changes, one per event that matters ------------------------------------------------------------------------


def _attempt(state: Any, event: ev.ActivityStarted) -> None:
    step = state.steps[event.command]
    step.started, step.attempts, step.retry_at, step.unknown = event, event.attempt, "", None


def _attempt_failed(state: Any, event: ev.ActivityAttemptFailed) -> None:
    step = state.steps[event.command]
    step.started, step.retry_at, step.last_error, step.unknown = None, event.retry_at, event.error, None
    step.overruled = None
    step.spent += event.spared
    _remember(step, event)


def _unknown(state: Any, event: ev.ActivityUnknown) -> None:
    step = state.steps[event.command]
    step.started, step.retry_at, step.unknown = None, "", event
    _remember(step, event)


def _remember(step: OpenStep, event: ev.ActivityAttemptFailed | ev.ActivityUnknown) -> None:
    if bytes(event.heartbeat) != bytes(ev.NOTHING):
        step.heartbeat = event.heartbeat


def _retry_asked(state: Any, event: ev.ActivityRetryRequested) -> None:
    state.heed(event.decided)
    step = state.steps[event.command]
    step.retry_at, step.unknown = "", None


def _overrule(state: Any, event: ev.ActivityOverruled) -> None:
    state.heed(event.decided)
    state.steps[event.command].overruled = event


def _pause(state: Any, event: ev.ActivityPaused) -> None:
    state.heed(event.decided)
    state.steps[event.command].paused = event


def _unpause(state: Any, event: ev.ActivityUnpaused) -> None:
    state.heed(event.decided)
    state.steps[event.command].paused = None


def _reset(state: Any, event: ev.ActivityReset) -> None:
    """The attempt that runs is the first of the new count."""
    state.heed(event.decided)
    step = state.steps[event.command]
    step.spent = step.attempts - (step.started is not None)
    step.retry_at, step.unknown = "", None
    if not event.keep:
        step.heartbeat = None


def _set(state: Any, event: ev.ActivityOptionsChanged) -> None:
    state.heed(event.decided)
    state.steps[event.command].options |= event.options


def _ask_cancel(state: Any, event: ev.ActivityCancelRequested) -> None:
    if event.activity in state.steps and event.how != ABANDON:
        state.steps[event.activity].cancel_requested = True


ENDS: dict[type[ev.Event], str] = {
    ev.ActivityCompleted: "completed",
    ev.ActivityFailed: "failed",
    ev.ActivityTimedOut: "timed-out",
    ev.ActivityCancelled: "cancelled",
}

# What a state has to do with these events.
STEPS: dict[type[ev.Event], Callable[[Any, Any], None]] = {
    ev.ActivityStarted: _attempt,
    ev.ActivityAttemptFailed: _attempt_failed,
    ev.ActivityUnknown: _unknown,
    ev.ActivityRetryRequested: _retry_asked,
    ev.ActivityOverruled: _overrule,
    ev.ActivityPaused: _pause,
    ev.ActivityUnpaused: _unpause,
    ev.ActivityReset: _reset,
    ev.ActivityOptionsChanged: _set,
    ev.ActivityCancelRequested: _ask_cancel,
}

"""What of a run is open, and what is done: the parts that a state is made of. They change as events come in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from dwf.core import events as ev
from dwf.core.duration import unstamp


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

    @property
    def asks(self) -> bool:
        """Whether it waits for a person's word on whether it took effect."""
        return self.unknown is not None and (self.unknown.probed or self.scheduled.on_crash != "verify")

    @property
    def rests(self) -> bool:
        """Whether nothing of it runs, and nothing of it can begin now: it waits for its time or for a person."""
        return self.started is None and (bool(self.retry_at) or self.asks)


@dataclass(slots=True)
class OpenTimer:
    """`fire_at`: as the script has asked for it, or as a person has said since."""

    started: ev.TimerStarted
    fire_at: str


@dataclass(slots=True)
class OpenSignalWait:
    opened: ev.SignalWaitOpened


@dataclass(slots=True)
class OpenApproval:
    requested: ev.ApprovalRequested
    answers: list[ev.ApprovalAnswered] = field(default_factory=list)

    def given(self, answer: str) -> list[ev.ApprovalAnswered]:
        return [a for a in self.answers if a.answer == answer]


@dataclass(slots=True)
class OpenChild:
    requested: ev.ChildWorkflowRequested


@dataclass(slots=True)
class OpenMessage:
    """A message to another run that is not known to have been sent."""

    requested: ev.MessageRequested


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

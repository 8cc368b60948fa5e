"""What of a run is open, and what is done: the parts that a state is made of. They change as events come in."""

from __future__ import annotations

from dataclasses import dataclass, field

from dwf.core import events as ev


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

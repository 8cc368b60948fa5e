"""Closing events: how a command ended. Each resolves the future of the command that it names."""

# ruff: noqa: RUF012 - msgspec gives each record its own copy of a mutable default

from __future__ import annotations

from dwf.core.events.base import Event, Role
from dwf.core.parts import NOTHING, Decision, ErrorInfo, Output, Payload


class Closing(Event, frozen=True, kw_only=True):
    """`command` is the number of the opening that this ends; `ended` is when, if no dwf was there to record it."""

    role = Role.CLOSING
    command: int
    ended: str = ""


class ActivityCompleted(Closing, frozen=True, kw_only=True):
    """`decided`: by a person, or (without one) by the step's probe after a crash; else the step itself said so.

    `skipped`: the person says that it was not done.
    """

    result: Payload = NOTHING
    output: Output | None = None
    decided: Decision | None = None
    skipped: bool = False


class ActivityFailed(Closing, frozen=True, kw_only=True):
    error: ErrorInfo
    attempts: int = 1
    output: Output | None = None
    decided: Decision | None = None


class ActivityTimedOut(Closing, frozen=True, kw_only=True):
    """`which` of its timeouts was passed, and how long that is; `error`: how the last attempt had failed before.

    `heartbeat`: the details of its last.
    """

    timeout: int
    attempts: int = 1
    output: Output | None = None
    which: str = "start-to-close"
    error: ErrorInfo | None = None
    heartbeat: Payload = NOTHING


NEVER_BEGAN = "cancelled before it began"
"""The reason of an ActivityCancelled of which nothing can have taken effect."""


class ActivityCancelled(Closing, frozen=True, kw_only=True):
    """The step is over because it was asked to end; `result` is set if it had completed after all."""

    reason: str = ""
    result: Payload = NOTHING
    output: Output | None = None


class TimerFired(Closing, frozen=True, kw_only=True):
    """Its time had come, or (`decided`) a person let it fire, whatever its time."""

    decided: Decision | None = None


class CallbackCompleted(Closing, frozen=True, kw_only=True):
    """`decided`: who sent it, and in which letter."""

    result: Payload = NOTHING
    decided: Decision | None = None


class CallbackFailed(Closing, frozen=True, kw_only=True):
    error: ErrorInfo
    decided: Decision | None = None


class CallbackTimedOut(Closing, frozen=True, kw_only=True):
    """`heartbeat`: it was silent for too long; else its deadline has passed."""

    heartbeat: bool = False


class ApprovalResolved(Closing, frozen=True, kw_only=True):
    """`outcome` is approved, rejected or failed; `answers` are ids of ApprovalAnswered; `timed_out`: by deadline."""

    outcome: str
    answers: list[int] = []
    by: list[str] = []
    comment: str = ""
    timed_out: bool = False


class ChildWorkflowCompleted(Closing, frozen=True, kw_only=True):
    result: Payload = NOTHING


class ChildWorkflowFailed(Closing, frozen=True, kw_only=True):
    """`outcome`: failed, terminated, timed-out, moved; or refused: the id was in use, and no child was made."""

    error: ErrorInfo
    outcome: str = "failed"


class ChildWorkflowCancelled(Closing, frozen=True, kw_only=True):
    reason: str = ""


class MessageSent(Closing, frozen=True, kw_only=True):
    """It is in the other run's mailbox, on disk. `message` is its id there."""

    message: str = ""


class MessageRefused(Closing, frozen=True, kw_only=True):
    """There is no such run, or nothing reaches it any more."""

    why: str

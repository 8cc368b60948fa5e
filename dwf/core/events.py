"""The events of a history: facts, past tense, one JSON object a line.

Every event has one of five roles, and replay is five short rules instead of a branch per kind:

    LIFECYCLE  begins or ends the run
    OPENING    a command of the script, recorded; must equal the script's next command; wakes nobody
    CLOSING    ends one command; resolves its future
    INPUT      comes from outside; delivered to the script
    PROGRESS   news for people and for the engine; the script never sees it

An opening event without `id` and `ts` *is* the command: what the script asks for, before it is on disk.
Names and fields are persisted: they are added to, never renamed or renumbered. An absent field has its default.
"""

# ruff: noqa: RUF012 - msgspec gives each record its own copy of a mutable default

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from dwf.core.parts import NOTHING as NOTHING
from dwf.core.parts import Decision as Decision
from dwf.core.parts import Divergence, Part
from dwf.core.parts import ErrorInfo as ErrorInfo
from dwf.core.parts import Identity as Identity
from dwf.core.parts import Output as Output
from dwf.core.parts import Payload as Payload

FORMAT = 1


class Role(Enum):
    LIFECYCLE = "lifecycle"
    OPENING = "opening"
    CLOSING = "closing"
    INPUT = "input"
    PROGRESS = "progress"


class Event(Part, frozen=True, kw_only=True, tag_field="type"):
    """`id` is the line number from 1; `ts` is UTC, RFC 3339, six decimals. Zero and empty: not recorded yet."""

    role: ClassVar[Role]
    id: int = 0
    ts: str = ""


# -- lifecycle --------------------------------------------------------------------------------------------------


class Lifecycle(Event, frozen=True, kw_only=True):
    role = Role.LIFECYCLE


class WorkflowStarted(Lifecycle, frozen=True, kw_only=True):
    """Line 1. `run` is the workflow id, `nonce` names this instance of it, `input` the keyword arguments.

    `start_at` (a timestamp) delays the first activation. `code` is the content hash of the stored script; with
    `code_mode` "live" the file at `script` is loaded anew on each tick instead.
    """

    format: int = FORMAT
    run: str
    nonce: str
    workflow: str
    script: str
    code: str
    code_mode: str = "pinned"
    code_owner: int = -1
    input: Payload = NOTHING
    by: Identity | None = None
    reason: str = ""
    tags: dict[str, str] = {}
    start_at: str = ""
    python: str = ""
    dwf: str = ""


class _Ended(Lifecycle, frozen=True, kw_only=True):
    """`open` lists the commands that had no outcome yet; `notes` what else a reader should know."""

    open: list[int] = []
    notes: list[str] = []


class WorkflowCompleted(_Ended, frozen=True, kw_only=True):
    result: Payload = NOTHING


class WorkflowFailed(_Ended, frozen=True, kw_only=True):
    error: ErrorInfo


class _EndedByPerson(_Ended, frozen=True, kw_only=True):
    by: Identity | None = None
    reason: str = ""
    message: str = ""


class WorkflowCancelled(_EndedByPerson, frozen=True, kw_only=True):
    """`message` is the letter of `by` that cancelled it before it had begun; else CancelRequested has these."""


class WorkflowTerminated(_EndedByPerson, frozen=True, kw_only=True):
    """Ended by a person, without cleanup."""


# -- openings: what the script asks for -------------------------------------------------------------------------


class Opening(Event, frozen=True, kw_only=True):
    """`command` numbers the script's commands from 1. `matched` are the fields replay compares."""

    role = Role.OPENING
    matched: ClassVar[tuple[str, ...]] = ()
    command: int = 0


class ActivityScheduled(Opening, frozen=True, kw_only=True):
    """`kind` is function, step or shell. `input` is {"args": [...], ...}; it is the argument fingerprint."""

    matched = ("name", "kind", "input")
    name: str
    kind: str
    input: Payload = NOTHING
    title: str = ""
    timeout: int = 0
    """start-to-close of one attempt, microseconds; 0 is none"""
    max_attempts: int = 0
    """0 is without limit"""
    on_crash: str = ""
    """what follows an attempt whose end nobody saw: "" it is made again, "verify" a probe is asked, "ask" a person"""
    orphan: str = ""
    """what a killed dwf left running of it is ended (""), or waited for ("wait")"""


class ActivityCancelRequested(Opening, frozen=True, kw_only=True):
    matched = ("activity",)
    activity: int
    """the command number of the activity"""


class TimerStarted(Opening, frozen=True, kw_only=True):
    matched = ("fire_at",)
    fire_at: str
    purpose: str = "sleep"


class TimerCancelled(Opening, frozen=True, kw_only=True):
    matched = ("timer",)
    timer: int


class SignalWaitOpened(Opening, frozen=True, kw_only=True):
    """The script waits for a signal, or takes one that was there already (`got` is that event's id)."""

    matched = ("name", "got")
    name: str
    got: int = 0


class SignalWaitClosed(Opening, frozen=True, kw_only=True):
    """It stopped waiting without having got one (timeout or cancellation)."""

    matched = ("wait",)
    wait: int


class ApprovalRequested(Opening, frozen=True, kw_only=True):
    """`fingerprint` covers what was shown; an answer names it, so a changed question voids an earlier yes."""

    matched = ("fingerprint",)
    prompt: str
    fingerprint: str
    by: list[str] = []
    need: int = 1
    deadline: str = ""
    on_timeout: str = "reject"
    show: Payload = NOTHING


class ApprovalWithdrawn(Opening, frozen=True, kw_only=True):
    """The script stopped waiting for the answer (it was cancelled)."""

    matched = ("approval",)
    approval: int


class VersionMarkerRecorded(Opening, frozen=True, kw_only=True):
    matched = ("patch",)
    patch: str


class SideEffectRecorded(Opening, frozen=True, kw_only=True):
    """`dwf.once`: a value computed inline, kept for good. Only the name is compared; the value is the record's."""

    matched = ("name",)
    name: str
    result: Payload = NOTHING


class StatusChanged(Opening, frozen=True, kw_only=True):
    matched = ("text",)
    text: str


# -- closings: how a command ended ------------------------------------------------------------------------------


class Closing(Event, frozen=True, kw_only=True):
    """`command` is the number of the opening that this ends."""

    role = Role.CLOSING
    command: int


class ActivityCompleted(Closing, frozen=True, kw_only=True):
    """`decided`: by a person, or (without one) by the step's probe after a crash; else the step itself said so."""

    result: Payload = NOTHING
    output: Output | None = None
    decided: Decision | None = None


class ActivityFailed(Closing, frozen=True, kw_only=True):
    error: ErrorInfo
    attempts: int = 1
    output: Output | None = None
    decided: Decision | None = None


class ActivityTimedOut(Closing, frozen=True, kw_only=True):
    timeout: int
    attempts: int = 1
    output: Output | None = None


class ActivityCancelled(Closing, frozen=True, kw_only=True):
    """The step is over because it was asked to end; `result` is set if it had completed after all."""

    reason: str = ""
    result: Payload = NOTHING
    output: Output | None = None


class TimerFired(Closing, frozen=True, kw_only=True):
    pass


class ApprovalResolved(Closing, frozen=True, kw_only=True):
    """`outcome` is approved, rejected or failed; `answers` are ids of ApprovalAnswered; `timed_out`: by deadline."""

    outcome: str
    answers: list[int] = []
    by: list[str] = []
    comment: str = ""
    timed_out: bool = False


# -- inputs: from outside ---------------------------------------------------------------------------------------


class Input(Event, frozen=True, kw_only=True):
    """`message` is the id of the mailbox message it came in; a second import of that id is dropped."""

    role = Role.INPUT
    message: str = ""
    by: Identity | None = None
    reason: str = ""
    posted: str = ""


class SignalReceived(Input, frozen=True, kw_only=True):
    name: str
    payload: Payload = NOTHING
    key: str = ""


class CancelRequested(Input, frozen=True, kw_only=True):
    """Only the first is delivered; later ones are recorded."""


# -- progress: news ---------------------------------------------------------------------------------------------


class Progress(Event, frozen=True, kw_only=True):
    role = Role.PROGRESS


class ActivityStarted(Progress, frozen=True, kw_only=True):
    """On disk before the attempt acts. `pid`, its start time (clock ticks) and the boot name one process for good."""

    command: int
    attempt: int
    pid: int = 0
    pid_start: int = 0
    boot: str = ""


class ActivityAttemptFailed(Progress, frozen=True, kw_only=True):
    """An attempt ended badly and another will be made at `retry_at`."""

    command: int
    attempt: int
    error: ErrorInfo
    retry_at: str
    output: Output | None = None


class ActivityUnknown(Progress, frozen=True, kw_only=True):
    """Nobody saw how an attempt ended, so it may have taken effect. `probed`: its probe could not tell either."""

    command: int
    attempt: int
    why: str
    probed: bool = False


class ActivityRetryRequested(Progress, frozen=True, kw_only=True):
    """A person has decided that a step is to be tried again, now."""

    command: int
    decided: Decision


class ApprovalAnswered(Progress, frozen=True, kw_only=True):
    """One person's answer. Enough of them resolve the approval."""

    command: int
    answer: str
    message: str = ""
    by: Identity | None = None
    comment: str = ""
    posted: str = ""


class RunBlocked(Progress, frozen=True, kw_only=True):
    """The script cannot go on until somebody acts. Recorded once per distinct reason."""

    code: str
    message: str
    hint: str = ""
    where: str = ""
    code_hash: str = ""
    diverged: Divergence | None = None


class RunUnblocked(Progress, frozen=True, kw_only=True):
    """`decided`: a person let it go on; else it goes on because what was in its way is gone."""

    decided: Decision | None = None


class CodeUpgraded(Progress, frozen=True, kw_only=True):
    code: str
    script: str
    code_owner: int = -1
    by: Identity | None = None
    reason: str = ""


class HistoryRepaired(Progress, frozen=True, kw_only=True):
    """A torn tail was cut off, or what a person has given up (`decided`); the bytes are kept beside the histories."""

    dropped_bytes: int
    sha256: str
    decided: Decision | None = None


class _Moving(Progress, frozen=True, kw_only=True):
    by: Identity | None = None
    reason: str = ""
    machine: str = ""  # derived from the machine's id


class RunMoved(_Moving, frozen=True, kw_only=True):
    """This copy goes no further; the run goes on where the bundle `to` is taken up."""

    to: str = ""


class RunAdopted(_Moving, frozen=True, kw_only=True):
    """A moved run goes on in this copy."""


class RunImported(_Moving, frozen=True, kw_only=True):
    """This is a copy for inspection: nothing is done with it."""


TERMINAL = (WorkflowCompleted, WorkflowFailed, WorkflowCancelled, WorkflowTerminated)


def _leaves(cls: type[Event]) -> list[type[Event]]:
    return [leaf for child in cls.__subclasses__() for leaf in _leaves(child)] or [cls]


EVENT_TYPES: dict[str, type[Event]] = {
    leaf.__name__: leaf for family in (Lifecycle, Opening, Closing, Input, Progress) for leaf in _leaves(family)
}

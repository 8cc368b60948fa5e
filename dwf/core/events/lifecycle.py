"""Lifecycle events: they begin or end the run."""

# ruff: noqa: RUF012 - msgspec gives each record its own copy of a mutable default

from __future__ import annotations

from dwf.core.events.base import FORMAT, Event, Role
from dwf.core.events.inputs import SignalReceived
from dwf.core.parts import NOTHING, CodeFrom, ErrorInfo, Follows, Identity, Origin, Payload, RetryPolicy


class Lifecycle(Event, frozen=True, kw_only=True):
    role = Role.LIFECYCLE


class WorkflowStarted(Lifecycle, frozen=True, kw_only=True):
    """Line 1. `run` is the workflow id, `nonce` names this instance of it, `input` the keyword arguments.

    `start_at` (a timestamp) delays the first activation. `code` is the content hash of the stored script; with
    `code_mode` "live" the file at `script` is loaded anew on each tick instead; with "auto" the run is moved to what
    that file holds, if it fits; with "next" that is done between two instances. `code_owner` (uid) and
    `code_permissions` (mode bits, octal) are those of the file at the start: the stored copy says nothing of them.
    """

    format: int = FORMAT
    run: str
    nonce: str
    workflow: str
    script: str
    code: str
    code_mode: str = "pinned"
    code_owner: int = -1
    code_permissions: str = ""
    code_from: CodeFrom = CodeFrom.FILE
    input: Payload = NOTHING
    by: Identity | None = None
    reason: str = ""
    tags: dict[str, Payload] = {}
    """what it is found by: text, numbers, true and false; a time as {"time": RFC 3339}"""
    memo: dict[str, Payload] = {}
    """notes that go with it"""
    headers: dict[str, str] = {}
    """words that go along to its steps, its children and its next instances"""
    start_at: str = ""
    step_by_step: bool = False
    """whether each step of it waits, before its first attempt, until a person lets it begin"""
    priority: int = 0
    """who is higher is driven first, and has the next free lane; so are its children"""
    deadline: str = ""
    """when the run has to be over, all its instances together"""
    run_deadline: str = ""
    """when this instance of it has to be over, which is `run_timeout` (microseconds) after its beginning"""
    run_timeout: int = 0
    on_deadline: str = ""
    """what becomes of it then: "cancel", or "terminate" """
    parent: Origin | None = None
    """the run that this one is a child of"""
    link: int = 1
    """which instance of the workflow id this is"""
    continues: str = ""
    """the nonce of the instance that this one continues"""
    retry: RetryPolicy | None = None
    """how it is tried again after a failure; else as its workflow says"""
    attempt: int = 1
    """which attempt of the workflow this is, if it is tried again after a failure"""
    chain: str = ""
    """the nonce of the first instance of a chain that continues as new; empty in that one itself"""
    signals: list[SignalReceived] = []
    """signals that came before it began: the n-th is known as line -n"""
    keyed: list[SignalReceived] = []
    """signals of earlier instances whose keys still count"""
    python: str = ""
    dwf: str = ""
    packages: dict[str, str] = {}
    """the installed distributions that the script imports, with their versions"""
    follows: Follows | None = None
    """the run that this one goes back to"""
    carried: Payload = NOTHING
    """of items that were done there: name of the step, fingerprint of its input, result"""


class _Ended(Lifecycle, frozen=True, kw_only=True):
    """`open` lists the commands that had no outcome yet; `notes` what else a reader should know.

    `undone`, `not_undone`: what was taken back of what it did, and what was to be and was not, with the reason.
    """

    open: list[int] = []
    notes: list[str] = []
    tags: dict[str, Payload] | None = None
    """as they are at the end, if that is not as they were in line 1: who reads no more than both ends has to know"""
    undone: list[str] = []
    not_undone: list[str] = []


class WorkflowCompleted(_Ended, frozen=True, kw_only=True):
    """`degraded`: what went wrong on the way (the first of it); the run's status is then `degraded`."""

    result: Payload = NOTHING
    degraded: list[str] = []


class WorkflowContinuedAsNew(_Ended, frozen=True, kw_only=True):
    """The run goes on in its next instance, which is made of what stands here, by whoever finds it missing.

    `nonce`: of that instance. `signals`: what came and was not taken yet. `keyed`: taken ones whose key still counts.
    `error`: this instance has failed, and the next one is another attempt with the same input, not before `start_at`.
    """

    nonce: str = ""
    workflow: str = ""
    input: Payload = NOTHING
    signals: list[SignalReceived] = []
    keyed: list[SignalReceived] = []
    error: ErrorInfo | None = None
    start_at: str = ""


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


class WorkflowTimedOut(_Ended, frozen=True, kw_only=True):
    """It had not come to its end by `due`, and was cancelled, or ended without cleanup (`on_deadline`)."""

    due: str
    reason: str = ""

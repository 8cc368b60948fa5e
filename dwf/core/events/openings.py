"""Opening events: what the script asks for. Without `id` and `ts`, each *is* the command, before it is on disk."""

# ruff: noqa: RUF012 - msgspec gives each record its own copy of a mutable default

from __future__ import annotations

from typing import ClassVar

from dwf.core.events.base import Event, Role
from dwf.core.parts import NOTHING, ErrorInfo, Flow, Payload, RetryPolicy


class Opening(Event, frozen=True, kw_only=True):
    """`command` numbers the script's commands from 1. `matched` are the fields replay compares."""

    role = Role.OPENING
    matched: ClassVar[tuple[str, ...]] = ()
    command: int = 0


class StepCall(Opening, frozen=True, kw_only=True):
    """A step with all that is to be known for making it. `kind` is function, step or shell.

    `input` is {"args": [...], ...}; it is the argument fingerprint.
    """

    matched = ("name", "kind", "input")
    name: str
    kind: str
    input: Payload = NOTHING
    title: str = ""
    timeout: int = 0
    """start-to-close of one attempt, microseconds; 0 is none"""
    max_attempts: int = 0
    """0 is without limit"""


class ActivityScheduled(StepCall, frozen=True, kw_only=True):
    """It is to be made now."""

    on_crash: str = ""
    """what follows an attempt whose end nobody saw: "" it is made again, "verify" a probe is asked, "ask" a person"""
    orphan: str = ""
    """what a killed dwf left running of it is ended (""), waited for ("wait"), or taken up as it goes on ("adopt")"""
    part_of: int = 0
    """the number of the command that it belongs to: an UndoRecorded that it carries out, a FanOutStarted"""
    schedule_to_start: int = 0
    """how long it may wait for its first attempt, microseconds; 0 is for ever"""
    schedule_to_close: int = 0
    """how long all attempts and the waits between them may take, microseconds; 0 is for ever"""
    heartbeat: int = 0
    """how long an attempt may be silent, microseconds; 0 is for ever"""
    flow: Flow | None = None
    """what it shares with steps of other runs"""


class ActivityCancelRequested(Opening, frozen=True, kw_only=True):
    matched = ("activity", "how")
    activity: int
    """the command number of the activity"""
    how: str = ""
    """"": the script waits for its end; "try": it goes on at once; "abandon": and the step is not even asked"""


class TimerStarted(Opening, frozen=True, kw_only=True):
    matched = ("fire_at",)
    fire_at: str
    purpose: str = "sleep"


class TimerCancelled(Opening, frozen=True, kw_only=True):
    matched = ("timer",)
    timer: int


class SignalWaitOpened(Opening, frozen=True, kw_only=True):
    """The script waits for a signal, or takes one that was there already.

    `got` is that event's id, or -n for the n-th that came with the start.
    """

    matched = ("name", "got")
    name: str
    got: int = 0


class SignalsTaken(Opening, frozen=True, kw_only=True):
    """The script takes all signals of a name that are there: `got` are their events' ids, oldest first."""

    matched = ("name", "got")
    name: str
    got: list[int] = []


class SignalWaitClosed(Opening, frozen=True, kw_only=True):
    """It stopped waiting without having got one (timeout or cancellation)."""

    matched = ("wait",)
    wait: int


class UpdateCompleted(Opening, frozen=True, kw_only=True):
    """The handler of an update has come to its end. `update` is the id of UpdateAccepted."""

    matched = ("update",)
    update: int
    result: Payload = NOTHING


class UpdateFailed(Opening, frozen=True, kw_only=True):
    matched = ("update",)
    update: int
    error: ErrorInfo


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


class CallbackOpened(Opening, frozen=True, kw_only=True):
    """The script waits for somebody outside, who has a token. Only the token's hash is recorded.

    `deadline`: within which it must end; `heartbeat`: microseconds of silence that are allowed, 0 for any.
    """

    matched = ("name",)
    name: str
    deadline: str = ""
    heartbeat: int = 0
    token_hash: str = ""


class CallbackWithdrawn(Opening, frozen=True, kw_only=True):
    """The script stopped waiting for it (it was cancelled)."""

    matched = ("callback",)
    callback: int


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


class TagsChanged(Opening, frozen=True, kw_only=True):
    """`tags` that are other than they were: by name, as WorkflowStarted has them; null is taken away."""

    matched = ("tags",)
    tags: dict[str, Payload] = {}


class MemoChanged(Opening, frozen=True, kw_only=True):
    """The same for what is noted of the run."""

    matched = ("memo",)
    memo: dict[str, Payload] = {}


class RunDegraded(Opening, frozen=True, kw_only=True):
    """Something went wrong that does not end the run: if it completes, then as `degraded`."""

    matched = ("why",)
    why: str


class ChildWorkflowRequested(Opening, frozen=True, kw_only=True):
    """Another run is to be made, named `run`; its line 1 names this command. A workflow of the same script.

    `on_close`: what becomes of it when this run ends before it: terminate, cancel or abandon.
    """

    matched = ("workflow", "run", "input")
    workflow: str
    run: str
    input: Payload = NOTHING
    on_close: str = "terminate"
    tags: dict[str, Payload] = {}
    deadline: int = 0
    """how long it may take, as WorkflowStarted has it, in microseconds; 0 is without a limit"""
    run_timeout: int = 0
    on_deadline: str = ""
    retry: RetryPolicy | None = None
    """as WorkflowStarted has it"""


class MessageRequested(Opening, frozen=True, kw_only=True):
    """A message to another run: a `signal`, or the wish that it ends (`cancel`). `child`: its command, if it is one."""

    matched = ("kind", "run", "name", "payload", "child")
    kind: str
    run: str
    name: str = ""
    payload: Payload = NOTHING
    child: int = 0
    reason: str = ""

"""The one interface between what runbooks import and what runs them.

Authoring functions find their runtime on the running event loop. The local engine's is core/replay.py; a test
environment or another engine gives its own, and the same unchanged script runs there.
"""

from __future__ import annotations

import asyncio
import uuid
from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Protocol

import msgspec

from dwf.core import guard
from dwf.core.deadlines import UNLIMITED, Limits
from dwf.core.events import NOTHING, Flow, Payload, RetryPolicy
from dwf.core.retry import NEVER, Retry
from dwf.core.values import decode
from dwf.errors import ActivityError, NotInWorkflow, ValueRefused


class ActivityCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a step, as the script asks for it. `input` is on disk; the rest comes from the script each time.

    kind: function, step or shell. perform: from the recorded input to the result, None for a shell step (a coroutine
    function if `is_async`). target: (module, qualified name) by which another process finds the function, if it can.
    timeout_us: start-to-close of one attempt, 0 for none. isolate: run it in a process of its own; None: the engine's
    choice. grace_us: how long it may take to end after it was asked to. on_crash, orphan: as ActivityScheduled has
    them. probe: what is called to learn whether an attempt took effect whose end nobody saw; its result is
    {"done": bool, "result": any}, or a shell step's: exit code 0 is done, 1 is not. instead: the step is not critical,
    and this gives the value that the script gets when it has failed. part_of: as ActivityScheduled has it.
    schedule_to_start_us, schedule_to_close_us: how long it may wait for its first attempt, and how long all attempts
    and the waits between them may take; heartbeat_us: how long an attempt may be silent; 0 is for ever.
    cancellation: as ActivityCancelRequested has it. flow: what it shares with steps of other runs.
    """

    name: str
    kind: str
    input: Payload = NOTHING
    perform: Callable[[bytes], Any] | None = None
    is_async: bool = False
    target: tuple[str, str] | None = None
    result_type: Any = None
    title: str = ""
    retry: Retry = NEVER
    timeout_us: int = 0
    isolate: bool | None = None
    grace_us: int = 5_000_000
    on_crash: str = ""
    orphan: str = ""
    probe: ActivityCall | None = None
    instead: Callable[[ActivityError], Any] | None = None
    part_of: int = 0
    schedule_to_start_us: int = 0
    schedule_to_close_us: int = 0
    heartbeat_us: int = 0
    cancellation: str = ""
    flow: Flow | None = None

    def misfit(self, result: bytes) -> str | None:
        """Why a result, as it would be stored, does not fit what the script has annotated; None if it does."""
        try:
            decode(result, self.result_type)
        except ValueRefused as error:
            return str(error.facts["why"])
        return None

    @property
    def words(self) -> str:
        """It, as one speaks of it: `step drain`."""
        return f"{'callback' if self.kind == 'callback' else 'step'} {self.title or self.name}"


@dataclass(frozen=True, slots=True)
class Question:
    """An approval, as the script asks for it."""

    prompt: str
    by: tuple[str, ...] = ()
    need: int = 1
    timeout_us: int = 0
    on_timeout: str = "reject"
    show: Payload = field(default_factory=lambda: NOTHING)


@dataclass(frozen=True, slots=True)
class ChildCall:
    """A child run, as the script asks for it. `run`: its id, made of this run's if empty.

    on_close: what becomes of it when this run ends first: terminate, cancel, abandon. cancel: what cancelling the code
    that awaits it does: "wait" asks it to end and waits for that, "requested" until it has been asked, "try" only asks,
    "abandon" leaves it alone.
    """

    workflow: str
    input: Payload
    run: str = ""
    on_close: str = "terminate"
    cancel: str = "wait"
    result_type: Any = None
    limits: Limits = UNLIMITED
    tags: dict[str, Payload] = field(default_factory=dict)
    retry: RetryPolicy | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to another run, as the script asks for it. `child`: the command of the child that it is for, or 0."""

    kind: str
    run: str
    name: str = ""
    payload: Payload = field(default_factory=lambda: NOTHING)
    child: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ContinueAsNew:
    """What a workflow returns to go on in a new instance, with these arguments."""

    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallbackWish:
    """A callback, as the script asks for it. timeout_us, heartbeat_us: 0 for none."""

    name: str
    result_type: Any = None
    timeout_us: int = 0
    heartbeat_us: int = 0


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal as it was received."""

    name: str
    payload: Payload
    event: int


@dataclass(frozen=True, slots=True)
class Handler:
    """A function of the script that is called with what comes from outside.

    read: from the JSON that came to what it is given; raises ValueRefused if that does not fit. call: the function with
    that. function: as the script has it, for those who ask about its parameters. check: what is asked, with the same,
    before the function is called for the first time; it raises if it must not be, or says False.
    """

    name: str
    read: Callable[[bytes], Any]
    call: Callable[[Any], Any]
    function: Callable[..., Any]
    check: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Cancellation:
    """That the run was asked to end: why, by whom (a user's name), and when."""

    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Info:
    """What a script may know of its own run. Only `replaying` differs between live and replay: never branch on it.

    deadline: when it has to be over, None if it may take for ever.
    """

    run: str
    nonce: str
    workflow: str
    started_at: datetime
    history_length: int
    continue_as_new_suggested: bool
    replaying: bool
    tags: dict[str, str | int | float | bool | datetime] = field(default_factory=dict)
    memo: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    cancelled: Cancellation | None = None
    deadline: datetime | None = None
    weigh: Callable[[int], int] = field(default=lambda _: 0, repr=False, compare=False)

    @property
    def history_bytes(self) -> int:
        """How large the history is so far. Reads it: for a loop that asks now and then whether to continue as new."""
        with guard.suspended():
            return self.weigh(self.history_length)


class Scopes(Protocol):
    """What a saga or a fan-out asks for; core/scopes.py says more."""

    undone: list[str]
    not_undone: list[str]

    def record_undo(self, call: ActivityCall, of: str) -> int: ...

    def settle_undo(self, number: int, due: bool) -> None: ...

    def compensate(self, why: str, undos: Sequence[int]) -> None: ...

    def undo(self, number: int, call: ActivityCall) -> Future[Any]: ...

    def carried(self, number: int, call: ActivityCall) -> Any: ...

    def fan_out(self, name: str, items: int, tolerated: int, stages: Sequence[int]) -> int: ...

    def is_failure(self, error: BaseException) -> bool: ...


class HandlerHost(Protocol):
    """Where a runbook registers its handlers, and asks which of them are at work."""

    def on_signal(self, handler: Handler) -> None: ...

    def on_unknown_signal(self, handler: Handler) -> None: ...

    def on_query(self, handler: Handler) -> None: ...

    def on_update(self, handler: Handler) -> None: ...

    def at_work(self, apart_from: object = None) -> list[str]: ...


class TagHost(Protocol):
    """Where a runbook changes what its run is found by, and what is noted of it; core/tags.py says more."""

    def tag(self, changes: Mapping[str, Payload]) -> None: ...

    def memo(self, changes: Mapping[str, Payload]) -> None: ...


class LockHost(Protocol):
    """Where a runbook asks for locks between runs; core/locks.py says more."""

    def request(self, name: str, slots: int) -> Future[Any]: ...

    def release(self, number: int) -> None: ...


class Runtime(Protocol):
    """What a runbook may ask for. Every method that issues a command may raise NondeterminismError."""

    @property
    def handlers(self) -> HandlerHost: ...

    @property
    def scopes(self) -> Scopes: ...

    @property
    def tagging(self) -> TagHost: ...

    @property
    def locks(self) -> LockHost: ...

    def activity(self, call: ActivityCall) -> Future[Any]: ...

    def sleep_until_us(self, fire_at_us: int, purpose: str) -> Future[Any]: ...

    def read(self, payload: Payload) -> bytes: ...

    def take_signal(self, name: str) -> Signal | None: ...

    def open_signal_wait(self, name: str) -> tuple[int, Future[Any]]: ...

    def close_signal_wait(self, number: int) -> None: ...

    def take_signals(self, name: str) -> list[Signal]: ...

    def callback(self, wish: CallbackWish) -> Future[Any]: ...

    def holds(self, predicate: Callable[[], Any]) -> bool: ...

    def condition(self, predicate: Callable[[], Any]) -> Future[Any]: ...

    def approval(self, question: Question) -> Future[Any]: ...

    def child(self, call: ChildCall) -> tuple[str, Future[Any]]: ...

    def message(self, wish: Outgoing) -> Future[Any]: ...

    def once(self, name: str, compute: Callable[[], Any]) -> Payload: ...

    def patched(self, patch: str) -> bool: ...

    def deprecate_patch(self, patch: str) -> None: ...

    def status(self, line: str) -> None: ...

    def degrade(self, why: str) -> None: ...

    def say(self, level: int, logger: str, line: str) -> None: ...

    def note(self, line: str) -> None: ...

    def now_us(self) -> int: ...

    def uuid4(self) -> uuid.UUID: ...

    def random(self) -> Random: ...

    def info(self) -> Info: ...


def current(what: str) -> Runtime:
    """The runtime of the workflow that is running in this thread. Raises NotInWorkflow."""
    loop = asyncio._get_running_loop()
    runtime: Runtime | None = getattr(loop, "dwf_runtime", None)
    if runtime is None:
        raise NotInWorkflow(what=what, hint="await it in a function decorated with @dwf.workflow")
    return runtime


def in_workflow() -> bool:
    """Whether workflow code is running in this thread."""
    return getattr(asyncio._get_running_loop(), "dwf_runtime", None) is not None


def names(values: Sequence[str] | str) -> tuple[str, ...]:
    """One name or several, as a tuple."""
    return (values,) if isinstance(values, str) else tuple(values)

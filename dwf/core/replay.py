"""Replay: the only way a script runs. `apply(events)` goes in, commands (openings without an id) come out.

The one rule: the command sequence is a function of the delivered events only (their content, time and id) and of the
ordinal of the script's own commands. The engine uses the same `apply` for the first event of a new run and for the
ten-thousandth after a reboot; there is no live path.

    LIFECYCLE  start the script
    OPENING    must have been asked for by now, and equal it (matched when the script asks)
    CLOSING    resolve the future of that command, run until blocked
    INPUT      deliver, run until blocked
    PROGRESS   not for the script

Events are delivered one at a time in file order. An instance is used by one thread, is never reused after an error,
and must be closed, not dropped.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, TypeVar

from msgspec.structs import replace

from dwf.core import guard, sync, waiting
from dwf.core.commands import Commands
from dwf.core.duration import moment, unstamp
from dwf.core.events import (
    EVENT_TYPES,
    CancelRequested,
    Closing,
    DeadlinePassed,
    Event,
    Identity,
    Lifecycle,
    Opening,
    Role,
    RunBlocked,
    RunUnblocked,
    SignalReceived,
    UpdateAccepted,
    WorkflowStarted,
)
from dwf.core.ledger import DIVERGED
from dwf.core.loop import Loop
from dwf.core.matching import described
from dwf.core.outcome import bug_of, outcome_of, raised_at
from dwf.core.retry import Retry
from dwf.core.runtime import Cancellation
from dwf.core.tasks import WorkflowTask
from dwf.core.values import as_blob, encode
from dwf.errors import DwfError, InternalError, NondeterminismError, WaitsForNothing

Fetch = Callable[[str], bytes]
T = TypeVar("T")


class Program:
    """What replay needs of a script: how to start it, and which frames are its own."""

    def __init__(
        self,
        main: Callable[[Any], Any],
        *,
        is_script: Callable[[str], bool],
        failure_types: tuple[type[BaseException], ...] = (),
        bug_fails: bool = False,
        step_retry: Retry | None = None,
        retry: Retry | None = None,
        bind: Callable[[dict[str, Any]], bytes] | None = None,
    ) -> None:
        self.main = main
        """From the recorded input to the coroutine."""
        self.is_script = is_script
        self.failure_types = failure_types
        self.bug_fails = bug_fails
        self.step_retry = step_retry
        """How steps are retried that do not say it themselves."""
        self.retry = retry
        """How the run itself is tried again when it has failed."""
        self.bind = bind or encode
        """From arguments by name to the input of a new instance. Raises UsageError, ValueRefused."""


class Replay:
    """One run of a script in memory.

    recorded: every opening of the whole file, also those behind the events given to `apply`.
    fetch: gives the bytes of a payload that lies in a blob. weigh: how many bytes the first so many events take.
    """

    def __init__(
        self,
        program: Program,
        started: WorkflowStarted,
        recorded: Sequence[Opening] = (),
        fetch: Fetch | None = None,
        weigh: Callable[[int], int] | None = None,
    ) -> None:
        self.program = program
        self.started = started
        self.live = False
        self.bug: BaseException | None = None
        """Why this object is of no use any more."""
        self.outcome: Lifecycle | None = None
        """The terminal event, once the script is done."""
        self.cancelled = False
        self.closed = False
        self.cancel_reason = ""
        self.timed_out: DeadlinePassed | None = None
        """What has cancelled it, if that was its deadline."""
        self.cancellation: Cancellation | None = None
        self.last: Event = started
        self._first_us = max(unstamp(started.ts), unstamp(started.start_at) if started.start_at else 0)
        self.commands = Commands(self, recorded)
        self.loop = Loop(self.commands, self.commands)
        self._fetch = fetch
        self.weigh = weigh or (lambda _: 0)
        guard.install()
        self._inside = _Inside(self)
        self._main: WorkflowTask | None = None
        self._seen = 0
        self._behind = False

    def apply(self, events: Iterable[Event]) -> list[Opening]:
        """Deliver events in order; the openings that are new are returned, to be recorded in that order.

        Before an event is given that is not read from the file, the openings that came of the one before it must have
        been taken: live, it is one event a call. Raises a ScriptError when the script cannot go on; after an error of
        any kind this object is of no use.
        """
        if self.bug is not None:
            raise self.bug
        if self.closed:
            raise InternalError(what="a closed replay was given an event")
        with self._inside:
            try:
                for event in events:
                    role = event.role
                    if role is Role.OPENING:
                        self._seen += 1
                    elif role is Role.PROGRESS:
                        self._note(event)
                    else:
                        self._apply(event)
                if self._seen > self.commands.issued:
                    self._refuse_divergence(self.last)
            except BaseException as error:
                self.bug = self.commands.void or error
                if self.bug is not error:
                    raise self.bug from None
                raise
        fresh = self.commands.take_new()
        self._seen += len(fresh)
        return fresh

    def _apply(self, event: Event) -> None:
        deliver = _DELIVER.get(type(event))
        if deliver is None:
            return
        issued = self.commands.issued
        if self._seen > issued or (self._seen < issued and not self._behind):
            self._refuse_divergence(event)
        if self.outcome is not None:
            self._refuse_after_the_end(event)
            return
        self.last = event
        deliver(self, event)
        if self._main is not None:
            self._run(self._main)

    def _note(self, event: Event) -> None:
        # While a run is blocked, facts are recorded that its script has not reacted to yet.
        if isinstance(event, RunBlocked):
            self._behind = True
        elif isinstance(event, RunUnblocked):
            self._behind = False

    def _run(self, main: WorkflowTask) -> None:
        conditions = self.commands.conditions
        conditions.begin()
        self._until_blocked(main)
        while conditions.waiting and not main.done() and conditions.wake():
            self._until_blocked(main)
        if main.done():
            self.outcome = outcome_of(main, self)
            if self.commands.issued < len(self.commands.recorded):
                self._refuse_missing()

    def _until_blocked(self, main: WorkflowTask) -> None:
        self.loop.run_until_blocked(main)
        if self.commands.void is not None:
            raise self.commands.void
        if self.loop.callback_error is not None:
            raise bug_of(self.loop.callback_error, self.program.is_script)

    # -- deliveries ---------------------------------------------------------------------------------------------

    def _start(self, event: WorkflowStarted) -> None:
        for number, signal in enumerate(event.signals, 1):
            self.commands.deliver_signal(replace(signal, id=-number))
        try:
            coroutine = self.program.main(self.payload(event.input))
            self._main = self.loop.create_task(coroutine)
        except DwfError:
            raise
        except Exception as error:
            raise bug_of(error, self.program.is_script) from error

    def _resolve(self, event: Closing) -> None:
        self.commands.resolve(event)

    def _expire(self, event: DeadlinePassed) -> None:
        if self.started.on_deadline != "terminate" and not self.cancelled:
            self.timed_out = event
            self._cancel(event)

    def _cancel(self, event: CancelRequested | DeadlinePassed) -> None:
        if self.cancelled:
            return  # a second one would kill the cleanup of the first
        self.cancelled = True
        self.cancel_reason = event.reason
        by = "its deadline" if isinstance(event, DeadlinePassed) else _name_of(event.by)
        self.cancellation = Cancellation(event.reason, by, moment(unstamp(event.ts)))
        if self._main is not None:
            self._main.cancel(event.reason or "cancelled")

    def _signal(self, event: SignalReceived) -> None:
        self.commands.deliver_signal(event)

    def _update(self, event: UpdateAccepted) -> None:
        self.commands.handlers.accept(event)

    # -- answers ------------------------------------------------------------------------------------------------

    def check_not_stuck(self) -> None:
        """Raises WaitsForNothing if the script is not done and nothing that could wake it is open."""
        if self.outcome is not None or self._main is None or self.commands.handlers.can_wake:
            return
        if not self.commands.open_numbers():
            raise WaitsForNothing(
                where=self.commands.waiting_at(self.loop.live_tasks()),
                hint="something must be awaited that can happen: a step, a timer, a signal, an approval",
            )

    def look(self, reader: str, call: Callable[[], T]) -> T:
        """Call something of the script that may only look, and is no part of any replay. Raises what it raises.

        reader: what it is, in words. If it asks for anything to be done, this object is of no use any more.
        """
        if self.bug is not None:
            raise self.bug
        with _Inside(self), self.commands.only_looking(reader):
            try:
                return call()
            finally:
                self.bug = self.commands.void
                if self.bug is not None:
                    raise self.bug

    def stack(self) -> list[WorkflowTask]:
        """The tasks that are not done, first born first."""
        return self.loop.live_tasks()

    def payload(self, raw: Any) -> bytes:
        """The JSON of a payload, fetched if it lies in a blob."""
        reference = as_blob(raw)
        if reference is None:
            return bytes(raw)
        if self._fetch is None:
            raise InternalError(what="a payload lies in a blob and nobody can fetch it")
        with guard.suspended():
            return self._fetch(reference.sha256)

    def first_us(self) -> int:
        """When the script began by its own clock."""
        return self._first_us

    def close(self) -> None:
        """End whatever still waits, without a trace: no commands, no output. Safe to call twice.

        Plain code in a `finally:` of the script runs; whatever it asks of dwf or asyncio raises.
        """
        if self.closed:
            return
        self.closed = True
        self.commands.closing = True
        with self._inside:
            self.loop.close_all()
            if self.loop.doors.knocked:
                # What was refused may have left coroutines that nobody awaits (the rest of a gather). Collected here
                # they go without a word; later Python would complain of them, in the middle of somebody else's work.
                gc.collect()

    # -- divergence ---------------------------------------------------------------------------------------------

    def _refuse_divergence(self, event: Event) -> None:
        if self._seen > self.commands.issued:
            self._refuse_missing()
        if self.live:
            raise InternalError(what="events were delivered without the openings between them")
        asked, where = self.commands.asked_at(self._seen + 1)
        raise NondeterminismError(line=event.id, recorded=type(event).__name__, where=where, asked=asked, hint=DIVERGED)

    def _refuse_missing(self) -> NoReturn:
        missing = self.commands.recorded[self.commands.issued]
        raise NondeterminismError(
            line=missing.id, recorded=described(missing), where=self._stopped_at(), asked=_NOTHING, hint=DIVERGED
        )

    def _stopped_at(self) -> str:
        """Where the script waits, or what it was left by, or its end."""
        if self.outcome is None or self._main is None:
            return self.commands.waiting_at(self.loop.live_tasks())
        error = None if self._main.cancelled() else self._main.exception()
        return "the end of the script" if error is None else raised_at(error, self.program.is_script)

    def _refuse_after_the_end(self, event: Event) -> None:
        """A step that ended after the script did was not waited for in vain: the recorded script was still there."""
        if event.role is Role.CLOSING and not self._behind:
            raise NondeterminismError(
                line=event.id, recorded=type(event).__name__, where=self._stopped_at(), asked=_NOTHING, hint=DIVERGED
            )


def _name_of(by: Identity | None) -> str:
    if by is None:
        return "somebody"
    return by.login or f"uid {by.uid}"


class _Collector:
    """Python's garbage collector, off while any thread is inside a workflow. It is one for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._was_on = False

    def hold(self) -> None:
        with self._lock:
            if not self._inside:
                self._was_on = gc.isenabled()
                gc.disable()
            self._inside += 1

    def let_go(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._was_on:
                gc.enable()


class _Inside:
    """Workflow code may run in the block, and no other code. A class, not a generator: entered for every event."""

    __slots__ = ("_before", "_guarded", "_replay")

    def __init__(self, replay: Replay) -> None:
        self._replay = replay

    def __enter__(self) -> None:
        # Off while the loop is set: a collected coroutine of another run would otherwise issue its commands here.
        _COLLECTOR.hold()
        self._replay.commands.handled_outside = sys.exc_info()[1]
        try:
            self._before = self._replay.loop.enter()
        except BaseException:
            _COLLECTOR.let_go()
            raise
        self._guarded = guard.enter(self._replay.commands)

    def __exit__(self, *_: object) -> None:
        guard.leave(self._guarded)
        self._replay.loop.leave(self._before)
        _COLLECTOR.let_go()


_NOTHING = "for nothing more"
_COLLECTOR = _Collector()
_DELIVER: dict[type[Event], Callable[..., None]] = {
    WorkflowStarted: Replay._start,
    **dict.fromkeys((kind for kind in EVENT_TYPES.values() if kind.role is Role.CLOSING), Replay._resolve),
    SignalReceived: Replay._signal,
    UpdateAccepted: Replay._update,
    CancelRequested: Replay._cancel,
    DeadlinePassed: Replay._expire,
}

# What runs in workflows must be the same whatever Python runs it, from the first script on.
waiting.install()
sync.install()

"""Handlers: functions of the script that are called with what comes from outside, while its main function goes on.

A script registers them itself, each time it is replayed, so there is no command for that. A signal that a handler takes
is a command (it says which), and so is the end of an update. A plain function is called at once, when the event is
delivered; a coroutine function goes on as a task of the run. What fails in a handler is noted in the record of the end
(an update's failure is its answer); a bug blocks the run, as anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dwf.core.events import (
    HandlersRegistered,
    Payload,
    SignalWaitOpened,
    UpdateAccepted,
    UpdateCompleted,
    UpdateFailed,
)
from dwf.core.ledger import DIVERGED
from dwf.core.outcome import bug_of, error_info, is_failure, said
from dwf.core.runtime import Handler, Signal
from dwf.core.tasks import WorkflowTask
from dwf.core.values import encode
from dwf.errors import NondeterminismError, ValueRefused

if TYPE_CHECKING:
    from dwf.core.commands import Commands


class Handlers:
    """The handlers of one run, and which of them are at work."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self.signals: dict[str, Handler] = {}
        self.unknown: Handler | None = None
        self.queries: dict[str, Handler] = {}
        self.updates: dict[str, Handler] = {}
        self.changed = False
        """Set when one is registered; whoever tells people of it takes it back."""
        self._tasks: list[tuple[str, WorkflowTask]] = []

    # -- registering --------------------------------------------------------------------------------------------

    def on_signal(self, handler: Handler) -> None:
        """From now on signals of that name go to it, and first those that were kept."""
        self._registering()
        self.signals[handler.name] = handler
        while (signal := self._commands.signals.take(handler.name)) is not None:
            self._hand(handler, signal)

    def on_unknown_signal(self, handler: Handler) -> None:
        """From now on it gets every signal that has no handler, and for whose name the script has never waited."""
        self._registering()
        self.unknown = handler
        for signal in self._commands.signals.take_unknown(self.signals):
            self._hand(handler, signal)

    def on_query(self, handler: Handler) -> None:
        """From now on it answers that question. It is never called in a replay, and so it may only look."""
        self._registering()
        self.queries[handler.name] = handler

    def on_update(self, handler: Handler) -> None:
        """From now on updates of that name go to it."""
        self._registering()
        self.updates[handler.name] = handler

    def _registering(self) -> None:
        self._commands.check_usable()
        self.changed = True

    @property
    def can_wake(self) -> bool:
        """Whether something that is sent to the run would be taken by a handler."""
        return bool(self.signals or self.updates) or self.unknown is not None

    def registered(self) -> HandlersRegistered:
        """What a run takes, as the history tells it to people."""
        return HandlersRegistered(
            signals=sorted(self.signals),
            any_signal=self.unknown is not None,
            updates=sorted(self.updates),
            queries=sorted(self.queries),
        )

    # -- signals ------------------------------------------------------------------------------------------------

    def take(self, signal: Signal) -> bool:
        """Give a signal for which nobody waits to its handler; False if it has none."""
        handler = self.signals.get(signal.name)
        if handler is None and not self._commands.signals.is_known(signal.name):
            handler = self.unknown
        if handler is None:
            return False
        self._hand(handler, signal)
        return True

    def _hand(self, handler: Handler, signal: Signal) -> None:
        commands = self._commands
        commands.issue(SignalWaitOpened(command=commands.issued + 1, name=signal.name, got=signal.event))
        label = f"signal {signal.name}"
        try:
            data = commands.read(signal.payload)
            value = handler.read(data) if handler is not self.unknown else (signal.name, handler.read(data))
        except ValueRefused as error:
            commands.note(f"{label} (line {signal.event}) was passed over: {error.facts['why']}")
            return
        self._begin(label, handler, value, lambda _: None, lambda error: self._note(label, error))

    # -- updates ------------------------------------------------------------------------------------------------

    def accept(self, event: UpdateAccepted) -> None:
        """Call the handler of an update. Raises NondeterminismError if the script has none any more."""
        commands = self._commands
        handler = self.updates.get(event.name)
        if handler is None:
            raise NondeterminismError(
                line=event.id,
                recorded=f"{type(event).__name__} {event.name}",
                where="the script",
                asked="for no update of that name",
                hint=DIVERGED,
            )
        value = handler.read(commands.read(event.input))
        self._begin(
            f"update {event.name}",
            handler,
            value,
            lambda result: self._complete(event, result),
            lambda error: self._fail(event, error),
        )

    def _complete(self, event: UpdateAccepted, result: Any) -> None:
        commands = self._commands
        try:
            answer = Payload(encode(result, f"the result of the update {event.name}"))
        except ValueRefused as error:
            raise commands.voided(error) from None
        commands.issue(UpdateCompleted(command=commands.issued + 1, update=event.id, result=answer))

    def _fail(self, event: UpdateAccepted, error: BaseException) -> None:
        commands = self._commands
        told = error_info(error, commands.is_script)
        commands.issue(UpdateFailed(command=commands.issued + 1, update=event.id, error=told))

    # -- calling ------------------------------------------------------------------------------------------------

    def _begin(
        self,
        label: str,
        handler: Handler,
        value: Any,
        done: Callable[[Any], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Call a handler; what it comes to is given to `done` or `failed`, now or when its task ends."""
        try:
            result = handler.call(value)
        except (Exception, SystemExit, KeyboardInterrupt) as raised:
            error: BaseException = raised
        else:
            if hasattr(result, "__await__"):
                task = self._commands.loop.create_task(self._see(result, done, failed), name=label)
                self._tasks = [one for one in self._tasks if not one[1].done()]
                self._tasks.append((label, task))
            else:
                done(result)
            return
        self._end_badly(error, failed)

    async def _see(self, work: Any, done: Callable[[Any], None], failed: Callable[[BaseException], None]) -> None:
        try:
            result = await work
        except (Exception, asyncio.CancelledError, SystemExit, KeyboardInterrupt) as raised:
            error: BaseException = raised
        else:
            done(result)
            return
        self._end_badly(error, failed)

    def _end_badly(self, error: BaseException, failed: Callable[[BaseException], None]) -> None:
        commands = self._commands
        if isinstance(error, asyncio.CancelledError) or is_failure(error, commands.replay):
            failed(error)
        else:
            commands.voided(bug_of(error, commands.is_script))

    def _note(self, label: str, error: BaseException) -> None:
        why = "was cancelled" if isinstance(error, asyncio.CancelledError) else f"failed: {said(error)}"
        self._commands.note(f"the handler of {label} {why}")

    # -- who is at work -----------------------------------------------------------------------------------------

    def at_work(self, apart_from: object = None) -> list[str]:
        """The handlers that have not come to their end, in words; without the task that asks."""
        return [label for label, task in self._tasks if not task.done() and task is not apart_from]

    def notes_at_the_end(self) -> list[str]:
        """What the record of the end says of handlers that were still at work."""
        return [f"the handler of {label} had not finished" for label in self.at_work()]

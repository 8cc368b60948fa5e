"""What binds runs to each other: children, messages from run to run, and the next instance of a run.

Ids and nonces of what a run brings forth are functions of its own nonce and of the command's number, so whoever finds
a piece of the work missing makes the same one again, and to make it twice is to make it once.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from dwf.core.deadlines import UNLIMITED
from dwf.core.events import (
    ChildWorkflowCancelled,
    ChildWorkflowCompleted,
    ChildWorkflowFailed,
    ChildWorkflowRequested,
    Closing,
    ErrorInfo,
    MessageRefused,
    MessageRequested,
    WorkflowStarted,
)
from dwf.core.messages import check_run_id
from dwf.core.runtime import ChildCall, Outgoing
from dwf.core.tasks import WorkflowFuture
from dwf.core.values import decode, text
from dwf.errors import ChildError, NotDelivered, UsageError, ValueRefused

if TYPE_CHECKING:
    from dwf.core.commands import Commands

MOST_CHILDREN = 2_000
"""How many children of a run may be open at a time."""


def child_nonce(nonce: str, command: int) -> str:
    """The nonce of the run that a command of another makes."""
    return _derived(f"{nonce}:{command}")


def children_of(started: WorkflowStarted) -> str:
    """What the ids of a run's children begin with."""
    return started.run if started.link == 1 else f"{started.run}-{started.link}"


def next_nonce(nonce: str) -> str:
    """The nonce of the instance in which a run goes on."""
    return _derived(f"{nonce}:next")


def message_nonce(nonce: str, event: int, command: int = 0) -> str:
    """What makes the name of a message unique that an event of a run asks for, or (`command`) one of several."""
    return _derived(f"{nonce}:message:{event}:{command}")


def _derived(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Links:
    """The open children of one run in memory, and its messages."""

    def __init__(self, commands: Commands, started: WorkflowStarted) -> None:
        self._commands, self._started = commands, started
        self._children: dict[int, ChildFuture] = {}

    def child(self, call: ChildCall) -> tuple[str, ChildFuture]:
        """Ask for a child run: its id, and its result to come."""
        commands = self._commands
        commands.check_usable()
        number = commands.issued + 1
        run = call.run or self._child_id(number)
        self._check(call, run)
        commands.issue(
            ChildWorkflowRequested(
                command=number,
                workflow=call.workflow,
                run=run,
                input=call.input,
                tags=call.tags,
                retry=call.retry,
                on_close=call.on_close,
                deadline=call.limits.deadline_us,
                run_timeout=call.limits.run_timeout_us,
                on_deadline=call.limits.on_deadline if call.limits != UNLIMITED else "",
            )
        )
        future = self._children[number] = ChildFuture(number, run, call, commands)
        commands.wait_for_closing(number, self._over)
        return run, future

    def _check(self, call: ChildCall, run: str) -> None:
        what = f"the child run {call.workflow}"
        try:
            check_run_id(run)
        except UsageError as error:
            why = error.message if call.run else "its id would be too long; give it one with .options(id=...)"
            raise self._commands.voided(ValueRefused(what=what, why=why)) from None
        if len(self._children) >= MOST_CHILDREN:
            why = f"{MOST_CHILDREN:,} children of this run are open; no more may be"
            hint = "start them a few at a time: dwf.map(..., max_concurrent=), or asyncio.Semaphore"
            raise self._commands.voided(ValueRefused(what=what, why=why, hint=hint))

    def _child_id(self, number: int) -> str:
        follows = self._started.follows
        older = [one.name for one in (follows.named if follows is not None else ()) if number <= one.upto]
        return f"{older[0] if older else children_of(self._started)}.{number}"

    def _over(self, event: Closing) -> None:
        self._children.pop(event.command).settle(event)

    def held(self) -> list[str]:
        """Children that may not be left behind, in words."""
        return [f"child {child.run}" for child in self._children.values() if child.call.on_close != "abandon"]

    def message(self, wish: Outgoing) -> MessageFuture:
        """Ask for a message to another run to be sent: done when it is in that run's mailbox."""
        number = self._commands.issued + 1
        self._commands.issue(
            MessageRequested(
                command=number,
                kind=wish.kind,
                run=wish.run,
                name=wish.name,
                payload=wish.payload,
                child=wish.child,
                reason=text(wish.reason, "the reason of a message"),
            )
        )
        future = MessageFuture(wish, self._commands)
        self._commands.wait_for_closing(number, future.settle)
        return future


class ChildFuture(WorkflowFuture):
    """The result of a child run. What cancelling it does is the call's `cancel`; when it ends, the child decides."""

    def __init__(self, number: int, run: str, call: ChildCall, commands: Commands) -> None:
        super().__init__(loop=commands.loop)
        self.number, self.run, self.call = number, run, call
        self._commands = commands
        self._asked = False

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        if not self._asked and self.call.cancel != "abandon":
            self._asked = True
            sent = self._commands.message(Outgoing("cancel", self.run, child=self.number, reason=str(msg or "")))
            if self.call.cancel == "requested":
                sent.add_done_callback(lambda _: self._let_go(msg))
        if self.call.cancel in ("try", "abandon"):
            self._let_go(msg)
        return True

    def _let_go(self, msg: Any) -> None:
        super().cancel(msg)

    def settle(self, event: Closing) -> None:
        if self.done():
            return
        if self._asked:
            super().cancel("cancelled")
        elif isinstance(event, ChildWorkflowCompleted):
            self._complete(event)
        else:
            self.set_exception(self._error(event))

    def _complete(self, event: ChildWorkflowCompleted) -> None:
        try:
            value = decode(self._commands.read(event.result), self.call.result_type)
        except ValueRefused as error:
            what = f"the result of child run {self.run}"
            self._commands.refuse(ValueRefused(what=what, why=error.facts["why"], hint=error.hint))
            return
        self.set_result(value)

    def _error(self, event: Closing) -> ChildError:
        if isinstance(event, ChildWorkflowCancelled):
            return ChildError(self.run, "cancelled", "", event.reason)
        assert isinstance(event, ChildWorkflowFailed)
        error: ErrorInfo = event.error
        details = decode(self._commands.read(error.details))
        return ChildError(
            self.run, event.outcome, error.type, error.message, details if isinstance(details, dict) else {}
        )


class MessageFuture(WorkflowFuture):
    """That a message is in the other run's mailbox. It cannot be called back: it has been said."""

    def __init__(self, wish: Outgoing, commands: Commands) -> None:
        super().__init__(loop=commands.loop)
        self._wish = wish

    def settle(self, event: Closing) -> None:
        if self.done():
            return
        if isinstance(event, MessageRefused) and not self._wish.child:
            what = f"signal {self._wish.name}" if self._wish.name else self._wish.kind
            self.set_exception(NotDelivered(what=what, run=self._wish.run, why=event.why))
        else:
            self.set_result(None)  # to a child that is over, its own end says what there is to say

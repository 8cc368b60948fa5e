"""The futures behind commands: what `await` gets when a command ends, and what cancelling one asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dwf.core.duration import spoken
from dwf.core.events import (
    NEVER_BEGAN,
    ActivityCancelled,
    ActivityCompleted,
    ActivityFailed,
    ActivityTimedOut,
    ApprovalResolved,
    Closing,
    ErrorInfo,
)
from dwf.core.runtime import ActivityCall
from dwf.core.steps import HEARTBEAT, SCHEDULE_TO_START, START_TO_CLOSE
from dwf.core.tasks import WorkflowFuture
from dwf.core.values import decode
from dwf.errors import ActivityCancelled as CancelledStep
from dwf.errors import ActivityError, ActivityTimeout, ApprovalRejected, Failure, InternalError, ScriptError

if TYPE_CHECKING:
    from dwf.core.commands import Commands


_SHORT = 300


def _was_cut_off(event: Closing) -> bool:
    if isinstance(event, ActivityCancelled):
        return event.reason != NEVER_BEGAN
    if isinstance(event, ActivityFailed):
        return event.error.type == "Interrupted"
    return isinstance(event, ActivityTimedOut) and event.attempts > 0


class ActivityFuture(WorkflowFuture):
    """The result of a step. Cancelling asks the step to end, once, and *waits* until it has ended, unless its call says
    that the script goes on at once.

    So a compensation never runs beside the step it undoes. If the step completed after all, CancelledError is still
    raised, with the result as its first argument, and the result is in the history.
    """

    def __init__(self, number: int, call: ActivityCall, commands: Commands) -> None:
        super().__init__(loop=commands.loop)
        self.number = number
        self.call = call
        self._commands = commands
        self._asked = False
        self.completed = False
        """Whether the step has done what it was to do, whatever the script got."""
        self.cut_off = False
        """Whether it was ended, or died, in the middle: what it has done by then is not known."""

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        if not self._asked:
            self._asked = True
            self._commands.request_activity_cancel(self.number, self.call.cancellation)
        if not self.call.cancellation:
            return True
        self.cut_off = True
        return super().cancel(msg)

    def settle(self, event: Closing) -> None:
        if self.done():
            return
        self.completed = isinstance(event, ActivityCompleted)
        self.cut_off = _was_cut_off(event)
        if self._asked:
            super().cancel(self._late_result(event))
        elif isinstance(event, ActivityCompleted):
            self._complete(event)
        else:
            self._fail(_step_error(self.call.title or self.call.name, event, self._commands))

    def _fail(self, error: ActivityError) -> None:
        if self.call.instead is None:
            self.set_exception(error)
            return
        self._commands.degrade(in_short(error.message))
        self.set_result(self.call.instead(error))

    def _complete(self, event: ActivityCompleted) -> None:
        try:
            value = decode(self._commands.read(event.result), self.call.result_type)
        except ScriptError as error:
            self._commands.refuse(error)
            return
        self.set_result(value)

    def _late_result(self, event: Closing) -> Any:
        if isinstance(event, ActivityCompleted):
            return decode(self._commands.read(event.result))
        return "cancelled"


class TimerFuture(WorkflowFuture):
    """A durable sleep. Cancelling it records that the timer no longer matters."""

    def __init__(self, commands: Commands) -> None:
        super().__init__(loop=commands.loop)
        self.number = 0
        self._commands = commands

    def fire(self) -> None:
        if not self.done():
            self.set_result(None)

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        self._commands.cancel_timer(self.number)
        return super().cancel(msg)


class ApprovalFuture(WorkflowFuture):
    """The answer to a question. Cancelling withdraws the question."""

    def __init__(self, number: int, prompt: str, commands: Commands) -> None:
        super().__init__(loop=commands.loop)
        self.number = number
        self._prompt = prompt
        self._commands = commands

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        self._commands.withdraw_approval(self.number)
        return super().cancel(msg)

    def settle(self, event: Closing) -> None:
        if self.done():
            return
        if not isinstance(event, ApprovalResolved):
            raise InternalError(what=f"an approval was ended by {type(event).__name__}")
        if event.outcome == "approved":
            self.set_result(event)
            return
        if event.outcome == "failed":
            self.set_exception(Failure(f'"{self._prompt}": no answer before the deadline'))
            return
        who = ", ".join(event.by) or "nobody"
        self.set_exception(ApprovalRejected(self._prompt, who, event.comment or None, timed_out=event.timed_out))


def _step_error(name: str, event: Closing, commands: Commands) -> ActivityError:
    if isinstance(event, ActivityTimedOut):
        details = {"timeout": event.which, "heartbeat": decode(commands.read(event.heartbeat))}
        return ActivityTimeout(name, "TimeoutError", timed_out(event), event.attempts, details)
    if isinstance(event, ActivityCancelled):
        return CancelledStep(name, "Cancelled", event.reason or "cancelled")
    if isinstance(event, ActivityFailed):
        return ActivityError(
            name, event.error.type, event.error.message, event.attempts, _details(event.error, commands)
        )
    raise InternalError(what=f"a step was ended by {type(event).__name__}")


def timed_out(event: ActivityTimedOut) -> str:
    """Which of its timeouts a step has passed, in words."""
    limit = spoken(event.timeout)
    if event.which == SCHEDULE_TO_START:
        return f"no attempt began within {limit} ({event.which})"
    if event.which == HEARTBEAT:
        return f"no heartbeat for {limit}"
    words = f"no end within {limit}" if event.which == START_TO_CLOSE else f"no end within {limit} ({event.which})"
    return words if event.error is None else f"{words}; before that: {in_short(event.error.message)}"


def in_short(message: str) -> str:
    """What somebody has to say, on one line and of a length that fits among others."""
    line = " ".join(message.split())
    return line if len(line) <= _SHORT else line[: _SHORT - 1] + "…"


def _details(error: ErrorInfo, commands: Commands) -> dict[str, Any]:
    details = decode(commands.read(error.details))
    return details if isinstance(details, dict) else {}

"""Callbacks: a wait that somebody outside ends, who was given a token for it. The token itself is no matter of core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dwf.core.duration import LAST_MICROS, spoken, stamp
from dwf.core.events import (
    CallbackCompleted,
    CallbackFailed,
    CallbackOpened,
    CallbackTimedOut,
    CallbackWithdrawn,
    Closing,
)
from dwf.core.runtime import ActivityCall, CallbackWish
from dwf.core.tasks import WorkflowFuture
from dwf.core.values import decode, text
from dwf.errors import ActivityError, ActivityTimeout, InternalError, ValueRefused

if TYPE_CHECKING:
    from dwf.core.commands import Commands


def open_callback(commands: Commands, wish: CallbackWish) -> CallbackFuture:
    """Ask for a callback; its number is the future's."""
    number = commands.issue(
        CallbackOpened(
            command=commands.issued + 1,
            name=text(wish.name, "the name of a callback", 200),
            deadline=stamp(min(commands.now_us() + wish.timeout_us, LAST_MICROS)) if wish.timeout_us else "",
            heartbeat=wish.heartbeat_us,
        )
    )
    future = CallbackFuture(number, wish, commands)
    commands.wait_for_closing(number, future.settle)
    commands.calls[number] = ActivityCall(name=wish.name, kind="callback", result_type=wish.result_type)
    return future


class CallbackFuture(WorkflowFuture):
    """What the outside says. Cancelling it withdraws the callback: its token is worth nothing then."""

    def __init__(self, number: int, wish: CallbackWish, commands: Commands) -> None:
        super().__init__(loop=commands.loop)
        self.number, self._wish = number, wish
        self._commands = commands

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        self._commands.issue(CallbackWithdrawn(command=self._commands.issued + 1, callback=self.number))
        self._commands.wait_no_more(self.number)
        return super().cancel(msg)

    def settle(self, event: Closing) -> None:
        if self.done():
            return
        name = self._wish.name
        if isinstance(event, CallbackCompleted):
            self._complete(event)
        elif isinstance(event, CallbackFailed):
            self.set_exception(ActivityError(name, event.error.type, event.error.message))
        elif isinstance(event, CallbackTimedOut):
            waited = self._wish.heartbeat_us if event.heartbeat else self._wish.timeout_us
            what = "no heartbeat for" if event.heartbeat else "nobody completed it within"
            self.set_exception(ActivityTimeout(name, "TimeoutError", f"{what} {spoken(waited)}"))
        else:
            raise InternalError(what=f"a callback was ended by {type(event).__name__}")

    def _complete(self, event: CallbackCompleted) -> None:
        try:
            value = decode(self._commands.read(event.result), self._wish.result_type)
        except ValueRefused as error:
            # A slip of somebody outside, while nobody could be asked: no bug of the script.
            self.set_exception(ActivityError(self._wish.name, "Misfit", str(error.facts["why"])))
            return
        self.set_result(value)

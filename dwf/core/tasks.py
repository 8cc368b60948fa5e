"""The futures, tasks and callbacks of a workflow's loop: asyncio's own, counted instead of addressed.

Where a number stands for a thing, sets of things have one order in every process, and a default name says the same in
every replay.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dwf.core.loop import Loop


class WorkflowFuture(asyncio.Future[Any]):
    """A future whose hash is a count, so that sets of futures have one order in every process.

    Counted when it is first hashed: how many futures asyncio makes for itself differs between releases.
    """

    _birth = 0

    def __init__(self, *, loop: Loop) -> None:
        loop.expects_birth = True
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        if not self._birth:
            self._birth = self.get_loop().next_hash()  # type: ignore[attr-defined]
        return self._birth


class WorkflowTask(asyncio.Task[Any]):
    """A task whose hash and default name are its birth number.

    Requests to cancel are counted here: from 3.13 on, `uncancel` also takes back a cancellation that was not delivered.
    """

    _asked = 0
    _asking = False

    def __init__(self, coro: Any, *, loop: Loop, name: str | None, context: contextvars.Context | None) -> None:
        self.birth = loop.next_birth()
        loop.expects_birth = True
        super().__init__(coro, loop=loop, name=name or f"t{self.birth}", context=context)

    def __hash__(self) -> int:
        return self.birth

    def cancel(self, msg: Any = None) -> bool:
        if self._asking:
            return True  # tasks that wait for each other in a circle would pass the request on for ever
        self._asking = True
        try:
            asked = super().cancel(msg)
        finally:
            self._asking = False
        self._asked += asked
        return asked

    def uncancel(self) -> int:
        self._asked = max(0, self._asked - 1)
        return self._asked

    def cancelling(self) -> int:
        return self._asked


def cancelled_error(future: Any) -> asyncio.CancelledError:
    """The CancelledError of a cancelled future, with its message."""
    error: asyncio.CancelledError = future._make_cancelled_error()
    return error


class Ready(asyncio.Handle):
    """A callback whose turn comes. Set up by hand: asyncio's own constructor costs more than the rest of a step."""

    def __init__(
        self, callback: Callable[..., object], args: Sequence[Any], loop: Loop, context: contextvars.Context | None
    ) -> None:
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None

"""Calls: a step that is written down and has not begun, as data.

`drain(host)` in a workflow is a coroutine. What it would ask for is taken down by letting it ask somebody who only
listens; nothing is issued, and the coroutine is then at its end.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any

from dwf.authoring.activity import Activity
from dwf.authoring.inline import step
from dwf.authoring.shell import sh
from dwf.authoring.ssh import ssh
from dwf.core.runtime import ActivityCall, current

_STEPS = frozenset(function.__code__ for function in (Activity._durable, step, sh, ssh))


class _Asked(BaseException):
    """What the coroutine asks for, on its way out of it."""

    def __init__(self, call: ActivityCall) -> None:
        super().__init__()
        self.call = call


class _Listener:
    """Stands where the runtime is: whoever asks for a step is told nothing, and heard."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime

    def activity(self, call: ActivityCall) -> Any:
        raise _Asked(call)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)


def call_of(awaitable: Awaitable[Any]) -> ActivityCall | None:
    """The one step that a coroutine fresh from an activity, dwf.step, .sh or .ssh stands for; None for all others.

    The coroutine is used up then. Raises what it raises when it is called with what it cannot take.
    """
    if not inspect.iscoroutine(awaitable) or awaitable.cr_code not in _STEPS:
        return None
    if inspect.getcoroutinestate(awaitable) != inspect.CORO_CREATED:
        return None
    loop: Any = asyncio.get_running_loop()
    runtime = current("step")
    loop.dwf_runtime = _Listener(runtime)
    try:
        awaitable.send(None)
    except _Asked as asked:
        return asked.call
    finally:
        loop.dwf_runtime = runtime
    raise AssertionError("a step has asked for nothing")


def name_of(awaitable: Awaitable[Any], call: ActivityCall | None) -> str:
    """What people call it."""
    if call is not None:
        return call.title or call.name
    return str(getattr(awaitable, "__qualname__", type(awaitable).__name__)).rpartition(".")[2]

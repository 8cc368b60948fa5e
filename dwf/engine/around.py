"""Around steps: Python of the owner's that is entered before each attempt begins, and left when it has ended.

For what has to be there while a step runs: a span of a trace, a mute in the monitoring, a lease. It can neither change
a step nor its outcome, and an error in it is told to people and keeps no step from anything. What goes on without this
process (`orphan="adopt"`) has nothing around it, for nobody would be there to leave it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from dwf.activities.plan import Attempt, Limited, Outcome, Performance
from dwf.core.outcome import said
from dwf.core.runtime import ActivityCall
from dwf.errors import DwfError
from dwf.host import Process
from dwf.scripts.plugin import function_of
from dwf.store.files import read_regular
from dwf.store.hooks import Hook

_LONGEST_SOURCE = 1024 * 1024


@dataclass
class Step:
    """The attempt that `around(step)` is given. When it is left, `outcome` and `error` say how it ended.

    kind: function, step or shell. key: the idempotency key. outcome: completed, failed, timed-out, cancelled or
    interrupted.
    """

    run: str
    name: str
    kind: str
    attempt: int
    key: str
    outcome: str = ""
    error: str = ""


Around = Callable[[Step], AbstractContextManager[Any]]


def loaded(hook: Hook) -> Around:
    """The function `around` of a file. Raises DwfError and whatever the file raises."""
    return function_of(hook.path, read_regular(hook.path, _LONGEST_SOURCE), "around")


class Surrounded:
    """A performance with something around it. Itself a performance."""

    def __init__(
        self, inner: Performance, around: list[tuple[str, Around]], step: Step, remark: Callable[[str, str], None]
    ) -> None:
        self._inner, self._around, self._step, self._remark = inner, around, step, remark
        self._entered: list[tuple[str, AbstractContextManager[Any]]] = []

    @property
    def process(self) -> Process:
        return self._inner.process

    def go(self) -> None:
        for name, around in self._around:
            try:
                manager = around(self._step)
                manager.__enter__()
                self._entered.append((name, manager))
            except Exception as error:
                self._tell(name, error)
        self._inner.go()

    def finish(self) -> Outcome:
        outcome = self._inner.finish()
        self._step.outcome = outcome.kind.value
        self._step.error = outcome.error.message if outcome.error is not None else ""
        while self._entered:
            name, manager = self._entered.pop()
            try:
                manager.__exit__(None, None, None)
            except Exception as error:
                self._tell(name, error)
        return outcome

    def cancel(self, reason: str) -> None:
        self._inner.cancel(reason)

    def interrupt(self, reason: str) -> None:
        self._inner.interrupt(reason)

    def relimit(self, limit: str, timeout_us: int, heartbeat_us: int) -> None:
        if isinstance(self._inner, Limited):
            self._inner.relimit(limit, timeout_us, heartbeat_us)

    def _tell(self, name: str, error: BaseException) -> None:
        self._remark(name, f"hook {name} failed: {type(error).__name__}: {said(error)}{_where(error)}")


def step_of(call: ActivityCall, attempt: Attempt) -> Step:
    """What `around` is told of an attempt."""
    return Step(attempt.run, attempt.name, call.kind, attempt.attempt, attempt.key)


def why_not_loaded(error: BaseException) -> str:
    """In words."""
    return error.message if isinstance(error, DwfError) else f"{type(error).__name__}: {said(error)}{_where(error)}"


def _where(error: BaseException) -> str:
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None or last.tb_frame.f_code.co_filename.startswith(sys.prefix):
        return ""
    return f" ({last.tb_frame.f_code.co_filename}:{last.tb_lineno})"

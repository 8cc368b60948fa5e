"""Cleanup: what must come to its end whatever is cancelled meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from dwf.core.duration import SECOND, micros
from dwf.core.retry import Duration
from dwf.core.runtime import current
from dwf.errors import ValueRefused

T = TypeVar("T")


async def cleanup(work: Awaitable[T], /, *, timeout: Duration | None = None) -> T:
    """Wait for `work` to its end, even if the run is cancelled or a time limit around it passes meanwhile.

    That is raised afterwards. timeout: its own limit; what runs in it is then asked to end, and TimeoutError is raised
    when it has ended. Raises what `work` raises.
    """
    try:
        limit = _limit(timeout)
    except BaseException:
        drop(work)
        raise
    ended = await to_its_end(_within(work, limit))
    failed = not ended.task.cancelled() and ended.task.exception() is not None
    if ended.interruption is not None and not failed:
        raise ended.interruption
    ended.cancel_again()
    result: T = ended.task.result()
    return result


def _limit(timeout: Duration | None) -> float | None:
    current("cleanup")
    if timeout is not None and not micros(timeout):
        raise ValueRefused(what="timeout of dwf.cleanup()", why="nothing is cleaned up within no time")
    return None if timeout is None else micros(timeout) / SECOND


def drop(*unused: Any) -> None:
    """Coroutines that will not be awaited are closed, so that Python does not complain of them."""
    for work in unused:
        if asyncio.iscoroutine(work):
            work.close()


async def _within(work: Awaitable[T], seconds: float | None) -> T:
    async with asyncio.timeout(seconds):
        return await work


@dataclass(frozen=True)
class Ended:
    """A task that has come to its end, and what was to interrupt it. `by_run`: it was the run's cancellation."""

    task: asyncio.Task[Any]
    interruption: asyncio.CancelledError | None
    by_run: bool

    def cancel_again(self) -> None:
        """Something else is raised now: the run's cancellation is not lost, but raised at the next await."""
        task = asyncio.current_task()
        if task is not None and self.by_run and self.interruption is not None:
            task.uncancel()  # it is counted once
            task.cancel(*self.interruption.args[:1])


async def to_its_end(work: Coroutine[Any, Any, Any]) -> Ended:
    """Run a coroutine as a task of its own, and wait for it whatever comes."""
    runtime = current("cleanup")
    before = runtime.info().cancelled
    task = asyncio.create_task(work)
    interruption = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            interruption = interruption or error
    by_run = interruption is not None and runtime.info().cancelled is not before
    return Ended(task, interruption, by_run)

"""asyncio's `wait_for`, `wait`, `as_completed`, `gather`, `sleep` and `all_tasks`, as dwf defines them for workflows.

The standard library rewrites these between releases (`wait_for` and `gather` in 3.12, `sleep` in 3.13) and iterates
over sets of coroutines, whose order is chance; a history made by one Python would not replay on another. These versions
belong to history format 1: a change to them that changes the order of anything needs a new format. On any other loop
the originals are called.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from dwf.core.loop import Loop
from dwf.core.tasks import WorkflowFuture, cancelled_error
from dwf.errors import ValueRefused

_FIRST_COMPLETED = asyncio.FIRST_COMPLETED
_FIRST_EXCEPTION = asyncio.FIRST_EXCEPTION
_ALL_COMPLETED = asyncio.ALL_COMPLETED
_sleep = asyncio.sleep


def sleep(delay: float, result: Any = None) -> Awaitable[Any]:
    if math.isnan(delay):
        raise ValueRefused(what="a delay", why="it is NaN")
    return _sleep(delay, result)


def all_tasks(loop: Loop | None = None) -> set[asyncio.Task[Any]]:
    """Put in by age: the original's order depends on what other loops of the process have been doing."""
    asked = asyncio.get_running_loop() if loop is None else loop
    assert isinstance(asked, Loop)
    return set(asked.live_tasks())


# -- wait_for -----------------------------------------------------------------------------------------------------


async def wait_for(awaitable: Awaitable[Any], timeout: float | None) -> Any:
    if timeout is not None and timeout <= 0:
        return await _now_or_never(asyncio.ensure_future(awaitable))
    begun = False
    try:
        async with asyncio.timeout(timeout):
            begun = True
            return await awaitable
    finally:
        if not begun and asyncio.iscoroutine(awaitable):
            awaitable.close()  # the timer was refused: nobody else will ever await it, and Python would complain


async def _now_or_never(future: asyncio.Future[Any]) -> Any:
    if not future.done():
        future.cancel()
        await _end_of(future)
    try:
        return future.result()
    except asyncio.CancelledError as error:
        raise TimeoutError from error


async def _end_of(future: asyncio.Future[Any]) -> None:
    """Wait on a future of our own, so that our cancellation can be told from the one that was asked for."""
    over = asyncio.get_running_loop().create_future()

    def release(_: object) -> None:
        if not over.done():
            over.set_result(None)

    future.add_done_callback(release)
    try:
        await over
    finally:
        future.remove_done_callback(release)


# -- wait ---------------------------------------------------------------------------------------------------------


async def wait(
    fs: Iterable[Any], *, timeout: float | None = None, return_when: str = _ALL_COMPLETED
) -> tuple[set[Any], set[Any]]:
    futures = list(dict.fromkeys(_several(fs)))
    if not futures:
        raise ValueError("Set of Tasks/Futures is empty.")
    if return_when not in (_FIRST_COMPLETED, _FIRST_EXCEPTION, _ALL_COMPLETED):
        raise ValueError(f"Invalid return_when value: {return_when}")
    if any(asyncio.iscoroutine(f) for f in futures):
        raise TypeError("Passing coroutines is forbidden, use tasks explicitly.")
    open_ones = [f for f in futures if not f.done()]
    if open_ones and not any(_enough(f, return_when) for f in futures if f.done()):
        await _until_enough(open_ones, timeout, return_when)
    done = {f for f in futures if f.done()}
    return done, {f for f in futures if f not in done}


def _several(fs: Iterable[Any]) -> Iterable[Any]:
    if asyncio.isfuture(fs) or asyncio.iscoroutine(fs):
        raise TypeError(f"expect a list of futures, not {type(fs).__name__}")
    return fs


def _enough(future: asyncio.Future[Any], return_when: str) -> bool:
    """Whether this one having ended is reason enough to stop waiting for the others."""
    if return_when == _FIRST_COMPLETED:
        return True
    failed = not future.cancelled() and future._exception is not None
    return return_when == _FIRST_EXCEPTION and failed


async def _until_enough(futures: list[asyncio.Future[Any]], timeout: float | None, return_when: str) -> None:
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()
    left = len(futures)

    def look(future: asyncio.Future[Any]) -> None:
        nonlocal left
        left -= 1
        if not waiter.done() and (not left or _enough(future, return_when)):
            waiter.set_result(None)

    def on_timeout() -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = None if timeout is None else loop.call_later(timeout, on_timeout)
    for future in futures:
        future.add_done_callback(look)
    try:
        await waiter
    finally:
        if timer is not None:
            timer.cancel()
        for future in futures:
            future.remove_done_callback(look)


# -- as_completed -------------------------------------------------------------------------------------------------


class as_completed:  # noqa: N801 - stands in for a function of that name
    """Iterable of awaitables, and asynchronous iterable of results' futures, in order of completion."""

    def __init__(self, fs: Iterable[Any], *, timeout: float | None = None) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        futures = dict.fromkeys(asyncio.ensure_future(f) for f in dict.fromkeys(_several(fs)))
        self._left = len(futures)
        self._open = futures
        for future in futures:
            future.add_done_callback(self._arrived)
        self._timer = None
        if futures and timeout is not None:
            self._timer = asyncio.get_running_loop().call_later(timeout, self._on_timeout)

    def _arrived(self, future: Any) -> None:
        if self._open.pop(future, self) is self:
            return
        self._queue.put_nowait(future)
        if not self._open and self._timer is not None:
            self._timer.cancel()

    def _on_timeout(self) -> None:
        for future in self._open:
            future.remove_done_callback(self._arrived)
            self._queue.put_nowait(None)
        self._open = {}

    def __iter__(self) -> Iterator[Awaitable[Any]]:
        return (self._result() for _ in itertools.repeat(None, self._left))

    def __aiter__(self) -> as_completed:
        return self

    async def __anext__(self) -> Any:
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        return await self._next()

    async def _result(self) -> Any:
        return (await self._next()).result()

    async def _next(self) -> Any:
        future = await self._queue.get()
        if future is None:
            raise TimeoutError
        return future


# -- gather -------------------------------------------------------------------------------------------------------


class _Gathering(WorkflowFuture):
    """The future of a gather: cancelling it cancels its children, and it ends when all of them have ended.

    asyncio's own would end with the first of them, and a cleanup would run beside the steps that still end.
    """

    def __init__(self, children: list[asyncio.Future[Any]], loop: Loop) -> None:
        super().__init__(loop=loop)
        self.children = children
        self.was_cancelled = False

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        asked = [child.cancel(msg) for child in self.children]
        self.was_cancelled = self.was_cancelled or any(asked)
        return any(asked)


def gather(*awaitables: Any, return_exceptions: bool = False) -> asyncio.Future[Any]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    if not awaitables:
        nothing = loop.create_future()
        nothing.set_result([])
        return nothing
    distinct = {one: asyncio.ensure_future(one) for one in dict.fromkeys(awaitables)}
    outer = _Gathering([distinct[one] for one in awaitables], loop)
    loop.keep_gathering(outer)
    left = len(distinct)

    def ended(child: asyncio.Future[Any]) -> None:
        nonlocal left
        left -= 1
        error = _error_of(child)
        if outer.done():
            return
        if outer.was_cancelled:
            if not left:
                outer.set_exception(_first_error(outer.children, return_exceptions))
        elif error is not None and not return_exceptions:
            outer.set_exception(error)
        elif not left:
            outer.set_result([_value_of(c) for c in outer.children])

    for child in distinct.values():
        child.add_done_callback(ended)
    return outer


def _first_error(children: list[asyncio.Future[Any]], only_cancellation: bool) -> BaseException:
    """Of a cancelled gather: a failure counts more than the cancellation, unless failures are results."""
    errors = [error for child in children if (error := _error_of(child)) is not None]
    failures = [error for error in errors if not isinstance(error, asyncio.CancelledError)]
    cancellations = [error for error in errors if isinstance(error, asyncio.CancelledError)]
    ranked = cancellations if only_cancellation else [*failures, *cancellations]
    return ranked[0] if ranked else asyncio.CancelledError()


def _value_of(future: asyncio.Future[Any]) -> Any:
    error = _error_of(future)
    return future.result() if error is None else error


def _error_of(future: asyncio.Future[Any]) -> BaseException | None:
    return cancelled_error(future) if future.cancelled() else future.exception()


# -- in asyncio's place ---------------------------------------------------------------------------------------------


def install() -> None:
    """Let asyncio's names lead here while a workflow's loop is running; everywhere else nothing changes."""
    for ours in (wait_for, wait, as_completed, gather, sleep, all_tasks):
        name = ours.__name__
        original = getattr(asyncio, name)
        if getattr(original, "dwf_original", None) is None:
            chosen = on_our_loop(ours, original)
            setattr(asyncio, name, chosen)
            setattr(asyncio.tasks, name, chosen)


def on_our_loop(ours: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    """A function that calls `ours` while a workflow's loop is running in this thread, and `original` elsewhere."""

    def choose(*args: Any, **kwargs: Any) -> Any:
        chosen = ours if isinstance(asyncio._get_running_loop(), Loop) else original
        return chosen(*args, **kwargs)

    choose.__name__ = choose.__qualname__ = original.__name__
    choose.__doc__ = original.__doc__
    choose.dwf_original = original  # type: ignore[attr-defined]
    return choose

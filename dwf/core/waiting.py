"""asyncio's `wait_for`, `wait` and `as_completed`, as dwf defines them for workflow code.

The standard library rewrites these between releases (`wait_for` in 3.12) and iterates over sets of coroutines, whose
order is chance; a history made by one Python would not replay on another. These versions belong to history format 1:
a change to them that changes the order of anything needs a new format. On any other loop the originals are called.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

_FIRST_COMPLETED = asyncio.FIRST_COMPLETED
_FIRST_EXCEPTION = asyncio.FIRST_EXCEPTION
_ALL_COMPLETED = asyncio.ALL_COMPLETED


async def wait_for(awaitable: Awaitable[Any], timeout: float | None) -> Any:
    if timeout is not None and timeout <= 0:
        future = asyncio.ensure_future(awaitable)
        if not future.done():
            future.cancel()
            try:
                return await future
            except asyncio.CancelledError as error:
                raise TimeoutError from error
        return future.result()
    async with asyncio.timeout(timeout):
        return await awaitable


async def wait(
    fs: Iterable[Any], *, timeout: float | None = None, return_when: str = _ALL_COMPLETED
) -> tuple[set[Any], set[Any]]:
    futures = list(dict.fromkeys(fs))
    if not futures:
        raise ValueError("Set of Tasks/Futures is empty.")
    if return_when not in (_FIRST_COMPLETED, _FIRST_EXCEPTION, _ALL_COMPLETED):
        raise ValueError(f"Invalid return_when value: {return_when}")
    if any(asyncio.iscoroutine(f) for f in futures):
        raise TypeError("Passing coroutines is forbidden, use tasks explicitly.")
    if not _enough(futures, return_when) and any(not f.done() for f in futures):
        await _until_enough(futures, timeout, return_when)
    done = {f for f in futures if f.done()}
    return done, {f for f in futures if f not in done}


def _enough(futures: list[Any], return_when: str) -> bool:
    if return_when == _FIRST_COMPLETED:
        return any(f.done() for f in futures)
    if return_when == _FIRST_EXCEPTION and any(
        f.done() and not f.cancelled() and f.exception() is not None for f in futures
    ):
        return True
    return all(f.done() for f in futures)


async def _until_enough(futures: list[Any], timeout: float | None, return_when: str) -> None:
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()

    def look(_: object) -> None:
        if not waiter.done() and _enough(futures, return_when):
            waiter.set_result(None)

    def give_up() -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = None if timeout is None else loop.call_later(timeout, give_up)
    for future in futures:
        future.add_done_callback(look)
    try:
        await waiter
    finally:
        if timer is not None:
            timer.cancel()
        for future in futures:
            future.remove_done_callback(look)


class as_completed:  # noqa: N801 - stands in for a function of that name
    """Iterable of awaitables, and asynchronous iterable of results' futures, in order of completion."""

    def __init__(self, fs: Iterable[Any], *, timeout: float | None = None) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        futures = dict.fromkeys(asyncio.ensure_future(f) for f in dict.fromkeys(fs))
        self._left = len(futures)
        self._open = futures
        for future in futures:
            future.add_done_callback(self._arrived)
        self._timer = None
        if futures and timeout is not None:
            self._timer = asyncio.get_running_loop().call_later(timeout, self._give_up)

    def _arrived(self, future: Any) -> None:
        if self._open.pop(future, self) is self:
            return
        self._queue.put_nowait(future)
        if not self._open and self._timer is not None:
            self._timer.cancel()

    def _give_up(self) -> None:
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


def install(loop_type: type[asyncio.AbstractEventLoop]) -> None:
    """Let asyncio's names lead here while a loop of that type is running; everywhere else nothing changes."""
    for name, ours in (("wait_for", wait_for), ("wait", wait), ("as_completed", as_completed)):
        original = getattr(asyncio, name)
        if getattr(original, "dwf_original", None) is None:
            chosen = _chooser(loop_type, ours, original)
            setattr(asyncio, name, chosen)
            setattr(asyncio.tasks, name, chosen)
    # gather() makes its outer future itself; its hash must be a birth number too.
    asyncio.tasks._GatheringFuture.__hash__ = _birth_hash(loop_type)  # type: ignore[attr-defined]


def _chooser(loop_type: type, ours: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    def choose(*args: Any, **kwargs: Any) -> Any:
        chosen = ours if isinstance(asyncio._get_running_loop(), loop_type) else original
        return chosen(*args, **kwargs)

    choose.__name__ = choose.__qualname__ = original.__name__
    choose.__doc__ = original.__doc__
    choose.dwf_original = original  # type: ignore[attr-defined]
    return choose


def _birth_hash(loop_type: type) -> Callable[[Any], int]:
    def birth_hash(future: Any) -> int:
        loop = future.get_loop()
        if not isinstance(loop, loop_type):
            return object.__hash__(future)
        if not hasattr(future, "birth"):
            future.birth = loop.next_birth()  # type: ignore[attr-defined]
        return int(future.birth)

    return birth_hash

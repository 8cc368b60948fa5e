"""The methods of asyncio's TaskGroup, Condition and Semaphore that differ between releases, as dwf defines them.

The classes stay the standard library's, so that `isinstance` and subclasses go on working; only these methods are
replaced, and only while a workflow's loop is running. They are the ones of Python 3.13 (who is waiting is not
overtaken, a cancellation is not lost beside an error) and belong to history format 1, like those of waiting.py.
"""

from __future__ import annotations

import asyncio
import collections
from typing import Any

from dwf.core.waiting import on_our_loop

# -- TaskGroup ----------------------------------------------------------------------------------------------------


async def _leave_group(group: Any, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
    group._exiting = True
    if isinstance(error, SystemExit | KeyboardInterrupt) and group._base_error is None:
        group._base_error = error
    cancellation = error if isinstance(error, asyncio.CancelledError) else None
    if error is not None and not group._aborting:
        group._abort()
    while group._tasks:
        if group._on_completed_fut is None:
            group._on_completed_fut = group._loop.create_future()
        try:
            await group._on_completed_fut
        except asyncio.CancelledError as cancelled:
            if not group._aborting:
                cancellation = cancelled
                group._abort()
        group._on_completed_fut = None
    if group._base_error is not None:
        raise group._base_error
    # The group has cancelled its own parent to get here: that request is taken back.
    if group._parent_cancel_requested and group._parent_task.uncancel() == 0:
        cancellation = None
    if cancellation is not None and not group._errors:
        raise cancellation
    if error is not None and not isinstance(error, asyncio.CancelledError):
        group._errors.append(error)
    if group._errors:
        _raise_errors(group)


def _raise_errors(group: Any) -> None:
    if group._parent_task.cancelling():
        # Cancelled from outside as well: to be raised again at the next await, with the count as it is.
        group._parent_task.uncancel()
        group._parent_task.cancel()
    errors, group._errors = group._errors, None
    raise BaseExceptionGroup("unhandled errors in a TaskGroup", errors) from None


def _group_task_done(group: Any, task: asyncio.Task[Any]) -> None:
    group._tasks.discard(task)
    waiter = group._on_completed_fut
    if waiter is not None and not group._tasks and not waiter.done():
        waiter.set_result(True)
    error = None if task.cancelled() else task.exception()
    if error is None:
        return
    group._errors.append(error)
    if isinstance(error, SystemExit | KeyboardInterrupt) and group._base_error is None:
        group._base_error = error
    if group._parent_task.done() or group._aborting or group._parent_cancel_requested:
        return
    # To cancel the other tasks because of a typo in one would be a cleanup that no mended script asks for.
    group._loop.host.stop_at_bug(error)
    if group._loop.host.void is None:
        group._abort()
        group._parent_cancel_requested = True
        group._parent_task.cancel()


# -- Condition ----------------------------------------------------------------------------------------------------


async def _condition_wait(condition: Any) -> bool:
    if not condition.locked():
        raise RuntimeError("cannot wait on un-acquired lock")
    waiter = asyncio.get_running_loop().create_future()
    condition.release()
    try:
        try:
            condition._waiters.append(waiter)
            try:
                await waiter
                return True
            finally:
                condition._waiters.remove(waiter)
        finally:
            await _reacquire(condition)
    except BaseException:
        # This one may have been the one that was notified: pass it on.
        _wake(condition, 1)
        raise


async def _reacquire(condition: Any) -> None:
    cancelled = None
    while True:
        try:
            await condition.acquire()
            break
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


def _condition_notify(condition: Any, n: int = 1) -> None:
    if not condition.locked():
        raise RuntimeError("cannot notify on un-acquired lock")
    _wake(condition, n)


def _wake(condition: Any, n: int) -> None:
    asleep = [waiter for waiter in condition._waiters if not waiter.done()]
    for waiter in asleep[:n]:
        waiter.set_result(False)


# -- Semaphore ----------------------------------------------------------------------------------------------------


def _semaphore_locked(semaphore: Any) -> bool:
    return semaphore._value == 0 or any(not w.cancelled() for w in semaphore._waiters or ())


async def _semaphore_acquire(semaphore: Any) -> bool:
    if not _semaphore_locked(semaphore):
        semaphore._value -= 1
        return True
    if semaphore._waiters is None:
        semaphore._waiters = collections.deque()
    waiter = asyncio.get_running_loop().create_future()
    semaphore._waiters.append(waiter)
    try:
        try:
            await waiter
        finally:
            semaphore._waiters.remove(waiter)
    except asyncio.CancelledError:
        if waiter.done() and not waiter.cancelled():
            semaphore._value += 1  # it had been given to us
        raise
    finally:
        while semaphore._value > 0 and _semaphore_wake(semaphore):
            pass
    return True


def _semaphore_release(semaphore: Any) -> None:
    semaphore._value += 1
    _semaphore_wake(semaphore)


def _semaphore_wake(semaphore: Any) -> bool:
    for waiter in semaphore._waiters or ():
        if not waiter.done():
            semaphore._value -= 1
            waiter.set_result(True)
            return True
    return False


# -- in asyncio's place ---------------------------------------------------------------------------------------------

_METHODS: tuple[tuple[type, str, Any], ...] = (
    (asyncio.TaskGroup, "__aexit__", _leave_group),
    (asyncio.TaskGroup, "_on_task_done", _group_task_done),
    (asyncio.Condition, "wait", _condition_wait),
    (asyncio.Condition, "notify", _condition_notify),
    (asyncio.Semaphore, "locked", _semaphore_locked),
    (asyncio.Semaphore, "acquire", _semaphore_acquire),
    (asyncio.Semaphore, "release", _semaphore_release),
)


def install() -> None:
    """Let these methods lead here while a workflow's loop is running; everywhere else nothing changes."""
    for owner, name, ours in _METHODS:
        original = getattr(owner, name)
        if getattr(original, "dwf_original", None) is None:
            setattr(owner, name, on_our_loop(ours, original))

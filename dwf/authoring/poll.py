"""Polling: a step that is repeated until what it finds is as it should be. No process lives between two tries."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from dwf.authoring.cleanup import drop
from dwf.authoring.waits import sleep
from dwf.core.duration import LAST_MICROS, SECOND, micros
from dwf.core.retry import Duration
from dwf.core.runtime import current
from dwf.errors import ValueRefused

T = TypeVar("T")


async def poll(
    check: Callable[[], Awaitable[T]],
    /,
    *,
    every: Duration,
    until: Callable[[T], Any] = bool,
    timeout: Duration | None = None,
    backoff: float = 1.0,
    max_every: Duration = "10m",
    max_tries: int | None = None,
    title: str = "",
) -> T:
    """Repeat a step until `until(what it found)` is true: `await dwf.poll(lambda: lag(host), every="10s", until=...)`.

    check: called without arguments, gives what is awaited. every: the pause between two tries, which grows by `backoff`
    each time, up to `max_every`. timeout: of the whole; a try that runs then is asked to end. title: for people.
    Returns what was found last. Raises TimeoutError after `timeout` or `max_tries`, and what `check` raises.
    """
    current("poll")
    pause, longest = _checked(check, every, backoff, max_every, max_tries)
    limit = None if timeout is None else micros(timeout) / SECOND
    name = title or str(getattr(check, "__name__", "poll")).replace("<lambda>", "poll")
    tries, found = 0, None
    try:
        async with asyncio.timeout(limit) as scope:
            while True:
                tries += 1
                found = await check()
                if _answer(until(found)):
                    return found
                if tries == max_tries:
                    break
                await sleep(timedelta(microseconds=pause), f"{name}, try {tries + 1}")
                pause = min(int(pause * backoff), longest)
    except TimeoutError:
        if not scope.expired():
            raise
    within = f" within {timeout}" if scope.expired() else ""
    raise TimeoutError(f"{name}: not as it should be{within}, after {tries} tries; last found: {found!r:.200}")


def _checked(check: Any, every: Duration, backoff: Any, max_every: Duration, max_tries: Any) -> tuple[int, int]:
    """The pause and its limit, microseconds. Raises ValueRefused."""
    if not callable(check):
        drop(check)
        raise _refused(f"{check!r:.60} is no function", "give a function that makes the call: lambda: lag(host)")
    if max_tries is not None and (type(max_tries) is not int or max_tries < 1):
        raise _refused(f"max_tries={max_tries!r} is not a whole number from 1")
    if isinstance(backoff, bool) or not isinstance(backoff, int | float) or not 1 <= backoff <= 1000:
        raise _refused(f"backoff={backoff!r} is not a number from 1 to 1000")
    pause = micros(every) if every != math.inf else LAST_MICROS
    if not pause:
        raise _refused("every= is no time at all", "a pause of a second or more")
    return pause, max(pause, micros(max_every))


def _answer(answer: Any) -> bool:
    if inspect.isawaitable(answer):
        drop(answer)
        raise _refused("until= gives something to await, which is always true", "until= is a plain function")
    return bool(answer)


def _refused(why: str, hint: str | None = None) -> ValueRefused:
    return ValueRefused(what="dwf.poll()", why=why, hint=hint)

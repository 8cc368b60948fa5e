"""Locks between runs: `async with dwf.lock("db-prod"):`."""

from __future__ import annotations

import asyncio
from typing import Any

from dwf.core.duration import SECOND, micros
from dwf.core.locks import LONGEST_NAME
from dwf.core.retry import Duration
from dwf.core.runtime import current
from dwf.core.values import text
from dwf.errors import ValueRefused

MOST_SLOTS = 1000


class lock:  # noqa: N801 - it is called like a function
    """Hold a lock that all runs of the state directory share, while the block runs: for seconds, or for days.

        async with dwf.lock("db-prod", timeout="2h"):
            await migrate()

    It is the run that holds it, not a process: it stays held while the run waits, and over restarts, until the block is
    left or the run has ended in whatever way. Who asked first gets it first. n: how many may hold it at a time, for
    whoever asks with that n. timeout: TimeoutError when it was not had after that long; 0 only looks.
    Several tasks of a run may wait for the same lock; a block that holds it must not ask again, which blocks the run.
    While it is held or waited for the run may not continue as new. Raises ValueRefused.
    """

    def __init__(self, name: str, *, n: int = 1, timeout: Duration | None = None) -> None:
        self.name = text(name, "the name of a lock", LONGEST_NAME)
        if not self.name:
            raise ValueRefused(what="dwf.lock()", why="a lock has a name")
        if type(n) is not int or not 1 <= n <= MOST_SLOTS:
            raise ValueRefused(what=f"dwf.lock({name!r})", why=f"n is a number from 1 to {MOST_SLOTS}, not {n!r:.40}")
        self.n = n
        self._timeout = timeout
        self._limit_us = None if timeout is None else max(1, micros(timeout))
        self._held: dict[Any, int] = {}

    async def __aenter__(self) -> None:
        locks = current("lock").locks
        future: Any = locks.request(self.name, self.n)
        try:
            async with asyncio.timeout(None if self._limit_us is None else self._limit_us / SECOND):
                await future
        except TimeoutError:
            locks.release(future.number)
            raise TimeoutError(f"lock {self.name!r} was not to be had within {self._timeout}") from None
        except asyncio.CancelledError:
            locks.release(future.number)  # it may have been given in the moment in which nobody wanted it any more
            raise
        self._held[asyncio.current_task()] = future.number

    async def __aexit__(self, *_: object) -> None:
        current("lock").locks.release(self._held.pop(asyncio.current_task()))

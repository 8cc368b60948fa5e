"""A coroutine function, on the event loop of a side thread.

One loop for all, in a thread that starts with the first of them; the engine itself stays free of asyncio. A coroutine
is ended by cancelling it, and it has to play along: one that will not end is left to itself after the grace, and so is
the loop it may be blocking. What must be ended in any case belongs into a process (isolated.py).
"""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
import time
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from dwf.activities.function import dropped, encoded, failure, now_us
from dwf.activities.info import CURRENT, ActivityInfo
from dwf.activities.output import MASKING
from dwf.activities.plan import NO_PROCESS, Asked, Attempt, Kind, Outcome
from dwf.activities.prints import PRINTED, Printed
from dwf.activities.secrets import MARK, opened
from dwf.core.duration import spoken
from dwf.core.outcome import said
from dwf.core.steps import HEARTBEAT
from dwf.errors import ActivityCancelled
from dwf.host import Process

if TYPE_CHECKING:
    from dwf.core.runtime import ActivityCall

_RUNS_ON = "it did not end when it was asked to, and runs on; only a process can be ended (isolate=True)"
_ASKED = None


class _Side:
    """The loop that new coroutines go to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="dwf-async", daemon=True).start()
            return self._loop

    def abandon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Something in it does not end and may be blocking it: whoever comes next gets another one."""
        with self._lock:
            if self._loop is loop:
                self._loop = None


# Mutable and module-wide on purpose: one loop per process, as long as the process lives.
_SIDE = _Side()


class InLoop:
    """A coroutine function as a Performance."""

    def __init__(self, call: ActivityCall, attempt: Attempt) -> None:
        self._call, self._attempt = call, attempt
        self._printed = Printed(attempt.out_prefix)
        self._asked: Asked | None = None
        self._info = ActivityInfo(attempt, self)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._deadline: float | None = None
        self._lock = threading.Lock()
        # An outcome, or _ASKED: somebody asked it to end, so the grace begins.
        self._news: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()

    @property
    def process(self) -> Process:
        return NO_PROCESS

    def go(self) -> None:
        with self._lock:
            if self._asked is not None:
                return
            if self._attempt.heartbeat_us:
                self._info.pulse.last_ns = time.monotonic_ns()  # made here: two threads look at it
            if self._attempt.timeout_us:
                self._deadline = time.monotonic() + self._attempt.timeout_us / 1e6
            self._loop = _SIDE.loop()
            self._loop.call_soon_threadsafe(self._start)

    def cancel(self, reason: str) -> None:
        self._ask(Kind.CANCELLED, reason)

    def interrupt(self, reason: str) -> None:
        self._ask(Kind.INTERRUPTED, reason)

    def asked(self) -> Asked | None:
        return self._asked

    def listen(self) -> None:
        """What it is asked for is known here."""

    def _ask(self, kind: Kind, reason: str, which: str = "") -> None:
        with self._lock:
            if self._asked is not None:
                return
            self._asked = Asked(kind, reason, which)
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._cancel)
        self._news.put(_ASKED)

    def finish(self) -> Outcome:
        if self._loop is None:
            asked = self._asked or Asked(Kind.CANCELLED, "it was never begun")
            return dropped(asked.kind, asked.reason)
        while True:
            try:
                outcome = self._news.get(timeout=self._patience())
            except queue.Empty:
                if self._asked is not None:
                    return self._given_up(self._loop)
                self._look_at_clock()
            else:
                if outcome is not _ASKED:
                    return outcome
                self._deadline = time.monotonic() + self._attempt.grace_us / 1e6

    def _look_at_clock(self) -> None:
        """Its time may be up; or it was silent for too long, unless it was heard of meanwhile."""
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            self._ask(Kind.TIMED_OUT, f"it ran longer than {spoken(self._attempt.timeout_us)}")
        elif (silent_at := self._silent_at()) is not None and now >= silent_at:
            self._ask(Kind.TIMED_OUT, f"no heartbeat for {spoken(self._attempt.heartbeat_us)}", HEARTBEAT)

    def _silent_at(self) -> float | None:
        if not self._attempt.heartbeat_us or self._asked is not None:
            return None
        return self._info.pulse.last_ns / 1e9 + self._attempt.heartbeat_us / 1e6

    def _patience(self) -> float | None:
        dues = [due for due in (self._deadline, self._silent_at()) if due is not None]
        return max(min(dues) - time.monotonic(), 0) if dues else None

    def _given_up(self, loop: asyncio.AbstractEventLoop) -> Outcome:
        _SIDE.abandon(loop)
        assert self._asked is not None
        kind, reason, which = self._asked
        outcome = dropped(kind, f"{reason}; {_RUNS_ON}", self._printed.output(), which or self._attempt.limit)
        return self._info.with_heartbeat(outcome)

    # -- in the loop's thread -----------------------------------------------------------------------------------

    def _start(self) -> None:
        context = copy_context()
        context.run(self._enter)
        self._task = asyncio.get_running_loop().create_task(self._perform(), context=context)

    def _enter(self) -> None:
        CURRENT.set(self._info)
        PRINTED.set(self._printed)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _perform(self) -> None:
        given, mask = bytes(self._call.input), None
        try:
            if MARK in given:
                given, mask = await asyncio.to_thread(opened, given)
                MASKING.set(mask)
            result = await _performed(self._call, given)
            outcome = Outcome(Kind.COMPLETED, now_us(), encoded(result), output=self._printed.output())
        except BaseException as error:  # asyncio lets SystemExit and KeyboardInterrupt out of the loop, and end it
            outcome = self._failed(error)
        asked = self._asked
        if asked is not None and asked.kind is Kind.TIMED_OUT:
            outcome = dropped(asked.kind, asked.reason, outcome.output, asked.which or self._attempt.limit)
        outcome = self._info.with_heartbeat(outcome)
        if mask is not None:
            outcome = mask.outcome(outcome)
        self._news.put(outcome)

    def _failed(self, error: BaseException) -> Outcome:
        if self._asked is None:
            return failure(error, self._printed.output())
        kind, reason, _ = self._asked
        if not isinstance(error, asyncio.CancelledError | ActivityCancelled):
            reason += f"; while it was ending: {type(error).__name__}: {said(error)}"
        return dropped(kind, reason, self._printed.output())


async def _performed(call: ActivityCall, given: bytes) -> Any:
    assert call.perform is not None
    result = call.perform(given)
    return await result if inspect.isawaitable(result) else result

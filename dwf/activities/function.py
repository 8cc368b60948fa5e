"""A Python function, here and now, in the calling thread. The hot path: a no-op costs a few microseconds.

Whatever the function does comes out as an Outcome: results that cannot be stored, any exception, sys.exit(). What it
changed of the process is put back. What no in-process call can be protected from (os._exit, a segfault, an endless
loop) is what isolated.py is for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from dwf.activities.info import CURRENT, ActivityInfo, Caller
from dwf.activities.output import MASKING
from dwf.activities.plan import NO_PROCESS, Asked, Attempt, Kind, Outcome
from dwf.activities.prints import PRINTED, Printed
from dwf.activities.surroundings import Surroundings
from dwf.core.duration import micros
from dwf.core.events import ErrorInfo, Output
from dwf.core.steps import START_TO_CLOSE
from dwf.core.values import encode
from dwf.errors import ActivityCancelled, InternalError, RetryAfter, ValueRefused
from dwf.host import Process

if TYPE_CHECKING:
    from dwf.core.runtime import ActivityCall

_LOOK_SECONDS = 0.1
_SECRETS = b'"secrets":['
_DWF = f"{Path(__file__).parents[1]}/"
# Mutable and module-wide on purpose: cwd, umask and environment exist once per process, and so does their picture.
_SURROUNDINGS = Surroundings()


@contextmanager
def one_picture() -> Iterator[None]:
    """How the process is, is looked at once for all functions that are performed in the block, not before each."""
    _SURROUNDINGS.hold()
    try:
        yield
    finally:
        _SURROUNDINGS.let_go()


def perform(call: ActivityCall, attempt: Attempt, caller: Caller | None = None) -> Outcome:
    """Run the call's Python function to its end, in this thread, and tell how it ended. Never raises."""
    if call.perform is None:
        raise InternalError(what=f"the step {call.name!r} of kind {call.kind} has no function")
    given = bytes(call.input)
    play = _run_with_secrets if _SECRETS in given else run
    return play(call.perform, given, attempt, caller)


def _run_with_secrets(
    function: Callable[[bytes], Any], given: bytes, attempt: Attempt, caller: Caller | None
) -> Outcome:
    from dwf.activities.secrets import opened
    from dwf.errors import SecretUnavailable

    try:
        filled, mask = opened(given)
    except SecretUnavailable as error:
        return failure(error)
    if mask is None:
        return run(function, given, attempt, caller)
    token = MASKING.set(mask)
    try:
        return mask.outcome(run(function, filled, attempt, caller))
    finally:
        MASKING.reset(token)


def run(function: Callable[[bytes], Any], given: bytes, attempt: Attempt, caller: Caller | None = None) -> Outcome:
    """Run a function of the recorded input to its end. Never raises. caller: whom it can ask whether it is to end."""
    printed = Printed(attempt.out_prefix)
    pid = os.getpid()
    info = ActivityInfo(attempt, caller)
    told, caught = CURRENT.set(info), PRINTED.set(printed)
    handlers = _SURROUNDINGS.enter()
    try:
        outcome = _outcome_of(function, given, pid, printed)
    finally:
        _SURROUNDINGS.leave(handlers)
        PRINTED.reset(caught)
        CURRENT.reset(told)
    return info.with_heartbeat(outcome)


def _outcome_of(function: Callable[[bytes], Any], given: bytes, pid: int, printed: Printed) -> Outcome:
    try:
        result = function(given)
        if os.getpid() != pid:
            _end_copy(0)
        return Outcome(Kind.COMPLETED, now_us(), encoded(result), output=printed.output())
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: a step must not end the tick
        if os.getpid() != pid:
            _end_copy(1)
        return failure(error, printed.output())


def _end_copy(code: int) -> None:
    # The function forked and its child came back out of it: a second engine that must not do anything.
    os._exit(code)


def encoded(result: Any) -> bytes:
    """The result as JSON. Raises ValueRefused."""
    try:
        return encode(result, "the result")
    except ValueRefused:
        if isinstance(result, Coroutine):
            result.close()
        raise


def failure(error: BaseException, output: Output | None = None) -> Outcome:
    """An exception that left a step, as an outcome."""
    return Outcome(
        Kind.FAILED,
        now_us(),
        error=_described(error),
        error_types=tuple(cls.__name__ for cls in type(error).__mro__ if cls is not object),
        retry_after_us=_asked_delay(error),
        output=output,
    )


def _described(error: BaseException) -> ErrorInfo:
    from dwf.core.outcome import error_info

    try:
        return error_info(error, _outside_dwf)
    except BaseException as broken:  # exceptions can be as hostile as any code of others
        name, why = type(error).__name__, type(broken).__name__
        return ErrorInfo(type=name, message=f"(describing it raised {why})")


def _outside_dwf(filename: str) -> bool:
    return not filename.startswith(_DWF)


def _asked_delay(error: BaseException) -> int | None:
    if not isinstance(error, RetryAfter):
        return None
    try:
        return micros(error.delay)
    except (ValueRefused, AttributeError, TypeError):
        return None  # the retry policy decides


def now_us() -> int:
    return time.time_ns() // 1000


class InProcess:
    """A function as a Performance. It cannot be ended once it runs: cancelled or not, it ends by itself."""

    __slots__ = ("_asked", "_attempt", "_call", "_gone", "_looked_at", "look")

    def __init__(self, call: ActivityCall, attempt: Attempt) -> None:
        self._call, self._attempt = call, attempt
        self._asked: Asked | None = None
        self._gone = False
        self.look: Callable[[], Asked | None] | None = None
        """Asked now and then, if nobody else is there to tell it: the thread that would do so performs it."""
        self._looked_at = 0.0

    @property
    def process(self) -> Process:
        return NO_PROCESS

    def go(self) -> None:
        self._gone = True

    def finish(self) -> Outcome:
        if self._asked is not None:
            return dropped(self._asked.kind, self._asked.reason)
        if not self._gone:
            return dropped(Kind.CANCELLED, "it was never begun")
        outcome = perform(self._call, self._attempt, self)
        asked = self.asked()  # meanwhile, perhaps
        if asked is None or not gave_in(outcome):
            return outcome
        ended = dropped(asked.kind, asked.reason, outcome.output)
        return replace(ended, heartbeat=outcome.heartbeat)

    def cancel(self, reason: str) -> None:
        self._asked = self._asked or Asked(Kind.CANCELLED, reason)

    def interrupt(self, reason: str) -> None:
        self._asked = self._asked or Asked(Kind.INTERRUPTED, reason)

    def asked(self) -> Asked | None:
        if self._asked is None and self.look is not None and time.monotonic() - self._looked_at >= _LOOK_SECONDS:
            self._asked, self._looked_at = self.look(), time.monotonic()
        return self._asked

    def listen(self) -> None:
        """What it is asked for is known here."""


def gave_in(outcome: Outcome) -> bool:
    """Whether it ended by what dwf.heartbeat() raised."""
    return outcome.kind is Kind.FAILED and ActivityCancelled.__name__ in outcome.error_types


def dropped(kind: Kind, reason: str, output: Output | None = None, which: str = START_TO_CLOSE) -> Outcome:
    """A step that ended because it was asked to, without more to tell. `which`: of the timeouts, if it was one."""
    return Outcome(kind, now_us(), error=ErrorInfo(type=type_of(kind), message=reason), output=output, which=which)


def type_of(kind: Kind) -> str:
    """What stands where the class of an exception would: Cancelled, TimedOut, Interrupted."""
    return kind.name.title().replace("_", "")

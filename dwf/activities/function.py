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

from dwf.activities.info import CURRENT, ActivityInfo
from dwf.activities.output import MASKING
from dwf.activities.plan import NO_PROCESS, Attempt, Kind, Outcome
from dwf.activities.prints import PRINTED, Printed
from dwf.activities.surroundings import Surroundings
from dwf.core.duration import micros
from dwf.core.events import ErrorInfo, Output
from dwf.core.steps import START_TO_CLOSE
from dwf.core.values import encode
from dwf.errors import InternalError, RetryAfter, ValueRefused
from dwf.host import Process

if TYPE_CHECKING:
    from dwf.core.runtime import ActivityCall

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


def perform(call: ActivityCall, attempt: Attempt) -> Outcome:
    """Run the call's Python function to its end, in this thread, and tell how it ended. Never raises."""
    if call.perform is None:
        raise InternalError(what=f"the step {call.name!r} of kind {call.kind} has no function")
    given = bytes(call.input)
    return _run_with_secrets(call.perform, given, attempt) if _SECRETS in given else run(call.perform, given, attempt)


def _run_with_secrets(function: Callable[[bytes], Any], given: bytes, attempt: Attempt) -> Outcome:
    from dwf.activities.secrets import opened
    from dwf.errors import SecretUnavailable

    try:
        filled, mask = opened(given)
    except SecretUnavailable as error:
        return failure(error)
    if mask is None:
        return run(function, given, attempt)
    token = MASKING.set(mask)
    try:
        return mask.outcome(run(function, filled, attempt))
    finally:
        MASKING.reset(token)


def run(function: Callable[[bytes], Any], given: bytes, attempt: Attempt) -> Outcome:
    """Run a function of the recorded input to its end. Never raises."""
    printed = Printed(attempt.out_prefix)
    pid = os.getpid()
    told, caught = CURRENT.set(ActivityInfo(attempt)), PRINTED.set(printed)
    handlers = _SURROUNDINGS.enter()
    try:
        outcome = _outcome_of(function, given, pid, printed)
    finally:
        _SURROUNDINGS.leave(handlers)
        PRINTED.reset(caught)
        CURRENT.reset(told)
    return outcome


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

    __slots__ = ("_asked", "_attempt", "_call", "_gone")

    def __init__(self, call: ActivityCall, attempt: Attempt) -> None:
        self._call, self._attempt = call, attempt
        self._asked: tuple[Kind, str] | None = None
        self._gone = False

    @property
    def process(self) -> Process:
        return NO_PROCESS

    def go(self) -> None:
        self._gone = True

    def finish(self) -> Outcome:
        if self._asked is not None:
            return dropped(*self._asked)
        if not self._gone:
            return dropped(Kind.CANCELLED, "it was never begun")
        return perform(self._call, self._attempt)

    def cancel(self, reason: str) -> None:
        self._asked = self._asked or (Kind.CANCELLED, reason)

    def interrupt(self, reason: str) -> None:
        self._asked = self._asked or (Kind.INTERRUPTED, reason)


def dropped(kind: Kind, reason: str, output: Output | None = None, which: str = START_TO_CLOSE) -> Outcome:
    """A step that ended because it was asked to, without more to tell. `which`: of the timeouts, if it was one."""
    return Outcome(kind, now_us(), error=ErrorInfo(type=type_of(kind), message=reason), output=output, which=which)


def type_of(kind: Kind) -> str:
    """What stands where the class of an exception would: Cancelled, TimedOut, Interrupted."""
    return kind.name.title().replace("_", "")

"""Waiting, asking, and the deterministic stand-ins for clock and chance."""

from __future__ import annotations

import asyncio
import logging
import math
import random as _random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from dwf.core.duration import LAST_MICROS, SECOND, micros, moment, moment_micros
from dwf.core.events import NOTHING, Payload
from dwf.core.messages import check_signal_name
from dwf.core.retry import Duration
from dwf.core.runtime import Info, Question, Runtime, Signal, current, in_workflow, names
from dwf.core.values import decode, encode, text
from dwf.errors import ValueRefused

T = TypeVar("T")
_NO_DEFAULT: Any = object()
_NO_MORE = object()


# -- time -------------------------------------------------------------------------------------------------------


async def sleep(duration: Duration, purpose: str = "sleep") -> None:
    """Wait that long (seconds, or text such as "10m"). No process lives while it waits.

    What is left of a deadline may be negative: then it does not wait. `math.inf` waits until it is cancelled.
    """
    runtime = current("sleep")
    if duration == math.inf:
        await asyncio.sleep(math.inf)
    await runtime.sleep_until_us(min(runtime.now_us() + _at_least_none(duration), LAST_MICROS), purpose)


def _at_least_none(duration: Duration) -> int:
    if isinstance(duration, timedelta):
        return micros(max(duration, timedelta()))
    return micros(duration) if isinstance(duration, str | bool) or not duration < 0 else 0


async def sleep_until(when: datetime, purpose: str = "sleep") -> None:
    """Wait until an aware datetime; one in the past does not wait. Raises ValueRefused for a naive one."""
    await current("sleep_until").sleep_until_us(moment_micros(when), purpose)


def now() -> datetime:
    """The time of the event that this code reacts to, UTC. The same in every replay."""
    return moment(current("now").now_us())


async def wait_until(condition: Any, *, timeout: Duration | None = None) -> None:
    """Wait until something about the run's own state is so: `await dwf.wait_until(lambda: len(votes) >= 2)`.

    condition: a plain function without parameters that only looks. It is asked now and after each event that the run is
    told of (a signal, the end of a step, a time), when everything that follows from that has been done; it must
    depend on nothing but variables of the workflow. What it raises is a bug: the run is blocked.
    timeout: TimeoutError after that long; 0 only looks.
    """
    runtime = current("wait_until")
    if not callable(condition):
        why = "the condition is a value, which stays as it is; give a function: lambda: ..."
        raise ValueRefused(what="dwf.wait_until()", why=why)
    limit_us = None if timeout is None else micros(timeout)
    if runtime.holds(condition):
        return
    try:
        async with asyncio.timeout(None if limit_us is None else limit_us / SECOND):
            await runtime.condition(condition)
    except TimeoutError:
        raise TimeoutError(f"the condition of dwf.wait_until() did not hold within {timeout}") from None


# -- signals ----------------------------------------------------------------------------------------------------


async def wait_signal(
    name: str,
    *,
    type: Any = None,  # noqa: A002
    timeout: Duration | None = None,
    default: Any = _NO_DEFAULT,
) -> Any:
    """The payload of the next signal of that name, also one that came before anybody waited.

    type: what the payload is converted to; a signal that does not fit it is passed over, with a note in the log, and
    the next one is waited for. timeout: after it `default` is returned, or TimeoutError raised if there is none; 0 only
    looks.
    """
    runtime = current("wait_signal")
    check_signal_name(name)
    until_us = None if timeout is None else runtime.now_us() + micros(timeout)
    while True:
        signal = runtime.take_signal(name)
        if signal is None:
            limit = None if until_us is None else max(until_us - runtime.now_us(), 0)
            try:
                signal = await _arrival(name, limit)
            except TimeoutError:
                if default is _NO_DEFAULT:
                    raise TimeoutError(f"no signal {name!r} within {timeout}") from None
                return default
        if fitting := _fitting(runtime, [signal], type):
            return fitting[0]


async def wait_signals(
    name: str,
    *,
    type: Any = None,  # noqa: A002
    timeout: Duration | None = None,
    default: Any = _NO_DEFAULT,
) -> list[Any]:
    """The payloads of all signals of that name that are there, oldest first; of the next one if there is none yet.

    They are taken with one event, so that a run that is told very much stays short. The rest is as in `wait_signal`.
    """
    runtime = current("wait_signals")
    check_signal_name(name)
    until_us = None if timeout is None else runtime.now_us() + micros(timeout)
    while True:
        if fitting := _fitting(runtime, runtime.take_signals(name), type):
            return fitting
        left = None if until_us is None else max(until_us - runtime.now_us(), 0)
        try:
            if fitting := _fitting(runtime, [await _arrival(name, left)], type):
                return fitting
        except TimeoutError:
            if default is _NO_DEFAULT:
                raise TimeoutError(f"no signal {name!r} within {timeout}") from None
            return default  # type: ignore[no-any-return]


def _fitting(runtime: Runtime, received: list[Signal], kind: Any) -> list[Any]:
    """The payloads that are of the kind that was asked for; of the others a note is made."""
    found = []
    for signal in received:
        try:
            found.append(decode(runtime.read(signal.payload), kind))
        except ValueRefused as error:
            # A mistake of whoever sent it, and no bug of the script: the run is not blocked for that.
            runtime.note(f"signal {signal.name} (line {signal.event}) was passed over: {error.facts['why']}")
    return found


class signals:  # noqa: N801 - it is called like a function
    """The signals of a name as they come: `async for order in dwf.signals("order", type=Order): ...`

    type: as in `wait_signal`. timeout: the loop ends when none has come for so long; without it, it waits for ever.
    """

    def __init__(self, name: str, *, type: Any = None, timeout: Duration | None = None) -> None:  # noqa: A002
        self._name, self._type, self._timeout = check_signal_name(name), type, timeout

    def __aiter__(self) -> signals:
        return self

    async def __anext__(self) -> Any:
        found = await wait_signal(self._name, type=self._type, timeout=self._timeout, default=_NO_MORE)
        if found is _NO_MORE:
            raise StopAsyncIteration
        return found


async def _arrival(name: str, limit_us: int | None) -> Any:
    if limit_us == 0:
        # Others get their turn, and a script that only ever looks comes to its callback budget.
        await asyncio.sleep(0)
        raise TimeoutError
    runtime = current("wait_signal")
    number, future = runtime.open_signal_wait(name)
    try:
        async with asyncio.timeout(None if limit_us is None else limit_us / SECOND):
            return await future
    except (asyncio.CancelledError, TimeoutError):
        runtime.close_signal_wait(number)
        raise


# -- people -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Approval:
    """A yes. `by`: who gave it; `comment`: the last one's; `timed_out`: nobody did, and the deadline says yes."""

    by: tuple[str, ...]
    comment: str = ""
    timed_out: bool = False


async def approve(
    prompt: str,
    *,
    by: str | Sequence[str] = (),
    need: int = 1,
    timeout: Duration | None = None,
    on_timeout: Literal["approve", "reject", "fail"] = "reject",
    show: Any = None,
) -> Approval:
    """Ask people, and wait for their yes.

    by: user names and "@group" names that may answer; empty: whoever may post to this run. need: how many different
    people must say yes. on_timeout: what a passed `timeout` means. show: data to show beside the prompt; an answer is
    bound to prompt and data, so a yes to something else does not count.
    Raises ApprovalRejected on no (also by the deadline), Failure when the deadline passes with on_timeout="fail".
    """
    allowed = tuple(text(name, "a name in by=", 200) for name in names(by))
    if not text(prompt, "the prompt of dwf.approve()").strip():
        raise ValueRefused(what="dwf.approve()", why="the prompt is empty")
    if type(need) is not int or need < 1:
        raise ValueRefused(what="dwf.approve()", why=f"need={need!r} is not a whole number from 1")
    if on_timeout not in ("approve", "reject", "fail"):
        raise ValueRefused(what="dwf.approve()", why=f"on_timeout={on_timeout!r} is not approve, reject or fail")
    question = Question(
        prompt=prompt,
        by=allowed,
        need=need,
        # 0 would say that there is no deadline
        timeout_us=0 if timeout is None else max(1, micros(timeout)),
        on_timeout=on_timeout,
        show=NOTHING if show is None else Payload(encode(show, "show=")),
    )
    answer = await current("approve").approval(question)
    return Approval(tuple(answer.by), answer.comment, answer.timed_out)


# -- values and words -------------------------------------------------------------------------------------------


def once(function: Callable[[], T], /, *, name: str = "") -> T:
    """Compute something here and now, once, and keep it: reads only (it may run again until its batch is on disk)."""
    label = name or getattr(function, "__name__", "once")
    result: T = decode(current("once").once(label, function))
    return result


def uuid4() -> uuid.UUID:
    """A random UUID that is the same in every replay."""
    return current("uuid4").uuid4()


def random() -> _random.Random:
    """A random generator that gives the same numbers in every replay: `dwf.random().choice(hosts)`."""
    return current("random").random()


def status(line: str) -> None:
    """One line about where the run is, shown by `dwf list` and `dwf show`."""
    current("status").status(line)


def degrade(why: str) -> None:
    """Mark the run: something went wrong that does not end it. If it completes, its status is `degraded`."""
    current("degrade").degrade(why)


def info() -> Info:
    """What a run may know about itself."""
    return current("info").info()


def patched(patch: str) -> bool:
    """Whether this run takes the new branch of a change: True for runs that pass here for the first time."""
    return current("patched").patched(patch)


def deprecate_patch(patch: str) -> None:
    """Stand in for `patched(patch)` once no run is left on the old branch."""
    current("deprecate_patch").deprecate_patch(patch)


class Log:
    """Replay-safe logging: in a workflow a line is written once, after what it speaks of is on disk."""

    def debug(self, line: str, *args: object) -> None:
        self._say(logging.DEBUG, line, args)

    def info(self, line: str, *args: object) -> None:
        self._say(logging.INFO, line, args)

    def warning(self, line: str, *args: object) -> None:
        self._say(logging.WARNING, line, args)

    def error(self, line: str, *args: object) -> None:
        self._say(logging.ERROR, line, args)

    def _say(self, level: int, line: str, args: tuple[object, ...]) -> None:
        if in_workflow():
            current("log").say(level, "dwf", str(line) % args if args else str(line))
        else:
            logging.getLogger("dwf").log(level, line, *args)


log = Log()

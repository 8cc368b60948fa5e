"""Retries: when is an attempt made again, and after how long. A decision, not a wait: nothing in here sleeps."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, cast

from dwf.core.duration import LAST_MICROS, micros
from dwf.core.events import ErrorInfo, RetryPolicy
from dwf.errors import ValueRefused

Duration = float | str | timedelta
Jitter = Literal["none", "half", "full"]


@dataclass(frozen=True, slots=True)
class AttemptFailure:
    """What is known of an attempt that ended badly. `types`: the class names of the exception and its bases."""

    error: ErrorInfo
    types: tuple[str, ...] = ()
    exit_code: int | None = None
    output: str = ""


@dataclass(frozen=True)
class Retry:
    """How an activity is retried.

    max_attempts: attempts in all, the first included; None is without limit. Default 3.
    initial, max_interval: durations ("1s"); the delay after attempt n is `initial * backoff ** (n - 1)`, capped, but
    never below `initial`.
    jitter: "none"; "half" draws from the upper half of the delay, "full" from all of it.
    non_retryable: exception classes, or their names, that end the activity at once (a base class counts).
    non_retryable_codes: exit codes of a shell step that end it at once.
    retry_codes: if given, only these exit codes are tried again.
    retry_on_output: if given, a shell step is tried again only if this regular expression is found in its output.
    retry_if: a predicate on the recorded error (type, message, details); False ends the activity at once. One that
    raises counts as True.

    Raises ValueRefused at once for a policy that makes no sense (NaN, negative, zero attempts).
    """

    max_attempts: int | None = 3
    initial: Duration = "1s"
    backoff: float = 2.0
    max_interval: Duration = "1m"
    jitter: Jitter = "half"
    non_retryable: tuple[str | type[BaseException], ...] = ()
    non_retryable_codes: tuple[int, ...] = ()
    retry_codes: tuple[int, ...] | None = None
    retry_on_output: str | None = None
    retry_if: Callable[[ErrorInfo], bool] | None = None

    def __post_init__(self) -> None:
        limit = self.max_attempts
        if limit is not None and (type(limit) is not int or limit < 1):
            raise _refused(f"max_attempts={limit!r} is not a whole number from 1")
        if isinstance(self.backoff, bool) or not isinstance(self.backoff, int | float):
            raise _refused(f"backoff={self.backoff!r} is not a number")
        if not 1.0 <= self.backoff <= 1000.0:
            raise _refused(f"backoff={self.backoff} is not between 1 and 1000")
        if self.jitter not in ("none", "half", "full"):
            raise _refused(f"jitter={self.jitter!r} is not none, half or full")
        micros(self.initial)
        micros(self.max_interval)
        # One name or code is as good as a tuple of one; iterating over the letters of a name would match nothing.
        for field in ("non_retryable", "non_retryable_codes", "retry_codes"):
            value = getattr(self, field)
            if isinstance(value, str | type | int):
                object.__setattr__(self, field, (value,))
        if self.retry_on_output is not None:
            try:
                re.compile(self.retry_on_output)
            except re.error as error:
                raise _refused(f"retry_on_output is not a regular expression: {error}") from None

    def gives_up(self, attempt: int, failure: AttemptFailure) -> bool:
        """Whether attempt number `attempt`, ended by such a failure, was the last."""
        if self.max_attempts is not None and attempt >= self.max_attempts:
            return True
        names = {kind if isinstance(kind, str) else kind.__name__ for kind in self.non_retryable}
        if not names.isdisjoint(failure.types):
            return True
        if failure.exit_code is not None and self._hopeless(failure.exit_code, failure.output):
            return True
        return self.retry_if is not None and not self._allows(failure.error)

    def _allows(self, error: ErrorInfo) -> bool:
        """A predicate that stumbles says nothing: then the step is tried again, for a typo must not end a run."""
        assert self.retry_if is not None
        try:
            return bool(self.retry_if(error))
        except Exception:
            return True

    def _hopeless(self, code: int, output: str) -> bool:
        if code in self.non_retryable_codes:
            return True
        if self.retry_codes is not None and code not in self.retry_codes:
            return True
        return self.retry_on_output is not None and re.search(self.retry_on_output, output) is None

    def delay_us(self, attempt: int, chance: float) -> int:
        """Microseconds to wait after attempt number `attempt`; `chance` in [0, 1) is the jitter's draw."""
        # Who waits an hour at first has not asked for a minute at most.
        longest = max(micros(self.max_interval), micros(self.initial))
        # Exponents stay small: beyond 64 doublings every sensible policy is at its cap.
        full = min(float(longest), micros(self.initial) * self.backoff ** min(attempt - 1, 64))
        if self.jitter == "full":
            full *= chance
        elif self.jitter == "half":
            full *= 0.5 + chance / 2
        return min(int(full), LAST_MICROS)


def _refused(why: str) -> ValueRefused:
    return ValueRefused(what="retry policy", why=why)


NEVER = Retry(max_attempts=1)
"""At most once: an attempt that dwf died in is not repeated either; whether it took effect is then unknown."""

AFTER_CRASH = Retry(retry_if=lambda _: False)
"""What fails is final, but an attempt that dwf or the machine died in is made again, three in all."""


USUAL = Retry()
"""Of a declared step that says nothing; known by its identity, so that a workflow can have another for its steps."""


def policy_of(retry: Retry) -> RetryPolicy:
    """As a history has it, for a run. Raises ValueRefused for what cannot be recorded, or is for shell steps only."""
    if retry.retry_if is not None:
        hint = "say it where the workflow is declared: @dwf.workflow(retry=...)"
        raise ValueRefused(what="retry policy", why="a retry_if is code, and cannot be recorded", hint=hint)
    if retry.non_retryable_codes or retry.retry_codes is not None or retry.retry_on_output is not None:
        raise _refused("exit codes and output are those of a shell step, and a run has none")
    return RetryPolicy(
        max_attempts=retry.max_attempts or 0,
        initial=micros(retry.initial),
        backoff=float(retry.backoff),
        max_interval=micros(retry.max_interval),
        jitter=retry.jitter,
        non_retryable=[kind if isinstance(kind, str) else kind.__name__ for kind in retry.non_retryable],
    )


def retry_of(policy: RetryPolicy) -> Retry:
    """The inverse. Raises ValueRefused for what `policy_of` would not have made."""
    return Retry(
        max_attempts=policy.max_attempts or None,
        initial=timedelta(microseconds=policy.initial),
        backoff=policy.backoff,
        max_interval=timedelta(microseconds=policy.max_interval),
        jitter=cast(Jitter, policy.jitter),
        non_retryable=tuple(policy.non_retryable),
    )


def chance_for(nonce: str, command: int, attempt: int) -> float:
    """The jitter's draw: spread over runs, the same for one attempt however often it is asked."""
    return random.Random(f"{nonce}:{command}:{attempt}").random()


def retry_at(now_us: int, retry: Retry, attempt: int, chance: float, asked_us: int | None) -> int:
    """When the next attempt is due. `asked_us`: the activity raised RetryAfter, which wins over the policy."""
    delay = asked_us if asked_us is not None else retry.delay_us(attempt, chance)
    return min(now_us + delay, LAST_MICROS)

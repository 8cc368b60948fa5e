"""What an attempt of a step is told of itself, and what it leaves beside its output. Begins and ends nothing."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from dwf.activities.plan import Attempt, Limited, Performance
from dwf.activities.pulse import SUFFIXES, details_left
from dwf.core.duration import unstamp
from dwf.core.events import NOTHING
from dwf.core.headers import variable
from dwf.core.runtime import ActivityCall
from dwf.core.state import OpenStep
from dwf.core.steps import SCHEDULE_TO_CLOSE, START_TO_CLOSE
from dwf.engine.context import Engine
from dwf.engine.journal import Journal
from dwf.errors import StepStillRuns

# Recorded input of commands that get secrets: what such a one leaves can be masked only by who has looked them up.
_SECRET = (b'"secret_env":', b'"secret_stdin":')


class Attempts:
    """Those of one run. journal: gives the run's, which is another one when the run is read anew."""

    def __init__(self, engine: Engine, journal: Callable[[], Journal]) -> None:
        self._engine = engine
        self._journal = journal
        self._over: list[str] = []

    def of(self, step: OpenStep, call: ActivityCall, number: int) -> Attempt:
        """An attempt that begins now."""
        limit, timeout_us = self.limit(step, call.timeout_us, self._engine.clock())
        return replace(
            self.named(step, number),
            timeout_us=timeout_us,
            grace_us=call.grace_us,
            limit=limit,
            heartbeat_us=call.heartbeat_us,
            details=bytes(self._engine.store.blobs.resolve(step.heartbeat or NOTHING)),
        )

    def limit(self, step: OpenStep, timeout_us: int, begins_us: int) -> tuple[str, int]:
        """How long an attempt that begins then may take, 0 for ever; and by which of the step's timeouts."""
        left = max(unstamp(step.close_by) - begins_us, 1) if step.close_by else 0
        if left and (not timeout_us or left < timeout_us):
            return SCHEDULE_TO_CLOSE, left
        return START_TO_CLOSE, timeout_us

    def relimit(self, step: OpenStep, call: ActivityCall, performance: Performance) -> None:
        """A person has set other limits while an attempt runs. A keeper cannot be told: what is kept has its time."""
        if isinstance(performance, Limited) and step.started is not None:
            limit, timeout_us = self.limit(step, call.timeout_us, unstamp(step.started.ts))
            performance.relimit(limit, timeout_us, call.heartbeat_us)

    def named(self, step: OpenStep, number: int) -> Attempt:
        """Which attempt it is, and where what it leaves lies."""
        head = self._journal().state.head
        prefix = self._prefix(step, number)
        return Attempt(
            run=head.run,
            nonce=head.nonce,
            command=step.command,
            attempt=number,
            name=step.title,
            key=self.key(step.command),
            out_prefix=prefix,
            pulse=prefix,
            env={variable(name): value for name, value in head.headers.items()},
        )

    def key(self, command: int) -> str:
        """The idempotency key: of the step and not of an attempt, the same on every host and for ever."""
        run, link = self._journal().state.head.run, self._journal().link
        return f"{run}:{command}" if link == 1 else f"{run}~{link}:{command}"

    def _prefix(self, step: OpenStep, number: int) -> str:
        journal = self._journal()
        return self._engine.store.outputs.prefix(journal.state.head.run, step.command, number, journal.link)

    # -- what it leaves -----------------------------------------------------------------------------------------

    def left_by(self, step: OpenStep) -> bytes | None:
        """What the last heartbeat of its last attempt told, as JSON, if it can be known and may be told."""
        if any(mark in bytes(step.scheduled.input) for mark in _SECRET):
            return None
        return details_left(self._prefix(step, step.attempts), step.scheduled.kind)

    def over(self, step: OpenStep) -> None:
        """The history is about to tell how its last attempt ended; then what it left beside its output may go."""
        self._over.append(self._prefix(step, step.attempts))

    def tidy(self) -> None:
        """It is on disk."""
        over, self._over = self._over, []
        for prefix in over:
            self._engine.store.outputs.discard(f"{prefix}{suffix}" for suffix in SUFFIXES)


def as_set(call: ActivityCall, step: OpenStep) -> ActivityCall:
    """The call as the script asks for it, with what a person has set since."""
    if not step.options:
        return call
    limits = {"timeout_us": step.option("timeout", call.timeout_us), "schedule_to_close_us": step.schedule_to_close}
    return replace(call, heartbeat_us=step.option("heartbeat", call.heartbeat_us), **limits)


def still_runs(title: str, pid: int) -> StepStillRuns:
    """Something of an attempt cannot be ended."""
    return StepStillRuns(step=title, pid=pid, hint=f"look at it (ps -s {pid}) and end it; then: dwf tick")


def no_probe(_: bytes) -> None:
    """Stands where a probe should be."""
    raise LookupError("the code that the run was moved to has no probe for it")

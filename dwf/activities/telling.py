"""What is told of a process that has ended: for the record, for scripts, for people."""

from __future__ import annotations

import signal
from typing import Any

from dwf.activities.function import now_us, type_of
from dwf.activities.gated import Ended
from dwf.activities.output import summary
from dwf.activities.plan import Attempt, Kind, Outcome
from dwf.core.events import ErrorInfo, Payload
from dwf.core.values import encode

_MEANINGS = {126: "cannot be executed", 127: "not found"}


def details(ended: Ended) -> Payload:
    """What a script may want to know of a process that failed."""
    facts: dict[str, Any] = {"exit_code": exit_code(ended.status)}
    if is_signal(ended.status):
        facts["signal"] = -(ended.status or 0)
    return Payload(encode({**facts, "stderr": ended.err.tail(), "stdout": ended.out.tail()}))


def is_signal(status: int | None) -> bool:
    """Whether a signal killed it."""
    return status is not None and status < 0


def exit_code(status: int | None) -> int:
    """As a shell tells it: 128 + n for signal n."""
    return 128 - status if status is not None and status < 0 else status or 0


def told(status: int | None) -> str:
    """How a process ended, for people."""
    if status is not None and status < 0:
        return f"killed by signal {-status} ({_signal_name(-status)})"
    meaning = _MEANINGS.get(status or 0)
    return f"exit code {status} ({meaning})" if meaning else f"exit code {status}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"  # a real-time signal


def cannot_start(problem: Exception, cwd: str) -> Outcome:
    """The process could not be made at all."""
    where = f" in {cwd}" if cwd else ""
    why = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
    return Outcome(
        Kind.FAILED,
        now_us(),
        error=ErrorInfo(type=type(problem).__name__, message=f"cannot start{where}: {why}"),
        error_types=tuple(cls.__name__ for cls in type(problem).__mro__ if cls is not object),
    )


def made_to_end(ended: Ended, attempt: Attempt, heartbeat: bytes | None) -> Outcome:
    """Timed out, cancelled or interrupted."""
    assert ended.asked is not None
    kind, reason, which = ended.asked
    facts: dict[str, Any] = {"exit_code": exit_code(ended.status)} if ended.status is not None else {}
    if ended.left:
        facts["left"] = list(ended.left)
        reason += f"; could not be ended: {', '.join(map(str, ended.left))}"
    return Outcome(
        kind,
        now_us(),
        error=ErrorInfo(type=type_of(kind), message=reason, details=Payload(encode(facts))),
        exit_code=facts.get("exit_code"),
        output=summary(attempt.out_prefix, ended.out, ended.err),
        which=which or attempt.limit,
        heartbeat=heartbeat,
    )

"""Time limits of steps, and what cancelling one does, as a script gives them. Nothing is enforced in here."""

from __future__ import annotations

from typing import Any, Literal

from dwf.core.duration import micros
from dwf.core.retry import Duration
from dwf.errors import ValueRefused

Cancellation = Literal["wait", "try", "abandon"]


def limits(
    of: str,
    start_to_close: Duration | None,
    schedule_to_start: Duration | None,
    schedule_to_close: Duration | None,
    heartbeat_timeout: Duration | None,
    cancellation_type: Cancellation,
) -> dict[str, Any]:
    """What an ActivityCall has of it: limits in microseconds, 0 for none. Raises ValueRefused."""
    if cancellation_type not in ("wait", "try", "abandon"):
        why = f"{cancellation_type!r:.60} is not wait, try or abandon"
        raise ValueRefused(what=f"cancellation_type of {of}", why=why)
    return {
        "cancellation": "" if cancellation_type == "wait" else cancellation_type,
        "timeout_us": _length("timeout" if of == "dwf.sh()" else "start_to_close", of, start_to_close),
        "schedule_to_start_us": _length("schedule_to_start", of, schedule_to_start),
        "schedule_to_close_us": _length("schedule_to_close", of, schedule_to_close),
        "heartbeat_us": _length("heartbeat_timeout", of, heartbeat_timeout),
    }


def _length(name: str, of: str, limit: Duration | None) -> int:
    if limit is None:
        return 0
    length = micros(limit)
    if not length:
        what = f"{name} of {of}"
        raise ValueRefused(what=what, why="no step ends within no time", hint="leave it out for no limit")
    return length

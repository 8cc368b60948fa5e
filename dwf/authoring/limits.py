"""Time limits of steps, as a script gives them. Nothing is enforced in here."""

from __future__ import annotations

from typing import Any

from dwf.core.duration import micros
from dwf.core.retry import Duration
from dwf.errors import ValueRefused


def limits(
    of: str,
    start_to_close: Duration | None,
    schedule_to_start: Duration | None,
    schedule_to_close: Duration | None,
    heartbeat_timeout: Duration | None,
) -> dict[str, Any]:
    """The limits of a step as an ActivityCall has them: microseconds, 0 for none. Raises ValueRefused."""
    return {
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

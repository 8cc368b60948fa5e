"""Durations and timestamps: the one place that knows their text forms.

Durations are integer microseconds inside dwf and carry their unit outside ("30s", "1h30m"). Timestamps are UTC
RFC 3339 text with exactly six decimals, so that they sort as text and have a fixed width in a history line.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from dwf.errors import ValueRefused

SECOND = 1_000_000
_UNITS = {
    "us": 1,
    "ms": 1_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
    "d": 86400 * SECOND,
    "w": 7 * 86400 * SECOND,
}
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d|w)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Year 9999 is where datetime ends; a deadline beyond it could not be written down.
LAST_MICROS = 253_402_300_799_999_999


def micros(value: float | str | timedelta) -> int:
    """A duration as whole microseconds, rounded up: `30`, `1.5` (seconds), `"1h30m"`, or a timedelta.

    Raises ValueRefused for NaN, infinity, negative numbers, unknown units and text without a unit.
    """
    if isinstance(value, timedelta):
        return _checked(value // timedelta(microseconds=1), value)
    if isinstance(value, str):
        return _checked(_parse(value), value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueRefused(what=f"duration {value!r}", why="it must be seconds or text such as '30s' or '1h30m'")
    return _checked(math.ceil(value * SECOND), value)


def _parse(text: str) -> int:
    compact = text.strip().replace(" ", "")
    parts = _PART.findall(compact)
    if not parts or "".join(n + u for n, u in parts) != compact:
        raise ValueRefused(
            what=f"duration {text!r}",
            why="it needs a number and a unit",
            hint="write it like 30s, 10m, 1h30m, 2d or 500ms",
        )
    return math.ceil(sum(float(number) * _UNITS[unit] for number, unit in parts))


def _checked(result: int, given: object) -> int:
    if result < 0:
        raise ValueRefused(what=f"duration {given!r}", why="it is negative")
    if result > LAST_MICROS:
        raise ValueRefused(what=f"duration {given!r}", why="it ends after the year 9999")
    return result


def spoken(us: int) -> str:
    """A duration for people, two units at most: `350ms`, `12s`, `4m10s`, `3h`, `2d4h`."""
    if us < SECOND:
        return f"{us // 1000}ms"
    seconds = us // SECOND
    if seconds < 10 and us % SECOND >= 100_000:
        return f"{us / SECOND:.1f}s"
    words = []
    for name, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            words.append(f"{count}{name}")
        elif words:
            break
    return "".join(words[:2])


def stamp(us: int) -> str:
    """Microseconds since the epoch as UTC RFC 3339 text of fixed width."""
    return (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def unstamp(text: str) -> int:
    """The inverse of `stamp`. Raises ValueError for anything that `stamp` would not have written."""
    if len(text) != 27 or text[26] != "Z":
        raise ValueError(f"not a timestamp of dwf: {text!r}")
    moment = datetime.fromisoformat(text[:26]).replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(us: int) -> datetime:
    """Microseconds since the epoch as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=us)


def moment_micros(when: datetime) -> int:
    """An aware datetime as microseconds since the epoch. Raises ValueRefused for a naive one."""
    if when.tzinfo is None:
        raise ValueRefused(
            what=f"time {when.isoformat()}",
            why="it has no time zone",
            hint="use datetime(..., tzinfo=zoneinfo.ZoneInfo('Europe/Berlin')) or dwf.now()",
        )
    return (when - _EPOCH) // timedelta(microseconds=1)

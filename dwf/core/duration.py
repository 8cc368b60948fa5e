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
# Digits are counted: Python itself refuses to read a number of 5 000 of them, with an error of its own.
_PART = re.compile(r"\s*(\d{1,18})(?:\.(\d{1,18}))?\s*(us|ms|s|m|h|d|w)\s*", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_AS_NAIVE = datetime(1970, 1, 1)  # what text without its zone is read against: half the time
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
    if isinstance(value, int) and not isinstance(value, bool):
        return _checked(value * SECOND, value)
    if not isinstance(value, float) or not math.isfinite(value):
        raise ValueRefused(what=f"duration {value!r:.60}", why="it must be seconds or text such as '30s' or '1h30m'")
    return _checked(rounded_up(value), value)


def rounded_up(seconds: float) -> int:
    """Finite seconds as the fewest whole microseconds that are not less.

    Never earlier than asked, else `while time() < d: await sleep(d - time())` would hang; and no later than needed, so
    that 16.1 seconds are 16 100 000 and not one more because of the last bit of a float. What ends after the year 9999
    is LAST_MICROS + 1, however much it is.
    """
    if seconds > LAST_MICROS / SECOND:
        return LAST_MICROS + 1
    result = math.ceil(seconds * SECOND)
    while result / SECOND < seconds:
        result += 1
    while (result - 1) / SECOND >= seconds:
        # Beyond 2**53 neighbours look alike: a float cannot say less than that.
        if (result - 1) / SECOND == result / SECOND:
            break
        result -= 1
    return result


def _parse(text: str) -> int:
    total, at = 0, 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            break
        whole, fraction, unit = part.groups(default="")
        # Integers all the way: the float 16.1 is not 16.1 seconds.
        total += -(-int(whole + fraction) * _UNITS[unit] // 10 ** len(fraction))
        at = part.end()
    if at == 0 or at < len(text):
        raise ValueRefused(
            what=f"duration {text!r:.60}",
            why="it needs a number and a unit",
            hint="write it like 30s, 10m, 1h30m, 2d or 500ms",
        )
    return total


def _checked(result: int, given: object) -> int:
    if result < 0:
        raise ValueRefused(what=f"duration {given!r:.60}", why="it is negative")
    if result > LAST_MICROS:
        raise ValueRefused(what=f"duration {given!r:.60}", why="it ends after the year 9999")
    return result


_MOMENT_US = 50_000


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


def asked_span(us: int) -> str:
    """How long somebody asked for, from what is left of it when that is written down a moment later."""
    return spoken(us + (-us % _MOMENT_US if us > 10 * _MOMENT_US else 0))


def stamp(us: int) -> str:
    """Microseconds since the epoch as UTC RFC 3339 text of fixed width."""
    # Not strftime, which takes ten times as long: each event and each row has some.
    return (_EPOCH_AS_NAIVE + timedelta(microseconds=us)).isoformat(timespec="microseconds") + "Z"


def unstamp(text: str) -> int:
    """The inverse of `stamp`. Raises ValueError for anything that `stamp` would not have written."""
    # fromisoformat reads more than that: other separators, weeks, a comma before the fraction.
    if len(text) != 27 or text[26] != "Z" or text[19] != "." or text[10] != "T" or not text[4] == text[7] == "-":
        raise ValueError(f"not a timestamp of dwf: {text!r:.60}")
    since = datetime.fromisoformat(text[:26]) - _EPOCH_AS_NAIVE
    return (since.days * 86400 + since.seconds) * SECOND + since.microseconds


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

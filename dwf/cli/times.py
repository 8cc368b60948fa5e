"""Times as people type them and as they are shown. Inside dwf a time is microseconds since the epoch, UTC.

Typed: RFC 3339 (`2026-11-23T22:00:00+01:00`), `2026-11-23 22:00`, `22:00` (the next one), `today 18:00`,
`tomorrow 09:00`, `2h ago`, `in 2h`, `1h30m` (from now), `now`. Without an offset it is local time; one
that a change of the clocks makes ambiguous, or that does not exist, is refused with the readings it could have.

Shown: local with offset (or UTC), and how long ago.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from dwf.core.duration import LAST_MICROS, SECOND, micros, moment, moment_micros, spoken, stamp, unstamp
from dwf.errors import UsageError, ValueRefused

_DATED = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d?:\d\d(?::\d\d(?:\.\d{1,6})?)?))?\s*([Zz]|[+-]\d\d:?\d\d)?")
_NAMED = re.compile(r"(today|tomorrow|yesterday)(?:\s+(?:at\s+)?(\d\d?:\d\d(?::\d\d)?))?")
_CLOCK = re.compile(r"\d\d?:\d\d(?::\d\d)?")
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_HINT = "write it like 2026-11-23T22:00:00+01:00, '2026-11-23 22:00', 22:00, 'tomorrow 09:00', '2h ago' or 1h30m"
# From how many seconds on a unit is used, and how many it has: 47 hours say more than one day.
_UNITS = ((2 * 86_400, 86_400, "d"), (3600, 3600, "h"), (60, 60, "m"))


def parse_duration(text: str) -> int:
    """A duration such as `90s` or `1h30m`, in microseconds. Raises UsageError."""
    try:
        return micros(text)
    except ValueRefused as error:
        raise UsageError(what=error.message, hint=error.hint or "write it like 30s, 10m, 1h30m or 2d") from None


def parse_when(text: str, now_us: int) -> int:
    """A point in time as microseconds since the epoch. Raises UsageError."""
    words = " ".join(text.split())
    try:
        found = _moment(words, now_us)
    except (ValueError, OverflowError) as error:
        raise UsageError(what=f"{text!r} is not a time: {error}", hint=_HINT) from None
    if found is None:
        raise UsageError(what=f"{text!r} is not a time", hint=_HINT)
    if not 0 <= found <= LAST_MICROS:
        raise UsageError(what=f"{text!r} lies outside the years 1970 to 9999", hint=_HINT)
    return found


def _moment(words: str, now_us: int) -> int | None:
    lower = words.lower()
    if lower == "now":
        return now_us
    if dated := _DATED.fullmatch(words):
        return _dated(words, *dated.groups())
    today = _naive(now_us).date()
    if named := _NAMED.fullmatch(lower):
        return _local(words, today + timedelta(days=_DAYS[named[1]]), named[2] or "00:00")
    if _CLOCK.fullmatch(words):
        found = _local(words, today, words)
        return found if found > now_us else _local(words, today + timedelta(days=1), words)
    return _relative(lower, now_us)


def _dated(words: str, day: str, clock: str | None, offset: str | None) -> int:
    if offset is None:
        return _local(words, date.fromisoformat(day), clock or "00:00")
    if clock is None:
        raise ValueError("a date with an offset needs a time of day")
    zone = "+00:00" if offset in "Zz" else offset
    return moment_micros(datetime.fromisoformat(f"{day}T{_padded(clock)}{zone}"))


def _relative(lower: str, now_us: int) -> int | None:
    ago = lower.endswith(" ago")
    text = lower.removesuffix(" ago").removeprefix("in ")
    try:
        length = micros(text)
    except ValueRefused:
        return None
    return now_us - length if ago else now_us + length


def _padded(clock: str) -> str:
    hour, _, rest = clock.partition(":")
    whole, dot, fraction = rest.partition(".")
    return f"{int(hour):02d}:{whole}{dot}{fraction.ljust(6, '0') if dot else ''}"


def _local(words: str, day: date, clock: str) -> int:
    """A wall clock time of this machine's zone. Raises UsageError if the zone gives it no reading, or two."""
    naive = datetime.fromisoformat(f"{day.isoformat()}T{_padded(clock)}")
    first, second = (naive.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return moment_micros(first)
    readings = " or ".join(_iso_local(reading) for reading in sorted((first, second)))
    exists = first.astimezone().replace(tzinfo=None) == naive
    why = "means two different times" if exists else "does not exist"
    raise UsageError(what=f"{words!r} {why}: the clocks change then", hint=f"say which: {readings}")


def _iso_local(when: datetime) -> str:
    return when.astimezone().isoformat(timespec="seconds")


def _naive(us: int) -> datetime:
    return moment(us).astimezone().replace(tzinfo=None)


# -- showing ----------------------------------------------------------------------------------------------------


def now_us() -> int:
    """The wall clock."""
    from time import time_ns

    return time_ns() // 1000


class Clock:
    """How times are shown in one invocation: seen from `now`, local or in UTC."""

    __slots__ = ("_utc", "now")

    def __init__(self, now: int, utc: bool = False) -> None:
        self.now = now
        self._utc = utc

    def at(self, us: int) -> datetime:
        """A point in time in the zone that is shown."""
        when = moment(us)
        if self._utc:
            return when
        try:
            return when.astimezone()
        except (OverflowError, ValueError, OSError):  # at the end of year 9999 a local time may not exist
            return when

    def of(self, ts: str) -> datetime:
        """A recorded timestamp in the zone that is shown."""
        return self.at(unstamp(ts))

    def point(self, us: int) -> str:
        """`19:02 +0100` if it is today, else with its date."""
        when, today = self.at(us), self.at(self.now)
        day = "" if when.date() == today.date() else f"{when:%Y-%m-%d} "
        return f"{day}{when:%H:%M} {offset(when)}"

    def full(self, us: int) -> str:
        """`2026-11-22 19:02:40 +0100`."""
        when = self.at(us)
        return f"{when:%Y-%m-%d %H:%M:%S} {offset(when)}"

    def ago(self, us: int) -> str:
        """`8s ago`; a time that lies ahead is `in 8s`."""
        gone = self.now - us
        return f"{age(gone)} ago" if gone >= 0 else f"in {age(-gone)}"

    def age(self, us: int) -> str:
        """How long ago, in one word."""
        return age(max(self.now - us, 0))

    def until(self, us: int) -> str:
        """`until 22:00 +0100 (in 58m)`; `overdue since ...` when it has passed and nobody has acted on it yet."""
        left = us - self.now
        if left < 0:
            return f"overdue since {self.point(us)} ({age(-left)})"
        return f"until {self.point(us)} (in {spoken(left) if left < SECOND else rough(left)})"

    def left(self, us: int) -> str:
        """`58m left`, for a table; `overdue 5m` when it has passed and nobody has acted on it yet."""
        left = us - self.now
        return f"overdue {age(-left)}" if left < 0 else f"{rough(left)} left"


def offset(when: datetime) -> str:
    """`+0100`; `UTC` for none."""
    text = when.strftime("%z")
    return "UTC" if when.tzinfo is UTC else text or "UTC"


def age(us: int) -> str:
    """A length of time in one unit: `42s`, `41m`, `5h`, `14d`."""
    seconds = max(us // SECOND, 0)
    for least, size, unit in _UNITS:
        if seconds >= least:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def rough(us: int) -> str:
    """A length of time in at most two units, without parts of a second."""
    return spoken(us // SECOND * SECOND) if us >= SECOND else "0s"


def iso(us: int | None) -> str | None:
    """For JSON: UTC, RFC 3339, six decimals."""
    return None if us is None else stamp(us)

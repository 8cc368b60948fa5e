from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwf.cli.times import Clock, age, parse_duration, parse_when, rough
from dwf.core.duration import LAST_MICROS, SECOND, moment, unstamp
from dwf.errors import UsageError

# A Sunday evening; 19:40 in Berlin.
NOW = unstamp("2026-11-22T18:40:00.000000Z")
HOUR = 3600 * SECOND

pytestmark = pytest.mark.usefixtures("berlin")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-23T22:00:00+01:00", "2026-11-23T21:00:00.000000Z"),
        ("2026-11-23t22:00:00z", "2026-11-23T22:00:00.000000Z"),
        ("2026-11-23T22:00:00.25Z", "2026-11-23T22:00:00.250000Z"),
        ("2026-11-23 22:00 -0500", "2026-11-24T03:00:00.000000Z"),
        ("2026-11-23 22:00", "2026-11-23T21:00:00.000000Z"),
        ("2026-07-01 12:00", "2026-07-01T10:00:00.000000Z"),
        ("2026-11-23", "2026-11-22T23:00:00.000000Z"),
        ("tomorrow 09:00", "2026-11-23T08:00:00.000000Z"),
        ("Tomorrow at 9:00", "2026-11-23T08:00:00.000000Z"),
        ("today 18:00", "2026-11-22T17:00:00.000000Z"),
        ("yesterday", "2026-11-20T23:00:00.000000Z"),
        ("2h ago", "2026-11-22T16:40:00.000000Z"),
        ("in 2h", "2026-11-22T20:40:00.000000Z"),
        ("1h30m", "2026-11-22T20:10:00.000000Z"),
        ("now", "2026-11-22T18:40:00.000000Z"),
        ("22:00", "2026-11-22T21:00:00.000000Z"),
        ("  22:00 ", "2026-11-22T21:00:00.000000Z"),
        ("9:05", "2026-11-23T08:05:00.000000Z"),
        ("19:40", "2026-11-23T18:40:00.000000Z"),
    ],
)
def test_a_time_is_read_as_people_write_it(text: str, meant: str) -> None:
    assert parse_when(text, NOW) == unstamp(meant)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "soon", "25:00", "2026-13-01", "2026-02-30 10:00", "2026-11-23Z", "2h before", "-2h", "2 fortnights",
        "2026-11-23T22:00:60Z", "9999-12-31 23:59:59.9999999", "1969-12-31T23:00:00Z", "9000000000d", "tomorrow 9",
        "10000-01-01", "٢٢:٠٠", "2026-11-23T22:00:00+25:00",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_when(text, NOW)
    assert refused.value.exit_code == 2
    assert refused.value.hint


def test_a_local_time_that_comes_twice_is_refused_with_both_readings() -> None:
    with pytest.raises(UsageError) as refused:
        parse_when("2026-10-25 02:30", NOW)
    assert "two different times" in str(refused.value)
    assert "2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00" in str(refused.value.hint)


def test_a_local_time_that_is_skipped_is_refused() -> None:
    with pytest.raises(UsageError) as refused:
        parse_when("2026-03-29 02:30", NOW)
    assert "does not exist" in str(refused.value)


def test_with_an_offset_both_readings_can_be_said() -> None:
    first, second = (parse_when(f"2026-10-25T02:30:00{o}", NOW) for o in ("+02:00", "+01:00"))
    assert second - first == HOUR


def test_twenty_four_hours_over_a_change_of_the_clocks_are_not_a_day() -> None:
    saturday = unstamp("2026-10-24T10:00:00.000000Z")  # noon, summer time
    assert parse_when("tomorrow 12:00", saturday) - saturday == 25 * HOUR
    assert parse_when("24h", saturday) - saturday == 24 * HOUR


@given(st.integers(min_value=0, max_value=LAST_MICROS - 86_400 * SECOND))
def test_what_is_shown_in_full_is_read_as_the_same_second(us: int) -> None:
    shown = Clock(NOW, utc=True).full(us).removesuffix(" UTC")
    assert parse_when(f"{shown}Z", NOW) == us // SECOND * SECOND


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(9990, 1, 1)))
def test_a_local_time_has_one_meaning_or_is_refused(when: datetime) -> None:
    text = when.strftime("%Y-%m-%d %H:%M:%S").rjust(19, "0")
    try:
        us = parse_when(text, NOW)
    except UsageError:
        readings = {when.replace(fold=fold, microsecond=0).astimezone(UTC) for fold in (0, 1)}
        assert len(readings) == 2
    else:
        assert moment(us).astimezone().strftime("%Y-%m-%d %H:%M:%S").rjust(19, "0") == text


@given(st.text())
def test_any_text_is_a_time_or_a_usage_error(text: str) -> None:
    try:
        assert 0 <= parse_when(text, NOW) <= LAST_MICROS
    except UsageError:
        pass


@pytest.mark.parametrize("text", ["", "30", "abc", "-1s", "1e400s", "1h 30", "nan"])
def test_a_duration_needs_a_number_and_a_unit(text: str) -> None:
    with pytest.raises(UsageError):
        parse_duration(text)


def test_ages_are_one_word() -> None:
    words = [age(s * SECOND) for s in (-5, 0, 59, 60, 3599, 3600, 47 * 3600, 48 * 3600, 400 * 86_400)]
    assert words == ["0s", "0s", "59s", "1m", "59m", "1h", "47h", "2d", "400d"]


def test_a_deadline_says_when_and_how_long_still() -> None:
    clock = Clock(NOW)
    assert clock.until(NOW + 58 * 60 * SECOND) == "until 20:38 +0100 (in 58m)"
    assert clock.until(NOW + 30 * HOUR) == "until 2026-11-24 01:40 +0100 (in 1d6h)"
    assert clock.until(NOW - 5 * 60 * SECOND) == "overdue since 19:35 +0100 (5m)"
    assert clock.left(NOW + 58 * 60 * SECOND) == "58m left"
    assert clock.left(NOW - 5 * 60 * SECOND) == "overdue 5m"
    assert Clock(NOW, utc=True).until(NOW + HOUR) == "until 19:40 UTC (in 1h)"


def test_the_last_second_that_can_be_written_can_be_shown() -> None:
    assert Clock(NOW).full(LAST_MICROS).startswith("9999-12-31 23:59:59")
    assert rough(0) == "0s"

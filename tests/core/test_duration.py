"""Durations, moments, retries, names: small things that are typed in by people and kept for good."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwf.core.duration import (
    LAST_MICROS,
    SECOND,
    micros,
    moment,
    moment_micros,
    rounded_up,
    spoken,
    stamp,
    unstamp,
)
from dwf.core.events import ErrorInfo
from dwf.core.messages import check_run_id, check_signal_name, quoted
from dwf.core.retry import NEVER, AttemptFailure, Retry, chance_for, retry_at
from dwf.errors import UsageError, ValueRefused

# -- durations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_value", "us"),
    [
        ("30s", 30 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("1h 30m", 5400 * SECOND),
        (" 2d ", 172_800 * SECOND),
        ("1w", 604_800 * SECOND),
        ("500ms", 500_000),
        ("7us", 7),
        ("0.5us", 1),
        ("16.1s", 16_100_000),
        ("0s", 0),
        (30, 30 * SECOND),
        (1.5, 1_500_000),
        (16.1, 16_100_000),
        (1e-9, 1),
        (0, 0),
        (timedelta(minutes=5, microseconds=1), 300 * SECOND + 1),
    ],
)
def test_a_duration_is_whole_microseconds(given_value: Any, us: int) -> None:
    assert micros(given_value) == us


@pytest.mark.parametrize(
    "given_value",
    [
        "",
        "5",
        "s",
        "5x",
        "-5s",
        "1,5s",
        "5s!",
        "1 0",
        "１s",
        "9" * 400 + "s",
        "9" * 18 + "w",
        -1,
        -0.5,
        math.nan,
        math.inf,
        1e300,
        10**400,
        True,
        None,
        [],
        timedelta(-1),
    ],
    ids=lambda v: f"{v!r:.20}",
)
def test_what_is_no_duration_is_refused(given_value: Any) -> None:
    with pytest.raises(ValueRefused):
        micros(given_value)


@given(st.floats(min_value=0, max_value=2**32))
def test_rounding_is_up_and_by_no_more_than_needed(seconds: float) -> None:
    us = rounded_up(seconds)
    assert us / SECOND >= seconds
    assert us == 0 or (us - 1) / SECOND < seconds


@given(st.integers(0, 10**9), st.integers(0, 999))
def test_text_and_number_say_the_same(whole: int, thousandths: int) -> None:
    assert micros(f"{whole}.{thousandths:03}s") == whole * SECOND + thousandths * 1000


@pytest.mark.parametrize(
    ("us", "words"),
    [
        (0, "0ms"),
        (350_000, "350ms"),
        (1_500_000, "1.5s"),
        (12 * SECOND, "12s"),
        (250 * SECOND, "4m10s"),
        (3 * 3600 * SECOND, "3h"),
        (2 * 86400 * SECOND + 4 * 3600 * SECOND + 60 * SECOND, "2d4h"),
    ],
)
def test_a_duration_in_words_has_two_units_at_most(us: int, words: str) -> None:
    assert spoken(us) == words


@given(st.integers(0, LAST_MICROS))
def test_a_timestamp_is_read_as_it_was_written(us: int) -> None:
    written = stamp(us)
    assert len(written) == 27 and unstamp(written) == us == moment_micros(moment(us))


@given(st.tuples(st.integers(0, LAST_MICROS), st.integers(0, LAST_MICROS)))
def test_timestamps_sort_like_times(pair: tuple[int, int]) -> None:
    assert (stamp(pair[0]) < stamp(pair[1])) == (pair[0] < pair[1])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-01T00:00:00Z",
        "2026-01-01 00:00:00.000000Z",
        "2026-01-01T00:00:00,000000Z",
        "2026-W01-1T00:00:00.000000Z",
        "2026-01-01T00:00:00.000000z",
        "2026-02-30T00:00:00.000000Z",
        "2026-01-01T00:00:00.00000+Z",
        "x" * 27,
    ],
)
def test_what_dwf_would_not_have_written_is_no_timestamp(text: str) -> None:
    with pytest.raises(ValueError):
        unstamp(text)


def test_a_time_without_its_zone_is_refused() -> None:
    with pytest.raises(ValueRefused, match="no time zone") as caught:
        moment_micros(datetime(2026, 1, 1))
    assert "ZoneInfo" in (caught.value.hint or "")
    assert moment_micros(datetime(1970, 1, 1, tzinfo=UTC)) == 0


# -- retries --------------------------------------------------------------------------------------------------------


def failure(*types: str, code: int | None = None, output: str = "") -> AttemptFailure:
    return AttemptFailure(ErrorInfo(type=types[0] if types else "E", message="no"), types, code, output)


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 0},
        {"max_attempts": -1},
        {"max_attempts": True},
        {"max_attempts": 2.5},
        {"max_attempts": math.nan},
        {"backoff": 0.5},
        {"backoff": math.nan},
        {"backoff": math.inf},
        {"backoff": True},
        {"backoff": "2"},
        {"initial": -1},
        {"initial": math.nan},
        {"initial": 1e308},
        {"initial": 1e303},
        {"max_interval": "soon"},
        {"jitter": "some"},
        {"retry_on_output": "("},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_when_it_is_written(options: dict[str, Any]) -> None:
    with pytest.raises(ValueRefused):
        Retry(**options)


@pytest.mark.parametrize(
    ("policy", "attempt", "failed", "gives_up"),
    [
        (Retry(max_attempts=3), 2, failure(), False),
        (Retry(max_attempts=3), 3, failure(), True),
        (Retry(max_attempts=None), 10**6, failure(), False),
        (NEVER, 1, failure(), True),
        (Retry(non_retryable=(KeyError,)), 1, failure("KeyError", "LookupError"), True),
        (Retry(non_retryable=("LookupError",)), 1, failure("KeyError", "LookupError"), True),
        (Retry(non_retryable="KeyError"), 1, failure("KeyError"), True),  # type: ignore[arg-type]
        (Retry(non_retryable=KeyError), 1, failure("KeyError"), True),  # type: ignore[arg-type]
        (Retry(non_retryable="KeyError"), 1, failure("ValueError"), False),  # type: ignore[arg-type]
        (Retry(non_retryable_codes=(2,)), 1, failure(code=2), True),
        (Retry(non_retryable_codes=2), 1, failure(code=2), True),  # type: ignore[arg-type]
        (Retry(retry_codes=(75,)), 1, failure(code=75), False),
        (Retry(retry_codes=(75,)), 1, failure(code=1), True),
        (Retry(retry_codes=75), 1, failure(code=1), True),  # type: ignore[arg-type]
        (Retry(retry_codes=()), 1, failure(code=1), True),
        (Retry(retry_on_output="lock(ed)?"), 1, failure(code=1, output="is locked"), False),
        (Retry(retry_on_output="lock"), 1, failure(code=1, output="no"), True),
        (Retry(retry_if=lambda e: e.type == "E"), 1, failure("E"), False),
        (Retry(retry_if=lambda e: e.type == "E"), 1, failure("F"), True),
        (Retry(retry_if=lambda e: e.typo), 1, failure("F"), False),  # type: ignore[attr-defined]
        (Retry(retry_if=lambda e: e.typo), 3, failure("F"), True),  # type: ignore[attr-defined]
    ],
)
def test_when_a_step_is_tried_again(policy: Retry, attempt: int, failed: AttemptFailure, gives_up: bool) -> None:
    assert policy.gives_up(attempt, failed) is gives_up


@given(
    st.integers(1, 10**6),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(["none", "half", "full"]),
    st.floats(1, 1000),
)
def test_delays_grow_up_to_their_cap_and_jitter_only_shortens(
    attempt: int, chance: float, jitter: Any, backoff: float
) -> None:
    policy = Retry(initial="1s", max_interval="1m", backoff=backoff, jitter=jitter)
    longest = min(60.0, backoff ** min(attempt - 1, 64)) * SECOND
    delay = policy.delay_us(attempt, chance)
    assert 0 <= delay <= longest + 1
    if jitter != "full":
        assert delay >= longest * (0.5 if jitter == "half" else 1) - 1


def test_the_draw_is_the_same_for_one_attempt_and_spread_over_others() -> None:
    draws = {chance_for(nonce, command, attempt) for nonce in "ab" for command in (1, 2) for attempt in (1, 2)}
    assert len(draws) == 8 and all(0 <= draw < 1 for draw in draws)
    assert chance_for("n", 1, 1) == chance_for("n", 1, 1) == 0.7189616814952278


def test_what_an_activity_asks_for_wins_over_the_policy_and_ends_before_the_year_10000() -> None:
    assert retry_at(100, Retry(initial="1h"), 1, 0.5, 5) == 105
    assert retry_at(100, Retry(initial="1s", jitter="none"), 1, 0.5, None) == 100 + SECOND
    assert retry_at(100, NEVER, 1, 0.5, LAST_MICROS) == LAST_MICROS


# -- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["r", "deploy-7f3", "a.b_c-d", "0", "x" * 128])
def test_a_run_id_as_people_choose_them(name: str) -> None:
    assert check_run_id(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "-x", ".x", "a/b", "a\0b", "a b", "a~2", "ä", "a\n", "x" * 129])
def test_what_is_no_run_id_is_refused_before_a_path_is_made_of_it(name: str) -> None:
    """Fails when an id may hold the mark that tells instances apart. Fails when an id may be anything."""
    with pytest.raises(UsageError):
        check_run_id(name)


def test_a_signal_name_as_people_choose_them() -> None:
    assert check_signal_name("go-on.now_2") == "go-on.now_2"
    for name in ("", "2go", "__x", "a b", "a\n", "x" * 65):
        with pytest.raises(UsageError):
            check_signal_name(name)


def test_foreign_text_is_shown_so_that_it_can_do_nothing() -> None:
    assert quoted("a\x1b[31m\u202eb\u200b\n") == '"a\\x1b[31m\\u202eb\\u200b\\n"'
    assert quoted("x" * 100) == '"' + "x" * 59 + '…"'

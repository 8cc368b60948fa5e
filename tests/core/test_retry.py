"""Retry policies: how long it is until the next attempt."""

from __future__ import annotations

from dwf.core.retry import Retry


def test_a_first_delay_that_is_longer_than_the_longest_is_heeded() -> None:
    """Fails when Retry(initial="1h") waits for a minute, which is the usual longest."""
    assert Retry(initial="1h", jitter="none").delay_us(1, 0.5) == 3_600_000_000
    assert Retry(initial="1h", jitter="none").delay_us(5, 0.5) == 3_600_000_000

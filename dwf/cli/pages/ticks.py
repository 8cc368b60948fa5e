"""The last tick in words: a dead cron is the commonest cause of "nothing happens", so it is told wherever one looks."""

from __future__ import annotations

from dwf.cli.times import Clock

# A tick from cron comes every minute; three without one are no accident.
STALE_US = 3 * 60 * 1_000_000


def tick_is_late(last_tick_us: int | None, clock: Clock) -> bool:
    """Whether nobody has driven anything for longer than cron would let pass."""
    return last_tick_us is None or clock.now - last_tick_us > STALE_US


def tick_words(last_tick_us: int | None, clock: Clock) -> str:
    """`last tick 8s ago`, or that there never was one."""
    return "no tick seen here yet" if last_tick_us is None else f"last tick {clock.ago(last_tick_us)}"

"""How long a history is, in words: from when on it is told, and what can be done.

A history is replayed whole when its run is taken up, so a long one makes each tick slower. It goes on past the limit
all the same: nothing is lost, and a run is not ended for having been busy.
"""

from __future__ import annotations

# Events. At the limit reading and replaying one takes about a second.
LONG = 10_000
LIMIT = 100_000
_STAGES = (LONG, LIMIT * 60 // 100, LIMIT * 80 // 100, LIMIT)
CURE = "each tick that takes it up replays them all; let it go on in a new one: dwf help children"


def measure(events: int) -> str:
    """`60,000 events, 60% of 100,000`; "" for a history that is not long."""
    if events < LONG:
        return ""
    return f"{events:,} events, {events * 100 // LIMIT}% of {LIMIT:,}"


def crossed(before: int, after: int) -> bool:
    """Whether a history has grown past one of the stages at which it is told: each is crossed once."""
    return any(before < stage <= after for stage in _STAGES)

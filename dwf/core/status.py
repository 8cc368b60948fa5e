"""The status of a run in one word: what a person sees and what the index stores. Stable."""

from __future__ import annotations

from enum import Enum


class Status(Enum):
    """Status words, stable; the word is what a person sees and what the index stores."""

    RUNNING = "running"
    WAITING = "waiting"
    BLOCKED = "blocked"
    PAUSED = "paused"
    COMPLETED = "completed"
    DEGRADED = "degraded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"
    TIMED_OUT = "timed-out"
    CONTINUED = "continued"
    MOVED = "moved"
    IMPORTED = "imported"
    CORRUPT = "corrupt"
    NEWER = "newer"

    @property
    def closed(self) -> bool:
        """Whether nothing happens to it any more: it has ended, or this copy of it goes no further."""
        return self in _CLOSED


_CLOSED = frozenset(
    {
        Status.COMPLETED,
        Status.DEGRADED,
        Status.FAILED,
        Status.CANCELLED,
        Status.TERMINATED,
        Status.TIMED_OUT,
        Status.MOVED,
        Status.IMPORTED,
    }
)

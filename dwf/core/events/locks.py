"""Events of locks between runs: asked for, got, given up."""

from __future__ import annotations

from dwf.core.events.closings import Closing
from dwf.core.events.openings import Opening


class LockRequested(Opening, frozen=True, kw_only=True):
    """The run stands in line for a lock that `slots` runs may hold at a time. Its `ts` is its place in the line."""

    matched = ("name",)
    name: str
    slots: int = 1


class LockAcquired(Closing, frozen=True, kw_only=True):
    """It holds it from now on, across ticks, until it gives it up or ends."""


class LockReleased(Opening, frozen=True, kw_only=True):
    """It gives up what command `lock` has asked for: it holds it no more, or waits no longer."""

    matched = ("lock",)
    lock: int

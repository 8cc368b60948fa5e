"""The index for those who may not see it: in a shared directory it is the engine's alone.

It answers like an index that is not trusted, so that whoever asks reads the histories instead; the engine finds what
was posted by listing the mailbox. When a tick was last here is told by the time of the marker.
"""

# ruff: noqa: PTH116

from __future__ import annotations

import os

from dwf.store.index import Index
from dwf.store.indexfile import Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _sqlite3 import Connection
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")


class Unseen(Index):
    """Never trusted, never written."""

    def wake(self, run: str) -> bool:
        """Nobody to wake: the message itself is what makes the run due."""
        return False

    def last_tick_us(self) -> int | None:
        """When a tick last said that it was here, microseconds UTC; None if that is not known."""
        try:
            return os.stat(self._layout.shared).st_mtime_ns // 1000 or None
        except OSError:
            return None

    def _read(self, ask: Callable[[Connection], T]) -> T:
        raise Unusable("it is the engine's")

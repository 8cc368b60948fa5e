"""Cutting off a torn tail so that no crash in between loses the cut bytes, or the news that they were cut.

The order: copy the tail to `<history>.torn`, on disk; cut; record HistoryRepaired; rename the copy to
`<history>.broken-<line of that record>`. A `.torn` that is found says that a writer died in between, and where.
The cutting and recording themselves are the writer's (history).
"""

# ruff: noqa: PTH120

from __future__ import annotations

import os
from hashlib import sha256

from dwf.core.events import Decision, Event, HistoryRepaired
from dwf.store.files import Disk, read_regular


class Mend:
    """The copy of one history's torn tail. Used under the run's lock."""

    __slots__ = ("_copy", "_disk", "_path")

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk, self._path, self._copy = disk, path, f"{path}.torn"

    def keep(self, tail: bytes, decided: Decision | None = None) -> HistoryRepaired | None:
        """A durable copy of the tail, and the event to record; None if nothing is torn or left to be told."""
        kept = self._kept()
        if tail and kept != tail:
            # What was cut before by a writer that died before he could record it stays in the copy.
            kept = (kept or b"") + tail
            self._write(kept)
        if tail:
            # Also if the copy was there: its maker may have been killed before he made its name durable.
            self._disk.fsync_dir(directory_of(self._path))
        if kept is None:
            return None
        return HistoryRepaired(dropped_bytes=len(kept), sha256=sha256(kept).hexdigest(), decided=decided)

    def already_told(self, news: HistoryRepaired, events: list[Event]) -> Event | None:
        """The record of this very repair, if its writer died between it and `done`."""
        last = next((event for event in reversed(events) if isinstance(event, HistoryRepaired)), None)
        if last is None or last.sha256 != news.sha256 or os.path.lexists(self._named_after(last)):
            return None
        return last

    def done(self, told: Event) -> None:
        """Give the copy its lasting name."""
        self._disk.rename(self._copy, self._named_after(told))

    def _named_after(self, told: Event) -> str:
        return f"{self._path}.broken-{told.id}"

    def _kept(self) -> bytes | None:
        try:
            return read_regular(self._copy)
        except FileNotFoundError:
            return None

    def _write(self, data: bytes) -> None:
        fresh = f"{self._copy}.new"
        try:
            self._disk.write_new(fresh, data)
        except FileExistsError:  # of one who was killed here; it may be half
            self._disk.unlink(fresh)
            self._disk.write_new(fresh, data)
        self._disk.rename(fresh, self._copy)


def directory_of(path: str) -> str:
    """The directory that a name lies in."""
    return os.path.dirname(path) or "."

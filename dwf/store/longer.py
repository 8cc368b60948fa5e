"""A history that comes back longer: what happened to its run elsewhere is appended to what is here, in one step.

Appending line by line would show, if it died half way, a run that goes on here although it goes on elsewhere. So the
longer file is written beside the shorter one, byte for byte the same up to its end, and renamed over it: what was there
is there afterwards, and nothing of it was rewritten.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from dwf.errors import Conflict
from dwf.store.creation import Intent
from dwf.store.files import Disk, open_to_read
from dwf.store.index import Index
from dwf.store.layout import Layout
from dwf.store.row import Row


class Longer:
    """All instances of one run id that is here already; the newest may grow, the others must be the same.

    Used under the run's lock, as a context: what was not committed goes, and the run is as it was.
    """

    def __init__(self, disk: Disk, layout: Layout, run: str, newest: int) -> None:
        self._disk, self._layout, self._run, self._newest = disk, layout, run, newest
        self._intent: Intent | None = None

    def __enter__(self) -> Longer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._intent is not None:
            self._intent.give_up()

    def add(self, link: int, pieces: Iterable[bytes]) -> None:
        """The history of one instance, in pieces. Raises Conflict if what is here is no beginning of it, DiskError."""
        path = self._layout.history_path(self._run, link)
        same = self._continued(path, pieces, grows=link == self._newest)
        if link < self._newest:
            for _ in same:
                pass
            return
        self._intent = Intent.begin(self._disk, self._layout, (self._run, link))
        self._intent.write(same)

    def commit(self, index: Index, row: Row) -> None:
        """Let it grow; when this returns it is there for good. Raises DiskError: then it has grown, or it has not."""
        assert self._intent is not None
        # A crash from here on leaves a run to be looked at, whichever of the two histories is there.
        wakes = index.mark_due(self._run)
        self._intent.replace()
        self._disk.fsync_dir(self._layout.runs)
        if not index.settle(self._run, wakes, row):
            index.mark_due(self._run)

    def _continued(self, path: str, pieces: Iterable[bytes], *, grows: bool) -> Iterator[bytes]:
        with os.fdopen(open_to_read(path), "rb") as file:
            for piece in pieces:
                here = file.read(len(piece))
                if piece[: len(here)] != here or not (grows or len(here) == len(piece)):
                    raise self._other(path)
                yield piece
            if file.read(1):
                raise self._other(path)

    def _other(self, path: str) -> Conflict:
        return Conflict(
            what=f"the run {self._run} is here with another history than the bundle's",
            run=self._run,
            path=path,
            hint="only what goes on from the copy that was moved from here can come back: dwf history",
        )

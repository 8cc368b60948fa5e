"""Scripts as they are on disk just now, for runs that follow their file: read again only when a file has changed."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass

from dwf.scripts.collect import Sources, collect
from dwf.store.code import bundle_hash

# What was written so lately may be written again without another time.
_FRESH_NS = 2_000_000_000
_Mark = tuple[int, int, int]


@dataclass(frozen=True)
class OnDisk:
    """What a script's files held when they were read. `content` is their hash."""

    sources: Sources
    content: str


class OnDisks:
    """What was read in this process. Files that have the time, size and inode of before are not opened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[OnDisk, list[_Mark]]] = {}

    def of(self, path: str) -> OnDisk:
        """The script at `path` with its local modules. Raises what `collect` raises."""
        with self._lock:
            seen = self._seen.get(path)
            if seen is not None and seen[1] == _marks(path, seen[0].sources):
                return seen[0]
            sources = collect(path)
            found = OnDisk(sources, bundle_hash(sources.files, sources.main))
            marks = _marks(path, sources)
            self._seen.pop(path, None)
            if marks and time.time_ns() - max(mark[0] for mark in marks) > _FRESH_NS:
                self._seen[path] = found, marks
            return found


def _marks(path: str, sources: Sources) -> list[_Mark]:
    """Of the files and their directory, where a module may come to lie that is imported; empty if one is gone."""
    try:
        found = [os.stat(name) for name in (path, sources.origin, *(f"{sources.origin}/{f}" for f in sources.files))]  # noqa: PTH116
    except OSError:
        return []
    return [(about.st_mtime_ns, about.st_size, about.st_ino) for about in found]

"""A directory whose names are kept in memory: listed once, and followed from there by what the kernel tells of it.

The kernel queues what happens in a watched directory before the call that did it returns. So who empties the queue
knows of everything that was posted before: it is as good as listing, and costs the same however much lies there. If
the queue has overflowed, or the path leads to another directory now, it is listed anew.
"""

# ruff: noqa: PTH116, PTH208

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import Any

from dwf.store.files import disk_error


def followed(path: str, kind: Callable[[str], Hashable]) -> Followed | None:
    """A directory from now on; None where nothing can be watched (no inotify, or no more of it): then list."""
    try:
        return Followed(path, kind)
    except (ImportError, OSError):
        return None


class Followed:
    """The names in a directory, and by what `kind` says of each. Safe to be asked by several threads.

    Raises ImportError or OSError where nothing can be watched; later, a DiskError if it cannot be listed.
    """

    def __init__(self, path: str, kind: Callable[[str], Hashable]) -> None:
        from inotify_simple import INotify, flags  # type: ignore[import-untyped]

        self._path, self._kind = path, kind
        self._flags = flags
        self._come = flags.CREATE | flags.MOVED_TO
        self._gone = flags.DELETE | flags.MOVED_FROM
        self._guard = threading.Lock()
        self._queue: Any = INotify()
        self._where = (0, 0)
        self._names: dict[Hashable, set[str]] = {}
        try:
            self._begin()
        except BaseException:
            self._queue.close()
            raise

    def names(self) -> list[str]:
        """All of them, in no order."""
        with self._guard:
            self._follow()
            return [name for some in self._names.values() for name in some]

    def of(self, kind: Hashable) -> list[str]:
        """Those of one kind, in no order."""
        with self._guard:
            self._follow()
            return list(self._names.get(kind, ()))

    def close(self) -> None:
        with self._guard:
            self._queue.close()

    def _follow(self) -> None:
        try:
            moved = self._where != _identity(self._path)
            events = self._queue.read(timeout=0)
            if moved or any(event.mask & (self._flags.Q_OVERFLOW | self._flags.IGNORED) for event in events):
                self._begin()
                return
        except FileNotFoundError:
            self._names, self._where = {}, (0, 0)
            return
        except OSError as error:
            raise disk_error("list", self._path, error) from error
        for event in events:
            if event.mask & self._come:
                self._names.setdefault(self._kind(event.name), set()).add(event.name)
            elif event.mask & self._gone:
                self._forget(event.name)

    def _forget(self, name: str) -> None:
        kind = self._kind(name)
        some = self._names.get(kind)
        if some is not None:
            some.discard(name)
            if not some:
                del self._names[kind]

    def _begin(self) -> None:
        """Watch first, then list: what happens between the two is told twice, and comes to the same."""
        where = _identity(self._path)
        self._queue.add_watch(self._path, self._come | self._gone)
        self._names = {}
        for name in os.listdir(self._path):
            self._names.setdefault(self._kind(name), set()).add(name)
        self._where = where


def _identity(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino

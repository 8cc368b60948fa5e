"""Files of locks that were given up, kept for the next that are taken.

A file system that has just freed many inodes searches long for one (ext4: a fifth of all that a tick for a thousand
runs costs). So who takes many locks in a row does not remove their files: each stays locked, under a name of its own,
and is renamed when the next lock is taken. What a process leaves that dies is swept like any other lock.
"""

from __future__ import annotations

import os

from dwf.errors import DwfError
from dwf.store.files import Disk

_MOST = 32


class Spares:
    """The spares of one process. Several threads may use it: each takes and gives in one step.

    prefix, suffix: of their paths, which are no run's.
    """

    def __init__(self, disk: Disk, prefix: str, suffix: str) -> None:
        self._disk, self._prefix, self._suffix = disk, prefix, suffix
        self._kept: list[tuple[int, str]] = []
        self._open = True

    def take(self, path: str) -> int | None:
        """A locked file, which is at `path` now; None if there is none, or the name is taken. Raises DiskError."""
        try:
            fd, spare = self._kept.pop()
        except IndexError:
            return None
        try:
            self._disk.rename_noreplace(spare, path)
        except FileNotFoundError:
            os.close(fd)  # somebody has tidied up
            return None
        except FileExistsError:
            self._kept.append((fd, spare))
            return None
        except BaseException:
            self._kept.append((fd, spare))
            raise
        return fd

    def keep(self, fd: int, path: str) -> bool:
        """Take over the locked file at `path`; False if it is to be removed."""
        if self._is_over() or len(self._kept) >= _MOST:
            return False
        spare = f"{self._prefix}{os.getpid()}-{os.urandom(8).hex()}{self._suffix}"
        try:
            self._disk.rename(path, spare)
        except (FileNotFoundError, DwfError):
            return False
        self._kept.append((fd, spare))
        if self._is_over():  # not any more, since we looked
            self.drop()
        return True

    def drop(self) -> None:
        """Keep none any more, and remove those that are there."""
        self._open = False
        spares = self._all()
        try:
            for _, path in spares:
                self._disk.discard(path)
        finally:
            for fd, _ in spares:
                os.close(fd)

    def forget(self) -> None:
        """Close the copies of a forked child, and change nothing."""
        self._open = False
        for fd, _ in self._all():
            os.close(fd)

    def _is_over(self) -> bool:
        return not self._open

    def _all(self) -> list[tuple[int, str]]:
        found = []
        try:
            while True:
                found.append(self._kept.pop())
        except IndexError:  # not asked before: two threads may do this at once
            return found

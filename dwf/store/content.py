"""Files that are named by the sha256 of what is in them: what blobs and stored code have in common.

They are written under their final name. That is safe without a temporary file: nothing refers to a file before `put`
has returned, and whoever finds a half-written one (of a killed process, or of one that is just writing) writes the same
bytes to the same places. Nothing in here is ever deleted or shortened below its content.
"""

from __future__ import annotations

import os
import re
from hashlib import sha256

from dwf.store.files import Disk, listed, read_all, read_regular

_NAME = re.compile(r"[0-9a-f]{64}")


class Missing(Exception):
    """Not there, or not what its name says. `why` is for the sentence of the error that the caller raises."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = path, why


class Content:
    """One directory of such files."""

    __slots__ = ("_directory", "_disk")

    def __init__(self, disk: Disk, directory: str) -> None:
        self._disk, self._directory = disk, directory

    def put(self, *pieces: bytes) -> list[str]:
        """Store each piece once; their names. On disk when this returns. Raises DiskError, NotPermitted."""
        names = [self._put(piece) for piece in pieces]
        self._disk.fsync_dir(self._directory)
        return names

    def names(self) -> list[str]:
        """The names of all that is there. Raises NotPermitted, DiskError."""
        return [name for name in listed(self._directory) if _NAME.fullmatch(name)]

    def fetch(self, name: str) -> bytes:
        """What `put` was given, every byte checked. Raises Missing, NotPermitted, DiskError."""
        # A name from a file, or from a person, becomes part of a path only in this form.
        if not _NAME.fullmatch(name):
            raise Missing(self._directory, f"{name[:70]!r} is not a sha256")
        path = f"{self._directory}/{name}"
        try:
            data = read_regular(path)
        except FileNotFoundError:
            raise Missing(path, f"there is no file {path}") from None
        if sha256(data).hexdigest() != name:
            raise Missing(path, f"{path} is not what it was: its content does not have the hash that is its name")
        return data

    def _put(self, data: bytes) -> str:
        name = sha256(data).hexdigest()
        path = f"{self._directory}/{name}"
        try:
            fd = self._disk.open_new(path)
            there = False
        except FileExistsError:
            fd = self._disk.open_regular(path, rewrite=True, owner=os.geteuid())
            there = True
        try:
            if not there or read_all(fd, path) != data:
                self._disk.write_all(fd, data, path)
                self._disk.truncate(fd, len(data), path)
            # Also if it was there: whoever wrote it may have been killed before he made it durable.
            self._disk.fsync(fd, path)
        finally:
            os.close(fd)
        return name

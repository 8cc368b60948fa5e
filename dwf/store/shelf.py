"""Shelves: small things that an operator has set, a file for each name, found by it and read whole.

A file is written aside and put in place by renaming it, so whoever reads finds what was set before, or what is set now.
What is on a shelf, and what it is for, is not known in here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from typing import Generic, TypeVar

import msgspec

from dwf.errors import BadConfiguration
from dwf.store.files import Disk, listed, read_regular

_SUFFIX = ".json"
_LARGEST = 64 * 1024
_T = TypeVar("_T", bound=msgspec.Struct)


class Shelf(Generic[_T]):
    """The things of one kind. `name_of`: what one is found by."""

    __slots__ = ("_directory", "_disk", "_kind", "_name_of")

    def __init__(self, disk: Disk, directory: str, kind: type[_T], name_of: Callable[[_T], str]) -> None:
        self._disk, self._directory, self._kind, self._name_of = disk, directory, kind, name_of

    def of(self, name: str) -> _T | None:
        """What is set for a name. Raises BadConfiguration for what cannot be read; NotPermitted, DiskError."""
        try:
            return self._read(self._path(name))
        except FileNotFoundError:
            return None

    def all(self) -> list[_T]:
        """All of them, by name. Raises BadConfiguration for one that cannot be read; NotPermitted, DiskError."""
        names = [name for name in listed(self._directory) if name.endswith(_SUFFIX)]
        return sorted((self._read(f"{self._directory}/{name}") for name in names), key=self._name_of)

    def put(self, thing: _T) -> None:
        """In place of what was set for that name; durable when this returns. Raises NotPermitted, DiskError."""
        path = self._path(self._name_of(thing))
        try:
            self._disk.mkdir(self._directory)
            self._disk.fsync_dir(os.path.dirname(self._directory))  # noqa: PTH120
        except FileExistsError:
            pass
        # Two may do this at a time, and each puts a whole one in place.
        new = f"{path}.{os.getpid()}.new"
        self._disk.discard(new)
        self._disk.write_new(new, msgspec.json.encode(thing))
        self._disk.rename(new, path)
        self._disk.fsync_dir(self._directory)

    def drop(self, name: str) -> None:
        """Nothing is set any more; durable. Raises FileNotFoundError if it is so already; NotPermitted, DiskError."""
        self._disk.unlink(self._path(name))
        self._disk.fsync_dir(self._directory)

    def _path(self, name: str) -> str:
        # A name may hold anything, and be of any length.
        return f"{self._directory}/{sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}{_SUFFIX}"

    def _read(self, path: str) -> _T:
        try:
            return msgspec.json.decode(read_regular(path, _LARGEST), type=self._kind)
        except msgspec.MsgspecError as error:
            raise BadConfiguration(what=f"{path} cannot be read: {error}", path=path, hint=f"rm {path}") from None

"""Routes: which stored code new starts of a script take, where an operator has said so. A file for each script.

A file is written whole and put in place by renaming it, so whoever reads finds the route of before or that of after.
What a route means, and whom it is for, is not known in here.
"""

from __future__ import annotations

import os
from hashlib import sha256

import msgspec

from dwf.core.parts import Identity
from dwf.errors import BadConfiguration
from dwf.store.files import Disk, listed, read_regular
from dwf.store.layout import Layout

_SUFFIX = ".json"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """New starts of `script` (an absolute path) take the stored `code`, but `ramp` of 100, which take the file.

    owner, permissions: of the file that the code came from. at: since when, RFC 3339.
    """

    script: str
    code: str
    ramp: int = 0
    owner: int = -1
    permissions: str = ""
    at: str
    by: Identity
    reason: str = ""


class Routes:
    """The routes of one state directory."""

    __slots__ = ("_disk", "_layout")

    def __init__(self, disk: Disk, layout: Layout) -> None:
        self._disk, self._layout = disk, layout

    def of(self, script: str) -> Route | None:
        """The route of a script, by its absolute path; None if new starts take the file. Raises BadConfiguration."""
        try:
            return _read(self._path(script))
        except FileNotFoundError:
            return None

    def all(self) -> list[Route]:
        """All of them, by script. Raises BadConfiguration for one that cannot be read."""
        names = [name for name in listed(self._layout.routes) if name.endswith(_SUFFIX)]
        return sorted((_read(f"{self._layout.routes}/{name}") for name in names), key=lambda route: route.script)

    def set(self, route: Route) -> None:
        """In place of what was set for that script; durable when this returns. Raises NotPermitted, DiskError."""
        home, path = self._layout.routes, self._path(route.script)
        try:
            self._disk.mkdir(home)
            self._disk.fsync_dir(self._layout.home)
        except FileExistsError:
            pass
        # Two may do this at a time, and each puts a whole one in place.
        new = f"{path}.{os.getpid()}.new"
        self._disk.discard(new)
        self._disk.write_new(new, msgspec.json.encode(route))
        self._disk.rename(new, path)
        self._disk.fsync_dir(home)

    def unset(self, script: str) -> None:
        """New starts take the file again; durable. Raises FileNotFoundError if it is so; NotPermitted, DiskError."""
        self._disk.unlink(self._path(script))
        self._disk.fsync_dir(self._layout.routes)

    def _path(self, script: str) -> str:
        return f"{self._layout.routes}/{sha256(script.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}{_SUFFIX}"


def _read(path: str) -> Route:
    try:
        return msgspec.json.decode(read_regular(path), type=Route)
    except msgspec.MsgspecError as error:
        raise BadConfiguration(what=f"{path} cannot be read: {error}", path=path, hint=f"rm {path}") from None

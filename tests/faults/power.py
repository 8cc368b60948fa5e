"""Power that is lost: what was not synced is gone from the disk, or any part of it is."""

# ruff: noqa: PTH100, PTH112, PTH114, PTH116, PTH118, PTH119, PTH120

from __future__ import annotations

import os
import random
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Inode = tuple[int, int]


@dataclass
class _Change:
    """A change of names that no sync has made durable yet: (directory, name) -> inode, or None for removed."""

    names: dict[tuple[str, str], Inode | None]
    done: bool = False


class PowerCut:
    """Remembers which bytes and names under a directory are durable, and takes the rest away.

    Durable is: file content as of the last fsync or fdatasync of that file; names as of the last fsync of their
    directory (a rename between two directories: of either). What was there at the beginning is durable. Files that are
    not changed through the FaultyDisk (an SQLite index) are left as they are.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = os.path.abspath(root)
        self._begin()

    def _begin(self) -> None:
        self._content: dict[Inode, bytes] = {}
        self._fds: dict[Inode, int] = {}
        self._modes: dict[str | Inode, int] = {}
        self._durable: dict[tuple[str, str], Inode] = {}
        self._changes: list[_Change] = []
        self._directories: set[str] = {self.root}
        for directory, below, files in os.walk(self.root):
            self._directories.add(directory)
            for name in files:
                inode = self._track(os.path.join(directory, name), synced=True)
                self._durable[directory, name] = inode
            for name in below:
                self._durable[directory, name] = self._directory_id(os.path.join(directory, name))

    def before(self, operation: str, path: str, args: tuple[Any, ...]) -> Inode | None:
        """What a name stands for before it is taken away or moved."""
        if operation == "rmdir":
            return self._directory_id(path)
        if operation in ("unlink", "rename", "rename_noreplace"):
            source = args[0]
            return self._id(source) if os.path.lexists(source) else None
        return None

    def happened(self, operation: str, path: str, args: tuple[Any, ...], before: Inode | None) -> None:
        if operation == "create":
            self._add(path, self._track(path, synced=False))
        elif operation == "link":
            self._add(path, self._id(path))
        elif operation in ("unlink", "rmdir"):
            self._note({self._key(path): None})
        elif operation in ("rename", "rename_noreplace"):
            self._note({self._key(args[0]): None, self._key(path): before})
        elif operation == "mkdir":
            self._directories.add(os.path.abspath(path))
            self._add(path, self._directory_id(path))
        elif operation == "chmod" and os.path.isdir(path):
            self._modes[os.path.abspath(path)] = stat.S_IMODE(os.stat(path).st_mode)
        elif operation in ("fsync", "fdatasync"):
            self._synced(args[0], path)

    def durable(self, path: str) -> bytes | None:
        """What a power cut could not take from a file, at the least; None if it could take its name."""
        key = self._key(path)
        inode = self._durable.get(key)
        for change in self._changes:
            if key in change.names:
                # What may be removed counts as removed; what was moved is in one of two places.
                gone = change.names[key] is None and len(change.names) == 1
                inode = change.names[key] if change.done or gone else inode
        return None if inode is None else self._content.get(inode)

    def cut(self, chance: random.Random | None = None) -> None:
        """Power is lost and comes back. Without `chance`, nothing survives that was not synced."""
        names = dict(self._durable)
        for change in self._changes:
            if change.done or (chance is not None and chance.random() < 0.5):
                for key, inode in change.names.items():
                    if inode is None:
                        names.pop(key, None)
                    else:
                        names[key] = inode
        contents = {inode: self._surviving(inode, chance) for inode in self._fds}
        modes = {inode: stat.S_IMODE(os.fstat(fd).st_mode) for inode, fd in self._fds.items()}
        strangers = self._strangers()
        self._wipe()
        self._restore(self.root, names, contents, modes, {})
        for path, data in strangers.items():
            if os.path.isdir(os.path.dirname(path)):
                Path(path).write_bytes(data)
        self.close()
        self._begin()

    def _strangers(self) -> dict[str, bytes]:
        """Files that were made without the FaultyDisk."""
        found = {}
        for directory, _, files in os.walk(self.root):
            for name in files:
                path = os.path.join(directory, name)
                at = os.stat(path, follow_symlinks=False)
                if stat.S_ISREG(at.st_mode) and (at.st_dev, at.st_ino) not in self._fds:
                    found[path] = Path(path).read_bytes()
        return found

    def close(self) -> None:
        """Give the descriptors back."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()

    # An open descriptor per file: inode numbers are used again, an open one never.
    def _track(self, path: str, *, synced: bool) -> Inode:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        found = os.fstat(fd)
        inode = found.st_dev, found.st_ino
        if inode in self._fds:
            os.close(fd)
            return inode
        self._fds[inode] = fd
        self._content[inode] = os.pread(fd, found.st_size, 0) if synced else b""
        return inode

    def _id(self, path: str) -> Inode:
        found = os.stat(path, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            return self._directory_id(path)
        return self._track(path, synced=True)

    def _directory_id(self, path: str) -> Inode:
        found = os.stat(path)
        self._modes[os.path.abspath(path)] = stat.S_IMODE(found.st_mode)
        return -1, found.st_ino

    def _key(self, path: str) -> tuple[str, str]:
        full = os.path.abspath(path)
        return os.path.dirname(full), os.path.basename(full)

    def _add(self, path: str, inode: Inode) -> None:
        self._note({self._key(path): inode})

    def _note(self, names: dict[tuple[str, str], Inode | None]) -> None:
        self._changes.append(_Change(names))

    def _synced(self, fd: int, path: str) -> None:
        found = os.fstat(fd)
        if not stat.S_ISDIR(found.st_mode):
            inode = found.st_dev, found.st_ino
            if inode in self._fds:
                self._content[inode] = os.pread(self._fds[inode], found.st_size, 0)
            return
        directory = os.path.abspath(path)
        for change in self._changes:
            change.done = change.done or any(where == directory for where, _ in change.names)

    def _surviving(self, inode: Inode, chance: random.Random | None) -> bytes:
        durable = self._content[inode]
        if chance is None:
            return durable
        now = os.pread(self._fds[inode], os.fstat(self._fds[inode]).st_size, 0)
        if not now.startswith(durable):  # cut shorter, or rewritten: one or the other
            return chance.choice([durable, now])
        rest = now[len(durable) :]
        arrived = chance.randint(0, len(rest))
        kind = chance.choice(["none", "all", "prefix", "nuls"])
        if kind == "nuls":  # the size was written, the data was not
            return durable + rest[:arrived] + bytes(len(rest) - arrived)
        return durable + {"none": b"", "all": rest, "prefix": rest[:arrived]}[kind]

    def _wipe(self) -> None:
        tracked = {os.path.join(*key) for change in self._changes for key in change.names}
        tracked |= {os.path.join(*key) for key in self._durable}
        for path in sorted(tracked, reverse=True):  # what is inside comes before what holds it
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif os.path.lexists(path):
                os.unlink(path)  # noqa: PTH108

    def _restore(
        self,
        directory: str,
        names: dict[tuple[str, str], Inode],
        contents: dict[Inode, bytes],
        modes: dict[Inode, int],
        made: dict[Inode, str],
    ) -> None:
        for (where, name), inode in sorted(names.items()):
            if where != directory:
                continue
            path = os.path.join(directory, name)
            if inode[0] == -1:
                os.mkdir(path)  # noqa: PTH102
                self._restore(path, names, contents, modes, made)
                os.chmod(path, self._modes.get(path, 0o700))  # noqa: PTH101
            elif inode in made:
                os.link(made[inode], path)
            else:
                Path(path).write_bytes(contents[inode])
                os.chmod(path, modes[inode])  # noqa: PTH101
                made[inode] = path

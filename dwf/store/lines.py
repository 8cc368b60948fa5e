"""Lines: who holds what runs share, and who stands in line for it. A directory per name, a file per ticket.

All that a ticket says is in its name, and its files are empty, so one listing tells everything, in the order in which
they stand. Who changes a line has locked its directory (the kernel frees that with its holder), and it is removed with
its last ticket. Nothing in here decides who may go first, or whether a holder is still there.

    <root>/<name, encoded>/hold.<rank>.<since>.<slots>.<nonce>.<command>.<run>
                           wait.<rank>.<since>.<slots>.<nonce>.<command>.<run>

A name that is too long for a file is hashed; it is told then by who has asked for it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from dwf.errors import DwfError
from dwf.store.files import Disk, disk_error, listed
from dwf.store.locks import is_at

_LONGEST = 150
_HASHED = "~"
_WHOLE = ".whole"
_SAFE = "-_:@+="


@dataclass(frozen=True, order=True, slots=True)
class Ticket:
    """One place in a line. They are ordered as they stand: by rank (lower first), then by time.

    since_us: when it was asked for. nonce, command: the run instance and its command; they name the ticket.
    """

    rank: int
    since_us: int
    nonce: str
    command: int
    run: str
    slots: int = 1
    held: bool = False

    @property
    def owner(self) -> tuple[str, int]:
        return self.nonce, self.command

    @property
    def file(self) -> str:
        state = "hold" if self.held else "wait"
        return f"{state}.{self.rank:03d}.{self.since_us:017d}.{self.slots}.{self.nonce}.{self.command}.{self.run}"


def ticket_of(file: str) -> Ticket | None:
    """The ticket of a file name; None if it is no ticket's."""
    parts = file.split(".", 6)
    if len(parts) != 7 or parts[0] not in ("hold", "wait"):
        return None
    state, rank, since, slots, nonce, command, run = parts
    if not all(number.isascii() and number.isdecimal() for number in (rank, since, slots, command)):
        return None
    return Ticket(int(rank), int(since), nonce, int(command), run, int(slots), state == "hold")


class Lines:
    """All lines below one directory, which is made when it is first needed. durable: tickets are synced."""

    def __init__(self, disk: Disk, root: str, *, durable: bool) -> None:
        self._disk, self.root, self._durable = disk, root, durable

    def exist(self) -> bool:
        """Whether they are there; of durable ones, whether all of them are."""
        return os.path.lexists(f"{self.root}/{_WHOLE}" if self._durable else self.root)

    def complete(self) -> None:
        """Say that every ticket there should be is there, on disk."""
        if not os.path.isdir(self.root):  # noqa: PTH112
            self.begin()
        with suppress(FileExistsError):
            os.close(self._disk.open_new(f"{self.root}/{_WHOLE}"))
        self._disk.fsync_dir(self.root)

    def names(self) -> list[str]:
        """Every name somebody holds or waits for. Those that were hashed begin with "~"."""
        return sorted(unquote(entry) for entry in listed(self.root) if not entry.startswith("."))

    def look(self, name: str) -> list[Ticket]:
        """The tickets of a line, as they stand; for people, who lock nobody out."""
        return _tickets(self._path(name))

    @contextmanager
    def line(self, name: str) -> Iterator[Line]:
        """One line, which nobody else changes meanwhile. Waits for those who do; they only look and write."""
        with self.entry(self._path(name).rpartition("/")[2]) as line:
            yield line

    @contextmanager
    def entry(self, entry: str) -> Iterator[Line]:
        """The same by the name of its directory."""
        path = f"{self.root}/{entry}"
        fd = self._locked(path)
        try:
            yield Line(self._disk, path, self._durable)
        finally:
            with suppress(OSError):
                os.rmdir(path)  # noqa: PTH106 - it fails as long as there is a ticket in it
            os.close(fd)

    def _path(self, name: str) -> str:
        if name.startswith(_HASHED):
            return f"{self.root}/{name}"
        encoded = quote(name, safe=_SAFE).replace(".", "%2E")
        if len(encoded) > _LONGEST:
            encoded = _HASHED + hashlib.sha256(name.encode()).hexdigest()[:40]
        return f"{self.root}/{encoded}"

    def _locked(self, path: str) -> int:
        while True:
            fd = self._opened(path)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
            except OSError as error:
                os.close(fd)
                raise disk_error("lock", path, error) from error
            if is_at(fd, path):
                return fd
            os.close(fd)  # its last ticket went, and it with it, between our open and our lock

    def _opened(self, path: str) -> int:
        while True:
            try:
                return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                self._make(path)
            except OSError as error:
                raise disk_error("open", path, error) from error

    def _make(self, path: str) -> None:
        with suppress(FileExistsError):
            try:
                self._disk.mkdir(path)
            except FileNotFoundError:
                self.begin()
                return
            if self._durable:
                self._disk.fsync_dir(self.root)

    def discard(self, path: str) -> None:
        """Remove a file of a line."""
        self._disk.discard(path)

    def begin(self) -> None:
        """Make the root, on disk."""
        with suppress(FileExistsError):
            self._disk.mkdir(self.root)
        self._disk.fsync_dir(os.path.dirname(self.root))  # noqa: PTH120


class Line:
    """One line under its lock."""

    def __init__(self, disk: Disk, path: str, durable: bool) -> None:
        self._disk, self.path, self._durable = disk, path, durable

    def tickets(self) -> list[Ticket]:
        """All of them, as they stand."""
        return _tickets(self.path)

    def put(self, ticket: Ticket) -> None:
        """A new ticket, there for good when this returns."""
        path = f"{self.path}/{ticket.file}"
        with suppress(FileExistsError):
            os.close(self._disk.open_new(path))
        self._sync()

    def give(self, ticket: Ticket) -> None:
        """What it waits for is its own from now on."""
        self._disk.rename(f"{self.path}/{ticket.file}", f"{self.path}/{replace(ticket, held=True).file}")
        self._sync()

    def drop(self, ticket: Ticket) -> None:
        """Remove it. If that is lost, it stands there once more, and is found out again."""
        with suppress(FileNotFoundError):
            self._disk.unlink(f"{self.path}/{ticket.file}")

    def _sync(self) -> None:
        if self._durable:
            self._disk.fsync_dir(self.path)


def _tickets(path: str) -> list[Ticket]:
    try:
        found = listed(path)
    except DwfError:
        return []
    return sorted(ticket for file in found if (ticket := ticket_of(file)) is not None)

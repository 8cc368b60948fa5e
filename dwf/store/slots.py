"""Slots and starts: what is counted of steps that share a limit, over all runs and processes.

A slot is a ticket of a line (see lines.py) whose file is locked as long as the attempt runs, so the kernel frees it
with whoever holds it. A process that outlives its dwf holds it on: the file names the process, and a slot whose process
lives is taken. Never does its age free it.

The starts of a limit with a rate are a file of fixed places, the times of the last attempts that began. A time is on
disk before its attempt begins. A time in the future (the clock was set back) counts as now, and is written down as
that, so that it neither frees nor blocks for ever.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import replace
from weakref import WeakMethod, WeakSet

import msgspec

from dwf import host
from dwf.errors import BadConfiguration, DwfError
from dwf.host import Process
from dwf.store.files import Disk, listed, read_regular
from dwf.store.lines import Line, Lines, Ticket
from dwf.store.locks import is_at, lock_now

STARTS = "starts"
_OVERRIDES = ".set"
_PLACE = 18
_LONGEST = 200
# Between the moment that is written down and the first instruction of a step some time goes by.
_SLACK_US = 50_000


class Slot:
    """A slot that is held by an attempt. Release it, or keep it for the process that goes on."""

    def __init__(self, disk: Disk, ticket: Ticket, path: str, fd: int) -> None:
        self._disk, self.ticket, self._path, self._fd = disk, ticket, path, fd

    def sign(self, process: Process) -> None:
        """Say whose it is; no process, and it is this dwf's alone."""
        text = f"{process.pid} {process.start} {process.boot or '-'} {host.this_process().namespace or '-'}\n"
        with suppress(DwfError):
            self._disk.write_all(self._fd, text.encode("ascii", "replace"), self._path)

    def release(self) -> None:
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            if is_at(fd, self._path):
                self._disk.discard(self._path)
        finally:
            # Explicitly: closing frees it only with the last copy of the descriptor.
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)

    def keep(self) -> None:
        """This dwf leaves; the process that is named has it on."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    forget = keep


class Slots(Lines):
    """The lines of all limits of a state directory."""

    def __init__(self, disk: Disk, root: str) -> None:
        super().__init__(disk, root, durable=False)
        self._held: WeakSet[Slot] = WeakSet()
        forget = WeakMethod(self._forget_all)
        # A forked child has copies of our descriptors, and a lock lasts as long as the last copy.
        os.register_at_fork(after_in_child=lambda: (method := forget()) and method())

    def take(self, line: Line, ticket: Ticket) -> Slot:
        """A slot for that ticket; the line is locked, and somebody has decided that there is room."""
        taken = replace(ticket, held=True)
        path = f"{line.path}/{taken.file}"
        with suppress(FileNotFoundError):
            self._disk.unlink(path)  # of a dead process: the same attempt is made once more
        return self._signed_in(taken, path, self._disk.open_new(path))

    def again(self, line: Line, ticket: Ticket) -> Slot:
        """The slot of an attempt that an earlier dwf has begun and that goes on; made anew if it is gone."""
        path = f"{line.path}/{ticket.file}"
        try:
            fd = self._disk.open_regular(path, append=True)
        except FileNotFoundError:
            return self.take(line, ticket)
        return self._signed_in(ticket, path, fd)

    def _signed_in(self, ticket: Ticket, path: str, fd: int) -> Slot:
        lock_now(fd, path)
        slot = Slot(self._disk, ticket, path, fd)
        self._held.add(slot)
        return slot

    def is_held(self, line: Line, ticket: Ticket) -> bool:
        """Whether the attempt of a held ticket runs. Its file is removed if not; the line is locked."""
        path = f"{line.path}/{ticket.file}"
        try:
            fd = self._disk.open_regular(path, append=True)
        except FileNotFoundError:
            return False
        try:
            if not lock_now(fd, path) or _lives(os.pread(fd, _LONGEST, 0)):
                return True
            self._disk.discard(path)
            return False
        finally:
            os.close(fd)

    def sweep(self, now_us: int) -> None:
        """Remove the starts of limits under which none counts any more, and what else is empty."""
        for entry in listed(self.root):
            if not entry.startswith(".") and set(listed(f"{self.root}/{entry}")) <= {STARTS}:
                with self.entry(entry) as line:
                    _forget_starts(self, line, now_us)

    # -- for people, who lock nobody out --------------------------------------------------------------------

    def runs(self, name: str, ticket: Ticket) -> bool:
        """Whether the attempt of a held ticket runs."""
        return holds(f"{self._path(name)}/{ticket.file}")

    def pid_of(self, name: str, ticket: Ticket) -> int:
        """The process that a slot is signed with; 0 if it has none of its own."""
        try:
            words = read_regular(f"{self._path(name)}/{ticket.file}", _LONGEST).split()
        except (FileNotFoundError, DwfError):
            return 0
        return int(words[0]) if words and words[0].isdigit() else 0

    def started(self, name: str, now_us: int) -> int:
        """How many attempts have begun in the span that counts now."""
        try:
            data = read_regular(f"{self._path(name)}/{STARTS}")
        except (FileNotFoundError, DwfError):
            return 0
        before_us = now_us - _time(data[:_PLACE], 0)
        return sum(at_us > before_us for at_us in _times(data, now_us))

    def is_named(self, name: str, told: str) -> bool:
        """Whether that is the name which `names` has told so."""
        return self._path(name) == self._path(told)

    # -- the operator's numbers ---------------------------------------------------------------------------------

    def overrides(self) -> dict[str, tuple[int, int, int]]:
        """At once, rate, and span in microseconds, by name. Raises BadConfiguration, DiskError."""
        path = f"{self.root}/{_OVERRIDES}"
        try:
            data = read_regular(path)
        except FileNotFoundError:
            return {}
        try:
            return msgspec.json.decode(data, type=dict[str, tuple[int, int, int]])
        except msgspec.MsgspecError as error:
            raise BadConfiguration(what=f"{path} cannot be read: {error}", path=path, hint=f"rm {path}") from None

    def override(self, name: str, numbers: tuple[int, int, int] | None) -> None:
        """Set what counts for a name, or (None) let the scripts say. Durable when this returns."""
        if not self.exist():
            self.begin()
        with self.line(_OVERRIDES):
            known = self.overrides()
            known.pop(name, None)
            if numbers is not None:
                known[name] = numbers
            path = f"{self.root}/{_OVERRIDES}"
            self._disk.discard(f"{path}.new")
            self._disk.write_new(f"{path}.new", msgspec.json.encode(known))
            self._disk.rename(f"{path}.new", path)
            self._disk.fsync_dir(self.root)

    def _forget_all(self) -> None:
        for slot in list(self._held):
            slot.forget()


def holds(path: str) -> bool:
    """Whether the attempt of a held ticket runs, for people: no lock is touched that others wait for."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if _lives(os.pread(fd, _LONGEST, 0)):
            return True
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False
    finally:
        os.close(fd)


def _lives(signed: bytes) -> bool:
    """Whether the process that is named in a slot is there: it holds it, whoever has died."""
    words = signed.decode("ascii", "replace").split()
    if len(words) != 4 or not all(word.isdecimal() for word in words[:2]) or words[0] == "0":
        return False
    pid, start, boot, namespace = int(words[0]), int(words[1]), words[2], words[3]
    if boot == host.boot_id() and namespace != (host.this_process().namespace or "-"):
        return True  # in another container pids mean something else: it cannot be checked from here
    return host.same_process_alive(pid, start, boot)


# -- rates ------------------------------------------------------------------------------------------------------


class Starts:
    """When the last attempts of a limit began. Its line is locked as long as this is used."""

    def __init__(self, disk: Disk, line: Line, rate: int, window_us: int, now_us: int) -> None:
        self._disk, self._path = disk, f"{line.path}/{STARTS}"
        self._rate, self._span = rate, window_us + _SLACK_US
        self._fd = _opened(disk, self._path)
        self._now = now_us
        data = os.pread(self._fd, _PLACE * 100_000, 0)
        self._times = _times(data, now_us)
        if data[:_PLACE] != f"{self._span:017d}\n".encode():
            self._write(-1, self._span)
        for place, at_us in enumerate(self._times):
            if at_us > now_us:
                self._write(place, now_us)
        self._recent = sorted(at_us for at_us in self._times if at_us > now_us - self._span)

    def close(self) -> None:
        os.close(self._fd)

    @property
    def free(self) -> int:
        """How many may begin now."""
        return max(self._rate - len(self._recent), 0)

    @property
    def used(self) -> int:
        return len(self._recent)

    @property
    def next_us(self) -> int:
        """When the next one may begin, if none may now."""
        return self._recent[-self._rate] + self._span

    def add(self) -> int:
        """Write down that one begins now, on disk; the place where that stands."""
        old = (place for place, at_us in enumerate(self._times) if at_us <= self._now - self._span)
        place = next(old, len(self._times))
        self._write(place, self._now)
        self._disk.fdatasync(self._fd, self._path)
        return place

    def move(self, place: int) -> None:
        """It begins only now."""
        self._write(place, self._now)

    def _write(self, place: int, at_us: int) -> None:
        if place >= 0:
            self._times[place : place + 1] = [at_us]
        os.lseek(self._fd, (place + 1) * _PLACE, os.SEEK_SET)
        self._disk.write_all(self._fd, f"{at_us:017d}\n".encode(), self._path)


def _opened(disk: Disk, path: str) -> int:
    try:
        os.close(disk.open_new(path))
        # Its name lasts before anything counts on it; that of the root was made to last by who made it.
        line, _, _ = path.rpartition("/")
        disk.fsync_dir(line)
        disk.fsync_dir(line.rpartition("/")[0])
    except FileExistsError:
        pass
    return disk.open_regular(path, rewrite=True)


def _time(data: bytes, now_us: int) -> int:
    return int(data) if len(data) == _PLACE and data[:-1].isdigit() else now_us + 1


def _times(data: bytes, now_us: int) -> list[int]:
    """The first place says how long they count. What is no time, for it was torn, counts as now."""
    return [_time(data[at : at + _PLACE], now_us) for at in range(_PLACE, len(data), _PLACE)]


def _forget_starts(slots: Slots, line: Line, now_us: int) -> None:
    path = f"{line.path}/{STARTS}"
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return
    before_us = now_us - _time(data[:_PLACE], 0)
    if not line.tickets() and all(at_us <= before_us for at_us in _times(data, now_us)):
        slots.discard(path)

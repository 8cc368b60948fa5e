"""The history of a run: its one writer, and its readers.

`History` is for the process that holds the run's lock: it reads and checks everything, cuts off a torn tail, makes
durable what it found, and then appends, one write and one sync a batch. Its readers are in reading.py.

Nothing in here takes a lock, decides what to record, or repairs anything but a torn tail.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace

from dwf.core.duration import unstamp
from dwf.core.events import Decision, Event, Role
from dwf.errors import (
    DiskError,
    DwfError,
    HistoryCorrupt,
    InternalError,
    ValueRefused,
    WrongState,
)
from dwf.store import record
from dwf.store.files import Disk, read_all
from dwf.store.mend import Mend, directory_of
from dwf.store.reading import TAIL_BYTES as TAIL_BYTES
from dwf.store.reading import Reading as Reading
from dwf.store.reading import Tail as Tail
from dwf.store.reading import believe_history as believe_history
from dwf.store.reading import bytes_until as bytes_until
from dwf.store.reading import no_history
from dwf.store.reading import read_history as read_history
from dwf.store.reading import tail as tail
from dwf.store.reading import verify_history as verify_history
from dwf.store.record import Chain
from dwf.store.verify import Examined, examine

# A batch is held in memory until it is written. The engine commits early at FULL; past LIMIT the script is at fault.
PENDING_FULL = 8 * 1024 * 1024
PENDING_LIMIT = 128 * 1024 * 1024
_NO_FILE = "it is a link, a directory or a device, and not a regular file"


class History:
    """The writer. Use it under the run's lock only, and throw it away when `commit` has raised.

    events: what was in the file when it was opened, a HistoryRepaired made then included. size: bytes on disk.
    """

    __slots__ = (
        "_chain",
        "_committed",
        "_disk",
        "_fd",
        "_in_doubt",
        "_left",
        "_named",
        "_parts",
        "_pending",
        "_usable",
        "events",
        "path",
        "size",
    )

    def __init__(self, disk: Disk, path: str, fd: int, found: Examined) -> None:
        self._disk, self.path, self._fd = disk, path, fd
        self.events: list[Event] = found.events
        self.size: int = found.size
        self._chain = Chain(found.length, found.hash, unstamp(found.events[-1].ts))
        self._committed = self._chain.mark()
        self._parts: list[bytes] = []
        self._pending = 0
        self._usable = True
        self._in_doubt = self._named = False
        self._left: os.stat_result | None = None

    @classmethod
    def open(cls, disk: Disk, path: str, now_us: int = 0, *, lazily: bool = False, named: bool = False) -> History:
        """Read, check, mend a torn tail, and make durable what is there before it is believed.

        lazily: the next `commit` makes it durable, also one with nothing staged; nothing may be done before that.
        named: this process has made the name of the file durable itself.
        `now_us` is the time that a HistoryRepaired would carry. Raises NotFound, HistoryCorrupt and NewerFormat (the
        file is then untouched), NotPermitted, DiskError.
        """
        try:
            fd = disk.open_regular(path, append=True, owner=os.geteuid())
        except FileNotFoundError:
            raise no_history(path) from None
        except DwfError as error:
            if _is_file(path):
                raise
            # Nothing of ours, and no history will ever come of it: said once and left alone, like a damaged one.
            raise HistoryCorrupt(path=path, line=1, offset=0, why=_NO_FILE, kind="foreign") from error
        try:
            found = examine(read_all(fd, path), path)
            if found.finding is not None and not found.mendable:
                raise found.finding.error()
            history = cls(disk, path, fd, found)
            history._named = named
            if lazily and not found.tail:
                history._in_doubt = True
            else:
                history._believe(found, now_us)
        except BaseException:
            os.close(fd)
            raise
        return history

    @classmethod
    def cut(cls, disk: Disk, path: str, line: int, decided: Decision, now_us: int) -> History:
        """Open a damaged history without what stands from `line` on: a person has given that up.

        What is cut off is kept, and HistoryRepaired says who and why. Nothing before that line may be damaged. Raises
        WrongState for a line that is not in it, or that would leave damage or nothing; and like `open`.
        """
        fd = disk.open_regular(path, append=True, owner=os.geteuid())
        try:
            data = read_all(fd, path)
            lines = data.splitlines(keepends=True)
            kept = b"".join(lines[: line - 1])
            found = examine(kept, path)
            if not 1 < line <= len(lines) or found.finding is not None or found.tail:
                raise WrongState(what=f"line {line} is none from which on this history could be given up")
            history = cls(disk, path, fd, replace(found, tail=data[len(kept) :]))
            history._believe(replace(found, tail=data[len(kept) :]), now_us, decided)
        except BaseException:
            os.close(fd)
            raise
        return history

    # -- appending ---------------------------------------------------------------------------------------------

    @property
    def length(self) -> int:
        """The number of the last record, staged ones included."""
        return self._chain.length

    @property
    def head(self) -> str:
        """The hash of the last record, staged ones included."""
        return self._chain.hash.decode()

    @property
    def pending_bytes(self) -> int:
        """What is staged. From PENDING_FULL on it should be committed."""
        return self._pending

    def stage(self, body: Event, now_us: int) -> Event:
        """The event with the next number and the time, to be written by the next `commit`.

        `now_us`: microseconds since the epoch; the time recorded never goes back. Raises ValueRefused for a payload
        that is no JSON or a batch past PENDING_LIMIT; nothing is staged then.
        """
        if self._pending > PENDING_LIMIT:
            raise ValueRefused(what="a batch of records", why=f"it is over {PENDING_LIMIT:,} bytes")
        event, line = self._chain.append(body, now_us)
        self._parts.append(line)
        self._pending += len(line)
        return event

    def bytes_until(self, number: int) -> int:
        """The size of the first `number` records, staged ones included. It reads the file: not for every step."""
        on_disk = self._committed[0]
        if number <= on_disk:
            return bytes_until(self.path, number)
        return self.size + sum(map(len, self._parts[: number - on_disk]))

    def commit(self) -> None:
        """Write and sync what is staged; when it returns, all of it is on disk. With nothing staged it does nothing.

        Raises DiskError; nothing of the batch counts then, this object can no longer be used, and the next process
        writes anew. Nothing is tried twice: after a failed sync the kernel takes pages for clean that are not on disk.
        """
        if not self._parts:
            if self._in_doubt:
                self._make_durable()
            return
        if not self._usable:
            raise InternalError(what=f"{self.path} was written to after a failed write")
        if self._in_doubt:
            self._make_name_durable()
        data = b"".join(self._parts)
        self._require_alone()
        try:
            self._disk.write_all(self._fd, data, self.path)
            self._disk.fdatasync(self._fd, self.path)
        except BaseException:
            self._give_up(len(data))
            raise
        self.size += len(data)
        self._in_doubt = False
        self._committed = self._chain.mark()
        self._parts, self._pending = [], 0

    def rollback(self) -> None:
        """Forget what is staged."""
        self._chain.return_to(self._committed)
        self._parts, self._pending = [], 0

    def leave(self) -> None:
        """The lock is about to be given up: remember the file as it is, and forget what was read from it."""
        self.events = []
        self._left = os.fstat(self._fd)

    def is_as_it_was_left(self) -> bool:
        """With the lock again: whether the path leads to the same file, and not a byte of it was written since."""
        left = self._left
        if left is None or not self._usable:
            return False
        try:
            found = os.lstat(self.path)
            end = os.pread(self._fd, record.SUFFIX_LENGTH + 1, max(self.size - record.SUFFIX_LENGTH - 1, 0))
        except OSError:
            return False
        return (
            (found.st_dev, found.st_ino, found.st_size) == (left.st_dev, left.st_ino, self.size)
            and (found.st_mtime_ns, found.st_ctime_ns) == (left.st_mtime_ns, left.st_ctime_ns)
            and self._chain.hash in end
        )

    def close(self) -> None:
        """Give the descriptor back. What is staged is forgotten."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._usable = -1, False

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _require_alone(self) -> None:
        """Who writes beside us has broken the lock (deleted its file, restored a backup): stop before harm is done."""
        found = os.fstat(self._fd)
        if found.st_size == self.size and found.st_nlink:
            return
        self._usable = False
        raise DiskError(
            operation="append to",
            path=self.path,
            why="it was changed or removed by something else while this process held the run's lock",
            errno=errno.ESTALE,
            hint="was a lock file deleted, or a backup restored, while dwf was running?",
        )

    def _give_up(self, attempted: int) -> None:
        """After a failed write: never again with this object, and the file as it was if that is possible."""
        self._usable = False
        try:
            if 0 < os.fstat(self._fd).st_size - self.size <= attempted:
                self._disk.truncate(self._fd, self.size, self.path)
        except (OSError, DwfError):
            pass  # the first error is the one to report; the next writer cuts what is left

    # -- opening -----------------------------------------------------------------------------------------------

    def _make_durable(self) -> None:
        """A killed process may have left records in memory only."""
        self._disk.fdatasync(self._fd, self.path)
        self._make_name_durable()
        self._in_doubt = False

    def _make_name_durable(self) -> None:
        """Its maker may have died before he did. Whoever recorded more than he has passed here already."""
        if not self._named and all(event.role in (Role.LIFECYCLE, Role.INPUT) for event in self.events):
            self._disk.fsync_dir(directory_of(self.path))

    def _believe(self, found: Examined, now_us: int, decided: Decision | None = None) -> None:
        """Make durable what was found, and mend the tail."""
        mend = Mend(self._disk, self.path)
        cut = mend.keep(found.tail, decided)
        if found.tail:
            self._disk.truncate(self._fd, self.size, self.path)
        self._make_durable()
        if cut is None:
            return
        told = mend.already_told(cut, self.events)
        if told is None:
            told = self.stage(cut, now_us)
            self.commit()
            self.events.append(told)
        mend.done(told)


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return True  # the error that brought us here says more

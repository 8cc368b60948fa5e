"""The history of a run: its one writer, and its readers.

`History` is for the process that holds the run's lock: it reads and checks everything, cuts off a torn tail, makes
durable what it found, and then appends, one write and one sync a batch. Readers (`read_history`, `verify_history`,
`tail`) never write, never lock, need no permission but to read, and never see half a record.

Nothing in here takes a lock, decides what to record, or repairs anything but a torn tail.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, replace

from dwf.core.duration import unstamp
from dwf.core.events import Decision, Event, Role, WorkflowStarted
from dwf.errors import (
    DiskError,
    DwfError,
    HistoryCorrupt,
    InternalError,
    NewerFormat,
    NotFound,
    ValueRefused,
    WrongState,
)
from dwf.store import record
from dwf.store.files import Disk, disk_error, open_to_read, read_all, read_regular
from dwf.store.mend import Mend, directory_of
from dwf.store.record import Chain
from dwf.store.verify import Examined, Finding, examine, findings

# A batch is held in memory until it is written. The engine commits early at FULL; past LIMIT the script is at fault.
PENDING_FULL = 8 * 1024 * 1024
PENDING_LIMIT = 128 * 1024 * 1024
TAIL_BYTES = 4096
_NO_FILE = "it is a link, a directory or a device, and not a regular file"
_HEADER_LIMIT = 4 * 1024 * 1024


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
        self._in_doubt = False

    @classmethod
    def open(cls, disk: Disk, path: str, now_us: int = 0, *, lazily: bool = False) -> History:
        """Read, check, mend a torn tail, and make durable what is there before it is believed.

        lazily: the next `commit` makes it durable, also one with nothing staged; nothing may be done before that.
        `now_us` is the time that a HistoryRepaired would carry. Raises NotFound, HistoryCorrupt and NewerFormat (the
        file is then untouched), NotPermitted, DiskError.
        """
        try:
            fd = disk.open_regular(path, append=True, owner=os.geteuid())
        except FileNotFoundError:
            raise _no_history(path) from None
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
        if all(event.role in (Role.LIFECYCLE, Role.INPUT) for event in self.events):
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


# -- reading ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """A history as a reader found it.

    events: all that fits and that this version can decode. problem: what is wrong, to show or to raise; kind "torn"
    means that the next writer mends it. torn_bytes: what follows the last record that fits; with no problem it is an
    incomplete record, which a writer may be writing just now. head_hash: the hash of the last record. size: bytes of
    whole records.
    """

    events: list[Event]
    problem: HistoryCorrupt | NewerFormat | None
    torn_bytes: int
    head_hash: str
    size: int


@dataclass(frozen=True, slots=True)
class Tail:
    """The two ends of a history, for deriving what it is without reading it all.

    started: line 1. last: the events that end the file, as far as they lie within its last 4 kB and fit together; none
    if the file ends in a torn or unknown record.
    """

    started: WorkflowStarted
    last: list[Event]


def read_history(path: str) -> Reading:
    """All records of a history. Raises NotFound, NotPermitted, DiskError; what is wrong inside is in the answer."""
    data = _content(path)
    found = examine(data, path)
    # A writer that mends a tail, or takes back a failed write, changes bytes that were read a moment ago: look again.
    for _ in range(2):
        if found.finding is None:
            break
        before, data = data, _content(path)
        if data == before:
            break
        found = examine(data, path)
    return _reading(found)


def believe_history(disk: Disk, path: str) -> Reading:
    """`read_history` for an answer that others act upon: what is in it is on disk when this returns."""
    try:
        fd = disk.open_regular(path)
    except FileNotFoundError:
        raise _no_history(path) from None
    try:
        data = read_all(fd, path)
        disk.fdatasync(fd, path)
    finally:
        os.close(fd)
    disk.fsync_dir(directory_of(path))
    return _reading(examine(data, path))


def verify_history(path: str) -> list[Finding]:
    """Everything that is wrong with a history, an incomplete last record included; empty if it is clean.

    Reads line by line, changes nothing. Raises NotFound, NotPermitted, DiskError.
    """
    try:
        fd = open_to_read(path)
    except FileNotFoundError:
        raise _no_history(path) from None
    with os.fdopen(fd, "rb") as file:
        try:
            return findings(file, path)
        except OSError as error:
            raise disk_error(f"read byte {file.tell()} of", path, error) from error


def tail(path: str) -> Tail | HistoryCorrupt | NewerFormat:
    """The header and the last events of a history, or what keeps them from being read.

    Checks only what it reads: the header, and that the last lines follow each other. Raises NotFound, NotPermitted,
    DiskError.
    """
    start, end, size = _both_ends(path)
    if size <= TAIL_BYTES and end:
        # Nearly all of a million: looked at once, if nothing is wrong.
        whole = examine(end, path)
        if whole.finding is None and not whole.tail and isinstance(whole.events[0], WorkflowStarted):
            return Tail(whole.events[0], whole.events)
    header = start[: start.find(b"\n") + 1] or start
    found = examine(header, path)
    if found.finding is not None:
        return found.finding.error()
    started = found.events[0] if found.events else None
    assert isinstance(started, WorkflowStarted)  # nothing else passes as line 1
    if size <= TAIL_BYTES:
        return Tail(started, [])
    return Tail(started, _last_events(end))


def _both_ends(path: str) -> tuple[bytes, bytes, int]:
    try:
        fd = open_to_read(path)
    except FileNotFoundError:
        raise _no_history(path) from None
    try:
        size = os.fstat(fd).st_size
        start = read_all(fd, path, TAIL_BYTES)
        if b"\n" not in start:
            start = read_all(fd, path, _HEADER_LIMIT)
        return start, os.pread(fd, TAIL_BYTES, max(size - TAIL_BYTES, 0)), size
    except OSError as error:
        raise disk_error("read", path, error) from error
    finally:
        os.close(fd)


def _last_events(end: bytes) -> list[Event]:
    """The whole lines of the end of a file, if they follow each other and reach the last byte; else none."""
    lines = end.split(b"\n")[1:]
    if not lines or lines.pop():
        return []
    events: list[Event] = []
    try:
        for line in lines:
            events.append(record.decode_line(line))
    except record.UNREADABLE:
        return []
    seen = record.glance(lines[0]) if lines else None
    if seen is None or record.chained(lines[1:], seen.hash.encode())[0] != len(lines) - 1:
        return []
    return events if record.numbered(events, seen.id) else []


def _reading(found: Examined) -> Reading:
    problem = found.finding.error() if found.finding is not None else None
    return Reading(found.events, problem, len(found.tail), found.hash.decode(), found.size)


def _content(path: str) -> bytes:
    try:
        return read_regular(path)
    except FileNotFoundError:
        raise _no_history(path) from None


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return True  # the error that brought us here says more


def _no_history(path: str) -> NotFound:
    return NotFound(what=f"there is no history {path}", path=path)

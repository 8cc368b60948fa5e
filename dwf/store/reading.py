"""A history as its readers see it: whole, its two ends, or what is wrong with it.

Readers never write, never lock, need no permission but to read, and never see half a record.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from dwf.core.events import Event, WorkflowStarted
from dwf.errors import HistoryCorrupt, NewerFormat, NotFound
from dwf.store import record
from dwf.store.files import Disk, disk_error, open_to_read, read_all, read_regular
from dwf.store.mend import directory_of
from dwf.store.verify import Examined, Finding, examine, findings

TAIL_BYTES = 4096
_HEADER_LIMIT = 4 * 1024 * 1024


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


def bytes_until(path: str, number: int) -> int:
    """The size of the first `number` records of a history. Raises NotFound, DiskError, NotPermitted."""
    return _length_of(_content(path), number)


def _length_of(data: bytes, number: int) -> int:
    end = 0
    for _ in range(number):
        end = data.index(b"\n", end) + 1
    return end


def believe_history(disk: Disk, path: str) -> Reading:
    """`read_history` for an answer that others act upon: what is in it is on disk when this returns."""
    try:
        fd = disk.open_regular(path)
    except FileNotFoundError:
        raise no_history(path) from None
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
        raise no_history(path) from None
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
        raise no_history(path) from None
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
        raise no_history(path) from None


def no_history(path: str) -> NotFound:
    return NotFound(what=f"there is no history {path}", path=path)

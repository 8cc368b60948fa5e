"""The head of a history: how long it is, and the hash of its last record. Whoever keeps it elsewhere can prove later
that nothing before it was changed; the chain alone cannot, for whoever may write the file may write a whole new chain.

Reads only, and checks nothing: that the chain holds is what verify.py asks.
"""

# ruff: noqa: PTH116, PTH208

from __future__ import annotations

import os
from dataclasses import dataclass

from dwf.store import record
from dwf.store.archive import find
from dwf.store.files import open_to_read, read_all
from dwf.store.layout import Layout, run_of

_BLOCK = 64 * 1024
# From the first digit of the hash to the end of a line: `..."}`.
_FROM_HASH = record.HASH_LENGTH + 2


@dataclass(frozen=True, slots=True)
class Head:
    """Where one history ended when it was looked at: `length` records, the last with this `hash`."""

    run: str
    link: int
    length: int
    hash: str


def head_of(layout: Layout, run: str, link: int) -> Head | None:
    """The last whole record of a history; None if there is none to be read. Raises NotPermitted, DiskError."""
    path = find(layout, run, link)
    try:
        fd = open_to_read(path)
    except FileNotFoundError:
        return None
    try:
        seen = record.glance(_last_line(fd, path))
    finally:
        os.close(fd)
    return None if seen is None else Head(run, link, seen.id, seen.hash)


def hashes(path: str) -> list[str]:
    """The hash that each whole line carries, "" where a line has none. Raises FileNotFoundError, DiskError."""
    fd = open_to_read(path)
    with os.fdopen(fd, "rb") as file:
        return [_hash_in(line) for line in file if line.endswith(b"\n")]


def changed_since(layout: Layout, time_ns: int) -> list[tuple[str, int]]:
    """Histories written to since then, by the file's own time."""
    try:
        names = sorted(os.listdir(layout.runs))
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        known = run_of(name)
        if known is None:
            continue
        try:
            written = os.stat(f"{layout.runs}/{name}").st_mtime_ns
        except FileNotFoundError:
            continue
        if written >= time_ns:
            found.append(known)
    return found


def _last_line(fd: int, path: str) -> bytes:
    size = os.fstat(fd).st_size
    block = _BLOCK
    while True:
        start = max(size - block, 0)
        data = os.pread(fd, size - start, start) if start else read_all(fd, path)
        end = data.rfind(b"\n")
        begin = data.rfind(b"\n", 0, max(end, 0))
        if end >= 0 and (begin >= 0 or start == 0):
            return data[begin + 1 : end]
        if start == 0:
            return b""
        block *= 8


def _hash_in(line: bytes) -> str:
    return line.rstrip(b"\n")[-_FROM_HASH:-2].decode("ascii", "replace")

"""What a step prints, kept within bounds: the beginning and the end, on disk and in memory.

A step may print 10 GB. Of each stream at most `limit` bytes reach the disk (the beginning as it comes, so that it can
be followed live, and the last part when the step ends), and little more than a mebibyte is ever in memory. A disk that
refuses the output does not fail the step: what is kept is then only the tail.
"""

from __future__ import annotations

import os
from collections import deque
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dwf.activities.plan import MAX_FILE, MEBIBYTE
from dwf.core.events import Output

if TYPE_CHECKING:
    import hashlib

_MEMORY_HEAD = 256 * 1024
_LONGEST_TAIL = MEBIBYTE
# The end of the output that goes into the event itself.
TAIL = 4096


class Masking(Protocol):
    """Takes secrets out of a stream: what may be passed on, and an end that may be the beginning of one."""

    def stream(self, data: bytes) -> tuple[bytes, bytes]: ...


MASKING: ContextVar[Masking | None] = ContextVar("dwf_masking", default=None)
"""Of the attempt that is prepared or runs in this context: its streams take it when they are made."""


class Stream:
    """One of stdout and stderr of one attempt. Not for several threads at once."""

    def __init__(self, path: str | None, limit: int = MAX_FILE) -> None:
        self.path = path
        self.size = 0
        self.written = False
        self._tail_limit = min(max(limit, 2) // 2, _LONGEST_TAIL)
        self._file_head = max(limit, 2) - self._tail_limit
        self._memory_head = min(self._file_head, _MEMORY_HEAD)
        self._first = bytearray()
        self._last: deque[bytes] = deque()
        self._last_size = 0
        self._fd = -1
        self._closed = False
        self._masking = MASKING.get()
        self._held = b""

    @property
    def truncated(self) -> bool:
        """Whether all of it is nowhere: neither in the file nor, if there is none, in the tail."""
        return self.size > (self._file_head + self._tail_limit if self.written else TAIL)

    def write(self, data: bytes) -> None:
        if not data or self._closed:
            return
        if self._masking is not None:
            data, self._held = self._masking.stream(self._held + data)
        self._take(data)

    def _take(self, data: bytes) -> None:
        if not data:
            return
        self._to_file(data)
        room = self._memory_head - len(self._first)
        if room > 0:
            self._first += data[:room]
        if room < len(data):
            self._keep_last(data[max(room, 0) :])
        self.size += len(data)

    def _keep_last(self, data: bytes) -> None:
        self._last.append(data[-self._tail_limit :])
        self._last_size += len(self._last[-1])
        # Chunks are dropped whole, so that a byte is moved once; the surplus is at most one chunk.
        while self._last_size - len(self._last[0]) >= self._tail_limit:
            self._last_size -= len(self._last.popleft())

    def _to_file(self, data: bytes) -> None:
        if self.path is None:
            return
        if self.size == 0:
            self._open(self.path)
        self._append(data[: max(self._file_head - self.size, 0)])

    def _open(self, path: str) -> None:
        try:
            self._fd = new_file(path)
            self.written = True
        except OSError:
            self.written = False

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view and self.written:
                view = view[os.write(self._fd, view) :]
        except OSError:
            self.written = False

    def close(self) -> None:
        """Write the end of the output behind its beginning. Once; later writes are dropped."""
        if self._closed:
            return
        self._closed = True
        self._take(self._held)
        beyond = self.size - self._file_head
        if beyond > 0:
            left_out = beyond - self._tail_limit
            if left_out > 0:
                self._append(_gap(left_out))
            self._append(self._end(min(beyond, self._tail_limit)))
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _end(self, count: int) -> bytes:
        """The last `count` bytes, or as many as are still in memory."""
        last = b"".join(self._last)
        if count > len(last) and len(last) == self.size - len(self._first):
            last = bytes(self._first) + last
        return last[-count:] if count else b""

    def text(self, limit: int) -> tuple[str, bool]:
        """All of it as text if it has at most `limit` bytes and memory holds it, else beginning and end, and True."""
        rest = self.size - len(self._first)
        if self.size <= limit and rest <= self._last_size:
            return decoded(bytes(self._first) + self._end(rest)), False
        half = min(limit // 2, len(self._first))
        head, tail = bytes(self._first[:half]), self._end(min(limit // 2, self._tail_limit))
        gap = _gap(self.size - len(head) - len(tail))
        return decoded(_whole_end(head)) + gap.decode() + decoded(_whole_start(tail)), True

    def tail(self, limit: int = TAIL) -> str:
        """The last part as text."""
        end = self._end(limit)
        return decoded(end if len(end) == self.size else _whole_start(end))

    def add_to(self, digest: hashlib._Hash) -> None:
        """Hash what lies on disk."""
        if self.size == len(self._first):
            digest.update(self._first)
        elif self.written and self.path is not None:
            with open(self.path, "rb") as file:
                while chunk := file.read(MEBIBYTE):
                    digest.update(chunk)


def summary(prefix: str | None, out: Stream, err: Stream) -> Output | None:
    """Both streams, closed, as an event tells them; None if nothing was printed.

    `sha256` is of the kept bytes of stdout followed by those of stderr; `size` is what was printed, kept or not.
    """
    if not out.size and not err.size:
        return None
    import hashlib  # a process that prints nothing should not pay for it

    kept = prefix is not None and all(stream.written for stream in (out, err) if stream.size)
    digest = hashlib.sha256()
    try:
        for stream in (out, err):
            stream.add_to(digest)
    except OSError:
        kept = False
    return Output(
        ref=Path(prefix).name if kept and prefix is not None else "",
        size=out.size + err.size,
        sha256=digest.hexdigest() if kept else "",
        tail=out.tail(),
        err_tail=err.tail(),
        truncated=out.truncated or err.truncated,
    )


def decoded(data: bytes) -> str:
    """Bytes as text; what is not UTF-8 becomes \\xNN."""
    return data.decode("utf-8", "backslashreplace")


def _gap(left_out: int) -> bytes:
    return f"\n[... {left_out} bytes left out ...]\n".encode()


def _whole_start(data: bytes) -> bytes:
    """Without the rest of a character that was cut in two."""
    continuing = 0
    while continuing < min(len(data), 4) and data[continuing] & 0xC0 == 0x80:
        continuing += 1
    return data if continuing == 4 else data[continuing:]


def _whole_end(data: bytes) -> bytes:
    for back in range(1, min(len(data), 3) + 1):
        lead = data[-back]
        if lead & 0xC0 == 0xC0:
            wanted = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            return data if back >= wanted else data[:-back]
        if lead < 0x80:
            break
    return data


def new_file(path: str) -> int:
    """A new private file, never one that somebody put there; the directory is made when it is first needed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    for _ in range(3):
        try:
            fd = os.open(path, flags, 0o600)
        except FileNotFoundError:
            _make_private(Path(path).parent)
        except FileExistsError:
            # Left by an attempt of the same number that was killed before it could be recorded.
            os.unlink(path)  # noqa: PTH108
        else:
            os.fchmod(fd, 0o600)
            return fd
    raise FileExistsError(path)


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700)
        directory.chmod(0o700)  # whatever the umask left of it
    except FileExistsError:
        pass
    except FileNotFoundError:
        _make_private(directory.parent)
        _make_private(directory)

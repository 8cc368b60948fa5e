"""The heartbeat of one attempt: small files beside its captured output, which are news and no truth.

    .beat         its time is when the attempt was last heard of; of a Python function it holds the details, as JSON
    .checkpoint   what a command wants its next attempt to find
    .asked        there once it was asked to end: `cancelled`, `shutdown` or `timed-out`, and in the next line why

A heartbeat costs no sync. It is written under another name and renamed, so it is there whole or not at all; the death
of a process loses nothing of it, that of the machine what the system has not written by itself. The history has the
details once an attempt has ended; the files are for attempts whose end nobody saw.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from typing import Any

import msgspec

from dwf.activities.output import MASKING, new_file
from dwf.activities.plan import Asked, Attempt, Kind
from dwf.core.values import decode, encode
from dwf.errors import ValueRefused

LARGEST = 64 * 1024
SUFFIXES = (".beat", ".checkpoint", ".asked")
# Of a thousand heartbeats a second these many files are written.
_PAUSE_SECONDS = 0.25
_WORDS = {Kind.CANCELLED: "cancelled", Kind.INTERRUPTED: "shutdown", Kind.TIMED_OUT: "timed-out"}
_KINDS = {word: kind for kind, word in _WORDS.items()}


class Pulse:
    """The heartbeats of a Python function. From any of its threads; the last is always written, if a little later."""

    def __init__(self, path: str) -> None:
        """path: without its suffix; "" if there is nowhere to write to."""
        self._path = path
        self._lock = threading.Lock()
        self._written_at = -_PAUSE_SECONDS
        self._later: threading.Timer | None = None
        self.last: bytes | None = None
        self.last_ns = time.monotonic_ns()

    def beat(self, details: bytes | None) -> None:
        """It is alive; `details`: JSON that the next attempt finds, None leaves those that there are."""
        masking: Any = MASKING.get()
        self.last_ns = time.monotonic_ns()
        with self._lock:
            if details is not None:
                self.last = details if masking is None else encode(masking.data(decode(details)))
            if self._later is not None or not self._path:
                return
            wait = self._written_at + _PAUSE_SECONDS - time.monotonic()
            if wait <= 0 or not self._write_later(wait):
                self._write()

    def _write_later(self, seconds: float) -> bool:
        self._later = threading.Timer(seconds, self.flush)
        self._later.daemon = True
        try:
            self._later.start()
        except RuntimeError:  # no thread is to be had
            self._later = None
        return self._later is not None

    def flush(self) -> None:
        """Write what was put off."""
        with self._lock:
            if self._later is not None:
                self._later.cancel()
                self._later = None
                self._write()

    def _write(self) -> None:
        self._written_at = time.monotonic()
        _put(f"{self._path}.beat", self.last or b"null")


def _put(path: str, data: bytes) -> None:
    """Whole or not at all. A disk that refuses it does not fail the step."""
    try:
        fd = new_file(f"{path}.part")
        try:
            os.write(fd, data)
        finally:
            os.close(fd)
        os.rename(f"{path}.part", path)  # noqa: PTH104
    except OSError:
        pass


class Silence:
    """How long nothing was heard of a process that beats by files."""

    def __init__(self, path: str, limit_us: int) -> None:
        """limit_us: 0 lets it be silent for ever."""
        self._paths = [f"{path}{suffix}" for suffix in (".beat", ".checkpoint")]
        self._path = path
        self.limit_us = limit_us if path else 0
        self.due_ns = 0
        self._seen: list[int] = []

    def begin(self) -> None:
        if self.limit_us:
            self._seen = self._times()
            self.due_ns = time.monotonic_ns() + self.limit_us * 1000

    def relimit(self, limit_us: int) -> None:
        """Another limit, from now on."""
        if limit_us != self.limit_us and self._path:
            self.limit_us, self.due_ns = limit_us, 0
            self.begin()

    def passed(self, now_ns: int) -> bool:
        """Whether it was silent for too long. Looks at the files only when it seems so."""
        if not self.due_ns or now_ns < self.due_ns:
            return False
        times = self._times()
        if times == self._seen:
            return True
        # How long ago by the wall clock, but since the last look in any case: clocks are set.
        age_ns = min(max(time.time_ns() - max(times), 0), self.limit_us * 1000)
        self._seen, self.due_ns = times, now_ns - age_ns + self.limit_us * 1000
        return self.due_ns <= now_ns

    def _times(self) -> list[int]:
        return [_time_of(path) for path in self._paths]


def _time_of(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_mtime_ns  # noqa: PTH116
    except OSError:
        return 0


# -- what is left of an attempt ---------------------------------------------------------------------------------


def beat_us(path: str) -> int:
    """When an attempt was last heard of, microseconds since the epoch; 0 if it never was."""
    return max(_time_of(f"{path}{suffix}") for suffix in (".beat", ".checkpoint")) // 1000


def details_left(path: str, kind: str) -> bytes | None:
    """The details of its last heartbeat, as JSON; of a command, what it has in its checkpoint. None: there are none."""
    if not path:
        return None
    if kind == "shell":
        found = _read(f"{path}.checkpoint")
        return _as_json(found) if found else None
    found = _read(f"{path}.beat")
    try:
        return None if not found or found == b"null" else encode(decode(found))
    except ValueRefused:
        return None  # the machine died while the system wrote it


def _as_json(data: bytes) -> bytes:
    """An object or an array as that, all else as text: 1.10 and 007 are not to become other numbers."""
    text = data.decode("utf-8", "replace")
    try:
        value = msgspec.json.decode(data)
    except msgspec.MsgspecError:
        value = text
    return encode(value if isinstance(value, dict | list) else text)


def put_checkpoint(path: str, details: bytes) -> None:
    """What a command's attempt finds of the one before."""
    value = decode(details)
    _put(f"{path}.checkpoint", value.encode() if isinstance(value, str) else details)


def _read(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(fd, "rb") as file:
        found = os.fstat(fd)
        return file.read(LARGEST) if stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST else None


# -- that it is to end ------------------------------------------------------------------------------------------


def put_asked(path: str, asked: Asked) -> None:
    """Leave word for a process that is about to be told to end. The first word stays."""
    if path and not os.path.lexists(f"{path}.asked"):
        _put(f"{path}.asked", f"{_WORDS[asked.kind]}\n{' '.join(asked.reason.split())}\n".encode())


def asked_of(path: str) -> Asked | None:
    """That word; None if there is none."""
    found = _read(f"{path}.asked") if path else None
    word, _, reason = (found or b"").decode("utf-8", "replace").partition("\n")
    return Asked(_KINDS[word], reason.rstrip("\n")) if word in _KINDS else None


def directory_of(attempt: Attempt) -> None:
    """A command may want to touch its files before it has printed anything."""
    if attempt.pulse:
        try:
            os.mkdir(os.path.dirname(attempt.pulse), 0o700)  # noqa: PTH102, PTH120
        except OSError:
            pass

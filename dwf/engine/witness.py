"""The witness: heads of histories, kept where whoever may write the state directory may not.

A tick hands a line for each history that it changed to a file, to syslog or to a command; `verify --witness` holds the
histories to what was kept. What was rewritten with a chain of its own, shortened, or removed is found then, and only
then: the hash chain alone proves nothing against somebody who may write the directory.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from errno import EIO
from typing import Protocol

import msgspec

from dwf.core.duration import stamp
from dwf.core.events import Event
from dwf.core.messages import check_run_id
from dwf.errors import DiskError, DwfError, NotFound, NotPermitted, OperatorError, UsageError
from dwf.store.archive import find
from dwf.store.files import NOT_REGULAR, Disk, disk_error, open_to_read
from dwf.store.heads import changed_since, hashes, head_of
from dwf.store.layout import Layout
from dwf.store.room import Store
from dwf.store.verify import Finding

SCHEMA = "dwf.witness/1"
TRUNCATED, REWRITTEN, MISSING = "truncated", "rewritten", "missing"
_SYSLOG, _COMMAND = "syslog:", "|"
_LOG_SOCKET = "/dev/log"
# authpriv.notice
_PRIORITY = 10 * 8 + 5
_COMMAND_SECONDS = 30.0
# What was written shortly before the witness's last line may have come after its look.
_SLACK_NS = 60 * 10**9
_REMEMBERED = 256 * 1024
_LONGEST_LINE = 4096


class Testimony(msgspec.Struct, frozen=True, kw_only=True):
    """One line: at `time` the history of this instance had `length` records, and the last one's hash was `head`."""

    schema: str
    run: str
    link: int
    length: int
    head: str
    time: str = ""


@dataclass
class Changed:
    """Looks on while runs are driven, and remembers those that changed. Also serves as the engine's Watch."""

    runs: set[str] = field(default_factory=set)

    def event(self, run: str, event: Event) -> None:
        self.runs.add(run)

    def said(self, run: str, level: int, text: str) -> None:
        return None


# -- keeping ----------------------------------------------------------------------------------------------------


class Keeper(Protocol):
    """Where lines go. `since_ns`: what was written later was not kept yet, as far as that can be told."""

    def since_ns(self) -> int | None: ...

    def keep(self, lines: list[bytes]) -> None: ...


def keeper(text: str) -> Keeper:
    """FILE, `syslog:` (or `syslog:SOCKET`), or `|COMMAND`. Raises UsageError."""
    if text.startswith(_SYSLOG):
        return _Syslog(text.removeprefix(_SYSLOG) or _LOG_SOCKET)
    if text.startswith(_COMMAND):
        if not text[1:].strip():
            raise UsageError(what="--witness '|' names no command", hint="--witness '|logger -t dwf'")
        return _Command(text[1:])
    if not text:
        raise UsageError(what="--witness is empty", hint="--witness FILE, syslog: or '|COMMAND'")
    return _File(os.path.abspath(text))  # noqa: PTH100


def hand_over(store: Store, where: Keeper, changed: Iterable[str], now_us: int) -> int:
    """Hand over the heads of what changed; how many. Raises DiskError, NotPermitted; the runs are as they are."""
    layout, wanted = store.layout, set[tuple[str, int]]()
    for run in changed:
        link = store.latest_link(run)
        # An instance that made its successor was driven, too.
        wanted |= {(run, link), (run, max(link - 1, 1))}
    since = where.since_ns()
    if since is not None:
        # Also what was driven by hand, without a witness.
        wanted |= set(changed_since(layout, since - _SLACK_NS))
    heads = [head for run, link in sorted(wanted) if (head := head_of(layout, run, link)) is not None]
    time_ = stamp(now_us)
    lines = [
        msgspec.json.encode(Testimony(schema=SCHEMA, run=h.run, link=h.link, length=h.length, head=h.hash, time=time_))
        for h in heads
    ]
    if lines:
        where.keep(lines)
    return len(lines)


class _File:
    """A file that is only ever appended to, best on another disk or owned by another user."""

    def __init__(self, path: str) -> None:
        self._path, self._disk = path, Disk()

    def since_ns(self) -> int | None:
        try:
            return os.stat(self._path).st_mtime_ns  # noqa: PTH116
        except OSError:
            return 0  # it is new: everything there is belongs into it

    def keep(self, lines: list[bytes]) -> None:
        try:
            self._append(lines)
        except DwfError as error:
            error.hint = "the runs are not touched by that; the next tick that has something to do tells it"
            raise

    def _append(self, lines: list[bytes]) -> None:
        try:
            fd, is_new = self._disk.open_regular(self._path, append=True), False
        except FileNotFoundError:
            fd, is_new = self._create(), True
        try:
            known = self._known(fd)
            fresh = [line for line in lines if _without_time(line) not in known]
            self._disk.write_all(fd, b"".join(line + b"\n" for line in fresh), self._path)
            self._disk.fsync(fd, self._path)
        finally:
            os.close(fd)
        if is_new:
            self._disk.fsync_dir(os.path.dirname(self._path))  # noqa: PTH120

    def _create(self) -> int:
        try:
            os.close(self._disk.open_new(self._path))
        except FileExistsError:
            pass
        except FileNotFoundError as error:
            raise disk_error("create", self._path, error) from error
        return self._disk.open_regular(self._path, append=True)

    def _known(self, fd: int) -> set[bytes]:
        """What its last lines say, so that nothing is said twice in a row."""
        start = max(os.fstat(fd).st_size - _REMEMBERED, 0)
        return {_without_time(line) for line in os.pread(fd, _REMEMBERED, start).split(b"\n")}


def _without_time(line: bytes) -> bytes:
    return line.partition(b',"time"')[0]


class _Syslog:
    """The system's log, and with it whatever host that is sent to."""

    def __init__(self, path: str) -> None:
        self._path = path

    def since_ns(self) -> int | None:
        return None

    def keep(self, lines: list[bytes]) -> None:
        head = f"<{_PRIORITY}>{time.strftime('%b %e %H:%M:%S')} dwf[{os.getpid()}]: ".encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
                log.settimeout(_COMMAND_SECONDS)
                log.connect(self._path)
                for line in lines:
                    log.send(head + line)
        except OSError as error:
            raise _untold(self._path, os.strerror(error.errno) if error.errno else str(error)) from error


class _Command:
    """A command of the operator, given the lines on stdin."""

    def __init__(self, command: str) -> None:
        self._command = command

    def since_ns(self) -> int | None:
        return None

    def keep(self, lines: list[bytes]) -> None:
        text = b"".join(line + b"\n" for line in lines)
        words = ["/bin/sh", "-c", self._command]
        try:
            done = subprocess.run(words, input=text, capture_output=True, timeout=_COMMAND_SECONDS, check=False)
        except (OSError, subprocess.SubprocessError) as error:
            raise _untold(self._command, str(error)) from error
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            why = f"it ended with {done.returncode}" + (f": {said[-1]}" if said else "")
            raise _untold(self._command, why)


_TOLD_LATER = "the runs are not touched by that; what changed now is told only when it changes again"


def _untold(where: str, why: str) -> DiskError:
    return DiskError(operation="tell the witness", path=where, why=why, errno=EIO, hint=_TOLD_LATER)


# -- holding histories to it ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """What a witness has kept: for each instance the hashes by length. `strange`: lines that say nothing of it."""

    marks: dict[tuple[str, int], dict[int, set[str]]]
    strange: int

    @property
    def count(self) -> int:
        return sum(len(heads) for lengths in self.marks.values() for heads in lengths.values())

    def of(self, run: str | None) -> dict[tuple[str, int], dict[int, set[str]]]:
        """All of it, or what is said of one run."""
        return self.marks if run is None else {key: value for key, value in self.marks.items() if key[0] == run}


def read_kept(path: str) -> Kept:
    """What a file of a witness says; lines of a log may have a head of their own. Raises NotFound, DiskError."""
    try:
        fd = open_to_read(path)
    except FileNotFoundError:
        raise NotFound(what=f"there is no witness {path}", hint="dwf tick --witness FILE writes one") from None
    except NotPermitted as error:
        if error.facts.get("kind") != NOT_REGULAR:
            raise
        raise UsageError(what=f"{path} is not a regular file", hint="use - to read from a pipe") from None
    with os.fdopen(fd, "rb") as file:
        return parse_kept(file)


def parse_kept(lines: Iterable[bytes]) -> Kept:
    """The same, from lines."""
    marks: dict[tuple[str, int], dict[int, set[str]]] = {}
    strange = 0
    for line in lines:
        said = _testimony(line)
        if said is None:
            strange += bool(line.strip())
            continue
        marks.setdefault((said.run, said.link), {}).setdefault(said.length, set()).add(said.head)
    return Kept(marks, strange)


def _testimony(line: bytes) -> Testimony | None:
    start = line.find(b'{"schema":"' + SCHEMA.encode())
    if start < 0 or len(line) > _LONGEST_LINE:
        return None
    try:
        said = msgspec.json.decode(line[start:], type=Testimony)
        check_run_id(said.run)  # it becomes a path
    except (msgspec.MsgspecError, OperatorError, UnicodeError):
        return None
    return said if said.link > 0 and said.length > 0 else None


def compare(layout: Layout, kept: Kept, run: str | None = None) -> Iterator[Finding]:
    """Every history that is not what the witness saw. That its chain holds is another question."""
    for (name, link), lengths in sorted(kept.of(run).items()):
        path = find(layout, name, link)
        try:
            chain = hashes(path)
        except FileNotFoundError:
            why = f"it is gone; the witness saw {max(lengths)} records of it"
            yield Finding(path, 0, 0, MISSING, why)
            continue
        except DwfError as error:
            yield Finding(path, 0, 0, "unreadable", error.message)
            continue
        yield from _of_chain(path, chain, lengths)


def _of_chain(path: str, chain: list[str], lengths: dict[int, set[str]]) -> Iterator[Finding]:
    there = len(chain)
    differs = sorted(length for length, heads in lengths.items() if length <= there and heads != {chain[length - 1]})
    if differs:
        line = differs[0]
        yield Finding(path, line, 0, REWRITTEN, f"record {line} is not the one that the witness saw")
    if max(lengths) > there:
        why = f"it ends after {there} records; the witness saw {max(lengths)}"
        yield Finding(path, there + 1, 0, TRUNCATED, why)

"""Walking through a history of any length in little memory: checked line by line, and folded as it goes.

For copies of a run: what is in it, where its whole lines end, and which other files it refers to. Whoever judges damage
(verify) or appends (history) reads the file as a whole; here the first thing that does not fit ends the walk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from dwf.core import events as ev
from dwf.core.duration import unstamp
from dwf.core.state import RunState
from dwf.errors import HistoryCorrupt, NewerFormat
from dwf.store import record
from dwf.store.blobs import references
from dwf.store.verify import CORRUPT, FOREIGN

# No record of ours comes near this; what does is no history, and must not fill the memory.
_LONGEST_LINE = 32 * 1024 * 1024


@dataclass(slots=True)
class Walked:
    """What was found. length, hash, last_us: how the chain ends. size, sha256: of the whole lines.

    codes: hashes of the stored scripts that it names; blobs: size by hash of the values that lie outside of it.
    """

    run: str = ""
    nonce: str = ""
    length: int = 0
    hash: bytes = b""
    last_us: int = 0
    size: int = 0
    sha256: str = ""
    state: RunState = field(default_factory=RunState)
    codes: set[str] = field(default_factory=set)
    blobs: dict[str, int] = field(default_factory=dict)

    @property
    def head(self) -> str:
        """The hash of the last line."""
        return self.hash.decode("ascii")


class Walk:
    """One history, given in pieces of any size. `path` is for the words of errors."""

    def __init__(self, path: str) -> None:
        self._path, self._rest = path, b""
        self._digest = sha256()
        self._last_ts = ""
        self.found = Walked()

    def feed(self, piece: bytes) -> None:
        """The next bytes of the file. Raises HistoryCorrupt, NewerFormat."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            raise self._corrupt(f"a line of more than {_LONGEST_LINE:,} bytes")
        if lines:
            self._take(lines)

    @property
    def torn_bytes(self) -> int:
        """What follows the last whole line."""
        return len(self._rest)

    def end(self) -> Walked:
        """What was found. Raises HistoryCorrupt if there was not a single line."""
        if not self.found.length:
            raise self._corrupt("there is not a single whole record")
        self.found.sha256 = self._digest.hexdigest()
        return self.found

    def _take(self, lines: list[bytes]) -> None:
        found = self.found
        if not found.length:
            self._begin(lines[0])
        count, found.hash = record.chained(lines, found.hash)
        if count < len(lines):
            found.length += count
            found.size += sum(len(line) + 1 for line in lines[:count])
            raise self._corrupt("it does not fit the line before it, or was changed")
        data = b"\n".join(lines) + b"\n"
        self._fold(self._decoded(lines, data))
        found.size += len(data)
        self._digest.update(data)

    def _begin(self, line: bytes) -> None:
        header = record.decode_header(line)
        if header is None:
            raise self._corrupt("it does not begin like a history")
        if header.format > ev.FORMAT:
            raise NewerFormat(path=self._path, line=1, offset=0, what=f"format {header.format}")
        self.found.run, self.found.nonce = header.run, header.nonce
        self.found.hash = record.seed(header.run, header.nonce)

    def _decoded(self, lines: list[bytes], data: bytes) -> list[ev.Event]:
        found = self.found
        try:
            events = record.decode_lines(data)
        except record.UNREADABLE as error:
            kinds = {seen.type for line in lines if (seen := record.glance(line)) is not None}
            newer = ", ".join(sorted(kinds - set(ev.EVENT_TYPES))) or str(error)
            raise NewerFormat(path=self._path, line=found.length + 1, offset=found.size, what=newer) from None
        if not record.numbered(events, found.length + 1) or events[0].ts < self._last_ts:
            raise self._corrupt("ids or times do not follow each other", FOREIGN)
        if not found.length and not isinstance(events[0], ev.WorkflowStarted):
            raise self._corrupt("the first line is not WorkflowStarted")
        return events

    def _fold(self, events: list[ev.Event]) -> None:
        found = self.found
        for event in events:
            try:
                found.state.apply(event)
            except (KeyError, AssertionError, AttributeError) as error:
                raise self._corrupt(f"{type(event).__name__} does not follow from what is before it") from error
            found.length += 1
            if isinstance(event, ev.WorkflowStarted | ev.CodeUpgraded):
                found.codes.add(event.code)
            for reference in references(event):
                found.blobs[reference.sha256] = reference.size
        self._last_ts = events[-1].ts
        found.last_us = unstamp(self._last_ts)

    def _corrupt(self, why: str, kind: str = CORRUPT) -> HistoryCorrupt:
        found = self.found
        return HistoryCorrupt(path=self._path, line=found.length + 1, offset=found.size, why=why, kind=kind)

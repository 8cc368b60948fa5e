"""What is wrong with a history: the examination that its writer, its readers and `dwf verify` share.

Bytes in, answers out; nothing in here opens or changes a file. What stands after the last record that fits is one of:

    nothing       clean
    torn          the writer died in a write: no newline, or NULs where data never arrived
    anything else corruption or tampering: the run stops, the file stays as it is

What is torn is cut off by the next writer, under the run's lock, after a copy. A whole line that does not fit is never
taken for torn, also if it is the last: no write that broke off leaves one (what never arrived reads as NULs), so it may
have been acknowledged, and rotted since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from dwf.core.events import EVENT_TYPES, FORMAT, Event, WorkflowStarted
from dwf.errors import HistoryCorrupt, NewerFormat
from dwf.store import record
from dwf.store.layout import run_of

TORN, CORRUPT, FOREIGN, EMPTY, NEWER = "torn", "corrupt", "foreign", "empty", "newer"
_SECTOR = 512
_BOM = b"\xef\xbb\xbf"
# A damaged file could have as many findings as lines; nobody reads more than this.
_MOST_FINDINGS = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `line` counts from 1, `offset` is the byte where that line begins.

    `kind`: torn (the next writer mends that), corrupt, foreign (of another run), empty, newer (version).
    """

    path: str
    line: int
    offset: int
    kind: str
    why: str

    def error(self) -> HistoryCorrupt | NewerFormat:
        """The same as an error, to raise or to show."""
        if self.kind == NEWER:
            return NewerFormat(path=self.path, line=self.line, offset=self.offset, what=self.why)
        mended = self.kind == TORN
        return HistoryCorrupt(
            path=self.path,
            line=self.line,
            offset=self.offset,
            kind=self.kind,
            why=self.why,
            hint=None if mended else "nothing was changed; a good backup begins with the same bytes up to there",
        )


@dataclass(frozen=True, slots=True)
class Examined:
    """A history as found: the records that fit, and what follows them.

    events: decoded, as far as this version can. length, hash, size: how many lines fit the chain, the hash of the last,
    their bytes. tail: the bytes after them. finding: what is wrong, None if nothing is; a torn tail alone is nothing
    wrong, for a writer may be in the middle of a write.
    """

    events: list[Event] = field(default_factory=list)
    length: int = 0
    hash: bytes = b""
    size: int = 0
    tail: bytes = b""
    finding: Finding | None = None

    @property
    def mendable(self) -> bool:
        """Whether nothing is wrong, or nothing but a tail that the writer may cut off."""
        return self.finding is None or self.finding.kind == TORN


def examine(data: bytes, path: str) -> Examined:
    """Read, check and decode a whole history. `path` is for the words, and names the run that it must be of."""
    lines = data.split(b"\n")
    rest = lines.pop()
    header = record.decode_header(lines[0]) if lines else None
    if header is None:
        return Examined(tail=data, finding=_no_header(data, lines, path))
    length, last_hash = record.chained(lines, record.seed(header.run, header.nonce))
    place = _Place(path, length + 1, sum(map(len, lines[:length])) + length, last_hash)
    whole = _about_all(header, path) if length or header.format > FORMAT else None
    if whole is not None and whole.kind == FOREIGN:
        return Examined(tail=data, finding=whole)
    wrong = None
    if length < len(lines) or rest:
        wrong = _judge(place, lines[length - 1] if length else b"", lines[length:], rest)
    finding = None if wrong is not None and wrong.kind == TORN else wrong
    events, unknown = _decoded(lines[:length], data[: place.offset], path)
    return Examined(events, length, last_hash, place.offset, data[place.offset :], whole or unknown or finding)


def findings(source: Iterable[bytes], path: str) -> list[Finding]:
    """Everything that is wrong with a history, first to last, torn tails too; empty if nothing is.

    `source` gives lines with their newlines, as a file does. What fits is not kept in memory.
    """
    lines = iter(source)
    first = next(lines, b"")
    header = record.decode_header(first) if first.endswith(b"\n") else None
    if header is None:
        return [_no_header(first, first.split(b"\n")[:-1], path)]
    place = _Place(path, 1, 0, record.seed(header.run, header.nonce))
    found: list[Finding] = []
    bad = _walk(place, first, lines, found)
    whole = _about_all(header, path)
    if whole is not None and (place.number > 1 or whole.kind == NEWER):
        return [whole]
    if bad is not None:
        found.extend(islice(_walk_damaged(place, bad + b"".join(lines)), _MOST_FINDINGS))
    return found[:_MOST_FINDINGS]


@dataclass(slots=True)
class _Place:
    """Where an examination stands: the next line, the byte where it begins, the hash before it."""

    path: str
    number: int
    offset: int
    hash: bytes
    before: bytes = b""
    last_ts: str = ""

    def says(self, kind: str, why: str) -> Finding:
        return Finding(self.path, self.number, self.offset, kind, why)

    def step(self, line: bytes, last_hash: bytes) -> None:
        self.number, self.offset = self.number + 1, self.offset + len(line) + 1
        self.hash, self.before = last_hash, line


def _walk(place: _Place, raw: bytes, lines: Iterator[bytes], found: list[Finding]) -> bytes | None:
    """Step over all lines that fit; the first that does not is returned, None at the end."""
    while raw:
        line = raw[:-1]
        fits, last_hash = record.chained([line], place.hash)
        if not fits or not raw.endswith(b"\n"):
            return raw
        unknown = _decoded_line(place, line)[1]
        if unknown is not None and len(found) < _MOST_FINDINGS:
            found.append(unknown)
        place.step(line, last_hash)
        raw = next(lines, b"")
    return None


def _walk_damaged(place: _Place, data: bytes) -> Iterator[Finding]:
    """From the first line that does not fit. Each is told once; after it the chain is taken up where it goes on."""
    lines = data.split(b"\n")
    rest = lines.pop()
    while lines or rest:
        finding = _judge(place, place.before, lines, rest)
        yield finding
        if finding.kind == TORN or not lines:
            return
        _resume(place, lines)
        fits, last_hash = record.chained(lines, place.hash)
        for line in lines[:fits]:
            place.step(line, last_hash)
        del lines[:fits]


def _resume(place: _Place, lines: list[bytes]) -> None:
    """Step over a bad line. If the next fits without it, it was put in; else the next is measured by its own words."""
    line = lines.pop(0)
    number, last_hash = place.number, place.hash
    place.step(line, last_hash)
    if lines and _follows(lines[0], number, last_hash):
        place.number = number
        return
    seen = record.glance(line)
    if seen is not None:
        place.number, place.hash = seen.id + 1, seen.hash.encode()
    elif lines and (after := record.glance(lines[0])) is not None:
        # Nothing is known of the hash before it, so it passes unchecked; what comes after it is checked again.
        place.number, place.hash = after.id + 1, after.hash.encode()
        place.offset += len(lines.pop(0)) + 1


# -- judging ----------------------------------------------------------------------------------------------------


def _no_header(data: bytes, lines: list[bytes], path: str) -> Finding:
    if not data:
        return Finding(path, 1, 0, EMPTY, "the file is empty")
    if not lines:
        return Finding(path, 1, 0, CORRUPT, "the first line is not complete")
    return Finding(path, 1, 0, CORRUPT, _deformed(lines[0]) or "it is not the start of a history")


def _about_all(header: record.Header, path: str) -> Finding | None:
    """What concerns the file as a whole: another version's, another run's."""
    if header.format > FORMAT:
        return Finding(path, 1, 0, NEWER, f"format {header.format}; this version knows format {FORMAT}")
    named = run_of(path.rsplit("/", 1)[-1])
    if named is not None and named[0] != header.run:
        return Finding(path, 1, 0, FOREIGN, f"it is the history of another run, {header.run}")
    return None


def _judge(place: _Place, before: bytes, bad: list[bytes], rest: bytes) -> Finding:
    """What it is that begins at `place`: whole lines of which the first does not fit, and what has no newline."""
    if not bad and _follows(rest[:-1], place.number, place.hash):
        return place.says(CORRUPT, "a whole record, and another byte where its newline was")
    if not bad:
        return place.says(TORN, f"an incomplete record of {len(rest)} bytes")
    line, number = bad[0], place.number
    # Line 1 was on disk before the file got its name, so no torn write can have left it.
    acknowledged = number == 1 or any(map(record.glance, bad))
    if not acknowledged and _has_hole(b"\n".join([*bad, rest]), place.offset):
        return place.says(TORN, "NUL bytes where data never arrived")
    odd = _deformed(line) or _glued(line, place.hash)
    if odd is not None:
        return place.says(CORRUPT, odd)
    return place.says(*_misplaced(place, line, before, bad[1:]))


def _misplaced(place: _Place, line: bytes, before: bytes, behind: list[bytes]) -> tuple[str, str]:
    """Kind and words for a line of printable ASCII that does not fit the chain."""
    seen, number = record.glance(line), place.number
    after = behind[0] if behind else None
    if seen is None:
        return CORRUPT, "it is not a whole record"
    if line == before:
        return CORRUPT, "the line before it stands there twice"
    if after is not None and _follows(after, number, place.hash) and not _belongs_behind(line, seen, behind):
        return FOREIGN, "it does not belong here: the line after it fits without it"
    if seen.id != number:
        return CORRUPT, f"it has id {seen.id} where {number} belongs: lines are missing, moved or repeated"
    body = line[: -record.SUFFIX_LENGTH]
    if after is None or _follows(after, number + 1, seen.hash.encode()):
        return CORRUPT, "its content does not fit its hash: changed or rotten"
    if _follows(after, number + 1, record.hash_line(place.hash, body)):
        return CORRUPT, "its hash was changed; its content fits"
    return FOREIGN, "it is a whole record, but of another chain: the lines before and after do not fit it"


def _belongs_behind(line: bytes, seen: record.Glance, behind: list[bytes]) -> bool:
    """Whether the line was moved here from further down: its own predecessor stands there."""
    start = b'{"id":%d,' % (seen.id - 1)
    earlier = next((record.glance(other) for other in behind if other.startswith(start)), None)
    return earlier is not None and _follows(line, seen.id, earlier.hash.encode())


def _follows(line: bytes, number: int, previous: bytes) -> bool:
    return line.startswith(b'{"id":%d,' % number) and record.chained([line], previous)[0] == 1


def _deformed(line: bytes) -> str | None:
    """What no line of ours can look like; None if it is printable ASCII and not blank."""
    if not line.strip():
        return "a blank line"
    if line.startswith(_BOM):
        return "it begins with a byte order mark"
    if line.endswith(b"\r"):
        return "it ends with a carriage return (CR LF)"
    text = line.decode("latin-1")
    at = next((i for i, char in enumerate(text) if not " " <= char <= "~"), None)
    return None if at is None else f"byte {at + 1} of it is 0x{line[at]:02x}, which dwf never writes"


def _glued(line: bytes, previous: bytes) -> str | None:
    """A record that fits and more behind it on the same line: no torn write leaves that."""
    mark = b',"hash":"'
    end = line.find(mark)
    while end >= 0:
        cut = end + record.SUFFIX_LENGTH
        if cut < len(line) and record.chained([line[:cut]], previous)[0]:
            two = b'{"id":' in line[cut:]
            return "two records stand in one line" if two else "more stands behind the record in its line"
        end = line.find(mark, end + 1)
    return None


def _has_hole(tail: bytes, offset: int) -> bool:
    """Whether NULs stand there to the end or to a sector boundary of the file: its size was written, data was not."""
    start = tail.find(b"\0")
    while start >= 0:
        end = start
        while end < len(tail) and not tail[end]:
            end += 1
        if end >= len(tail) or (offset + end) % _SECTOR == 0:
            return True
        start = tail.find(b"\0", end)
    return False


# -- decoding ---------------------------------------------------------------------------------------------------


def _decoded(lines: list[bytes], data: bytes, path: str) -> tuple[list[Event], Finding | None]:
    """The events of lines that fit the chain, up to the first that this version does not understand."""
    try:
        events = record.decode_lines(data)
        if record.numbered(events, 1) and all(type(event) is WorkflowStarted for event in events[:1]):
            return events, None
    except record.UNREADABLE:
        pass
    place, events = _Place(path, 1, 0, b""), []
    for line in lines:
        event, unknown = _decoded_line(place, line)
        if event is None:
            return events, unknown
        events.append(event)
        place.step(line, b"")
    return events, None


def _decoded_line(place: _Place, line: bytes) -> tuple[Event | None, Finding | None]:
    """A line that fits the chain as an event, or what keeps it from being one."""
    try:
        event = record.decode_line(line)
    except record.UNREADABLE as error:
        seen = record.glance(line)
        if seen is not None and seen.type not in EVENT_TYPES:
            return None, place.says(NEWER, f"event type {seen.type}")
        return None, place.says(NEWER, f"a record that this version cannot read: {error}")
    if place.number == 1 and type(event) is not WorkflowStarted:
        return None, place.says(CORRUPT, f"the first line is {type(event).__name__}, not WorkflowStarted")
    if event.id != place.number:
        return None, place.says(CORRUPT, f"it has id {event.id} where {place.number} belongs, though its hash fits")
    if not record.is_time(event.ts) or event.ts < place.last_ts:
        return None, place.says(CORRUPT, f"its time {event.ts} goes back or is none, though its hash fits")
    place.last_ts = event.ts
    return event, None

"""One line of a history: its form, its hash, its place in the chain.

    {"id":7,"ts":"2026-11-22T15:02:11.123456Z","type":"TimerFired","command":3,"hash":"<32 hex digits>"}

Pure printable ASCII, so that even `cat` is safe and nothing in a string can end a line. `id` is the line number from 1.
The hash is the first half of sha256(hash of the line before + all bytes of this line before `,"hash"`): one field that
is checksum and chain at once, and no canonical JSON is needed for it. The chain of a file starts from its run id and
nonce, so a line or a file moved to another run does not fit.

Bytes in, events out, and back. No files in here.
"""

from __future__ import annotations

import re
from binascii import hexlify
from hashlib import sha256
from typing import Any, Union

import msgspec

from dwf.core.duration import LAST_MICROS, SECOND, stamp, unstamp
from dwf.core.events import EVENT_TYPES, Event
from dwf.errors import ValueRefused

_CHAIN_TAG = b"dwf.history/1\n"
_BEFORE_HASH = b',"hash":"'
_AFTER_HASH = b'"}'
HASH_LENGTH = 32
# What follows the hashed bytes of a line, its newline not counted.
SUFFIX_LENGTH = len(_BEFORE_HASH) + HASH_LENGTH + len(_AFTER_HASH)
TIMESTAMP_LENGTH = 27
# What msgspec raises for bytes that are not what they should be; bytes that are no UTF-8 are not among its own errors.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_PRINTABLE = bytes(range(0x20, 0x7F))
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")

_encode = msgspec.json.Encoder().encode
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Union[tuple(EVENT_TYPES.values())])  # noqa: UP007
_replace = msgspec.structs.replace


class Header(msgspec.Struct, frozen=True):
    """What must be read from line 1 before the line can be checked: the chain starts from it."""

    run: str
    nonce: str
    type: str
    format: int = 1


class Glance(msgspec.Struct, frozen=True):
    """What any record has, whatever its type."""

    id: int
    ts: str
    type: str
    hash: str


_HEADER = msgspec.json.Decoder(Header)
_GLANCE = msgspec.json.Decoder(Glance)


class Chain:
    """The end of a history: which number, hash and time come before the next line. Appending is pure computation."""

    __slots__ = ("_second", "_second_text", "hash", "last_us", "length")

    def __init__(self, length: int, hash: bytes, last_us: int) -> None:  # noqa: A002 - the field's own word
        self.length, self.hash, self.last_us = length, hash, last_us
        self._second, self._second_text = -1, b""

    @classmethod
    def begin(cls, run: str, nonce: str) -> Chain:
        """The chain of a new history; the first event appended must be its WorkflowStarted."""
        return cls(0, seed(run, nonce), 0)

    def append(self, event: Event, now_us: int) -> tuple[Event, bytes]:
        """The event with its number and time, and its line.

        `now_us` is microseconds since the epoch; the time written never goes back in a file. The event returned was
        decoded from the line: what is acted on now is what will be read later. Raises ValueRefused for a payload that
        is not JSON; the chain is then as it was.
        """
        # The hot path of writing: few calls, for each would cost as much as what it does.
        us = now_us if self.last_us <= now_us <= LAST_MICROS else min(max(now_us, self.last_us), LAST_MICROS)
        number = self.length + 1
        second, fraction = divmod(us, SECOND)
        if second != self._second:
            # Events come many a second, and formatting a date costs more than all the rest of a line.
            self._second, self._second_text = second, stamp(second * SECOND)[:20].encode("ascii")
        body = b'{"id":%d,"ts":"%b%06dZ",%b' % (number, self._second_text, fraction, _fields(event))
        hash = hash_line(self.hash, body)  # noqa: A001
        line = b"%b%b%b%b" % (body, _BEFORE_HASH, hash, _AFTER_HASH)
        try:
            recorded: Event = _DECODER.decode(line)
        except UNREADABLE as error:
            raise ValueRefused(what=type(event).__name__, why=f"it cannot be stored: {error}") from None
        self.length, self.hash, self.last_us = number, hash, us
        return recorded, line + b"\n"

    def mark(self) -> tuple[int, bytes, int]:
        """Where the chain ends now, for `return_to`."""
        return self.length, self.hash, self.last_us

    def return_to(self, mark: tuple[int, bytes, int]) -> None:
        """Forget what was appended after the mark."""
        self.length, self.hash, self.last_us = mark


def seed(run: str, nonce: str) -> bytes:
    """What stands for the hash of the line before line 1."""
    start = _CHAIN_TAG + run.encode() + b"\n" + nonce.encode()
    return hexlify(sha256(start).digest()[: HASH_LENGTH // 2])


def hash_line(previous: bytes, body: bytes) -> bytes:
    """The hash of a line from its hashed bytes and the hash of the line before."""
    return hexlify(sha256(previous + body).digest()[: HASH_LENGTH // 2])


def chained(lines: list[bytes], previous: bytes) -> tuple[int, bytes]:
    """How many lines from the first on fit the chain that ends in `previous`, and the hash of the last that does."""
    # The hot loop of reading: no calls but these, names bound once.
    digest_of, hexadecimal, half = sha256, hexlify, HASH_LENGTH // 2
    before, after, cut = _BEFORE_HASH, _AFTER_HASH, -SUFFIX_LENGTH
    for count, line in enumerate(lines):
        expected = hexadecimal(digest_of(previous + line[:cut]).digest()[:half])
        # The bytes around the hash are not hashed, so they are compared.
        if line[cut:] != before + expected + after:
            return count, previous
        previous = expected
    return len(lines), previous


def decode_header(line: bytes) -> Header | None:
    """The start of the chain from line 1, unchecked; None if it is not to be had."""
    try:
        return _HEADER.decode(line)
    except UNREADABLE:
        return None


def decode_line(line: bytes) -> Event:
    """One record as an event. Raises one of UNREADABLE for a type or field that this version does not know."""
    event: Event = _DECODER.decode(line)
    return event


def decode_lines(data: bytes) -> list[Event]:
    """Records, a line each, as events. Raises like `decode_line`."""
    return _DECODER.decode_lines(data)


def numbered(events: list[Event], first: int) -> bool:
    """Whether ids run on by one from `first`, and every time has the form of a time and does not go back."""
    if [event.id for event in events] != list(range(first, first + len(events))):
        return False
    times = [event.ts for event in events]
    if times != sorted(times) or not {TIMESTAMP_LENGTH}.issuperset(map(len, times)):
        return False
    return not times or (is_time(times[0]) and is_time(times[-1]))


def glance(line: bytes) -> Glance | None:
    """What has the form of a record, whether it fits anything or not."""
    if line[-SUFFIX_LENGTH : -SUFFIX_LENGTH + len(_BEFORE_HASH)] != _BEFORE_HASH or not line.startswith(b'{"id":'):
        return None
    try:
        return _GLANCE.decode(line)
    except UNREADABLE:
        return None


def is_time(ts: str) -> bool:
    """Whether text has the one form of a time in a history."""
    try:
        unstamp(ts)
    except ValueError:
        return False
    return True


def _fields(event: Event) -> bytes:
    """The event without number and time, as ASCII JSON without its first brace and its last."""
    if event.id or event.ts:
        event = _replace(event, id=0, ts="")
    try:
        data = _encode(event)
    except UnicodeEncodeError:
        data = _encode(_without_surrogates(event))
    if data.translate(None, _PRINTABLE):
        data = _printable(data, type(event).__name__)
    return data[1:-1]


def _printable(data: bytes, what: str) -> bytes:
    """The same JSON on one line of printable ASCII. Only payloads from outside and non-ASCII text come here."""
    try:
        # Whitespace between tokens (newlines in a hand-written payload) goes; inside strings all of it is escaped.
        text = msgspec.json.format(data, indent=-1).decode()
    except UNREADABLE as error:
        raise ValueRefused(what=what, why=f"it cannot be stored: {error}") from None
    return _UNPRINTABLE.sub(_escape, text).encode("ascii")


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _without_surrogates(value: Any) -> Any:
    """Plain data in which half characters (from undecodable bytes) stand as text; JSON could not carry them."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, msgspec.Struct):
        return type(value)(**{k: _without_surrogates(v) for k, v in msgspec.structs.asdict(value).items()})
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value

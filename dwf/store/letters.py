"""A message as it lies on disk: from bytes that anybody may have put there to a checked letter, or to why it is none.

Everything about the file is asked of the kernel on the open descriptor, never by name. What is inside is a claim, but
it must fit its file's name. Decisions about runs (is the signal wanted, may he answer) are not made here.
"""

# ruff: noqa: PTH116

from __future__ import annotations

import errno
import os
import re
import stat
from typing import Any

import msgspec

from dwf.core.events import NOTHING, Identity
from dwf.core.messages import (
    KINDS,
    NO_INSTANCE,
    SIGNAL,
    START,
    UPDATE,
    Message,
    check_catalogued,
    check_run_id,
    check_signal_name,
)
from dwf.core.values import PAYLOAD_LIMIT, decode, encode
from dwf.errors import OperatorError, ScriptError, ValueRefused
from dwf.store.files import WRITABLE_BY_OTHERS, disk_error, read_all

SCHEMA = "dwf.mail/1"
# A payload of the largest size, with room for the other fields and for escapes.
LARGEST = PAYLOAD_LIMIT + PAYLOAD_LIMIT // 4
_LONGEST_TEXT = 4096
_TIME_DIGITS = 16
_FOR_ENGINE = "~refused"
LONGEST_NOTE = 4096
_HEX = frozenset("0123456789abcdef")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\n]")
# No descriptor is to be had: nobody's message is at fault.
_NOT_ITS_FAULT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EINTR})


class Letter(msgspec.Struct, frozen=True):
    """A message that was read and checked.

    name: of its file, and its id. uid: who owns the file, by the kernel. posted_us: when it came to lie here, by the
    kernel's clock (st_ctime, which cannot be set), microseconds UTC.
    """

    name: str
    message: Message
    uid: int
    posted_us: int


class Note(msgspec.Struct, frozen=True):
    """What a member tells the engine that is for no run, unread; the other fields as of a letter."""

    name: str
    data: bytes
    uid: int
    posted_us: int


class Refusal(msgspec.Struct, frozen=True):
    """Why a file in the mailbox is no message. For people."""

    reason: str
    uid: int = -1


def name_of(time_us: int, nonce: str, run: str) -> str:
    """The name of a message's file: when it was written, what makes it unique, for which run."""
    return f"{time_us:0{_TIME_DIGITS}x}.{nonce}.{run}"


def written_us(name: str) -> int:
    """When a message was written, by its sender's word."""
    return int(name.partition(".")[0], 16)


def note_name(time_us: int, nonce: str) -> str:
    """The name of a note's file. No run can be called as it is addressed."""
    return name_of(time_us, nonce, _FOR_ENGINE)


def is_note(name: str) -> bool:
    """Whether a file of that name is for the engine, and for no run."""
    return name.endswith(f".{_FOR_ENGINE}")


def run_in(name: str) -> str | None:
    """The run id in the name of a message; None if the name is not one of ours."""
    time, _, rest = name.partition(".")
    nonce, _, run = rest.partition(".")
    if len(time) != _TIME_DIGITS or not _HEX.issuperset(time) or not nonce.isascii() or not nonce.isalnum():
        return None
    try:
        return check_run_id(run)
    except OperatorError:
        return None


def encoded(message: Message) -> bytes:
    """What is written: JSON in printable ASCII. Raises ValueRefused for what would be refused when it is read."""
    whole = msgspec.structs.replace(message, **_whole_characters(message))
    if too_long := _too_long(whole):
        raise ValueRefused(what="message", why=too_long, hint="say it shorter, or put it into the payload")
    try:
        text = msgspec.json.encode(whole).decode()
    except msgspec.MsgspecError as error:
        raise ValueRefused(what="message", why=f"it cannot be stored: {error}") from None
    return _UNPRINTABLE.sub(_escape, text).encode("ascii") + b"\n"


def _whole_characters(struct: msgspec.Struct) -> dict[str, Any]:
    """Fields whose text holds half characters (bytes of a command line that are no UTF-8), with those spelled out."""
    changed: dict[str, Any] = {}
    for field in struct.__struct_fields__:
        value = getattr(struct, field)
        if isinstance(value, str) and not value.isascii():
            changed[field] = value.encode("utf-8", "backslashreplace").decode()
        elif isinstance(value, Identity):
            changed[field] = msgspec.structs.replace(value, **_whole_characters(value))
    return changed


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def read_letter(directory: str, name: str, owner: int | None, twins: tuple[str, ...] = ()) -> Letter | Refusal | None:
    """The message in a file, or why it is refused; None if it is gone.

    owner: the uid that must own it; in a directory of one's own, nobody else has anything to say. None: it is shared,
    and whoever could put it there may have his say; `uid` tells who. twins: directories in
    which a second name of the file may be, left by a process that died while moving it. Raises DiskError.
    """
    if run_in(name) is None:
        return Refusal("its name is not <time>.<nonce>.<run id>", _owner_of(f"{directory}/{name}"))
    found = _read(directory, name, owner, twins)
    if not isinstance(found, tuple):
        return found
    data, about = found
    message = _message(data, name)
    if isinstance(message, str):
        return Refusal(message, about.st_uid)
    return Letter(name, message, about.st_uid, about.st_ctime_ns // 1000)


def read_note(directory: str, name: str) -> Note | Refusal | None:
    """What is in a note, or why it is refused; None if it is gone. Raises DiskError."""
    found = _read(directory, name, None, ())
    if not isinstance(found, tuple):
        return found
    data, about = found
    if len(data) > LONGEST_NOTE:
        return Refusal(f"it is more than {LONGEST_NOTE:,} bytes", about.st_uid)
    return Note(name, data, about.st_uid, about.st_ctime_ns // 1000)


def _read(
    directory: str, name: str, owner: int | None, twins: tuple[str, ...]
) -> tuple[bytes, os.stat_result] | Refusal | None:
    path = f"{directory}/{name}"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in _NOT_ITS_FAULT:
            raise disk_error("open", path, error) from error
        why = "it is a symbolic link" if error.errno == errno.ELOOP else f"it cannot be opened: {error.strerror}"
        return Refusal(why, _owner_of(path))
    try:
        found = os.fstat(fd)
        if why := _unfit(found, owner) or _planted(found, name, twins):
            return Refusal(why, found.st_uid)
        # It may have grown since, but never past the limit by more than this byte, which tells.
        return read_all(fd, path, LARGEST + 1, found.st_size + 1), found
    finally:
        os.close(fd)


def _unfit(found: os.stat_result, owner: int | None) -> str:
    """What the kernel says against a file; "" if nothing."""
    if not stat.S_ISREG(found.st_mode):
        return "it is not a regular file"
    if owner is not None and found.st_uid != owner:
        return f"it belongs to uid {found.st_uid}, not to uid {owner}"
    if found.st_mode & WRITABLE_BY_OTHERS:
        return f"others may write it (mode {stat.S_IMODE(found.st_mode):04o}), so its owner need not be its author"
    if found.st_size > LARGEST:
        return f"it is {found.st_size:,} bytes; the limit is {LARGEST:,}"
    return ""


def _planted(found: os.stat_result, name: str, twins: tuple[str, ...]) -> str:
    """What is to be said against further names of the file: somebody else's file may have been linked to here."""
    mine = sum(_same_file(found, f"{directory}/{name}") for directory in twins)
    return f"it has {found.st_nlink} names" if found.st_nlink > 1 + mine else ""


def _same_file(found: os.stat_result, path: str) -> bool:
    try:
        return os.path.samestat(found, os.stat(path, follow_symlinks=False))
    except OSError:
        return False


def _message(data: bytes, name: str) -> Message | str:
    """What the bytes say, or what is wrong with them."""
    if len(data) > LARGEST:
        return f"it is more than {LARGEST:,} bytes"
    try:
        message = msgspec.json.decode(data, type=Message)
    except RecursionError:
        return "it is nested too deeply"
    except (msgspec.MsgspecError, UnicodeError) as error:
        return f"it is not a message: {error}"
    return _wrong(message, name) or _normal(message)


def _wrong(message: Message, name: str) -> str:
    if message.schema != SCHEMA:
        return f"its schema is {message.schema[:40]!r}, not {SCHEMA!r}"
    if message.id != name:
        return "the id in it is not the name of its file"
    if message.run != run_in(name):
        return "the run in it is not the run in its name"
    if message.kind not in KINDS:
        return f"its kind is {message.kind[:40]!r}; known are {', '.join(KINDS)}"
    if message.kind not in NO_INSTANCE and not message.nonce:
        return f"a message of kind {message.kind} must name the instance of the run"
    if too_long := _too_long(message):
        return too_long
    return _wrong_name(message)


def _too_long(message: Message) -> str:
    if len(message.key) > _LONGEST_TEXT or len(message.reason) > _LONGEST_TEXT:
        return f"its key or reason is longer than {_LONGEST_TEXT:,} characters"
    return ""


def _wrong_name(message: Message) -> str:
    check = {SIGNAL: check_signal_name, UPDATE: check_signal_name, START: check_catalogued}.get(message.kind)
    if check is None:
        return ""
    try:
        check(message.name)
    except OperatorError as error:
        return str(error)
    return ""


def _normal(message: Message) -> Message | str:
    """The same message with its payload in the one form that a history may hold."""
    if message.payload == NOTHING:
        return message
    try:
        payload = encode(decode(message.payload), "payload")
    except ScriptError as error:
        return f"its payload is refused: {error}"
    except RecursionError:
        return "its payload is nested too deeply"
    return msgspec.structs.replace(message, payload=msgspec.Raw(payload))


def _owner_of(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_uid
    except OSError:
        return -1

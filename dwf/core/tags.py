"""Tags and memo: words that a run is found by, and notes that go with it.

Both are kept by name. A change names what becomes other than it was; null takes a name away. Tags are typed and short,
for the index has them; a memo is any JSON. A history has both as JSON, a time as {"time": RFC 3339}.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from dwf.core.duration import moment, moment_micros, stamp, unstamp
from dwf.core.events import NOTHING, MemoChanged, Payload, TagsChanged, WorkflowStarted
from dwf.core.messages import quoted
from dwf.core.values import decode, encode, text
from dwf.errors import ValueRefused

if TYPE_CHECKING:
    from dwf.core.commands import Commands
    from dwf.core.state import RunState

Tag = str | int | float | bool | datetime
Noted = Mapping[str, Payload]

MOST = 32
"""How many tags a run may have, and how many notes."""
LONGEST_TEXT = 255
MEMO_BYTES = 16 * 1024
"""How much JSON the notes of a run may be together."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_NAME_HINT = "letters, digits, '_', '.' and '-', beginning with a letter or '_', 64 characters at most"
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,20})?")
_INT64 = 1 << 63
_TIME = "time"


def tag_changes(values: Mapping[str, Any]) -> dict[str, Payload]:
    """What `dwf.tag()` was given, as it is stored. Raises ValueRefused."""
    return {check_tag_name(name): _stored_tag(name, value) for name, value in values.items()}


def memo_changes(values: Mapping[str, Any]) -> dict[str, Payload]:
    """What `dwf.memo()` was given, as it is stored. Raises ValueRefused."""
    return {_name(name, "a note"): Payload(encode(value, f"the note {name}")) for name, value in values.items()}


def tags_after(before: Noted, changes: Noted) -> dict[str, Payload]:
    """All tags when that has changed. Raises ValueRefused for too many, and for one that is of another type now."""
    for name, value in changes.items():
        was = before.get(name, NOTHING)
        if was != NOTHING and value != NOTHING and _kind(was) != _kind(value):
            why = f"it is {_kind(was)}, and would be {_kind(value)}"
            raise ValueRefused(what=f"the tag {name}", why=why, hint="a tag keeps its type; take another name")
    return _after(before, changes, "tags")


def memo_after(before: Noted, changes: Noted) -> dict[str, Payload]:
    """All notes when that has changed. Raises ValueRefused for too many or too much."""
    notes = _after(before, changes, "notes")
    size = sum(len(name) + len(bytes(value)) for name, value in notes.items())
    if size > MEMO_BYTES:
        why = f"it would be {size:,} bytes; the limit is {MEMO_BYTES:,}"
        raise ValueRefused(what="the memo", why=why, hint="keep large data in a file and note its path")
    return notes


def check_noted(tags: Noted, memo: Noted) -> None:
    """Raises ValueRefused for tags and notes that a run cannot be started with."""
    tags_after({}, tag_changes(read_tags(tags)))
    memo_after({}, memo_changes({name: decode(value) for name, value in memo.items()}))


def read_tags(tags: Noted) -> dict[str, Tag]:
    """Stored tags as values. Raises ValueRefused for what is none."""
    return {name: _read(name, value) for name, value in tags.items()}


def packed(tags: Noted) -> str:
    """Stored tags as one text of ASCII JSON, for the index."""
    return msgspec.json.encode(dict(tags)).decode() if tags else "{}"


def unpacked(text: str) -> dict[str, Payload]:
    """The inverse; of a damaged text, nothing: the index is derived, and says no more than it can."""
    if text == "{}":
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Payload])
    except msgspec.MsgspecError:
        return {}


def is_worded(value: Payload, said: str) -> bool:
    """Whether a tag is what somebody has typed: `80` is the number and the text."""
    found = decode(value)
    if isinstance(found, int | float) and not isinstance(found, bool):
        return found == number(said)
    return words(value) == said


def number(said: str) -> int | float | None:
    """What was typed, if it is a number as JSON has it."""
    return msgspec.json.decode(said) if _NUMBER.fullmatch(said) else None


def plain_tags(tags: Noted) -> dict[str, str | int | float | bool]:
    """Stored tags as JSON for programs: a time as text."""
    found = {name: decode(value) for name, value in tags.items()}
    return {name: value.get(_TIME, "") if isinstance(value, dict) else value for name, value in found.items()}


def words(value: Payload) -> str:
    """A tag as people read and type it: `prod`, `80`, `true`, `2026-12-01T22:00:00.000000Z`."""
    found = decode(value)
    if isinstance(found, dict):
        return str(found.get(_TIME, ""))
    return found if isinstance(found, str) else bytes(value).decode()


class Tagging:
    """The tags and the memo of one run in memory, and how its script changes them."""

    def __init__(self, commands: Commands, started: WorkflowStarted) -> None:
        self._commands = commands
        self._tags, self._memo = dict(started.tags), dict(started.memo)

    def tag(self, changes: Noted) -> None:
        """Change tags. Raises ValueRefused."""
        after = self._checked(tags_after, self._tags, changes)
        if after != self._tags:
            self._commands.issue(TagsChanged(command=self._commands.issued + 1, tags=dict(changes)))
            self._tags = after

    def memo(self, changes: Noted) -> None:
        """Change notes. Raises ValueRefused."""
        after = self._checked(memo_after, self._memo, changes)
        if after != self._memo:
            self._commands.issue(MemoChanged(command=self._commands.issued + 1, memo=dict(changes)))
            self._memo = after

    def _checked(
        self, rule: Callable[[Noted, Noted], dict[str, Payload]], before: Noted, changes: Noted
    ) -> dict[str, Payload]:
        self._commands.check_usable()
        try:
            return rule(before, changes)
        except ValueRefused as error:
            raise self._commands.voided(error) from None

    def known(self) -> dict[str, Any]:
        """Both as values, as the fields of Info."""
        return {"tags": read_tags(self._tags), "memo": {name: decode(value) for name, value in self._memo.items()}}


def _retag(state: RunState, event: TagsChanged) -> None:
    state.tags = _merged(state.tags, event.tags)


def _renote(state: RunState, event: MemoChanged) -> None:
    state.memo = _merged(state.memo, event.memo)


NOTED: dict[type, Callable[..., None]] = {TagsChanged: _retag, MemoChanged: _renote}
"""What these events change of a run's state."""


def _merged(before: Noted, changes: Noted) -> dict[str, Payload]:
    return {name: value for name, value in {**before, **changes}.items() if value != NOTHING}


def _after(before: Noted, changes: Noted, what: str) -> dict[str, Payload]:
    after = _merged(before, changes)
    if len(after) > MOST:
        raise ValueRefused(what=f"{len(after)} {what}", why=f"a run has {MOST} at most", hint="None takes one away")
    return after


def check_tag_name(name: Any) -> str:
    """The name of a tag. Raises ValueRefused."""
    return _name(name, "a tag")


def _name(name: Any, what: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueRefused(what=f"the name of {what}", why=f"it cannot be {quoted(str(name))}", hint=_NAME_HINT)
    return name


def _stored_tag(name: str, value: Any) -> Payload:
    what = f"the tag {name}"
    if isinstance(value, datetime):
        return Payload(encode({_TIME: stamp(moment_micros(value))}))
    if isinstance(value, str):
        value = text(value, what, LONGEST_TEXT)
    elif isinstance(value, bool | None):
        pass
    elif isinstance(value, int):
        if not -_INT64 <= value < _INT64:
            raise ValueRefused(what=what, why="it is no number of 64 bits", hint="make it text")
    elif not isinstance(value, float):
        why = f"it must be text, a number, True or False, or a datetime, not {type(value).__name__}"
        raise ValueRefused(what=what, why=why, hint="anything else that is JSON can be noted: dwf.memo()")
    return Payload(encode(value, what))


def _read(name: str, value: Payload) -> Tag:
    found = decode(value)
    try:
        if isinstance(found, dict):
            return moment(unstamp(found[_TIME]))
        if isinstance(found, str | int | float):
            return found
    except (KeyError, TypeError, ValueError):
        pass
    raise ValueRefused(what=f"the tag {name}", why="it is neither text nor a number, a time, or true or false")


def _kind(value: Payload) -> str:
    first = bytes(value)[:1]
    if first == b'"':
        return "text"
    if first in (b"t", b"f"):
        return "true or false"
    if first == b"{":
        return "a time"
    return "a whole number" if isinstance(decode(value), int) else "a number with a point"

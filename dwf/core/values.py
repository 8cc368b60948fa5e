"""Values: what scripts hand over, as JSON and back.

Types come back only from annotations in the script that the operator chose, never from names in stored data: nothing
stored can make code run. What is written is pure printable ASCII without NaN, so a stored line can be shown by `cat`.

A payload over INLINE_LIMIT lies in a file of its own and is stood for by `{"$blob": {...}}`; only the store makes such
references, and a value that looks like one is refused at the door.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import msgspec

from dwf.errors import ValueRefused

INLINE_LIMIT = 256 * 1024
PAYLOAD_LIMIT = 2 * 1024 * 1024
TEXT_LIMIT = 4096
_BLOB_MARK = b'{"$blob":'
# Counted, not left to the interpreter: its own limit depends on version and on how deep the caller stands, so the same
# value would be stored today and refused in a replay tomorrow.
DEPTH_LIMIT = 100
_ENCODE = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
_FAST = msgspec.json.Encoder().encode
_PLAIN = (str, bool, type(None))
_LONGEST_INT_BITS = 4096
_SMALL = 1 << 63


class BlobRef(msgspec.Struct, frozen=True):
    """Stands for a payload in a file: its hash, its size in bytes, and its first characters for people."""

    sha256: str
    size: int
    preview: str


class _Marked(msgspec.Struct, frozen=True):
    blob: BlobRef = msgspec.field(name="$blob")


def encode(value: Any, what: str = "value") -> bytes:
    """The value as compact ASCII JSON.

    Raises ValueRefused for what JSON cannot carry: NaN, infinity, lone surrogates, unknown types, cycles, nesting
    too deep to read back, more than PAYLOAD_LIMIT bytes.
    """
    try:
        data = _ascii(plain(value))
    except RecursionError:
        raise ValueRefused(what=what, why=_TOO_DEEP) from None
    except UnicodeEncodeError:
        raise ValueRefused(what=what, why=_NO_TEXT, hint="give bytes that are no text as bytes") from None
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueRefused(what=what, why=f"it cannot be stored as JSON: {error}", hint=_TYPES_HINT) from None
    except Exception as error:  # of the value's own code: it was asked for its items, its fields, its text
        raise ValueRefused(what=what, why=f"it raised {type(error).__name__} when it was to be stored") from error
    if len(data) > PAYLOAD_LIMIT:
        raise ValueRefused(
            what=what,
            why=f"it is {len(data):,} bytes; the limit is {PAYLOAD_LIMIT:,}",
            hint="keep large data in a file and pass its path",
        )
    if data.startswith(_BLOB_MARK):
        raise ValueRefused(what=what, why='an object whose first key is "$blob" is reserved')
    return data


def _ascii(value: Any) -> bytes:
    """Plain data as bytes. The fast encoder leaves non-ASCII and DEL as they are; the slower one escapes them."""
    data = _FAST(value)
    if data.isascii() and b"\x7f" not in data:
        return data
    return _ENCODE(value).encode("ascii")


_TYPES_HINT = "numbers, text, lists, dicts, dataclasses, enums, datetimes, Path, bytes and the like can be stored"
_NO_TEXT = "it has half characters in it (lone surrogates), or bytes that are not UTF-8"
_TOO_DEEP = f"it is nested more than {DEPTH_LIMIT} levels deep, or contains itself"


def plain(value: Any, levels: int = DEPTH_LIMIT) -> Any:
    """The value as None, bool, int, float, str, list and dict only. Sets are sorted: their order is chance.

    Raises TypeError, ValueError or RecursionError for what cannot be said so, or needs more than `levels` levels.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int or kind is float:
        return value if kind is int and -_SMALL < value < _SMALL else _number(value)
    if not levels:
        raise RecursionError
    if kind is list or kind is tuple:
        return [item if type(item) in _PLAIN else plain(item, levels - 1) for item in value]
    if kind is dict:
        return _plain_dict(value, levels)
    return _plain_other(value, levels)


def _plain_dict(value: Mapping[Any, Any], levels: int) -> dict[str, Any]:
    result = {key if type(key) is str else _key(key): plain(item, levels - 1) for key, item in value.items()}
    if len(result) != len(value):
        raise ValueError("two of its keys are the same text")
    return result


def _number(value: int | float) -> int | float:
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise ValueError(f"{value} is not a JSON number")
    if value.bit_length() > _LONGEST_INT_BITS:
        raise ValueError(f"an integer of {value.bit_length():,} bits is too long")
    return value


def _plain_other(value: Any, levels: int) -> Any:
    if isinstance(value, Enum):
        return plain(value.value, levels)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, msgspec.Raw):
        return plain(msgspec.json.decode(value), levels)
    if isinstance(value, set | frozenset):
        return sorted((plain(item, levels - 1) for item in value), key=_ENCODE)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), levels - 1) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return _plain_dict(value, levels)
    if isinstance(value, list | tuple):
        return [plain(item, levels - 1) for item in value]
    if hasattr(type(value), "model_dump"):  # pydantic, if the script uses it; dwf itself never imports it
        return plain(value.model_dump(mode="json"), levels)
    for base in (str, int, float):
        if isinstance(value, base):  # a subclass: what it adds is not stored
            return plain(base(value), levels)
    # What msgspec knows (structs, dates, bytes, decimals). Looked at again: it lets NaN and any depth pass.
    return plain(msgspec.to_builtins(value, order="deterministic", enc_hook=_unknown), levels)


def _key(key: Any) -> str:
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        return str(key)
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    simple = msgspec.to_builtins(key, enc_hook=_unknown)
    if isinstance(simple, str):
        return simple
    raise TypeError(f"a dict key of type {type(key).__name__}")


def _unknown(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(type(value), "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"a value of type {type(value).__qualname__}")


def decode(raw: bytes | msgspec.Raw, type: Any = None) -> Any:  # noqa: A002 - the word of the field
    """The inverse of `encode`, as plain JSON or as the annotated `type`. Raises ValueRefused if it does not fit."""
    if type is None or type is Any or type is object:
        try:
            return msgspec.json.decode(raw)  # several times a step: the path without a closure
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return _typed(lambda _: msgspec.json.decode(raw), type, "stored value")
    try:
        return _decoder(type)(raw)
    except Exception:
        # Once more, to be told in words what is wrong.
        return _typed(lambda kind: msgspec.json.decode(raw, type=kind, dec_hook=_rebuild), type, "stored value")


@functools.lru_cache(maxsize=256)
def _decoder(kind: Any) -> Callable[[bytes | msgspec.Raw], Any]:
    """What reads values of that type; made once, for making one costs more than reading."""
    return msgspec.json.Decoder(kind, dec_hook=_rebuild).decode


def convert(value: Any, type: Any, *, strict: bool = True) -> Any:  # noqa: A002
    """Plain data as the annotated type. Raises ValueRefused if it does not fit."""
    if type is None or type is Any or type is object:
        return value
    return _typed(
        # JSON has text for keys, whatever the annotation says
        lambda kind: msgspec.convert(value, type=kind, strict=strict, str_keys=True, dec_hook=_rebuild),
        type,
        "value",
    )


def _typed(read: Callable[[Any], Any], kind: Any, what: str) -> Any:
    try:
        return read(kind)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ValueRefused(what=what, why=f"it does not fit {_name(kind)}: {error}") from None
    except RecursionError:
        raise ValueRefused(what=what, why=_TOO_DEEP) from None
    except (TypeError, NotImplementedError) as error:
        members = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else ()
        if not members:
            raise ValueRefused(what=f"annotation {_name(kind)}", why=str(error).splitlines()[0]) from None
    return _first_that_fits(read, members, kind, what)


def _first_that_fits(read: Callable[[Any], Any], members: tuple[Any, ...], kind: Any, what: str) -> Any:
    """msgspec refuses unions that it cannot tell apart (`str | Path`); in order they can be tried."""
    for member in members:
        try:
            return _typed(read, member, what)
        except ValueRefused:
            continue
    raise ValueRefused(what=what, why=f"it fits no part of {_name(kind)}")


def _rebuild(kind: Any, value: Any) -> Any:
    if not isinstance(kind, type):
        return _rebuild_generic(kind, value)
    if issubclass(kind, PurePath):
        return Path(value) if kind is PurePath else kind(value)
    if hasattr(kind, "model_validate"):
        return kind.model_validate(value)
    if hasattr(kind, "dwf_real"):  # the guard's stand-in for datetime, met in a postponed annotation
        return msgspec.convert(value, kind.dwf_real)
    if kind is object:
        return value
    raise NotImplementedError(f"dwf cannot restore values of type {kind.__qualname__}")


def _rebuild_generic(kind: Any, value: Any) -> Any:
    if typing.get_origin(kind) is collections.abc.Iterable:
        return msgspec.convert(value, list[typing.get_args(kind)], dec_hook=_rebuild, str_keys=True)  # type: ignore[misc]
    raise NotImplementedError(f"dwf cannot restore values of type {_name(kind)}")


def _name(kind: Any) -> str:
    return getattr(kind, "__qualname__", None) or str(kind)


def same(a: msgspec.Raw, b: msgspec.Raw) -> bool:
    """Whether two payloads are the same value: the same bytes, or the same JSON whatever the order of keys."""
    left, right = bytes(a), bytes(b)
    if left == right:
        return True
    return canonical(left) == canonical(right)


def canonical(raw: bytes) -> bytes:
    """JSON with sorted keys: what a fingerprint is taken of."""
    return json.dumps(msgspec.json.decode(raw), sort_keys=True, separators=(",", ":")).encode()


def blob_ref(sha256: str, size: int, preview: str) -> msgspec.Raw:
    """A payload that stands for a file. Made by the store after the file is on disk."""
    body = {"$blob": {"sha256": sha256, "size": size, "preview": preview}}
    return msgspec.Raw(_ENCODE(body).encode("ascii"))


def as_blob(raw: msgspec.Raw) -> BlobRef | None:
    """The reference, if the payload is one."""
    data = bytes(raw)
    return msgspec.json.decode(data, type=_Marked).blob if data.startswith(_BLOB_MARK) else None


def parse_json(text: str | bytes, what: str = "input") -> Any:
    """JSON typed by a person: stricter than Python's parser. Raises ValueRefused.

    Refused: NaN and infinity, duplicate keys, a byte order mark, lone surrogates, 5 000-digit numbers, deep nesting.
    """
    if len(text) > PAYLOAD_LIMIT:
        raise ValueRefused(
            what=what,
            why=f"it is {len(text):,} bytes; the limit is {PAYLOAD_LIMIT:,}",
            hint="keep large data in a file and pass its path",
        )
    try:
        # Decoded here: the parser itself would guess UTF-16 and swallow a byte order mark.
        whole = text if isinstance(text, str) else text.decode("utf-8")
        value = json.loads(
            whole, object_pairs_hook=_no_duplicates, parse_constant=functools.partial(_no_constant, what)
        )
    except RecursionError:
        raise ValueRefused(what=what, why=_TOO_DEEP) from None
    except ValueError as error:
        raise ValueRefused(what=what, why=f"it is not valid JSON: {error}") from None
    encode(value, what)
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands there twice")
    return result


def _no_constant(what: str, name: str) -> Any:
    raise ValueRefused(what=what, why=f"{name} is no number of JSON", hint="say it otherwise: null, or as text")


def text(value: Any, what: str, limit: int = TEXT_LIMIT) -> str:
    """Short text that is stored outside of payloads (names, titles, prompts), as given.

    Raises ValueRefused for what is no text, longer than `limit` characters, or has half characters (lone surrogates).
    """
    if not isinstance(value, str):
        raise ValueRefused(what=what, why=f"it must be text, not {type(value).__name__}")
    if len(value) > limit:
        raise ValueRefused(what=what, why=f"it is {len(value):,} characters long; the limit is {limit:,}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueRefused(what=what, why=_NO_TEXT) from None
    return value

"""Values: what scripts hand over, as JSON and back.

Types come back only from annotations in the script that the operator chose, never from names in stored data: nothing
stored can make code run. What is written is pure printable ASCII without NaN, so a stored line can be shown by `cat`.

A payload over INLINE_LIMIT lies in a file of its own and is stood for by `{"$blob": {...}}`; only the store makes such
references, and a value that looks like one is refused at the door.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import msgspec

from dwf.errors import ValueRefused

INLINE_LIMIT = 256 * 1024
PAYLOAD_LIMIT = 2 * 1024 * 1024
_BLOB_MARK = b'{"$blob":'
# check_circular stays on: a list that contains itself must be a clear refusal, not a crash.
_ENCODE = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
_FAST = msgspec.json.Encoder().encode
_PLAIN = (str, bool, type(None))
_LONGEST_INT_BITS = 4096


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
        raise ValueRefused(what=what, why="it is nested too deeply, or contains itself") from None
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueRefused(what=what, why=f"it cannot be stored as JSON: {error}", hint=_TYPES_HINT) from None
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


def plain(value: Any) -> Any:
    """The value as None, bool, int, float, str, list and dict only. Sets are sorted: their order is chance."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int or kind is float:
        return _number(value)
    if kind is list or kind is tuple:
        return [plain(item) for item in value]
    if kind is dict:
        return {_key(key): plain(item) for key, item in value.items()}
    return _plain_other(value)


def _number(value: int | float) -> int | float:
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise ValueError(f"{value} is not a JSON number")
    if value.bit_length() > _LONGEST_INT_BITS:
        raise ValueError(f"an integer of {value.bit_length():,} bits is too long")
    return value


def _plain_other(value: Any) -> Any:
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(value)
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=_ENCODE)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(type(value), "model_dump"):  # pydantic, if the script uses it; dwf itself never imports it
        return plain(value.model_dump(mode="json"))
    if isinstance(value, str | int | float):  # subclasses
        return plain(next(base(value) for base in (str, int, float) if isinstance(value, base)))
    return msgspec.to_builtins(value, order="deterministic", enc_hook=_unknown)


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
    try:
        if type is None or type is Any:
            return msgspec.json.decode(raw)
        return msgspec.json.decode(raw, type=type, dec_hook=_rebuild)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueRefused(what="stored value", why=f"it does not fit {_name(type)}: {error}") from None
    except TypeError as error:
        raise ValueRefused(what=f"annotation {_name(type)}", why=str(error).splitlines()[0]) from None


def convert(value: Any, type: Any, *, strict: bool = True) -> Any:  # noqa: A002
    """Plain data as the annotated type. Raises ValueRefused if it does not fit."""
    if type is None or type is Any:
        return value
    try:
        return msgspec.convert(value, type=type, strict=strict, dec_hook=_rebuild)
    except msgspec.ValidationError as error:
        raise ValueRefused(what="value", why=str(error)) from None
    except TypeError as error:
        raise ValueRefused(what=f"annotation {_name(type)}", why=str(error).splitlines()[0]) from None


def _rebuild(kind: type, value: Any) -> Any:
    if issubclass(kind, PurePath):
        return Path(value) if kind is PurePath else kind(value)
    if hasattr(kind, "model_validate"):
        return kind.model_validate(value)
    if hasattr(kind, "dwf_real"):  # the guard's stand-in for datetime, met in a postponed annotation
        return msgspec.convert(value, kind.dwf_real)
    raise NotImplementedError(f"dwf cannot restore values of type {kind.__qualname__}")


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
        value = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
        if isinstance(text, str):
            text.encode("utf-8")
        encode(value, what)
    except RecursionError:
        raise ValueRefused(what=what, why="it is nested too deeply") from None
    except (ValueError, UnicodeError) as error:
        raise ValueRefused(what=what, why=f"it is not valid JSON: {error}") from None
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands there twice")
    return result


def _no_constants(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")

"""A value for a step that nobody performs: the plainest one that fits what its function is annotated with."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from datetime import UTC, date, datetime, timedelta
from pathlib import PurePath
from typing import Any

import msgspec

_DEEPEST = 6
_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_PLAIN: dict[Any, Any] = {
    bool: True, int: 1, float: 1.0, str: "text", bytes: b"", dict: {}, list: [], tuple: (), set: set(),
    datetime: _TIME, date: _TIME.date(), timedelta: timedelta(minutes=1),
}  # fmt: skip


def fitting(kind: Any, depth: int = 0) -> Any:
    """True, 1, "text"; of a list one item; of alternatives the first that is not None; None where nothing is said."""
    if kind in (None, Any, type(None), typing.Any) or depth > _DEEPEST:
        return None
    try:
        if kind in _PLAIN:
            return _PLAIN[kind]
    except TypeError:
        return None
    origin, given = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return given[0]
    if origin is typing.Annotated:
        return fitting(given[0], depth + 1)
    if origin in (typing.Union, types.UnionType):
        return fitting(next((one for one in given if one is not type(None)), None), depth + 1)
    if origin in (list, set, frozenset):
        return origin([fitting(given[0], depth + 1)])
    if origin is tuple:
        return tuple(fitting(one, depth + 1) for one in given if one is not Ellipsis)
    if origin is not None:
        return {} if isinstance(origin, type) and issubclass(origin, dict) else None
    return _of_class(kind, depth) if isinstance(kind, type) else None


def _of_class(kind: type, depth: int) -> Any:
    if issubclass(kind, enum.Enum):
        return next(iter(kind), None)
    if issubclass(kind, PurePath):
        return kind("path")
    if issubclass(kind, msgspec.Struct):
        needed = [f for f in msgspec.structs.fields(kind) if f.required]
        return kind(**{f.name: fitting(f.type, depth + 1) for f in needed})
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        missing = dataclasses.MISSING
        needed_too = [f for f in dataclasses.fields(kind) if f.init and f.default is f.default_factory is missing]
        return kind(**{f.name: fitting(hints[f.name], depth + 1) for f in needed_too})
    if typing.is_typeddict(kind):
        return {name: fitting(of, depth + 1) for name, of in typing.get_type_hints(kind).items()}
    return None

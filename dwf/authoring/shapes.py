"""What a parameter takes, in words: the name of its type, and for types of the script's own their fields or values.

Only reading of annotations; values are converted in core/values.py.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterable, Iterator
from enum import Enum, EnumType
from pathlib import PurePath
from typing import Any

import msgspec

_NOTHING = (inspect.Parameter.empty, dataclasses.MISSING, msgspec.NODEFAULT)


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of an object. `default` is what it is when left out, if that is a value that can be told."""

    name: str
    type: Any
    required: bool
    default: Any = inspect.Parameter.empty


@dataclasses.dataclass(frozen=True)
class Shape:
    """A type of the script's own: what an enum allows, or which fields an object has."""

    name: str
    values: tuple[Any, ...] = ()
    fields: tuple[Field, ...] = ()


def type_name(kind: Any) -> str:
    """The annotation as the script has it. Where the script was loaded from says nothing to people."""
    if kind is Any:
        return "any"
    name = inspect.formatannotation(kind)
    for module in {found.__module__ for found in _classes(kind) if "@" in found.__module__}:
        name = name.replace(f"{module}.", "")
    return name


def shapes(kinds: Iterable[Any]) -> list[Shape]:
    """The enums and objects that these annotations name, and those that their fields name, each once."""
    found: dict[type, Shape] = {}
    todo = [kind for each in kinds for kind in _classes(each)]
    while todo:
        kind = todo.pop(0)
        if kind in found or (shape := _shape(kind)) is None:
            continue
        found[kind] = shape
        todo += [inner for field in shape.fields for inner in _classes(field.type)]
    return list(found.values())


def typed_default(value: Any) -> Any:
    """A default as the plain value that one would type."""
    if isinstance(value, Enum):
        return _typed_member(value)
    return str(value) if isinstance(value, PurePath) else value


def _typed_member(member: Enum) -> Any:
    """Members are given by value or by name; a value that one cannot type has only its name."""
    return member.value if isinstance(member.value, str | int | float) else member.name


def _classes(kind: Any) -> Iterator[type]:
    if isinstance(kind, type) and not typing.get_args(kind):
        yield kind
    for inner in typing.get_args(kind):
        yield from _classes(inner)


def _shape(kind: type) -> Shape | None:
    if isinstance(kind, EnumType):
        members: Iterable[Enum] = kind.__members__.values()
        return Shape(kind.__name__, values=tuple(map(_typed_member, members)))
    fields = tuple(_fields(kind))
    return Shape(kind.__name__, fields=fields) if fields else None


def _fields(kind: type) -> Iterator[Field]:
    if dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        for own in dataclasses.fields(kind):
            if own.init:
                yield _field(own.name, hints.get(own.name, own.type), own.default, own.default_factory)
    elif issubclass(kind, msgspec.Struct):
        for member in msgspec.structs.fields(kind):
            yield _field(member.encode_name, member.type, member.default, member.default_factory)
    elif typing.is_typeddict(kind):
        for name, hint in _hints(kind).items():
            yield Field(name, hint, name in getattr(kind, "__required_keys__", ()))
    elif isinstance(model := getattr(kind, "model_fields", None), dict):  # pydantic, if the script uses it
        for name, info in model.items():
            yield _field(info.alias or name, info.annotation, *_of_model(info))


def _of_model(info: Any) -> tuple[Any, Any]:
    if info.is_required():
        return dataclasses.MISSING, dataclasses.MISSING
    return (
        (info.default, dataclasses.MISSING)
        if info.default_factory is None
        else (dataclasses.MISSING, info.default_factory)
    )


def _field(name: str, kind: Any, default: Any, factory: Any) -> Field:
    if all(factory is not nothing for nothing in _NOTHING):
        return Field(name, kind, required=False, default=_made(factory))
    if any(default is nothing for nothing in _NOTHING):
        return Field(name, kind, required=True)
    return Field(name, kind, required=False, default=default)


def _made(factory: Any) -> Any:
    """What list, dict and their like make; nothing of the script's own is called to describe it."""
    return factory() if factory in (list, dict, set, tuple, frozenset) else inspect.Parameter.empty


def _hints(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind)
    except Exception:  # a name that is only there for type checkers: the annotation as it was written
        return dict(vars(kind).get("__annotations__", {}))

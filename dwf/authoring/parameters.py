"""Parameters: how words from outside, or JSON, become the arguments of a function of the script, by its annotations."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import EnumType
from functools import cached_property
from typing import Any

from dwf.authoring.hints import hints_of, signature_of
from dwf.authoring.shapes import type_name, typed_default
from dwf.core.values import convert, decode, encode, parse_json, plain
from dwf.errors import UsageError, ValueRefused

_REQUIRED: Any = inspect.Parameter.empty
_SERIES = (list, tuple, set, frozenset)
_WORDS = {"yes": True, "on": True, "true": True, "1": True, "no": False, "off": False, "false": False, "0": False}


@dataclass(frozen=True)
class Parameter:
    """One parameter as people see it."""

    name: str
    type: Any
    default: Any
    required: bool

    @property
    def type_name(self) -> str:
        return type_name(self.type)


class Parameters:
    """The parameters of a function, each of which has a name to give it by. `name`: what people call the function."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function, self._name = function, name

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return hints_of(self._function)

    @cached_property
    def all(self) -> list[Parameter]:
        """The parameters in order."""
        return [
            Parameter(p.name, self._hints.get(p.name, Any), p.default, p.default is _REQUIRED)
            for p in signature_of(self._function).parameters.values()
        ]

    def typed(self, stored: bytes) -> dict[str, Any]:
        """Stored input as the arguments to call the function with. Raises ValueRefused."""
        values = decode(stored) or {}
        return {name: convert(value, self._hints.get(name)) for name, value in values.items()}

    def bind(self, texts: dict[str, str], values: dict[str, Any] | None = None) -> bytes:
        """Words from the command line (and JSON values) as the stored input.

        Raises UsageError for an unknown, missing or unfitting one, with the parameters in the hint.
        """
        known = {p.name: p for p in self.all}
        given: dict[str, Any] = {}
        for name, value in {**(values or {}), **texts}.items():
            if name not in known:
                raise UsageError(
                    what=f"{self._name} has no parameter {name!r}", hint=self._nearest(name) + self._usage()
                )
            given[name] = self._typed(known[name], value, name in texts)
        missing = [p.name for p in self.all if p.required and p.name not in given]
        if missing:
            raise UsageError(what=f"{self._name} needs {', '.join(missing)}", hint=self._usage())
        return encode(given, "the input")

    def _typed(self, parameter: Parameter, value: Any, is_text: bool) -> Any:
        try:
            return from_text(value, parameter.type) if is_text else convert(value, parameter.type)
        except ValueRefused as error:
            if value == "":
                what = f"{parameter.name}= is empty, and not {_a(parameter.type_name)}"
            else:
                what = f"{parameter.name}={value!r:.80} is not {_a(parameter.type_name)}" + _why(error, is_text)
            raise UsageError(what=what, hint=self._usage()) from None

    def _nearest(self, name: str) -> str:
        by_lower = {p.name.lower(): p.name for p in self.all}
        meant = get_close_matches(name.lower().replace("-", "_"), by_lower, 1)
        return f"did you mean {by_lower[meant[0]]}=? " if meant else ""

    def _usage(self) -> str:
        words = []
        for p in self.all:
            words.append(f"{p.name}={p.type_name}" if p.required else f"[{p.name}={typed_default(p.default)!r}]")
        return "parameters: " + (" ".join(words) or "none")


def _a(type_name: str) -> str:
    return f"{'an' if type_name[:1] in 'aeiou' else 'a'} {type_name}"


def _why(error: ValueRefused, is_text: bool) -> str:
    """What is not said by value and type alone."""
    why = str(error.facts["why"])
    if is_text and why.endswith("got `str`"):
        return ""
    return ": " + (why.partition(": ")[2] if why.startswith("it does not fit ") else why)


def from_text(word: str, kind: Any) -> Any:
    """A word from the command line as the annotated type.

    Text as it is, yes/no, numbers, dates, paths; a member of an enum by value or name; `web1,web2` or JSON for a list;
    JSON for the rest. Raises ValueRefused.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        kind, origin, arguments = arguments[0], typing.get_origin(arguments[0]), typing.get_args(arguments[0])
    if kind is str:
        return word
    if kind is bool:
        return _yes_or_no(word)
    if kind is Any:
        return _json_or_text(word)
    if origin is typing.Literal:
        return _one_of(word, arguments)
    if origin in (typing.Union, types.UnionType):
        return _first_member(word, arguments)
    if (origin or kind) in _SERIES and not word.lstrip().startswith("["):
        return convert(plain(_items(word, kind, arguments)), kind)
    if isinstance(kind, EnumType) and word in kind.__members__:
        return kind[word]
    return _converted(word, kind)


def _converted(word: str, kind: Any) -> Any:
    try:
        return convert(word, kind, strict=False)
    except ValueRefused as refused:
        try:
            value = parse_json(word)
        except ValueRefused:
            raise refused from None
        try:
            return convert(value, kind)
        except ValueRefused as unfitting:
            # JSON that was meant as such: what is wrong inside says more than that it is text.
            raise (unfitting if isinstance(value, dict | list) else refused) from None


def _items(word: str, kind: Any, arguments: tuple[Any, ...]) -> list[Any]:
    words = [item.strip() for item in word.split(",")] if word.strip() else []
    kinds = [arguments[0] if arguments else str] * len(words)
    if typing.get_origin(kind) is tuple and Ellipsis not in arguments and len(arguments) == len(words):
        kinds = list(arguments)
    return [from_text(item, its_kind) for item, its_kind in zip(words, kinds, strict=True)]


def _yes_or_no(word: str) -> bool:
    if word.lower() not in _WORDS:
        raise ValueRefused(what=word, why="it is not yes or no")
    return _WORDS[word.lower()]


def _one_of(word: str, values: tuple[Any, ...]) -> Any:
    for value in values:
        if word == str(value) or (isinstance(value, bool) and _WORDS.get(word.lower()) is value):
            return value
    raise ValueRefused(what=word, why=f"it is none of {', '.join(map(str, values))}")


def _first_member(word: str, members: tuple[Any, ...]) -> Any:
    """`null` is None, unless any text will do; else the first that fits, text last."""
    if type(None) in members and str not in members and word.lower() in ("null", "none"):
        return None
    refused = None
    for member in sorted((m for m in members if m is not type(None)), key=lambda member: member is str):
        try:
            return from_text(word, member)
        except ValueRefused as error:
            refused = refused or error
    raise refused or ValueRefused(what=word, why="it fits nothing")


def _json_or_text(word: str) -> Any:
    try:
        return parse_json(word)
    except ValueRefused:
        return word

"""`@dwf.workflow`: an `async def` with typed parameters, and how words from outside become its arguments."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import EnumType
from functools import cached_property, update_wrapper
from typing import Any, Literal, overload

from dwf.authoring.hints import hints_of, signature_of
from dwf.authoring.shapes import type_name, typed_default
from dwf.core import guard
from dwf.core.replay import Program
from dwf.core.retry import Retry
from dwf.core.values import convert, decode, encode, parse_json, plain, text
from dwf.errors import ScriptRefused, UsageError, ValueRefused

_REQUIRED: Any = inspect.Parameter.empty
_SERIES = (list, tuple, set, frozenset)
_WORDS = {"yes": True, "on": True, "true": True, "1": True, "no": False, "off": False, "false": False, "0": False}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a workflow as people see it."""

    name: str
    type: Any
    default: Any
    required: bool

    @property
    def type_name(self) -> str:
        return type_name(self.type)


class Workflow:
    """A workflow function. It only runs inside dwf: `dwf start script.py host=web1`."""

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        failure_types: tuple[type[BaseException], ...],
        on_bug: str,
        step_retry: Retry | None = None,
    ) -> None:
        self.function = function
        self.name = text(name, "the name of a workflow", 200)
        self._failure_types = failure_types
        self._bug_fails = on_bug == "fail"
        if step_retry is not None and not isinstance(step_retry, Retry):
            raise ScriptRefused(path=name, why="step_retry is not a dwf.Retry")
        self._step_retry = step_retry
        update_wrapper(self, function)
        _check_shape(function, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        guard.check(
            f"calling the workflow {self.name} from another",
            "move what both share into a plain `async def`; await that",
        )
        return self.function(*args, **kwargs)

    def program(self, is_script: Callable[[str], bool]) -> Program:
        """What replay needs to run it."""
        return Program(
            self._begin,
            is_script=is_script,
            failure_types=self._failure_types,
            bug_fails=self._bug_fails,
            step_retry=self._step_retry,
        )

    def _begin(self, stored: bytes) -> Any:
        values = decode(stored) or {}
        typed = {name: convert(value, self._hints.get(name)) for name, value in values.items()}
        return self.function(**typed)

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return hints_of(self.function)

    @cached_property
    def parameters(self) -> list[Parameter]:
        """The parameters in order."""
        return [
            Parameter(p.name, self._hints.get(p.name, Any), p.default, p.default is _REQUIRED)
            for p in signature_of(self.function).parameters.values()
        ]

    def bind(self, texts: dict[str, str], values: dict[str, Any] | None = None) -> bytes:
        """Words from the command line (and JSON values) as the stored input.

        Raises UsageError for an unknown, missing or unfitting one, with the parameters in the hint.
        """
        known = {p.name: p for p in self.parameters}
        given: dict[str, Any] = {}
        for name, value in {**(values or {}), **texts}.items():
            if name not in known:
                raise UsageError(
                    what=f"{self.name} has no parameter {name!r}", hint=self._nearest(name) + self._usage()
                )
            given[name] = self._typed(known[name], value, name in texts)
        missing = [p.name for p in self.parameters if p.required and p.name not in given]
        if missing:
            raise UsageError(what=f"{self.name} needs {', '.join(missing)}", hint=self._usage())
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
        by_lower = {p.name.lower(): p.name for p in self.parameters}
        meant = get_close_matches(name.lower().replace("-", "_"), by_lower, 1)
        return f"did you mean {by_lower[meant[0]]}=? " if meant else ""

    def _usage(self) -> str:
        words = []
        for p in self.parameters:
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


def _check_shape(function: Callable[..., Any], name: str) -> None:
    if inspect.isasyncgenfunction(function) or not inspect.iscoroutinefunction(function):
        raise ScriptRefused(path=name, why="a workflow is an `async def` function without `yield`")
    for p in inspect.signature(function).parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.POSITIONAL_ONLY):
            raise ScriptRefused(
                path=name, why=f"parameter {p.name!r} has no name to give it by", hint="name every parameter"
            )


@overload
def workflow(function: Callable[..., Any], /) -> Workflow: ...
@overload
def workflow(
    *,
    name: str | None = None,
    failure_types: tuple[type[BaseException], ...] = (),
    on_bug: Literal["block", "fail"] = "block",
    step_retry: Retry | None = None,
) -> Callable[[Callable[..., Any]], Workflow]: ...
def workflow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    failure_types: tuple[type[BaseException], ...] = (),
    on_bug: Literal["block", "fail"] = "block",
    step_retry: Retry | None = None,
) -> Any:
    """Declare a workflow: `@dwf.workflow` above an `async def` with typed parameters.

    failure_types: exceptions of your own that end the run as failed. on_bug: "block" (the run waits for mended code) or
    "fail". step_retry: how its steps are retried that do not say it themselves. Raises ScriptRefused for anything but a
    plain `async def` with named parameters.
    """
    if function is not None:
        return Workflow(function, name or function.__name__, failure_types, on_bug, step_retry)
    return lambda f: Workflow(f, name or f.__name__, failure_types, on_bug, step_retry)

"""Calls of steps as the engine has them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from dwf.core.runtime import ActivityCall


def call_of(function: Callable[..., Any], *args: Any) -> ActivityCall:
    """A call of a function: the arguments go by a closure, for their way through JSON is not this room's."""

    def perform(_: bytes) -> Any:
        return function(*args)

    return call_of_input(perform, b"null", getattr(function, "__name__", "step"), inspect.iscoroutinefunction(function))


def call_of_input(
    perform: Callable[[bytes], Any] | None, given: bytes, name: str = "step", is_async: bool = False
) -> ActivityCall:
    return ActivityCall(name=name, kind="function", input=msgspec.Raw(given), perform=perform, is_async=is_async)

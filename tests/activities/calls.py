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

    return ActivityCall(
        name=getattr(function, "__name__", "step"),
        kind="function",
        input=msgspec.Raw(b"null"),
        perform=perform,
        is_async=inspect.iscoroutinefunction(function),
    )

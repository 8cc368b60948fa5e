"""Python of the owner's that goes with no run: a file that he alone can write, with one function that is asked for.

Executed in a module of its own, which is nowhere registered; what it imports is found as in any other Python program.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any


def function_of(path: str, source: bytes, name: str) -> Callable[..., Any]:
    """The function of that name in a file. Raises TypeError if there is none, and whatever the file raises."""
    module = ModuleType(f"dwf_plugin_{name}")
    module.__file__ = path
    exec(compile(source, path, "exec"), module.__dict__)
    found = getattr(module, name, None)
    if not callable(found):
        raise TypeError(f"it defines no function {name}")
    return found  # type: ignore[no-any-return]

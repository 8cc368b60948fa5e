"""Which patches a script knows: found by reading, not by running. A name that is made up while it runs is not found."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field

_ASKS, _DEPRECATES = "patched", "deprecate_patch"


@dataclass
class Patch:
    """One name in a script. asked, deprecated: `file.py:12` of each dwf.patched() and dwf.deprecate_patch() of it."""

    name: str
    asked: list[str] = field(default_factory=list)
    deprecated: list[str] = field(default_factory=list)


def patches_in(files: Mapping[str, bytes]) -> dict[str, Patch]:
    """The patches of a script's files, by name. Files that do not parse have none."""
    found: dict[str, Patch] = {}
    for file, source in sorted(files.items()):
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not (name := _name(node)):
                continue
            patch = found.setdefault(name, Patch(name))
            (patch.asked if _function(node) == _ASKS else patch.deprecated).append(f"{file}:{node.lineno}")
    return found


def _function(call: ast.Call) -> str:
    of = call.func
    return of.attr if isinstance(of, ast.Attribute) else of.id if isinstance(of, ast.Name) else ""


def _name(call: ast.Call) -> str:
    if _function(call) not in (_ASKS, _DEPRECATES) or not call.args:
        return ""
    first = call.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""

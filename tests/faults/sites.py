"""Where the store asks for a sync: each call in its source, by a name that moves with the code."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import dwf.store.files

_ROOM = Path(dwf.store.files.__file__).parent
# write_new makes a file and syncs it: whoever calls it asks for that sync.
_ASKS = ("fsync", "fdatasync", "fsync_dir", "write_new")


@cache
def sites() -> dict[tuple[str, int], str]:
    """(file, line) -> "module.Class.function", with "/2" for a second one in the same function."""
    found: dict[tuple[str, int], str] = {}
    for path in sorted(_ROOM.glob("*.py")):
        if path.name != "files.py":
            _collect(ast.parse(path.read_text(encoding="utf-8")), path.stem, str(path), found)
    return found


def _collect(node: ast.AST, name: str, file: str, found: dict[tuple[str, int], str]) -> None:
    for child in ast.iter_child_nodes(node):
        inner = name
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inner = f"{name}.{child.name}"
        elif isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute) and child.func.attr in _ASKS:
            before = sum(known.partition("/")[0] == name for known in found.values())
            found[file, child.lineno] = name if not before else f"{name}/{before + 1}"
        _collect(child, inner, file, found)


def asked_from() -> str:
    """The site of the sync that is just asked for; "" if it is none of the store's."""
    frame = sys._getframe(1)
    known = sites()
    while frame is not None:
        here = frame.f_code.co_filename, frame.f_lineno
        if here in known:
            return known[here]
        frame = frame.f_back  # type: ignore[assignment]
    return ""

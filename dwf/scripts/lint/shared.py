"""State at the top of a module that workflow code changes: it is of all runs of a process, and of no other process."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from dwf.scripts.lint.book import Book, Function, Module
from dwf.scripts.lint.rules import Finding

_CURE = "keep it in a variable of the workflow; what must outlast a run belongs into a step"
_CHANGES = set("append extend insert remove pop clear add discard update setdefault popitem sort reverse".split())
_CHANGES |= {"appendleft", "popleft", "put_nowait", "subtract"}


def shared_state(function: Function, book: Book) -> Iterator[Finding]:
    """Where a function changes what its module, or another one of the script, has at its top."""
    declared = {name for n in function.nodes if isinstance(n, ast.Global) for name in n.names}
    for node in function.nodes:
        name = _changed(node, declared, function, book)
        if name:
            what = f"{name} at the top of the module is changed in workflow code"
            yield Finding("DWF202", function.module.file, node.lineno, node.col_offset + 1, what, _CURE)  # type: ignore[attr-defined]


def _changed(node: ast.AST, declared: set[str], function: Function, book: Book) -> str:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
        return node.id if node.id in declared else ""
    if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
        return _top_name(node.value, function, book)
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGES:
            return _top_name(node.func.value, function, book)
        if function.name_of(node.func) == "builtins.next" and node.args:
            return _top_name(node.args[0], function, book)
    return ""


def _top_name(node: ast.AST, function: Function, book: Book) -> str:
    """The name at the top of a module that an expression stands for; "" if it is none."""
    if isinstance(node, ast.Name):
        is_own = node.id in function.module.assigned and node.id not in function.locals
        if is_own or _in_other(function.name_of(node), book):
            return node.id
        return ""
    if isinstance(node, ast.Attribute):
        return ast.unparse(node) if _in_other(function.name_of(node), book) else _top_name(node.value, function, book)
    return _top_name(node.value, function, book) if isinstance(node, ast.Subscript) else ""


def _in_other(dotted: str, book: Book) -> bool:
    home, _, name = dotted.rpartition(".")
    module: Module | None = book.modules.get(home)
    return module is not None and name in module.assigned

"""Which lines of workflow code a play has come through, and which steps it has begun.

A copy of the script is played in which every statement of workflow code says its number to the run's log. The log is
told what really happened, and once: so a replay counts nothing twice, and an activation that came to nothing, nothing.
Bodies of steps are nobody's business here: nothing of them is done.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dwf.engine.context import Unwatched

_STEPS = ("activity", "step")
_LOG = "_dwf_coverage_log"
_SAID = re.compile(r"dwf-coverage (.+):(\d+)")


class Coverage(Unwatched):
    """Lines that there are and lines that were come through, by file, whichever play it was in."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self._lines: dict[str, set[int]] = {}
        self._seen: dict[str, set[int]] = {name: set() for name in files}

    def instrumented(self, directory: Path) -> None:
        """Write the copy of the script there."""
        for name, source in self.files.items():
            tree = ast.parse(source)
            marks = _Marks(name)
            changed = marks.visit(tree)
            after = next((i for i, node in enumerate(changed.body) if not _must_be_first(node)), len(changed.body))
            changed.body[after:after] = ast.parse(f"from dwf import log as {_LOG}").body
            self._lines[name] = marks.lines
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(ast.unparse(ast.fix_missing_locations(changed)), encoding="utf-8")

    def said(self, run: str, level: int, text: str) -> None:
        """Called for each line of a run's log."""
        if (found := _SAID.fullmatch(text)) is not None and found[1] in self._seen:
            self._seen[found[1]].add(int(found[2]))

    @property
    def lines(self) -> int:
        """How many lines of workflow code there are."""
        return sum(map(len, self._lines.values()))

    def missed(self) -> dict[str, list[int]]:
        """By file, the lines that no play came through."""
        left = {name: sorted(lines - self._seen[name]) for name, lines in self._lines.items()}
        return {name: lines for name, lines in left.items() if lines}

    def source(self, name: str, line: int) -> str:
        """What stands there."""
        return self.files[name].decode("utf-8", "replace").splitlines()[line - 1].strip()


def steps_in(files: Mapping[str, bytes]) -> dict[str, str]:
    """The steps that a script declares, by name, and where: `file.py:12`."""
    return {
        _named(node): f"{file}:{node.lineno}"
        for file, source in files.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_step(node)
    }


_Function = ast.FunctionDef | ast.AsyncFunctionDef


class _Marks(ast.NodeTransformer):
    """Puts a line before each statement inside functions that are no steps."""

    def __init__(self, name: str) -> None:
        self._name, self._depth = name, 0
        self.lines: set[int] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: _Function) -> ast.AST:
        if _is_step(node):
            return node
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if self._depth and not isinstance(node, ast.ClassDef):
            for part in ("body", "orelse", "finalbody"):
                block = getattr(node, part, None)
                if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                    setattr(node, part, list(self._marked(block, isinstance(node, _Function) and part == "body")))
        return node

    def _marked(self, block: list[Any], is_whole: bool) -> Iterator[ast.stmt]:
        for place, statement in enumerate(block):
            is_doc = is_whole and place == 0 and _is_text(statement)
            if not is_doc and hasattr(statement, "lineno"):
                self.lines.add(statement.lineno)
                text = repr(f"dwf-coverage {self._name}:{statement.lineno}")
                yield ast.parse(f"{_LOG}.info({text})").body[0]
            yield statement


def _must_be_first(node: ast.stmt) -> bool:
    return _is_text(node) or (isinstance(node, ast.ImportFrom) and node.module == "__future__")


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_step(node: _Function) -> bool:
    return any(_last_name(decorator) in _STEPS for decorator in node.decorator_list)


def _named(node: _Function) -> str:
    for decorator in node.decorator_list:
        for keyword in decorator.keywords if isinstance(decorator, ast.Call) else ():
            if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
                return str(keyword.value.value)
    return node.name


def _last_name(decorator: ast.expr) -> str:
    of = decorator.func if isinstance(decorator, ast.Call) else decorator
    return of.attr if isinstance(of, ast.Attribute) else of.id if isinstance(of, ast.Name) else ""

"""Which lines and branches of workflow code a play has come through, which steps it has begun, which undos it has run.

A copy of the script is played in which every statement of workflow code, and every way that one may branch, says its
number to the run's log. The log is told what really happened, and once: so a replay counts nothing twice, and an
activation that came to nothing, nothing. Bodies of steps are nobody's business here: nothing of them is done.
What is decided within an expression (`a if b else c`, `and`, `or`) is one line to it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dwf.core.events import ActivityScheduled, Event, UndoRecorded
from dwf.core.values import decode
from dwf.engine.context import Unwatched

_STEPS = ("activity", "step")
_LOG = "_dwf_coverage_log"
_SAID = re.compile(r"dwf-coverage (.+):(\d+)(?:/(\d+))?")


@dataclass(frozen=True)
class Branch:
    """A way that a statement may go. line: where it stands. told: what it is if no play goes it, `if ok: never true`.

    decided: the line that has to be come through to have the choice; of an `except` and a `case` it is another one.
    """

    line: int
    decided: int
    told: str


@dataclass(frozen=True)
class UndoSite:
    """Where `undo=` is written. step: the name of the activity, "" for a command. words: what that is sure to have."""

    at: str
    source: str
    step: str
    words: tuple[str, ...] = ()

    def is_of(self, event: ActivityScheduled) -> bool:
        """Whether that step may have come from here."""
        if event.kind != "shell":
            return event.name == self.step
        given = decode(bytes(event.input))
        return not self.step and set(self.words) <= {*map(str, given.get("argv", ())), given.get("script")}


class Coverage(Unwatched):
    """Lines that there are and lines that were come through, by file, whichever play it was in; branches likewise.

    begun: the names of steps that were begun, in whichever run.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self._lines: dict[str, set[int]] = {}
        self._seen: dict[str, set[int]] = {name: set() for name in files}
        self._branches: dict[str, list[Branch]] = {}
        self._taken: dict[str, set[int]] = {name: set() for name in files}
        self._undos: dict[tuple[str, int], str] = {}
        self.begun: set[str] = set()
        self.undone: list[ActivityScheduled] = []

    def instrumented(self, directory: Path) -> None:
        """Write the copy of the script there."""
        for name, source in self.files.items():
            tree = ast.parse(source)
            marks = _Marks(name)
            changed = marks.visit(tree)
            after = next((i for i, node in enumerate(changed.body) if not _must_be_first(node)), len(changed.body))
            changed.body[after:after] = ast.parse(f"from dwf import log as {_LOG}").body
            self._lines[name], self._branches[name] = marks.lines, marks.branches
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(ast.unparse(ast.fix_missing_locations(changed)), encoding="utf-8")

    def said(self, run: str, level: int, text: str) -> None:
        """Called for each line of a run's log."""
        if (found := _SAID.fullmatch(text)) is None or found[1] not in self._seen:
            return
        if found[3] is None:
            self._seen[found[1]].add(int(found[2]))
        else:
            self._taken[found[1]].add(int(found[3]))

    def event(self, run: str, event: Event) -> None:
        """Called for each event of a run."""
        if isinstance(event, UndoRecorded):
            self._undos[run, event.command] = event.name
        elif isinstance(event, ActivityScheduled):
            self.begun.add(event.name)
            if self._undos.get((run, event.part_of)) == event.name:
                self.undone.append(event)

    @property
    def lines(self) -> int:
        """How many lines of workflow code there are."""
        return sum(map(len, self._lines.values()))

    def missed(self) -> dict[str, list[int]]:
        """By file, the lines that no play came through."""
        left = {name: sorted(lines - self._seen[name]) for name, lines in self._lines.items()}
        return {name: lines for name, lines in left.items() if lines}

    @property
    def branches(self) -> tuple[int, int]:
        """How many ways there are that statements may go, and how many of these were gone."""
        return sum(map(len, self._branches.values())), sum(map(len, self._taken.values()))

    def missed_branches(self) -> dict[str, list[Branch]]:
        """By file, the ways that no play went, though it came to where that is decided."""
        left = {
            name: [one for n, one in enumerate(found) if n not in self._taken[name] and one.decided in self._seen[name]]
            for name, found in self._branches.items()
        }
        return {name: branches for name, branches in left.items() if branches}

    def missed_undos(self) -> list[UndoSite]:
        """Where an undo is written that no play has run."""
        return [site for site in undos_in(self.files) if not any(site.is_of(event) for event in self.undone)]

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


def undos_in(files: Mapping[str, bytes]) -> list[UndoSite]:
    """The undos that a script writes down as calls; what a variable holds is not among it."""
    nodes = [(file, node) for file, source in files.items() for node in ast.walk(ast.parse(source))]
    names = {node.name: _named(node) for _, node in nodes if isinstance(node, _FUNCTIONS) and _is_step(node)}
    return [
        UndoSite(f"{file}:{call.lineno}", ast.unparse(call), names.get(_called(call), ""), tuple(_words(call)))
        for file, keyword in nodes
        if isinstance(keyword, ast.keyword) and keyword.arg == "undo"
        for call in getattr(keyword.value, "elts", None) or [keyword.value]
        if isinstance(call, ast.Call)
    ]


def _words(call: ast.Call) -> Iterator[str]:
    """The words of a command that are written out."""
    for value in (*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "script")):
        if isinstance(value, ast.Constant) and type(value.value) is str:
            yield value.value


def _called(call: ast.Call) -> str:
    """`drain` of drain(host), fleet.drain(host) and drain.options(title="x")(host)."""
    function = call.func
    while isinstance(function, ast.Call):
        function = function.func.value if isinstance(function.func, ast.Attribute) else function.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


_Function = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class _Marks(ast.NodeTransformer):
    """Puts a line before each statement inside functions that are no steps, and at the begin of each branch."""

    def __init__(self, name: str) -> None:
        self._name, self._depth = name, 0
        self.lines: set[int] = set()
        self.branches: list[Branch] = []

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
            self._mark_branches(node)
        return node

    def _mark_branches(self, node: ast.AST) -> None:
        """Each block that may be left out says so when it is not; where there is no `else`, one is made to say it."""
        if isinstance(node, ast.If) and not _asks_for_patch(node.test):
            asked = f"if {ast.unparse(node.test)}"
            self._branch(node.body, node.lineno, f"{asked}: never true")
            self._branch(node.orelse, node.lineno, f"{asked}: never false")
        elif isinstance(node, ast.While):
            self._branch(node.body, node.lineno, f"while {ast.unparse(node.test)}: never entered")
        elif isinstance(node, ast.For | ast.AsyncFor):
            over = f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}"
            self._branch(node.body, node.lineno, f"{over}: never entered")
        elif isinstance(node, ast.Try | ast.TryStar):
            for handler in node.handlers:
                caught = f"except {ast.unparse(handler.type)}" if handler.type else "except"
                self._branch(handler.body, handler.lineno, f"{caught}: never ran", node.lineno)
        elif isinstance(node, ast.Match):
            for case in node.cases:
                told = f"case {ast.unparse(case.pattern)}: never matched"
                self._branch(case.body, case.pattern.lineno, told, node.lineno)

    def _branch(self, block: list[ast.stmt], line: int, told: str, decided: int = 0) -> None:
        self.branches.append(Branch(line, decided or line, told))
        block.insert(0, self._mark(f"{line}/{len(self.branches) - 1}"))

    def _mark(self, place: str) -> ast.stmt:
        return ast.parse(f"{_LOG}.info({f'dwf-coverage {self._name}:{place}'!r})").body[0]

    def _marked(self, block: list[Any], is_whole: bool) -> Iterator[ast.stmt]:
        for place, statement in enumerate(block):
            is_doc = is_whole and place == 0 and _is_text(statement)
            if not is_doc and hasattr(statement, "lineno"):
                self.lines.add(statement.lineno)
                yield self._mark(str(statement.lineno))
            yield statement


def _must_be_first(node: ast.stmt) -> bool:
    return _is_text(node) or (isinstance(node, ast.ImportFrom) and node.module == "__future__")


def _asks_for_patch(test: ast.expr) -> bool:
    """What runs from before a change do is beyond any play of a new one."""
    return any(isinstance(node, ast.Call) and _called(node) == "patched" for node in ast.walk(test))


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

"""Cures: what `dwf.patched()` must stand around so that an edited script fits a run that began before the edit.

The code that the run is on, which is stored, is laid beside the new one, and each difference within a function becomes
a candidate: the new lines under `if dwf.patched(...)`, the old ones under `else`. Text is made here, nothing is run;
which of them is a cure is found by who replays it (checking.py), so what is told was tried.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from dwf.scripts.collect import Sources

_MOST = 8
_STEP = "    "


@dataclass(frozen=True)
class Candidate:
    """The lines to write, and the files of the script as they would be then."""

    lines: str
    files: dict[str, bytes]


@dataclass(frozen=True)
class _Change:
    """Lines [first, last) of the new file stand where `old` stood. `old` is without indentation."""

    first: int
    last: int
    old: list[str]
    indent: str


def candidates(old: dict[str, bytes], sources: Sources, where: str) -> list[Candidate]:
    """What may cure a divergence at `where` (`book.py:31`), the nearest first. `old`: the files as they were."""
    name, _, number = where.rpartition(":")
    found: list[tuple[int, Candidate]] = []
    for file, data in sources.files.items():
        if file not in old or old[file] == data:
            continue
        is_here = file.rpartition("/")[2] == name
        line = int(number) - 1 if is_here and number.isdigit() else 0
        for change in _changes(_lines(old[file]), _lines(data)):
            away = 0 if change.first <= line < max(change.last, change.first + 1) else abs(change.first - line) + 1
            made = _made(change, _lines(data))
            if made is not None:
                lines, text = made
                found.append((away + (0 if is_here else 10_000), Candidate(lines, {**sources.files, file: text})))
    return [candidate for _, candidate in sorted(found, key=lambda pair: pair[0])[:_MOST]]


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").splitlines()


# -- differences ------------------------------------------------------------------------------------------------


def _changes(old: list[str], new: list[str]) -> Iterator[_Change]:
    """Each difference inside a function; and where one has several, all of them as one."""
    old_blocks, new_blocks = _functions(old), _functions(new)
    for name, body in new_blocks.items():
        if name not in old_blocks:
            continue
        base, top = old_blocks[name], body
        hunks = [
            (i1 + base[0], i2 + base[0], j1 + top[0], j2 + top[0])
            for tag, i1, i2, j1, j2 in SequenceMatcher(
                None, old[base[0] : base[1]], new[top[0] : top[1]], autojunk=False
            ).get_opcodes()
            if tag != "equal"
        ]
        if len(hunks) > 1:
            (i1, _, j1, _), (_, i2, _, j2) = hunks[0], hunks[-1]
            hunks.append((i1, i2, j1, j2))
        for hunk in hunks:
            change = _whole(old, new, *hunk)
            if change is not None:
                yield change


def _functions(lines: list[str]) -> dict[str, tuple[int, int]]:
    """The bodies of functions by name, as line numbers from 0. An inner one is part of the outer."""
    tree = _parsed(lines)
    found = {}
    for node in tree.body if tree is not None else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = (node.body[0].lineno - 1, node.end_lineno or node.lineno)
    return found


def _parsed(lines: list[str]) -> ast.Module | None:
    try:
        return ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError):
        return None


def _whole(old: list[str], new: list[str], i1: int, i2: int, j1: int, j2: int) -> _Change | None:
    """A difference of lines as one of whole statements, in blocks that stand equally deep; None if there is no such."""
    before, after = _statements(old, i1, i2), _statements(new, j1, j2)
    if (i1 < i2 and before is None) or (j1 < j2 and after is None):
        return None
    if before is not None and after is not None:
        # A statement that one side had to be widened for must be whole on the other, too.
        grown_i = (before[0] - i1, before[1] - i2)
        grown_j = (after[0] - j1, after[1] - j2)
        if grown_i != grown_j:
            down, up = min(grown_i[0], grown_j[0]), max(grown_i[1], grown_j[1])
            before, after = _statements(old, i1 + down, i2 + up), _statements(new, j1 + down, j2 + up)
            if before is None or after is None:
                return None
        if _indent(old[before[0]]) != _indent(new[after[0]]):
            return None
        kept = textwrap.dedent("\n".join(old[before[0] : before[1]])).splitlines()
        return _Change(after[0], after[1], kept, _indent(new[after[0]]))
    if before is not None:
        return _Change(
            j1, j1, textwrap.dedent("\n".join(old[before[0] : before[1]])).splitlines(), _indent(old[before[0]])
        )
    assert after is not None
    return _Change(after[0], after[1], [], _indent(new[after[0]]))


def _statements(lines: list[str], first: int, last: int) -> tuple[int, int] | None:
    """The lines of the fewest statements of one block that cover those lines; None if they are no code."""
    while first < last and not lines[first].strip():
        first += 1
    while last > first and not lines[last - 1].strip():
        last -= 1
    tree = _parsed(lines)
    if tree is None or first >= last:
        return None
    best: tuple[int, int] | None = None
    for block in _blocks(tree):
        own = [
            (_begin(node) - 1, node.end_lineno or node.lineno)
            for node in block
            if _begin(node) - 1 < last and (node.end_lineno or node.lineno) > first
        ]
        if not own or own[0][0] > first or own[-1][1] < last:
            continue
        span = own[0][0], own[-1][1]
        if best is None or span[1] - span[0] <= best[1] - best[0]:
            best = span
    return best


def _blocks(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if (
                isinstance(block, list)
                and block
                and isinstance(block[0], ast.stmt)
                and not isinstance(node, ast.Module)
            ):
                yield block


def _begin(node: ast.stmt) -> int:
    marks = getattr(node, "decorator_list", [])
    return int(min([node.lineno, *(mark.lineno for mark in marks)]))


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


# -- what is written --------------------------------------------------------------------------------------------


def _made(change: _Change, new: list[str]) -> tuple[str, bytes] | None:
    """The snippet, and the whole file with it; None for what is no program then."""
    fresh = textwrap.dedent("\n".join(new[change.first : change.last])).splitlines()
    name = _free_name(_what(fresh) or f"without-{_what(change.old) or 'it'}", "\n".join(new))
    lines = _branches(name, fresh, change.old)
    whole = [*new[: change.first], *(f"{change.indent}{line}" for line in lines), *new[change.last :]]
    if _parsed(whole) is None:
        return None
    return "\n".join(lines), ("\n".join(whole) + "\n").encode()


def _branches(name: str, fresh: list[str], old: list[str]) -> list[str]:
    inner = [f"{_STEP}{line}" if line.strip() else "" for line in fresh]
    other = [f"{_STEP}{line}" if line.strip() else "" for line in old]
    if not inner:
        return [f'if not dwf.patched("{name}"):', *other]
    return [f'if dwf.patched("{name}"):', *inner, *(["else:", *other] if other else [])]


def _what(lines: list[str]) -> str:
    """A word for what those lines do: the first that is called."""
    tree = _parsed(["async def _():", *(f"{_STEP}{line}" for line in lines)]) if lines else None
    awaited = [node.value for node in ast.walk(tree) if isinstance(node, ast.Await)] if tree is not None else []
    calls = [node for node in awaited if isinstance(node, ast.Call)]
    calls += [node for node in ast.walk(tree) if isinstance(node, ast.Call)] if tree is not None else []
    for call in calls:
        function = call.func
        word = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if word:
            return str(word).strip("_").replace("_", "-").lower()
    return "change" if lines else ""


def _free_name(wish: str, source: str) -> str:
    """A name that the script does not use for another change."""
    name, number = wish, 1
    while f'"{name}"' in source or f"'{name}'" in source:
        number += 1
        name = f"{wish}-{number}"
    return name

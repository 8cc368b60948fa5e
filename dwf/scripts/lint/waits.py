"""Awaiting: what swallows that which ends a wait, and loops that never come to one."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from dwf.scripts.lint.book import Book, Function
from dwf.scripts.lint.rules import Finding

_EVERYTHING = {"builtins.BaseException"}
_CANCELLED = {"asyncio.CancelledError", "asyncio.exceptions.CancelledError"}
_WAITS = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield)


def waits(function: Function, book: Book) -> Iterator[Finding]:
    """What is wrong about the awaits of a function."""
    for node in function.nodes:
        if isinstance(node, ast.Try):
            yield from _swallowed(node, function)
        elif isinstance(node, ast.While):
            yield from _busy(node, function)


# -- swallowed --------------------------------------------------------------------------------------------------


def _swallowed(node: ast.Try, function: Function) -> Iterator[Finding]:
    if not any(isinstance(inner, _WAITS) for statement in node.body for inner in ast.walk(statement)):
        return
    cancelled = False
    for handler in node.handlers:
        kinds = _caught(handler, function)
        lets_through = any(isinstance(inner, ast.Raise) for part in handler.body for inner in ast.walk(part))
        if not lets_through:
            if (not kinds or kinds & _EVERYTHING) and not cancelled:
                words = "except:" if not kinds else "except BaseException:"
                cure = "catch dwf.ActivityError; clean up in finally:, or raise again"
                yield _found("DWF302", function, handler, f"{words} around an await takes cancellation, too", cure)
            elif kinds & _CANCELLED:
                what = "a cancellation is caught and goes no further"
                yield _found("DWF302", function, handler, what, "raise again, or clean up in finally:")
            elif "builtins.Exception" in kinds:
                what = "except Exception: around an await takes mistakes of the script for failures"
                yield _found("DWF303", function, handler, what, "catch dwf.ActivityError, or raise again")
        cancelled |= bool(kinds & _CANCELLED)


def _caught(handler: ast.ExceptHandler, function: Function) -> set[str]:
    if handler.type is None:
        return set()
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {function.name_of(kind) or "?" for kind in kinds}


# -- busy -------------------------------------------------------------------------------------------------------


def _busy(node: ast.While, function: Function) -> Iterator[Finding]:
    inside = [inner for statement in node.body for inner in ast.walk(statement)]
    if any(isinstance(inner, _WAITS) for inner in [*inside, *ast.walk(node.test)]):
        return
    for_ever = isinstance(node.test, ast.Constant) and bool(node.test.value)
    leaves = any(isinstance(inner, ast.Break | ast.Return | ast.Raise) for inner in inside)
    idle = all(isinstance(statement, ast.Pass | ast.Continue) for statement in node.body)
    if (for_ever and not leaves) or (idle and not for_ever):
        yield _found("DWF304", function, node, "a loop that never waits", "await dwf.wait_until(...), or a step in it")


def _found(code: str, function: Function, node: ast.AST, what: str, cure: str) -> Finding:
    return Finding(code, function.module.file, node.lineno, node.col_offset + 1, what, cure)  # type: ignore[attr-defined]

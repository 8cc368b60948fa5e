"""What objects are asked for in workflow code: chance from the top of a module, hashes of text, waits of threads."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from dwf.core import banned
from dwf.scripts.lint.book import Book, Function
from dwf.scripts.lint.kinds import value_of
from dwf.scripts.lint.rules import Finding

_CHANCE = {"random.Random", "random.SystemRandom", "secrets.SystemRandom"}
_HASH = "use what is the same in every process: hashlib.sha256(text.encode()).hexdigest(), zlib.crc32(...)"
_QUEUES = {f"queue.{name}" for name in ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")}
_WAITS = {
    **{name: {"get", "join"} for name in _QUEUES},
    **{name: {"wait"} for name in ("threading.Event", "threading.Barrier")},
    "threading.Condition": {"wait", "wait_for"},
    **{f"threading.{name}": {"acquire"} for name in ("Lock", "RLock", "Semaphore", "BoundedSemaphore")},
}
_TEXT = {"builtins.str", "builtins.bytes"}


def objects(function: Function, book: Book) -> Iterator[Finding]:
    """What of it is not the same in the next process, or stops the thread, and is no name of a module."""
    for node in function.nodes:
        if not isinstance(node, ast.Call):
            continue
        found = _of_hash(node, function) or _of_method(node, function, book)
        if found is not None:
            code, what, cure = found
            said = f"{what} in workflow code"
            yield Finding(code, function.module.file, node.lineno, node.col_offset + 1, said, cure)


def _of_hash(call: ast.Call, function: Function) -> tuple[str, str, str] | None:
    if function.name_of(call.func) != "builtins.hash" or len(call.args) != 1 or not _is_text(call.args[0], function):
        return None
    return "DWF102", "hash() of text", _HASH


def _is_text(node: ast.expr, function: Function) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str | bytes) and bool(node.value)
    if isinstance(node, ast.Tuple):
        return any(_is_text(item, function) for item in node.elts)
    if isinstance(node, ast.Call):
        return function.name_of(node.func) in _TEXT
    if isinstance(node, ast.Name):
        given = function.node.args
        arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs]
        said = next((a.annotation for a in arguments if a.arg == node.id and a.annotation is not None), None)
        return said is not None and function.name_of(said) in _TEXT
    return isinstance(node, ast.JoinedStr)


def _of_method(call: ast.Call, function: Function, book: Book) -> tuple[str, str, str] | None:
    if not isinstance(call.func, ast.Attribute):
        return None
    made, within = _made(call.func.value, function, book)
    said, name = f"{ast.unparse(call.func)}()", within.name_of(made.func) if made is not None else ""
    if name in _CHANCE and within.node is not function.node:
        return "DWF102", said, banned.CHANCE
    if call.func.attr in _WAITS.get(name, ()) and all(map(_lets_wait, _given(call))):
        return "DWF108", said, banned.BLOCKS
    return None


def _given(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _lets_wait(node: ast.expr) -> bool:
    """False for False and 0 (`blocking=False`, `timeout=0`), and for what is not written down."""
    return isinstance(node, ast.Lambda) or (isinstance(node, ast.Constant) and (node.value is None or bool(node.value)))


def _made(node: ast.expr, function: Function, book: Book) -> tuple[ast.Call | None, Function]:
    """The call that has made an object, and where it stands."""
    if isinstance(node, ast.Call):
        return node, function
    found = value_of(node, function, book) if isinstance(node, ast.Name | ast.Attribute) else None
    if found is None or found[2] or not isinstance(found[0], ast.Call):
        return None, function
    return found[0], found[1]

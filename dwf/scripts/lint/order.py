"""The order of sets: it is another one in every process, and what it decides is not the same twice."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeGuard

from dwf.scripts.lint.book import Book, Function
from dwf.scripts.lint.kinds import value_of
from dwf.scripts.lint.rules import Finding

_CURE = "put it in order first: sorted(...)"
_MAKES = {"builtins.set", "builtins.frozenset"}
_SAYS = _MAKES | {f"typing.{name}" for name in ("Set", "FrozenSet", "AbstractSet", "MutableSet")}
_SAYS |= {"collections.abc.Set", "collections.abc.MutableSet"}
_NUMBERS = {f"builtins.{name}" for name in ("int", "float", "bool")}
"""They come in the same order in every process."""
_OPERATIONS = (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)
_MAKES_TASKS = {"create_task", "ensure_future"}
_METHODS = {"union", "intersection", "difference", "symmetric_difference", "copy"}
# What takes the items in the order in which they come.
_TAKES_ORDER = {f"builtins.{name}" for name in "list tuple enumerate iter map filter zip reversed".split()}
_TAKES_ORDER |= {"itertools.chain", "itertools.islice", "functools.reduce", "asyncio.gather", "dwf.map"}
_COLLECTS = {"append", "extend", "insert", "put_nowait", "create_task", "info", "warning"}
# What comes out the same in any order.
_ANY_ORDER = {f"builtins.{name}" for name in "sorted set frozenset sum len any all min max dict".split()}


def set_order(function: Function, book: Book) -> Iterator[Finding]:
    """Where the items of a set are taken one by one, and their order tells."""
    sets = _sets_in(function, book)

    def is_set(node: ast.AST) -> bool:
        return _is_set(node, function, book, sets)

    for node in function.nodes:
        for taken, how in _taken(node, function):
            if is_set(taken) and not _is_put_in_order(node, function):
                what = f"the order of a set, in {how}"
                yield Finding("DWF201", function.module.file, taken.lineno, taken.col_offset + 1, what, _CURE)


def _taken(node: ast.AST, function: Function) -> Iterator[tuple[ast.expr, str]]:
    if isinstance(node, ast.For | ast.AsyncFor):
        if _tells(node.body):
            yield node.iter, "a loop"
    elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp):
        yield from ((part.iter, "a comprehension") for part in node.generators)
    elif isinstance(node, ast.Starred):
        yield node.value, "a call"
    elif isinstance(node, ast.Call):
        name = function.name_of(node.func)
        if name in _TAKES_ORDER:
            yield from ((argument, f"{name.rpartition('.')[2]}()") for argument in node.args)
        elif name == "builtins.next" and node.args:
            yield node.args[0], "next()"
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "join":
            yield from ((argument, "join()") for argument in node.args)
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "pop" and not node.args:
            yield node.func.value, "pop()"


def _tells(body: list[ast.stmt]) -> bool:
    """Whether a loop does something in which the order is seen: it awaits, collects, or leaves early."""
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Await | ast.Yield | ast.Return | ast.Break):
                return True
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _COLLECTS:
                return True
    return False


def _is_put_in_order(node: ast.AST, function: Function) -> bool:
    parent = function.parents.get(node)
    if isinstance(parent, ast.Starred):
        parent = function.parents.get(parent)
    return isinstance(parent, ast.Call) and function.name_of(parent.func) in _ANY_ORDER


def _sets_in(function: Function, book: Book) -> set[str]:
    """Names that stand for sets, and for nothing else."""
    arguments = [*function.node.args.args, *function.node.args.kwonlyargs]
    found = {a.arg for a in arguments if a.annotation is not None and _says_set(a.annotation, function)}
    others: set[str] = set()
    for node in function.nodes:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)}
            if _is_set(node.value, function, book, found):
                found |= names
            else:
                others |= names
        elif isinstance(node, ast.Call) and any(_is_task(argument, function) for argument in node.args):
            match node.func:
                case ast.Attribute(attr="add", value=ast.Name(id=name)):
                    others.add(name)
    return found - others


def _says_set(node: ast.AST | None, function: Function) -> bool:
    """Whether an annotation is that of a set of something that has another order in every process."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            node = ast.parse(node.value, mode="eval").body
        except SyntaxError:
            return False
    if isinstance(node, ast.BinOp):
        return _says_set(node.left, function) or _says_set(node.right, function)
    if isinstance(node, ast.Subscript):
        return function.name_of(node.value) in _SAYS and function.name_of(node.slice) not in _NUMBERS
    return node is not None and function.name_of(node) in _SAYS


def _is_task(node: ast.AST, function: Function) -> bool:
    """Sets of tasks have one order: the loop of a workflow sees to that."""
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else function.name_of(node.func)
    return name.rpartition(".")[2] in _MAKES_TASKS


def _is_set(node: ast.AST, function: Function, book: Book, sets: set[str]) -> bool:
    def is_set(part: ast.AST) -> bool:
        return _is_set(part, function, book, sets)

    if isinstance(node, ast.Set):
        numbers = all(isinstance(item, ast.Constant) and isinstance(item.value, int | float) for item in node.elts)
        return not numbers and not all(_is_task(item, function) for item in node.elts)
    if isinstance(node, ast.SetComp):
        return not _is_task(node.elt, function)
    if isinstance(node, ast.Name | ast.Attribute):
        return node.id in sets if _is_local(node, function) else _is_set_at_top(node, function, book)
    if isinstance(node, ast.BinOp) and isinstance(node.op, _OPERATIONS):
        return is_set(node.left) or is_set(node.right)
    if isinstance(node, ast.IfExp):
        return is_set(node.body) or is_set(node.orelse)
    if isinstance(node, ast.Await):
        return isinstance(node.value, ast.Call) and _gives_set(node.value, function, book)
    if isinstance(node, ast.Call):
        name = function.name_of(node.func)
        if name in _MAKES:
            return not (node.args and _is_of_numbers(node.args[0]))
        if name == "builtins.iter" and node.args:
            return is_set(node.args[0])
        if isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS and is_set(node.func.value):
            return True
        return not _is_awaited(name, book) and _gives_set(node, function, book)
    return False


def _is_local(node: ast.Name | ast.Attribute, function: Function) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and node.id in function.locals


def _is_of_numbers(node: ast.expr) -> bool:
    """range(3), or a list of numbers that is written down."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "range"
    if not isinstance(node, ast.List | ast.Tuple | ast.Set):
        return False
    return all(isinstance(item, ast.Constant) and isinstance(item.value, int | float) for item in node.elts)


def _is_set_at_top(node: ast.expr, function: Function, book: Book) -> bool:
    """Whether a name at the top of a module was given a set with something in it, the only time."""
    found = value_of(node, function, book)
    if found is None or found[2]:
        return False
    value, within, _ = found
    is_empty = isinstance(value, ast.Call) and not value.args
    return not is_empty and not isinstance(value, ast.Name | ast.Attribute) and _is_set(value, within, book, set())


def _gives_set(call: ast.Call, function: Function, book: Book) -> bool:
    """Whether a function of the script, or a step of it, says that it gives a set."""
    called = call.args[1] if function.name_of(call.func) == "dwf.step" and len(call.args) > 1 else call.func
    known = book.functions.get(function.name_of(called))
    return known is not None and _says_set(known.node.returns, known)


def _is_awaited(name: str, book: Book) -> bool:
    known = book.functions.get(name)
    return known is None or bool(known.kind) or isinstance(known.node, ast.AsyncFunctionDef)

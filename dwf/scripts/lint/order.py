"""The order of sets: it is another one in every process, and what it decides is not the same twice."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from dwf.scripts.lint.book import Book, Function
from dwf.scripts.lint.rules import Finding

_CURE = "put it in order first: sorted(...)"
_MAKES = {"builtins.set", "builtins.frozenset"}
_OPERATIONS = (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)
_MAKES_TASKS = {"create_task", "ensure_future"}
_METHODS = {"union", "intersection", "difference", "symmetric_difference", "copy"}
# What takes the items in the order in which they come.
_TAKES_ORDER = {f"builtins.{name}" for name in "list tuple enumerate iter map filter zip reversed".split()}
_TAKES_ORDER |= {"itertools.chain", "itertools.islice", "functools.reduce", "asyncio.gather", "dwf.map"}
_COLLECTS = {"append", "extend", "insert", "put_nowait", "create_task", "info", "warning"}
# What comes out the same in any order.
_ANY_ORDER = {f"builtins.{name}" for name in "sorted set frozenset sum len any all min max dict".split()}


def set_order(function: Function, _: Book) -> Iterator[Finding]:
    """Where the items of a set are taken one by one, and their order tells."""
    sets = _sets_in(function)

    def is_set(node: ast.AST) -> bool:
        return _is_set(node, function, sets)

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


def _sets_in(function: Function) -> set[str]:
    """Names that stand for sets, and for nothing else."""
    arguments = [*function.node.args.args, *function.node.args.kwonlyargs]
    found = {a.arg for a in arguments if a.annotation is not None and _says_set(a.annotation, function)}
    others: set[str] = set()
    for node in function.nodes:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)}
            if _is_set(node.value, function, found):
                found |= names
            else:
                others |= names
        elif isinstance(node, ast.Call) and any(_is_task(argument, function) for argument in node.args):
            match node.func:
                case ast.Attribute(attr="add", value=ast.Name(id=name)):
                    others.add(name)
    return found - others


def _says_set(node: ast.AST, function: Function) -> bool:
    base = node.value if isinstance(node, ast.Subscript) else node
    return function.name_of(base) in _MAKES


def _is_task(node: ast.AST, function: Function) -> bool:
    """Sets of tasks have one order: the loop of a workflow sees to that."""
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else function.name_of(node.func)
    return name.rpartition(".")[2] in _MAKES_TASKS


def _is_set(node: ast.AST, function: Function, sets: set[str]) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return not all(_is_task(item, function) for item in (node.elts if isinstance(node, ast.Set) else [node.elt]))
    if isinstance(node, ast.Name):
        return node.id in sets
    if isinstance(node, ast.BinOp) and isinstance(node.op, _OPERATIONS):
        return _is_set(node.left, function, sets) or _is_set(node.right, function, sets)
    if isinstance(node, ast.IfExp):
        return _is_set(node.body, function, sets) or _is_set(node.orelse, function, sets)
    if isinstance(node, ast.Call):
        if function.name_of(node.func) in _MAKES:
            return True
        if function.name_of(node.func) == "builtins.iter" and node.args:
            return _is_set(node.args[0], function, sets)
        return (
            isinstance(node.func, ast.Attribute)
            and node.func.attr in _METHODS
            and _is_set(node.func.value, function, sets)
        )
    return False

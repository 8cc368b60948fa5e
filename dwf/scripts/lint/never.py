"""Never awaited: steps and waits that are written down and not made, because what a call gives is not awaited."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from dwf.scripts.lint.book import Book, Function, own
from dwf.scripts.lint.kinds import makes_coroutine
from dwf.scripts.lint.rules import Finding

_ANEW = "dwf.continue_as_new"
_HELD = {"dwf.lock", "dwf.saga"}
"""What does something only while a block of it is open."""
# Functions that look at a value. Others may await what they are given.
_LOOK = {f"builtins.{name}" for name in "print str repr len int float bool sorted sum list tuple set dict".split()}
_LOOK |= {"json.dumps", "dwf.status", "dwf.memo", "dwf.tag", "dwf.degrade"}
_OF_COROUTINES = {"close", "send", "throw"}
_ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def never_awaited(function: Function, book: Book) -> Iterator[Finding]:
    """Calls in a function that do nothing, for nobody awaits what they make."""
    for node in function.nodes:
        if not isinstance(node, ast.Call):
            continue
        parent, name, said = function.parents.get(node), function.name_of(node.func), ast.unparse(node.func)
        if isinstance(parent, ast.Expr) and name == _ANEW:
            yield _found(function, node, f"{said}() is not returned: it does nothing", f"return {said}(...)")
        elif isinstance(parent, ast.Expr) and name in _HELD:
            yield _found(function, node, f"{said}() is not entered: it does nothing", f"async with {said}(...):")
        elif makes_coroutine(node, function, book) and _is_lost(node, parent, function):
            yield _found(function, node, f"{said}() is never awaited: it does nothing", f"write: await {said}(...)")


def _is_lost(call: ast.Call, parent: ast.AST | None, function: Function) -> bool:
    if isinstance(parent, ast.Expr) or _takes_value(parent, call, function):
        return True
    if isinstance(parent, ast.Return):
        # What a workflow returns is stored. A function in it may hand on what its caller awaits.
        return function.kind == "workflow" and parent in own(function.node)
    if isinstance(parent, ast.Assign):
        return len(parent.targets) == 1 and _is_forgotten(parent.targets[0], function)
    return isinstance(parent, ast.AnnAssign) and _is_forgotten(parent.target, function)


def _is_forgotten(target: ast.expr, function: Function) -> bool:
    """Whether nobody comes back to a name for the sake of awaiting it: it is never used, or used as if it were done."""
    if not isinstance(target, ast.Name):
        return False
    nodes = function.uses[target.id]
    loads = [n for n in nodes if isinstance(n.ctx, ast.Load)]
    if not loads:
        return True
    if len(nodes) - len(loads) != 1:
        return False
    return all(_looks_at(function.parents.get(n), n, function) for n in loads)


def _looks_at(parent: ast.AST | None, name: ast.Name, function: Function) -> bool:
    """As `_takes_value`, of a name: that may be asked whether it is there, and for what coroutines have."""
    if isinstance(parent, ast.Compare):
        constant = isinstance(parent.left, ast.Constant) or isinstance(parent.comparators[0], ast.Constant)
        return all(isinstance(op, _ORDER) or (isinstance(op, ast.Eq | ast.NotEq) and constant) for op in parent.ops)
    if isinstance(parent, ast.Attribute) and parent.attr in _OF_COROUTINES:
        return False
    return _takes_value(parent, name, function)


def _takes_value(parent: ast.AST | None, node: ast.expr, function: Function) -> bool:
    """Whether what an expression stands in wants its value here and now."""
    match parent:
        case ast.Compare() | ast.BinOp() | ast.FormattedValue() | ast.Starred() | ast.Attribute():
            return True
        case ast.Subscript():
            return parent.value is node
        case ast.UnaryOp():
            return isinstance(parent.op, ast.Not | ast.USub)
        case ast.If() | ast.While() | ast.IfExp() | ast.Assert():
            return parent.test is node
        case ast.AugAssign():
            return parent.value is node
        case ast.Match():
            return parent.subject is node
        case ast.withitem():
            return parent.context_expr is node
        case ast.BoolOp():
            return parent.values[-1] is not node
        case ast.For():
            return parent.iter is node
        case ast.comprehension():
            return parent.iter is node and not parent.is_async
        case ast.Call():
            name = function.name_of(parent.func)
            return node in parent.args and (name in _LOOK or name.startswith("dwf.log."))
    return False


def _found(function: Function, node: ast.Call, what: str, cure: str) -> Finding:
    return Finding("DWF301", function.module.file, node.lineno, node.col_offset + 1, what, cure)

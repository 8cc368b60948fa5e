"""Kinds: of what class an expression is, and what a call of it makes, where that can be told by reading.

A name is believed only if it is given a value once; what could be one thing or another is nothing known.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import get_type_hints

import dwf
from dwf.scripts.lint.book import AnyFunction, Book, Function, Module, kind_of, own

# A class of the script by its dotted name, or one of dwf.
Kind = str | type[object]
_PLAIN = {"builtins.staticmethod", "builtins.classmethod", "typing.override"}
_DEPTH = 8


@cache
def _awaitables() -> frozenset[str]:
    """The functions of dwf and of asyncio that do nothing before they are awaited."""
    ours = [f"dwf.{name}" for name in dwf.__all__ if inspect.iscoroutinefunction(getattr(dwf, name))]
    return frozenset([*ours, *(f"asyncio.{name}" for name in ("sleep", "wait", "wait_for"))])


def makes_coroutine(call: ast.Call, function: Function, book: Book) -> bool:
    """Whether the call by itself does nothing: what it makes has to be awaited."""
    return _called(call.func, function, book, _DEPTH)


def _called(target: ast.expr, function: Function, book: Book, depth: int) -> bool:
    if depth == 0:
        return False
    if isinstance(target, ast.Call):
        of = target.func
        if not isinstance(of, ast.Attribute) or of.attr != "options":
            return False
        return _called(of.value, function, book, depth - 1)
    name = function.name_of(target)
    if name in book.functions:
        return _is_async(book.functions[name])
    if name in _awaitables():
        return True
    if isinstance(target, ast.Name) and not name and (inner := function.inner.get(target.id)):
        return all(_is_async(_inner(node, function)) for node in inner)
    if (found := value_of(target, function, book)) is not None:
        value, within, entered = found
        return not entered and _called(value, within, book, depth - 1)
    if isinstance(target, ast.Attribute):
        return _has_async(_kind(target.value, function, book, depth - 1), target.attr, book)
    return False


def _inner(node: AnyFunction, function: Function) -> Function:
    kind = kind_of(node, function)
    return Function(node, function.module, "", kind, names=function.names, locals=function.locals)


def _is_async(function: Function) -> bool:
    """Whether a call of it makes a coroutine; not so for generators, and for what some decorator has made of it."""
    if function.kind:
        return True
    if not isinstance(function.node, ast.AsyncFunctionDef) or not set(_marks(function)) <= _PLAIN:
        return False
    return not any(isinstance(n, ast.Yield | ast.YieldFrom) for n in own(function.node))


def _marks(function: Function) -> Iterator[str]:
    for mark in function.node.decorator_list:
        yield function.name_of(mark.func if isinstance(mark, ast.Call) else mark)


# -- of what class ----------------------------------------------------------------------------------------------


def _kind(node: ast.expr, function: Function, book: Book, depth: int) -> Kind | None:
    if depth <= 0:
        return None
    if isinstance(node, ast.Await):
        return _kind(node.value, function, book, depth - 1) if isinstance(node.value, ast.Call) else None
    if isinstance(node, ast.Call):
        return _result(node.func, function, book)
    if isinstance(node, ast.Name) and (kind := _of_parameter(node.id, function, book)) is not None:
        return kind
    if (found := value_of(node, function, book)) is None:
        return None
    value, within, entered = found
    kind = _kind(value, within, book, depth - 1)
    return _entered(kind, book) if entered else kind


def _result(called: ast.expr, function: Function, book: Book) -> Kind | None:
    """What a call comes to, once it is awaited if it has to be."""
    name = function.name_of(called)
    if name in book.classes:
        return name
    if name in book.functions:
        known = book.functions[name]
        return _annotated(known.node.returns, known, book)
    home, _, attribute = name.rpartition(".")
    return _of_dwf(attribute) if home == "dwf" else None


@cache
def _of_dwf(name: str) -> Kind | None:
    found = getattr(dwf, name, None)
    with suppress(NameError, TypeError):
        kind = found if isinstance(found, type) else get_type_hints(found).get("return")
        return kind if isinstance(kind, type) and kind.__module__.startswith("dwf.") else None
    return None


def _of_parameter(name: str, function: Function, book: Book) -> Kind | None:
    given = function.node.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    position = next((i for i, argument in enumerate(arguments) if argument.arg == name), None)
    if position is None or _stores(name, function):
        return None
    if position == 0 and function.owner and "builtins.staticmethod" not in _marks(function):
        return function.owner
    return _annotated(arguments[position].annotation, function, book)


def _annotated(annotation: ast.expr | None, function: Function, book: Book) -> Kind | None:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        with suppress(SyntaxError):
            annotation = ast.parse(annotation.value, mode="eval").body
    name = function.name_of(annotation) if annotation is not None else ""
    if name in book.classes:
        return name
    kind = _of_dwf(name.removeprefix("dwf.")) if name.startswith("dwf.") else None
    return kind if kind is getattr(dwf, name.removeprefix("dwf."), None) else None


def _entered(kind: Kind | None, book: Book) -> Kind | None:
    """What `as` gives: most often the thing itself."""
    if kind is None:
        return None
    if isinstance(kind, type):
        enter = getattr(kind, "__aenter__", getattr(kind, "__enter__", None))
        with suppress(NameError, TypeError):
            found = get_type_hints(enter).get("return") if enter is not None else None
            return found if isinstance(found, type) else None
        return None
    for name in ("__aenter__", "__enter__"):
        method = _method(kind, name, book)
        if method is not None and any(_gives_self(n, method) for n in own(method.node)):
            return kind
    return None


def _gives_self(node: ast.AST, method: Function) -> bool:
    names = [argument.arg for argument in method.node.args.args[:1]]
    return isinstance(node, ast.Return) and isinstance(node.value, ast.Name) and node.value.id in names


def _has_async(kind: Kind | None, name: str, book: Book) -> bool:
    if isinstance(kind, type):
        return inspect.iscoroutinefunction(getattr(kind, name, None))
    method = _method(kind, name, book) if kind is not None else None
    return method is not None and _is_async(method)


def _method(kind: str, name: str, book: Book) -> Function | None:
    """The method of that name, of a class or of the first of its bases that has it, as far as these are local."""
    todo, seen = [kind], set()
    while todo:
        one = todo.pop(0)
        if one not in book.classes or one in seen:
            return None
        seen.add(one)
        if (found := book.functions.get(f"{one}.{name}")) is not None:
            return found
        top = book.modules[one.rpartition(".")[0]].top
        bases = map(top.name_of, book.classes[one].bases)
        todo += [base for base in bases if base not in ("builtins.object", "abc.ABC")]
    return None


# -- what a name was given --------------------------------------------------------------------------------------


def value_of(node: ast.expr, function: Function, book: Book) -> tuple[ast.expr, Function, bool] | None:
    """What a name was given, the only time: the expression, where it stands, and whether it is `with ... as name`."""
    if isinstance(node, ast.Name) and node.id in function.locals:
        return _given(node.id, function)
    home, _, name = function.name_of(node).rpartition(".")
    module: Module | None = book.modules.get(home)
    if module is None and isinstance(node, ast.Name):
        module, name = function.module, node.id
    if module is None or name not in module.assigned:
        return None
    if name in module.shared:
        return None
    return _given(name, module.top)


def _given(name: str, within: Function) -> tuple[ast.expr, Function, bool] | None:
    stored = _stores(name, within)
    if len(stored) != 1 or stored[0] not in within.given:
        return None
    value, entered = within.given[stored[0]]
    return value, within, entered


def _stores(name: str, within: Function) -> list[ast.Name]:
    return [node for node in within.uses.get(name, ()) if not isinstance(node.ctx, ast.Load)]

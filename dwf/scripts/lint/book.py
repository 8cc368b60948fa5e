"""The book: the functions of a script and its local modules, what their names mean, and which are workflow code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from dwf.scripts.collect import Sources

AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef
# The function that they are handed, at that place, is run outside of the workflow.
_HAND_OUT = {"dwf.step": 1, "dwf.once": 0}
_OUTSIDE_KEYWORDS = {"verify"}
_WORKFLOW, _ACTIVITY = "dwf.workflow", "dwf.activity"


@dataclass
class Module:
    """One file. `names`: what its names stand for, as dotted paths: imports, and its own functions and classes."""

    file: str
    dotted: str
    tree: ast.Module
    names: dict[str, str] = field(default_factory=dict)
    assigned: set[str] = field(default_factory=set)
    """Names that its top gives values to."""

    @cached_property
    def shared(self) -> set[str]:
        """Names of its top that functions give values to."""
        return {name for node in ast.walk(self.tree) if isinstance(node, ast.Global) for name in node.names}

    @cached_property
    def top(self) -> Function:
        """What stands at its top, as if it were the body of a function without a name."""
        empty = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
        return Function(ast.FunctionDef("", empty, self.tree.body, []), self, self.dotted)


@dataclass(eq=False)
class Function:
    """A function of the script. kind: workflow, activity or "". nodes: what of it is workflow code, once it is read."""

    node: AnyFunction
    module: Module
    dotted: str
    kind: str = ""
    owner: str = ""
    """the class that it is a method of"""
    names: dict[str, str] = field(default_factory=dict)
    """imports within it"""
    locals: set[str] = field(default_factory=set)
    nodes: list[ast.AST] = field(default_factory=list)
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)

    def name_of(self, node: ast.AST) -> str:
        """What an expression stands for, as a dotted path (`time.time`); "" if it is nothing known."""
        if isinstance(node, ast.Attribute):
            base = self.name_of(node.value)
            return f"{base}.{node.attr}" if base else ""
        if not isinstance(node, ast.Name):
            return ""
        if node.id in self.names:
            return self.names[node.id]
        if node.id in self.locals:
            return ""
        return self.module.names.get(node.id, "" if node.id in self.module.assigned else f"builtins.{node.id}")

    @cached_property
    def uses(self) -> dict[str, list[ast.Name]]:
        """Every place of every name in it, the functions in it included; of a module's top, without these."""
        found: dict[str, list[ast.Name]] = {}
        for node in self._parts:
            if isinstance(node, ast.Name):
                found.setdefault(node.id, []).append(node)
        return found

    @cached_property
    def given(self) -> dict[ast.Name, tuple[ast.expr, bool]]:
        """What a place of a name is given there, and whether it is `with ... as name`."""
        found: dict[ast.Name, tuple[ast.expr, bool]] = {}
        for node in self._parts:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and len(node.targets) == 1:
                found[node.targets[0]] = node.value, False
            elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and isinstance(node.target, ast.Name) and node.value:
                found[node.target] = node.value, False
            elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
                found[node.optional_vars] = node.context_expr, True
        return found

    @cached_property
    def inner(self) -> dict[str, list[AnyFunction]]:
        """The functions in it, by name."""
        found: dict[str, list[AnyFunction]] = {}
        for node in self._parts:
            if isinstance(node, AnyFunction):
                found.setdefault(node.name, []).append(node)
        return found

    @cached_property
    def _parts(self) -> list[ast.AST]:
        return list(ast.walk(self.node) if self.node.name else own(self.node))


def own(node: ast.AST) -> Iterator[ast.AST]:
    """What is inside of it, without the functions in it."""
    todo = list(ast.iter_child_nodes(node))
    while todo:
        inner = todo.pop()
        if not isinstance(inner, AnyFunction | ast.Lambda):
            yield inner
            todo += ast.iter_child_nodes(inner)


class Book:
    """A script that is read. Raises nothing: it was parsed when it was collected."""

    def __init__(self, sources: Sources) -> None:
        self.modules = {module.dotted: module for module in map(_module, sources.files.items())}
        self.functions: dict[str, Function] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        for module in self.modules.values():
            self._index(module)
        self._reached: list[Function] = []
        self._named_classes: set[str] = set()
        self._attributes: set[str] = set()

    def _index(self, module: Module) -> None:
        for node in _top(module.tree):
            if isinstance(node, AnyFunction):
                self._add(node, module, f"{module.dotted}.{node.name}")
            elif isinstance(node, ast.ClassDef):
                name = f"{module.dotted}.{node.name}"
                self.classes[name] = node
                for inner in node.body:
                    if isinstance(inner, AnyFunction):
                        self._add(inner, module, f"{name}.{inner.name}", owner=name)

    def _add(self, node: AnyFunction, module: Module, dotted: str, owner: str = "") -> None:
        function = Function(node, module, dotted, owner=owner)
        function.names, function.locals = _imports(node, module.dotted), _locals(node)
        function.kind = kind_of(node, function)
        self.functions[dotted] = function

    @cached_property
    def methods(self) -> set[str]:
        """The names of the methods of all classes of the script, also of those within functions."""
        nodes = (node for module in self.modules.values() for node in ast.walk(module.tree))
        return {
            f.name for node in nodes if isinstance(node, ast.ClassDef) for f in node.body if isinstance(f, AnyFunction)
        }

    # -- what is workflow code ----------------------------------------------------------------------------------

    def workflow_code(self) -> list[Function]:
        """The workflows, and every function that they call or hand over, with the nodes that are theirs."""
        if self._reached:
            return self._reached
        todo = [function for function in self.functions.values() if function.kind == "workflow"]
        seen = set(todo)
        while todo:
            function = todo.pop()
            self._reached.append(function)
            others = list(self._read(function))
            fresh = [one for one in [*others, *self._methods()] if one not in seen and one.kind == ""]
            seen.update(fresh)
            todo += dict.fromkeys(fresh)
        return self._reached

    def _methods(self) -> Iterator[Function]:
        """Of the classes that workflow code names, the methods whose names it uses: of what object is not known."""
        for function in self.functions.values():
            if function.owner in self._named_classes and function.node.name in self._attributes:
                yield function

    def _read(self, function: Function) -> Iterator[Function]:
        inner = {node.name: node for node in ast.walk(function.node) if isinstance(node, AnyFunction)}
        inner.pop(function.node.name, None)
        begun: set[str] = set()
        todo: list[ast.AST] = list(reversed(function.node.body))
        while todo:
            node = todo.pop()
            if isinstance(node, AnyFunction | ast.ClassDef):
                continue
            function.nodes.append(node)
            if isinstance(node, ast.Name) and node.id in inner and node.id not in begun:
                begun.add(node.id)
                if kind_of(inner[node.id], function) == "":
                    todo += reversed(inner[node.id].body)
            elif isinstance(node, ast.Attribute):
                self._attributes.add(node.attr)
            yield from self._named(function.name_of(node) if isinstance(node, ast.Name | ast.Attribute) else "")
            for child in reversed(list(_inside(node, function))):
                function.parents[child] = node
                todo.append(child)

    def _named(self, dotted: str) -> Iterator[Function]:
        if dotted in self.functions:
            yield self.functions[dotted]
        elif dotted in self.classes:
            self._named_classes.add(dotted)
            for name in ("__init__", "__post_init__"):
                if f"{dotted}.{name}" in self.functions:
                    yield self.functions[f"{dotted}.{name}"]


def kind_of(node: AnyFunction, within: Function) -> str:
    """workflow, activity, or "" for a function that is neither."""
    for mark in node.decorator_list:
        name = within.name_of(mark.func if isinstance(mark, ast.Call) else mark)
        if name in (_WORKFLOW, _ACTIVITY):
            return name.removeprefix("dwf.")
    return ""


def _inside(node: ast.AST, function: Function) -> Iterator[ast.AST]:
    """The parts of a node that are run by the workflow: no annotations, nothing that is handed to a step."""
    if isinstance(node, ast.AnnAssign):
        yield from filter(None, (node.target, node.value))
    elif isinstance(node, ast.Call) and function.name_of(node.func) in _HAND_OUT:
        handed = _HAND_OUT[function.name_of(node.func)]
        yield from [node.func, *node.args[:handed], *node.args[handed + 1 :], *node.keywords]
    elif isinstance(node, ast.keyword) and node.arg in _OUTSIDE_KEYWORDS:
        return
    else:
        yield from ast.iter_child_nodes(node)


# -- modules and names ------------------------------------------------------------------------------------------


def _module(item: tuple[str, bytes]) -> Module:
    file, source = item
    dotted = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    module = Module(file, dotted, ast.parse(source))
    package = dotted if file.endswith("__init__.py") else dotted.rpartition(".")[0]
    for node in _top(module.tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module.names.update(_of_import(node, package))
        elif isinstance(node, AnyFunction | ast.ClassDef):
            module.names[node.name] = f"{dotted}.{node.name}"
        else:
            module.assigned |= {
                n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            }
    return module


def _top(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements of the top, also those under an `if` or a `try`."""
    todo: list[ast.stmt] = list(reversed(tree.body))
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            todo += [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt)]
            for handler in getattr(node, "handlers", ()):
                todo += handler.body


def _of_import(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
        return
    parts = package.split(".") if node.level else []
    base = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
    for alias in node.names:
        yield alias.asname or alias.name, f"{base}.{alias.name}"


def _imports(node: AnyFunction, dotted: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import | ast.ImportFrom):
            found.update(_of_import(inner, dotted.rpartition(".")[0]))
    return found


def _locals(node: AnyFunction) -> set[str]:
    """Names that are given values in a function: they mean nothing known there, whatever they mean at the top."""
    outer = {name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names}
    arguments = node.args
    found = {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
    found |= {a.arg for a in (arguments.vararg, arguments.kwarg) if a is not None}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            found.add(inner.id)
        elif isinstance(inner, AnyFunction | ast.ClassDef) and inner is not node:
            found.add(inner.name)
        elif isinstance(inner, ast.Lambda):
            found |= {a.arg for a in inner.args.args}
        elif isinstance(inner, ast.ExceptHandler) and inner.name:
            found.add(inner.name)
    return found - outer

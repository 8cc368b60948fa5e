"""Annotations of workflows and steps: what they are given and return must be storable as JSON."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from dwf.scripts.lint.book import AnyFunction, Book, Function, kind_of
from dwf.scripts.lint.rules import Finding

_CURE = "pass what can be stored: an id, a path, a dataclass; open it in the step that uses it"
# Kinds of things that are bound to a process, or that are no data. Whole modules end with a dot.
_NOT_DATA = (
    *"socket. threading. subprocess. multiprocessing. asyncio. concurrent.futures. io. sqlite3. logging.".split(),
    *"select. types. contextlib. weakref. queue. ssl. requests. httpx. aiohttp. paramiko.".split(),
)
_NAMES = {
    *(f"{home}.{name}" for home in ("typing", "collections.abc") for name in (
        "Callable", "Iterator", "Generator", "AsyncIterator", "AsyncGenerator", "Awaitable", "Coroutine")),
    *(f"typing.{name}" for name in ("IO", "TextIO", "BinaryIO", "Pattern", "Match")),
    *"re.Pattern re.Match builtins.Exception builtins.BaseException builtins.type builtins.memoryview".split(),
    *"builtins.complex builtins.range builtins.slice random.Random tempfile.NamedTemporaryFile".split(),
}  # fmt: skip


def storable(book: Book) -> Iterator[Finding]:
    """Annotations of workflows and activities that name what no history can hold."""
    for function in book.functions.values():
        for node in ast.walk(function.node):
            if isinstance(node, AnyFunction) and kind_of(node, function):
                yield from _of(node, function, book)


def _of(node: AnyFunction, function: Function, book: Book) -> Iterator[Finding]:
    arguments = node.args
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
        yield from _looked_at(argument.annotation, f"parameter {argument.arg} of {node.name}", function, book)
    yield from _looked_at(node.returns, f"the result of {node.name}", function, book)


def _looked_at(annotation: ast.expr | None, what: str, function: Function, book: Book) -> Iterator[Finding]:
    if annotation is None:
        return
    place = annotation
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except SyntaxError:
            return
    for part in _names(annotation):
        name = function.name_of(part)
        if name in _NAMES or name.startswith(_NOT_DATA) or _is_plain(name, book):
            said = f"{what} is {ast.unparse(part)}, which cannot be stored"
            yield Finding("DWF401", function.module.file, place.lineno, place.col_offset + 1, said, _CURE)
            return


def _is_plain(name: str, book: Book) -> bool:
    """Whether it is a class of the script that nothing has made data: no decorator, no base, no metaclass."""
    node = book.classes.get(name)
    if node is None or node.decorator_list or node.keywords:
        return False
    return all(isinstance(base, ast.Name) and base.id == "object" for base in node.bases)


def _names(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Name | ast.Attribute):
        yield node
        return
    for child in ast.iter_child_nodes(node):
        yield from _names(child)

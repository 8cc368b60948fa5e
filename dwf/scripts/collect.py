"""Collecting: a script and the local modules that it imports, found by reading, not by running."""

from __future__ import annotations

import ast
import errno
import os
import stat
import sys
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from dwf.errors import NotFound, NotPermitted, ScriptRefused

SOURCE_LIMIT = 4 * 1024 * 1024
# The program that runs the script is not part of the script, wherever the script lies.
_NEVER_LOCAL = ("dwf",)
# Up to 3.12 Python keeps one count of depth for all threads that make syntax trees, and fails when it does not add up.
_PARSING = threading.Lock()


@dataclass(frozen=True)
class Sources:
    """A script as bytes. `files` by relative POSIX path; `main` is one of them; `origin` the directory they came from.

    `owner` is the uid that owns the script's file, `permissions` are its mode bits in octal ("" if not known).
    `imports`: what it imports that is neither local nor Python's own, up to the first dot.
    """

    main: str
    files: dict[str, bytes]
    origin: str
    owner: int
    permissions: str = ""
    imports: tuple[str, ...] = ()


def collect(path: str) -> Sources:
    """The script at `path` with its local modules.

    Raises NotFound (4), NotPermitted (77), ScriptRefused (2) for what is no regular file or does not parse.
    """
    script = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links and change the directory
    source, about = _read(script, path)
    files = {script.name: source}
    todo = [(script.name, source)]
    imported: set[str] = set()
    while todo:
        name, text = todo.pop()
        tree = _parse(text, script.parent / name)
        imported |= _imported(tree)
        for found in _local_imports(script.parent, name, tree):
            if found not in files:
                files[found], _ = _read(script.parent / found, found)
                todo.append((found, files[found]))
    permissions = f"{stat.S_IMODE(about.st_mode):04o}"
    return Sources(script.name, files, str(script.parent), about.st_uid, permissions, _foreign(imported, files))


def stored(main: str, files: dict[str, bytes], origin: str, owner: int, permissions: str = "") -> Sources:
    """The same of a script that is stored, as if its files lay at `origin`. Raises ScriptRefused (2)."""
    trees = (_parse(text, Path(origin, name)) for name, text in files.items())
    imported = set[str]().union(*map(_imported, trees))
    return Sources(main, files, origin, owner, permissions, _foreign(imported, files))


def _foreign(imported: set[str], files: Collection[str]) -> tuple[str, ...]:
    local = {name.partition("/")[0].removesuffix(".py") for name in files}
    return tuple(sorted(imported - local - sys.stdlib_module_names - set(_NEVER_LOCAL)))


def _read(path: Path, shown: str) -> tuple[bytes, os.stat_result]:
    try:
        # Non-blocking: a FIFO must not make `dwf start` wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(what=f"there is no script {shown}", hint=_beside(path)) from None
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise NotPermitted(what=f"{shown} cannot be read: {os.strerror(error.errno)}") from None
        raise ScriptRefused(path=shown, why=os.strerror(error.errno or 0), hint="give the path of a .py file") from None
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        os.close(descriptor)
        raise ScriptRefused(path=shown, why="it is not a regular file", hint="give the path of a .py file")
    with os.fdopen(descriptor, "rb") as file:
        source = file.read(SOURCE_LIMIT + 1)
    if len(source) > SOURCE_LIMIT:
        raise ScriptRefused(path=shown, why=f"it is larger than {SOURCE_LIMIT:,} bytes", hint="dwf help bounds")
    return source, about


def _beside(path: Path) -> str:
    """What may have been meant by a script that is not there: one with nearly that name, or what else lies there."""
    from difflib import get_close_matches

    try:
        names = sorted(p.name for p in path.parent.iterdir() if p.suffix == ".py")[:500]
    except OSError:
        return f"there is no directory {path.parent}"
    close = get_close_matches(path.name, [*names, *(name.removesuffix(".py") for name in names)], 1, 0.6)
    if close:
        return f"did you mean {path.with_name(close[0].removesuffix('.py') + '.py')}?"
    if not names:
        return f"there is no .py file in {path.parent}"
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"in {path.parent} there is {', '.join(names[:6])}{more}"


def _parse(source: bytes, path: Path) -> ast.Module:
    try:
        with _PARSING:
            return ast.parse(source, str(path))
    except SyntaxError as error:
        at = f":{error.lineno}" if error.lineno else ""  # none for a file with zero bytes in it
        hint = f"mend line {error.lineno} of {path}; nothing was changed" if at else "is that a script?"
        raise ScriptRefused(path=f"{path}{at}", why=f"syntax error: {error.msg}", hint=hint) from None
    except (ValueError, RecursionError, MemoryError) as error:
        hint = f"mend {path}; nothing was changed"
        raise ScriptRefused(path=str(path), why=f"it cannot be parsed: {error}", hint=hint) from None


def _imported(tree: ast.Module) -> set[str]:
    """The names up to the first dot of all that is imported, wherever it stands; without what is relative."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def _local_imports(base: Path, importer: str, tree: ast.Module) -> Iterator[str]:
    package = importer.split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_of(base, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            parts = start + (node.module.split(".") if node.module else [])
            if parts:
                yield from _files_of(base, parts)
            for alias in node.names:
                yield from _files_of(base, [*parts, alias.name])


def _files_of(base: Path, parts: list[str]) -> Iterator[str]:
    """The files that an import of a.b.c loads if they lie here: a/__init__.py, a/b/__init__.py, a/b/c.py."""
    if parts[0] in _NEVER_LOCAL or not all(part.isidentifier() for part in parts):
        return
    for depth in range(1, len(parts) + 1):
        stem = "/".join(parts[:depth])
        for name in (f"{stem}/__init__.py", f"{stem}.py"):
            if (base / name).is_file():
                yield name
                break

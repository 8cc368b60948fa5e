"""Walls and floors: core touches nothing, imports go down only, and no two modules import each other."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "dwf"
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
CORE = [name for name in MODULES if name.startswith("dwf.core")]
# Standard library modules that only compute.
PURE = {
    "__future__",
    "asyncio",
    "collections",
    "contextlib",
    "contextvars",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "gc",
    "hashlib",
    "itertools",
    "json",
    "linecache",
    "operator",
    "math",
    "pathlib",
    "random",
    "re",
    "sys",
    "threading",
    "traceback",
    "types",
    "typing",
    "unicodedata",
    "uuid",
    "warnings",
}
EXCEPTIONS = {
    ("dwf.core.guard", "os"): "to put a check before os.stat and its like; nothing is asked",
    ("dwf.core.guard", "posixpath"): "to put a check before expanduser",
    ("dwf.core.guard", "time"): "to put a check before time.sleep; no clock is read",
    ("dwf.core.closing", "ctypes"): "to keep a coroutine from the collector for good",
}
# What pure modules have to offer that is not pure.
IMPURE_NAMES = {
    "open",
    "input",
    "print",
    "exec",
    "eval",
    "__import__",
    "Thread",
    "read_text",
    "write_text",
    "read_bytes",
    "write_bytes",
    "mkdir",
    "unlink",
    "iterdir",
    "exists",
    "now",
    "utcnow",
    "today",
    "uuid1",
    "uuid4",
    "run_in_executor",
    "SystemRandom",
}
FLOORS = [
    {"dwf.errors"},
    {"dwf.core"},
    {"dwf.host"},
    {"dwf.store", "dwf.activities", "dwf.authoring"},
    {"dwf.scripts"},
    {"dwf.engine", "dwf.observe"},
    {"dwf.testing"},
    {"dwf.cli"},
    {"dwf", "dwf.__main__"},
]


def imports(name: str, *, at_run_time_only: bool = False) -> Iterator[str]:
    """The modules that a module imports, wherever in it; without those for type checkers only, if asked."""
    path = MODULES[name]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if at_run_time_only and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skipped.update(inner for part in node.body for inner in ast.walk(part))
        if at_run_time_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            skipped.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in MODULES else base


def floor_of(module: str) -> int | None:
    parts = module.split(".")
    room = ".".join(parts[:2])
    return next((n for n, rooms in enumerate(FLOORS) if room in rooms), None)


@pytest.mark.parametrize("name", CORE)
def test_core_imports_only_what_computes(name: str) -> None:
    for imported in imports(name):
        top = imported.partition(".")[0]
        allowed = top in PURE or top == "msgspec" or (name, top) in EXCEPTIONS
        allowed = allowed or imported == "dwf.errors" or imported.startswith("dwf.core")
        assert allowed, f"{name} imports {imported}"


@pytest.mark.parametrize("name", CORE)
def test_core_calls_nothing_that_reaches_out(name: str) -> None:
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert called not in IMPURE_NAMES, f"{name}:{node.lineno} calls {called}"


def test_importing_core_loads_nothing_that_reaches_out() -> None:
    """Beyond what asyncio and msgspec load themselves."""
    code = (
        "import sys, asyncio, msgspec; before = set(sys.modules); import dwf.core.replay, dwf.core.state;"
        "print(' '.join(sorted(set(sys.modules) - before)))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    outside = {
        "sqlite3",
        "fcntl",
        "tempfile",
        "urllib.request",
        "http",
        "shutil",
        "ctypes",
        "filelock",
        "typer",
        "rich",
    }
    assert not outside & set(loaded)


@pytest.mark.parametrize("name", list(MODULES))
def test_imports_go_down_only(name: str) -> None:
    own = floor_of(name) if name.count(".") else len(FLOORS) - 1
    assert own is not None, f"{name} is on no floor: say where it belongs"
    for imported in imports(name):
        if not imported.startswith("dwf"):
            continue
        floor = floor_of(imported) if imported.count(".") else None
        room, other = ".".join(name.split(".")[:2]), ".".join(imported.split(".")[:2])
        if imported == "dwf" or room == other:
            continue
        assert floor is not None, f"{name} imports {imported}, which is on no floor"
        assert floor < own, f"{name} (floor {own}) imports {imported} (floor {floor})"


def test_no_two_modules_import_each_other() -> None:
    graph = {name: {i for i in imports(name, at_run_time_only=True) if i in MODULES} - {name} for name in MODULES}
    while graph:
        free = [name for name, wanted in graph.items() if not wanted & graph.keys()]
        assert free, f"a circle among {sorted(graph)}"
        for name in free:
            del graph[name]

"""The shape of the house: what lies where, how large it may get, what is promised, and what nobody may do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dwf

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "dwf").rglob("*.py"))
TOP_LEVEL = {"pyproject.toml", "dwf", "tests", "examples", "completions", "README.md", "LICENSE"}
# What building and testing leave behind.
LEFT_BEHIND = {"build", "dist", "dwf_runner.egg-info"}
LONGEST_MODULE = 400
# All errors stand in one file, one tree: a list, which nobody reads from top to bottom.
LONGEST_LIST = 600
LONGEST_FUNCTION = 60
EXPORTS = """
    ActivityCancelled ActivityError ActivityTimeout Approval ApprovalRejected Child ChildError CompensationFailed
    Done DwfError Expected Failure Host Limit MapFailed NotDelivered Retry RetryAfter Shell activity activity_info
    approve callback cancel_run cleanup continue_as_new degrade deprecate_patch handlers_finished heartbeat info
    inventory
    lock log map memo now on_query on_signal on_unknown_signal on_update once patched poll random saga secret
    send_signal sh signals sleep sleep_until ssh start_child status step tag uuid4 wait_signal wait_signals
    wait_until workflow
""".split()


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def calls(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of each call: `print`, `sys.exit`, `yaml.load`."""
    for node in nodes(path):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def test_nothing_else_lies_at_the_top() -> None:
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found - TOP_LEVEL - LEFT_BEHIND == set()


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_a_module_fits_in_one_view(path: Path) -> None:
    longest = LONGEST_LIST if path == ROOT / "dwf" / "errors.py" else LONGEST_MODULE
    assert len(path.read_text(encoding="utf-8").splitlines()) <= longest


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_a_function_fits_on_one_page(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", [p for p in MODULES if p.stat().st_size], ids=shown)
def test_a_module_says_at_its_door_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_what_is_promised_is_this_and_it_is_there() -> None:
    assert sorted(dwf.__all__) == sorted(EXPORTS)
    for name in EXPORTS:
        home = getattr(dwf, name).__class__.__module__ if name == "log" else getattr(dwf, name).__module__
        assert home.startswith("dwf."), f"dwf.{name} comes from {home}"
    with pytest.raises(AttributeError):
        dwf.nothing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_nothing_stored_is_ever_run(path: Path) -> None:
    """Pickle, eval and their like turn data into code. Only a verified script is executed, in one room.

    Fails when a module imports pickle.
    """
    is_scripts = path.is_relative_to(ROOT / "dwf" / "scripts")
    for node in nodes(path):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {name.partition(".")[0] for name in names} & {"pickle", "marshal", "shelve", "yaml", "dill"}
    for line, name in calls(path):
        assert name not in ("eval", "builtins.eval", "pickle.loads", "marshal.loads", "yaml.load"), line
        assert is_scripts or name not in ("exec", "builtins.exec"), f"line {line}: {name}"


def imported(path: Path) -> Iterator[str]:
    """What a module imports, wherever in it: `a.b`, and `a.b.c` for `from a.b import c`."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


# What says names and versions. Entry points, which say what to load, are not among it.
NOTED = {f"importlib.metadata{name}" for name in ("", ".version", ".metadata", ".packages_distributions")}


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_nothing_is_loaded_because_it_is_installed(path: Path) -> None:
    """Plug-ins that come with whatever is installed would run as whoever drives the runs.

    Fails when a module asks what is installed; but for the one that notes versions, and asks for nothing else.
    """
    assert not {name.partition(".")[0] for name in imported(path)} & {"pkg_resources", "pkgutil", "stevedore"}
    asked = {name for name in imported(path) if name.startswith("importlib.metadata")}
    assert asked <= (NOTED if shown(path) == "dwf/scripts/packages.py" else set())


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_nothing_is_written_where_everybody_can_write(path: Path) -> None:
    """What is being written lies beside what it becomes; /tmp is for nobody.

    Fails when a module makes temporary files.
    """
    assert "tempfile" not in set(imported(path))
    strings = [node.value for node in nodes(path) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [text for text in strings if text.startswith(("/tmp/", "/var/tmp/", "/dev/shm/"))]


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_only_the_command_line_prints_and_exits(path: Path) -> None:
    if path.is_relative_to(ROOT / "dwf" / "cli") or path.name == "__main__.py":
        return
    for line, name in calls(path):
        assert name not in (
            "print",
            "sys.exit",
            "exit",
            "quit",
            "SystemExit",
            "sys.stdout.write",
            "sys.stderr.write",
        ), line


def test_no_document_of_the_planning_is_named_in_the_house() -> None:
    files = [
        p for d in ("dwf", "tests", "examples") for p in (ROOT / d).rglob("*") if p.suffix in (".py", ".md", ".toml")
    ]
    words = ["/".join(("", "work", "")), "DESIGN" + ".md", "PROTOCOL" + ".md", "RELIABILITY" + ".md", "REPLAY" + ".md"]
    for path in [*files, *ROOT.glob("*.*")]:
        if path.is_file() and path.name != ".git":  # a file in a linked checkout
            text = path.read_text(encoding="utf-8")
            assert not [word for word in words if word in text], shown(path)


@pytest.mark.parametrize("room", ["engine", "store"])
def test_the_map_of_a_room_names_each_of_its_modules(room: str) -> None:
    """Fails when a module is added that nobody finds from the room's front door, or one is named that has gone."""
    front = ROOT / "dwf" / room / "__init__.py"
    lines = (ast.get_docstring(ast.parse(front.read_text(encoding="utf-8"))) or "").splitlines()
    rows = [re.split(r" {2,}", line.strip())[0] for line in lines if re.match(r" {4}\w", line)]
    named = {word for row in rows for word in row.split()} | set(re.findall(r"(\w+)\.py", " ".join(lines)))
    there = {path.stem if path.suffix else path.name for path in front.parent.iterdir() if path.name[0] not in "_."}
    assert named == there

"""What workflow code reaches for outside: clock, chance, environment, files, network, processes, threads, waits."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from dwf.core import banned
from dwf.scripts.lint.book import Book, Function
from dwf.scripts.lint.rules import Finding

_BY_CURE = {
    banned.NOW: "DWF101",
    banned.CHANCE: "DWF102",
    banned.UUID: "DWF102",
    banned.ENVIRON: "DWF103",
    banned.THREAD: "DWF107",
    **dict.fromkeys((banned.SLEEP, banned.ASK, banned.BLOCKS, banned.LIMIT), "DWF108"),
    banned.END: "DWF106",
}
_NETWORK, _PROCESSES, _FILES = "DWF105", "DWF106", "DWF104"
_PROCESS_WORDS = (
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix",
    "os.spawn",
    "os.popen",
    "os.kill",
    "pty.",
)
# Whole modules that are there to reach out; a name in them that begins with a capital letter may be an error or a type.
_MODULES = {
    _NETWORK: "requests httpx urllib.request urllib3 aiohttp http.client ftplib smtplib imaplib poplib xmlrpc.client "
    "paramiko fabric boto3 psycopg psycopg2 pymysql redis pymongo websockets asyncpg",
    _PROCESSES: "subprocess multiprocessing pty pexpect",
    _FILES: "shutil tempfile glob fileinput fcntl",
    "DWF107": "concurrent.futures _thread",
}
_CALLS = {
    **dict.fromkeys("asyncio.to_thread threading.Thread threading.Timer".split(), "DWF107"),
    **dict.fromkeys(
        "asyncio.open_connection asyncio.start_server asyncio.open_unix_connection socket.socket".split(), _NETWORK
    ),
    **dict.fromkeys(
        "socket.create_connection socket.create_server socket.getfqdn urllib.request.urlopen".split(), _NETWORK
    ),
    **dict.fromkeys("asyncio.create_subprocess_exec asyncio.create_subprocess_shell".split(), _PROCESSES),
    **dict.fromkeys(
        "subprocess.Popen multiprocessing.Process multiprocessing.Pool os.waitpid os.wait".split(), _PROCESSES
    ),
    **dict.fromkeys("builtins.open io.open os.open os.read os.write os.close os.makedirs os.replace".split(), _FILES),
    **dict.fromkeys(
        "os.unlink os.removedirs os.renames sqlite3.connect codecs.open gzip.open bz2.open".split(), _FILES
    ),
    **dict.fromkeys(
        "pathlib.Path.cwd pathlib.Path.home zipfile.ZipFile tarfile.open tempfile.NamedTemporaryFile".split(), _FILES
    ),
    **dict.fromkeys("tempfile.TemporaryDirectory tempfile.TemporaryFile mmap.mmap".split(), _FILES),
    **dict.fromkeys("concurrent.futures.ThreadPoolExecutor concurrent.futures.ProcessPoolExecutor".split(), "DWF107"),
    "builtins.input": "DWF108",
    "os.nice": _PROCESSES,
}
_CURES = {
    "DWF107": banned.THREAD,
    "DWF108": banned.ASK,
    _FILES: banned.IN_ACTIVITY,
    _NETWORK: banned.IN_ACTIVITY,
    _PROCESSES: banned.IN_ACTIVITY,
}
# What only paths have; the rest of their methods is asked of what is known to be a path.
_OF_PATHS = set(
    "read_text write_text read_bytes write_bytes iterdir rglob is_file is_dir symlink_to hardlink_to".split()
)
_OF_KNOWN_PATHS = set(
    "exists stat lstat open touch mkdir rmdir unlink rename replace glob resolve chmod samefile owner "
    "is_symlink is_mount expanduser readlink group".split()
)
_PATHS = {f"pathlib.{name}" for name in ("Path", "PosixPath")}
_ON_PATHS = {"parent", "with_suffix", "with_name", "joinpath", "with_stem", "absolute"}


def outside(function: Function, book: Book) -> Iterator[Finding]:
    """What of it the guard would refuse when it is run, and what it cannot see."""
    known = _known()
    paths = _paths_in(function)
    for node in function.nodes:
        if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(getattr(node, "ctx", None), ast.Load):
            continue
        parent = function.parents.get(node)
        called = parent if isinstance(parent, ast.Call) and parent.func is node else None
        found = _of_name(function.name_of(node), called, known) or _of_method(
            node, called, function, paths, book.methods
        )
        if found is not None:
            code, what, cure = found
            yield Finding(code, function.module.file, node.lineno, node.col_offset + 1, what, cure)


def _known() -> dict[str, tuple[str, str]]:
    """The guard's names as they are written: code and cure."""
    known: dict[str, tuple[str, str]] = {}
    for home, names in banned.NAMES.items():
        for name, cure in names.items():
            for shown in [f"os.path.{name}", f"posixpath.{name}"] if home == "posixpath" else [f"{home}.{name}"]:
                known[shown] = (_BY_CURE.get(cure, _PROCESSES if shown.startswith(_PROCESS_WORDS) else _FILES), cure)
    for name in ("datetime", "date"):
        known.pop(f"datetime.{name}")
        known |= {f"datetime.{name}.{clock}": ("DWF101", banned.NOW) for clock in banned.CLOCKS[name]}
    for name, cure in banned.AUDITED.items():
        if name.partition(".")[0] in ("os", "shutil", "glob", "tempfile", "socket", "time", "sqlite3"):
            code = _BY_CURE.get(cure) or _by_word(name)
            known.setdefault(name, (code, cure))
    return known


def _by_word(name: str) -> str:
    if name.startswith(_PROCESS_WORDS):
        return _PROCESSES
    return _NETWORK if name.startswith("socket.") else _FILES


def _of_name(name: str, called: ast.Call | None, known: dict[str, tuple[str, str]]) -> tuple[str, str, str] | None:
    if not name:
        return None
    if name in known:
        code, cure = known[name]
        return None if _is_harmless(name, called) else (code, _said(name, called), cure)
    if called is None:
        return None
    code = _CALLS.get(name) or _of_module(name)
    return (code, _said(name, called), _CURES[code]) if code else None


def _is_harmless(name: str, called: ast.Call | None) -> bool:
    """A conversion of a time that is given, a seeded Random, a class that is only named."""
    last = name.rpartition(".")[2]
    if name == "random.Random":
        return called is None or bool(called.args or called.keywords)
    if called is None or not name.startswith(("time.", "email.utils.")):
        return False
    given = len(called.args) + sum(keyword.arg in banned.TIMES_GIVEN for keyword in called.keywords)
    return given >= banned.HARMLESS_WITH.get(last, 99)


def _of_module(name: str) -> str:
    for code, modules in _MODULES.items():
        for module in modules.split():
            rest = name.removeprefix(f"{module}.")
            if rest != name and rest and not rest.rpartition(".")[2][0].isupper():
                return code
    return ""


def _said(name: str, called: ast.Call | None) -> str:
    shown = name.removeprefix("builtins.")
    return f"{shown}{'()' if called is not None else ''} in workflow code"


# -- paths ------------------------------------------------------------------------------------------------------


def _of_method(
    node: ast.AST, called: ast.Call | None, function: Function, paths: set[str], own: set[str]
) -> tuple[str, str, str] | None:
    if called is None or not isinstance(node, ast.Attribute):
        return None
    if node.attr == "run_in_executor":
        return "DWF107", "run_in_executor() in workflow code", banned.THREAD
    base = function.name_of(node.value)
    if base and not base.startswith(("pathlib.", "builtins.")):
        return None
    is_only_of_paths = node.attr in _OF_PATHS and node.attr not in own
    if is_only_of_paths or (node.attr in _OF_PATHS | _OF_KNOWN_PATHS and _is_path(node.value, function, paths)):
        return _FILES, f"Path.{node.attr}() in workflow code", banned.IN_ACTIVITY
    return None


def _paths_in(function: Function) -> set[str]:
    """Names that stand for paths: parameters that say so, and what was made one."""
    arguments = [*function.node.args.args, *function.node.args.kwonlyargs]
    found = {a.arg for a in arguments if a.annotation is not None and function.name_of(a.annotation) in _PATHS}
    for node in function.nodes:
        if isinstance(node, ast.Assign) and _is_path(node.value, function, found):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def _is_path(node: ast.AST, function: Function, paths: set[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in paths
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return _is_path(node.left, function, paths)
    if isinstance(node, ast.Call):
        if function.name_of(node.func) in _PATHS:
            return True
        node = node.func
    return isinstance(node, ast.Attribute) and node.attr in _ON_PATHS and _is_path(node.value, function, paths)

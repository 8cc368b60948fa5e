"""Loading: a script's files as modules of their own, beside any other version of the same files.

Modules are named `<module>@<hash>`, which is also the file name in tracebacks, so that two versions live in one process
and a line of a stored version is never looked up in the file that has changed since. Imports between a script's own
files are served from its files; everything else goes to Python. Loaded modules are guarded (core/guard.py).
"""

from __future__ import annotations

import builtins
import logging
import sys
import threading
import traceback
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from errno import ENOMEM
from typing import Any

from dwf.authoring.workflow import Workflow
from dwf.core import guard, standins
from dwf.core.outcome import place, said
from dwf.core.replay import Program
from dwf.core.runtime import current, in_workflow
from dwf.errors import DiskError, DwfError, InternalError, NotFound, ScriptRefused
from dwf.scripts.cut import Aside, Cut

IMPORT_LIMIT_SECONDS = 10.0
_LATER = "put what takes long into a step: the script is loaded again and again"


class ImportTookTooLong(Cut):
    """Raised into a script whose top level does not come to an end."""


@dataclass(frozen=True)
class Script:
    """A loaded runbook. `mark` ends the file name of each of its code objects."""

    main: types.ModuleType
    mark: str
    workflows: dict[str, Workflow]
    modules: tuple[types.ModuleType, ...] = ()

    def program(self, workflow: str) -> Program:
        """The workflow as replay needs it. Raises NotFound."""
        return self.workflow(workflow).program(self.is_script)

    def workflow(self, name: str | None) -> Workflow:
        """The workflow of that name, or the only one, or of several the only one that is not imported.

        Raises NotFound or ScriptRefused with the candidates.
        """
        known = ", ".join(self.workflows)
        if name is None:
            own = [w for w in self.workflows.values() if w.function.__module__ == self.main.__name__]
            if len(self.workflows) == 1 or len(own) == 1:
                return next(iter(own or self.workflows.values()))
            path = str(self.main.__file__)
            raise ScriptRefused(path=path, why=f"it has several workflows: {known}", hint=f"say which: {path}:NAME")
        if name not in self.workflows:
            close = get_close_matches(name, self.workflows, 1)
            hint = f"did you mean {close[0]}?" if close else f"it has: {known}"
            raise NotFound(what=f"{self.main.__file__} has no workflow {name}", hint=hint)
        return self.workflows[name]

    def is_script(self, filename: str) -> bool:
        """Whether a code object of that file name is the script's own."""
        return filename.endswith(self.mark)


def load(
    files: Mapping[str, bytes], main: str, content: str, origin: str, limit_seconds: float | None = None
) -> Script:
    """Run the top level of a script's files. `content` is their hash, `origin` the directory they came from.

    limit_seconds: how long that may take, IMPORT_LIMIT_SECONDS if None. Raises ScriptRefused with file and line for
    whatever goes wrong in there, and for a script without a workflow.
    """
    guard.install()
    _listen_to_loggers()
    room = _Room(files, content[:7], origin)
    module = _loaded(room, main, f"{origin}/{main}", IMPORT_LIMIT_SECONDS if limit_seconds is None else limit_seconds)
    workflows = {w.name: w for w in vars(module).values() if isinstance(w, Workflow)}
    if not workflows:
        room.leave()
        raise ScriptRefused(
            path=f"{origin}/{main}",
            why="there is no workflow in it",
            hint="put @dwf.workflow above an `async def`",
        )
    return Script(module, room.mark, workflows, room.modules)


def _loaded(room: _Room, main: str, path: str, limit: float) -> types.ModuleType:
    loading = Aside(lambda: room.module(main.removesuffix(".py")), ImportTookTooLong)
    cut_at = loading.ended_within(limit)
    if cut_at is None and loading.result is not None:
        return loading.result
    room.leave()
    if cut_at is not None:
        at = f" ({cut_at})" if cut_at else ""
        raise ScriptRefused(path=f"{path}{at}", why=f"its top level still runs after {limit:g} s", hint=_LATER)
    if isinstance(loading.error, DiskError):
        raise loading.error
    error = loading.error
    if isinstance(error, MemoryError) or (error is not None and "failed to map segment" in said(error)):
        raise DiskError(operation="load", path=path, why="out of memory", errno=ENOMEM)  # no fault of the script
    if isinstance(loading.error, DwfError):
        raise ScriptRefused(path=path, why=loading.error.message, hint=loading.error.hint)
    raise _refused(loading.error or InternalError(what="it was not loaded"), path, room.mark)


class _Room:
    """The modules of one script, loaded once each."""

    def __init__(self, files: Mapping[str, bytes], mark: str, origin: str) -> None:
        self.mark = f"@{mark}"
        self._files = files
        self._origin = origin
        self._loaded: dict[str, types.ModuleType] = {}
        self._lock = threading.RLock()
        self._builtins = {**vars(builtins), "__import__": self._import, "print": _print, "input": _input}

    def module(self, dotted: str) -> types.ModuleType:
        """The module, its packages loaded before it. Raises ImportError, and whatever its top level raises."""
        with self._lock:
            found = self._loaded.get(dotted)
            if found is not None:
                return found
            if not self._has(dotted):
                raise ModuleNotFoundError(f"No module named {dotted!r}", name=dotted)
            parent = dotted.rpartition(".")[0]
            return self._run(dotted, self.module(parent) if parent else None)

    @property
    def modules(self) -> tuple[types.ModuleType, ...]:
        """All that were loaded."""
        return tuple(self._loaded.values())

    def leave(self) -> None:
        """Forget what was loaded, after a failure."""
        for module in self._loaded.values():
            sys.modules.pop(module.__name__, None)

    def _run(self, dotted: str, parent: types.ModuleType | None) -> types.ModuleType:
        module, name = self._made(dotted)
        leaf = dotted.rpartition(".")[2]
        self._loaded[dotted] = module
        # dataclasses and typing look a class's module up by name
        sys.modules[module.__name__] = module
        if parent is not None:
            setattr(parent, leaf, module)
        try:
            if name in self._files:
                code = compile(self._files[name], f"{name}{self.mark}", "exec", dont_inherit=True)
                exec(code, module.__dict__)  # the operator chose this file; its bytes were verified
                standins.protect(module.__dict__)
        except BaseException:
            # A script may go on without it, and may try again.
            del self._loaded[dotted]
            sys.modules.pop(module.__name__, None)
            if parent is not None:
                parent.__dict__.pop(leaf, None)
            raise
        return module

    def _made(self, dotted: str) -> tuple[types.ModuleType, str]:
        name, is_package = self._file(dotted)
        module = types.ModuleType(f"{dotted}{self.mark}")
        module.__file__ = f"{self._origin}/{name}"
        module.__package__ = dotted if is_package else dotted.rpartition(".")[0]
        module.__dict__["__loader__"] = _Source(self._files.get(name, b""))
        module.__dict__["__builtins__"] = self._builtins
        if is_package:
            module.__path__ = []
        return module, name

    def _file(self, dotted: str) -> tuple[str, bool]:
        stem = dotted.replace(".", "/")
        if f"{stem}/__init__.py" in self._files:
            return f"{stem}/__init__.py", True
        return f"{stem}.py", f"{stem}.py" not in self._files

    def _has(self, dotted: str) -> bool:
        stem = dotted.replace(".", "/")
        names = (f"{stem}.py", f"{stem}/__init__.py")
        return any(name in self._files for name in names) or any(f.startswith(f"{stem}/") for f in self._files)

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 - the protocol's own names
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        dotted = self._absolute(name, globals or {}, level)
        if not dotted or not self._has(dotted.partition(".")[0]):
            return self._foreign(name, globals, locals, fromlist, level)
        module = self.module(dotted)
        if not fromlist:
            return self._loaded[dotted.partition(".")[0]]
        for wanted in fromlist:
            if not hasattr(module, wanted) and self._has(f"{dotted}.{wanted}"):
                self.module(f"{dotted}.{wanted}")
        return module

    def _absolute(self, name: str, importer: Mapping[str, Any], level: int) -> str:
        if not level:
            return name
        parts = str(importer.get("__package__", "")).split(".")
        base = [part for part in parts[: len(parts) - level + 1] if part]
        return ".".join([*base, name] if name else base)

    @staticmethod
    def _foreign(name: str, globals: Any, locals: Any, fromlist: Any, level: int) -> Any:  # noqa: A002
        module = builtins.__import__(name, globals, locals, fromlist or (), level)
        if not guard.active():
            return module
        stand_in = standins.stand_in_for(module)
        return module if stand_in is None else stand_in


class _Source:
    """Gives tracebacks the lines that really ran."""

    def __init__(self, source: bytes) -> None:
        self._source = source

    def get_source(self, _: str) -> str:
        return self._source.decode("utf-8", "replace")


def _refused(error: BaseException, path: str, mark: str) -> ScriptRefused:
    where, mend = _where(error, path, mark)
    if isinstance(error, SystemExit):
        return ScriptRefused(path=where, why="it calls sys.exit() when it is loaded", hint="put that in a function")
    hint = f"mend {mend}; nothing was changed"
    if isinstance(error, ModuleNotFoundError) and error.name:
        hint = f"{mend} needs it: install it for {sys.executable}, or put {error.name}.py beside the script"
    return ScriptRefused(path=where, why=f"{type(error).__name__}: {said(error)}", hint=hint)


def _where(error: BaseException, path: str, mark: str) -> tuple[str, str]:
    """Where a script failed when it was loaded, for the sentence; and the file and line that are to be mended."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f"{path}:{error.lineno}", f"{path}:{error.lineno}"
    own = [line for line in traceback.extract_tb(error.__traceback__) if line.filename.endswith(mark)]
    if not own:
        return path, path
    file, line = own[-1].filename, own[-1].lineno or 0
    return f"{path} ({place(file, line)})", f"{path.rpartition('/')[0]}/{file.removesuffix(mark)}:{line}"


# -- what a script says -----------------------------------------------------------------------------------------


def _print(
    *values: object, sep: str | None = None, end: str | None = None, file: Any = None, flush: bool = False
) -> None:
    if in_workflow() and guard.active() and file is None:
        text = (" " if sep is None else sep).join(map(str, values)) + ("" if end in (None, "\n") else str(end))
        current("print").say(logging.INFO, "print", text)
        return
    builtins.print(*values, sep=sep, end=end, file=file, flush=flush)


def _input(prompt: object = "") -> str:
    guard.check("input()", "ask with dwf.approve(...) or wait for a signal: dwf.wait_signal(name)")
    return builtins.input(prompt)


class _WorkflowLogger(logging.Logger):
    """A logger that hands a workflow's lines to its run, which writes them once, after they are true."""

    def handle(self, record: logging.LogRecord) -> None:
        if not _told_to_run(record):
            super().handle(record)


def _told_to_run(record: logging.LogRecord) -> bool:
    if not (in_workflow() and guard.active()):
        return False
    current("log").say(record.levelno, record.name, record.getMessage())
    return True


def _listen_to_loggers() -> None:
    if logging.getLoggerClass() is not _WorkflowLogger:
        logging.setLoggerClass(_WorkflowLogger)
        logging.getLogger().addFilter(lambda record: not _told_to_run(record))

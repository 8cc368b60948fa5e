"""What a tester types: `dwf` in this process, or in one of its own, and what must hold of every answer.

In this process a command costs milliseconds; a process of its own is for what only a process has: a closed stdout, a
umask, limits, signals, another user.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dwf.cli.app import run as run_here
from dwf.cli.session import Session

ROOT = Path(__file__).resolve().parents[2]
PLAIN = """
    import dwf

    @dwf.activity
    def double(n: int) -> int:
        return 2 * n

    @dwf.workflow
    async def plain(n: int = 21) -> int:
        return await double(n)
"""
WAITS = """
    import dwf

    @dwf.workflow
    async def waits(name: str = "go") -> object:
        return await dwf.wait_signal(name)
"""
Tree = dict[str, tuple[int, bytes]]
_UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The sentence of the only error line."""
        (line,) = [line for line in self.err.splitlines() if line.startswith("error: ")]
        return line.removeprefix("error: ")

    @property
    def hint(self) -> str:
        """The sentence of the hint line, "" if there is none."""
        return next((line[6:] for line in self.err.splitlines() if line.startswith("hint: ")), "")

    def is_clean(self) -> Answer:
        """No traceback, no fault of dwf, and nothing that a terminal would obey."""
        assert "Traceback" not in self.err + self.out, self
        assert "internal:" not in self.err, self
        assert self.code != 70, self
        assert not _UNSEEN.search(self.err + self.out), self
        return self

    def is_refusal(self, code: int) -> Answer:
        """That exit code; one error line, at most one hint, not a word besides; nothing on stdout."""
        self.is_clean()
        assert self.code == code, self
        assert self.out == "", self
        first = [line.partition(" ")[0] for line in self.err.splitlines()]
        assert first in (["error:"], ["error:", "hint:"]), self
        return self


class Terminal:
    """A state directory of its own, a directory for scripts, and cron's environment."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self.home = where / "home"
        self.scripts = where / "scripts"
        self.scripts.mkdir()
        self.environ = {"PATH": "/usr/bin:/bin", "DWF_HOME": str(self.home)}

    # -- typing ------------------------------------------------------------------------------------------------

    def typed(self, *words: object, stdin: bytes = b"", environ: Mapping[str, str] | None = None) -> Answer:
        """One command in this process."""
        out, err = io.BytesIO(), io.BytesIO()
        with _streams(stdin, out, err):
            code = run_here(_texts(words), Session(self.environ if environ is None else environ))
        return Answer(code, _text(out.getvalue()), _text(err.getvalue()))

    def process(self, *words: object, stdin: bytes = b"", through: Sequence[str] = (), **how: Any) -> Answer:
        """One command in a process of its own, to its end. `through`: the command that starts it."""
        how = {"cwd": "/", "timeout": 60, "env": self.process_environ(), **how}
        done = subprocess.run([*through, *self.line(*words)], input=stdin, capture_output=True, **how)
        return Answer(done.returncode, _text(done.stdout), _text(done.stderr))

    def spawn(self, *words: object, **how: Any) -> subprocess.Popen[bytes]:
        """One command in a process that goes on while the test does something else."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(self.line(*words), **{"cwd": "/", "env": self.process_environ(), **pipes, **how})

    def line(self, *words: object) -> list[str | bytes]:
        """The whole command line."""
        given: list[str | bytes] = [word if isinstance(word, bytes) else str(word) for word in words]
        return [sys.executable, "-m", "dwf", *given]

    def process_environ(self, **more: str) -> dict[str, str]:
        """Cron's environment, and what finds this checkout."""
        return {**self.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **more}

    # -- runs --------------------------------------------------------------------------------------------------

    def script(self, text: str, name: str = "book.py") -> Path:
        """A script file with that text, indentation taken away."""
        path = self.scripts / name
        path.write_text(textwrap.dedent(text))
        return path

    def start(self, text: str, run: str, *words: object) -> str:
        """Start a run of a script with that text; its id."""
        answer = self.typed("start", self.script(text, f"{run[:40]}.py"), "--id", run, *words)
        assert (answer.code, answer.out) == (0, f"{run}\n"), answer
        return run

    def tick(self, code: int | None = 0) -> Answer:
        """One tick, with that exit code unless it is None; nothing on stdout whatever happens."""
        answer = self.typed("tick").is_clean()
        assert answer.out == "", answer
        assert code is None or answer.code == code, answer
        return answer

    def driven(self, text: str, run: str, *words: object, code: int = 0) -> str:
        """Start a run, tick once; the run's status."""
        self.start(text, run, *words)
        self.tick(code)
        return self.status(run)

    def blocked(self, text: str, run: str, *words: object) -> str:
        """A run that must be blocked after one tick: the tick ends with 1 and names it; why it is blocked."""
        self.start(text, run, *words)
        news = self.tick(code=1).err
        assert news.startswith(f"{run} is blocked: ") and news.count("\n") == 1, news
        assert self.status(run) == "blocked"
        assert not self.events(run, "WorkflowCompleted", "WorkflowFailed", "WorkflowCancelled")
        (event,) = self.events(run, "RunBlocked")
        assert str(event.get("where", "")) in news, "the news does not say where"
        assert self.tick().err == "", "a second tick tells it again"
        return str(event["message"])

    def show(self, run: str) -> dict[str, Any]:
        """The run's document."""
        document: dict[str, Any] = json.loads(self.typed("show", run, "--json").out)
        return document

    def status(self, run: str) -> str:
        """The run's status word."""
        return str(self.show(run)["status"])

    def history(self, run: str, link: int = 1) -> Path:
        """The run's file."""
        return self.home / "runs" / (f"{run}.jsonl" if link == 1 else f"{run}~{link}.jsonl")

    def events(self, run: str, *types: str) -> list[dict[str, Any]]:
        """The stored events of these types; of all types if none is named."""
        lines = self.history(run).read_text("ascii").splitlines()
        found = [json.loads(line) for line in lines]
        return [event for event in found if not types or event["type"] in types]

    # -- promises ----------------------------------------------------------------------------------------------

    def refuses(self, code: int, *words: object, stdin: bytes = b"") -> Answer:
        """The command is refused with that code, as all refusals look, and not a byte of state is changed.

        Only the log of what was refused may have grown.
        """
        return self._refused(code, words, lambda: self.typed(*words, stdin=stdin))

    def refuses_process(self, code: int, *words: object, **how: Any) -> Answer:
        """The same of a command in a process of its own."""
        return self._refused(code, words, lambda: self.process(*words, **how))

    def _refused(self, code: int, words: object, ask: Callable[[], Answer]) -> Answer:
        before = self.state()
        answer = ask().is_refusal(code)
        assert self.state() == before, words
        return answer

    def state(self) -> Tree:
        """The state directory without the log of what was refused."""
        return {path: seen for path, seen in tree(self.home).items() if not path.startswith("audit")}

    def still_works(self) -> None:
        """A normal run, from its start to its result."""
        run = f"normal-{time.monotonic_ns()}"
        self.start(PLAIN, run)
        self.typed("tick").is_clean()
        assert self.typed("result", run).out == "42\n"
        assert self.typed("verify", run).code == 0


def tree(root: Path) -> Tree:
    """Everything in a directory, byte by byte: mode and content (or target) by path. Empty if it is not there."""
    if not root.is_dir():
        return {"": (_mode(root), b"")} if os.path.lexists(root) else {}
    return {str(path.relative_to(root)): (_mode(path), _content(path)) for path in [root, *sorted(root.rglob("*"))]}


def _mode(path: Path) -> int:
    return path.lstat().st_mode


def _content(path: Path) -> bytes:
    kind = stat.S_IFMT(_mode(path))
    if kind == stat.S_IFLNK:
        return os.fsencode(path.readlink())
    return path.read_bytes() if kind == stat.S_IFREG else b""


def powerless() -> dict[str, Any]:
    """How to start a process for which file modes count, also if we are root. For Terminal.process(**powerless())."""
    if os.geteuid() != 0:
        return {}
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("as root it needs setpriv (util-linux)")
    return {"through": [setpriv, "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]}


def until(reached: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait for something that another process does; what it gave."""
    end = time.monotonic() + seconds
    while not (found := reached()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
    return found


def _texts(words: tuple[object, ...]) -> list[str]:
    return [os.fsdecode(word) if isinstance(word, bytes) else str(word) for word in words]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


@contextmanager
def _streams(stdin: bytes, out: io.BytesIO, err: io.BytesIO) -> Iterator[None]:
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    sys.stdout = io.TextIOWrapper(out, "utf-8", write_through=True)
    sys.stderr = io.TextIOWrapper(err, "utf-8", write_through=True)
    mine = sys.stdin, sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
        for stream in mine[1:]:
            stream.flush()
            stream.detach()

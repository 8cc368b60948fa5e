"""A terminal for tests: type a command line, see what was said on stdout and stderr, and the exit code.

`Terminal` runs the program in this process on streams of its own; `outside` starts a real one.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dwf.cli.app import run
from dwf.cli.session import Session

ROOT = Path(__file__).parents[2]

RUNBOOK = '''
"""Runbooks for tests of the command line."""
import dwf

@dwf.activity
def double(n: int) -> int:
    print("doubling", n)
    return 2 * n

@dwf.activity(retry=dwf.Retry(max_attempts=1))
def broken() -> None:
    raise ValueError("no such host")

@dwf.workflow
async def quick(n: int = 1, *, canary: bool = True) -> int:
    """Doubles N."""
    return await double(n)

@dwf.workflow
async def asks(host: str = "web1") -> str:
    answer = await dwf.approve(f"Switch {host}?", timeout="4h", show={"serial": "3A:91"})
    return answer.comment

@dwf.workflow
async def asks_two() -> None:
    import asyncio
    await asyncio.gather(dwf.approve("Drain web1?"), dwf.approve("Drain web2?"))

@dwf.workflow
async def waits() -> object:
    return await dwf.wait_signal("go")

@dwf.workflow
async def sleeps() -> None:
    await dwf.sleep("1h", "let it settle")

@dwf.workflow
async def marks() -> None:
    dwf.tag(env="prod", hosts=3, old=None)
    dwf.memo(plan=[1, 2])
    await dwf.wait_signal("go")

@dwf.workflow
async def fails() -> None:
    await broken()

@dwf.workflow
async def stumbles() -> None:
    {}["host"]

@dwf.workflow
async def shell() -> int:
    out = await dwf.sh("sh", "-c", "echo to stdout; echo to stderr >&2", title="say something")
    return out.code
'''


@dataclass(frozen=True)
class Said:
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one error line, without its lead. There must be exactly one, and one hint, and nothing on stdout."""
        lines = self.err.splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        hints = [line for line in lines if line.startswith("hint: ")]
        assert len(errors) == len(hints) == 1, self.err
        assert "Traceback" not in self.err
        assert self.out == ""
        return errors[0].removeprefix("error: ")

    @property
    def hint(self) -> str:
        return next(line for line in self.err.splitlines() if line.startswith("hint: ")).removeprefix("hint: ")


class Terminal:
    """`dwf` in this process, with a state directory and a script of its own."""

    def __init__(self, directory: Path, environ: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.script = directory / "book.py"
        self.script.write_text(RUNBOOK, encoding="utf-8")
        self.environ = {
            "DWF_HOME": str(self.home),
            "XDG_CACHE_HOME": str(directory / "cache"),
            "LANG": "C.UTF-8",
            "PATH": os.environ["PATH"],
            **(environ or {}),
        }

    def __call__(self, *words: str, stdin: bytes = b"", encoding: str = "utf-8", **environ: str) -> Said:
        out, err = io.BytesIO(), io.BytesIO()
        streams = (
            io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"),
            io.TextIOWrapper(out, encoding=encoding),
            io.TextIOWrapper(err, encoding=encoding),
        )
        before = sys.stdin, sys.stdout, sys.stderr
        sys.stdin, sys.stdout, sys.stderr = streams
        try:
            code = run(words, Session({**self.environ, **environ}))
        finally:
            sys.stdin, sys.stdout, sys.stderr = before
        for stream in streams:
            stream.flush()
        return Said(code, out.getvalue().decode(encoding), err.getvalue().decode(encoding))

    def started(self, workflow: str, *words: str) -> str:
        """The id of a new run."""
        said = self("start", f"{self.script}:{workflow}", *words)
        assert said.code == 0, said.err
        return said.out.strip()

    def driven(self, workflow: str, *words: str) -> str:
        """The id of a new run that was driven until it waits or is done."""
        return self.started(workflow, "--tick", *words)

    def history(self, run: str) -> Path:
        return self.home / "runs" / f"{run}.jsonl"

    def damage(self, run: str) -> None:
        """Change one byte in the second line of a history."""
        path = self.history(run)
        lines = path.read_bytes().split(b"\n")
        lines[1] = lines[1].replace(b'"ts":"2', b'"ts":"3', 1)
        path.write_bytes(b"\n".join(lines))


def outside(
    *words: str,
    environ: Mapping[str, str] | None = None,
    stdin: Any = subprocess.DEVNULL,
    cwd: Path | None = None,
    **options: Any,
) -> Said:
    """A real process. Its environment is only what is given, and what Python needs."""
    done = subprocess.run(
        [sys.executable, "-m", "dwf", *words],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **(environ or {})},
        stdin=stdin,
        capture_output=True,
        cwd=cwd,
        timeout=60,
        check=False,
        **options,
    )
    return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

"""The real `dwf` command in a process of its own, with cron's environment and nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
CRON = {"PATH": "/usr/bin:/bin"}
_LAUNCHER = """#!{python}
import sys
sys.path.insert(0, {root!r})
from dwf.__main__ import main
main()
"""


def dwf_command(where: Path) -> str:
    """The absolute path of an installed `dwf`; a launcher of the checkout, made in `where`, if none is installed."""
    installed = Path(sys.executable).with_name("dwf")
    if installed.exists():
        return str(installed)
    launcher = where / "dwf"
    launcher.write_text(_LAUNCHER.format(python=sys.executable, root=str(ROOT)))
    launcher.chmod(0o755)
    return str(launcher)


class Dwf:
    """What a person and cron type. `home` is the state directory, told by option: their environment is empty."""

    def __init__(self, where: Path) -> None:
        self.home = where / "state"
        self._command = dwf_command(where)
        self._where = where

    def __call__(self, *words: object, code: int | None = 0) -> str:
        """stdout of one command; `code`: the exit code that it must have."""
        done = self.typed(*words)
        assert code is None or done.returncode == code, f"{words} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def typed(self, *words: object) -> subprocess.CompletedProcess[str]:
        """One command, to its end."""
        return subprocess.run(
            self._line(words), env=CRON, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
        )

    def start(self, script: Path, *words: object) -> str:
        """Start a run; its id."""
        return self("start", script, *words).strip()

    def tick(self, code: int = 0) -> str:
        """What cron does every minute; what it would get by mail."""
        done = self.typed("tick")
        assert done.returncode == code, f"tick -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.stdout == ""
        return done.stderr

    def tick_killed_when(self, reached: Callable[[], bool]) -> bool:
        """A tick that gets SIGKILL as soon as `reached()`; False if it came to its own end before."""
        process = subprocess.Popen(
            self._line(("tick",)), env=CRON, cwd="/", stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None:
            if reached():
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.001)
        process.wait()
        return process.returncode == -signal.SIGKILL

    def tick_until(self, run: str, status: str, seconds: float = 20) -> None:
        """Tick as cron does, until the run has that status."""
        until = time.monotonic() + seconds
        while (found := self.shown(run)["status"]) != status:
            assert time.monotonic() < until, f"{run} is still {found}\n{self('history', run)}"
            self.typed("tick")

    def shown(self, run: str) -> dict[str, Any]:
        """What `dwf show` says, for a program."""
        document: dict[str, Any] = json.loads(self("show", run, "--json", code=None))
        return document

    def _line(self, words: tuple[object, ...]) -> list[str]:
        return [self._command, *map(str, words), "--home", str(self.home)]

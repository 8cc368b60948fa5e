"""Where benchmarks take place: a state directory, and the script that they run."""

from __future__ import annotations

import compileall
import os
import time
from pathlib import Path

from dwf.engine.identity import sender
from dwf.engine.start import StartRequest, start
from dwf.engine.tick import tick
from dwf.store.room import Store
from tests.examples.command import ROOT

_SCRIPT = """
import asyncio
import os
import dwf

@dwf.activity
def nothing(n: int) -> int:
    return n

@dwf.workflow
async def sequence(steps: int = 3) -> int:
    for n in range(steps):
        await nothing(n)
    return steps

@dwf.workflow
async def fan_out(steps: int = 1000) -> int:
    return sum(await asyncio.gather(*(nothing(n) for n in range(steps))))

@dwf.workflow
async def waiting() -> None:
    await dwf.sleep("1000d")

@dwf.workflow
async def numbered(n: int) -> int:
    return await nothing(n)

@dwf.workflow
async def listening(n: int) -> int:
    return await nothing(await dwf.wait_signal("go"))

@dwf.activity
def seen(n: int) -> None:
    open(os.environ["DWF_BENCH_SEEN"], "w").close()

@dwf.workflow
async def echo(n: int) -> None:
    async for number in dwf.signals("go"):
        await seen(number)

@dwf.workflow
async def shells(lines: int = 20) -> None:
    for _ in range(lines):
        await dwf.sh("/bin/true")
"""


def compile_as_installed() -> None:
    """Give the checkout its bytecode, which an installed dwf has.

    Where Python may write none (PYTHONDONTWRITEBYTECODE), every start would compile what was edited last: more than a
    quarter of what importing the engine takes.
    """
    compileall.compile_dir(ROOT / "dwf", quiet=2)


class Place:
    """A state directory and the script, below `where`. `scale` divides the amounts of work; only 1 gives figures."""

    def __init__(self, where: Path, scale: int = 1) -> None:
        self.where, self.scale = where, scale
        self.home = where / "state"
        self.script = where / "bench.py"
        self.script.write_text(_SCRIPT)
        self.store = Store.open(str(self.home), create=True)
        self._me = sender(os.environ)

    def count(self, number: int) -> int:
        return max(1, number // self.scale)

    def start(self, workflow: str, **values: object) -> str:
        """A new run; its id."""
        words = {name: str(value) for name, value in values.items()}
        return start(self.store, StartRequest(f"{self.script}:{workflow}", self._me, words)).run

    def seconds_to_the_end(self, workflow: str, steps: int) -> tuple[float, Path]:
        """How long one tick takes for a run with that many steps, and its history."""
        run = self.start(workflow, steps=steps)
        began = time.perf_counter()
        report = tick(self.store)
        seconds = time.perf_counter() - began
        history = Path(self.store.layout.history_path(run))
        assert report.driven == 1 and not report.errors and b'"WorkflowCompleted"' in history.read_bytes()[-2000:]
        return seconds, history

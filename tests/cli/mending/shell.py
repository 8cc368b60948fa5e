"""A person at a shell whose runs are broken for real, and what must hold of each when it is mended.

What breaks a run, and looks at it afterwards, happens in this process; what mends it is typed into one of its own.
"""

from __future__ import annotations

import os
import pwd
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.cli.terminal import ROOT, Said, Terminal, outside
from tests.test_bad_inputs.terminal import until

BOOK = """
import dwf, pathlib

@dwf.activity(retry=dwf.Retry({retry}))
def step(name: str) -> str:
    with open({here!r} + "/did", "a") as file:
        file.write(name + "\\n")
    if pathlib.Path({here!r}, name + ".broken").exists():
        raise dwf.Failure(name + " is broken")
    return name.upper()

@dwf.workflow
async def book() -> list[str]:
    first = await step("one")
    await dwf.approve("Go on?")
    {bug}
    return [first, await step("two")]
"""
ONCE = "max_attempts=1"
AN_HOUR_APART = "max_attempts=9, initial='1h'"
ME = pwd.getpwuid(os.geteuid()).pw_name


class Shell:
    """`typed`: the command lines that were typed to mend something, and were accepted."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.dwf = Terminal(place)
        self.script = self.dwf.script
        self.typed: list[str] = []
        self.write()

    def __call__(self, *words: str, code: int = 0) -> Said:
        """In this process."""
        return self._expected(self.dwf(*words), code, " ".join(words))

    def types(self, line: str, code: int = 0) -> Said:
        """In a process of its own, as it is typed."""
        said = self._expected(outside(*shlex.split(line), environ=self.dwf.environ, cwd=self.place), code, line)
        self.typed += [line] if code == 0 else []
        return said

    def _expected(self, said: Said, code: int, line: str) -> Said:
        assert said.code == code, (line, said)
        return said

    # -- how it breaks -----------------------------------------------------------------------------------------

    def write(self, bug: str = "pass", name: str = "book.py", retry: str = ONCE, text: str = BOOK) -> Path:
        path = self.place / name
        path.write_text(text.format(here=str(self.place), bug=bug, retry=retry))
        return path

    def breaks(self, name: str) -> None:
        (self.place / f"{name}.broken").touch()

    def mends(self, name: str) -> None:
        (self.place / f"{name}.broken").unlink()

    def runs(self, *runs: str, tick: int = 0) -> None:
        """Start them, say yes, let them go as far as they come."""
        for run in runs or ("r",):
            self("start", str(self.script), "--id", run)
        self("tick")
        for run in runs or ("r",):
            self("approve", run, "-m", "looked at it")
        self("tick", code=tick)

    def dies_in(self, marker: str) -> None:
        """A tick is killed in the step that writes that file, and the next one finds what it has left."""
        ticking = self.ticks_until(marker)
        ticking.send_signal(signal.SIGKILL)
        ticking.wait(timeout=20)
        self("tick")

    def ticks_until(self, marker: str) -> subprocess.Popen[bytes]:
        """A tick that is at work when this returns."""
        environ = {**self.dwf.environ, "PYTHONPATH": str(ROOT)}
        ticking = subprocess.Popen(
            [sys.executable, "-m", "dwf", "tick"], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until((self.place / marker).exists)
        return ticking

    # -- what must hold afterwards -----------------------------------------------------------------------------

    @property
    def did(self) -> list[str]:
        return (self.place / "did").read_text().split()

    def status(self, run: str = "r") -> str:
        return str(self("show", run, "--json").json["status"])

    def comes_right(self, run: str, why: str, result: object) -> None:
        assert self("result", run).json == result
        self.is_told(run, why)

    def is_told(self, run: str, why: str) -> None:
        """Every history verifies; that of the run, and the audit, say in one line who has mended it, and why."""
        self("verify")
        for page in ("history", "audit"):
            lines = self(page, run, "-o", "wide").out.splitlines()
            assert any(why in line and ME in line for line in lines), (page, lines)


Story = Callable[[Shell], list[str]]
"""Breaks a run and mends it; which steps have then been done, in order."""


class Stories:
    """The stories of a file, each with the verbs that mend in it."""

    def __init__(self) -> None:
        self.all: list[Story] = []
        self.verbs: dict[Story, tuple[str, ...]] = {}

    def mends(self, *verbs: str) -> Callable[[Story], Story]:
        """verbs: as they are typed in it: `retry`, `step skip`."""

        def note(story: Story) -> Story:
            self.all.append(story)
            self.verbs[story] = verbs
            return story

        return note

    def play(self, story: Story, place: Path) -> None:
        """Fails when a run does not come right, does again what was done, or the story does not type its verbs."""
        shell = Shell(place)
        assert story(shell) == shell.did
        for verb in self.verbs[story]:
            assert any(f"{line} ".startswith(f"{verb} ") for line in shell.typed), (verb, shell.typed)

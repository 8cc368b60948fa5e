"""Every way to mend a run, from the shell, on a broken one: it comes right, and its history tells how."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.terminal import Said, outside

BOOK = """
import dwf, pathlib

@dwf.activity(retry=dwf.Retry(max_attempts=1))
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


class Shell:
    """A person at a shell, with a runbook that is broken in some way."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.script = place / "book.py"
        self.write()

    def write(self, bug: str = "pass", name: str = "book.py") -> Path:
        path = self.place / name
        path.write_text(BOOK.format(here=str(self.place), bug=bug))
        return path

    def __call__(self, *words: str, code: int = 0) -> Said:
        said = outside(*words, environ={"DWF_HOME": str(self.place / "home")})
        assert said.code == code, (words, said)
        return said

    def breaks(self, name: str) -> Path:
        path = self.place / f"{name}.broken"
        path.touch()
        return path

    def runs(self, tick: int = 0) -> None:
        """Start it, say yes, let it go as far as it comes."""
        self("start", str(self.script), "--id", "r", "--tick")
        self("approve", "r", "-m", "looked at it")
        self("tick", code=tick)

    @property
    def did(self) -> list[str]:
        return (self.place / "did").read_text().split()

    def comes_right(self, run: str, why: str, result: list[str]) -> None:
        """It has ended well, every history verifies, and this one says why it was mended."""
        assert json.loads(self("result", run).out) == result
        self("verify")
        assert why in self("history", run).out + self("audit", run).out


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def retry(shell: Shell) -> list[str]:
    shell.breaks("two")
    shell.runs(tick=1)
    (shell.place / "two.broken").unlink()
    assert shell("retry", "r", "-m", "the disk is back", "--tick").out == "r\n"
    shell.comes_right("r", "the disk is back", ["ONE", "TWO"])
    return ["one", "two", "two"]


def retry_with_mended_code(shell: Shell) -> list[str]:
    shell.breaks("two")
    shell.runs(tick=1)
    text = shell.script.read_text().replace('step("two")', 'step("three")')
    (shell.place / "mended.py").write_text(text)
    shell("retry", "r", "--script", str(shell.place / "mended.py"), "-m", "bug 4711", "--tick")
    shell.comes_right("r", "bug 4711", ["ONE", "THREE"])
    return ["one", "two", "three"]


def reset(shell: Shell) -> list[str]:
    shell.breaks("two")
    shell.runs(tick=1)
    (shell.place / "two.broken").unlink()
    shell("reset", "r", "--from", "first", "-m", "one was wrong, too", "--tick")
    shell("approve", "r", "-m", "again", "--tick")
    shell.comes_right("r", "one was wrong, too", ["ONE", "TWO"])
    return ["one", "two", "one", "two"]


def fork(shell: Shell) -> list[str]:
    shell.breaks("two")
    shell.runs(tick=1)
    shell("fork", "r", "--id", "r-b", "--set", '3="by hand"', "-m", "done by hand", "--tick")
    shell.comes_right("r-b", "done by hand", ["ONE", "by hand"])
    assert json.loads(shell("show", "r", "--json", code=0).out)["status"] == "failed"
    return ["one", "two"]


def upgrade(shell: Shell) -> list[str]:
    shell.write(bug="{}['typo']")
    shell.runs(tick=1)
    mended = shell.write(name="mended.py")
    shell("upgrade", "r", "--to", str(mended), "-m", "a typo")
    shell("tick")
    shell.comes_right("r", "a typo", ["ONE", "TWO"])
    return ["one", "two"]


def pause(shell: Shell) -> list[str]:
    shell("start", str(shell.script), "--id", "r", "--tick")
    shell("pause", "r", "-m", "change freeze", "--tick")
    shell("approve", "r", "-m", "looked at it")
    shell("tick")
    assert json.loads(shell("show", "r", "--json").out)["status"] == "paused"
    assert shell.did == ["one"]
    shell("resume", "r", "-m", "freeze is over", "--tick")
    shell.comes_right("r", "change freeze", ["ONE", "TWO"])
    return ["one", "two"]


def step_complete(shell: Shell) -> list[str]:
    text = shell.script.read_text().replace("max_attempts=1", "max_attempts=9, initial='1h'")
    shell.script.write_text(text)
    shell.breaks("two")
    shell.runs()
    (shell.place / "switch.log").write_text("switched at 03:12\n")
    words = ["--result", '"by hand"', "-m", "done by hand", "--evidence", str(shell.place / "switch.log")]
    shell("step", "complete", "r", *words, "--tick")
    shell.comes_right("r", "done by hand", ["ONE", "by hand"])
    assert "evidence switch.log (18 bytes)" in shell("history", "r").out
    assert "switched at 03:12" in shell("history", "r", "-o", "jsonl").out
    return ["one", "two"]


WAYS = [retry, retry_with_mended_code, reset, fork, upgrade, pause, step_complete]


@pytest.mark.parametrize("mend", WAYS, ids=lambda way: way.__name__)
def test_a_broken_run_is_mended_and_its_history_tells_how(shell: Shell, mend: Callable[[Shell], list[str]]) -> None:
    """Fails when a way to mend does something again that was done, or leaves a history that does not verify."""
    assert mend(shell) == shell.did


def test_what_is_to_be_typed_when_no_step_has_failed_can_be_typed(shell: Shell) -> None:
    """Fails when `dwf retry` tells a person an option that it does not have."""
    shell("start", str(shell.script), "--id", "r", "--tick")
    shell("reject", "r", "-m", "not today")
    shell("tick", code=1)
    refused = shell("retry", "r", "-m", "another day", code=7)
    assert "no step of r has failed" in refused.err
    assert "dwf reset r --from STEP" in refused.err
    shell("reset", "r", "--from", "step", "-m", "another day")

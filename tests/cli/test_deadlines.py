"""Deadlines at the terminal: given at the start, told until when and what then, and how it ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import Terminal

BOOK = """
import dwf

@dwf.workflow
async def main():
    await dwf.wait_signal("go")

@dwf.workflow(deadline="1ms", on_deadline="terminate")
async def brief():
    await dwf.wait_signal("go")
"""


@pytest.fixture
def book(tmp_path: Path) -> str:
    path = tmp_path / "limits.py"
    path.write_text(BOOK)
    return str(path)


def test_show_and_list_say_until_when_and_what_then(dwf: Terminal, book: str) -> None:
    dwf("start", f"{book}:main", "--id", "r1", "--deadline", "2h", "--tick")
    shown = dwf("show", "r1").out
    assert "deadline until" in " ".join(shown.split()) and "then it is cancelled" in " ".join(shown.split())
    assert "left: signal go" in dwf("list").out
    assert dwf("show", "r1", "--json").json["deadline"] is not None


def test_a_run_that_timed_out_is_a_failed_one_for_the_shell(dwf: Terminal, book: str) -> None:
    dwf("start", f"{book}:brief", "--id", "r1", "--tick")
    dwf("tick")
    assert dwf("wait", "r1").code == 1
    assert "timed-out" in dwf("show", "r1").out and "signal go" in dwf("show", "r1").out
    assert dwf("list", "-o", "name", "--status", "timed-out").out == "r1\n"


@pytest.mark.parametrize("wrong", ["0", "0s", "soon", "-1h", ""])
def test_a_deadline_that_is_no_duration_starts_nothing(dwf: Terminal, book: str, wrong: str) -> None:
    said = dwf("start", f"{book}:main", "--id", "r1", "--deadline", wrong)
    assert said.code == 2 and said.err.startswith("error: ") and "Traceback" not in said.err
    assert dwf("list", "-o", "name").out == ""

"""dwf undo at the terminal: what it asks, what it refuses, and what the screens of both runs say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import Terminal

BOOK = """
import dwf

@dwf.activity
def do(word: str) -> str:
    return word

@dwf.activity
def undo(word: str) -> str:
    return word

@dwf.workflow
async def main() -> str:
    async with dwf.saga() as saga:
        await saga.step(do.options(title="switch")("a"), undo=undo("a"))
        await saga.step(do.options(title="mail")("b"), undo=undo("b"))
    return "done"
"""


@pytest.fixture
def ended(dwf: Terminal) -> Terminal:
    dwf.script.write_text(BOOK)
    dwf("start", str(dwf.script), "--id", "r1", "--tick")
    return dwf


def test_a_run_that_has_ended_is_taken_back_and_both_screens_say_so(ended: Terminal) -> None:
    shown = ended("show", "r1").out
    assert "can be undone: mail, switch" in shown and 'dwf undo r1 -m "..."' in shown
    said = ended("undo", "r1", "-y", "-m", "drill", "--tick")
    assert (said.code, said.out) == (0, "r1.undo\n")
    assert "takes back of r1: mail, switch" in said.err
    shown = ended("show", "r1").out
    assert "see dwf show r1.undo" in shown and "dwf undo" not in shown
    shown = ended("show", "r1.undo").out
    assert "undo of r1" in shown and "undone   mail, switch" in shown and '"drill"' in shown
    assert "undo of r1" in ended("history", "r1.undo").out
    assert ended("show", "r1.undo", "--json").json["undos"][0] == {
        "command": 1, "of": "switch", "state": "undone", "why": "",
    }  # fmt: skip


def test_a_second_time_is_refused(ended: Terminal) -> None:
    ended("undo", "r1", "-y", "-m", "drill", "--tick")
    said = ended("undo", "r1", "-y", "-m", "again")
    assert said.code == 7 and "undone already, by r1.undo" in said.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["r1", "-y"], 2, "needs a reason"),
        (["r1", "-m", "x"], 2, "nobody to ask whether to undo mail, switch"),
        (["r9", "-y", "-m", "x"], 4, "no run r9"),
        (["../r1", "-y", "-m", "x"], 2, "is not a run id"),
        ([], 2, "RUN"),
    ],
)
def test_what_is_typed_wrong_changes_nothing(ended: Terminal, words: list[str], code: int, told: str) -> None:
    said = ended("undo", *words)
    assert said.code == code and told in said.err and said.out == ""
    assert ended("show", "r1.undo").code == 4


def test_a_program_gets_it_as_json(ended: Terminal) -> None:
    assert ended("undo", "r1", "-y", "-m", "x", "--json").json == {
        "schema": "dwf.undo/1", "run": "r1.undo", "undoes": "r1", "of": ["mail", "switch"], "left_out": [], "older": [],
    }  # fmt: skip


MAP = """
import dwf
from pathlib import Path

@dwf.activity(retry=dwf.Retry(max_attempts=1))
def patch(host: str) -> str:
    if Path(DIRECTORY, host).exists():
        raise OSError("no disk")
    return host

@dwf.workflow
async def main() -> list[str]:
    return (await dwf.map(patch, ["web1", "web2"], max_concurrent=1)).values
"""


def test_failed_items_are_done_once_more(dwf: Terminal, tmp_path: Path) -> None:
    (tmp_path / "web2").touch()
    dwf.script.write_text(MAP.replace("DIRECTORY", repr(str(tmp_path))))
    dwf("start", str(dwf.script), "--id", "m", "--tick")
    shown = dwf("show", "m").out
    assert "map      patch: 1 of 2 done, 1 failed" in shown
    assert 'dwf retry m --failed-items -m "..."' in shown
    (tmp_path / "web2").unlink()
    said = dwf("retry", "m", "--failed-items", "-m", "disk is free", "--tick")
    assert (said.code, said.out) == (0, "m.retry\n") and "1 items of m once more; 1 were done" in said.err
    assert dwf("result", "m.retry").json == ["web1", "web2"]
    assert "patch: 2 of 2 done, 1 of them before" in dwf("show", "m.retry").out
    assert dwf("retry", "m", "--failed-items", "-m", "x").code == 9

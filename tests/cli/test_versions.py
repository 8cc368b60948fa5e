"""`dwf versions`: which code runs are on, and what of it nobody needs any more."""

from __future__ import annotations

import platform
from typing import Any

import pytest

from dwf.cli.pages.parts import other_python
from dwf.core.events import WorkflowStarted
from dwf.core.state import RunState
from tests.cli.terminal import Terminal

BOOK = """
import dwf

@dwf.workflow
async def main():
    await dwf.wait_signal("go")
"""


@pytest.fixture
def three(dwf: Terminal) -> Terminal:
    """Three versions of one script: a run of the first is over, one of the second waits, one of the third."""
    for number in (1, 2, 3):
        dwf.script.write_text(BOOK + f"# {number}\n")
        assert dwf("start", str(dwf.script), "--id", f"r{number}", "--tick").code == 0
    dwf("signal", "r1", "go", "--tick")
    return dwf


def found(dwf: Terminal, *words: str) -> list[dict[str, Any]]:
    return list(dwf("versions", *words, "--json").json["versions"])


def test_each_version_says_who_is_on_it_and_whether_it_can_be_dropped(three: Terminal) -> None:
    """Fails when a version without an open run is not told from one that has some."""
    told = [(v["open"], v["closed"], v["current"], v["droppable"]) for v in found(three)]
    assert told == [(["r3"], 0, True, False), (["r2"], 0, False, False), ([], 1, False, True)]
    assert found(three)[0]["python"] == [platform.python_version()]
    lines = three("versions").out.splitlines()
    assert [line.split("  ")[-1].strip() for line in lines] == ["STATE", "current", "in use", "can be dropped"]
    assert three("versions", "-o", "name").out == "r2\n"


def test_a_run_counts_on_the_code_that_it_was_moved_to(three: Terminal) -> None:
    assert three("upgrade", "r2", "--to", str(three.script)).code == 0
    assert [v["open"] for v in found(three)] == [["r2", "r3"], []]


def test_only_open_runs_and_only_one_script_may_be_asked_for(three: Terminal) -> None:
    other = three.directory / "other.py"
    other.write_text(BOOK)
    three("start", str(other), "--id", "x")
    assert [v["open"] for v in found(three, "--open")] == [["r3"], ["r2"], ["x"]]
    assert [v["open"] for v in found(three, "other.py")] == [["x"]]
    assert [v["open"] for v in found(three, str(other))] == [["x"]]
    assert found(three, "nothing.py") == [] and "nothing.py" in three("versions", "nothing.py").err


def test_a_script_that_is_gone_is_current_for_nobody_and_a_broken_one_is_not_judged(three: Terminal) -> None:
    three.script.write_text("async def (:\n")
    assert [v["current"] for v in found(three)] == [None] * 3 and not any(v["droppable"] for v in found(three))
    three.script.unlink()
    assert [v["current"] for v in found(three)] == [False] * 3


def test_a_damaged_history_is_left_out_and_a_live_run_is_on_no_version(three: Terminal) -> None:
    three.damage("r3")
    three("start", str(three.script), "--id", "alive", "--live")
    assert [(v["code"] == "live", v["open"]) for v in found(three)] == [(True, ["alive"]), (False, ["r2"]), (False, [])]


def test_where_nothing_was_started_there_are_no_versions(dwf: Terminal) -> None:
    said = dwf("versions")
    assert (said.code, said.out) == (0, "") and "no run" in said.err


def test_show_tells_what_a_run_follows_and_why_it_stays_where_it_is(dwf: Terminal) -> None:
    book = BOOK.replace("@dwf.workflow", "@dwf.workflow(upgrade='auto')")
    dwf.script.write_text(book)
    dwf("start", str(dwf.script), "--id", "r1", "--tick")
    assert "goes over to what the file holds" in dwf("show", "r1").out
    before = dwf("show", "r1", "--json").json
    assert (before["code_mode"], before["code_refused"]) == ("auto", None)

    dwf.script.write_text(book.replace('"go"', '"come"'))
    dwf("signal", "r1", "other")
    assert f"r1 stays on {before['code'][:7]}: " in dwf("tick").err

    told = " ".join(dwf("show", "r1", "-o", "wide").out.split())
    assert f"stays on {before['code'][:7]}: the new code (" in told and "diverges at book.py:6" in told
    assert dwf("show", "r1", "--json").json["code_refused"]["line"] == 2
    assert dwf("tick").err == ""


@pytest.mark.parametrize(("python", "told"), [("2.7.18", True), (platform.python_version(), False), ("", False)])
def test_another_python_than_at_the_start_is_told(python: str, told: bool) -> None:
    state = RunState()
    head = WorkflowStarted(run="r", nonce="n", workflow="w", script="s", code="c", python=python)
    state.started = head
    assert bool(other_python(state)) is told

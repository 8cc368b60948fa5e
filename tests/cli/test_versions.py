"""`dwf versions`: which code runs are on, and what of it nobody needs any more."""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path
from typing import Any

import pytest

from dwf.cli.pages.parts import others_here
from dwf.core.events import WorkflowStarted
from dwf.core.state import RunState
from tests.cli.terminal import ROOT, Terminal, outside

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
    assert "goes over to what a new start takes" in dwf("show", "r1").out
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
    assert bool(others_here(state)) is told


# -- packages ---------------------------------------------------------------------------------------------------


def install(directory: Path, version: str) -> dict[str, str]:
    """Put the package `wires` where Python finds it, with that version; "" takes it away. The environment for it."""
    site = directory / "site"
    shutil.rmtree(site, ignore_errors=True)
    (site / f"wires-{version}.dist-info").mkdir(parents=True)
    (site / f"wires-{version}.dist-info/METADATA").write_text(f"Name: wires\nVersion: {version}\n" if version else "")
    (site / "wires.py").write_text(f"steps = {version[:1] or 1}\n")
    return {"PYTHONPATH": f"{ROOT}:{site}", "DWF_HOME": str(directory / "wired"), "PYTHONDONTWRITEBYTECODE": "1"}


WIRED = """
import wires
import dwf

@dwf.activity
def step(number: int) -> None: ...

@dwf.workflow
async def child():
    await dwf.wait_signal("go")

@dwf.workflow
async def main():
    dwf.start_child(child.options(id="c1"))
    for number in range(wires.steps):
        await step(number)
    await dwf.wait_signal("go")
"""


def test_a_package_that_has_changed_is_told_and_named_as_the_cause_of_a_divergence(dwf: Terminal) -> None:
    """Fails when the versions that a run was started with are not in its history, or not compared."""
    dwf.script.write_text(WIRED)
    before = install(dwf.directory, "2.5")
    assert outside("start", f"{dwf.script}:main", "--id", "r1", "--tick", environ=before).code == 0

    def document(*words: str, environ: dict[str, str]) -> Any:
        return json.loads(outside(*words, "--json", environ=environ).out)

    assert document("show", "r1", environ=before)["packages"] == {"wires": "2.5"}
    assert document("show", "c1", environ=before)["packages"] == {"wires": "2.5"}
    assert document("versions", environ=before)["versions"][0]["packages"] == {"wires": ["2.5"]}
    assert "wires" not in outside("show", "r1", environ=before).out

    after = install(dwf.directory, "3.0")
    assert "started with wires 2.5, here it is 3.0" in outside("show", "r1", environ=after).out
    assert document("show", "r1", environ=after)["packages_changed"] == {"wires": {"then": "2.5", "now": "3.0"}}
    outside("signal", "r1", "go", "--tick", environ=after)
    told = " ".join(outside("show", "r1", environ=after).out.split())
    assert "the script no longer fits" in told
    assert "wires was 2.5 and is 3.0 here: that is the usual cause" in told

    assert "wires 2.5, here it is no longer installed" in outside("show", "c1", environ=install(dwf.directory, "")).out
    assert outside("upgrade", "c1", "--to", str(dwf.script), environ=after).code == 0

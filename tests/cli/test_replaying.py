"""`dwf replay`: a history over its code or another, up to a line, and where the script stands then."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.terminal import Terminal, outside

BOOK = """
import asyncio
import dwf

class Odd:
    def __repr__(self):
        raise ValueError("no")

@dwf.activity
def double(n: int) -> int:
    return 2 * n

async def aside(host):
    await dwf.wait_signal(host)

@dwf.workflow
async def main(hosts: list[str]):
    odd, long = Odd(), "x" * 5000
    total = 0
    for n in (1, 2):
        total += await double(n)
    await asyncio.gather(*(aside(host) for host in hosts))
    return total
"""


@pytest.fixture
def run(dwf: Terminal) -> str:
    dwf.script.write_text(BOOK)
    assert dwf("start", str(dwf.script), 'hosts=["a", "b"]', "--id", "r1", "--tick").code == 0
    return "r1"


def places(document: dict[str, Any]) -> list[str]:
    return [task["lines"][-1]["at"] for task in document["tasks"]]


def test_it_says_where_each_task_stands_and_with_which_variables(dwf: Terminal, run: str) -> None:
    """Fails when the variables of a task are not those of the line at which it waits."""
    before = dwf.history(run).read_bytes()
    found = dwf("replay", run, "--json").json
    assert places(found) == ["book.py:22 in main", "book.py:14 in aside", "book.py:14 in aside"]
    main = found["tasks"][0]["lines"][0]
    assert main["variables"]["total"] == "6" and main["source"].startswith("await asyncio.gather")
    assert main["variables"]["odd"].startswith("<Odd")
    assert len(main["variables"]["long"]) < 250
    assert [task["lines"][0]["variables"] for task in found["tasks"][1:]] == [{"host": "'a'"}, {"host": "'b'"}]
    assert dwf.history(run).read_bytes() == before


def test_it_stops_when_a_line_has_been_delivered(dwf: Terminal, run: str) -> None:
    lines = dwf("history", run, "-o", "jsonl").out.splitlines()
    first = next(n for n, line in enumerate(lines, 1) if "ActivityCompleted" in line)
    totals = {}
    for line in (first - 1, first):
        found = dwf("replay", run, "--stop-at", str(line), "--json").json
        totals[line] = (found["line"], found["tasks"][0]["lines"][0]["variables"]["n"])
    assert totals == {first - 1: (first - 1, "1"), first: (first, "2")}
    assert "book.py:21 in main" in dwf("replay", run, "--stop-at", str(first)).out
    said = dwf("replay", run, "--stop-at", "99")
    assert said.code == 2 and "it has 1 to" in said.hint


def test_a_run_that_is_over_is_replayed_to_its_end(dwf: Terminal, run: str) -> None:
    for name in ("a", "b"):
        dwf("signal", run, name, "--tick")
    found = dwf("replay", run, "--json").json
    assert (found["ended"], found["tasks"], found["differs"]) == ("WorkflowCompleted", [], None)
    dwf.script.write_text(BOOK.replace("    return total", "    await dwf.sleep('1h')"))
    said = dwf("replay", run, "--against", str(dwf.script))
    assert said.code == 65 and "recorded WorkflowCompleted, and the script goes on" in said.err


def test_other_code_fits_or_both_sides_are_told(dwf: Terminal, run: str) -> None:
    other = dwf.directory / "other.py"
    other.write_text(BOOK.replace("total = 0", "total = 100"))
    assert "total = 106" in dwf("replay", run, "--against", str(other)).out
    other.write_text(BOOK.replace("(1, 2)", "(1, 3)"))
    said = dwf("replay", run, "--against", str(other))
    assert said.code == 65 and "no longer fits its history" in said.err and said.out == ""
    assert dwf("replay", run, "--against", str(other), "--stop-at", "2").code == 0
    assert dwf("replay", run, "--against", "nowhere.py").code == 4
    other.write_text("import dwf\n")
    assert dwf("replay", run, "--against", str(other)).code == 65


def test_no_debugger_without_a_terminal(dwf: Terminal, run: str) -> None:
    said = dwf("replay", run, "--pdb")
    assert said.code == 2 and said.error == "--pdb needs a terminal"


def test_the_debugger_looks_around_where_the_script_stands(dwf: Terminal, run: str, spawn: Any) -> None:
    child = spawn("replay", run, "--pdb", "--color", "never")
    child.expect(r"\(Pdb\) ")
    child.sendline("p total * 7")
    child.expect("42")
    child.sendline("list")
    child.expect("asyncio.gather")
    child.sendline("q")
    child.expect_exact(__import__("pexpect").EOF)
    child.close()
    assert child.exitstatus == 0


# -- all of them ------------------------------------------------------------------------------------------------


@pytest.fixture
def several(dwf: Terminal, run: str) -> Terminal:
    """r1 waits, r2 is over, and q is of another script."""
    dwf("start", str(dwf.script), "hosts=[]", "--id", "r2", "--tick")
    other = dwf.directory / "other.py"
    other.write_text("import dwf\n\n@dwf.workflow\nasync def other():\n    return 'x' * 100_000\n")
    dwf("start", str(other), "--id", "q", "--tick")
    return dwf


def test_all_runs_are_replayed_on_their_code_without_a_trace(several: Terminal) -> None:
    """Fails when a run is left out because it is over, or a large result is taken for another one."""
    before = {path: path.read_bytes() for path in several.home.rglob("*.jsonl")}
    said = several("replay", "--all")
    assert (said.code, said.out, said.err) == (0, "", "3 runs replayed: 3 fit their code, 0 do not\n")
    assert {path: path.read_bytes() for path in several.home.rglob("*.jsonl")} == before
    assert several("replay", "--all", "-o", "name").out == ""
    found = [json.loads(line) for line in several("replay", "--all", "-o", "jsonl").out.splitlines()]
    assert [(one["run"], one["fit"]) for one in found] == [("q", "safe"), ("r2", "safe"), ("r1", "safe")]


def test_each_that_would_part_from_a_file_is_a_line_and_it_ends_with_65(several: Terminal) -> None:
    several.script.write_text(BOOK.replace("return total", "return total + 1"))
    said = several("replay", "--all", "--against", str(several.script))
    assert said.code == 65, said
    assert said.out == "r2  diverges: line 8 recorded WorkflowCompleted, and the script returns something else\n"
    assert "2 runs replayed: 1 fit" in said.err and "1 does not; 1 of other scripts" in said.err
    assert several("replay", "r2", "--against", str(several.script)).code == 65, "as one alone is told"
    several.script.write_text(BOOK.replace("(1, 2)", "(1, 3)"))
    said = several("replay", "--all", "--against", str(several.script))
    assert said.code == 65
    for run, line in zip(("r2", "r1"), said.out.splitlines(), strict=True):
        assert line.startswith(f"{run}  diverges at book.py:21: history line 5 recorded ActivityScheduled double")
        assert "[2]" in line and "now it asks ActivityScheduled double" in line and "[3]" in line
    assert several("replay", "--all", "--against", str(several.script), "-o", "name").out == "r2\nr1\n"


def test_what_cannot_be_replayed_is_told_and_holds_up_no_other(several: Terminal) -> None:
    code = several("show", "q", "--json").json["code"]
    (several.home / "code" / code).unlink()
    several.damage("r2")
    said = several("replay", "--all", "--json")
    assert said.code == 65
    assert (said.json["schema"], said.json["fit"]) == ("dwf.fits/1", 1)
    fits = {one["run"]: one["fit"] for one in said.json["runs"]}
    assert fits == {"r1": "safe", "r2": "unreadable", "q": "unreadable"}
    assert "its hash" in several("replay", "--all").out


def test_a_script_that_is_not_deterministic_is_found(dwf: Terminal) -> None:
    """Fails when only edited code can be found to differ."""
    dwf.script.write_text("import dwf, os\n\nPID = os.getpid()\n\n@dwf.workflow\nasync def main():\n    return PID\n")
    assert outside("start", str(dwf.script), "--id", "r1", "--tick", environ=dwf.environ).code == 0
    said = dwf("replay", "--all")
    assert said.code == 65 and said.out.endswith("the script returns something else\n")


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        ((), 2, "nothing to replay"),
        (("r1", "--all"), 2, "RUN and --all exclude each other"),
        (("-l", "--all"), 2, "RUN and --all exclude each other"),
        (("--all", "--pdb"), 2, "for one run"),
        (("--all", "--stop-at", "3"), 2, "for one run"),
        (("--all", "--against", "nowhere.py"), 4, "no script nowhere.py"),
    ],
)
def test_what_does_not_go_together_is_refused(dwf: Terminal, run: str, words: list[str], code: int, what: str) -> None:
    said = dwf("replay", *words)
    assert said.code == code and what in said.error


def test_where_nothing_was_started_there_is_nothing_to_replay(dwf: Terminal) -> None:
    said = dwf("replay", "--all")
    assert (said.code, said.out, said.err) == (0, "", "no runs to replay\n")

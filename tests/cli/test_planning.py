"""`dwf plan` and `dwf test`: how a run may go, without anything being done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Terminal

BOOK = """
import dwf

@dwf.activity
def drain(host: str) -> int:
    with open({mark!r}, "a") as file:
        file.write("really done")
    return 5

@dwf.activity
def undrain() -> None: ...

@dwf.activity
def page() -> None: ...

@dwf.workflow
async def main(host: str, big: bool = False):
    left = await drain(host)
    if left > 100:
        await page()
    out = await dwf.sh("touch", {mark!r})
    await dwf.sleep("10m", "soak")
    try:
        await dwf.approve("Switch?", by="@oncall", need=2, timeout="4h")
    except dwf.ApprovalRejected:
        await undrain()
        return "back"
    return left
"""


@pytest.fixture
def book(dwf: Terminal) -> Terminal:
    dwf.script.write_text(BOOK.format(mark=str(dwf.directory / "mark")))
    return dwf


def kinds(plan: dict[str, Any]) -> list[str]:
    return [f"{row['kind']} {row['what']}".split("  ")[0] for row in plan["steps"]]


def nothing_was_done(dwf: Terminal) -> None:
    assert not (dwf.directory / "mark").exists() and not dwf.home.exists()
    assert list((dwf.directory / "cache" / "dwf" / "scratch").iterdir()) == []


def test_a_plan_tells_steps_waits_and_questions_and_does_nothing(book: Terminal) -> None:
    """Fails when a step of a plan is performed."""
    said = book("plan", str(book.script), "host=web1")
    assert said.code == 0, said.err
    assert [line.split()[1] for line in said.out.splitlines()[1:]] == ["step", "step", "wait", "question", "completed"]
    assert "+10m  question" in said.out and "(assumed: yes)" in said.out
    nothing_was_done(book)


def test_what_is_set_decides_the_branches(book: Terminal) -> None:
    (plan,) = book("plan", str(book.script), "host=web1", "--set", "drain=500", "--json").json["plans"]
    assert kinds(plan)[:2] == ['step drain("web1")', "step page()"] and plan["status"] == "completed"
    assert plan["steps"][-1]["what"] == "-> 500"


@pytest.mark.parametrize(
    ("assume", "status", "last"), [("no", "completed", '-> "back"'), ("timeout", "completed", '-> "back"')]
)
def test_a_question_may_be_assumed_to_come_to_something_else(
    book: Terminal, assume: str, status: str, last: str
) -> None:
    (plan,) = book("plan", str(book.script), "host=web1", "--assume", assume, "--json").json["plans"]
    assert (plan["status"], plan["steps"][-1]["what"]) == (status, last) and "step undrain()" in kinds(plan)
    hours = plan["steps"][-1]["after_us"] // 3_600_000_000
    assert hours == (4 if assume == "timeout" else 0)


def test_of_an_open_run_it_says_what_comes_next_and_leaves_it_as_it_is(book: Terminal) -> None:
    """Fails when a plan of a run writes to the run."""
    text = BOOK.format(mark=str(book.directory / "mark")).replace(', by="@oncall", need=2', "").replace("10m", "0s")
    book.script.write_text(text)
    assert book("start", str(book.script), "host=web1", "--id", "r1", "--tick").code == 0
    before, done = book.history("r1").read_bytes(), (book.directory / "mark").read_bytes()

    plans = {plan["assume"]: plan for plan in book("plan", "r1", "--json").json["plans"]}

    assert list(plans) == ["yes", "no", "timeout"]
    assert kinds(plans["yes"]) == ['question "Switch?"', "completed -> 5"]
    assert kinds(plans["no"])[1:] == ["step undrain()", 'completed -> "back"']
    assert plans["timeout"]["steps"][1]["after_us"] > 3 * 3_600_000_000
    assert book.history("r1").read_bytes() == before and (book.directory / "mark").read_bytes() == done
    book("approve", "r1", "--tick")
    assert book("plan", "r1").code == 7


ASKS = """
import dwf

@dwf.activity
def drain(host: str) -> int: ...

@dwf.workflow
async def main(host: str = "web1"):
    await dwf.approve("Begin?")
    await drain(host)
    try:
        await dwf.approve("Switch?", timeout="4h")
    except dwf.ApprovalRejected:
        await dwf.approve("Go back?", timeout="1h")
        return "back"
    await dwf.wait_signal("checked", timeout="2h", default=None)
    return "done"
"""


def test_a_plan_goes_on_to_the_questions_behind_the_first(dwf: Terminal) -> None:
    """Fails when only the first question of a run comes to more than yes."""
    dwf.script.write_text(ASKS)
    dwf("start", str(dwf.script), "--id", "r1", "--tick")
    said = dwf("plan", "r1", "--json").json
    ways = [
        (plan["assume"], *(f"{then['assume']} {then['what']}" for then in plan["then"]), plan["status"])
        for plan in said["plans"]
    ]
    assert ways == [
        ("yes", "completed"),
        ("no", "failed"),
        ("failure", "failed"),
        ("yes", 'no "Switch?"', "completed"),
        ("yes", 'timeout "Switch?"', "completed"),
        ("yes", "timeout checked", "completed"),
        ("yes", 'no "Switch?"', 'no "Go back?"', "failed"),
        ("yes", 'no "Switch?"', 'timeout "Go back?"', "failed"),
        ("yes", 'timeout "Switch?"', 'no "Go back?"', "failed"),
        ("yes", 'timeout "Switch?"', 'timeout "Go back?"', "failed"),
    ]
    assert not said["more"]
    last = said["plans"][-1]["steps"]
    assert [row["what"] for row in last[:4]] == ['"Begin?"', 'drain("web1")', '"Switch?"', '"Go back?"']
    assert last[-1]["after_us"] >= 5 * 3_600_000_000
    told = dwf("plan", "r1").out
    assert 'on yes, then no to "Switch?", then nobody answers "Go back?"  -> failed' in told
    assert 'as "on yes, then no to "Switch?"" so far' in told
    assert len(dwf("plan", "r1", "--assume", "no", "--json").json["plans"]) == 1


def test_a_plan_of_many_questions_ends_and_says_so(dwf: Terminal) -> None:
    many = "".join(f'    await dwf.wait_signal("s{n}", timeout="1h", default=None)\n' for n in range(9))
    dwf.script.write_text(f"import dwf\n@dwf.workflow\nasync def main():\n{many}")
    dwf("start", str(dwf.script), "--id", "r1", "--tick")
    said = dwf("plan", "r1", "--json").json
    assert len(said["plans"]) == 16 and said["more"]
    assert dwf("plan", "r1").out.splitlines()[-1].startswith("these are 16 ways, and there are more")


def test_the_next_step_of_an_open_run_may_fail(book: Terminal) -> None:
    text = BOOK.format(mark=str(book.directory / "mark")).replace('dwf.sleep("10m", "soak")', 'dwf.wait_signal("go")')
    book.script.write_text(text.replace("    try:", "    await drain(host)\n    try:"))
    book("start", str(book.script), "host=web1", "--id", "r1", "--tick")
    plans = {plan["assume"]: plan for plan in book("plan", "r1", "--set", 'go={"n": 1}', "--json").json["plans"]}
    assert plans["yes"]["steps"][0]["assumed"] == 'it comes, with {"n":1}'
    assert (plans["failure"]["status"], kinds(plans["failure"])[1:3]) == (
        "failed",
        ['step drain("web1")', "fails drain"],
    )


def test_a_script_that_blocks_on_the_way_is_told_with_the_line(book: Terminal) -> None:
    book.script.write_text(book.script.read_text().replace("return left", 'return {}["x"]'))
    said = book("plan", str(book.script), "host=web1")
    assert said.code == 1 and "it is blocked: " in said.out and "book.py:28" in said.out


@pytest.mark.parametrize(
    ("words", "code"),
    [(["r9"], 4), (["nothing.py"], 4), (["r1", "host=x"], 2), (["{script}", "nosuch=1"], 2),
     (["{script}", "host=a", "--set", "x"], 2)],
)  # fmt: skip
def test_what_cannot_be_planned_is_refused(book: Terminal, words: list[str], code: int) -> None:
    said = book("plan", *(word.format(script=book.script) for word in words))
    assert said.code == code and "hint: " in said.err


@pytest.mark.parametrize("verb", ["plan", "test"])
def test_what_is_set_for_nothing_is_warned_of_and_broken_json_is_refused(book: Terminal, verb: str) -> None:
    said = book(verb, str(book.script), "host=a", "--set", "typo=3", "--set", "drain=2")
    assert "warning: --set typo: no way came to a step" in said.err and "--set drain" not in said.err
    assert book(verb, str(book.script), "host=a", "--set", "drain={").code == 2


# -- dwf test ---------------------------------------------------------------------------------------------------


def test_each_way_is_played_and_the_harder_ones_come_to_the_same(book: Terminal) -> None:
    said = book("test", str(book.script), "host=web1", "--paranoid", "--crash-everywhere", "--json")
    assert said.code == 0 and said.json["holds"]
    ways = [(way["assume"], way["mode"]) for way in said.json["ways"]]
    assert ways == [(a, m) for a in ("yes", "no", "timeout", "failure") for m in ("normal", "paranoid", "dying")]
    assert all(way["deaths"] > 0 for way in said.json["ways"] if way["mode"] == "dying")
    nothing_was_done(book)


def test_a_script_that_comes_to_something_else_when_its_process_dies_is_found(book: Terminal) -> None:
    """Fails when a run of a harder way is not held against that of the usual one."""
    once = "@dwf.activity(retry=dwf.Retry(max_attempts=1))\ndef drain"
    book.script.write_text(book.script.read_text().replace("@dwf.activity\ndef drain", once))
    assert book("test", str(book.script), "host=web1", "--paranoid").code == 0
    said = book("test", str(book.script), "host=web1", "--crash-everywhere")
    assert said.code == 1 and "FAILED" in said.out and "without that it comes to: completed -> 1" in said.out


def test_a_script_that_returns_the_time_comes_to_the_same_when_its_process_dies(book: Terminal) -> None:
    """Fails when the clock of a play goes on because somebody has looked at it."""
    book.script.write_text("""
import dwf

@dwf.activity
def look(n: int) -> int:
    return n

@dwf.workflow
async def main() -> str:
    await look(1)
    await dwf.sleep("1h")
    await look(2)
    return dwf.now().isoformat()
""")
    said = book("test", str(book.script), "--crash-everywhere")
    assert said.code == 0 and said.out.count('"2026-01-01T01:00:00+00:00"') == 6


def test_a_step_that_asks_a_person_after_a_crash_ends_the_play_there(book: Terminal) -> None:
    asks = '@dwf.activity(on_crash="ask")\ndef drain'
    book.script.write_text(book.script.read_text().replace("@dwf.activity\ndef drain", asks))
    said = book("test", str(book.script), "host=web1", "--crash-everywhere")
    assert said.code == 1 and "it waits for what cannot be assumed: waiting; it waits for step drain" in said.out


def test_what_no_way_comes_to_is_told_by_line(book: Terminal) -> None:
    """Fails when a line that was never come through is not told, or one that was is."""
    said = book("test", str(book.script), "host=web1", "--coverage", "--json")
    assert [line["source"] for line in said.json["missed_lines"]] == ["await page()"]
    assert [step["step"] for step in said.json["missed_steps"]] == ["step page"]
    told = book("test", str(book.script), "host=web1", "--coverage").out
    assert "never   book.py:20  await page()" in told and "9 of 10 lines" in told
    assert "never   book.py:19  if left > 100: never true" in told and "2 of 3 branches taken" in told
    told = book("test", str(book.script), "host=web1", "--coverage", "--set", "drain=101").out
    assert [line for line in told.splitlines() if "never" in line] == ["never   book.py:19  if left > 100: never false"]


BRANCHES = """
import dwf

@dwf.activity
def drain(host: str) -> int: ...

@dwf.activity(name="put-back")
def undrain(host: str) -> None: ...

@dwf.workflow
async def kid() -> int:
    return await drain("kid")

@dwf.workflow
async def main():
    left = await drain("web1")
    if left == 1: print("one")
    if left:
        print("some")
    elif await drain("other"):
        print("none")
    for n in range(left):
        print(n)
    for n in range(left - 1):
        print(n)
    while left > 1:  # never
        left -= 1
    match left:
        case 1 if left:
            print("one")
        case _:
            print("more")
    if dwf.patched("new"):
        pass
    else:
        await drain("old")
    await kid()
    try:
        async with dwf.saga() as saga:
            await saga.step(drain("a"), undo=undrain("a"))
            await saga.step(drain("b"), undo=[dwf.sh("switch", "on", "b"), dwf.sh("echo", "b")])
            await dwf.approve("Go on?", timeout="4h")
            saga.keep()
            await saga.step(drain("c"), undo=dwf.sh("switch", "on", "c"))
    except dwf.ApprovalRejected:
        return "no"
    except (TimeoutError, ValueError):
        return "time"
"""


def test_branches_that_no_way_takes_and_undos_that_none_runs_are_told(dwf: Terminal) -> None:
    """Fails when a condition that was never false is told only where there is an else."""
    dwf.script.write_text(BRANCHES)
    found = dwf("test", f"{dwf.script}:main", "--coverage", "--json").json
    assert [(one["at"].partition(":")[2], one["branch"]) for one in found["missed_branches"]] == [
        ("17", "if left == 1: never false"),
        ("18", "if left: never false"),
        ("24", "for n in range(left - 1): never entered"),
        ("26", "while left > 1: never entered"),
        ("31", "case _: never matched"),
        ("47", "except (TimeoutError, ValueError): never ran"),
    ]
    assert (found["branches"], found["branches_taken"]) == (13, 5)
    assert [one["undo"] for one in found["missed_undos"]] == ["undo=dwf.sh('switch', 'on', 'c'): never ran"]
    assert found["missed_steps"] == []


def test_what_killed_processes_have_left_is_swept(book: Terminal) -> None:
    left = book.directory / "cache" / "dwf" / "scratch" / "4194305"
    mine = left.with_name(str(os.getppid()))
    for place in (left, mine):
        Path(place / "x").mkdir(parents=True)
    book("plan", str(book.script), "host=web1")
    assert not left.exists() and mine.exists()


SIGNALLED = """
import dataclasses
import dwf

@dataclasses.dataclass
class Order:
    size: int

@dwf.workflow
async def main() -> object:
    return await dwf.wait_signal("go", type={kind})

@dwf.workflow
async def adds() -> int:
    total = 0
    async for n in dwf.signals("go", type=int):
        total += n
        if total > 20:
            return total
"""


def signalled(dwf: Terminal, kind: str) -> str:
    dwf.script.write_text(SIGNALLED.format(kind=kind))
    return str(dwf.script)


@pytest.mark.parametrize(("kind", "came"), [("int", "1"), ("str", '"text"'), ("dict[str, int]", "{}"), ("list", "[]")])
def test_a_signal_brings_the_plainest_value_that_is_taken(dwf: Terminal, kind: str, came: str) -> None:
    """Fails when a signal that is passed over is sent again and again, and the plan never ends."""
    said = dwf("plan", f"{signalled(dwf, kind)}:main")
    assert said.code == 0 and f"completed  -> {came}" in said.out


def test_a_signal_that_takes_nothing_plain_is_told_and_may_be_given(dwf: Terminal) -> None:
    script = f"{signalled(dwf, 'Order')}:main"
    assert "whatever plain value it brings; --set go=JSON" in dwf("plan", script).out
    assert 'completed  -> {"size":4}' in dwf("plan", script, "--set", 'go={"size": 4}').out
    assert "with what was given for it" in dwf("plan", script, "--set", "go=4").out


def test_a_script_that_counts_its_signals_gets_as_many(dwf: Terminal) -> None:
    assert "completed  -> 27" in dwf("plan", f"{signalled(dwf, 'int')}:adds", "--set", "go=9").out

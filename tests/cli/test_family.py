"""Runs that belong together: the tree of children, and one history out of many instances."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.terminal import Said, Terminal

BOOK = """
import dwf

@dwf.workflow
async def leaf(n: int) -> int:
    if n:
        await dwf.wait_signal("go")
    return n

@dwf.workflow
async def top() -> None:
    await leaf(0)
    dwf.start_child(leaf.options(id="alone", on_close="abandon"), 1)
    await leaf(2)

@dwf.workflow
async def rounds(n: int = 1) -> str:
    if n < 3:
        return dwf.continue_as_new(n=n + 1)
    return "done"
"""


def ok(dwf: Terminal, *words: str) -> Said:
    said = dwf(*words)
    assert said.code == 0, said.err
    return said


@pytest.fixture
def book(tmp_path: Path) -> str:
    path = tmp_path / "family.py"
    path.write_text(BOOK)
    return str(path)


def test_a_tree_shows_each_run_below_the_one_that_made_it(dwf: Terminal, book: str) -> None:
    ok(dwf, "start", f"{book}:top", "--id", "t1")
    ok(dwf, "tick")

    lines = ok(dwf, "tree", "t1").out.splitlines()

    assert [line.split()[:2] for line in lines] == [
        ["t1", "waiting"],
        ["t1.1", "completed"],
        ["alone", "waiting"],
        ["t1.3", "waiting"],
    ]
    assert lines[1].startswith("  t1.1") and "abandon on close" in lines[2] and "waits for signal go" in lines[3]


def test_a_child_that_was_never_made_is_told_as_that(dwf: Terminal, book: str) -> None:
    ok(dwf, "start", f"{book}:leaf", "n=1", "--id", "alone")
    ok(dwf, "start", f"{book}:top", "--id", "t1")
    dwf("tick")

    assert "not made" in ok(dwf, "tree", "t1").out


def test_a_tree_is_a_document_and_a_list_of_ids(dwf: Terminal, book: str) -> None:
    ok(dwf, "start", f"{book}:top", "--id", "t1")
    ok(dwf, "tick")

    found = ok(dwf, "tree", "t1", "--json").json
    assert found["schema"] == "dwf.tree/1" and [r["depth"] for r in found["runs"]] == [0, 1, 1, 1]
    assert ok(dwf, "tree", "t1", "-o", "name").out.split() == ["t1", "t1.1", "alone", "t1.3"]


def test_a_run_says_whose_child_it_is(dwf: Terminal, book: str) -> None:
    ok(dwf, "start", f"{book}:top", "--id", "t1")
    ok(dwf, "tick")

    assert "run t1 has started it" in ok(dwf, "show", "t1.3").out
    shown = ok(dwf, "show", "t1").out
    assert "child run t1.3" in shown and "dwf tree t1" in shown


def test_a_history_tells_all_instances_one_after_the_other(dwf: Terminal, book: str) -> None:
    ok(dwf, "start", f"{book}:rounds", "--id", "r1")
    ok(dwf, "tick")

    lines = ok(dwf, "history", "r1").out.splitlines()[1:]

    assert [line.split()[2] for line in lines] == [
        *["WorkflowStarted", "WorkflowContinuedAsNew"] * 2,
        "WorkflowStarted",
        "WorkflowCompleted",
    ]
    assert "instance 2, continued" in lines[2]
    assert "instance 3 of a run that continues" in ok(dwf, "show", "r1").out


def test_of_a_chain_one_instance_can_be_asked_for(dwf: Terminal, book: str) -> None:
    ok(dwf, "start", f"{book}:rounds", "--id", "r1")
    ok(dwf, "tick")

    assert "rounds(n=2)" in ok(dwf, "history", "r1", "--instance", "2").out
    refused = dwf("history", "r1", "--instance", "9")
    assert refused.code == 4 and "no instance 9" in refused.err


def test_the_stored_lines_of_a_chain_come_in_their_order(dwf: Terminal, book: str) -> None:
    ok(dwf, "start", f"{book}:rounds", "--id", "r1")
    ok(dwf, "tick")

    events = [json.loads(line) for line in ok(dwf, "history", "r1", "-o", "jsonl").out.splitlines()]
    assert [event["id"] for event in events] == [1, 2] * 3
    document = ok(dwf, "history", "r1", "--json").json
    assert document["instance"] == 3 and [one["instance"] for one in document["before"]] == [1, 2]


def test_run_follows_children_and_instances_to_the_end(dwf: Terminal, book: str) -> None:
    told = ok(dwf, "run", f"{book}:rounds", "--id", "r1")
    assert told.out.strip() == '"done"'
    assert told.err.count("goes on in the next instance") == 2

"""One verb for many runs: shown and asked first, each told, and none skipped because another refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pexpect
import pytest

from dwf.cli.exits import Exit
from dwf.core import events as ev
from dwf.engine import post
from dwf.errors import WrongState
from tests.cli.terminal import Terminal


@pytest.fixture
def fleet(dwf: Terminal) -> Terminal:
    """Three that wait, two of them in production, and one that is done."""
    for run, env in (("w1", "prod"), ("w2", "prod"), ("w3", "test")):
        dwf.driven("waits", "--id", run, "--tag", f"env={env}")
    dwf.driven("quick", "--id", "done", "--tag", "env=prod")
    return dwf


PROD = ("--where", "tag.env = 'prod'")


def states(dwf: Terminal) -> list[str]:
    return [dwf("show", run, "--json").json["status"] for run in ("w1", "w2", "w3")]


def test_a_signal_reaches_all_that_are_meant_and_open(fleet: Terminal) -> None:
    said = fleet("signal", *PROD, "go", "n=1", "-y", "-m", "window")
    assert said.code == 0
    assert said.out.splitlines() == ['w2: signal go {"n":1}', 'w1: signal go {"n":1}']
    assert "acted on by the next tick" in said.err
    fleet("tick")
    assert states(fleet) == ["completed", "completed", "waiting"]
    assert fleet("result", "w1").json == {"n": 1}


def test_a_tag_or_a_workflow_selects_as_well(fleet: Terminal) -> None:
    assert fleet("signal", "--tag", "env=test", "go", "-y", "-o", "name").code == 0
    assert fleet("cancel", "--workflow", "waits", "--status", "waiting", "-y", "-m", "enough").code == 0
    fleet("tick")
    # The signal came first.
    assert states(fleet) == ["cancelled", "cancelled", "completed"]


def test_ending_many_records_why_for_each(fleet: Terminal) -> None:
    assert fleet("terminate", *PROD, "-y", "-m", "site is gone").out.splitlines() == [
        "w2 is to end without cleanup",
        "w1 is to end without cleanup",
    ]
    fleet("tick")
    assert states(fleet) == ["terminated", "terminated", "waiting"]
    events = [json.loads(line) for line in fleet("history", "w1", "-o", "jsonl").out.splitlines()]
    assert events[-1]["type"] == ev.WorkflowTerminated.__name__ and events[-1]["reason"] == "site is gone"


def test_without_a_terminal_nothing_is_done_that_nobody_has_said_yes_to(fleet: Terminal) -> None:
    for words in (("signal", *PROD, "go"), ("cancel", *PROD, "-m", "x"), ("terminate", *PROD, "-m", "x")):
        said = fleet(*words)
        assert said.code == 2 and "nobody to ask whether to" in said.error and "2 runs" in said.error
        assert "-y" in said.hint and "--dry-run" in said.hint
    fleet("tick")
    assert states(fleet) == ["waiting"] * 3


def test_a_dry_run_says_which_and_changes_nothing(fleet: Terminal) -> None:
    for verb in (("signal", *PROD, "go"), ("cancel", *PROD), ("terminate", *PROD)):
        said = fleet(*verb, "--dry-run")
        assert (said.code, said.out) == (0, "w2\nw1\n") and "2 runs; nothing was changed" in said.err
        assert fleet(*verb, "--dry-run", "--json").json == {
            "schema": "dwf.selected/1",
            "total": 2,
            "runs": ["w2", "w1"],
        }
    fleet("tick")
    assert states(fleet) == ["waiting"] * 3


def test_none_that_fit_is_no_failure(fleet: Terminal) -> None:
    said = fleet("cancel", "--where", "id = 'nobody'", "-y", "-m", "x")
    assert (said.code, said.out) == (0, "") and "no such runs" in said.err


def test_one_that_refuses_does_not_keep_the_others_from_it(fleet: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has ended between the look and the deed. Fails when the first refusal ends the command."""
    really = post.signal

    def signal(store, run, *more):  # type: ignore[no-untyped-def]
        if run == "w2":
            raise WrongState(what="run w2 is completed; nothing reaches it any more", hint="see how it ended")
        return really(store, run, *more)

    monkeypatch.setattr(post, "signal", signal)
    said = fleet("signal", *PROD, "go", "-y")
    assert said.code == Exit.FAILED and said.out == "w1: signal go\n"
    assert "error: run w2 is completed" in said.err and "refused for 1 of 2 runs: w2" in said.err


def test_with_a_key_it_does_no_harm_to_say_it_again(fleet: Terminal) -> None:
    for _ in range(2):
        assert fleet("signal", "--workflow", "waits", "go", "-y", "--key", "change-1").code == 0
    said = fleet("signal", "--workflow", "waits", "go", "-y", "--key", "change-1", "-o", "jsonl")
    assert [json.loads(line)["duplicate"] for line in said.out.splitlines()] == [True] * 3
    assert len(list(Path(fleet.home / "mail" / "new").iterdir())) == 3


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("cancel", "w1", "--dry-run"), "--dry-run is for"),
        (("cancel", *PROD, "--tick", "-y", "-m", "x"), "--tick is for one run"),
        (("cancel", "-l", *PROD, "-y", "-m", "x"), "exclude each other"),
        (("signal", *PROD, "go", "--start", "book.py"), "exclude each other"),
        (("cancel", "w1", *PROD, "-y", "-m", "x"), "unexpected extra argument"),
        (("cancel", "--where", "statsu = 'x'", "-y", "-m", "x"), "no column statsu"),
        (("signal", *PROD), "missing argument"),
        (("cancel",), "missing argument"),
    ],
)
def test_what_does_not_go_together_is_refused(fleet: Terminal, words: tuple[str, ...], what: str) -> None:
    said = fleet(*words)
    assert said.code == 2 and what in said.error.lower()


def test_on_a_terminal_they_are_shown_and_it_asks(fleet: Terminal, spawn: Any) -> None:
    for answer, state in (("n", "waiting"), ("y", "cancelled")):
        child = spawn("cancel", *PROD, "-m", "enough")
        child.expect("WORKFLOW")
        child.expect("w2")
        child.expect(r"cancel 2 runs\? \[y/N\]")
        child.sendline(answer)
        child.expect(pexpect.EOF)
        fleet("tick")
        assert states(fleet) == [state, state, "waiting"]


# -- why --------------------------------------------------------------------------------------------------------


def test_ending_a_run_needs_a_reason(fleet: Terminal) -> None:
    """Fails when a run can be cancelled without a word."""
    for words in (("cancel", "w1"), ("terminate", "w1", "-y"), ("cancel", "w1", "-m", "  "), ("cancel", *PROD, "-y")):
        said = fleet(*words)
        assert said.code == 2 and "needs a reason" in said.error and "DWF_REASON" in said.hint
    assert list(Path(fleet.home / "mail" / "new").iterdir()) == []


def test_the_environment_gives_a_reason_and_the_option_wins(fleet: Terminal) -> None:
    fleet("cancel", "w1", DWF_REASON="CHG-1")
    fleet("cancel", "w2", "-m", "mine", DWF_REASON="CHG-1")
    fleet("signal", "w3", "go", DWF_REASON="CHG-1")
    fleet("tick")
    reasons = [
        event["reason"]
        for run in ("w1", "w2", "w3")
        for event in map(json.loads, fleet("history", run, "-o", "jsonl").out.splitlines())
        if event["type"] in ("CancelRequested", "SignalReceived")
    ]
    assert reasons == ["CHG-1", "mine", "CHG-1"]


def test_on_a_terminal_it_asks_why(fleet: Terminal, spawn: Any) -> None:
    child = spawn("cancel", "w1")
    child.expect("cancelling needs a reason: ")
    child.sendline("wrong host")
    child.expect(pexpect.EOF)
    fleet("tick")
    assert fleet("show", "w1", "--json").json["cancel"]["reason"] == "wrong host"

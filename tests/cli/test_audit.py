"""The audit: every act with who, when, why and what became of it; also those that were refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dwf.cli.catalog import VERBS
from dwf.cli.refusals import changes
from dwf.core import events as ev
from dwf.core.messages import Message
from dwf.engine.audit import _verb
from dwf.store.room import Store
from tests.cli.terminal import Terminal

ME = os.getuid()


def acts(dwf: Terminal, *words: str) -> list[dict[str, Any]]:
    said = dwf("audit", *words, "--json")
    assert said.code == 0, said.err
    assert said.json["schema"] == "dwf.audit/1"
    found: list[dict[str, Any]] = said.json["acts"]
    return found


def whats(dwf: Terminal, *words: str) -> list[tuple[str, str]]:
    return [(act["what"], act["outcome"]) for act in acts(dwf, *words)]


def test_what_was_done_is_told_with_who_when_and_why(dwf: Terminal) -> None:
    run = dwf.driven("asks", "-m", "expires soon")
    dwf("approve", run, "-m", "checked the chain", "--tick")

    started, approved = acts(dwf, run)

    assert (started["what"], started["reason"], started["event"]) == ("start", "expires soon", 1)
    assert (approved["what"], approved["reason"], approved["outcome"]) == ("approve", "checked the chain", "done")
    assert approved["by"]["uid"] == ME and approved["run"] == run
    assert started["at"] < approved["at"]


def test_every_verb_that_changes_a_run_is_an_act(dwf: Terminal) -> None:
    waits, asks, ends = dwf.driven("waits"), dwf.driven("asks"), dwf.driven("sleeps")
    early = dwf.started("waits", "--in", "1h")
    dwf("signal", waits, "go", "-m", "it is time", "--tick")
    dwf("reject", asks, "-m", "wrong", "--tick")
    dwf("cancel", ends, "-m", "enough", "--tick")
    dwf("cancel", early, "-m", "not at all", "--tick")
    blocked = dwf.driven("stumbles")
    mended = dwf.directory / "mended.py"
    mended.write_text(dwf.script.read_text().replace('{}["host"]', "pass"))
    dwf("upgrade", blocked, "--to", f"{mended}", "-m", "bug 4711")
    gone = dwf.driven("waits")
    dwf("terminate", gone, "-y", "-m", "host is gone", "--tick")

    found = {(act["run"], act["what"]): act for act in acts(dwf)}

    for run, what, reason in (
        (waits, "signal go", "it is time"),
        (asks, "reject", "wrong"),
        (ends, "cancel", "enough"),
        (early, "cancel", "not at all"),
        (blocked, "upgrade", "bug 4711"),
        (gone, "terminate", "host is gone"),
    ):
        act = found[run, what]
        assert (act["reason"], act["outcome"], act["by"]["uid"]) == (reason, "done", ME)


def test_an_event_of_a_kind_that_is_new_here_is_told_all_the_same() -> None:
    class StepMarkedDone(ev.Progress, frozen=True, kw_only=True):
        by: ev.Identity | None = None

    assert _verb(StepMarkedDone()) == "step marked done"


def test_what_is_posted_and_not_taken_up_yet_is_told(dwf: Terminal) -> None:
    run = dwf.driven("waits")
    dwf("signal", run, "go", "-m", "now")

    assert ("signal go", "posted") in whats(dwf, run)
    dwf("tick")
    assert whats(dwf, run) == [("start", "done"), ("signal go", "done")]


def test_what_came_late_is_told_with_its_sender(dwf: Terminal) -> None:
    run = dwf.driven("quick")
    store = Store.open(str(dwf.home))
    store.mailbox.post(Message(id="", run=run, kind="signal", name="go", reason="too late"))
    store.index.wake(run)
    dwf("tick")

    late = [act for act in acts(dwf, run) if act["outcome"] == "late"]

    assert [(act["what"], act["by"]["uid"], act["reason"]) for act in late] == [("signal go", ME, "too late")]


def test_mail_that_is_no_message_is_told_with_its_owner(dwf: Terminal) -> None:
    dwf.driven("waits")
    (dwf.home / "mail" / "new" / "rubbish").write_text("x")
    dwf("tick")

    refused = [act for act in acts(dwf) if act["outcome"] == "refused"]

    assert [(act["what"], act["by"]["uid"]) for act in refused] == [("mail", ME)]
    assert "its name is not" in refused[0]["why"]


# -- refused commands -------------------------------------------------------------------------------------------


def refusals(dwf: Terminal) -> list[dict[str, Any]]:
    path = dwf.home / "audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_refused_command_is_written_down_with_who_and_why(dwf: Terminal) -> None:
    run = dwf.driven("quick")

    said = dwf("cancel", run, "-m", "please stop")

    assert said.code == 7
    (line,) = refusals(dwf)
    assert (line["verb"], line["run"], line["reason"], line["exit"]) == ("cancel", run, "please stop", 7)
    assert line["message"] == said.error and line["by"]["uid"] == ME
    assert (dwf.home / "audit.jsonl").stat().st_mode & 0o777 == 0o600
    assert whats(dwf, run) == [("start", "done"), ("cancel", "refused")]


def test_an_id_in_use_and_a_script_that_does_not_fit_are_refusals(dwf: Terminal) -> None:
    run = dwf.driven("waits", "--id", "one")
    assert dwf("start", f"{dwf.script}:quick", "--id", "one").code == 9
    other = dwf.directory / "other.py"
    other.write_text(dwf.script.read_text().replace('wait_signal("go")', 'wait_signal("stop")'))
    assert dwf("upgrade", run, "--to", str(other)).code == 65

    assert [(line["verb"], line["exit"], line["run"]) for line in refusals(dwf)] == [
        ("start", 9, "one"),
        ("upgrade", 65, "one"),
    ]


def test_one_who_may_not_answer_is_written_down(dwf: Terminal) -> None:
    text = dwf.script.read_text().replace('dwf.approve("Drain web1?")', 'dwf.approve("Drain?", by=["@no-such-group"])')
    dwf.script.write_text(text)
    run = dwf.driven("asks_two")

    assert dwf("approve", run, "Drain?").code == 77

    assert [(line["verb"], line["code"]) for line in refusals(dwf)] == [("approve", "not-permitted")]


@pytest.mark.parametrize(
    "words",
    [("show", "nothing"), ("cancel", "nothing"), ("cancel",), ("nonsense",), ("result", "{run}"), ("verify", "{run}")],
    ids=lambda words: words[0],
)
def test_slips_and_looks_are_not_written_down(dwf: Terminal, words: tuple[str, ...]) -> None:
    run = dwf.driven("fails")
    dwf.damage(run)

    assert dwf(*(word.format(run=run) for word in words)).code != 0

    assert refusals(dwf) == []


def test_no_payload_and_no_parameter_is_written_down(dwf: Terminal) -> None:
    run = dwf.driven("quick")

    assert dwf("signal", run, "go", "password=hunter2").code == 7

    assert len(refusals(dwf)) == 1
    assert "hunter2" not in (dwf.home / "audit.jsonl").read_text()


def test_a_line_is_bounded_and_plain_whatever_was_typed(dwf: Terminal) -> None:
    run = dwf.driven("quick")

    assert dwf("cancel", run, "-m", "\x1b]0;pwned\x07\n\u202e" + "ö\U0001f600" * 5000).code == 7

    raw = (dwf.home / "audit.jsonl").read_bytes()
    assert len(raw) <= 4097 and raw.count(b"\n") == 1
    assert raw.strip().decode("ascii").isprintable()
    assert "\x1b" not in dwf("audit").out


@pytest.mark.parametrize("make", ["directory", "loose", "link"])
def test_a_log_that_cannot_be_written_does_not_change_the_answer(dwf: Terminal, make: str) -> None:
    run = dwf.driven("quick")
    expected = dwf("cancel", run, "-m", "why")
    path = dwf.home / "audit.jsonl"
    path.unlink()
    if make == "directory":
        path.mkdir()
    elif make == "link":
        path.symlink_to("/dev/full")
    else:
        path.write_text("")
        path.chmod(0o666)

    said = dwf("cancel", run, "-m", "why")

    assert (said.code, said.out, said.err) == (expected.code, expected.out, expected.err)
    assert make != "loose" or path.read_text() == ""


def test_a_refusal_without_a_state_directory_makes_none(dwf: Terminal, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o777)
    (tmp_path / "elsewhere").chmod(0o777)

    assert dwf("start", f"{dwf.script}:quick", "--home", str(tmp_path / "elsewhere")).code == 77

    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_verbs_that_change_something_are_known_as_such() -> None:
    known = {verb.name for verb in VERBS if changes(verb)}

    assert {"start", "run", "approve", "reject", "signal", "cancel", "terminate", "upgrade", "adopt"} <= known
    assert not {"tick", "inbox", "list", "show", "history", "audit", "verify", "help"} & known


# -- how it is shown --------------------------------------------------------------------------------------------


def test_the_audit_of_all_is_in_one_order_of_time(dwf: Terminal) -> None:
    one = dwf.driven("quick")
    dwf("cancel", one, "-m", "why")
    two = dwf.driven("waits")
    dwf("signal", two, "go")

    found = acts(dwf)

    assert [act["at"] for act in found] == sorted(act["at"] for act in found)
    assert [(act["run"], act["outcome"]) for act in found] == [
        (one, "done"),
        (one, "refused"),
        (two, "done"),
        (two, "posted"),
    ]
    lines = dwf("audit", "-o", "jsonl").out.splitlines()
    assert [json.loads(line)["at"] for line in lines] == [act["at"] for act in found]
    assert dwf("audit", "-o", "name").out.split() == [one, two]


def test_the_audit_begins_where_it_is_asked_to(dwf: Terminal) -> None:
    dwf.driven("quick")

    assert len(acts(dwf, "--since", "1h ago")) == 1
    assert acts(dwf, "--since", "now") == []
    assert dwf("audit", "--since", "tomorrow").code == 2
    assert dwf("audit", "--since", "when it rained").code == 2


def test_the_audit_fits_a_terminal(dwf: Terminal) -> None:
    run = dwf.driven("quick", "--id", "q1", "-m", "a reason that goes on and on, " * 5)
    dwf("cancel", run, "-m", "why")

    said = dwf("audit", COLUMNS="80")

    assert "    run q1 is completed; nothing reaches it any more (7)" in said.out.splitlines()
    assert all(len(line) <= 80 for line in said.out.splitlines())
    assert len(dwf("audit").out.splitlines()) == 3  # in a pipe, a line each


def test_a_run_to_which_nobody_did_anything_is_not_found(dwf: Terminal) -> None:
    assert dwf("audit").code == 0
    assert dwf("audit", "nothing").code == 4
    dwf.driven("quick")
    assert dwf("audit", "nothing").code == 4


def test_a_run_that_is_gone_is_still_in_the_audit(dwf: Terminal) -> None:
    run = dwf.driven("quick")
    dwf("cancel", run, "-m", "why")
    dwf.history(run).unlink()

    assert whats(dwf, run) == [("cancel", "refused")]


TWO_STEPS = """
import dwf

@dwf.activity
def check() -> int:
    return 1

@dwf.activity(retry=dwf.Retry(max_attempts=1))
def drain(free: int) -> int:
    if free < 2:
        raise ValueError("no room")
    return free

@dwf.workflow
async def main() -> int:
    free = await check()
    await dwf.approve("Drain?")
    return await drain(free)
"""


def test_who_goes_on_from_a_line_has_done_that_then_and_nothing_of_what_those_lines_tell(dwf: Terminal) -> None:
    """Fails when a retry, a fork or a reset is told as a start, at the time of the first, or has its answers again."""
    dwf.script.write_text(TWO_STEPS)
    dwf("start", str(dwf.script), "--id", "j1", "--tick")
    dwf("approve", "j1", "-m", "fine", "--tick")
    assert dwf("retry", "j1", "-m", "more room").code == 0
    assert dwf("tick").code == 1
    assert dwf("reset", "j1", "--from", "drain", "-m", "once more").code == 0
    assert dwf("fork", "j1", "--id", "j1b", "--set", "check=3", "--line", "7", "-m", "as if").code == 0

    found = acts(dwf)

    told = [(act["run"], act["instance"], act["what"], act["reason"]) for act in found]
    assert told == [
        ("j1", 1, "start", ""),
        ("j1", 1, "approve", "fine"),
        ("j1", 2, "retry", "more room"),
        ("j1", 3, "reset", "once more"),
        ("j1b", 1, "fork", "as if"),
        ("j1b", 1, "fork --set", "as if"),
    ]
    assert [act["at"] for act in found] == sorted(act["at"] for act in found)
    assert "retry of j1" in dwf("history", "j1", "--instance", "2").out


def test_a_signal_that_a_reset_sends_again_is_told_once(dwf: Terminal) -> None:
    run = dwf.driven("waits")
    dwf("signal", run, "go", "-m", "it is time", "--tick")
    assert dwf("reset", run, "--from", "first", "-m", "again").code == 0
    assert [act["what"] for act in acts(dwf, run)] == ["start", "signal go", "reset"]

"""dwf pause and dwf resume."""

from __future__ import annotations

from typing import Any

import pexpect
import pytest

from dwf.cli.idle import nothing_to_do
from tests.cli.terminal import Terminal


def test_a_run_is_paused_and_resumed_with_a_reason(dwf: Terminal) -> None:
    run = dwf.driven("waits")
    assert dwf("pause", run).code == 2, "it needs a reason"
    said = dwf("pause", run, "-m", "change freeze")
    assert (said.code, said.out) == (0, f"{run} is to be paused\n")
    assert dwf("show", run, "--json").json["status"] == "waiting", "nobody has acted on it"
    for again in ("pause", "resume"):
        said = dwf(again, run, "-m", "two at once")
        assert said.code == 7 and "decided already: pause by" in said.error and "dwf tick" in said.hint
    dwf("tick")
    shown = dwf("show", run)
    assert "nothing of it begins" in shown.out and "change freeze" in shown.out and f"dwf resume {run}" in shown.out
    assert "change freeze" in dwf("list").out and "change freeze" in dwf("inbox").out
    assert dwf("pause", run, "-m", "x").code == 7
    assert dwf("resume", run, "-m", "over", "--tick").code == 0
    assert dwf("show", run, "--json").json["status"] == "waiting"
    told = dwf("audit", run).out
    assert "pause" in told and "resume" in told and "change freeze" in told
    assert "nothing of it begins" in dwf("history", run).out


def test_all_runs_of_a_workflow_are_paused_after_a_question(dwf: Terminal) -> None:
    runs = {dwf.driven("waits") for _ in range(3)}
    other = dwf.driven("asks")
    assert set(dwf("pause", "--workflow", "waits", "--dry-run").out.split()) == runs
    assert dwf("pause", "--workflow", "waits", "-m", "freeze").code == 2, "there is nobody to ask"
    assert dwf("pause", "--workflow", "waits", "-m", "freeze", "-y").code == 0
    dwf("tick")
    assert set(dwf("list", "--status", "paused", "-o", "name").out.split()) == runs
    assert dwf("show", other, "--json").json["status"] == "waiting"
    assert dwf("resume", "--status", "paused", "-m", "over", "-y").code == 0
    dwf("tick")
    assert dwf("list", "--status", "paused", "-o", "name").out == ""


def test_everything_is_paused_and_every_screen_says_so(
    dwf: Terminal, monkeypatch: pytest.MonkeyPatch, spawn: Any
) -> None:
    """Fails when somebody looks for hours why nothing happens."""
    run = dwf.driven("asks")
    assert dwf("pause", "--everything").code == 2, "it needs a reason"
    said = dwf("pause", "--everything", "-m", "the SAN is moved")
    assert (said.code, said.out) == (0, "everything is paused\n")
    told = "everything is paused: by"
    said = dwf("approve", run, "-m", "fine").err
    assert told in said and "acted on by the first tick after dwf resume --everything\n" in said
    assert told in dwf("inbox").err and told in dwf("list").err
    shown = dwf("show", run)
    assert told in shown.err and "taken up when everything is resumed" in shown.out
    assert 'next     dwf resume --everything -m "..."' in shown.out
    assert "everything is paused by" in dwf("doctor").out
    assert dwf("tick").out == "" and dwf("show", run, "--json").json["status"] == "waiting"
    monkeypatch.setenv("DWF_HOME", str(dwf.home))
    monkeypatch.setattr("os.isatty", lambda _: False)
    assert nothing_to_do(["tick"]), "and its ticks cost nothing"
    monkeypatch.undo()
    child = spawn("tick")
    child.expect("everything is paused: by")
    child.expect(pexpect.EOF)
    assert dwf("pause", "--everything", "-m", "x").code == 7
    assert dwf("resume", "--everything", "-m", "it is back").out == "everything goes on\n"
    dwf("tick")
    assert dwf("show", run, "--json").json["status"] == "completed"
    assert dwf("resume", "--everything", "-m", "x").code == 7


def test_a_workflow_is_paused_with_what_is_started_of_it_later(dwf: Terminal) -> None:
    run = dwf.driven("waits")
    other = dwf.driven("asks")
    told = dwf("pause", "--workflow", "waits", "--dry-run")
    assert told.out == f"{run}\n" and "every run of waits that is started later; nothing was changed" in told.err
    said = dwf("pause", "--workflow", "waits", "-m", "freeze", "-y")
    assert said.code == 0 and "workflow waits is paused" in said.out and "dwf resume --workflow waits" in said.err
    late = dwf.driven("waits")
    assert "workflow waits is paused: by" in dwf("list").err and "freeze" in dwf("show", other).err
    assert "workflow waits is paused" in dwf("doctor").out
    dwf("tick")
    assert set(dwf("list", "--status", "paused", "-o", "name").out.split()) == {run, late}
    assert dwf("pause", "--workflow", "waits", "-m", "again", "-y").err == "no such runs; nothing was changed\n"
    said = dwf("resume", "--workflow", "waits", "-m", "over", "-y")
    assert said.code == 0 and "workflow waits goes on" in said.out and f"{late} is to go on" in said.out
    dwf("tick")
    dwf.driven("waits")
    assert dwf("list", "--status", "paused", "-o", "name").out == ""
    audit = dwf("audit").out
    assert "pause workflow waits" in audit and "resume workflow waits" in audit
    assert "paused" not in dwf("list").err


def test_a_workflow_without_runs_can_be_paused_and_with_other_filters_it_is_for_open_runs_only(dwf: Terminal) -> None:
    dwf.driven("asks")
    assert dwf("pause", "--workflow", "waits", "-m", "freeze", "-y").code == 0
    assert "workflow waits is paused" in dwf("doctor").out
    assert dwf("resume", "--workflow", "waits", "-m", "over", "-y").code == 0
    dwf.driven("waits")
    assert "workflow" not in dwf("pause", "--workflow", "waits", "--status", "waiting", "-m", "x", "-y").out
    assert "no workflow is paused" in dwf("doctor", "-v").out


def test_a_step_that_is_asked_for_again_while_its_run_is_paused_is_not_said_to_run(dwf: Terminal) -> None:
    dwf.script.write_text("""
import dwf

@dwf.activity(retry=dwf.Retry(initial="1h", max_attempts=50))
def flaky() -> None:
    raise ValueError("not yet")

@dwf.workflow
async def main() -> None:
    await flaky()
""")
    dwf("start", str(dwf.script), "--id", "s2", "--tick")
    assert dwf("pause", "s2", "-m", "freeze", "--tick").code == 0
    assert dwf("step", "retry", "s2", "-m", "now", "--tick").code == 0
    shown = dwf("show", "s2").out
    assert "running" not in shown
    assert "waiting  flaky  attempt 2 of 50, begins when the run is resumed" in shown

"""`dwf run` on a real terminal: it moves, asks, and can be left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import Any

import pexpect
import pytest

from tests.cli.terminal import ROOT, Terminal

SLOW = """
import dwf

@dwf.workflow
async def slow() -> int:
    await dwf.sh("sleep", "60", title="a long step", retry=dwf.Retry(initial="1h"))
    return 1
"""


def ended(child: Any) -> int:
    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus if child.exitstatus is not None else -child.signalstatus)


def test_a_question_is_asked_at_the_prompt(dwf: Terminal, spawn: Any) -> None:
    child = spawn("run", f"{dwf.script}:asks", "host=web7")

    child.expect("3A:91")
    child.expect(r"Switch web7\?")
    child.expect("yes / no / later: ")
    child.sendline("yes the chain is fine")
    child.expect("the chain is fine")

    assert ended(child) == 0


def test_several_questions_are_asked_one_after_another(dwf: Terminal, spawn: Any) -> None:
    child = spawn("run", f"{dwf.script}:asks_two")
    for host in ("web1", "web2"):
        child.expect(rf"Drain {host}\?")
        child.expect("later: ")
        child.sendline("yes")
    assert ended(child) == 0


def test_no_at_the_prompt_ends_the_run_as_failed(dwf: Terminal, spawn: Any) -> None:
    child = spawn("run", f"{dwf.script}:asks", "--id", "a")
    child.expect("later: ")
    child.sendline("perhaps")
    child.expect("please type yes, no or later")
    child.expect("later: ")
    child.sendline("no")
    assert ended(child) == 1
    assert "ApprovalResolved" in dwf("history", "a").out


def test_a_question_that_is_put_off_can_be_answered_from_elsewhere(dwf: Terminal, spawn: Any) -> None:
    child = spawn("run", f"{dwf.script}:asks", "--id", "a")
    child.expect("later: ")
    child.sendline("later")
    child.expect("dwf approve a 1 -m")

    assert dwf("approve", "a", "-m", "from elsewhere").code == 0

    child.expect("from elsewhere")
    assert ended(child) == 0


def test_an_answer_from_elsewhere_ends_the_question(dwf: Terminal, spawn: Any) -> None:
    child = spawn("run", f"{dwf.script}:asks", "--id", "a")
    child.expect("later: ")

    dwf("approve", "a", "-m", "from elsewhere")

    assert ended(child) == 0


def test_without_a_terminal_a_question_ends_the_attending_and_not_the_run(dwf: Terminal) -> None:
    said = dwf("run", f"{dwf.script}:asks", "host=web7", "--id", "a", "-q")

    assert (said.code, said.out, len(said.err.splitlines())) == (5, "", 1)
    assert 'asks "Switch web7?" ({"serial":"3A:91"})' in said.err and 'dwf approve a -m "..."' in said.err
    assert dwf("show", "a", "--json").json["status"] == "waiting"
    assert dwf("approve", "a", "-m", "fine", "--tick").code == 0
    assert dwf("result", "a").out == '"fine"\n'


def test_of_several_questions_the_number_says_which_to_answer(dwf: Terminal) -> None:
    said = dwf("run", f"{dwf.script}:asks_two", "--id", "a", "-q")
    assert said.code == 5 and "dwf approve a 1 -m" in said.err


def test_without_a_terminal_a_signal_ends_the_attending_and_not_the_run(dwf: Terminal) -> None:
    said = dwf("run", f"{dwf.script}:waits", "--id", "w", "-q")

    assert (said.code, len(said.err.splitlines())) == (5, 1)
    assert "waits for signal go" in said.err and "dwf signal w go" in said.err
    dwf("signal", "w", "go", "7", "--tick")
    assert dwf("result", "w").out == "7\n"


def test_no_input_ends_the_attending_on_a_terminal_too(spawn: Any, dwf: Terminal) -> None:
    child = spawn("run", f"{dwf.script}:asks", "--id", "a", "--no-input")
    child.expect("left a where it is: it asks")
    assert ended(child) == 5


MOVES_ON = """
import asyncio, dwf

@dwf.activity(retry=dwf.Retry(initial="300ms", max_attempts=2))
def flaky() -> int:
    if dwf.activity_info().attempt == 1:
        raise OSError("not yet")
    return 7

@dwf.workflow
async def limited() -> object:
    return await dwf.wait_signal("go", timeout="400ms", default="nobody came")

@dwf.workflow
async def retries() -> object:
    waits = asyncio.create_task(dwf.wait_signal("go"))
    found = await flaky()
    waits.cancel()
    return found

@dwf.workflow
async def sleeps() -> str:
    await dwf.sleep("10ms")
    return "done"
"""


@pytest.mark.parametrize(("workflow", "result"), [("limited", '"nobody came"'), ("retries", "7"), ("sleeps", '"done"')])
def test_without_a_terminal_what_time_moves_on_is_attended_to_its_end(
    dwf: Terminal, workflow: str, result: str
) -> None:
    dwf.script.write_text(MOVES_ON)
    said = dwf("run", f"{dwf.script}:{workflow}")
    assert (said.code, said.out) == (0, f"{result}\n"), said.err


def test_ctrl_c_leaves_the_run_and_says_how_to_go_on(dwf: Terminal, spawn: Any) -> None:
    child = spawn("run", f"{dwf.script}:waits", "--id", "w")
    child.expect("waits for signal go")

    child.sendintr()

    child.expect("left w where it is")
    child.expect("dwf cancel w")
    assert ended(child) == 130
    assert dwf("show", "w", "--json").json["status"] == "waiting"
    dwf("signal", "w", "go", "7", "--tick")
    assert dwf("result", "w").out == "7\n"


def test_ctrl_c_in_a_step_ends_the_step_and_not_the_run(dwf: Terminal, spawn: Any) -> None:
    dwf.script.write_text(SLOW)
    child = spawn("run", str(dwf.script), "--id", "s")
    child.expect("a long step")

    child.sendintr()

    child.expect("left s where it is")
    assert ended(child) == 130
    assert dwf("show", "s", "--exit-status").code == 3


def test_the_live_region_leaves_only_lines_behind(dwf: Terminal, spawn: Any) -> None:
    child = spawn("run", f"{dwf.script}:quick", "n=4", "--id", "q")
    child.expect(pexpect.EOF)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", child.before)

    assert "double -> 8" in text and "completed -> 8" in text
    assert text.rstrip().endswith("8")


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"NO_COLOR": "1", "TERM": "dumb"}])
def test_a_dumb_terminal_gets_plain_lines(dwf: Terminal, spawn: Any, environ: dict[str, str]) -> None:
    child = spawn("run", f"{dwf.script}:quick", "n=4", **environ)
    child.expect(pexpect.EOF)

    assert "double -> 8" in child.before
    assert "\x1b" not in child.before


def test_following_a_history_shows_what_comes_until_the_end(dwf: Terminal, spawn: Any) -> None:
    dwf.driven("waits", "--id", "w")
    child = spawn("history", "w", "-f")
    child.expect("SignalWaitOpened")

    dwf("signal", "w", "go", "7", "--tick")

    child.expect("SignalReceived")
    child.expect("WorkflowCompleted")
    assert ended(child) == 0


def test_a_unique_beginning_is_taken_from_a_person_who_confirms_it(dwf: Terminal, spawn: Any) -> None:
    dwf.driven("asks", "--id", "rotate-web1")

    child = spawn("approve", "rotate")
    child.expect("rotate is rotate-web1: is that the one")
    child.sendline("n")
    assert ended(child) == 2

    child = spawn("approve", "rotate")
    child.expect("is that the one")
    child.sendline("y")
    assert ended(child) == 0


def test_terminating_asks_a_person(dwf: Terminal, spawn: Any) -> None:
    dwf.driven("sleeps", "--id", "s")
    child = spawn("terminate", "s", "-m", "lost")
    child.expect("without cleanup")
    child.sendline("y")
    assert ended(child) == 0


def test_no_input_never_asks(dwf: Terminal, spawn: Any) -> None:
    dwf.driven("sleeps", "--id", "s")
    child = spawn("terminate", "s", "-m", "lost", "--no-input")
    child.expect("there is nobody to ask")
    assert ended(child) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_tick_that_is_asked_to_stop_ends_its_step_and_says_by_which_signal(dwf: Terminal, number: int) -> None:
    dwf.script.write_text(SLOW)
    dwf("start", str(dwf.script), "--id", "s")
    child = subprocess.Popen(
        [sys.executable, "-m", "dwf", "tick"],
        env={**dwf.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        _wait_for_step(dwf)
        os.kill(child.pid, number)
        out, err = child.communicate(timeout=30)
    finally:
        child.kill()
    assert (child.returncode, out) == (128 + number, b"")
    assert b"Traceback" not in err
    assert dwf("show", "s", "--exit-status").code == 3
    assert dwf("verify").code == 0


def _wait_for_step(dwf: Terminal) -> None:
    import time

    for _ in range(300):
        if "ActivityStarted" in dwf("history", "s").out:
            return
        time.sleep(0.05)
    raise AssertionError("the step did not begin")

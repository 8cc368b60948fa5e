"""What a screen says of a run is true also when its tick was killed, or when nobody can answer it."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from tests.test_bad_inputs.conftest import dwf as dwf
from tests.test_bad_inputs.terminal import PLAIN, Terminal, until

SLOW = """
    import dwf

    @dwf.workflow
    async def book() -> None:
        await dwf.sh(script='test "$DWF_ATTEMPT" -gt 1 || sleep 1000', title="restore")
"""
UNHEARD = """
    import dwf

    @dwf.workflow
    async def book() -> None:
        await dwf.approve("Switch?", by="nobody-of-this-name")
"""


@pytest.fixture
def slow(dwf: Terminal) -> tuple[Terminal, subprocess.Popen[bytes]]:
    """A run `one` whose step runs, and the tick that drives it."""
    dwf.start(SLOW, "one")
    ticking = dwf.spawn("tick", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: dwf.events("one", "ActivityStarted"))
    return dwf, ticking


def listed(dwf: Terminal) -> str:
    (run,) = json.loads(dwf.typed("list", "--json").out)["runs"]
    return f"{run['status']}: {run['waiting']}"


def test_a_run_whose_tick_was_killed_is_driven_by_nobody_and_says_so(
    slow: tuple[Terminal, subprocess.Popen[bytes]],
) -> None:
    dwf, ticking = slow
    assert listed(dwf).startswith("running: attempt 1")
    assert "nobody drives" not in dwf.typed("show", "one").out
    ticking.send_signal(signal.SIGKILL)
    ticking.wait(timeout=20)
    assert listed(dwf) == "running: the next tick: nobody drives it now"
    shown = dwf.typed("show", "one").out
    assert "nobody drives it now" in shown and "dwf tick" in shown
    assert json.loads(dwf.typed("show", "one", "--json").out)["undriven"] is True
    dwf.typed("terminate", "one", "-m", "x")
    dwf.tick()
    assert "nobody drives" not in dwf.typed("list").out + dwf.typed("show", "one").out


def test_a_waiting_run_needs_no_driver(dwf: Terminal) -> None:
    dwf.driven(PLAIN, "plain")
    assert "nobody drives" not in dwf.typed("list").out + dwf.typed("show", "plain").out


def test_a_question_that_nobody_can_answer_offers_no_answer(dwf: Terminal) -> None:
    """Inbox and doctor say STUCK; show must not send a person to type what would be refused."""
    dwf.driven(UNHEARD, "one")
    shown = dwf.typed("show", "one").out
    assert "dwf approve" not in shown and "dwf reject" not in shown
    assert "stuck" in shown and "nobody can answer" in shown and "dwf cancel one" in shown
    said = json.loads(dwf.typed("show", "one", "--json").out)
    assert "nobody can answer" in said["stuck"] and not [line for line in said["next"] if "approve" in line]
    assert "STUCK" in dwf.typed("inbox").out

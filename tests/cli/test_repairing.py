"""What a person types when dwf cannot know what became of a step: dwf step, dwf unblock."""

from __future__ import annotations

import signal
import subprocess

import pytest

from dwf.engine.stepping import CONTROLS, DECISIONS
from tests.test_bad_inputs.conftest import dwf as dwf
from tests.test_bad_inputs.terminal import PLAIN, Terminal, until

ASKS = """
    import dwf

    @dwf.workflow
    async def book() -> int:
        work = 'test "$DWF_ATTEMPT" -gt 1 || { echo begun; sleep 1000; }'
        done = await dwf.sh(script=work, on_crash="ask", title="move the address")
        return done.code
"""


RETRIES = """
    import dwf

    @dwf.activity(retry=dwf.Retry(max_attempts=9, initial="1h"))
    def step() -> None:
        raise ValueError("no such host")

    @dwf.workflow
    async def book() -> None:
        await step()
"""


@pytest.fixture
def asking(dwf: Terminal) -> Terminal:
    """A run `one` whose tick was killed in its step, and which asks what became of it."""
    dwf.start(ASKS, "one")
    ticking = dwf.spawn("tick", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: dwf.events("one", "ActivityStarted"))
    ticking.send_signal(signal.SIGKILL)
    ticking.wait(timeout=20)
    dwf.tick()
    return dwf


def test_the_inbox_and_the_run_say_what_to_type(asking: Terminal) -> None:
    assert "DECIDE" in asking.typed("inbox").out
    shown = asking.typed("show", "one").out
    assert "did move the address take effect?" in shown
    for act in ("complete", "retry", "fail"):
        assert f"dwf step {act} one 1" in shown
    assert asking.typed("show", "one", "--exit-status").code == 5


def test_complete_gives_the_result_that_was_typed(asking: Terminal) -> None:
    done = asking.typed("step", "complete", "one", "--result", '{"code": 4}', "-m", "looked", "--tick")
    assert done.code == 0, done
    assert asking.typed("result", "one").out == "4\n"
    assert '"looked"' in asking.typed("history", "one").out


def test_retry_and_fail_do_what_they_say(asking: Terminal) -> None:
    assert asking.typed("step", "fail", "one", "move", "-m", "broken", "--tick").code == 0
    assert asking.status("one") == "failed" and "broken" in asking.typed("show", "one").out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("complete", "one"), 2, "needs a reason"),
        (("bless", "one", "-m", "x"), 2, "there is no decision"),
        (("retry", "one", "--result", "1", "-m", "x"), 2, "--result does not go with retry"),
        (("complete", "one", "--result", "{", "-m", "x"), 2, "not valid JSON"),
        (("complete", "one", "7", "-m", "x"), 2, "names 0 steps"),
        (("complete", "none", "-m", "x"), 4, "there is no run"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    asking: Terminal, words: tuple[str, ...], code: int, said: str
) -> None:
    assert said in asking.refuses(code, "step", *words).error
    assert asking.status("one") == "waiting"


def test_a_result_that_does_not_fit_is_said_at_once(asking: Terminal) -> None:
    answer = asking.typed(
        "step", "complete", "one", "--result", '{"code": 0, "out": 5}', "-m", "x", "--tick"
    ).is_clean()
    assert answer.code == 2 and "does not fit" in answer.error
    assert asking.status("one") == "waiting"


def test_a_run_that_waits_for_nobody_s_word_is_refused(dwf: Terminal) -> None:
    dwf.driven(PLAIN, "one")
    assert "completed" in dwf.refuses(7, "step", "retry", "one", "-m", "x").error
    assert "completed" in dwf.refuses(7, "unblock", "one", "-m", "x").error
    dwf.driven("import dwf\n\n@dwf.workflow\nasync def w():\n    await dwf.wait_signal('go')\n", "two")
    assert "run two has no open step" in dwf.refuses(7, "step", "retry", "two", "-m", "x").error
    assert "is not blocked" in dwf.refuses(7, "unblock", "two", "-m", "x").error
    assert "needs a reason" in dwf.refuses(2, "unblock", "two").error


@pytest.mark.parametrize("act", [*DECISIONS, *CONTROLS])
def test_what_is_only_posted_is_not_said_to_be_so(dwf: Terminal, act: str) -> None:
    """Fails when a step is said to be skipped, or to go on, that nobody has touched yet."""
    dwf.driven(RETRIES, "one")
    if act == "unpause":
        dwf.typed("step", "pause", "one", "-m", "first", "--tick")
    said = dwf.typed("step", act, "one", *(["timeout=2h"] if act == "set" else []), "-m", "why")
    assert said.code == 0 and said.out.startswith('"step" is to '), said
    assert "acted on by the next tick" in said.err
    assert f'posted   step {act} "why"' in dwf.typed("show", "one").out


def test_who_decided_stands_in_the_audit(asking: Terminal) -> None:
    asking.typed("step", "complete", "one", "--result", '{"code": 4}', "-m", "looked", "--tick")
    told = asking.typed("audit", "one").out
    assert "step complete" in told and "looked" in told


def test_a_second_word_on_the_same_step_is_refused_before_the_first_was_heard(asking: Terminal) -> None:
    assert asking.typed("step", "fail", "one", "-m", "broken").code == 0
    assert "decided already: step fail" in asking.refuses(7, "step", "complete", "one", "-m", "no, done").error

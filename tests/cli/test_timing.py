"""dwf timers and dwf timer: what waits for its time, and a person's word on it."""

from __future__ import annotations

import pytest

from tests.cli.terminal import Terminal


def test_the_timers_of_open_runs_are_listed_with_what_dwf_timer_takes(dwf: Terminal) -> None:
    run = dwf.driven("sleeps")
    said = dwf("timers")
    assert (said.code, said.err) == (0, "") and run in said.out and "left" in said.out
    name, number = dwf("timers", "-o", "name").out.split()
    assert name == run
    (timer,) = dwf("timers", "--json").json["timers"]
    assert (timer["timer"], timer["overdue"], timer["moved"]) == (int(number), False, False)
    assert dwf("timers", "--due-before", "now").out == ""


def test_a_timer_that_is_let_fire_ends_the_wait_and_the_audit_says_who_and_why(dwf: Terminal) -> None:
    run = dwf.driven("sleeps")
    assert dwf("timer", "fire", run, "-m", "the window is open", "--tick").code == 0
    assert "completed" in dwf("show", run).out
    assert "timer fire" in dwf("audit", run).out and "the window is open" in dwf("history", run).out


def test_a_moved_timer_is_shown_with_its_new_time(dwf: Terminal) -> None:
    run = dwf.driven("sleeps")
    said = dwf("timer", "move", run, "--in", "40d", "-m", "later", "--tick")
    assert said.code == 0, said.err
    assert "(moved)" in dwf("timers", "-o", "wide").out and "39d" in dwf("show", run).out


@pytest.mark.parametrize(
    "words",
    [
        ["fly", "RUN", "-m", "x"],
        ["fire", "RUN"],
        ["fire", "RUN", "99", "-m", "x"],
        ["fire", "RUN", "--at", "22:00", "-m", "x"],
        ["move", "RUN", "-m", "x"],
        ["move", "RUN", "--at", "22:00", "--in", "2h", "-m", "x"],
        ["move", "RUN", "--at", "soon", "-m", "x"],
        ["move", "RUN", "--in", "-2h", "-m", "x"],
        ["move", "RUN", "--in", "9999999d", "-m", "x"],
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line_and_posts_nothing(dwf: Terminal, words: list[str]) -> None:
    run = dwf.driven("sleeps")
    said = dwf("timer", *(run if word == "RUN" else word for word in words))
    assert said.code == 2 and said.err.startswith("error: ") and "Traceback" not in said.err
    assert "posted" not in dwf("show", run).out


def test_a_run_without_timers_and_one_that_is_not_there(dwf: Terminal) -> None:
    assert dwf("timer", "fire", dwf.driven("waits"), "-m", "x").code == 7
    assert dwf("timer", "fire", "nobody", "-m", "x").code == 4
    assert dwf("timers").out == ""


def test_what_waits_for_its_next_attempt_or_its_start_is_listed_too(dwf: Terminal) -> None:
    """Fails when only timers are listed of what time alone will bring."""
    dwf.script.write_text(
        "import dwf\n@dwf.activity(retry=dwf.Retry(max_attempts=3, initial='1h', jitter='none'))\ndef bad() -> None:\n"
        "    raise ValueError('no')\n@dwf.workflow\nasync def tries() -> None:\n    await bad()\n"
    )
    later = dwf.started("tries", "--in", "20s")
    trying = dwf.driven("tries")
    told = [(t["run"], t["kind"], t["purpose"]) for t in dwf("timers", "--json").json["timers"]]
    assert told == [(later, "start", "the start of the run"), (trying, "retry", "attempt 2 of bad")]
    assert dwf("timers", "-o", "name").out == "", "dwf timer takes neither"
    assert dwf("timer", "fire", trying, "-m", "x").hint.endswith(f"dwf step retry {trying}")

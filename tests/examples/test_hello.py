"""examples/hello.py: the first thing that anybody runs."""

from __future__ import annotations

import json

from tests.examples.command import EXAMPLES, Dwf

HELLO = EXAMPLES / "hello.py"


def test_one_command_runs_it_to_its_end_and_prints_its_result(dwf: Dwf) -> None:
    assert json.loads(dwf("run", HELLO, "name=web1", "pause=10ms")).startswith("Hello, web1! This is Linux")


def test_started_it_is_driven_to_its_end_by_ticks(dwf: Dwf) -> None:
    run = dwf.start(HELLO, "pause=10ms")
    dwf.tick_until(run, "completed")
    history = dwf("history", run)
    for word in ("greet", "resting for 10ms", "TimerFired", "ask for the kernel", "Hello, world!"):
        assert word in history
    assert "world has been greeted" in dwf("logs", run)
    dwf("verify", run)


def test_its_help_shows_the_typed_parameters(dwf: Dwf) -> None:
    shown = dwf("start", HELLO, "--help")
    assert "name" in shown and "pause" in shown and "world" in shown

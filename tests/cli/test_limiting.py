"""`dwf limits`: what runs and waits under a limit, and what an operator sets."""

from __future__ import annotations

import pytest

from tests.cli.terminal import Terminal

BOOK = """
import dwf

@dwf.activity(limit=dwf.Limit("api", rate="1/h"))
def call():
    return 1

@dwf.workflow
async def main():
    return await call()
"""


@pytest.fixture
def two(dwf: Terminal) -> Terminal:
    """A run that has used up the rate, and one that waits."""
    path = dwf.directory / "limits.py"
    path.write_text(BOOK)
    for run in ("a", "b"):
        dwf("start", str(path), "--id", run)
        dwf("tick")
    return dwf


def test_who_waits_is_shown_with_for_what_and_until_when(two: Terminal) -> None:
    (limit,) = two("limits", "--json").json["limits"]
    assert (limit["limit"], limit["rate"], limit["started"], limit["set"]) == ("api", 1, 1, False)
    assert [place["run"] for place in limit["waiting"]] == ["b"]
    assert "api" in two("limits").out and "waits 1" in two("limits").out
    assert "api (1/1h)" in two("list").out
    shown = two("show", "b").out
    assert "waits for api (1/1h)" in shown
    assert "nobody drives" not in shown
    assert shown.splitlines()[0] == "b  waiting"
    assert ", in " in shown or "until" in shown


def test_what_is_set_wins_and_is_audited(two: Terminal) -> None:
    assert two("limits", "set", "api=9/h", "-m", "the vendor agreed").code == 0
    (limit,) = two("limits", "--json").json["limits"]
    assert (limit["rate"], limit["set"]) == (9, True)
    two("tick")
    assert two("result", "b").out == "1\n"
    said = two("audit").out
    assert "limits api" in said and "the vendor agreed" in said
    assert two("limits", "unset", "api", "-m", "as before").code == 0
    assert two("limits", "--json").json["limits"][0]["set"] is False
    assert two("limits", "unset", "api", "-m", "as before").code == 4


@pytest.mark.parametrize("wrong", ["api", "api=", "=3", "api=x", "api=0", "api=3/x", "key:web1=2"])
def test_what_is_no_limit_is_refused(dwf: Terminal, wrong: str) -> None:
    said = dwf("limits", "set", wrong, "-m", "why")
    assert said.code == 2 and "hint:" in said.err


def test_a_tick_may_serve_one_queue(dwf: Terminal) -> None:
    path = dwf.directory / "queues.py"
    path.write_text(BOOK.replace('limit=dwf.Limit("api", rate="1/h")', 'queue="slow"'))
    dwf("start", str(path), "--id", "a")
    dwf("tick", "--queue", "default")
    assert dwf("result", "a").code == 3
    dwf("tick", "--queue", "slow", "--queue", "default")
    assert dwf("result", "a").out == "1\n"

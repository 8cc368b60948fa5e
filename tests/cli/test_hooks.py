"""`dwf hooks`: what is called, what was not told, and a try; a tick with something to tell is no idle one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dwf.cli.idle import nothing_to_do
from tests.cli.terminal import Terminal


@pytest.fixture
def place(dwf: Terminal) -> Path:
    """hooks.d of a state directory that has seen a run."""
    dwf.driven("quick")
    place = dwf.home / "hooks.d"
    place.mkdir(mode=0o700)
    return place


def add(place: Path, name: str, text: str, mode: int = 0o700) -> None:
    (place / name).write_text(f"#!/bin/sh\n{text}\n")
    (place / name).chmod(mode)


def test_hooks_are_listed_with_what_they_are_told(dwf: Terminal, place: Path) -> None:
    add(place, "failed,blocked.page", "exit 0")
    add(place, "nonsense.page", "exit 0")

    said = dwf("hooks")
    assert said.code == 0
    assert "failed,blocked.page  blocked, failed" in said.out
    assert (
        f"{place}/nonsense.page  not called: its name does not begin with what it is to be told, and a dot" in said.out
    )
    found = dwf("hooks", "--json").json
    assert found["hooks"] == [
        {"name": "failed,blocked.page", "path": f"{place}/failed,blocked.page", "moments": ["blocked", "failed"]}
    ]
    assert [one["path"] for one in found["not_called"]] == [f"{place}/nonsense.page"]
    assert "nonsense.page is not called" in dwf("doctor").out


def test_without_hooks_it_says_where_they_go(dwf: Terminal, place: Path) -> None:
    said = dwf("hooks")
    assert (said.code, said.out) == (0, "")
    assert f"there are none in {place}; dwf help telling" in said.err


def test_a_try_calls_a_hook_once_and_says_how_it_ended(dwf: Terminal, place: Path) -> None:
    add(place, "failed.page", f"cat > {dwf.home}/heard")
    add(place, "all.bad", "echo no network >&2; exit 7")

    said = dwf("hooks", "--try", "failed.page")
    assert said.code == 0 and "failed.page was told, and ended with 0" in said.err
    assert json.loads((dwf.home / "heard").read_text())["what"] == "test"
    said = dwf("hooks", "--try", "all.bad")
    assert said.code == 1 and "all.bad failed: exit code 7: no network" in said.err


def test_a_try_of_what_is_no_hook_says_which_there_are(dwf: Terminal, place: Path) -> None:
    add(place, "failed.page", "exit 0")
    add(place, "all.weak", "exit 0", mode=0o722)

    said = dwf("hooks", "--try", "paged")
    assert said.code == 4 and said.error == "there is no hook paged"
    assert "there are: failed.page" in said.err
    said = dwf("hooks", "--try", "all.weak")
    assert said.code == 7 and "is not called: others may write to it (mode 0722)" in said.error


def test_a_tick_says_once_that_a_hook_failed_and_shows_it_until_it_works(dwf: Terminal, place: Path) -> None:
    add(place, "ended.bad", "exit 1")
    dwf.started("quick")
    dwf.started("quick")
    said = dwf("tick")

    assert said.code == 0, "it is no matter of the runs"
    assert said.err.count("hook ended.bad failed") == 1
    assert "failed for 2 runs: exit code 1; tried again" in dwf("hooks").out
    assert "ended.bad fails, for 2 runs: exit code 1" in dwf("doctor").out


def test_a_tick_with_something_to_tell_is_no_idle_tick(
    dwf: Terminal, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when a tick ends before it looks for what was not told; or what was given up keeps it awake for ever."""
    monkeypatch.setenv("DWF_HOME", str(dwf.home))
    assert dwf("tick").code == 0
    assert nothing_to_do(["tick"])
    (dwf.home / "untold").mkdir(mode=0o700)
    (dwf.home / "untold" / "quick-1~1.1.failed").touch()
    assert nothing_to_do(["tick"])
    (dwf.home / "untold" / "quick-1~1.1").touch()
    assert not nothing_to_do(["tick"])


def test_before_anything_was_started_there_are_none(dwf: Terminal) -> None:
    said = dwf("hooks")
    assert (said.code, said.out) == (0, "") and "nothing was started there yet" in said.err
    assert not dwf.home.exists()
    assert dwf("start", f"{dwf.script}:quick", "--priority", "101").code == 2 and not dwf.home.exists()

"""New code in a shared directory: runs that follow the catalogue, routes and pauses, with real users around them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.shared.people import ALICE, BOB, ENGINE, GROUP, Place

FOLLOWS = """

@dwf.workflow(upgrade="auto")
async def follows() -> object:
    await dwf.wait_signal("go")
    return {what!r}
"""


def deploy(place: Place, what: str, owner: int = 0) -> Path:
    """The catalogue gets a new content, put in place at once, as install does."""
    book = place.catalogue / "book.py"
    new = place.catalogue / "new"
    new.write_text(book.read_text().partition(FOLLOWS[:20])[0] + FOLLOWS.format(what=what))
    os.chown(new, owner, owner)
    new.rename(book)
    return book


def go(place: Place, run: str) -> str:
    place.do(BOB, "signal", run, "go")
    place.tick()
    return place.do(BOB, "result", run).out.strip()


def test_a_run_that_a_member_has_started_follows_the_catalogue(place: Place) -> None:
    deploy(place, "old")
    place.start("follows", "r1")
    deploy(place, "new")
    assert go(place, "r1") == '"new"'
    (moved,) = place.events("r1", "CodeUpgraded")
    assert (moved["reason"], moved["code_owner"]) == ("auto", 0) and "by" not in moved


@pytest.mark.parametrize("owner", [ALICE, 61099], ids=["a member's", "a stranger's"])
def test_it_stays_where_it_is_when_the_file_is_one_that_others_may_write(place: Place, owner: int) -> None:
    """Fails when whoever can write the file has his code run by the engine."""
    deploy(place, "old")
    place.start("follows", "r1")
    deploy(place, "theirs", owner)
    assert go(place, "r1") == '"old"'
    assert place.events("r1", "CodeUpgraded") == []
    assert "61" in place.events("r1", "CodeRefused")[0]["message"]
    assert "stays on" in place.do(BOB, "show", "r1").out or place.status("r1") == "completed"


def test_the_engines_user_says_which_code_members_starts_take(place: Place) -> None:
    book = deploy(place, "old")
    for member in (ALICE, BOB):
        refused = place.do(member, "routes", "set", str(book), "--code", "pinned", "-m", "mine")
        assert refused.code == 77, refused
    assert place.tick_("routes", "set", str(book), "--code", "pinned", "-m", "deploy").code == 0
    deploy(place, "new")
    place.start("follows", "kept")
    assert go(place, "kept") == '"old"'
    assert place.events("kept", "WorkflowStarted")[0]["code_from"] == "kept"
    assert place.do(ALICE, "start", "book:follows", "--code", "abcd1").code == 2
    assert place.tick_("routes", "unset", str(book), "-m", "done").code == 0
    place.start("follows", "free")
    assert go(place, "free") == '"new"'
    assert place.do(BOB, "versions").code == 0


def test_only_the_engines_user_pauses_a_workflow_unless_the_policy_lets_members_pause_runs(place: Place) -> None:
    deploy(place, "old")
    place.start("follows", "r1")
    said = place.do(ALICE, "pause", "--workflow", "follows", "-y", "-m", "freeze")
    assert said.code == 1 and "refused for 1 of 1 run: r1" in said.err, said
    assert place.tick_("pause", "--workflow", "follows", "-y", "-m", "freeze").code == 0
    place.start("follows", "r2")
    assert [place.status(run) for run in ("r1", "r2")] == ["paused", "paused"]
    assert place.do(BOB, "list").code == 0
    assert place.tick_("resume", "--workflow", "follows", "-y", "-m", "over").code == 0
    place.tick()
    (place.home / "policy.toml").write_text(f'[allow]\nhold = ["#{ALICE}"]\n')
    os.chown(place.home / "policy.toml", ENGINE, GROUP)
    (place.home / "policy.toml").chmod(0o640)
    said = place.do(ALICE, "pause", "--workflow", "follows", "-y", "-m", "mine")
    assert said.code == 0 and "workflow follows is paused" not in said.out, said
    place.tick()
    place.start("follows", "r3")
    assert [place.status(run) for run in ("r1", "r2", "r3")] == ["paused", "paused", "waiting"]

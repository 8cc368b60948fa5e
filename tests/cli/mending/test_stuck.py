"""Mending an open run as a whole: its script or history is broken, it hangs, has to stand still, or to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.mending.shell import AN_HOUR_APART, BOOK, Shell, Stories, Story

stories = Stories()
TYPO = "{}['typo']"
HANGS = """
import dwf

@dwf.workflow
async def book() -> None:
    try:
        await dwf.sh(script="echo hangs >> {here}/did; exec sleep 1000", title="hang")
    finally:
        await dwf.sh(script="echo cleaned >> {here}/did")
"""


@stories.mends("upgrade")
def upgrade(shell: Shell) -> list[str]:
    shell.write(bug=TYPO)
    shell.runs("r", "r2", tick=1)
    shell.write(name="mended.py")
    shell.types('upgrade r r2 --to mended.py -m "a typo"')
    shell("tick")
    for run in ("r", "r2"):
        shell.comes_right(run, "a typo", ["ONE", "TWO"])
    return ["one", "one", "two", "two"]


@stories.mends("upgrade")
def upgrade_when_its_code_is_lost(shell: Shell) -> list[str]:
    shell("start", str(shell.script), "--id", "r", "--tick")
    lose_its_code(shell)
    shell("approve", "r", "-m", "looked at it")
    assert "is not there" in shell("tick", code=1).err
    shell.types('upgrade r --to book.py -m "its code was deleted"')
    shell("tick")
    shell.comes_right("r", "its code was deleted", ["ONE", "TWO"])
    return ["one", "two"]


@stories.mends("upgrade")
def upgrade_all_that_fit(shell: Shell) -> list[str]:
    shell.write(bug=TYPO)
    shell.runs("r1", "r2", tick=1)
    other = shell.write(name="other.py", text=BOOK.replace('step("one")', 'step("another")'))
    shell("start", str(other), "--id", "other", "--tick")
    shell.write(name="mended.py")
    assert set(shell("upgrade", "--status", "blocked", "--to", "mended.py", "--dry-run").out.split()) == {"r1", "r2"}
    refused = shell("upgrade", "--status", "waiting", "--to", "mended.py", "-y", "-m", "it may fit", code=1).err
    assert "refused for 1 of 1 run: other" in refused
    shell.types('upgrade --status blocked --to mended.py -y -m "a typo"')
    shell("tick")
    for run in ("r1", "r2"):
        shell.comes_right(run, "a typo", ["ONE", "TWO"])
    assert shell.status("other") == "waiting"
    return ["one", "one", "another", "two", "two"]


@stories.mends("unblock")
def unblock_all_whose_code_is_back(shell: Shell) -> list[str]:
    for run in ("r1", "r2"):
        shell("start", str(shell.script), "--id", run)
    shell("tick")
    kept = lose_its_code(shell, "r1")
    for run in ("r1", "r2"):
        shell("approve", run, "-m", "looked at it")
    shell("tick", code=1)
    kept.rename(shell.dwf.home / "code" / kept.name)
    shell.write(retry=AN_HOUR_APART)
    shell("start", str(shell.script), "--id", "waits", "--tick")
    shell.types('unblock --workflow book -y -m "restored from the backup"')
    shell("tick")
    for run in ("r1", "r2"):
        shell.comes_right(run, "restored from the backup", ["ONE", "TWO"])
    return ["one", "one", "one", "two", "two"]


@stories.mends("unblock")
def unblock_when_its_code_is_back(shell: Shell) -> list[str]:
    shell("start", str(shell.script), "--id", "r", "--tick")
    kept = lose_its_code(shell)
    shell("approve", "r", "-m", "looked at it")
    shell("tick", code=1)
    shell("unblock", "r", "-m", "it may be back", "--tick")
    assert shell.status() == "blocked"
    kept.rename(shell.dwf.home / "code" / kept.name)
    shell.types('unblock r -m "restored from the backup" --tick')
    shell.comes_right("r", "restored from the backup", ["ONE", "TWO"])
    return ["one", "two"]


def lose_its_code(shell: Shell, run: str = "r") -> Path:
    code = shell.dwf.home / "code" / shell("show", run, "--json").json["code"]
    return code.rename(shell.place / code.name)


@stories.mends("repair")
def repair_what_is_damaged(shell: Shell) -> list[str]:
    shell.runs()
    history = shell.dwf.history("r")
    lines = history.read_bytes().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines, 1) if b"ActivityScheduled" in line and b'"two"' in line)
    lines[at - 1] = b"\0" * len(lines[at - 1])
    history.write_bytes(b"".join(lines))
    shell("verify", code=65)
    assert "would run again: step" in shell("repair", "r").out
    shell.types(f'repair r --truncate-at {at} --i-know -m "no backup is left"')
    shell("tick")
    shell.comes_right("r", "no backup is left", ["ONE", "TWO"])
    return ["one", "two", "two"]


@stories.mends("doctor --fix")
def torn_by_a_power_cut(shell: Shell) -> list[str]:
    shell("start", str(shell.script), "--id", "r", "--tick")
    history = shell.dwf.history("r")
    with history.open("ab") as file:
        file.write(b'{"id":6,"ts":"2026-')
    assert "is not damaged" in shell("repair", "r", code=7).err
    shell.types("doctor --fix")
    assert "HistoryRepaired" in shell("history", "r").out
    shell("approve", "r", "-m", "looked at it", "--tick")
    shell.comes_right("r", "looked at it", ["ONE", "TWO"])
    return ["one", "two"]


@stories.mends("pause", "resume")
def pause_and_resume(shell: Shell) -> list[str]:
    shell("start", str(shell.script), "--id", "r", "--tick")
    shell.breaks("two")
    shell.types('pause r -m "the disk is broken"')
    shell("approve", "r", "-m", "looked at it")
    shell("tick")
    assert shell.status() == "paused" and shell.did == ["one"]
    shell.mends("two")
    shell.types('resume r -m "it is mended" --tick')
    shell.comes_right("r", "it is mended", ["ONE", "TWO"])
    shell.is_told("r", "the disk is broken")
    return ["one", "two"]


@stories.mends("pause", "resume")
def pause_and_resume_of_everything(shell: Shell) -> list[str]:
    shell("start", str(shell.script), "--id", "r", "--tick")
    shell.breaks("two")
    shell.types('pause --everything -m "the disk is broken"')
    shell("approve", "r", "-m", "looked at it")
    shell("tick")
    assert shell.did == ["one"]
    shell.mends("two")
    shell.types('resume --everything -m "it is mended"')
    shell("tick")
    shell.comes_right("r", "looked at it", ["ONE", "TWO"])
    told = shell("audit", "-o", "wide").out
    assert "the disk is broken" in told and "it is mended" in told
    return ["one", "two"]


@stories.mends("pause", "resume")
def several_at_once_after_a_look(shell: Shell) -> list[str]:
    shell.write(retry=AN_HOUR_APART)
    shell.breaks("two")
    shell.runs("r1", "r2")
    shell("start", str(shell.script), "--id", "other", "--tag", "env=test", "--tick")
    which = ("--where", "tag.env IS NULL")
    assert set(shell("pause", *which, "--dry-run").out.split()) == {"r1", "r2"}
    assert "nobody to ask whether to pause 2 runs" in shell("pause", *which, "-m", "no disk", code=2).err
    shell.types('pause --where "tag.env IS NULL" -y -m "no disk"')
    shell("tick")
    assert [shell.status(run) for run in ("r1", "r2", "other")] == ["paused", "paused", "waiting"]
    shell.mends("two")
    shell.types('resume --status paused -y -m "a new disk"')
    for run in ("r1", "r2"):
        shell("step", "retry", run, "-m", "and now")
    shell("tick")
    for run in ("r1", "r2"):
        shell.comes_right(run, "a new disk", ["ONE", "TWO"])
        shell.is_told(run, "no disk")
    return ["one", "one", "two", "two", "one", "two", "two"]


@stories.mends("pause", "resume")
def a_workflow_with_what_is_started_of_it_later(shell: Shell) -> list[str]:
    shell("start", str(shell.script), "--id", "r", "--tick")
    shell.breaks("one")
    shell.types('pause --workflow book -y -m "the disk is broken"')
    shell("start", str(shell.script), "--id", "later")
    shell("tick")
    assert [shell.status(run) for run in ("r", "later")] == ["paused", "paused"] and shell.did == ["one"]
    shell.mends("one")
    shell.types('resume --workflow book -y -m "a new disk"')
    shell("tick")
    for run in ("r", "later"):
        shell("approve", run, "-m", "looked at it", "--tick")
        shell.comes_right(run, "a new disk", ["ONE", "TWO"])
        shell.is_told(run, "the disk is broken")
    return ["one", "one", "two", "two"]


@stories.mends("cancel")
def cancel_what_hangs(shell: Shell) -> list[str]:
    shell.write(text=HANGS)
    shell("start", str(shell.script), "--id", "r")
    ticking = shell.ticks_until("did")
    shell.types('cancel r -m "it hangs"')
    assert ticking.wait(timeout=20) == 0
    assert shell.status() == "cancelled"
    shell.is_told("r", "it hangs")
    return ["hangs", "cleaned"]


@stories.mends("terminate")
def terminate_what_hangs(shell: Shell) -> list[str]:
    shell.write(text=HANGS)
    shell("start", str(shell.script), "--id", "r")
    ticking = shell.ticks_until("did")
    assert "not finished: hang" in shell.types('terminate r -y -m "and cleaning up would hang, too"').err
    assert ticking.wait(timeout=20) == 0
    assert shell.status() == "terminated"
    shell.is_told("r", "and cleaning up would hang, too")
    return ["hangs"]


@stories.mends("terminate")
def terminate_all_that_no_script_can_help(shell: Shell) -> list[str]:
    shell.write(bug=TYPO)
    shell.runs("r1", "r2", tick=1)
    assert set(shell("terminate", "--status", "blocked", "--dry-run").out.split()) == {"r1", "r2"}
    shell.types('terminate --status blocked -y -m "nobody needs it"')
    shell("tick")
    for run in ("r1", "r2"):
        assert shell.status(run) == "terminated"
        shell.is_told(run, "nobody needs it")
    return ["one", "one"]


@pytest.mark.parametrize("story", stories.all, ids=lambda story: story.__name__)
def test_an_open_run_is_mended_as_a_whole_and_it_is_told_how(tmp_path: Path, story: Story) -> None:
    stories.play(story, tmp_path)

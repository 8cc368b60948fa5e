"""Mending an open run at a step or a wait: one that fails, that hangs, or of which nobody knows what it did."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.mending.shell import AN_HOUR_APART, ME, Shell, Stories, Story

stories = Stories()
ASKS = """
import dwf

@dwf.workflow
async def book() -> int:
    work = 'echo move >> {here}/did; test "$DWF_ATTEMPT" -gt 1 || sleep 1000'
    try:
        return (await dwf.sh(script=work, on_crash="ask", title="move the address")).code
    except dwf.ActivityError:
        return 99
"""
LIMITED = """
import dwf

@dwf.activity(limit=dwf.Limit("api", rate="1/d"))
def step(name: str) -> str:
    with open({here!r} + "/did", "a") as file:
        file.write(name + "\\n")
    return name.upper()

@dwf.workflow
async def book() -> list[str]:
    return [await step("one"), await step("two")]
"""
SOAKS = """
import dwf

@dwf.activity
def step(name: str) -> str:
    with open({here!r} + "/did", "a") as file:
        file.write(name + "\\n")
    return name.upper()

@dwf.workflow
async def book() -> list[str]:
    first = await step("one")
    await dwf.sleep("300d", purpose="soak")  # it was to be 300 s
    return [first, await step("two")]
"""


def tries_again_in_an_hour(shell: Shell) -> None:
    shell.write(retry=AN_HOUR_APART)
    shell.breaks("two")
    shell.runs()


@stories.mends("step complete")
def complete_with_evidence(shell: Shell) -> list[str]:
    tries_again_in_an_hour(shell)
    (shell.place / "switch.log").write_text("switched at 03:12\n")
    shell.types("""step complete r --result '"by hand"' -m "done by hand" --evidence switch.log --tick""")
    shell.comes_right("r", "done by hand", ["ONE", "by hand"])
    assert "evidence switch.log (18 bytes)" in shell("history", "r").out
    assert "switched at 03:12" in shell("history", "r", "-o", "jsonl").out
    return ["one", "two"]


@stories.mends("step skip")
def skip(shell: Shell) -> list[str]:
    tries_again_in_an_hour(shell)
    shell.types("""step skip r step --result '"-"' -m "not needed here" --tick""")
    shell.comes_right("r", "not needed here", ["ONE", "-"])
    return ["one", "two"]


@stories.mends("step fail")
def fail(shell: Shell) -> list[str]:
    tries_again_in_an_hour(shell)
    shell.types('step fail r 3 -m "it never will" --tick')
    shell.is_told("r", "it never will")
    assert shell.status() == "failed" and "FailedByHand: it never will" in shell("show", "r").out
    return ["one", "two"]


@stories.mends("step retry")
def retry_now(shell: Shell) -> list[str]:
    tries_again_in_an_hour(shell)
    shell.mends("two")
    shell.types('step retry r -m "the disk is back" --tick')
    shell.comes_right("r", "the disk is back", ["ONE", "TWO"])
    return ["one", "two", "two"]


@stories.mends("step pause", "step unpause")
def pause_and_unpause(shell: Shell) -> list[str]:
    tries_again_in_an_hour(shell)
    shell.types('step pause r -m "the SAN is moved"')
    shell("tick")
    assert "paused by" in shell("show", "r").out and "the SAN is moved" in shell("inbox", "-o", "wide").out
    shell.mends("two")
    shell.types('step unpause r -m "it is moved"')
    shell("step", "retry", "r", "-m", "and now", "--tick")
    shell.comes_right("r", "it is moved", ["ONE", "TWO"])
    shell.is_told("r", "the SAN is moved")
    return ["one", "two", "two"]


@stories.mends("step reset")
def reset(shell: Shell) -> list[str]:
    tries_again_in_an_hour(shell)
    shell.mends("two")
    shell.types('step reset r -m "the disk was changed" --tick')
    shell.comes_right("r", "the disk was changed", ["ONE", "TWO"])
    return ["one", "two", "two"]


@stories.mends("step set")
def set_fewer_attempts(shell: Shell) -> list[str]:
    tries_again_in_an_hour(shell)
    shell.types('step set r max_attempts=2 -m "not all day long"')
    shell("step", "retry", "r", "-m", "the last time")
    shell("tick", code=1)
    assert shell.status() == "failed"
    shell.is_told("r", "not all day long")
    return ["one", "two", "two"]


@stories.mends("step fail")
def fail_what_hangs(shell: Shell) -> list[str]:
    shell.write(text=ASKS)
    shell("start", str(shell.script), "--id", "r")
    ticking = shell.ticks_until("did")
    shell.types('step fail r -m "it hangs"')
    assert ticking.wait(timeout=20) == 0
    shell.comes_right("r", "it hangs", 99)
    return ["move"]


def killed(shell: Shell) -> None:
    shell.write(text=ASKS)
    shell("start", str(shell.script), "--id", "r")
    shell.dies_in("did")
    assert "did move the address take effect?" in shell("show", "r").out


@stories.mends("step complete")
def it_did_take_effect(shell: Shell) -> list[str]:
    killed(shell)
    shell.types("""step complete r --result '{"code": 4}' -m "the address is there" --tick""")
    shell.comes_right("r", "the address is there", 4)
    return ["move"]


@stories.mends("step retry")
def it_did_not(shell: Shell) -> list[str]:
    killed(shell)
    shell.types('step retry r -m "the address is not there" --tick')
    shell.comes_right("r", "the address is not there", 0)
    return ["move", "move"]


@stories.mends("step fail")
def it_is_half_done(shell: Shell) -> list[str]:
    killed(shell)
    shell.types('step fail r -m "it is there twice" --tick')
    shell.comes_right("r", "it is there twice", 99)
    return ["move"]


@stories.mends("timer fire")
def fire_a_timer(shell: Shell) -> list[str]:
    shell.write(text=SOAKS)
    shell("start", str(shell.script), "--id", "r", "--tick")
    shell.types('timer fire r soak -m "days for seconds" --tick')
    shell.comes_right("r", "days for seconds", ["ONE", "TWO"])
    return ["one", "two"]


@stories.mends("timer move")
def move_a_timer(shell: Shell) -> list[str]:
    shell.write(text=SOAKS)
    shell("start", str(shell.script), "--id", "r", "--tick")
    shell.types('timer move r --at 2026-01-01T00:00:00Z -m "days for seconds" --tick')
    shell.comes_right("r", "days for seconds", ["ONE", "TWO"])
    return ["one", "two"]


@stories.mends("limits set")
def raise_the_limit_that_holds_it_up(shell: Shell) -> list[str]:
    shell.write(text=LIMITED)
    shell("start", str(shell.script), "--id", "r")
    shell("tick")
    assert "api" in shell("show", "r").out and shell.did == ["one"]
    shell.types('limits set api=1000/min -m "the vendor agreed"')
    shell("tick")
    shell.comes_right("r", "", ["ONE", "TWO"])
    assert any("the vendor agreed" in line and ME in line for line in shell("audit", "-o", "wide").out.splitlines())
    return ["one", "two"]


@pytest.mark.parametrize("story", stories.all, ids=lambda story: story.__name__)
def test_an_open_run_is_mended_at_a_step_and_it_is_told_how(tmp_path: Path, story: Story) -> None:
    stories.play(story, tmp_path)

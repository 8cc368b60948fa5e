"""Mending a run that is over: it goes on, another goes on in its place, or what it did is taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.mending.shell import Shell, Stories, Story

stories = Stories()
SAGA = """
import dwf

@dwf.activity(retry=dwf.Retry(max_attempts=1))
def step(name: str) -> str:
    with open({here!r} + "/did", "a") as file:
        file.write(name + "\\n")
    return name.upper()

@dwf.workflow
async def book() -> str:
    async with dwf.saga() as saga:
        await saga.step(step.options(title="attach")("attach"), undo=step("detach"))
        await dwf.approve("Go on?")
    {bug}
    return "attached"
"""
MAP = """
import dwf, pathlib

@dwf.activity(retry=dwf.Retry(max_attempts=1))
def step(name: str) -> str:
    with open({here!r} + "/did", "a") as file:
        file.write(name + "\\n")
    if pathlib.Path({here!r}, name + ".broken").exists():
        raise dwf.Failure(name + " is broken")
    return name.upper()

@dwf.workflow
async def book() -> list[str]:
    return (await dwf.map(step, ["one", "two"], max_concurrent=1)).values
"""


@stories.mends("retry")
def retry(shell: Shell) -> list[str]:
    shell.breaks("two")
    shell.runs(tick=1)
    shell.mends("two")
    assert shell.types('retry r -m "the disk is back" --tick').out == "r\n"
    shell.comes_right("r", "the disk is back", ["ONE", "TWO"])
    return ["one", "two", "two"]


@stories.mends("retry")
def retry_all_that_failed(shell: Shell) -> list[str]:
    shell.breaks("two")
    shell.runs("r1", "r2", tick=1)
    shell("start", str(shell.script), "--id", "open", "--tick")
    shell.mends("two")
    assert set(shell("retry", "--workflow", "book", "--dry-run").out.split()) == {"r1", "r2"}
    assert "whether to retry 2 runs" in shell("retry", "--workflow", "book", "-m", "no", code=2).err
    assert set(shell.types('retry --workflow book -y -m "the disk is back"').out.split()) == {"r1", "r2"}
    shell("tick")
    for run in ("r1", "r2"):
        shell.comes_right(run, "the disk is back", ["ONE", "TWO"])
    assert "no such runs" in shell("retry", "--status", "failed", "-y", "-m", "again").err
    return ["one", "one", "two", "two", "one", "two", "two"]


@stories.mends("reset")
def reset_behind_what_was_done_by_hand(shell: Shell) -> list[str]:
    shell.breaks("two")
    shell.runs(tick=1)
    assert "was done by hand" in shell("show", "r").out
    assert "does not fit str" in shell("reset", "r", "--set", "3=[1]", "-m", "no", code=2).err
    shell.types('reset r --set 3=\'"by hand"\' -m "switched on the console" --tick')
    shell.comes_right("r", "switched on the console", ["ONE", "by hand"])
    return ["one", "two"]


@stories.mends("retry")
def retry_that_fails_again(shell: Shell) -> list[str]:
    shell.breaks("two")
    shell.runs(tick=1)
    shell("retry", "r", "-m", "it may be back", "--tick")
    shell.mends("two")
    shell.types('retry r -m "now it is back" --tick')
    shell.comes_right("r", "now it is back", ["ONE", "TWO"])
    assert "it may be back" in shell("audit", "r").out
    return ["one", "two", "two", "two"]


@stories.mends("retry")
def retry_with_mended_code(shell: Shell) -> list[str]:
    shell.breaks("two")
    shell.runs(tick=1)
    (shell.place / "mended.py").write_text(shell.script.read_text().replace('step("two")', 'step("three")'))
    shell.types('retry r --script mended.py -m "bug 4711" --tick')
    shell.comes_right("r", "bug 4711", ["ONE", "THREE"])
    return ["one", "two", "three"]


@stories.mends("retry")
def retry_of_failed_items(shell: Shell) -> list[str]:
    shell.write(text=MAP)
    shell.breaks("two")
    shell("start", str(shell.script), "--id", "r", "--tick")
    shell.mends("two")
    assert shell.types('retry r --failed-items -m "the disk is back" --tick').out == "r.retry\n"
    shell.comes_right("r.retry", "the disk is back", ["ONE", "TWO"])
    return ["one", "two", "two"]


@stories.mends("reset")
def reset_of_what_was_said_yes_to(shell: Shell) -> list[str]:
    shell.breaks("two")
    shell.runs(tick=1)
    shell.mends("two")
    shell.types('reset r --from first -m "one was wrong, too" --tick')
    shell("approve", "r", "-m", "again", "--tick")
    shell.comes_right("r", "one was wrong, too", ["ONE", "TWO"])
    return ["one", "two", "one", "two"]


@stories.mends("reset")
def reset_that_keeps_a_yes(shell: Shell) -> list[str]:
    shell.breaks("two")
    shell.runs(tick=1)
    shell.mends("two")
    assert "1 answer kept" in shell.types('reset r --from last-ok -m "only two was wrong" --tick').err
    shell.comes_right("r", "only two was wrong", ["ONE", "TWO"])
    return ["one", "two", "two"]


@stories.mends("reset")
def reset_that_asks_again(shell: Shell) -> list[str]:
    shell.breaks("two")
    shell.runs(tick=1)
    shell.mends("two")
    shell.types('reset r --from last-ok --ask-again -m "he had not looked" --tick')
    assert shell.status() == "waiting"
    shell("approve", "r", "-m", "now he has", "--tick")
    shell.comes_right("r", "he had not looked", ["ONE", "TWO"])
    return ["one", "two", "two"]


@stories.mends("fork")
def fork_with_the_result_of_a_failed_step(shell: Shell) -> list[str]:
    shell.breaks("two")
    shell.runs(tick=1)
    shell.types("""fork r --id r-b --set '3="by hand"' -m "done by hand" --tick""")
    shell.comes_right("r-b", "done by hand", ["ONE", "by hand"])
    assert shell.status("r") == "failed"
    return ["one", "two"]


@stories.mends("fork")
def fork_with_another_result_from_a_file(shell: Shell) -> list[str]:
    shell.runs()
    (shell.place / "serial.json").write_text('"3A:91"\n')
    shell.types('fork r --id r-b --set 1=@serial.json -m "it had said the old serial" --tick')
    shell("approve", "r-b", "-m", "with the new one", "--tick")
    shell.comes_right("r-b", "it had said the old serial", ["3A:91", "TWO"])
    assert shell("result", "r").json == ["ONE", "TWO"]
    return ["one", "two", "two"]


@stories.mends("fork")
def fork_with_mended_code(shell: Shell) -> list[str]:
    shell.breaks("two")
    shell.runs(tick=1)
    (shell.place / "mended.py").write_text(shell.script.read_text().replace('step("two")', 'step("three")'))
    shell.types('fork r --id r-b --from last-ok --script mended.py -m "bug 4711" --tick')
    shell.comes_right("r-b", "bug 4711", ["ONE", "THREE"])
    return ["one", "two", "three"]


@stories.mends("undo")
def undo_of_a_run_that_has_failed(shell: Shell) -> list[str]:
    shell.write(text=SAGA, bug='raise dwf.Failure("not reached from outside")')
    shell.runs(tick=1)
    assert shell.types('undo r -y -m "take it off again" --tick').out == "r.undo\n"
    shell.comes_right("r.undo", "take it off again", ["attach"])
    assert "undone already" in shell("undo", "r", "-y", "-m", "and again", code=7).err
    return ["attach", "detach"]


@stories.mends("undo")
def undo_of_a_run_that_was_terminated(shell: Shell) -> list[str]:
    shell.write(text=SAGA)
    shell("start", str(shell.script), "--id", "r", "--tick")
    assert "not taken back: attach" in shell("terminate", "r", "-y", "-m", "the host is gone", "--tick").err
    shell.types('undo r -y -m "the host is back" --tick')
    shell.comes_right("r.undo", "the host is back", ["attach"])
    return ["attach", "detach"]


@pytest.mark.parametrize("story", stories.all, ids=lambda story: story.__name__)
def test_a_run_that_is_over_is_mended_and_it_is_told_how(tmp_path: Path, story: Story) -> None:
    stories.play(story, tmp_path)


def test_what_is_to_be_typed_when_no_step_has_failed_can_be_typed(tmp_path: Path) -> None:
    """Fails when `dwf retry` tells a person an option that it does not have."""
    shell = Shell(tmp_path)
    shell("start", str(shell.script), "--id", "r", "--tick")
    shell("reject", "r", "-m", "not today")
    shell("tick", code=1)
    refused = shell("retry", "r", "-m", "another day", code=7)
    assert "no step of r has failed" in refused.err
    assert "dwf reset r --from STEP" in refused.err
    shell.types('reset r --from step -m "another day"')

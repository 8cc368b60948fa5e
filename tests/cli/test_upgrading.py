"""Scripts that cannot be used: what stack, upgrade and start say of them, and what several runs come to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.terminal import Said, Terminal

WAITS = """
import dwf

@dwf.workflow
async def main():
    await dwf.sleep("1h", "settle")
"""
OTHER = WAITS.replace('dwf.sleep("1h", "settle")', 'dwf.wait_signal("go")')
BROKEN = {
    "a line that does not parse": "import dwf\nasync def main(:\n",
    "an import that is not there": "import dwf\nimport nothing_of_this_name\n",
    "an error at its top": "import dwf\n\n1 / 0\n",
    "no such workflow": WAITS.replace("main", "other"),
    "no workflow at all": "import dwf\n",
}


def types_in(dwf: Terminal, run: str) -> list[str]:
    return [json.loads(line)["type"] for line in dwf.history(run).read_text().splitlines()]


def on(dwf: Terminal, text: str, *words: str) -> str:
    dwf.script.write_text(text)
    said = dwf("start", str(dwf.script), "--tick", *words)
    assert said.code == 0, said.err
    return said.out.strip()


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_run_that_cannot_be_replayed_with_its_script_has_no_stack(dwf: Terminal, broken: str) -> None:
    run = on(dwf, WAITS, "--live")
    dwf.script.write_text(broken)

    said = dwf("stack", run)

    assert said.code == 65 and said.error.startswith(f"run {run} cannot be replayed: ")
    assert "dwf help lists" not in said.hint and "RUN" not in said.hint


def test_a_stack_of_a_run_whose_script_is_gone_or_changed_or_wrong(dwf: Terminal) -> None:
    run = on(dwf, WAITS, "--live")
    dwf.script.write_text(OTHER)
    assert dwf("stack", run).code == 65
    dwf.script.unlink()
    assert dwf("stack", run).code == 65
    bug = on(dwf, WAITS.replace("await", "{}['k']; await"))
    said = dwf("stack", bug)
    assert said.code == 65 and said.hint == f"mend the script, then: dwf upgrade {bug} --to FILE"


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_script_that_does_not_load_is_no_upgrade(dwf: Terminal, broken: str) -> None:
    run = on(dwf, WAITS)
    dwf.script.write_text(broken)

    said = dwf("upgrade", run, "--to", str(dwf.script))

    assert said.code == 65 and said.error.startswith(f"run {run} cannot be replayed: ")
    assert "CodeUpgraded" not in types_in(dwf, run)
    assert dwf("upgrade", run, "--to", "nowhere.py").code == 4


@pytest.mark.parametrize(
    ("broken", "hint"),
    [
        ("a line that does not parse", "mend line 2 of {script}; nothing was changed"),
        ("an import that is not there", "{script}:2 needs it: install it for "),
        ("an error at its top", "mend {script}:3; nothing was changed"),
    ],
)
def test_a_script_that_does_not_load_is_answered_with_file_and_line(dwf: Terminal, broken: str, hint: str) -> None:
    dwf.script.write_text(BROKEN[broken])
    for words in (["start", str(dwf.script)], ["start", str(dwf.script), "--help"]):
        said = dwf(*words)
        assert said.code == 2 and said.hint.startswith(hint.format(script=dwf.script))


def test_the_line_to_mend_may_be_in_a_file_that_the_script_imports(dwf: Terminal) -> None:
    dwf.script.write_text("import beside\n" + WAITS)
    (dwf.directory / "beside.py").write_text("x = 1\ny = x.z\n")
    assert dwf("start", str(dwf.script)).hint == f"mend {dwf.directory}/beside.py:2; nothing was changed"


# -- several at once, and nothing new ----------------------------------------------------------------------------


def several(dwf: Terminal) -> tuple[Path, Said]:
    on(dwf, OTHER, "--id", "other")
    dwf.script.write_text("import dwf\n@dwf.workflow\nasync def main():\n    pass\n")
    dwf("start", str(dwf.script), "--id", "over", "--tick")
    for run in ("first", "last"):
        on(dwf, WAITS, "--id", run)
    mended = dwf.directory / "mended.py"
    mended.write_text(WAITS + "    await dwf.sleep('1h')\n")
    return mended, dwf("upgrade", "first", "over", "nobody", "other", "last", "--to", str(mended))


def test_what_cannot_be_upgraded_holds_up_none_of_the_others(dwf: Terminal) -> None:
    _, said = several(dwf)

    assert said.code == 65
    assert [line.split()[0] for line in said.out.splitlines()] == ["first", "last"]
    assert [types_in(dwf, run)[-1] for run in ("first", "last")] == ["CodeUpgraded"] * 2
    assert "CodeUpgraded" not in types_in(dwf, "other") + types_in(dwf, "over")
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == said.err.count("hint: ") == 3
    assert "over is completed" in errors[0] and "nobody" in errors[1] and "no longer fits" in errors[2]


def test_programs_are_told_of_each_run(dwf: Terminal) -> None:
    mended, _ = several(dwf)

    said = dwf("upgrade", "first", "over", "other", "--to", str(mended), "--json")

    assert said.code == 65 and said.json["run"] == "first" and said.json["changed"] is False
    assert [json.loads(line)["exit"] for line in said.err.splitlines() if line.startswith("{")] == [7, 65]


def test_an_upgrade_to_the_very_code_that_a_run_is_on_changes_nothing(dwf: Terminal) -> None:
    run = on(dwf, WAITS)
    before = dwf.history(run).read_bytes()

    said = dwf("upgrade", run, "--to", str(dwf.script), "-m", "again")

    assert said.code == 0 and said.out.endswith(" already; nothing was changed\n")
    assert dwf.history(run).read_bytes() == before
    dwf.script.write_text(WAITS + "# mended\n")
    for _ in range(2):
        assert dwf("upgrade", run, "--to", str(dwf.script)).code == 0
    assert types_in(dwf, run).count("CodeUpgraded") == 1


def test_code_that_was_lost_is_put_back_by_an_upgrade_to_the_same(dwf: Terminal) -> None:
    run = on(dwf, OTHER)
    for path in (dwf.home / "code").iterdir():
        path.unlink()
    dwf("signal", run, "go", "--tick")
    assert dwf("show", run, "--exit-status").code == 5

    said = dwf("upgrade", run, "--to", str(dwf.script))

    assert said.code == 0 and said.out.endswith(" already; it is tried again\n")
    dwf("tick")
    assert dwf("show", run, "--exit-status").code == 0

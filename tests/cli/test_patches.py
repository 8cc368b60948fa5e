"""`dwf patches`: which old branches may go, and who needs the others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.terminal import Terminal

OLD = """
import dwf

@dwf.activity
def verify() -> None: ...

@dwf.activity
def switch() -> None: ...

@dwf.workflow
async def main():
    await dwf.wait_signal("go")
    await switch()
    await dwf.wait_signal("end")
"""
PATCHED = OLD.replace(
    "    await switch()", '    if dwf.patched("verify-first"):\n        await verify()\n    await switch()'
)
DEPRECATED = OLD.replace(
    "    await switch()", '    dwf.deprecate_patch("verify-first")\n    await verify()\n    await switch()'
)


def run_of(dwf: Terminal, text: str, run: str, *signals: str) -> None:
    dwf.script.write_text(text)
    assert dwf("start", str(dwf.script), "--id", run, "--tick").code == 0
    for name in signals:
        dwf("signal", run, name, "--tick")


def advice(dwf: Terminal, text: str) -> dict[str, Any]:
    dwf.script.write_text(text)
    said = dwf("patches", str(dwf.script), "--json")
    assert said.code == 0, said.err
    (found,) = said.json["patches"]
    return {**found, "unfit": said.json["unfit"]}


def test_a_patch_is_kept_while_an_open_run_went_the_old_way(dwf: Terminal) -> None:
    """Fails when a run that went the old way is not told from one that is not there yet."""
    run_of(dwf, OLD, "before", "go")
    run_of(dwf, OLD, "not-there")
    run_of(dwf, PATCHED, "after", "go")
    found = advice(dwf, PATCHED)
    assert (found["advice"], found["old"], found["marked"]) == ("keep", ["before"], ["after"])
    assert "before went the old way" in dwf("patches", str(dwf.script)).out
    dwf("signal", "before", "end", "--tick")
    assert advice(dwf, PATCHED)["advice"] == "can be deprecated"
    assert dwf("patches", str(dwf.script), "-o", "name").out == "verify-first\n"


def test_what_is_deprecated_can_be_removed_when_no_open_run_has_its_mark_or_may_get_it(dwf: Terminal) -> None:
    run_of(dwf, PATCHED, "marked", "go")
    run_of(dwf, PATCHED, "will-be")
    found = advice(dwf, DEPRECATED)
    assert (found["advice"], found["marked"], found["may"]) == ("keep", ["marked"], ["will-be"])
    dwf("signal", "marked", "end", "--tick")
    assert advice(dwf, DEPRECATED)["advice"] == "keep"
    assert dwf("upgrade", "will-be", "--to", str(dwf.script)).code == 0
    assert advice(dwf, DEPRECATED)["advice"] == "can be removed"


def test_a_run_that_does_not_fit_the_file_is_told_and_needs_nothing_of_it(dwf: Terminal) -> None:
    run_of(dwf, OLD.replace('"go"', '"other"'), "odd")
    found = advice(dwf, PATCHED)
    assert found["advice"] == "can be deprecated" and list(found["unfit"]) == ["odd"]
    assert "odd does not fit, and stays on its code" in dwf("patches", str(dwf.script)).err


@pytest.mark.parametrize("text", ["import dwf\n", "def (:\n"])
def test_what_is_no_script_is_refused(dwf: Terminal, text: str) -> None:
    dwf.script.write_text(text)
    assert dwf("patches", str(dwf.script)).code == 2
    assert dwf("patches", "nowhere.py").code == 4


def test_a_script_without_patches_or_runs_is_in_order(dwf: Terminal) -> None:
    assert dwf("patches", str(dwf.script)).code == 0
    dwf.script.write_text(PATCHED)
    assert advice(dwf, PATCHED)["advice"] == "can be deprecated"

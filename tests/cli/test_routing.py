"""`dwf routes` and `dwf start --code`: which code new starts take, as an operator sets and sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import Terminal

BOOK = """
import dwf

@dwf.workflow
async def main(host: str = "a"):
    await dwf.wait_signal("go")
    return {what!r}
"""


def write(dwf: Terminal, what: str) -> str:
    path = dwf.directory / "rotate.py"
    path.write_text(BOOK.format(what=what))
    return str(path)


@pytest.fixture
def kept(dwf: Terminal) -> Terminal:
    """A file that was edited, while new starts stay on what it held."""
    path = write(dwf, "old")
    assert dwf("routes", "set", path, "--code", "pinned", "-m", "deploy 4711").code == 0
    write(dwf, "new")
    return dwf


def script(dwf: Terminal) -> str:
    return str(dwf.directory / "rotate.py")


def test_a_deploy_from_the_first_start_to_all_of_them(kept: Terminal) -> None:
    said = kept("start", script(kept), "--id", "a")
    assert "code that is kept for new starts" in said.err
    (route,) = kept("routes", "--json").json["routes"]
    assert (route["ramp"], route["reason"], route["kept"][:7]) == (0, "deploy 4711", said.err.split(" @ ")[1][:7])
    said = kept("routes", "set", script(kept), "--ramp", "10", "-m", "some")
    assert said.code == 0 and "90 take rotate.py @" in said.err
    assert "90 %" in kept("routes").out and "some" in kept("routes").out
    assert "rotate.py" in kept("routes").out and str(kept.directory) in kept("routes", "-o", "wide").out
    assert kept("routes", "-o", "name").out == f"{script(kept)}\n"
    assert "90 % of new starts" in kept("versions").out
    assert kept("routes", "unset", script(kept), "-m", "looks good").code == 0
    assert kept("routes").out == "" and "take its file" in kept("routes").err
    kept("start", script(kept), "--id", "b")
    shown = kept("show", "a").out
    assert "began on code that is kept for new starts" in shown
    assert "code that is kept for new starts" in kept("history", "a").out
    assert kept("show", "a", "--json").json["code_from"] == "kept"
    assert kept("show", "b", "--json").json["code_from"] == "file"
    audit = kept("audit").out
    assert audit.count(f"routes {script(kept)}") == 3 and "looks good" in audit and "10 of 100 take the file" in audit


def test_one_run_on_older_code_while_the_file_has_moved_on(dwf: Terminal) -> None:
    dwf("start", write(dwf, "old"), "--id", "a")
    code = dwf("show", "a", "--json").json["code"]
    write(dwf, "new")
    said = dwf("start", script(dwf), "--id", "b", "--code", code[:7], "--json")
    assert (said.json["code"], said.json["code_from"]) == (code, "named")
    assert "began on code as it was asked for" in dwf("show", "b").out


def test_its_parameters_are_those_of_the_code_that_is_taken(kept: Terminal) -> None:
    Path(script(kept)).write_text(BOOK.format(what="new").replace("host", "target"))
    assert "host" in kept("start", script(kept), "--help").out
    assert kept("start", script(kept), "host=web1").code == 0
    assert kept("start", script(kept), "target=web1").code == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("set",), 2, "says nothing"),
        (("drop", "{}"), 2, "says nothing"),
        (("set", "{}"), 2, "what is to be kept?"),
        (("set", "{}", "--code", ""), 2, "what is to be kept?"),
        (("set", "{}", "--code", "pinned", "--ramp", "100"), 2, "0 to 99"),
        (("set", "{}", "--ramp", "5"), 2, "no code is kept"),
        (("set", "{}:main", "--code", "pinned"), 2, "all workflows"),
        (("set", "{}", "--code", "beef1"), 4, "was ever on"),
        (("set", "missing.py", "--code", "pinned"), 4, "there is no script"),
        (("unset", "{}"), 4, "no route is set"),
        (("unset", "{}", "--ramp", "5"), 2, "the script alone"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_hint(
    dwf: Terminal, words: tuple[str, ...], code: int, said: str
) -> None:
    path = write(dwf, "old")
    dwf("start", path)
    told = dwf("routes", *(word.format(path) for word in words), "-m", "why")
    assert told.code == code and said in told.err and "hint:" in told.err
    assert dwf("routes", "--json").json["routes"] == []


def test_a_route_needs_a_reason(dwf: Terminal) -> None:
    assert dwf("routes", "set", write(dwf, "old"), "--code", "pinned").code == 2


@pytest.mark.parametrize("code", ["", "x", "zz12", "feed", "nothing"])
def test_code_that_is_none_starts_nothing(dwf: Terminal, code: str) -> None:
    said = dwf("start", write(dwf, "old"), "--code", code)
    assert said.code in (2, 4) and "hint:" in said.err
    assert dwf("list").out == ""


def test_live_and_one_version_exclude_each_other(dwf: Terminal) -> None:
    assert dwf("start", write(dwf, "old"), "--live", "--code", "beef").code == 2


def test_the_doctor_finds_a_route_to_code_that_is_gone(kept: Terminal) -> None:
    code = kept("routes", "--json").json["routes"][0]["kept"]
    (Path(kept.home) / "code" / code).unlink()
    said = kept("doctor")
    assert "new starts of" in said.out and f"dwf routes unset {script(kept)}" in said.out
    said = kept("start", script(kept))
    assert said.code == 65 and f"dwf routes unset {script(kept)}" in said.err


def test_code_that_runs_were_on_and_that_is_gone_is_not_code_that_nobody_was_on(dwf: Terminal) -> None:
    dwf("start", write(dwf, "old"), "--id", "a")
    code = dwf("show", "a", "--json").json["code"]
    (Path(dwf.home) / "code" / code).unlink()
    said = dwf("start", script(dwf), "--id", "b", "--code", code[:7])
    assert said.code == 65 and "gone" in said.error and "restore code/ from a backup" in said.hint
    assert dwf("start", script(dwf), "--id", "b", "--code", "beef1").code == 4

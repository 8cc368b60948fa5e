"""dwf check: which runs an edited script would strand, in the forms that people and programs read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dwf.engine.checking import prepared
from dwf.errors import NotPermitted
from dwf.scripts.collect import collect
from tests.cli.terminal import Terminal

BOOK = """
import dwf

@dwf.activity
def drain(host: str) -> int:
    return 3

@dwf.activity
def cordon(host: str) -> int:
    return 3

@dwf.workflow
async def main(host: str = "web1"):
    await drain(host)
    await dwf.wait_signal("go")
"""


@pytest.fixture
def deployed(dwf: Terminal) -> Terminal:
    """A terminal with one open run of a script."""
    dwf.script.write_text(BOOK)
    assert dwf("start", str(dwf.script), "--id", "r1", "--tick").code == 0
    return dwf


def edit(dwf: Terminal, old: str, new: str) -> None:
    text = dwf.script.read_text()
    assert text.count(old) == 1
    dwf.script.write_text(text.replace(old, new))


def everything(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(directory.rglob("*")) if p.is_file()}


def test_an_edit_that_fits_is_safe_and_exits_with_0(deployed: Terminal) -> None:
    edit(deployed, "return 3\n\n@dwf.activity\ndef cordon", "return 4\n\n@dwf.activity\ndef cordon")
    said = deployed("check", str(deployed.script))
    assert (said.code, said.out, said.err) == (0, "r1  safe\n", "nothing found; 1 run fits\n")


def test_an_edit_that_does_not_is_told_with_both_sides_and_its_cure(deployed: Terminal) -> None:
    edit(deployed, "await drain(host)", "await cordon(host)")
    said = deployed("check", str(deployed.script))
    assert said.code == 1
    lines = said.out.splitlines()
    assert lines[0] == "r1  diverges at book.py:14"
    assert lines[1].startswith("  history line 2  recorded  ActivityScheduled drain")
    assert lines[2].startswith("  book.py:14      now asks  ActivityScheduled cordon")
    cure = [line.removeprefix("      ") for line in lines[4:]]
    assert said.err == "no finding; 0 runs fit, 1 does not\n"
    assert cure == ['if dwf.patched("cordon"):', "    await cordon(host)", "else:", "    await drain(host)"]
    edit(deployed, "    await cordon(host)\n", "".join(f"    {line}\n" for line in cure))
    assert deployed("check", str(deployed.script)).code == 0


def test_it_changes_nothing_whatever_it_finds(deployed: Terminal) -> None:
    """Fails when a check writes to the state directory."""
    edit(deployed, "await drain(host)", "await cordon(host)")
    before = everything(deployed.home)
    assert deployed("check", str(deployed.script), "--runs", "all").code == 1
    assert everything(deployed.home) == before


def test_programs_get_one_document_or_annotations(deployed: Terminal) -> None:
    edit(deployed, "await drain(host)", "await cordon(host)")
    said = deployed("check", str(deployed.script), "--format", "json")
    assert said.code == 1 and said.json["schema"] == "dwf.check/1"
    (run,) = said.json["runs"]
    assert (run["run"], run["fit"], run["where"], run["line"]) == ("r1", "diverges", "book.py:14", 2)
    assert run["cure"].startswith('if dwf.patched("cordon"):')
    assert deployed("check", str(deployed.script), "--json").json == said.json
    line = deployed("check", str(deployed.script), "--format", "github").out
    assert line.startswith(f"::error file={deployed.script},line=14,title=r1 diverges::")
    assert line.count("\n") == 1 and "%0A" in line


def test_a_script_elsewhere_is_held_against_the_runs_of_its_name(deployed: Terminal) -> None:
    there = deployed.directory / "checkout"
    there.mkdir()
    (there / "book.py").write_text(BOOK.replace("await drain", "await cordon"))
    (there / "new.py").write_text(BOOK.replace("await drain", "await cordon"))
    (there / "other.py").write_text(BOOK.replace("def main", "def other"))
    assert deployed("check", str(there / "book.py")).out.startswith("r1  diverges")
    assert deployed("check", str(there / "new.py")).out.startswith("r1  diverges")
    said = deployed("check", str(there / "other.py"))
    assert (said.code, said.out, said.err) == (0, "", "nothing found; no run is of this script; 1 of other scripts\n")


def test_of_several_files_a_run_is_held_against_its_own(deployed: Terminal) -> None:
    twin = deployed.directory / "twin.py"
    twin.write_text(BOOK.replace("await drain", "await cordon"))
    said = deployed("check", str(twin), str(deployed.script))
    assert (said.code, said.out) == (0, "r1  safe\n")


def test_a_workflow_that_is_gone_strands_its_runs(deployed: Terminal) -> None:
    edit(deployed, "async def main", "async def renamed")
    said = deployed("check", str(deployed.script))
    assert said.code == 1 and said.out.startswith("r1  breaks") and "no workflow main" in said.out


def test_closed_runs_are_asked_only_if_that_is_said(deployed: Terminal) -> None:
    assert deployed("signal", "r1", "go", "--tick").code == 0
    edit(deployed, "await drain(host)", "await cordon(host)")
    assert deployed("check", str(deployed.script)).code == 0
    assert deployed("check", str(deployed.script), "--runs", "all").code == 1
    assert deployed("check", str(deployed.script), "--runs", "none").out == ""


@pytest.mark.parametrize("form", ["jsonl", "bundle", "directory"])
def test_histories_from_elsewhere_are_held_against_it(deployed: Terminal, form: str) -> None:
    kept = deployed.directory / "kept"
    kept.mkdir()
    bundle = kept / "r1.dwf"
    assert deployed("export", "r1", str(bundle)).code == 0
    if form == "jsonl":
        bundle.unlink()
        (kept / "r1.jsonl").write_bytes(deployed.history("r1").read_bytes())
    given = {"jsonl": kept / "r1.jsonl", "bundle": bundle, "directory": kept}[form]
    edit(deployed, "await drain(host)", "await cordon(host)")
    said = deployed("check", str(deployed.script), "--runs", "none", "--history", str(given))
    assert said.code == 1 and said.out.startswith(f"{kept}/r1.{'jsonl' if form == 'jsonl' else 'dwf'}  diverges")
    assert ("if dwf.patched" in said.out) == (form != "jsonl")


def test_what_cannot_be_read_has_its_usual_code(deployed: Terminal) -> None:
    assert deployed("check", "nowhere.py").code == 4
    bad = deployed.directory / "bad.py"
    bad.write_text("def (:\n")
    assert deployed("check", str(bad)).code == 2
    said = deployed("check", str(bad), str(deployed.script))
    assert said.code == 2 and said.out == "r1  safe\n"
    bad.write_bytes(b"import dwf\0")
    said = deployed("check", str(bad))
    assert said.code == 2 and "None" not in said.err
    assert deployed("check").code == 2
    assert deployed("check", "").code == 2
    assert deployed("check", str(deployed.script), "--history", "").code == 2
    assert deployed("check", str(deployed.script), "--runs", "some").code == 2
    assert deployed("check", str(deployed.script), "--format", "xml").code == 2
    assert deployed("check", str(deployed.script), "--history", "nowhere.jsonl").code == 4
    assert deployed("check", str(deployed.script), "--history", str(deployed.script)).code == 65


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("reader", [0, 1000])
def test_a_file_of_a_stranger_is_not_run(
    deployed: Terminal, reader: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Fails when the top of a stranger's file is run by who checks it."""
    trace = tmp_path / "was run"
    edit(deployed, "import dwf\n", f"import dwf\nopen({str(trace)!r}, 'w').close()\n")
    os.chown(deployed.script, 65534, 65534)
    monkeypatch.setattr("os.geteuid", lambda: reader)
    with pytest.raises(NotPermitted, match="65534"):
        prepared(None, "book.py", collect(str(deployed.script)), reader)
    assert not trace.exists()
    monkeypatch.undo()
    assert deployed("check", str(deployed.script)).code == 77
    assert deployed("check", str(deployed.script), "--runs", "none").code == 0
    assert not trace.exists()


def test_a_damaged_history_is_told_and_holds_up_no_other(deployed: Terminal) -> None:
    assert deployed("start", str(deployed.script), "--id", "r2", "--tick").code == 0
    path = deployed.history("r2")
    path.write_bytes(path.read_bytes().replace(b"drain", b"brain", 1))
    said = deployed("check", str(deployed.script))
    assert said.code == 65 and "r1  safe" in said.out and "r2  unreadable" in said.out


def test_a_mistake_is_told_with_its_place_its_code_and_its_cure(deployed: Terminal) -> None:
    edit(deployed, "import dwf\n", "import dwf, time\n")
    edit(deployed, "    await drain(host)", "    await drain(host)\n    print(time.time())")
    path = str(deployed.script)
    said = deployed("check", path, "--runs", "none")
    assert (said.code, said.err) == (1, "1 finding\n")
    assert said.out == f"{path}:15:11: DWF101 time.time() in workflow code; use: dwf.now()\n"
    (one,) = deployed("check", path, "--runs", "none", "--json").json["findings"]
    assert (one["code"], one["file"], one["line"], one["column"]) == ("DWF101", path, 15, 11)
    github = deployed("check", path, "--runs", "none", "--format", "github").out
    assert github == f"::error file={path},line=15,col=11,title=DWF101::time.time() in workflow code; use: dwf.now()\n"
    edit(deployed, "print(time.time())", "print(time.time())  # dwf: ignore[DWF101]")
    assert deployed("check", path, "--runs", "none").code == 0


def test_a_mistake_in_a_module_beside_it_is_told_with_the_path_of_that(deployed: Terminal) -> None:
    (deployed.directory / "parts.py").write_text("import os\ndef home():\n    return os.getcwd()\n")
    edit(deployed, "import dwf\n", "import dwf, parts\n")
    edit(deployed, "    await drain(host)", "    await drain(parts.home())")
    said = deployed("check", str(deployed.script), "--runs", "none")
    assert said.out.startswith(f"{deployed.directory}/parts.py:3:12: DWF103 ")


def test_nothing_of_a_script_is_run_where_no_runs_are_asked_for(deployed: Terminal) -> None:
    """Fails when reading a script runs its top."""
    trace = deployed.directory / "was run"
    edit(deployed, "import dwf\n", f"import dwf\nopen({str(trace)!r}, 'w').close()\n")
    assert deployed("check", str(deployed.script), "--runs", "none").code == 0
    assert not trace.exists()
    assert deployed("check", str(deployed.script)).code == 0
    assert trace.exists()


def test_a_rule_can_be_explained(deployed: Terminal) -> None:
    said = deployed("check", "--explain", "dwf201")
    assert said.code == 0 and said.out.startswith("DWF201: the order of a set\n") and "sorted(" in said.out
    assert max(map(len, said.out.splitlines())) <= 80
    assert deployed("check", "--explain", "DWF201", "--json").json["code"] == "DWF201"
    wrong = deployed("check", "--explain", "DWF999")
    assert wrong.code == 4 and "DWF" in wrong.hint


def test_of_several_files_those_without_a_workflow_are_passed_over(deployed: Terminal) -> None:
    beside = deployed.directory / "parts.py"
    beside.write_text("def helper():\n    return 1\n")
    said = deployed("check", str(deployed.script), str(beside))
    assert (said.code, said.out) == (0, "r1  safe\n") and "parts.py is passed over" in said.err
    assert deployed("check", str(beside)).code == 2


@pytest.mark.parametrize("parameters", ["", "host: int"], ids=["gone", "other-type"])
def test_an_input_that_no_longer_fits_is_told_at_the_line_with_the_parameters(
    deployed: Terminal, parameters: str
) -> None:
    assert deployed("start", str(deployed.script), "host=web2", "--id", "a2", "--tick").code == 0
    edit(deployed, 'async def main(host: str = "web1")', f"async def main({parameters})")
    line = 1 + next(n for n, text in enumerate(deployed.script.read_text().splitlines()) if "def main" in text)
    said = deployed("check", str(deployed.script))
    assert said.out.splitlines()[0] == f"a2  breaks at book.py:{line}"


def test_runs_that_part_from_the_script_in_the_same_way_are_told_once(deployed: Terminal) -> None:
    for number in range(2, 9):
        assert deployed("start", str(deployed.script), "--id", f"r{number}", "--tick").code == 0
    assert deployed("start", str(deployed.script), "host=db1", "--id", "other", "--tick").code == 0
    edit(deployed, "await drain(host)", "await cordon(host)")
    said = deployed("check", str(deployed.script))
    heads = [line for line in said.out.splitlines() if "diverges at" in line]
    assert len(heads) == 2 and any(head.startswith("other  ") for head in heads)
    assert any(head.count("r") >= 5 and " and 3 more  diverges at book.py:14" in head for head in heads)
    assert said.err.endswith("0 runs fit, 9 do not\n")


def test_two_timers_are_told_by_their_lengths(deployed: Terminal) -> None:
    edit(deployed, 'await dwf.wait_signal("go")', 'await dwf.sleep("1h")')
    assert deployed("start", str(deployed.script), "--id", "t1", "--tick").code == 0
    edit(deployed, 'dwf.sleep("1h")', 'dwf.sleep("2h")')
    said = deployed("check", str(deployed.script))
    assert "recorded  TimerStarted of 1h, until" in said.out and "now asks  TimerStarted of 2h, until" in said.out

"""export and import as they are typed."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.cli.terminal import ROOT, Terminal


@pytest.fixture
def there(tmp_path: Path) -> Terminal:
    (tmp_path / "there").mkdir()
    return Terminal(tmp_path / "there")


def test_a_moved_run_goes_on_there_and_says_so(dwf: Terminal, there: Terminal, tmp_path: Path) -> None:
    run, file = dwf.driven("asks", "--id", "web1"), str(tmp_path / "web1.dwf")

    said = dwf("export", run, file, "--move", "-m", "bastion retires")
    assert said.out == f"{file}\n" and "goes no further here" in said.err and f"dwf import {file} --resume" in said.err
    taken = there("import", file, "--resume", "-m", "new bastion")
    assert taken.out == "web1\n" and "the next tick goes on with it" in taken.err

    assert "moved" in dwf("list").out and "waiting" in there("list").out
    assert f"into {file}" in dwf("show", run).out and '"new bastion"' in there("show", run).out
    refused = dwf("approve", run)
    assert refused.code == 7 and file in refused.hint
    assert there("approve", run, "-m", "fine", "--tick").code == 0
    assert there("result", run).json == "fine"
    assert there("verify").code == 0
    assert dwf("wait", run).code == 7


def test_both_are_in_the_audit(dwf: Terminal, there: Terminal, tmp_path: Path) -> None:
    run, file = dwf.driven("asks"), str(tmp_path / "r.dwf")
    dwf("export", run, file, "--move", "-m", "bastion retires")
    there("import", file, "--resume", "-m", "new bastion")

    told = there("audit", run).out

    assert "export --move" in told and "bastion retires" in told and "import --resume" in told


def test_documents_for_programs(dwf: Terminal, there: Terminal, tmp_path: Path) -> None:
    run, file = dwf.driven("asks"), str(tmp_path / "r.dwf")

    exported = dwf("export", run, file, "--json").json
    imported = there("import", file, "--json").json

    assert exported["schema"] == "dwf.exported/1" and exported["moved"] is False and exported["file"] == file
    assert imported["schema"] == "dwf.imported/1" and imported["resumed"] is False
    assert exported["head"] == imported["head"] and imported["run"] == run
    assert there("show", run, "--json").json["moved"]["type"] == "RunImported"


def test_a_copy_can_be_piped_and_is_not_for_a_terminal(dwf: Terminal) -> None:
    run = dwf.driven("asks")
    environ = {**dwf.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "dwf", "export", run], env=environ, capture_output=True, check=True)

    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        names = archive.getnames()

    assert names[:2] == ["manifest.json", "history/1.jsonl"] and {n.partition("/")[0] for n in names[2:]} == {"code"}
    assert dwf("show", run, "--json").json["status"] == "waiting"


def test_a_terminal_is_refused(dwf: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    run = dwf.driven("asks")
    monkeypatch.setattr("dwf.cli.screen._is_terminal", lambda stream: True)

    said = dwf("export", run)

    assert said.code == 2 and "not for a terminal" in said.err and said.out == ""


def test_who_may_only_read_can_export_and_changes_nothing(dwf: Terminal, tmp_path: Path) -> None:
    run = dwf.driven("shell")
    before = {path: path.stat().st_mtime_ns for path in dwf.home.rglob("*")}

    assert dwf("export", run, str(tmp_path / "r.dwf")).code == 0

    assert {path: path.stat().st_mtime_ns for path in dwf.home.rglob("*")} == before


def test_a_refused_import_makes_no_state_directory(dwf: Terminal, there: Terminal, tmp_path: Path) -> None:
    run, file = dwf.driven("asks"), str(tmp_path / "r.dwf")
    dwf("export", run, file)

    assert there("import", file, "--resume").code == 7
    assert there("import", str(dwf.script)).code == 2

    assert not there.home.exists()

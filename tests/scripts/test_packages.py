"""Packages: what a script imports of what is installed is found by name, and nothing is looked up for other scripts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.state import RunState, fold
from dwf.scripts.collect import collect
from dwf.scripts.packages import as_here, changed_packages, changed_python, likely_cause, versions
from tests.installed import Install, forget
from tests.scripts.conftest import Write


def run_with(python: str = "", **found: str) -> RunState:
    head = ev.WorkflowStarted(
        id=1, run="r", nonce="n", workflow="w", script="s", code="c", python=python, packages=found
    )
    return fold([head])


def test_what_is_imported_anywhere_is_found_and_what_is_local_or_pythons_own_is_not(write: Write) -> None:
    write("def late():\n    from deep.er import thing\n", "helper.py")
    write("", "bare/module.py")
    path = write(
        "import os.path, json, dwf, helper, bare.module\nfrom dwf import core\nfrom . import beside\n"
        "try:\n    import yaml\nexcept ImportError:\n    pass\n"
        "def f():\n    import requests.adapters as r\n"
    )

    assert collect(path).imports == ("deep", "requests", "yaml")


def test_a_distribution_is_found_by_its_own_name_and_by_the_modules_it_holds(install: Install) -> None:
    install("wires", "2.31.0", "wires")
    install("PyTubes", "6.0.1", "tubes")
    install("cloud-a", "1.0", "cloud")
    install("cloud-b", "2.0", "cloud")

    assert versions(["tubes", "wires", "nowhere"]) == {"PyTubes": "6.0.1", "wires": "2.31.0"}
    assert versions(["cloud"]) == {"cloud-a": "1.0", "cloud-b": "2.0"}


def test_what_is_broken_in_site_packages_is_left_out(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when a start is stopped by what somebody has left in site-packages."""
    install("wires", "1.0", "wires")
    install("nameless", "1.0", "nameless", metadata="")
    assert versions(["nameless", "wires"]) == {"wires": "1.0"}

    def burn(*_: object) -> None:
        raise OSError("disk on fire")

    monkeypatch.setattr("importlib.metadata.version", burn)
    monkeypatch.setattr("importlib.metadata.packages_distributions", burn)
    forget()
    assert versions(["wires"]) == {}
    assert as_here({"wires": "1.0"}) == {}


def test_each_name_is_looked_up_once_in_a_process(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    asked: list[str] = []
    find = metadata.version
    monkeypatch.setattr("importlib.metadata.version", lambda name: asked.append(name) or find(name))
    install("wires", "1.0", "wires")

    for _ in range(3):
        versions(["wires", "nowhere"])

    assert sorted(asked) == ["nowhere", "wires"]


def test_only_what_has_changed_is_told(install: Install) -> None:
    install("wires", "2.32.1", "wires")
    install("same", "1.0", "same")
    now = run_with(same="1.0", wires="2.31.0", gone="3.0")

    assert [(change.name, change.then, change.now) for change in changed_packages(now)] == [
        ("wires", "2.31.0", "2.32.1"),
        ("gone", "3.0", None),
    ]
    cause = likely_cause(now)
    assert "wires was 2.31.0 and is 2.32.1 here, gone was 3.0 and is not installed here" in cause
    assert "same" not in cause.partition(":")[0] and likely_cause(run_with(same="1.0")) == ""


def test_a_run_that_was_moved_to_other_code_is_on_the_packages_of_that() -> None:
    state = run_with(wires="1.0")
    state.apply(ev.CodeUpgraded(id=2, code="d", script="s", packages={"tubes": "2.0"}))
    assert state.packages == {"tubes": "2.0"}
    state.apply(ev.CodeUpgraded(id=3, code="e", script="s"))
    assert state.packages == {}


def test_another_python_is_told_by_its_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.python_version", lambda: "3.12.1")
    assert [change.then for change in changed_python(run_with("3.11.7"))] == ["3.11.7"]
    assert changed_python(run_with("3.12.0")) == changed_python(run_with("")) == []


def test_many_changes_are_told_in_one_line_of_bounded_length() -> None:
    many = run_with(**{f"gone{number}": "1.0" for number in range(40)})
    assert "and 36 packages more" in likely_cause(many)


def test_a_script_without_packages_looks_nothing_up(write: Write, tmp_path: Path) -> None:
    """Fails when a start of such a script pays for finding out what is installed."""
    path = write("import os, json, dwf\n@dwf.workflow\nasync def main():\n    await dwf.wait_signal('go')\n")
    words = [sys.executable, "-X", "importtime", "-m", "dwf", "start", path, "--id", "r1", "--tick"]
    home = str(tmp_path / "home")
    done = subprocess.run(
        words, capture_output=True, text=True, env={"DWF_HOME": home, "PATH": "/usr/bin:/bin"}, check=True
    )
    assert "dwf.scripts.packages" in done.stderr and "importlib.metadata" not in done.stderr
    assert '"packages"' not in Path(home, "runs/r1.jsonl").read_text()

"""Completion: made from the verbs, checked in, and tried in the real shells."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from dwf.cli.catalog import VERBS
from dwf.cli.completion import common_flags, script_for, shapes
from tests.cli.terminal import ROOT, Terminal, outside

FILES = {"bash": "dwf.bash", "zsh": "_dwf", "fish": "dwf.fish"}
SHELLS = [
    pytest.param(s, marks=pytest.mark.skipif(shutil.which(s) is None, reason=f"{s} is not installed")) for s in FILES
]


@pytest.mark.parametrize("shell", FILES)
def test_what_is_checked_in_is_what_the_verbs_are(shell: str) -> None:
    """If it fails: for s in bash zsh fish; do dwf completion $s; done, into completions/."""
    assert (ROOT / "completions" / FILES[shell]).read_text(encoding="utf-8") == script_for(shell)


def test_every_verb_and_every_option_is_in_every_script() -> None:
    for shell in FILES:
        text = script_for(shell)
        for shape in shapes():
            for name in shape.names:
                assert re.search(rf"\b{name}\b", text), (shell, name)
            for flag in (*shape.flags, *common_flags()):
                for name in flag.names:
                    assert name.lstrip("-") in text, (shell, name)


def test_an_option_means_the_same_in_every_verb() -> None:
    """Bash knows an option's value by its name alone."""
    seen: dict[str, tuple[bool, str, tuple[str, ...]]] = {}
    for shape in shapes():
        for flag in shape.flags:
            for name in flag.names:
                assert seen.setdefault(name, (flag.valued, flag.kind, flag.choices)) == (
                    flag.valued,
                    flag.kind,
                    flag.choices,
                ), name


@pytest.fixture
def place(dwf: Terminal, tmp_path: Path) -> dict[str, str]:
    """An environment with two runs, and dwf as a command on the PATH."""
    for run in ("rotate-web1", "restore-db2"):
        dwf.started("sleeps", "--id", run)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "dwf"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m dwf "$@"\n')
    command.chmod(0o755)
    return {
        "DWF_HOME": str(dwf.home),
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "TERM": "dumb",
        "LANG": "C.UTF-8",
    }


def bash(line: str, environ: dict[str, str]) -> set[str]:
    """What bash would offer at the end of the line."""
    words = line.split(" ")
    code = f"""
        source {ROOT}/completions/dwf.bash
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}
        _dwf
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "--norc", "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return set(done.stdout.split("\n")) - {""}


def fish(line: str, environ: dict[str, str]) -> set[str]:
    code = f"source {ROOT}/completions/dwf.fish; complete -C '{line}'"
    done = subprocess.run(["fish", "--no-config", "-c", code], env=environ, capture_output=True, text=True, check=True)
    return {word.split("\t")[0] for word in done.stdout.split("\n")} - {""}


ZSHRC = """
autoload -U compinit && compinit -u -D
zstyle ':completion:*' list-prompt ''
zstyle ':completion:*:default' list-colors ''
setopt no_beep
PS1='%% '
"""


def zsh(line: str, environ: dict[str, str]) -> set[str]:
    """What a real, interactive zsh lists at two TABs."""
    home = Path(environ["HOME"])
    (home / ".zshrc").write_text(f"fpath=({ROOT}/completions $fpath)\n{ZSHRC}")
    child = pexpect.spawn(
        "zsh", ["-i"], env={**environ, "TERM": "dumb"}, encoding="utf-8", timeout=20, dimensions=(100, 200)
    )
    try:
        child.expect("% ")
        child.send(line + "\t\t")
        child.expect(pexpect.TIMEOUT, timeout=2)
        text = child.before or ""
    finally:
        child.close(force=True)
    return set(re.findall(r"[\w.-]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", " ", text)))


OFFERS = {"bash": bash, "zsh": zsh, "fish": fish}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_tab_offers_verbs(shell: str, place: dict[str, str]) -> None:
    offered = OFFERS[shell]("dwf st", place)
    assert {"start", "status", "stack"} <= offered
    assert "list" not in offered


@pytest.mark.parametrize("shell", SHELLS)
def test_a_tab_offers_runs(shell: str, place: dict[str, str]) -> None:
    assert {"rotate-web1", "restore-db2"} <= OFFERS[shell]("dwf show r", place)
    assert "restore-db2" not in OFFERS[shell]("dwf approve ro", place)


def test_where_the_last_run_is_meant_no_run_is_offered(place: dict[str, str]) -> None:
    assert not bash("dwf show -l ", place) and "--last" in bash("dwf show --l", place)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_tab_offers_options_of_that_verb(shell: str, place: dict[str, str]) -> None:
    offered = OFFERS[shell]("dwf history rotate-web1 --", place)
    assert {"--follow", "--detailed", "--home"} <= offered
    assert "--if-exists" not in offered


@pytest.mark.parametrize("shell", SHELLS)
def test_a_tab_offers_the_values_of_an_option(shell: str, place: dict[str, str]) -> None:
    assert {"table", "jsonl", "name"} <= OFFERS[shell]("dwf list -o ", place)
    assert {"fail", "terminate"} <= OFFERS[shell]("dwf start x.py --if-exists ", place)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_tab_offers_topics_and_shells(shell: str, place: dict[str, str]) -> None:
    assert {"cron", "exit-codes", "stuck"} <= OFFERS[shell]("dwf help ", place)
    assert {"bash", "zsh", "fish"} <= OFFERS[shell]("dwf completion ", place)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_tab_offers_files_for_a_script(shell: str, place: dict[str, str], tmp_path: Path) -> None:
    assert any("book.py" in word for word in OFFERS[shell](f"dwf start {tmp_path}/bo", place)) or shell == "zsh"


def test_completing_never_fails(tmp_path: Path) -> None:
    for words in ([], ["runs"], ["runs", "x"], ["nothing", "x"], ["topics", "st"]):
        said = outside("__complete", *words, environ={"DWF_HOME": str(tmp_path / "nothing")})
        assert (said.code, said.err) == (0, "")
    assert outside("__complete", "topics", "st").out == "steps\nstuck\n"


def test_no_verb_is_forgotten() -> None:
    assert [shape.verb for shape in shapes()] == list(VERBS)

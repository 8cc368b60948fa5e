"""What the README says is so: its commands exist, its files are there, its runbook runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
import tomllib
from pathlib import Path

from dwf.cli.catalog import BY_NAME
from tests.examples.command import ROOT, Dwf

README = (ROOT / "README.md").read_text()
PROSE = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def typed() -> list[str]:
    """Every `dwf ...` command line in it, from blocks and from between backticks."""
    lines = [line.removeprefix("$ ") for block in (*blocks("console"), *blocks("sh")) for line in block.splitlines()]
    return [text for text in [*lines, *re.findall(r"`([^`\n]+)`", PROSE)] if re.match(r"dwf\b", text)]


def test_there_are_two_commands_of_one_line_and_ci_runs_them_as_printed() -> None:
    run, test = (line for block in blocks("sh") for line in block.splitlines() if line.startswith("python3 -m venv"))
    assert run.endswith("dwf run examples/hello.py")
    assert "pytest" in test
    printed = subprocess.run([ROOT / ".ci" / "run", "--print"], capture_output=True, text=True, check=True)
    assert printed.stdout.splitlines() == [run, test]


def test_every_file_it_names_is_there() -> None:
    named = {text for text in re.findall(r"`([\w./-]+)`", PROSE) if re.match(r"(dwf|tests|examples|\.ci)/", text)}
    assert len(named) > 20
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_room_is_in_its_tour() -> None:
    rooms = [path.name for path in (ROOT / "dwf").iterdir() if (path / "__init__.py").exists()]
    assert [room for room in rooms if f"`dwf/{room}/`" not in README] == []


def test_every_verb_and_topic_it_mentions_exists() -> None:
    verbs = {words[1] for words in map(str.split, typed()) if len(words) > 1}
    assert len(verbs) >= 9
    assert verbs - set(BY_NAME) == set()
    topics = {words[2] for words in map(str.split, typed()) if words[1:2] == ["help"] and len(words) > 2}
    assert [topic for topic in sorted(topics) if not (ROOT / "dwf" / "cli" / "topics" / f"{topic}.md").exists()] == []


def test_the_crontab_line_calls_a_tick_by_its_whole_path() -> None:
    (line,) = "".join(blocks("crontab")).splitlines()
    *when, command, verb = line.split()
    assert when == ["*"] * 5 and command.startswith("/") and Path(command).name == "dwf" and verb == "tick"


def test_the_marks_that_it_selects_are_known_and_left_out_by_default() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    known = {mark.partition(":")[0] for mark in settings["markers"]}
    selected = set(re.findall(r"pytest .*-m (\w+)", README))
    assert selected == {"long"} and selected <= known
    assert all(f"not {mark}" in settings["addopts"] for mark in known)


def test_its_first_runbook_runs_as_it_is_told(tmp_path: Path) -> None:
    attic, script, dwf = tmp_path / "attic", tmp_path / "tidy.py", Dwf(tmp_path)
    attic.mkdir()
    for name in ("old", "older", "new"):
        (attic / name).touch()
    for name in ("old", "older"):
        os.utime(attic / name, (0, time.time() - 8 * 86400))
    (source,) = blocks("python")
    script.write_text(source)

    lines = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines() if line[:2] == "$ "]
    said, run = {}, ""
    for line in lines:
        words = shlex.split(line)[1:]
        words = [
            w.replace("tidy.py", str(script)).replace("/var/tmp/attic", str(attic)).replace("tidy-x3k8f", run)
            for w in words
        ]
        said[line] = dwf(*words)
        run = said[line].strip() if words[0] == "start" and "--help" not in words else run

    assert f"Remove 2 files from {attic}?" in said["dwf inbox"]
    assert "within" in said["dwf start tidy.py --help"]
    assert "looked at the list" in said["dwf history tidy-x3k8f"]
    assert "completed" in said["dwf show tidy-x3k8f"]
    assert [path.name for path in attic.iterdir()] == ["new"]

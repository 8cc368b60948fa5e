"""Which runs are meant: tags and expressions at the terminal, with an index and without one."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from dwf.engine import lists
from tests.cli.terminal import Terminal


@pytest.fixture
def several(dwf: Terminal) -> Terminal:
    """One that waits for a yes, one that has marked itself, one that is done; one is due."""
    dwf.driven("asks", "--id", "asks-1", "--tag", "env=test", "--tag", "hosts=1")
    dwf.driven("marks", "--id", "marks-1", "--tag", "old=1")
    dwf.driven("quick", "--id", "quick-1", "--tag", "env=prod", "--tag", "hosts=20")
    dwf.started("quick", "--id", "quick-2", "--tag", "canary=true")
    dwf("tick", "--max-seconds", "0")
    return dwf


@pytest.fixture(params=["index", "files"])
def either(several: Terminal, request: pytest.FixtureRequest) -> Terminal:
    if request.param == "files":
        Path(several.home / "index.sqlite").unlink()
    return several


ASKED = {
    ("--tag", "env=prod"): "quick-1 marks-1",
    ("--tag", "env=prod", "--tag", "hosts=3"): "marks-1",
    ("--tag", "canary=true"): "quick-2",
    ("--tag", "old=1"): "",
    ("--tag", "env=prod", "--open"): "marks-1",
    ("--where", "tag.hosts > 2"): "quick-1 marks-1",
    ("--where", "tag.env IS NULL"): "quick-2",
    ("--where", "tag.env IS NOT 'prod'"): "quick-2 asks-1",
    ("--where", "needs AND started > '1h ago'"): "asks-1",
    ("--where", "closed < '1h ago'"): "",
    ("--where", "closed > '1h ago'", "--workflow", "quick"): "quick-1",
    ("--where", "status IN ('waiting') OR id = 'quick-1'"): "quick-1 marks-1 asks-1",
    ("--status", "waiting", "--where", "id LIKE 'MARKS%'"): "marks-1",
}


@pytest.mark.parametrize("words", ASKED, ids=" ".join)
def test_runs_are_found_with_an_index_and_without_one(either: Terminal, words: tuple[str, ...]) -> None:
    assert either("list", *words, "-o", "name").out.split() == ASKED[words].split()
    assert either("count", *words, "-o", "name").out.strip() == str(len(ASKED[words].split()))
    runs = either("list", *words, "--json").json["runs"]
    assert [run["run"] for run in runs] == ASKED[words].split()


def test_what_is_at_work_is_asked_of_its_history(several: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that tags itself and goes on working is found before it rests. Fails when its row is believed."""
    several("signal", "marks-1", "go", "-m", "on")  # due now
    with (several.history("marks-1")).open("rb") as file:
        assert b"TagsChanged" in file.read()
    assert several("list", "--tag", "env=prod", "--status", "waiting", "-o", "name").out == "marks-1\n"
    monkeypatch.setattr(lists, "_LOOKED_INTO", 0)
    assert several("list", "--tag", "env=prod", "-o", "name").out.split() == ["quick-1", "marks-1"]


def test_tags_are_told_with_their_types(several: Terminal) -> None:
    tags = {run["run"]: run["tags"] for run in several("list", "--json").json["runs"]}
    assert tags["marks-1"] == {"env": "prod", "hosts": 3} and tags["quick-2"] == {"canary": True}
    lines = several("list", "-o", "wide").out.splitlines()
    assert lines[0].endswith("TAGS") and any(line.endswith("env=prod hosts=20") for line in lines)
    told = [json.loads(line)["tags"] for line in several("list", "-o", "jsonl").out.splitlines()]
    assert {"env": "test", "hosts": 1} in told


def test_comma_separated_values_can_be_read_again(several: Terminal) -> None:
    said = several("list", "--csv")
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert [row["run"] for row in rows] == ["quick-2", "quick-1", "marks-1", "asks-1"]
    assert json.loads(rows[1]["tags"]) == {"env": "prod", "hosts": 20} and rows[0]["workflow"] == "quick"
    assert len(several("list", "--csv", "-n", "1").out.splitlines()) == 2
    assert several("list", "--csv", "--json").code == 2
    assert several("list", "--csv", "--archived").code == 2


def test_runs_are_counted_by_a_tag_or_a_column(either: Terminal) -> None:
    assert [line.split() for line in either("count", "--by", "tag.env").out.splitlines()] == [
        ["TAG.ENV", "RUNS"],
        ["prod", "2"],
        ["-", "1"],
        ["test", "1"],
        ["all", "4"],
    ]
    document = either("count", "--by", "workflow", "--where", "NOT open", "--json").json
    assert document["counts"] == [{"value": "quick", "runs": 1}] and document["total"] == 1
    assert either("count", "--by", "tag.env", "-o", "name").out == "4\n"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--where", "statsu = 'x'"), "there is no column statsu"),
        (("--where", "id = "), "it is not complete"),
        (("--where", "started > 'never'"), "never"),
        (("--tag", "env"), "'env' is not a tag"),
        (("--tag", "é=1"), "the name of a tag"),
    ],
)
def test_a_bad_expression_is_a_mistake_in_one_line(several: Terminal, words: tuple[str, ...], what: str) -> None:
    for verb in ("list", "count"):
        said = several(verb, *words)
        assert said.code == 2 and what in said.error


def test_without_a_state_directory_there_is_nothing(dwf: Terminal) -> None:
    assert dwf("list", "--where", "open", "-o", "name").code == 0
    assert dwf("count", "--by", "tag.env", "-o", "name").out == "0\n"
    assert dwf("list", "--csv").out.startswith("run,workflow,")

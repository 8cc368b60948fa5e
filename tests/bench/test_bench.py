"""The benchmarks as tests, for who wants them: `pytest -m bench`. And, always, that they run at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.figures import NO_GOAL, Figure, Goal, as_json, as_lines, at_least, at_most, compared, in_turns
from tests.bench.measures import MEASURES
from tests.bench.place import Place, compile_as_installed
from tests.examples.command import ROOT

_ANY = at_least(0.1)


@pytest.mark.bench
@pytest.mark.parametrize("name", MEASURES)
def test_a_figure_reaches_its_target(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compile_as_installed()
    figure = MEASURES[name](Place(tmp_path))
    with capsys.disabled():
        print("\n" + "\n".join(as_lines([figure])))
    assert figure.reached


def test_the_program_takes_every_figure_and_says_whether_it_counts() -> None:
    command = [sys.executable, "-m", "tests.bench", "--json", "--scale", "100"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 1), done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "dwf.bench/1"
    assert len(document["figures"]) == len(MEASURES)
    for figure in document["figures"]:
        assert figure["value"] > 0 and figure["limit"] > 0 and figure["ratio"] > 0 and figure["rounds"]


def test_the_ratio_is_taken_round_by_round_so_that_a_slow_minute_counts_for_both() -> None:
    values, limits = iter([100.0, 10.0, 100.0]), iter([200.0, 20.0, 200.0])
    figure = in_turns("x", "/s", lambda: next(values), "limit", lambda: next(limits), at_least(ratio=0.5), 3)
    assert (figure.value, figure.limit, figure.ratio, figure.reached) == (100.0, 200.0, 0.5, True)


@pytest.mark.parametrize(
    ("value", "limit", "by"),
    [(100.0, 200.0, "value and ratio"), (100.0, 400.0, "value"), (50.0, 100.0, "ratio"), (40.0, 100.0, "")],
)
def test_a_target_is_reached_by_the_value_or_by_its_ratio_to_the_limit(value: float, limit: float, by: str) -> None:
    figure = in_turns("x", "/s", lambda: value, "limit", lambda: limit, at_least(100, base=200.0, unit="/s"), 1)
    assert (figure.by, figure.reached, figure.target) == (by, bool(by), ">= 100/s or >= 0.5 of the limit")
    (_, row) = as_lines([figure])
    assert row.endswith(f"by {by}" if by else "MISSED")


def test_less_is_better_where_the_target_is_a_most() -> None:
    figure = in_turns("x", "s", lambda: 3.0, "limit", lambda: 1.0, at_most(2, base=0.5, unit=" s"), 1)
    assert (figure.by, figure.more_is_better) == ("ratio", False)


def test_a_figure_without_a_target_misses_none() -> None:
    figure = in_turns("x", "s", lambda: 3.0, "limit", lambda: 1.0, NO_GOAL, 1)
    assert (figure.by, figure.reached) == ("", True)


def test_two_commits_are_compared_by_their_ratios() -> None:
    def figure(name: str, value: float, goal: Goal = _ANY) -> Figure:
        return in_turns(name, "x", lambda: value, "limit", lambda: 10.0, goal, 1)

    before = json.loads(as_json([figure("fast", 5), figure("slow", 5), figure("time", 5, NO_GOAL), figure("same", 5)]))
    now = [figure("fast", 8), figure("slow", 3), figure("time", 8, NO_GOAL), figure("same", 5.2), figure("fresh", 1)]
    assert [line.split()[-1] for line in compared(before, now)[1:]] == ["better", "WORSE", "WORSE", "+4%", "new"]

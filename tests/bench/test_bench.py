"""The benchmarks as tests, for who wants them: `pytest -m bench`. And, always, that they run at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.figures import Figure, as_json, as_lines, compared, in_turns
from tests.bench.measures import MEASURES
from tests.bench.place import Place
from tests.examples.command import ROOT


@pytest.mark.bench
@pytest.mark.parametrize("name", MEASURES)
def test_a_figure_reaches_its_target(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    figure = in_turns(
        "x", "/s", lambda: next(values), "limit", lambda: next(limits), ">= 0.5", lambda _, r: r >= 0.5, 3
    )
    assert (figure.value, figure.limit, figure.ratio, figure.reached) == (100.0, 200.0, 0.5, True)


def test_two_commits_are_compared_by_their_ratios() -> None:
    def figure(name: str, value: float, best: Callable[[list[float]], float] = max) -> Figure:
        return in_turns(name, "x", lambda: value, "limit", lambda: 10.0, "-", lambda *_: True, 1, best)

    before = json.loads(as_json([figure("fast", 5), figure("slow", 5), figure("time", 5, min), figure("same", 5)]))
    now = [figure("fast", 8), figure("slow", 3), figure("time", 8, min), figure("same", 5.2), figure("fresh", 1)]
    assert [line.split()[-1] for line in compared(before, now)[1:]] == ["better", "WORSE", "WORSE", "+4%", "new"]

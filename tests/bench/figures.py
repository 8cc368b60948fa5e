"""What a benchmark gives: a figure, the limit of this machine that it is held against, and how close it comes.

Value and limit are taken in turns, round by round, so that a busy machine slows both; the ratio is the median of the
rounds' own ratios. A target in seconds or per second was set for one machine, so it is a ratio as well: to the limit
that was measured there. On a slower or faster one that is what it says.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

Measure = Callable[[], float]


@dataclass(frozen=True)
class Goal:
    """value, ratio: between which two numbers each has to lie; None: it is not asked. One of both is enough."""

    words: str
    value: tuple[float, float] | None = None
    ratio: tuple[float, float] | None = None
    more_is_better: bool = True

    @property
    def asks(self) -> bool:
        """Whether there is anything to be reached: some figures are only taken to compare two commits by."""
        return self.value is not None or self.ratio is not None

    def met(self, value: float, ratio: float) -> str:
        """What has reached it: "value", "ratio", "value and ratio", or "" if neither has."""
        found = (("value", self.value, value), ("ratio", self.ratio, ratio))
        return " and ".join(word for word, bounds, is_now in found if bounds and bounds[0] <= is_now <= bounds[1])


def at_least(value: float | None = None, *, ratio: float | None = None, base: float = 0.0, unit: str = "") -> Goal:
    """So much or more. base: the limit of the machine for which `value` was set; that makes it a ratio, too."""
    ratio = value / base if value is not None and base else ratio
    words = _words(">=", value, ratio, unit)
    return Goal(words, value and (value, math.inf), ratio and (ratio, math.inf))


def at_most(value: float | None = None, *, ratio: float | None = None, base: float = 0.0, unit: str = "") -> Goal:
    """So much or less; as `at_least`."""
    ratio = value / base if value is not None and base else ratio
    words = _words("<=", value, ratio, unit)
    return Goal(words, value and (-math.inf, value), ratio and (-math.inf, ratio), more_is_better=False)


def _words(sign: str, value: float | None, ratio: float | None, unit: str) -> str:
    said = [] if value is None else [f"{sign} {value:,g}{unit}"]
    return " or ".join(said + ([] if ratio is None else [f"{sign} {ratio:.3g} of the limit"]))


NO_GOAL = Goal("-", more_is_better=False)


@dataclass(frozen=True)
class Figure:
    """value, limit, ratio (value / limit): medians over the rounds. best: of the values, as a busy machine hides it.

    reached: the goal, or there is none. by: what has reached it. more_is_better: or less is.
    """

    name: str
    value: float
    best: float
    unit: str
    limit: float
    limit_name: str
    ratio: float
    target: str
    reached: bool
    by: str
    rounds: list[tuple[float, float]]
    more_is_better: bool = True


def in_turns(
    name: str, unit: str, value: Measure, limit_name: str, limit: Measure, goal: Goal, rounds: int = 5
) -> Figure:
    """Take both `rounds` times in turns. The goal is asked with the medians of value and ratio."""
    taken = [(value(), limit()) for _ in range(rounds)]
    ratio = statistics.median(v / l for v, l in taken)  # noqa: E741
    middle = statistics.median(v for v, _ in taken)
    by = goal.met(middle, ratio)
    return Figure(
        name,
        middle,
        (max if goal.more_is_better else min)(v for v, _ in taken),
        unit,
        statistics.median(l for _, l in taken),  # noqa: E741
        limit_name,
        ratio,
        goal.words,
        bool(by) or not goal.asks,
        by,
        taken,
        goal.more_is_better,
    )


def machine() -> dict[str, object]:
    """Where the figures were taken, and how busy it was."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def as_lines(figures: Iterable[Figure]) -> list[str]:
    """A table for people."""
    head: tuple[str, ...] = ("", "VALUE", "BEST", "LIMIT OF THIS MACHINE", "RATIO", "TARGET", "")
    rows = [head]
    for f in figures:
        value, limit = f"{_short(f.value)} {f.unit}", f"{_short(f.limit)} {f.limit_name}"
        word = (f"by {f.by}" if f.by else "") if f.reached else "MISSED"
        rows.append((f.name, value, _short(f.best), limit, f"{f.ratio:.3g}", f.target, word))
    return _columns(rows)


def as_json(figures: Iterable[Figure]) -> str:
    """The same for a program, with every round."""
    document = {"schema": "dwf.bench/1", "machine": machine(), "figures": [asdict(f) for f in figures]}
    return json.dumps(document, indent=1)


# Ratios of two calm runs of the same commit differ by less than this.
_NOISE = 0.15


def compared(before: dict[str, Any], figures: Iterable[Figure]) -> list[str]:
    """What became of each figure since a document of `as_json`. By ratios, for limits differ from day to day."""
    known = {figure["name"]: figure for figure in before["figures"]}
    rows = [("", "WAS", "IS", "CHANGE", "")]
    for f in figures:
        was = known.get(f.name)
        if was is None or not was["ratio"]:
            rows.append((f.name, "-", f"{f.ratio:.2f}", "new", ""))
            continue
        change = f.ratio / was["ratio"] - 1
        gain = change if f.more_is_better else -change
        word = "" if abs(gain) < _NOISE else "better" if gain > 0 else "WORSE"
        rows.append((f.name, f"{was['ratio']:.2f}", f"{f.ratio:.2f}", f"{change:+.0%}", word))
    return _columns(rows)


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"

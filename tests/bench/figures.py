"""What a benchmark gives: a figure, the limit of this machine that it is held against, and how close it comes.

Value and limit are taken in turns, round by round, so that a busy machine slows both; the ratio is the median of the
rounds' own ratios.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

Measure = Callable[[], float]


@dataclass(frozen=True)
class Figure:
    """value, limit, ratio (value / limit): medians over the rounds. best: of the values, as a busy machine hides it.

    more_is_better: or less is.
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
    rounds: list[tuple[float, float]]
    more_is_better: bool = True


def in_turns(
    name: str,
    unit: str,
    value: Measure,
    limit_name: str,
    limit: Measure,
    target: str,
    reached: Callable[[float, float], bool],
    rounds: int = 5,
    best: Callable[[list[float]], float] = max,
) -> Figure:
    """Take both `rounds` times in turns. `reached` is asked with the medians of value and ratio."""
    taken = [(value(), limit()) for _ in range(rounds)]
    ratio = statistics.median(v / l for v, l in taken)  # noqa: E741
    middle = statistics.median(v for v, _ in taken)
    return Figure(
        name,
        middle,
        best([v for v, _ in taken]),
        unit,
        statistics.median(l for _, l in taken),  # noqa: E741
        limit_name,
        ratio,
        target,
        reached(middle, ratio),
        taken,
        best is max,
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
        rows.append((f.name, value, _short(f.best), limit, f"{f.ratio:.2f}", f.target, "" if f.reached else "MISSED"))
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

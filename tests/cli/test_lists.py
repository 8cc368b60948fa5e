from __future__ import annotations

from typing import Any

import pytest

from dwf.cli.pages.runs import inbox_document, inbox_lines, inbox_next, list_document, list_lines
from dwf.cli.screen import Marks
from dwf.cli.times import Clock
from dwf.core.duration import SECOND
from dwf.core.state import Status
from dwf.engine.lists import Need, Summary
from tests.cli.test_words import text
from tests.cli.told import BEGAN

NOW = BEGAN + 5 * 3600 * SECOND
CLOCK = Clock(NOW, utc=True)


def summary(run: str, status: Status, **changes: Any) -> Summary:
    fields: dict[str, Any] = {
        "workflow": "rotate",
        "step": "-",
        "waiting": "-",
        "since_us": BEGAN,
        "until_us": None,
        "started_us": BEGAN,
        "updated_us": BEGAN,
        "by": "anna",
        "tags": {},
    }
    return Summary(run=run, status=status, **{**fields, **changes})


RUNS = [
    summary(
        "cert-rotation-7f3k9",
        Status.WAITING,
        step="approve",
        waiting="@security",
        until_us=NOW + 58 * 60 * SECOND,
    ),
    summary("restore-db2", Status.RUNNING, workflow="restore", step="pg_restore", waiting="attempt 1 of 3"),
    summary("patch-fleet-0912", Status.BLOCKED, workflow="patch_fleet", waiting="you: KeyError: 'x' at fleet.py:41"),
    summary("nightly-backup-1121", Status.COMPLETED, workflow="backup"),
]


def lines(runs: list[Summary], width: int = 0, wide: bool = False) -> list[str]:
    return [text(line) for line in list_lines(runs, CLOCK, Marks(False), width, wide=wide)]


def test_a_list_says_where_each_run_is_and_what_it_waits_for() -> None:
    assert lines(RUNS) == [
        "ID                   WORKFLOW     STATUS     STEP        AGE  WAITING FOR",
        "cert-rotation-7f3k9  rotate       waiting    approve      5h  58m left: @security",
        "restore-db2          restore      running    pg_restore   5h  attempt 1 of 3",
        "patch-fleet-0912     patch_fleet  blocked    -            5h  you: KeyError: 'x' at fleet.py:41",
        "nightly-backup-1121  backup       completed  -            5h  -",
    ]


@pytest.mark.parametrize("width", [70, 80, 200])
def test_a_list_fits_the_terminal_without_cutting_ids(width: int) -> None:
    found = lines(RUNS, width)
    assert all(len(line) <= width for line in found)
    assert [line.split()[0] for line in found[1:]] == [run.run for run in RUNS]


def test_wide_says_more_and_cuts_nothing() -> None:
    found = lines(RUNS, 80, wide=True)
    assert "STARTED" in found[0]
    assert "2026-11-22 15:02:11 UTC" in found[1]
    assert "you: KeyError: 'x' at fleet.py:41" in found[3]


def test_a_passed_deadline_without_a_tick_is_overdue() -> None:
    late = summary("r", Status.WAITING, waiting="let it settle", until_us=NOW - 120 * SECOND)
    assert lines([late])[1].endswith("overdue 2m: let it settle")


def test_a_list_for_programs_has_stable_keys_and_utc_times() -> None:
    document = list_document(RUNS)
    assert document["schema"] == "dwf.list/1"
    assert document["runs"][0] == {
        "run": "cert-rotation-7f3k9",
        "workflow": "rotate",
        "status": "waiting",
        "step": "approve",
        "waiting": "@security",
        "since": "2026-11-22T15:02:11.000000Z",
        "until": "2026-11-22T21:00:11.000000Z",
        "started": "2026-11-22T15:02:11.000000Z",
        "updated": "2026-11-22T15:02:11.000000Z",
        "by": "anna",
        "tags": {},
    }


NEEDS = [
    Need("APPROVE", "cert-1", "Switch web1?", "@security 1/2", BEGAN, NOW + 58 * 60 * SECOND, "reject"),
    Need("APPROVE", "cert-2", "Switch web2?", "anyone", BEGAN),
    Need("FIX", "sync-88", "KeyError at sync.py:4", "whoever keeps the script", BEGAN),
]


def test_an_inbox_says_what_who_and_how_long_still() -> None:
    found = [text(line) for line in inbox_lines(NEEDS, CLOCK, Marks(False), 0)]
    assert found[1].split() == "APPROVE cert-1 Switch web1? 58m left, then reject @security 1/2".split()
    assert found[2].split() == "APPROVE cert-2 Switch web2? - anyone".split()
    assert [text(line) for line in inbox_next(NEEDS)] == [
        'next: dwf approve cert-1 -m "..."',
        "next: dwf show sync-88",
    ]
    assert inbox_document(NEEDS)["needs"][0]["kind"] == "approve"

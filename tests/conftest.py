"""What all tests share: how properties are searched, and what is told at the end.

A slow moment of a busy machine is no failure, so examples have no deadline; in CI the search is the same each time, so
that a red build can be repeated. Elsewhere it looks in new places with every run.
"""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import HealthCheck, settings

from tests.faults.tally import told

settings.register_profile("dwf", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("dwf"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dwf")


def pytest_collection_finish() -> None:
    """What was imported is never garbage. Looked through with every collection, it took two thirds of some tests."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was made to go wrong, and how much of it was survived."""
    reports = [report for some in terminalreporter.stats.values() for report in some]
    lines = told(pair for report in reports for pair in getattr(report, "user_properties", ()) if _is_last(report))
    if lines:
        terminalreporter.section("faults")
    for line in lines:
        terminalreporter.line(line)


def _is_last(report: object) -> bool:
    return getattr(report, "when", "") == "teardown"

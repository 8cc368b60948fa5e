"""Limits, heartbeats and cancellation types come to the same, however a test drives its runs."""

from __future__ import annotations

from pathlib import Path

import pytest

import dwf
from dwf.testing import Env

BOOK = """
import asyncio, dwf

@dwf.activity(retry=dwf.Retry(max_attempts=None, initial="5m", backoff=1, max_interval="1h", jitter="none"),
              schedule_to_close="1h")
def never() -> None:
    raise OSError("no route")

@dwf.activity(retry=dwf.Retry(max_attempts=9, initial="1m", jitter="none"), on_crash="retry")
def copy() -> int:
    at = dwf.activity_info().heartbeat_details or 0
    if at < 3:
        dwf.heartbeat(at + 1)
        raise OSError("once more")
    return at

@dwf.activity(retry=dwf.Retry(max_attempts=None, initial="1h", jitter="none"), cancellation_type="try")
def stubborn() -> None:
    raise OSError("not yet")

@dwf.workflow
async def main() -> list:
    told = []
    try:
        await never()
    except dwf.ActivityTimeout as error:
        told.append(error.timeout)
    told.append(await copy())
    task = asyncio.ensure_future(stubborn())
    await dwf.sleep("10m")
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        told.append("gone on")
    await dwf.sleep("10m")
    return told
"""


@pytest.mark.parametrize("mode", ["normal", "paranoid", "dying"])
def test_a_runbook_with_limits_comes_to_the_same_in_every_mode(tmp_path: Path, mode: str) -> None:
    """Fails when what a script gets of a step depends on whether it is replayed, or on a death."""
    path = tmp_path / "book.py"
    path.write_text(BOOK)
    env = Env(tmp_path / mode, mode)
    assert env.run(str(path), "r1").result == ["schedule-to-close", 3, "gone on"]


def test_an_activity_that_is_called_as_a_function_may_beat() -> None:
    @dwf.activity
    def beats() -> int:
        dwf.heartbeat(1)
        return 2

    assert beats() == 2

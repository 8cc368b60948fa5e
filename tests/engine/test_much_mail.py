"""What many runs cost, in counts: they are the same on every machine, however busy it is."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from dwf.core.state import Status
from tests.engine.house import House
from tests.faults.disk import FaultyDisk

LISTENING = """
@dwf.activity
def work(n: int) -> int:
    return n

@dwf.workflow
async def main():
    return await work(await dwf.wait_signal("go"))
"""


def counted(house: House, runs: int, monkeypatch: pytest.MonkeyPatch, prefix: str) -> Counter[str]:
    """A signal for each of that many runs that wait for it, handled by one tick: how often it asked the disk what."""
    path = house.script(LISTENING)
    for n in range(runs):
        house.start(path, f"{prefix}{n}")
    house.tick()
    for n in range(runs):
        house.signal("go", n, f"{prefix}{n}")
    disk, listed = FaultyDisk(), os.listdir
    seen: Counter[str] = Counter()
    house.reopen(disk)
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", lambda path: (seen.update([f"list {str(path)[-8:]}"]), listed(path))[1])
        house.tick()
    assert all(house.status(f"{prefix}{n}") is Status.COMPLETED for n in range(runs))
    seen.update(f"{call.operation} {Path(call.path).parent.name}" for call in disk.calls)
    return seen


def test_a_signal_to_each_of_many_runs_costs_two_syncs_a_run_and_the_mailbox_is_not_listed_for_each(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    some, more = counted(house, 40, monkeypatch, "a"), counted(house, 80, monkeypatch, "b")
    # The signal with the step that it starts; the end of the step with the end of the run.
    assert some["fdatasync runs"] == 2 * 40 and more["fdatasync runs"] == 2 * 80
    # One syncing of the mailbox does for all who ask for it before it begins.
    assert more["fsync mail"] <= 80
    assert max(some["list mail/new"], more["list mail/new"]) <= 8
    assert max(some["list mail/bad"], more["list mail/bad"]) <= 16
    # The file of a lock that was given up is the next one's: made once for each run that is driven at a time.
    assert more["create locks"] <= 16

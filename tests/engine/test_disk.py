"""A disk that is full, fails, or has no more descriptors: one clear error, nothing false, and it goes on by itself."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from dwf.core.state import Status
from dwf.errors import DiskError
from tests.engine.house import House
from tests.faults import FaultyDisk


def test_a_full_disk_is_told_with_path_and_errno_and_nothing_is_acknowledged(house: House) -> None:
    """Fails when a write that failed is passed over."""
    path = house.script("@dwf.workflow\nasync def main():\n    return await dwf.wait_signal('go')\n")
    disk = FaultyDisk()
    disk.fail_on("write", errno.ENOSPC, forever=True)
    house.reopen(disk)
    with pytest.raises(DiskError) as raised:
        house.start(path)
    assert raised.value.exit_code == 74 and raised.value.errno == errno.ENOSPC and raised.value.path
    house.reopen()
    assert list(Path(house.store.layout.runs).glob("*.jsonl")) == []
    assert house.tick().driven == 0
    house.check()


def test_one_run_s_disk_error_is_reported_and_the_others_go_on(house: House) -> None:
    text = "@dwf.activity\ndef work():\n    note('x')\n@dwf.workflow\nasync def main():\n    await work()\n"
    for n in range(5):
        house.start(house.script(text), f"r{n}")

    class OneBadFile(FaultyDisk):
        def _call(self, operation: str, path: str, function: object, *args: object) -> object:
            if path.endswith("r2.jsonl") and operation == "fdatasync":
                raise OSError(errno.EIO, "bad sector")
            return super()._call(operation, path, function, *args)  # type: ignore[arg-type]

    house.reopen(OneBadFile())
    report = house.try_tick()
    (error,) = report.errors
    assert isinstance(error, DiskError) and "r2.jsonl" in error.message
    assert [house.status(f"r{n}") for n in (0, 1, 3, 4)] == [Status.COMPLETED] * 4
    house.reopen()
    house.tick()
    assert house.status("r2") is Status.COMPLETED and len(house.notes()) == 5
    house.check()


def test_a_step_that_runs_when_the_disk_fails_is_ended_before_the_run_is_left(house: House) -> None:
    """Else the next tick would start it anew beside itself."""
    house.start(
        house.script(
            """
            @dwf.activity
            def work(n: int) -> int:
                note("in", n)
                while not os.path.exists(LEDGER + ".go"):
                    time.sleep(0.001)
                time.sleep(0.05 * n)
                note("out", n)
                return n

            @dwf.workflow
            async def main():
                await asyncio.gather(work(0), work(5))
            """
        )
    )

    class FullLater(FaultyDisk):
        def _call(self, operation: str, path: str, function: object, *args: object) -> object:
            if operation == "write" and path.endswith("r1.jsonl") and "out 0" in house.notes():
                raise OSError(errno.ENOSPC, "full")
            return super()._call(operation, path, function, *args)  # type: ignore[arg-type]

    house.reopen(FullLater())
    (house.path / "ledger.go").touch()
    report = house.try_tick()
    assert len(report.errors) == 1
    assert "out 5" in house.notes(), "the run was left while its step was running"
    house.reopen()
    house.tick()
    assert house.status() is Status.COMPLETED
    house.check()

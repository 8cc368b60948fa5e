"""Code: a run stays on the code it was started with, unless it was told to follow the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine.stack import stack
from dwf.errors import CodeMissing
from tests.engine.house import House

BOOK = """
import helper

@dwf.activity
def {step}(n: int) -> int:
    note("{step}", n, helper.VERSION)
    return n

@dwf.workflow
async def main():
    await {step}(1)
    await dwf.wait_signal("go")
    return await {step}(2)
"""


def write(house: House, step: str, version: int) -> str:
    (house.path / "helper.py").write_text(f"VERSION = {version}\n")
    return house.script(BOOK.format(step=step))


def test_a_pinned_run_is_untouched_by_edits_of_its_files(house: House) -> None:
    house.start(write(house, "drain", 1))
    house.tick()
    write(house, "cordon", 2)
    house.signal("go")
    house.reopen()
    house.tick()
    assert house.notes() == ["drain 1 1", "drain 2 1"] and house.status() is Status.COMPLETED


def test_a_pinned_run_goes_on_when_its_file_is_gone(house: House) -> None:
    path = write(house, "drain", 1)
    house.start(path)
    house.tick()
    os.unlink(path)  # noqa: PTH108
    house.signal("go")
    house.reopen()
    house.tick()
    assert house.status() is Status.COMPLETED


def test_stored_code_that_was_changed_is_not_run(house: House) -> None:
    """Fails when stored bytes are not compared with their hash."""
    house.start(write(house, "drain", 1))
    stored = next(p for p in Path(house.store.layout.code).rglob("*") if p.is_file() and b"VERSION" in p.read_bytes())
    stored.chmod(0o600)
    stored.write_bytes(stored.read_bytes().replace(b"1", b"2"))
    house.tick()
    assert house.the(ev.RunBlocked).code == CodeMissing.code and house.notes() == []


def test_two_versions_of_one_script_and_its_helper_run_side_by_side(house: House) -> None:
    for version in (1, 2, 3):
        house.start(write(house, "drain", version), f"r{version}")
    house.tick()
    for version in (1, 2, 3):
        house.signal("go", run=f"r{version}")
    house.tick()
    assert sorted(house.notes()) == sorted(f"drain {n} {v}" for v in (1, 2, 3) for n in (1, 2))


def test_a_live_run_follows_its_file(house: House) -> None:
    house.start(write(house, "drain", 1), code="live")
    house.tick()
    write(house, "drain", 2)
    house.signal("go")
    house.tick()
    assert house.notes() == ["drain 1 1", "drain 2 2"]


def test_a_live_script_that_no_longer_fits_blocks_with_both_sides_and_goes_on_when_it_is_back(house: House) -> None:
    house.start(write(house, "drain", 1), code="live")
    house.tick()
    write(house, "cordon", 1)
    house.signal("go")
    report = house.tick()
    blocked = house.the(ev.RunBlocked)
    assert blocked.code == "nondeterminism"
    assert "drain" in blocked.message and "cordon" in blocked.message and "book.py:" in blocked.message
    assert len(report.news) == 1
    assert house.tick().news == [] and house.kinds().count("RunBlocked") == 1
    write(house, "drain", 1)
    house.tick()
    assert house.notes() == ["drain 1 1", "drain 2 1"]
    assert house.status() is Status.COMPLETED and "RunUnblocked" in house.kinds()
    house.check()


def test_a_run_blocked_on_its_live_file_does_not_keep_the_tick_busy(house: House) -> None:
    path = write(house, "drain", 1)
    house.start(path, code="live")
    house.tick()
    Path(path).write_text("syntax error here")
    house.signal("go")
    report = house.tick(max_seconds=20)
    assert not report.stopped and report.driven == 1
    assert house.the(ev.RunBlocked).code == "script-refused"
    assert house.tick(max_seconds=20).driven == 1, "the next tick looks at the file again"
    os.unlink(path)  # noqa: PTH108
    house.tick()
    assert [b.code for b in house.all(ev.RunBlocked)] == ["script-refused", "not-found"]
    write(house, "drain", 1)
    house.tick()
    assert house.status() is Status.COMPLETED


def test_the_stack_shows_where_each_coroutine_waits(house: House) -> None:
    house.go(
        """
        async def inner():
            await dwf.sleep("1h")

        @dwf.workflow
        async def main():
            side = asyncio.create_task(inner())
            await dwf.wait_signal("go")
        """
    )
    before = house.kinds()
    found = stack(house.store, "r1", os.getuid())
    assert {task.name for task in found} >= {"main"}
    assert found[0].lines[-1][1] == 'await dwf.wait_signal("go")'
    assert ('await dwf.sleep("1h")') in found[1].lines[-1][1]
    assert house.kinds() == before


@pytest.mark.parametrize("mode", ["pinned", "live"])
def test_a_hundred_runs_of_one_script_load_it_once(house: House, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    from dwf.engine import context

    load = context.load
    monkeypatch.setattr(context, "load", lambda *args: (loads.append(args[1]), load(*args))[1])
    path = house.script("@dwf.workflow\nasync def main():\n    return 1\n")
    for n in range(100):
        house.start(path, f"r{n}", code="live" if mode == "live" else "")
    house.tick()
    assert all(house.status(f"r{n}") is Status.COMPLETED for n in range(100))
    assert len(loads) == 1


def test_a_script_that_does_not_load_any_more_is_tried_once_a_tick_and_holds_up_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dwf.scripts.load.IMPORT_LIMIT_SECONDS", 0.3)
    endless = house.script("@dwf.workflow\nasync def main():\n    return 1\n", "endless.py")
    for n in range(10):
        house.start(endless, f"e{n}", code="live")
    house.start(house.script("@dwf.workflow\nasync def main():\n    return 1\n", "good.py"), "good")
    house.script("@dwf.workflow\nasync def main():\n    return 1\nwhile True: pass\n", "endless.py")
    report = house.tick(max_seconds=20)
    assert not report.stopped and report.errors == []
    assert house.status("good") is Status.COMPLETED
    assert {house.the(ev.RunBlocked, f"e{n}").code for n in range(10)} == {"script-refused"}

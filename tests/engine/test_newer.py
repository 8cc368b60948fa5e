"""Runs that follow their file: onto what it holds, if their history fits that; else they stay, which is told once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine import newer
from dwf.engine.context import Codes
from dwf.errors import CodeMissing, NotPermitted
from dwf.scripts import ondisk
from tests.engine.house import House

BOOK = """
@dwf.activity
def {first}(n: int) -> int:
    note("{first}", n)
    return n

@dwf.activity
def {then}(n: int) -> int:
    note("{then}", n)
    return n

@dwf.workflow(upgrade={mode!r})
async def main():
    await {first}(1)
    await dwf.wait_signal("go")
    await {then}(2)
    await dwf.wait_signal("end")
"""


def write(house: House, first: str = "drain", then: str = "switch", mode: str = "auto") -> str:
    return house.script(BOOK.format(first=first, then=then, mode=mode))


def waiting(house: House, mode: str = "auto") -> None:
    house.start(write(house, mode=mode))
    house.tick()
    assert house.status() is Status.WAITING


def test_a_run_goes_over_to_what_its_file_holds_when_its_history_fits(house: House) -> None:
    """Fails when a run that follows its file is driven on the code of its start."""
    waiting(house)
    write(house, then="reload")
    house.signal("go")
    house.tick()
    moved = house.the(ev.CodeUpgraded)
    assert (moved.reason, moved.by) == ("auto", None) and house.state().code == moved.code
    assert house.notes() == ["drain 1", "reload 2"]
    house.signal("end")
    house.reopen()
    house.tick()
    assert house.status() is Status.COMPLETED and len(house.all(ev.CodeUpgraded)) == 1
    house.check()


def test_what_does_not_fit_leaves_it_on_its_code_and_is_told_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when a file that does not fit is tried, or told, each time the run is driven."""
    tried: list[str] = []
    real = newer.check_fits

    def check_fits(*given: Any) -> None:
        tried.append("once more")
        real(*given)

    monkeypatch.setattr(newer, "check_fits", check_fits)
    waiting(house)
    write(house, first="cordon", then="reload")
    house.signal("go")
    told = house.tick().remarks
    refused = house.the(ev.CodeRefused)
    assert refused.where.startswith("book.py:") and refused.line == 2
    assert told == [f"r1 stays on {house.state().code[:7]}: {refused.message}"]
    assert house.notes() == ["drain 1", "switch 2"]
    house.signal("x")
    assert house.tick().remarks == [] and len(house.all(ev.CodeRefused)) == 1 == len(tried)
    write(house, first="drain", then="reload")
    house.signal("end")
    house.tick()
    assert house.state().refused is not None and house.status() is Status.COMPLETED
    house.check()


def test_it_is_moved_by_the_next_content_that_fits(house: House) -> None:
    waiting(house)
    write(house, first="cordon")
    house.signal("x")
    house.tick()
    assert house.state().refused is not None
    write(house, then="reload")
    house.signal("go")
    house.tick()
    assert house.state().refused is None and house.notes() == ["drain 1", "reload 2"]


def test_a_pinned_run_never_looks_at_its_file(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when the file of a run is looked at that is to stay on its code."""
    looked: list[str] = []
    monkeypatch.setattr(Codes, "on_disk", lambda self, script: looked.append(script))
    waiting(house, "pinned")
    house.start(write(house), "live", code="live")
    house.tick()
    write(house, then="reload", mode="pinned")
    house.signal("go")
    house.tick()
    assert looked == [] and house.notes().count("switch 2") == 1 and house.all(ev.CodeUpgraded) == []


def test_an_idle_tick_does_not_look_at_the_file(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting(house)
    write(house, then="reload")
    looked: list[str] = []
    monkeypatch.setattr(Codes, "on_disk", lambda self, script: looked.append(script))
    house.reopen()
    assert house.tick().driven == 0 and looked == []


def test_files_that_have_not_changed_are_not_opened_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when each of many runs has the script read and parsed once more."""
    read: list[str] = []
    real = ondisk.collect

    def collect(path: str) -> Any:
        read.append(path)
        return real(path)

    monkeypatch.setattr(ondisk, "collect", collect)
    path = write(house)
    os.utime(path, (1, 1))
    os.utime(house.path, (1, 1))
    files = ondisk.OnDisks()
    first = files.of(path)
    assert files.of(path) is first and len(read) == 1
    os.utime(path, (2, 2))
    assert files.of(path).content == first.content and len(read) == 2
    write(house, then="other")
    assert files.of(path).content != first.content
    assert files.of(path).content != first.content and len(read) == 4  # so fresh that it may change again unseen


@pytest.mark.parametrize("broken", ["def (:\n", "1 / 0\n", "import dwf\n", "import nothing_of_this_name\n"])
def test_a_file_that_cannot_be_used_blocks_nothing(house: House, broken: str) -> None:
    waiting(house)
    Path(house.state().script).write_text(broken)
    for name in ("x", "y", "go"):
        house.signal(name)
        house.tick()
    assert house.notes() == ["drain 1", "switch 2"] and len(house.all(ev.CodeRefused)) == 1


def test_a_file_that_is_gone_holds_nothing_newer(house: House) -> None:
    waiting(house)
    os.unlink(house.state().script)  # noqa: PTH108
    house.signal("go")
    house.tick()
    assert house.notes() == ["drain 1", "switch 2"] and house.all(ev.CodeRefused) == []


def test_code_of_strangers_is_not_gone_over_to(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when whose file it is is not asked before a run follows it."""
    waiting(house)
    write(house, then="reload")

    def strangers(*_: Any) -> None:
        raise NotPermitted(what="others can write it")

    monkeypatch.setattr("dwf.engine.newer.require_own", strangers)
    house.signal("go")
    house.tick()
    assert house.notes() == ["drain 1", "switch 2"] and house.the(ev.CodeRefused).message == "others can write it"


def test_a_blocked_run_goes_on_as_soon_as_its_file_is_mended(house: House) -> None:
    house.start(house.script(BOOK.format(first="drain", then="switch", mode="auto").replace("await drain", "{}['x']")))
    house.tick()
    assert house.status() is Status.BLOCKED
    write(house)
    house.tick()
    assert house.status() is Status.WAITING and house.notes() == ["drain 1"]


def test_a_run_whose_code_is_missing_is_blocked_and_its_file_saves_it_if_it_follows_that(house: House) -> None:
    for mode, run in (("pinned", "p"), ("auto", "a")):
        house.start(write(house, mode=mode), run)
    house.tick()
    for path in Path(house.store.layout.code).iterdir():
        path.unlink()
    for run in ("p", "a"):
        house.signal("go", run=run)
    write(house, then="reload")
    house.tick()
    assert house.the(ev.RunBlocked, "p").code == CodeMissing.code
    assert house.status("a") is Status.WAITING and house.notes()[2:] == ["reload 2"]


def test_children_and_next_instances_follow_as_their_run_does(house: House) -> None:
    path = house.script(
        """
        @dwf.workflow
        async def child():
            await dwf.wait_signal("go")

        @dwf.workflow(upgrade="auto")
        async def main(n: int = 0):
            if n == 0:
                return dwf.continue_as_new(n=1)
            await child()
        """
    )
    house.start(f"{path}:main")
    house.tick()
    head = house.state().head
    (kid,) = house.state().children.values()
    assert (head.link, head.code_mode, house.state(kid.requested.run).head.code_mode) == (2, "auto", "auto")

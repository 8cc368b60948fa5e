"""Shelves: one file for each name, of before or of after, and there for good."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from dwf.core.events import Identity
from dwf.errors import BadConfiguration, DiskError
from dwf.store.files import Disk
from dwf.store.layout import Layout
from dwf.store.routes import Route
from dwf.store.shelf import Shelf
from tests.faults import Crash, FaultyDisk, PowerCut, points
from tests.store.places import new_home


def route(code: str = "aa", script: str = "/srv/a.py") -> Route:
    return Route(script=script, code=code, at="2026-01-01T00:00:00.000000Z", by=Identity(uid=7))


def routes(layout: Layout, disk: Disk | None = None) -> Shelf[Route]:
    return Shelf(disk or Disk(), layout.routes, Route, lambda route: route.script)


def test_each_script_has_its_own_until_it_is_taken_back(tmp_path: Path) -> None:
    layout = new_home(tmp_path)
    assert routes(layout).all() == [] and routes(layout).of("/srv/a.py") is None
    routes(layout).put(route("aa"))
    routes(layout).put(route("bb", "/srv/b.py"))
    routes(layout).put(route("cc"))
    assert [(one.script, one.code) for one in routes(layout).all()] == [("/srv/a.py", "cc"), ("/srv/b.py", "bb")]
    routes(layout).drop("/srv/a.py")
    assert routes(layout).of("/srv/a.py") is None and routes(layout).of("/srv/b.py") == route("bb", "/srv/b.py")
    with pytest.raises(FileNotFoundError):
        routes(layout).drop("/srv/a.py")


def test_a_path_that_is_no_text_has_one_too(tmp_path: Path) -> None:
    assert routes(new_home(tmp_path)).of("/srv/\udcff.py") is None


def test_killed_or_without_power_at_any_call_it_is_the_one_of_before_or_the_new_one(tmp_path: Path) -> None:
    calls = points(lambda disk: routes(new_home(tmp_path), disk).put(route("new")))
    assert calls > 5
    for number in range(1, calls + 1):
        (tmp_path / str(number)).mkdir()
        layout = new_home(tmp_path / str(number))
        power = PowerCut(layout.home)
        routes(layout, FaultyDisk(power)).put(route("old"))
        dying = FaultyDisk(power)
        dying.crash_at(number)
        try:
            routes(layout, dying).put(route("new"))
        except Crash:
            pass
        power.cut()
        power.close()
        found = routes(layout).of("/srv/a.py")
        assert found is not None and found.code in ("old", "new")
        routes(layout).put(route("next"))
        assert [one.code for one in routes(layout).all()] == ["next"]


def test_set_is_set_and_unset_is_unset_for_good(tmp_path: Path) -> None:
    layout = new_home(tmp_path)
    power = PowerCut(layout.home)
    routes(layout, FaultyDisk(power)).put(route("aa"))
    power.cut()
    power.close()
    assert [one.code for one in routes(layout).all()] == ["aa"]
    power = PowerCut(layout.home)
    routes(layout, FaultyDisk(power)).drop("/srv/a.py")
    power.cut()
    power.close()
    assert routes(layout).all() == []


def test_no_room_is_an_error_and_leaves_what_was_set(tmp_path: Path) -> None:
    layout = new_home(tmp_path)
    routes(layout).put(route("aa"))
    disk = FaultyDisk()
    disk.fail_on("write", errno.ENOSPC)
    with pytest.raises(DiskError):
        routes(layout, disk).put(route("bb"))
    assert [one.code for one in routes(layout).all()] == ["aa"]


@pytest.mark.parametrize("text", ["", "{}", "\0", '{"script": 3}'])
def test_one_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    layout = new_home(tmp_path)
    routes(layout).put(route())
    (file,) = Path(layout.routes).iterdir()
    file.write_text(text)
    with pytest.raises(BadConfiguration, match=file.name):
        routes(layout).of("/srv/a.py")

"""What is made seldom, and must be there all the same when the power comes back: syncs that no run comes by."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dwf import host
from dwf.core import events as ev
from dwf.store.bundle import new_file, survey, write
from dwf.store.creation import recover_intents
from dwf.store.files import Disk
from dwf.store.held import Held, held, hold, let_go
from dwf.store.history import History
from dwf.store.layout import adopt_home
from dwf.store.record import Chain
from dwf.store.room import Store
from dwf.store.row import Row
from dwf.store.sharing import Sharing, read_sharing, write_marker
from dwf.store.survey import furnish
from dwf.store.unbundle import look, store_all
from tests.faults import FaultyDisk, PowerCut
from tests.store import histories
from tests.store.places import new_home
from tests.store.test_bundle import contents, furnished, manifest_of, opened, ten_lines


@contextmanager
def power_lost_after(root: Path) -> Iterator[FaultyDisk]:
    """A disk; when the block ends, everything that was not synced is gone."""
    power = PowerCut(root)
    try:
        yield FaultyDisk(power)
        power.cut()
    finally:
        power.close()


@pytest.mark.parametrize("left", [False, True], ids=["plain", "after one who was killed"])
def test_a_directory_that_was_adopted_names_its_machine(tmp_path: Path, left: bool) -> None:
    layout = new_home(tmp_path)
    Path(layout.machine).write_text("another\n")
    if left:
        Path(f"{layout.machine}.new").write_text("ha")
    with power_lost_after(Path(layout.home)) as disk:
        adopt_home(disk, layout)
    assert Path(layout.machine).read_text() == f"{host.machine_id()}\n"


def test_a_bundle_is_whole_and_has_its_name(tmp_path: Path) -> None:
    with power_lost_after(tmp_path) as disk, new_file(disk, str(tmp_path / "r1.dwf")) as sink:
        sink(b"all of it")
    assert (tmp_path / "r1.dwf").read_bytes() == b"all of it"


def test_a_directory_that_a_doctor_has_made_is_there(tmp_path: Path) -> None:
    layout = new_home(tmp_path)
    os.rmdir(layout.mail_late)  # noqa: PTH106
    with power_lost_after(Path(layout.home)) as disk:
        assert furnish(disk, layout) == [layout.mail_late]
    assert Path(layout.mail_late).is_dir()


def test_a_marker_that_has_its_name_says_that_the_directory_is_shared(tmp_path: Path) -> None:
    layout = new_home(tmp_path)
    with power_lost_after(Path(layout.home)) as disk:
        write_marker(disk, layout, Sharing(os.geteuid(), os.getegid(), "/srv/books"))
        disk.fsync_dir(layout.home)
    said = read_sharing(layout, os.stat(layout.home))  # noqa: PTH116
    assert said is not None and (said.gid, said.catalogue) == (os.getegid(), "/srv/books")


def test_the_copy_of_a_torn_tail_is_whole_also_behind_one_who_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "r1.jsonl"
    path.write_bytes(ten_lines() + histories.TORN)
    path.chmod(0o600)
    Path(f"{path}.torn.new").write_bytes(histories.TORN[:3])
    with power_lost_after(tmp_path) as disk, History.open(disk, str(path)) as history:
        told = history.events[-1]
    assert Path(f"{path}.torn").read_bytes() == histories.TORN or (
        Path(f"{path}.broken-{told.id}").read_bytes() == histories.TORN
    )


def test_all_that_was_imported_is_there(tmp_path: Path) -> None:
    here, there = opened(tmp_path / "here"), opened(tmp_path / "there")
    furnished(here, [["a"], ["x" * 300_000]], b"printed")
    found = survey(here, "r1")
    with new_file(here.disk, f"{tmp_path}/r1.dwf") as sink:
        write(found, manifest_of(found), sink)
    bundle = look(f"{tmp_path}/r1.dwf")
    newest = bundle.newest
    _, line = Chain(newest.length, newest.hash, newest.last_us).append(ev.RunImported(), histories.LATER)
    with power_lost_after(Path(there.layout.home)) as disk:
        store_all(Store(disk, there.layout), bundle, line, Row("r1", link=2))
    there = Store(Disk(), there.layout)
    recover_intents(there.disk, there.layout, there.index)
    given, taken = contents(here), contents(there)
    assert taken.pop("runs/r1~2.jsonl") == given.pop("runs/r1~2.jsonl") + line
    assert taken == given


def test_that_everything_is_held_and_that_it_goes_on_is_there(tmp_path: Path) -> None:
    layout = new_home(tmp_path)
    with power_lost_after(Path(layout.home)) as disk:
        hold(disk, layout, Held(at="", by=ev.Identity(uid=7), reason="x"))
    found = held(layout)
    assert found is not None and found.by.uid == 7
    with power_lost_after(Path(layout.home)) as disk:
        let_go(disk, layout)
    assert held(layout) is None

"""Captured output: made when first needed, bounded, read back as it is, and never a way out of its directory."""

# ruff: noqa: PTH208

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from dwf.errors import NotFound, NotPermitted
from dwf.store.files import Disk
from dwf.store.layout import Layout
from dwf.store.outputs import SCRIPT_LOG_LIMIT, Outputs
from tests.store.places import new_home


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return new_home(tmp_path)


@pytest.fixture
def outputs(layout: Layout) -> Outputs:
    return Outputs(Disk(), layout)


def test_nothing_is_made_before_there_is_something_to_keep(outputs: Outputs, layout: Layout) -> None:
    assert outputs.prefix("r1", 3, 1) == f"{layout.out}/r1/3.1"
    assert outputs.names("r1") == []
    with pytest.raises(NotFound):
        outputs.read("r1", "3.1.out")
    assert os.listdir(layout.out) == []


def test_the_directory_is_private_and_making_it_twice_is_harmless(outputs: Outputs) -> None:
    before = os.umask(0)
    try:
        path = outputs.make("r1")
        outputs.log("r1", b"x")
    finally:
        os.umask(before)
    assert outputs.make("r1") == path
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(path, "script.log").stat().st_mode) == 0o600


def test_the_files_are_listed_in_the_order_of_commands_and_attempts(outputs: Outputs) -> None:
    path = outputs.make("r1")
    for name in ("10.1.out", "2.1.err", "2.1.out", "2.10.out", "2.9.out", "script.log", "notes", "..out", "x.1.out"):
        Path(path, name).write_bytes(b"")
    assert outputs.names("r1") == ["2.1.err", "2.1.out", "2.9.out", "2.10.out", "10.1.out", "script.log"]


def test_output_is_read_as_it_is(outputs: Outputs) -> None:
    path = outputs.make("r1")
    data = bytes(range(256)) * 10
    Path(path, "1.1.out").write_bytes(data)
    assert outputs.read("r1", "1.1.out") == data
    assert outputs.read("r1", "1.1.out", limit=10) == data[:10]


def test_instances_of_one_run_id_do_not_share_output(outputs: Outputs) -> None:
    outputs.log("r1", b"first")
    outputs.log("r1", b"second", link=2)
    assert outputs.read("r1", "script.log") == b"first"
    assert outputs.read("r1", "script.log", link=2) == b"second"


@pytest.mark.parametrize("name", ["../../machine", "/etc/passwd", "1.1.out/../../x", "", ".", "1.1.out\n", "١.1.out"])
def test_a_name_that_is_none_of_ours_is_not_found(outputs: Outputs, name: str) -> None:
    outputs.make("r1")
    with pytest.raises(NotFound):
        outputs.read("r1", name)


def test_links_and_fifos_that_a_step_made_are_refused(outputs: Outputs) -> None:
    path = outputs.make("r1")
    Path(path, "1.1.out").symlink_to("/etc/passwd")
    os.mkfifo(f"{path}/2.1.out")
    Path(path, "script.log").symlink_to("/tmp/elsewhere")
    for name in ("1.1.out", "2.1.out", "script.log"):
        with pytest.raises(NotPermitted):
            outputs.read("r1", name)
    with pytest.raises(NotPermitted):
        outputs.log("r1", b"x")


def test_the_log_of_a_script_is_added_to_and_bounded(outputs: Outputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dwf.store.outputs.SCRIPT_LOG_LIMIT", 10)
    for _ in range(4):
        outputs.log("r1", b"12345\n")
    assert outputs.read("r1", "script.log") == b"12345\n1234"
    monkeypatch.setattr("dwf.store.outputs.SCRIPT_LOG_LIMIT", 8)
    outputs.log("r1", b"more")
    assert outputs.read("r1", "script.log") == b"12345\n1234"
    assert SCRIPT_LOG_LIMIT > 1_000_000


def test_output_may_be_deleted_at_any_time(outputs: Outputs, layout: Layout) -> None:
    outputs.log("r1", b"x")
    shutil.rmtree(layout.out)
    assert outputs.names("r1") == []
    outputs.log("r1", b"y")
    assert outputs.read("r1", "script.log") == b"y"

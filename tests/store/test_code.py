"""Stored scripts: the same bytes as at the start of the run, or a clear no."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dwf.errors import CodeMissing, DiskError, InternalError, NotPermitted
from dwf.store.code import Bundle, CodeStore, bundle_hash
from dwf.store.files import Disk
from dwf.store.layout import Layout
from tests.faults import Crash, FaultyDisk, PowerCut, points
from tests.store.places import new_home

FILES = {"rotate.py": b"import helper\n", "helper.py": b"# \xc3\xa4\n", "empty.py": b""}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return new_home(tmp_path)


def store(layout: Layout, disk: Disk | None = None) -> CodeStore:
    return CodeStore(disk or Disk(), layout)


def kept(layout: Layout) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(layout.code).iterdir()}


def test_what_is_saved_is_loaded(layout: Layout) -> None:
    name = store(layout).save(FILES, "rotate.py")
    assert store(layout).load(name) == Bundle("rotate.py", FILES)
    assert name == bundle_hash(FILES, "rotate.py")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.binary(), min_size=1))
def test_any_names_and_bytes_come_back(layout: Layout, files: dict[str, bytes]) -> None:
    main = min(files)
    name = store(layout).save(files, main)
    assert store(layout).load(name) == Bundle(main, files)


def test_the_same_bundle_is_stored_once_in_whatever_order_it_is_given(layout: Layout) -> None:
    one = store(layout).save(FILES, "rotate.py")
    before = kept(layout)
    disk = FaultyDisk()
    assert store(layout, disk).save(dict(reversed(FILES.items())), "rotate.py") == one
    assert "write" not in [call.operation for call in disk.calls]
    assert kept(layout) == before
    assert len(before) == 4


def test_another_script_or_another_byte_is_another_bundle(layout: Layout) -> None:
    names = {
        store(layout).save(FILES, "rotate.py"),
        store(layout).save(FILES, "helper.py"),
        store(layout).save({**FILES, "empty.py": b" "}, "rotate.py"),
        store(layout).save({**FILES, "other.py": b""}, "rotate.py"),
    }
    assert len(names) == 4


def test_a_bundle_without_its_script_is_a_fault_of_ours(layout: Layout) -> None:
    with pytest.raises(InternalError):
        store(layout).save(FILES, "gone.py")


def test_stored_code_is_private(layout: Layout) -> None:
    store(layout).save(FILES, "rotate.py")
    assert {stat.S_IMODE(path.stat().st_mode) for path in Path(layout.code).iterdir()} == {0o600}


def test_any_changed_or_missing_byte_is_noticed(layout: Layout) -> None:
    name = store(layout).save(FILES, "rotate.py")
    for path in Path(layout.code).iterdir():
        whole = path.read_bytes()
        for broken in (whole + b"x", whole[:-1], whole[:-1] + b"\0", None):
            if broken == whole:
                continue
            path.unlink()
            if broken is not None:
                path.write_bytes(broken)
            with pytest.raises(CodeMissing) as missing:
                store(layout).load(name, "deploy-7")
            assert "the code of run deploy-7 is not there" in str(missing.value)
            assert missing.value.hint
        path.write_bytes(whole)
    assert store(layout).load(name) == Bundle("rotate.py", FILES)


def test_saving_again_mends_what_was_changed(layout: Layout) -> None:
    name = store(layout).save(FILES, "rotate.py")
    for path in Path(layout.code).iterdir():
        for broken in (b"", path.read_bytes() + b"more", path.read_bytes()[:-1]):
            path.write_bytes(broken)
            assert store(layout).save(FILES, "rotate.py") == name
            assert store(layout).load(name).files == FILES


@pytest.mark.parametrize("name", ["", "x", "../machine", "/etc/passwd", "A" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n"])
def test_what_is_no_hash_never_becomes_a_path(layout: Layout, name: str) -> None:
    """Fails when a hash may be anything."""
    with pytest.raises(CodeMissing):
        store(layout).load(name)


def test_a_file_that_is_no_manifest_is_no_bundle(layout: Layout) -> None:
    code = store(layout)
    for content in (b"import os", b"\xff", b"[" * 5000, b"{}", b'{"schema":"dwf.code/9","main":"a","files":{}}'):
        code.save({"a": content}, "a")
        from hashlib import sha256

        with pytest.raises(CodeMissing):
            code.load(sha256(content).hexdigest())


def test_saved_is_saved_for_good_also_what_a_killed_process_had_begun(tmp_path: Path) -> None:
    calls = points(lambda disk: store(new_home(tmp_path), disk).save(FILES, "rotate.py"))
    for after in (False, True):
        for number in range(1, calls + 1):
            (tmp_path / f"{after}-{number}").mkdir()
            layout = new_home(tmp_path / f"{after}-{number}")
            power = PowerCut(layout.home)
            dying = FaultyDisk(power)
            dying.crash_at(number, after=after)
            with pytest.raises(Crash):
                store(layout, dying).save(FILES, "rotate.py")
            name = store(layout, FaultyDisk(power)).save(FILES, "rotate.py")
            power.cut()
            power.close()
            assert store(layout).load(name) == Bundle("rotate.py", FILES), number
            assert len(kept(layout)) == 4  # nothing is left behind


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_no_room_is_an_error_and_the_next_try_works(tmp_path: Path, code: int) -> None:
    calls = points(lambda disk: store(new_home(tmp_path), disk).save(FILES, "rotate.py"))
    for number in range(1, calls + 1):
        (tmp_path / str(number)).mkdir()
        layout = new_home(tmp_path / str(number))
        disk = FaultyDisk()
        disk.fail_at(number, code)
        with pytest.raises(DiskError):
            store(layout, disk).save(FILES, "rotate.py")
        assert store(layout).load(store(layout).save(FILES, "rotate.py")) == Bundle("rotate.py", FILES)


def test_a_planted_link_is_not_followed(layout: Layout, tmp_path: Path) -> None:
    name = store(layout).save(FILES, "rotate.py")
    (tmp_path / "elsewhere").write_bytes(b"theirs")
    target = Path(layout.code) / name
    target.unlink()
    target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotPermitted):
        store(layout).save(FILES, "rotate.py")
    with pytest.raises(NotPermitted):
        store(layout).load(name)
    assert (tmp_path / "elsewhere").read_bytes() == b"theirs"


def test_two_that_save_at_once_both_succeed(layout: Layout) -> None:
    class Racing(Disk):
        """Before each write another process completes the whole of its own save."""

        def write_all(self, fd: int, data: bytes, path: str) -> None:
            store(layout).save(FILES, "rotate.py")
            super().write_all(fd, data, path)

    name = store(layout, Racing()).save(FILES, "rotate.py")
    assert store(layout).load(name) == Bundle("rotate.py", FILES)
    assert len(os.listdir(layout.code)) == 4  # noqa: PTH208

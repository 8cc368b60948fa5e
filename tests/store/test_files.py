"""The disk seam: modes, links, kinds of files, errors, short writes; and the test kit itself."""

from __future__ import annotations

import errno
import os
import random
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dwf.errors import DiskError, DwfError, NotPermitted
from dwf.store.files import Disk, read_all, read_regular
from tests.faults import Crash, FaultyDisk, PowerCut, points


def mode_of(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path, follow_symlinks=False).st_mode)  # noqa: PTH116


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


# -- modes ------------------------------------------------------------------------------------------------------


def test_a_new_file_is_0600_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """Fails when modes are left to the umask."""
    Disk().write_new(str(tmp_path / "f"), b"secret")
    assert mode_of(tmp_path / "f") == 0o600


def test_a_new_file_has_the_asked_mode_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    Disk().write_new(str(tmp_path / "f"), b"mail", mode=0o640)
    assert mode_of(tmp_path / "f") == 0o640


def test_a_new_directory_is_0700_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    Disk().mkdir(str(tmp_path / "d"))
    assert mode_of(tmp_path / "d") == 0o700


def test_a_new_file_is_never_open_to_others_not_even_for_a_moment(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.fail_on("chmod", errno.EIO)
    before = os.umask(0)
    try:
        with pytest.raises(DiskError):
            disk.open_new(str(tmp_path / "f"))
    finally:
        os.umask(before)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - and what could not be finished is not left behind


# -- what is opened ---------------------------------------------------------------------------------------------


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Fails when links are followed."""
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    for opening in (
        lambda: Disk().open_regular(str(tmp_path / "link")),
        lambda: Disk().open_regular(str(tmp_path / "link"), append=True),
        lambda: read_regular(str(tmp_path / "link")),
    ):
        with pytest.raises(NotPermitted, match="symbolic link"):
            opening()
    with pytest.raises(FileExistsError):
        Disk().open_new(str(tmp_path / "nowhere"))
    assert not (tmp_path / "missing").exists()


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    """Fails when it is not asked what kind of file it is."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dir").mkdir()
    for name in ("fifo", "dir"):
        with pytest.raises(NotPermitted, match="not a regular file"):
            read_regular(str(tmp_path / name))
    with pytest.raises(NotPermitted, match="not a regular file"):
        Disk().open_regular("/dev/null")


def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Fails when it is not asked whose file it is."""
    path = tmp_path / "f"
    path.write_bytes(b"x")
    with pytest.raises(NotPermitted, match="belongs to uid"):
        Disk().open_regular(str(path), owner=os.geteuid() + 1)
    os.close(Disk().open_regular(str(path), owner=os.geteuid()))


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_written(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    path.chmod(mode)
    for how in ({"append": True}, {"rewrite": True}):
        with pytest.raises(NotPermitted, match="others may write") as refused:
            Disk().open_regular(str(path), **how)
        assert refused.value.hint == f"chmod go-w {path}"
    os.close(Disk().open_regular(str(path)))


def test_descriptors_are_not_inherited(tmp_path: Path) -> None:
    fd = Disk().open_new(str(tmp_path / "f"))
    again = Disk().open_regular(str(tmp_path / "f"), append=True)
    assert not os.get_inheritable(fd)
    assert not os.get_inheritable(again)
    os.close(fd)
    os.close(again)


def test_a_refused_file_costs_no_descriptor(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        with pytest.raises(NotPermitted):
            read_regular(str(tmp_path / "dir"))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


# -- errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EROFS, errno.EFBIG, errno.EDQUOT])
def test_a_failure_says_operation_path_and_errno(tmp_path: Path, code: int) -> None:
    disk = FaultyDisk()
    disk.fail_at(1, code)
    path = str(tmp_path / "f")
    with pytest.raises(DiskError) as failed:
        disk.write_new(path, b"x")
    error = failed.value
    assert (error.operation, error.path, error.errno, error.exit_code) == ("create", path, code, 74)
    assert os.strerror(code) in str(error)
    assert error.hint


def test_a_refusal_of_the_kernel_is_not_a_disk_error(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.fail_on("link", errno.EACCES)
    with pytest.raises(NotPermitted) as refused:
        disk.link("a", str(tmp_path / "b"))
    assert refused.value.exit_code == 77
    assert str(tmp_path / "b") in str(refused.value)


def test_who_was_first_and_what_is_gone_are_answers_not_failures(tmp_path: Path) -> None:
    disk, path = Disk(), str(tmp_path / "f")
    disk.write_new(path, b"x")
    with pytest.raises(FileExistsError):
        disk.open_new(path)
    with pytest.raises(FileExistsError):
        disk.link(path, path)
    with pytest.raises(FileExistsError):
        disk.mkdir(path)
    disk.unlink(path)
    with pytest.raises(FileNotFoundError):
        disk.unlink(path)
    with pytest.raises(FileNotFoundError):
        disk.open_regular(path)
    with pytest.raises(FileNotFoundError):
        read_regular(path)


def test_a_file_that_could_not_be_written_is_not_left_behind(tmp_path: Path) -> None:
    for operation in ("write", "fsync"):
        disk = FaultyDisk()
        disk.fail_on(operation, errno.ENOSPC)
        with pytest.raises(DiskError):
            disk.write_new(str(tmp_path / "f"), b"x")
        assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_a_failed_read_says_which_byte(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(DiskError, match="read byte 0 of somewhere"):
            read_all(fd, "somewhere")
    finally:
        os.close(fd)


# -- writing, reading, names ------------------------------------------------------------------------------------


def test_short_writes_are_completed(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.write_at_most(3)
    disk.write_new(str(tmp_path / "f"), b"0123456789")
    assert (tmp_path / "f").read_bytes() == b"0123456789"
    assert [call.operation for call in disk.calls].count("write") == 4


def test_reading_takes_all_or_the_asked_beginning_wherever_the_descriptor_stands(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for size in (0, 1, 4096, 3_000_000):
        path.write_bytes(bytes(range(256)) * (size // 256 + 1))
        data = path.read_bytes()
        assert read_regular(str(path)) == data
        assert read_regular(str(path), 100) == data[:100]
        fd = os.open(path, os.O_RDONLY)
        os.lseek(fd, 5, os.SEEK_SET)
        assert read_all(fd, str(path)) == data
        os.close(fd)


def test_files_in_proc_that_say_they_are_empty_are_read_whole() -> None:
    assert read_regular("/proc/self/mountinfo") == Path("/proc/self/mountinfo").read_bytes()


@pytest.mark.parametrize("kernel_can", [True, False])
def test_moving_without_replacing(tmp_path: Path, kernel_can: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not kernel_can:
        from dwf.store import files

        def cannot(source: str, target: str) -> None:
            raise files._NoRenameat2

        monkeypatch.setattr(files, "_renameat2", cannot)
    a, b = tmp_path / "a ä", tmp_path / "b"
    a.write_bytes(b"a")
    b.write_bytes(b"b")
    with pytest.raises(FileExistsError):
        Disk().rename_noreplace(str(a), str(b))
    assert (a.read_bytes(), b.read_bytes()) == (b"a", b"b")
    b.unlink()
    Disk().rename_noreplace(str(a), str(b))
    assert b.read_bytes() == b"a"
    assert not a.exists()
    with pytest.raises(FileNotFoundError):
        Disk().rename_noreplace(str(a), str(b))


def test_moving_without_replacing_reports_what_the_kernel_says(tmp_path: Path) -> None:
    with pytest.raises(DiskError) as failed:
        Disk().rename_noreplace("/dev/null", str(tmp_path / "b"))
    assert failed.value.errno == errno.EXDEV


# -- the kit ----------------------------------------------------------------------------------------------------


def _save(root: Path) -> Callable[[Disk], None]:
    def work(disk: Disk) -> None:
        disk.write_new(str(root / "tmp"), b"content")
        disk.link(str(root / "tmp"), str(root / "name"))
        disk.fsync_dir(str(root))
        disk.unlink(str(root / "tmp"))

    return work


def test_every_call_can_fail_once_or_for_ever(tmp_path: Path) -> None:
    (tmp_path / "count").mkdir()
    calls = points(_save(tmp_path / "count"))
    assert calls == 8
    for forever in (False, True):
        for number in range(1, calls + 1):
            disk = FaultyDisk()
            disk.fail_at(number, errno.EIO, forever=forever)
            root = tmp_path / f"{forever}-{number}"
            root.mkdir()
            with pytest.raises(DwfError):
                _save(root)(disk)


def test_after_a_crash_nothing_goes_on(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.crash_at(2)
    with pytest.raises(Crash):
        _save(tmp_path)(disk)
    for _ in range(2):
        with pytest.raises(Crash):
            disk.unlink("x")
    assert os.listdir(tmp_path) == ["tmp"]  # noqa: PTH208
    assert len(disk.calls) == 2


def test_a_crash_after_a_call_leaves_its_effect(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.tear_at(3, 4)
    with pytest.raises(Crash):
        _save(tmp_path)(disk)
    assert (tmp_path / "tmp").read_bytes() == b"cont"
    (tmp_path / "tmp").unlink()
    disk = FaultyDisk()
    disk.crash_at(5, after=True)
    with pytest.raises(Crash):
        _save(tmp_path)(disk)
    assert sorted(os.listdir(tmp_path)) == ["name", "tmp"]  # noqa: PTH208


def test_a_power_cut_takes_names_and_bytes_that_were_not_synced(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "old").write_bytes(b"old")
    (root / "old").chmod(0o600)
    power = PowerCut(root)
    disk = FaultyDisk(power)
    disk.write_new(str(root / "tmp"), b"content")
    disk.link(str(root / "tmp"), str(root / "name"))
    disk.unlink(str(root / "old"))
    power.cut()
    assert os.listdir(root) == ["old"]  # noqa: PTH208

    disk.write_new(str(root / "tmp"), b"content")
    disk.link(str(root / "tmp"), str(root / "name"))
    disk.fsync_dir(str(root))
    fd = disk.open_regular(str(root / "name"), append=True)
    disk.write_all(fd, b" and more", "name")
    os.close(fd)
    disk.unlink(str(root / "tmp"))
    power.cut()
    assert sorted(os.listdir(root)) == ["name", "old", "tmp"]  # noqa: PTH208
    assert (root / "name").read_bytes() == b"content"
    assert (root / "name").stat().st_nlink == 2
    power.close()


def test_a_power_cut_by_chance_keeps_any_part_of_what_was_not_synced(tmp_path: Path) -> None:
    seen = set()
    for n in range(60):
        root = tmp_path / str(n)
        root.mkdir()
        power = PowerCut(root)
        disk = FaultyDisk(power)
        disk.mkdir(str(root / "d"))
        disk.fsync_dir(str(root))
        disk.write_new(str(root / "d" / "f"), b"12")
        disk.fsync_dir(str(root / "d"))
        fd = disk.open_regular(str(root / "d" / "f"), append=True)
        disk.write_all(fd, b"34", str(root / "d" / "f"))
        os.close(fd)
        disk.rename(str(root / "d" / "f"), str(root / "g"))
        power.cut(random.Random(n))
        power.close()
        found = [p for p in root.rglob("*") if p.is_file()]
        assert len(found) == 1  # a rename is one step
        seen.add((found[0].name, found[0].read_bytes()))
    assert {name for name, _ in seen} == {"f", "g"}
    assert {data for _, data in seen} >= {b"12", b"1234", b"123", b"12\0\0", b"123\0"}


def test_a_power_cut_leaves_alone_what_the_disk_did_not_write(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    power = PowerCut(root)
    disk = FaultyDisk(power)
    disk.write_new(str(root / "d" / "mine"), b"x")
    (root / "d" / "index").write_bytes(b"stranger")
    power.cut()
    power.close()
    assert [p.name for p in (root / "d").iterdir()] == ["index"]

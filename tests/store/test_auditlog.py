"""The log of refusals: appended to, never rewritten, whole lines for whoever reads."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from dwf.errors import DwfError
from dwf.store import auditlog
from dwf.store.auditlog import AuditLog
from dwf.store.files import Disk
from dwf.store.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(str(tmp_path))


def test_lines_are_kept_in_their_order_and_for_the_owner_only(layout: Layout) -> None:
    log = AuditLog(Disk(), layout)
    for number in range(3):
        log.append(b'{"n":%d}' % number, number)

    assert list(log.lines()) == [b'{"n":0}', b'{"n":1}', b'{"n":2}']
    assert os.stat(layout.audit).st_mode & 0o777 == 0o600  # noqa: PTH116


def test_before_the_first_refusal_there_is_nothing(layout: Layout) -> None:
    assert list(AuditLog(Disk(), layout).lines()) == []


def test_a_half_line_of_a_killed_writer_is_ended_and_stays(layout: Layout) -> None:
    log = AuditLog(Disk(), layout)
    log.append(b"one", 1)
    with open(layout.audit, "ab") as file:
        file.write(b'{"ha')

    log.append(b"two", 2)

    assert list(log.lines()) == [b"one", b'{"ha', b"two"]


def test_a_large_file_is_renamed_whole_and_a_new_one_begun(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditlog, "LARGEST", 100)
    log = AuditLog(Disk(), layout)
    before: dict[str, bytes] = {}
    for number in range(40):
        log.append(b"line %02d......" % number, number + 1)
        now = {path.name: path.read_bytes() for path in Path(layout.home).glob("audit*")}
        for name, data in before.items():
            assert any(kept.startswith(data) for kept in now.values()), f"{name} was rewritten"
        before = now

    assert list(log.lines()) == [b"line %02d......" % number for number in range(40)]
    assert len(before) > 4
    assert all(len(data) <= 115 for data in before.values())


def _writer(home: str, name: str) -> None:
    log = AuditLog(Disk(), Layout(home))
    for number in range(50):
        log.append(f"{name}{number:03d}".encode() * 20, number)


def test_many_writers_mix_no_lines(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditlog, "LARGEST", 5000)
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_writer, args=(layout.home, name)) for name in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0

    lines = list(AuditLog(Disk(), layout).lines())

    assert sorted(lines) == sorted(f"{name}{n:03d}".encode() * 20 for name in "abcd" for n in range(50))


@pytest.mark.parametrize("make", ["directory", "link", "loose"])
def test_what_is_no_log_of_ours_is_not_written_to(layout: Layout, tmp_path: Path, make: str) -> None:
    path = Path(layout.audit)
    if make == "directory":
        path.mkdir()
    elif make == "link":
        (tmp_path / "precious").write_text("")
        path.symlink_to(tmp_path / "precious")
    else:
        path.write_text("")
        path.chmod(0o666)

    with pytest.raises(DwfError):
        AuditLog(Disk(), layout).append(b"line", 1)

    assert not (tmp_path / "precious").exists() or (tmp_path / "precious").read_text() == ""


def test_a_line_is_on_disk_when_it_is_acknowledged(layout: Layout) -> None:
    calls: list[str] = []

    class Logged(Disk):
        __slots__ = ()

        def _call(self, operation: str, path: str, function: object, *args: object) -> object:
            calls.append(f"{operation} {Path(path).name}")
            return super()._call(operation, path, function, *args)  # type: ignore[arg-type]

    AuditLog(Logged(), layout).append(b"line", 1)

    assert calls.count("write audit.jsonl") == 1
    assert calls.index("write audit.jsonl") < calls.index("fsync audit.jsonl")
    assert calls[-1] == f"fsync {Path(layout.home).name}"

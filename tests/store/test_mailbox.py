"""The mailbox: durable when posted, in the kernel's order, kept until taken, and what is no message harms nobody."""

# ruff: noqa: PTH101, PTH102, PTH104, PTH108, PTH116, PTH208, PTH211

from __future__ import annotations

import errno
import json
import os
import random
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dwf.core.events import Identity
from dwf.core.messages import Message
from dwf.errors import DiskError, NotPermitted, ValueRefused
from dwf.store.files import Disk
from dwf.store.layout import Layout
from dwf.store.letters import LARGEST, name_of, run_in
from dwf.store.mailbox import Mailbox
from dwf.store.refused import MOST
from tests.faults import Crash, FaultyDisk, PowerCut, points
from tests.store.places import new_home

AS_ROOT = os.geteuid() == 0


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return new_home(tmp_path)


@pytest.fixture
def mail(layout: Layout) -> Mailbox:
    return Mailbox(Disk(), layout)


def signal(run: str = "r1", name: str = "go", **fields: Any) -> Message:
    return Message(id="", run=run, kind="signal", name=name, **fields)


def a_name(run: str = "r1", nonce: str = "abc123") -> str:
    return name_of(1_790_000_000_000_000, nonce, run)


def drop(layout: Layout, name: str, content: bytes | None = None, mode: int = 0o600, **fields: Any) -> Path:
    """A file dropped by hand: written in mail/tmp, synced, moved."""
    if content is None:
        body = {"id": name, "run": run_in(name) or "", "kind": "signal", "name": "go"} | fields
        content = json.dumps(body).encode()
    draft = Path(layout.mail_tmp, "draft")
    draft.write_bytes(content)
    draft.chmod(mode)
    target = Path(layout.mail_new, name)
    os.rename(draft, target)
    return target


def new(layout: Layout) -> list[str]:
    return sorted(os.listdir(layout.mail_new))


# -- posting ----------------------------------------------------------------------------------------------------


def test_what_is_posted_is_what_is_read(mail: Mailbox, layout: Layout) -> None:
    who = Identity(uid=1, login="anna", ssh_client="10.0.0.7")
    sent = signal(payload=msgspec.Raw(b'{"a":[1,"\\u00e4"]}'), key="k", reason="because", by=who)
    before = time.time_ns() // 1000 - 20_000
    name = mail.post(sent)
    (letter,) = mail.pending("r1")
    assert letter.name == letter.message.id == name
    assert msgspec.structs.replace(letter.message, id="", payload=sent.payload) == sent
    assert bytes(letter.message.payload) == bytes(sent.payload)
    assert letter.uid == os.geteuid()
    assert before <= letter.posted_us <= time.time_ns() // 1000 + 20_000
    assert os.listdir(layout.mail_tmp) == []


def test_a_message_is_a_private_file_whose_name_says_for_which_run(mail: Mailbox, layout: Layout) -> None:
    before = os.umask(0)
    try:
        name = mail.post(signal("web.deploy-1"))
    finally:
        os.umask(before)
    found = os.stat(f"{layout.mail_new}/{name}")
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_nlink == 1
    assert mail.run_of(name) == "web.deploy-1"
    assert mail.names() == [name]


def test_a_stored_message_is_printable_ascii_whatever_is_in_it(mail: Mailbox, layout: Layout) -> None:
    name = mail.post(signal(reason="\x1b]0;x\x07 \x7f\x9b ‮ \udc80 ü\n", payload=msgspec.Raw('"\u202e"'.encode())))
    data = Path(layout.mail_new, name).read_bytes()
    assert all(32 <= byte < 127 for byte in data[:-1])
    (letter,) = mail.pending("r1")
    assert letter.message.reason == "\x1b]0;x\x07 \x7f\x9b ‮ \\udc80 ü\n"


def test_a_payload_that_is_no_json_and_one_too_large_are_refused_at_the_sender(mail: Mailbox, layout: Layout) -> None:
    with pytest.raises(ValueRefused):
        mail.post(signal(payload=msgspec.Raw(b'"' + b"x" * LARGEST + b'"')))
    assert new(layout) == []
    assert os.listdir(layout.mail_tmp) == []


def test_messages_of_one_sender_keep_their_order_even_if_his_clock_stands_still(
    mail: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_790_000_000_000_000_000)
    sent = [mail.post(signal(key=str(n))) for n in range(30)]
    assert sorted(sent) == sent
    assert [letter.name for letter in mail.pending("r1")] == sent


def test_a_name_that_is_taken_is_never_written_over(
    mail: Mailbox, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when a message is moved over another of its name."""
    nonces = [b"\1" * 8, b"\1" * 8, b"\2" * 8]
    monkeypatch.setattr(os, "urandom", lambda size: nonces.pop(0))
    monkeypatch.setattr(Mailbox, "_time_us", lambda self: 5)
    first = mail.post(signal(key="first"))
    second = mail.post(signal(key="second"))
    assert first != second
    assert {letter.message.key for letter in mail.pending("r1")} == {"first", "second"}


def test_after_a_crash_at_any_call_a_message_is_whole_or_not_there_and_posting_again_works(tmp_path: Path) -> None:
    """Fails when a message is written where it is read, and not beside it first."""
    calls = points(lambda disk: _post(disk, new_home(tmp_path / "count"))) if _made(tmp_path / "count") else 0
    assert calls >= 6
    for number in range(1, calls + 1):
        for after in (False, True):
            layout = new_home(_made(tmp_path / f"k{number}{after}"))
            disk = FaultyDisk()
            disk.crash_at(number, after=after)
            with pytest.raises(Crash):
                _post(disk, layout)
            mail = Mailbox(Disk(), layout)
            found = mail.pending("r1")
            assert len(found) <= 1
            assert mail.bad() == []
            mail.post(signal())
            assert len(mail.pending("r1")) == len(found) + 1
            mail.sweep(time.time_ns() // 1000 + 2 * 86400 * 1_000_000)
            assert os.listdir(layout.mail_tmp) == []


def test_an_acknowledged_message_survives_a_power_cut(tmp_path: Path) -> None:
    """Fails when the directory of the mailbox is not synced before the message's id is given."""
    layout = new_home(tmp_path)
    power = PowerCut(layout.home)
    name = Mailbox(FaultyDisk(power), layout).post(signal(payload=msgspec.Raw(b"[1]")))
    power.cut()
    (letter,) = Mailbox(Disk(), layout).pending("r1")
    assert letter.name == name
    power.close()


@pytest.mark.parametrize("operation", ["create", "write", "fsync", "rename_noreplace", "chmod"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failure_is_told_and_leaves_nothing_in_the_way(layout: Layout, operation: str, code: int) -> None:
    disk = FaultyDisk()
    disk.fail_on(operation, code)
    with pytest.raises(DiskError) as caught:
        Mailbox(disk, layout).post(signal())
    assert caught.value.errno == code
    assert os.listdir(layout.mail_tmp) == [] or operation == "chmod"
    mail = Mailbox(Disk(), layout)
    mail.post(signal())
    assert len(mail.pending("r1")) == 1


def test_a_failed_sync_of_the_directory_is_not_acknowledged(layout: Layout) -> None:
    calls: list[str] = []

    class Failing(Disk):
        __slots__ = ()

        def fsync_dir(self, path: str) -> None:
            calls.append(path)
            raise DiskError(operation="fsync", path=path, why="I/O error", errno=errno.EIO)

    with pytest.raises(DiskError):
        Mailbox(Failing(), layout).post(signal())
    assert calls == [layout.mail_new]


def test_without_renameat2_it_is_a_link_and_an_unlink_and_works_all_the_same(layout: Layout) -> None:
    from dwf.store import files

    class Old(Disk):
        __slots__ = ()

        def _call(self, operation: str, path: str, function: Callable[..., Any], *args: Any) -> Any:
            if operation == "rename_noreplace":
                raise files._NoRenameat2
            return super()._call(operation, path, function, *args)

    mail = Mailbox(Old(), layout)
    name = mail.post(signal())
    assert [letter.name for letter in mail.pending("r1")] == [name]
    assert os.listdir(layout.mail_tmp) == []


def test_a_second_name_left_by_a_dead_sender_is_no_reason_to_refuse(mail: Mailbox, layout: Layout) -> None:
    """Fails when any second name is refused."""
    name = mail.post(signal())
    os.link(f"{layout.mail_new}/{name}", f"{layout.mail_tmp}/{name}")
    assert len(mail.pending("r1")) == 1


# -- looking ----------------------------------------------------------------------------------------------------


def test_listing_opens_nothing(mail: Mailbox, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    names = sorted(mail.post(signal(f"r{n}")) for n in range(3))
    os.mkfifo(f"{layout.mail_new}/fifo")
    monkeypatch.setattr(os, "open", lambda *args, **options: pytest.fail("something was opened"))
    assert mail.names() == sorted([*names, "fifo"])
    assert mail.has_mail("r1")
    assert not mail.has_mail("r7")


def test_no_mailbox_is_an_empty_mailbox(tmp_path: Path) -> None:
    assert Mailbox(Disk(), Layout(tmp_path / "nowhere")).names() == []


def test_only_the_messages_of_the_run_are_opened(mail: Mailbox, layout: Layout) -> None:
    """Fails when messages of other runs are opened."""
    mine = mail.post(signal("a.b"))
    mail.post(signal("b"))
    os.mkfifo(f"{layout.mail_new}/{a_name('other')}")
    assert [letter.name for letter in mail.pending("a.b")] == [mine]
    assert len(new(layout)) == 3
    assert [letter.name for letter in mail.pending("a.b", [])] == []
    assert [letter.name for letter in mail.pending("a.b", [mine])] == [mine]


def test_order_is_arrival_by_the_kernels_clock_and_not_the_senders(mail: Mailbox, layout: Layout) -> None:
    """Fails when mail is ordered by its senders' clocks."""
    drop(layout, name_of(2**50, "aaaa", "r1"))
    _tick_of_the_file_clock(layout)
    drop(layout, name_of(5, "bbbb", "r1"))
    os.utime(f"{layout.mail_new}/{name_of(5, 'bbbb', 'r1')}", (0, 0))
    _tick_of_the_file_clock(layout)
    drop(layout, name_of(2**40, "cccc", "r1"))
    # utime cannot set back the time that counts; it is even the one thing that moves it (forward)
    assert [letter.message.id.split(".")[1] for letter in mail.pending("r1")] == ["aaaa", "bbbb", "cccc"]


def test_a_message_that_somebody_else_took_is_no_error(mail: Mailbox, layout: Layout) -> None:
    name = mail.post(signal())
    os.unlink(f"{layout.mail_new}/{name}")
    assert mail.read(name) is None
    assert mail.bad() == []
    mail.discard([name])
    mail.to_late(name)
    assert mail.late() == []


def test_the_name_says_which_run_or_none() -> None:
    assert run_in("000660e7ff154f65.d21b.r1") == "r1"
    for name in ("r1", "000660e7ff154f65.d21b.", "000660e7ff154f65..r1", "000660E7FF154F65.d21b.r1", "x.y.z", "",
                 "000660e7ff154f65.d21b.-r", "000660e7ff154f65.d21b.r~2", "000660e7ff154f65.d21b.r1\n", ".swp",
                 "000660e7ff154f65.d-b.r1", "00660e7ff154f65.d21b.r1", "000660e7ff154f65.d21b.é"):  # fmt: skip
        assert run_in(name) is None, name


@given(st.integers(0, 2**63), st.from_regex(r"[0-9a-f]{1,16}", fullmatch=True))
def test_every_name_that_is_made_can_be_read_back(time_us: int, nonce: str) -> None:
    for run in ("a", "a.b.c", "x" * 128, "0-_."):
        name = name_of(time_us, nonce, run)
        assert run_in(name) == run
        assert len(name) < 255


# -- taking -----------------------------------------------------------------------------------------------------


def test_looking_takes_nothing_and_taking_removes_only_what_is_named(mail: Mailbox) -> None:
    first, second = mail.post(signal()), mail.post(signal())
    mail.pending("r1")
    mail.pending("r1")
    mail.discard([first])
    assert mail.names() == [second]
    assert mail.fate(first) == "taken"
    assert mail.fate(second) == "new"


def test_a_message_that_was_removed_can_come_back_after_a_power_cut_until_the_directory_is_synced(
    tmp_path: Path,
) -> None:
    for synced in (False, True):
        layout = new_home(_made(tmp_path / str(synced)))
        power = PowerCut(layout.home)
        mail = Mailbox(FaultyDisk(power), layout)
        name = mail.post(signal())
        mail.discard([name])
        if synced:
            mail.sync_new()
        power.cut()
        assert mail.names() == ([] if synced else [name])
        power.close()


def test_what_came_after_the_end_is_kept_with_its_sender(mail: Mailbox, layout: Layout) -> None:
    name = mail.post(signal(reason="too late"))
    other = mail.post(signal("r2"))
    mail.to_late(name)
    mail.to_late(other)
    assert mail.names() == []
    (letter,) = mail.late("r1")
    assert (letter.name, letter.message.reason, letter.uid) == (name, "too late", os.geteuid())
    assert mail.fate(name) == "late"
    assert len(mail.late()) == 2
    assert [letter.name for letter in mail.late(limit=1)] == [other]


def test_a_late_message_is_never_in_no_place_whatever_dies_when(tmp_path: Path) -> None:
    """Fails when a late message leaves the mailbox before it is kept."""

    def work(disk: FaultyDisk, layout: Layout, name: str) -> None:
        Mailbox(disk, layout).to_late(name)

    layout = new_home(_made(tmp_path / "count"))
    name = Mailbox(Disk(), layout).post(signal())
    calls = points(lambda disk: work(disk, layout, name))
    for number in range(1, calls + 1):
        for after in (False, True):
            layout = new_home(_made(tmp_path / f"{number}{after}"))
            name = Mailbox(Disk(), layout).post(signal())
            power = PowerCut(layout.home)
            disk = FaultyDisk(power)
            disk.crash_at(number, after=after)
            with pytest.raises(Crash):
                work(disk, layout, name)
            power.cut()
            mail = Mailbox(Disk(), layout)
            assert mail.fate(name) in ("new", "late")
            # the next holder of the lock finishes it
            for left in mail.pending("r1"):
                mail.to_late(left.name)
            assert mail.names() == []
            assert [letter.name for letter in mail.late("r1")] == [name]
            assert mail.bad() == []
            power.close()


@pytest.mark.parametrize("seed", range(20))
def test_late_mail_survives_any_power_cut(tmp_path: Path, seed: int) -> None:
    """Also what was dropped by hand and never synced; the name leaves mail/new only when it is safe in mail/late.

    Fails when the directory of late mail is not synced.
    """
    layout = new_home(tmp_path)
    power = PowerCut(layout.home)
    disk = FaultyDisk(power)
    name = a_name()
    body = json.dumps({"id": name, "run": "r1", "kind": "signal", "name": "go"}).encode()
    fd = disk.open_new(f"{layout.mail_tmp}/{name}")
    disk.write_all(fd, body, f"{layout.mail_tmp}/{name}")
    os.close(fd)
    disk.rename(f"{layout.mail_tmp}/{name}", f"{layout.mail_new}/{name}")
    Mailbox(disk, layout).to_late(name)
    power.cut(random.Random(seed))
    mail = Mailbox(Disk(), layout)
    assert [letter.name for letter in mail.late("r1")] == [name]
    power.close()


def test_a_late_name_used_twice_is_refused_and_not_written_over(mail: Mailbox, layout: Layout) -> None:
    name = a_name()
    drop(layout, name, reason="first")
    mail.to_late(name)
    drop(layout, name, reason="second")
    mail.to_late(name)
    assert [letter.message.reason for letter in mail.late()] == ["first"]
    assert mail.names() == []
    assert mail.count_bad() == 1


# -- what is no message -----------------------------------------------------------------------------------------


def _fifo(path: str) -> None:
    os.mkfifo(path)


def _directory(path: str) -> None:
    os.mkdir(path)
    Path(path, "inside").write_bytes(b"x")


def _link(path: str) -> None:
    os.symlink("/etc/passwd", path)


def _dangling(path: str) -> None:
    os.symlink("nowhere", path)


def _socket(path: str) -> None:
    import socket

    here = os.getcwd()  # noqa: PTH109
    os.chdir(os.path.dirname(path))  # noqa: PTH120
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("s")
        os.rename("s", path)
    finally:
        os.chdir(here)


def _huge(path: str) -> None:
    Path(path).touch(0o600)
    os.truncate(path, LARGEST + 1)


def _written(content: bytes) -> Callable[[str], None]:
    def write(path: str) -> None:
        Path(path).write_bytes(content)
        os.chmod(path, 0o600)

    return write


def _body(**fields: Any) -> Callable[[str], None]:
    body = {"id": a_name(), "run": "r1", "kind": "signal", "name": "go"} | fields
    return _written(json.dumps({key: value for key, value in body.items() if value is not ...}).encode())


def _mode(mode: int) -> Callable[[str], None]:
    def write(path: str) -> None:
        _body()(path)
        os.chmod(path, mode)

    return write


def _two_names(path: str) -> None:
    _body()(path)
    os.link(path, f"{os.path.dirname(path)}/../planted")  # noqa: PTH120


PAYLOAD = b'{"id":"%b","run":"r1","kind":"signal","name":"go","payload":%b}'
BAD_FILES: dict[str, tuple[Callable[[str], None], str]] = {
    "fifo": (_fifo, "not a regular file"),
    "directory": (_directory, "not a regular file"),
    "link": (_link, "symbolic link"),
    "dangling": (_dangling, "symbolic link"),
    "socket": (_socket, "opened"),
    "huge": (_huge, "bytes; the limit"),
    "empty": (_written(b""), "not a message"),
    "half": (_written(b'{"id":"' + a_name().encode()[:9]), "not a message"),
    "not json": (_written(b"\x00\xff" * 40), "not a message"),
    "array": (_written(b"[]"), "not a message"),
    "two": (_written(b"{}{}"), "not a message"),
    "deep": (_written(PAYLOAD % (a_name().encode(), b"[" * 100_000 + b"]" * 100_000)), ""),
    "nan": (_written(PAYLOAD % (a_name().encode(), b"NaN")), "not a message"),
    "long number": (_written(PAYLOAD % (a_name().encode(), b"9" * 5000)), "payload"),
    "surrogate": (_written(PAYLOAD % (a_name().encode(), b'"\\ud800"')), ""),
    "bad utf-8": (_written(PAYLOAD % (a_name().encode(), b'"\xff"')), ""),
    "blob": (_body(payload={"$blob": {"sha256": "0" * 64, "size": 1, "preview": ""}}), "payload"),
    "other run": (_body(run="r2"), "the run in it"),
    "other id": (_body(id=a_name(nonce="other")), "the id in it"),
    "no id": (_body(id=...), "id"),
    "unknown field": (_body(payloads=1), "payloads"),
    "unknown kind": (_body(kind="explode", nonce="n"), "kind"),
    "other schema": (_body(schema="dwf.mail/2"), "schema"),
    "signal name": (_body(name="__init__"), "signal name"),
    "no signal name": (_body(name=...), "signal name"),
    "no instance": (_body(kind="cancel"), "instance"),
    "long key": (_body(key="k" * 5000), "longer"),
    "group may write": (_mode(0o620), "others may write"),
    "all may write": (_mode(0o666), "others may write"),
    "two names": (_two_names, "2 names"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_what_is_no_message_is_moved_away_with_a_reason_and_the_others_are_taken(
    mail: Mailbox, layout: Layout, case: str
) -> None:
    """Fails when a message may be for another run than its name says. Fails when no second name is refused. Fails when
    a file that others can write counts as its owner's.
    """
    make, reason = BAD_FILES[case]
    good = mail.post(signal())
    make(f"{layout.mail_new}/{a_name()}")
    assert [letter.name for letter in mail.pending("r1")] == [good]
    assert new(layout) == [good]
    (bad,) = mail.bad()
    assert bad.name == a_name()
    assert reason in bad.reason
    assert bad.uid == os.geteuid()
    assert not bad.stuck
    assert abs(bad.at_us - time.time_ns() // 1000) < 60_000_000
    assert os.path.lexists(f"{layout.mail_bad}/{bad.kept}")
    assert mail.count_bad() == 1
    assert mail.fate(a_name()) == "bad"


@pytest.mark.parametrize("name", ["hello", ".hidden", "a\nb", "\x1b]0;x", os.fsdecode(b"\xff\xfe"), "é" * 100,
                                  "x" * 255, "x.reason", "y.stuck", "-rf", a_name() + ".."])  # fmt: skip
def test_a_file_with_any_other_name_is_moved_away_under_a_harmless_one(
    mail: Mailbox, layout: Layout, name: str
) -> None:
    Path(layout.mail_new, name).write_bytes(b"{}")
    good = mail.post(signal())
    for found in mail.names():
        mail.read(found)
    assert new(layout) == [good]
    (bad,) = mail.bad()
    assert bad.name == name or name == os.fsdecode(b"\xff\xfe")
    assert all((kept.isascii() and kept.isprintable() and not kept.startswith((".", "-r"))) or name == "-rf"
               for kept in os.listdir(layout.mail_bad))  # fmt: skip


@pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")
def test_a_file_of_another_user_is_refused_in_ones_own_directory(mail: Mailbox, layout: Layout) -> None:
    os.chown(drop(layout, a_name()), 12345, -1)
    assert mail.pending("r1") == []
    (bad,) = mail.bad()
    assert bad.uid == 12345
    assert "uid 12345" in bad.reason


def test_a_file_drop_as_documented_is_accepted(mail: Mailbox, layout: Layout) -> None:
    name = a_name("deploy-1")
    script = f"""
umask 077
cat > {layout.mail_tmp}/{name} <<'END'
{{
  "id": "{name}", "run": "deploy-1", "kind": "signal",
  "name": "go", "payload": {{"by": "the old system",
  "n": [1, 2]}}
}}
END
sync {layout.mail_tmp}/{name}
mv {layout.mail_tmp}/{name} {layout.mail_new}/
"""
    subprocess.run(["/bin/sh", "-ec", script], check=True)
    (letter,) = mail.pending("deploy-1")
    # in the one form that fits into a line of a history
    assert bytes(letter.message.payload) == b'{"by":"the old system","n":[1,2]}'


def test_what_cannot_be_moved_is_counted_once_and_passed_over(layout: Layout) -> None:
    """A directory of another user, say."""

    class Sticky(Disk):
        __slots__ = ()
        tries: list[str] = []  # noqa: RUF012

        def rename_noreplace(self, source: str, target: str) -> None:
            if source.endswith(a_name()):
                self.tries.append(source)
                raise NotPermitted(what="not yours")
            super().rename_noreplace(source, target)

    mail = Mailbox(Sticky(), layout)
    path = f"{layout.mail_new}/{a_name()}"
    os.mkdir(path)
    good = mail.post(signal())
    assert [letter.name for letter in mail.pending("r1")] == [good]
    assert mail.names() == [good]
    assert [letter.name for letter in mail.pending("r1")] == [good]
    assert mail.count_bad() == 1
    (bad,) = mail.bad()
    assert bad.stuck
    assert len(Sticky.tries) == 1
    # something new at the same name is looked at again
    _tick_of_the_file_clock(layout)
    os.rmdir(path)  # noqa: PTH106
    drop(layout, a_name(), reason="mine")
    assert sorted(letter.message.reason for letter in mail.pending("r1")) == ["", "mine"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_full_disk_keeps_nobody_from_taking_the_good_ones(layout: Layout, code: int) -> None:
    disk = FaultyDisk()
    good = Mailbox(Disk(), layout).post(signal())
    drop(layout, a_name(), b"nonsense")
    for operation in ("create", "write", "rename_noreplace"):
        disk.fail_on(operation, code, forever=True)
    assert [letter.name for letter in Mailbox(disk, layout).pending("r1")] == [good]
    again = Mailbox(Disk(), layout)
    assert [letter.name for letter in again.pending("r1")] == [good]
    assert again.count_bad() == 1
    assert again.names() == [good]


def test_an_error_of_the_disk_is_not_blamed_on_the_message(
    mail: Mailbox, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = mail.post(signal())
    real = os.open

    def broken(path: Any, *args: Any, **options: Any) -> int:
        if str(path).endswith(name):
            raise OSError(errno.EMFILE, "too many open files")
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", broken)
    with pytest.raises(DiskError):
        mail.read(name)
    monkeypatch.undo()
    assert mail.read(name) is not None


def test_what_was_refused_is_bounded(mail: Mailbox, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when the refused are kept for ever."""
    monkeypatch.setattr("dwf.store.refused.MOST", 5)
    for n in range(9):
        if n % 2:
            os.mkdir(f"{layout.mail_new}/d{n}")
            Path(layout.mail_new, f"d{n}", "x").write_bytes(b"x")
        else:
            Path(layout.mail_new, f"f{n}").write_bytes(b"x")
        mail.read(mail.names()[0])
        _tick_of_the_file_clock(layout)
    assert mail.count_bad() == 5
    assert [bad.name for bad in mail.bad()] == ["f4", "d5", "f6", "d7", "f8"]
    assert len(os.listdir(layout.mail_bad)) == 10
    assert [bad.name for bad in mail.bad(limit=2)] == ["d7", "f8"]
    assert MOST == 1000


def test_the_same_name_refused_twice_keeps_both(mail: Mailbox, layout: Layout) -> None:
    for content in (b"one", b"two"):
        drop(layout, a_name(), content)
        assert mail.pending("r1") == []
    assert mail.count_bad() == 2
    assert {Path(layout.mail_bad, bad.kept).read_bytes() for bad in mail.bad()} == {b"one", b"two"}


def test_a_message_that_is_in_order_can_be_refused_too(mail: Mailbox, layout: Layout) -> None:
    name, other = mail.post(signal()), mail.post(signal())
    mail.refuse(name, "there is no such run", 7)
    (bad,) = mail.bad()
    assert (bad.name, bad.reason, bad.uid) == (name, "there is no such run", 7)
    assert mail.fate(name) == "bad"
    assert mail.names() == [other]


def test_a_reason_that_was_damaged_hides_nothing(mail: Mailbox, layout: Layout) -> None:
    drop(layout, a_name(), b"x")
    mail.pending("r1")
    (reason,) = [name for name in os.listdir(layout.mail_bad) if name.endswith(".reason")]
    Path(layout.mail_bad, reason).write_bytes(b"\xff{")
    (bad,) = mail.bad()
    assert bad.name == a_name()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=200), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "run", "kind", "payload", "x"]),
                                                                inner, max_size=4)).map(
        lambda value: json.dumps(value).encode())))  # fmt: skip
def test_any_bytes_are_a_letter_or_refused_and_nothing_else(layout: Layout, content: bytes) -> None:
    mail = Mailbox(Disk(), layout)
    drop(layout, a_name(), content)
    assert all(letter.name == a_name() for letter in mail.pending("r1"))
    mail.discard(mail.names())
    assert mail.names() == []


# -- leftovers --------------------------------------------------------------------------------------------------


def test_drafts_of_dead_senders_are_removed_after_a_day_and_fresh_ones_are_not(mail: Mailbox, layout: Layout) -> None:
    Path(layout.mail_tmp, "draft").write_bytes(b"x")
    os.mkdir(f"{layout.mail_tmp}/directory")
    now = time.time_ns() // 1000
    assert mail.sweep(now) == 0
    assert mail.sweep(now + 25 * 3600 * 1_000_000) == 1
    assert os.listdir(layout.mail_tmp) == ["directory"]


def test_a_sender_whose_draft_was_swept_is_told(layout: Layout) -> None:
    class Swept(Disk):
        __slots__ = ()

        def rename_noreplace(self, source: str, target: str) -> None:
            os.unlink(source)
            super().rename_noreplace(source, target)

    with pytest.raises(DiskError):
        Mailbox(Swept(), layout).post(signal())


def test_a_mailbox_that_was_deleted_is_an_error_of_ours(mail: Mailbox, layout: Layout) -> None:
    for directory in (layout.mail_new, layout.mail_tmp):
        os.rmdir(directory)  # noqa: PTH106
        with pytest.raises(DiskError):
            mail.post(signal())
    assert mail.names() == []


# -- many at once -----------------------------------------------------------------------------------------------


def test_every_message_of_many_senders_is_taken_exactly_once(layout: Layout) -> None:
    code = """
import sys
from dwf.core.messages import Message
from dwf.store.files import Disk
from dwf.store.layout import Layout
from dwf.store.mailbox import Mailbox
mail = Mailbox(Disk(), Layout(sys.argv[1]))
for n in range(40):
    print(mail.post(Message(id="", run="r1", kind="signal", name="go")), flush=True)
"""
    senders = [
        subprocess.Popen([sys.executable, "-c", code, layout.home], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    mail = Mailbox(Disk(), layout)
    taken: list[str] = []
    acknowledged: list[str] = []
    threads = [
        threading.Thread(target=lambda sender=sender: acknowledged.extend(sender.communicate()[0].split()))
        for sender in senders
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or mail.names():
        found = [letter.name for letter in mail.pending("r1")]
        taken += found
        mail.discard(found)
    assert sorted(taken) == sorted(acknowledged)
    assert len(taken) == 120


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def _post(disk: Disk, layout: Layout) -> None:
    Mailbox(disk, layout).post(signal())


def _tick_of_the_file_clock(layout: Layout) -> None:
    """Until the coarse clock of the file system has moved."""
    path = Path(layout.home, "clock")
    path.touch()
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        time.sleep(0.0005)
        os.utime(path)

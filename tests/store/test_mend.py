"""A torn tail is cut off, kept and told, wherever the writer dies in between; other damage is left alone."""

from __future__ import annotations

import errno
import os
import random
import stat
from hashlib import sha256
from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.duration import stamp
from dwf.errors import (
    DwfError,
    HistoryCorrupt,
    NewerFormat,
)
from dwf.store.files import Disk
from dwf.store.history import read_history, verify_history
from dwf.store.record import Chain
from tests.faults import Crash, FaultyDisk, PowerCut
from tests.store.histories import (
    LATER,
    NOW,
    RUN,
    TORN,
    bodies,
    content,
    lines,
    names,
    note,
    open_history,
    repairs,
    started,
    texts,
    write,
)


@pytest.mark.parametrize("torn", [b"{", TORN, b"\0" * 700, b'{"id":6,"ts":"x"}', lines(9)[5][:-1]])
def test_a_torn_tail_is_cut_off_kept_and_told(tmp_path: Path, torn: bytes) -> None:
    """Fails when a torn tail is cut off together with the record before it."""
    good = b"".join(lines())
    path = write(tmp_path, good + torn)
    with open_history(path) as history:
        assert [event.id for event in history.events] == [1, 2, 3, 4, 5, 6]
        told = history.events[-1]
        assert told == ev.HistoryRepaired(
            id=6, ts=stamp(LATER), dropped_bytes=len(torn), sha256=sha256(torn).hexdigest()
        )
        assert history.stage(note("on it goes"), LATER).id == 7
        history.commit()
    assert content(path).startswith(good)
    assert verify_history(path) == []
    assert names(tmp_path) == [f"{RUN}.jsonl", f"{RUN}.jsonl.broken-6"]
    kept = tmp_path / f"{RUN}.jsonl.broken-6"
    assert kept.read_bytes() == torn
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_the_next_record_is_never_glued_to_a_torn_one(tmp_path: Path) -> None:
    """Fails when a writer appends behind a torn tail."""
    path = write(tmp_path, b"".join(lines()) + TORN)
    with open_history(path) as history:
        history.stage(note("whole"), LATER)
        history.commit()
    assert texts(read_history(path).events) == ["whole"]
    assert TORN not in content(path)


def test_a_tail_that_is_torn_again_is_kept_again(tmp_path: Path) -> None:
    path = write(tmp_path, b"".join(lines()))
    for n in (6, 7, 8):
        with open(path, "ab") as file:
            file.write(TORN)
        open_history(path).close()
        assert (tmp_path / f"{RUN}.jsonl.broken-{n}").read_bytes() == TORN
    assert [event.id for event in repairs(read_history(path).events)] == [6, 7, 8]


def test_a_copy_that_an_operator_removed_does_not_hide_the_next_repair(tmp_path: Path) -> None:
    path = write(tmp_path, b"".join(lines()) + TORN)
    open_history(path).close()
    (tmp_path / f"{RUN}.jsonl.broken-6").unlink()
    with open(path, "ab") as file:
        file.write(b"other bytes")
    open_history(path).close()
    assert [repair.dropped_bytes for repair in repairs(read_history(path).events)] == [len(TORN), 11]


def mend(path: str, disk: Disk) -> None:
    open_history(path, disk).close()


def test_mending_killed_anywhere_loses_neither_the_cut_bytes_nor_the_news(tmp_path: Path) -> None:
    disk = FaultyDisk()
    mend(write(tmp_path, b"".join(lines()) + TORN), disk)
    for after in (False, True):
        for number in range(1, len(disk.calls) + 1):
            where = tmp_path / f"{after}-{number}"
            where.mkdir()
            path = write(where, b"".join(lines()) + TORN)
            dying = FaultyDisk()
            dying.crash_at(number, after=after)
            with pytest.raises(Crash):
                mend(path, dying)
            check_mended(path, where, [TORN])


def test_mending_that_is_torn_itself_is_mended(tmp_path: Path) -> None:
    disk = FaultyDisk()
    mend(write(tmp_path, b"".join(lines()) + TORN), disk)
    writes = [n for n, call in enumerate(disk.calls, start=1) if call.operation == "write"]
    assert len(writes) == 2  # the copy, and the record
    for number in writes:
        for size in (1, 5, 15):
            where = tmp_path / f"{number}-{size}"
            where.mkdir()
            path = write(where, b"".join(lines()) + TORN)
            dying = FaultyDisk()
            dying.tear_at(number, size)
            with pytest.raises(Crash):
                mend(path, dying)
            open_history(path).close()
            assert verify_history(path) == []
            (told,) = repairs(read_history(path).events)
            (copy,) = [name for name in names(where) if name != f"{RUN}.jsonl"]
            kept = (where / copy).read_bytes()
            assert copy == f"{RUN}.jsonl.broken-{told.id}"
            assert kept.startswith(TORN)
            assert (told.dropped_bytes, told.sha256) == (len(kept), sha256(kept).hexdigest())


@pytest.mark.parametrize("seed", range(8))
def test_mending_survives_a_power_cut_after_any_call(tmp_path: Path, seed: int) -> None:
    disk = FaultyDisk()
    mend(write(tmp_path, b"".join(lines()) + TORN), disk)
    for number in range(1, len(disk.calls) + 1):
        where = tmp_path / str(number)
        where.mkdir()
        path = write(where, b"".join(lines()) + TORN)
        power = PowerCut(where)
        dying = FaultyDisk(power)
        dying.crash_at(number, after=True)
        with pytest.raises(Crash):
            mend(path, dying)
        power.cut(random.Random(seed) if seed else None)
        power.close()
        open_history(path).close()
        reading = read_history(path)
        assert (reading.problem, reading.torn_bytes) == (None, 0)
        assert [event.id for event in reading.events][:5] == [1, 2, 3, 4, 5]
        # A record torn by the power cut itself makes news of its own; the first bytes cut are never lost.
        kept = [(where / name).read_bytes() for name in names(where) if name != f"{RUN}.jsonl"]
        assert any(data.startswith(TORN) for data in kept)
        told = repairs(reading.events)
        assert {sha256(data).hexdigest() for data in kept} == {repair.sha256 for repair in told}


def check_mended(path: str, where: Path, kept: list[bytes]) -> None:
    open_history(path).close()
    assert verify_history(path) == []
    told = repairs(read_history(path).events)
    assert [repair.sha256 for repair in told] == [sha256(data).hexdigest() for data in kept]
    copies = [f"{RUN}.jsonl.broken-{repair.id}" for repair in told]
    assert names(where) == [f"{RUN}.jsonl", *copies]
    assert [(where / copy).read_bytes() for copy in copies] == kept


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_mending_that_fails_anywhere_is_done_by_the_next(tmp_path: Path, code: int) -> None:
    disk = FaultyDisk()
    mend(write(tmp_path, b"".join(lines()) + TORN), disk)
    for number in range(1, len(disk.calls) + 1):
        where = tmp_path / str(number)
        where.mkdir()
        path = write(where, b"".join(lines()) + TORN)
        failing = FaultyDisk()
        failing.fail_at(number, code, forever=True)
        with pytest.raises(DwfError) as failed:
            mend(path, failing)
        assert failed.value.exit_code == 74
        check_mended(path, where, [TORN])


@pytest.mark.parametrize(
    "damage",
    [
        lambda parts: [*parts[:2], parts[2].replace(b"type", b"tipe"), *parts[3:]],
        lambda parts: [*parts[:2], *parts[3:]],
        lambda parts: [*parts, b"\n"],
        lambda parts: [*parts, parts[-1]],
        lambda parts: [*parts[:-1], parts[-1].replace(b"type", b"tipe"), b"{"],
        lambda parts: [],
        lambda parts: [parts[0][:-1]],
        lambda parts: lines(run="other"),
        lambda parts: [b"\xff" * 30],
    ],
)
def test_damage_before_the_tail_is_refused_and_the_file_untouched(tmp_path: Path, damage: object) -> None:
    """Fails when a writer goes on behind whatever fits."""
    assert callable(damage)
    path = write(tmp_path, b"".join(damage(lines())))
    before, stamped = content(path), os.stat(path).st_mtime_ns  # noqa: PTH116
    disk = FaultyDisk()
    with pytest.raises(HistoryCorrupt) as refused:
        open_history(path, disk)
    assert refused.value.exit_code == 65
    assert content(path) == before
    assert os.stat(path).st_mtime_ns == stamped  # noqa: PTH116
    assert [call.operation for call in disk.calls] == ["open"]
    assert names(tmp_path) == [f"{RUN}.jsonl"]


def test_a_newer_history_is_left_alone_and_shown_as_far_as_it_can_be(tmp_path: Path) -> None:
    """Fails when the format of a history is not asked for."""
    chain = Chain.begin(RUN, "n")
    parts = [chain.append(event, NOW)[1] for event in [started(nonce="n", format=7), *bodies(2)]]
    path = write(tmp_path, b"".join(parts) + TORN)
    before = content(path)
    with pytest.raises(NewerFormat) as refused:
        open_history(path)
    assert refused.value.exit_code == 65
    assert content(path) == before
    reading = read_history(path)
    assert isinstance(reading.problem, NewerFormat)
    assert len(reading.events) == 3


def test_fields_of_a_newer_version_survive(tmp_path: Path) -> None:
    from dwf.store import record

    chain = Chain.begin(RUN, "n")
    header = chain.append(started(nonce="n"), NOW)[1]
    body = b'{"id":2,"ts":"%s","type":"RunUnblocked","novelty":{"x":[1]}' % stamp(NOW).encode()
    line = body + b',"hash":"' + record.hash_line(chain.hash, body) + b'"}\n'
    path = write(tmp_path, header + line)
    with open_history(path) as history:
        history.stage(note("behind it"), LATER)
        history.commit()
    assert content(path).startswith(header + line)
    assert verify_history(path) == []

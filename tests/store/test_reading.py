"""Readers of a history: they never write, never see half a record, and show all that stands before damage."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest

from dwf.errors import (
    HistoryCorrupt,
    NewerFormat,
)
from dwf.store import reading
from dwf.store.history import Reading, Tail, read_history, tail, verify_history
from dwf.store.record import Chain
from tests.faults import FaultyDisk
from tests.store.histories import (
    LATER,
    NOW,
    RUN,
    TORN,
    bodies,
    content,
    lines,
    make,
    note,
    open_history,
    started,
    write,
)

# -- reading -----------------------------------------------------------------------------------------------------------


def test_a_reader_sees_whole_records_and_says_what_follows(tmp_path: Path) -> None:
    good = b"".join(lines())
    path = write(tmp_path, good + TORN)
    reading = read_history(path)
    assert [event.id for event in reading.events] == [1, 2, 3, 4, 5]
    assert (reading.problem, reading.torn_bytes, reading.size) == (None, len(TORN), len(good))
    assert content(path) == good + TORN
    assert [finding.kind for finding in verify_history(path)] == ["torn"]


def test_a_reader_shows_everything_before_the_damage(tmp_path: Path) -> None:
    parts = lines()
    parts[3] = parts[3].replace(b"type", b"tipe")
    reading = read_history(write(tmp_path, b"".join(parts)))
    assert isinstance(reading.problem, HistoryCorrupt)
    assert (reading.problem.line, reading.problem.offset) == (4, sum(map(len, parts[:3])))
    assert [event.id for event in reading.events] == [1, 2, 3]


def test_a_whole_last_line_that_does_not_fit_is_no_torn_write_and_is_left_alone(tmp_path: Path) -> None:
    parts = lines()
    parts[-1] = parts[-1].replace(b"type", b"tipe")
    path = write(tmp_path, b"".join(parts))
    problem = read_history(path).problem
    assert isinstance(problem, HistoryCorrupt)
    assert problem.kind == "corrupt"
    assert [finding.kind for finding in verify_history(path)] == ["corrupt"]
    with pytest.raises(HistoryCorrupt):
        open_history(path)
    assert Path(path).read_bytes() == b"".join(parts)


def test_a_reader_looks_again_when_a_writer_was_just_changing_what_it_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when a reader believes the damage that he sees at the first look."""
    good, parts = b"".join(lines()), lines()
    parts[-1] = parts[-1].replace(b"type", b"tipe")
    path = write(tmp_path, good)
    answers = [b"".join(parts), good]
    monkeypatch.setattr(reading, "read_regular", lambda path: answers.pop(0))
    assert read_history(path).problem is None
    assert answers == []


def test_readers_never_write_and_need_no_more_than_to_read(tmp_path: Path) -> None:
    """Fails when a reader opens files for writing."""
    path = write(tmp_path, b"".join(lines()) + TORN)
    os.chmod(path, 0o444)  # noqa: PTH101
    code = (
        "import os, sys\n"
        "from dwf.store.history import read_history, verify_history, tail\n"
        "if os.getuid() == 0: os.setgroups([]); os.setuid(65534)\n"
        "path = sys.argv[1]\n"
        "print(len(read_history(path).events), len(verify_history(path)), tail(path).started.run)"
    )
    shared = Path(tempfile.mkdtemp()) / "home"  # pytest's own directory is closed to others
    shutil.copytree(tmp_path, shared)
    try:
        os.chmod(shared, 0o555)  # noqa: PTH101
        os.chmod(shared.parent, 0o755)  # noqa: PTH101
        done = subprocess.run(
            [sys.executable, "-c", code, str(shared / f"{RUN}.jsonl")], capture_output=True, text=True, check=False
        )
        assert done.stdout == f"5 1 {RUN}\n", done.stderr
    finally:
        os.chmod(shared, 0o755)  # noqa: PTH101
        shutil.rmtree(shared.parent)


def test_a_reader_beside_a_writer_never_sees_half_a_record(tmp_path: Path) -> None:
    path = make(tmp_path)
    seen: list[Reading] = []

    class Looking(FaultyDisk):
        def _call(self, operation: str, path: str, function: object, *args: object) -> object:
            seen.append(read_history(path))
            return super()._call(operation, path, function, *args)  # type: ignore[arg-type]

    looking = Looking()
    looking.write_at_most(11)
    with open_history(path, looking) as history:
        for n in range(3):
            history.stage(note(str(n)), LATER)
        history.commit()
    assert len(seen) > 30
    assert {reading.problem for reading in seen} == {None}
    assert [len(reading.events) for reading in seen] == sorted(len(reading.events) for reading in seen)
    assert {len(reading.events) for reading in seen} == {5, 6, 7, 8}


# -- tails -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 4, 14, 30, 200])
def test_the_tail_of_a_history_is_its_header_and_its_last_records(tmp_path: Path, count: int) -> None:
    path = make(tmp_path, count)
    found = tail(path)
    whole = read_history(path).events
    assert isinstance(found, Tail)
    assert [e.id for e in found.last] == [e.id for e in whole][-len(found.last) :]
    assert found.started.run == RUN
    assert found.last


def test_a_tail_that_is_torn_damaged_or_one_long_record_says_nothing(tmp_path: Path) -> None:
    parts = lines(60)
    for data in (
        b"".join(parts) + TORN,
        b"".join([*parts[:-1], parts[-1].replace(b"type", b"tipe")]),
        b"".join([*parts[:-3], *parts[-2:]]),
        b"".join([*parts[:-4], *(part.replace(b"4711", b"4712") for part in parts[-4:])]),
        b"".join(parts) + b"\n",
        b"".join(lines(4)) + TORN,
    ):
        found = tail(write(tmp_path, data))
        assert isinstance(found, Tail)
        assert found.last == []
    chain = Chain.begin(RUN, "n")
    long = [chain.append(e, NOW)[1] for e in (started(nonce="n"), note("x" * 5000))]
    found = tail(write(tmp_path, b"".join(long)))
    assert isinstance(found, Tail)
    assert found.last == []


def test_a_long_header_is_read_whole(tmp_path: Path) -> None:
    chain = Chain.begin(RUN, "n")
    header = started(nonce="n", input=msgspec.Raw(b'"' + b"x" * 250_000 + b'"'))
    parts = [chain.append(e, NOW)[1] for e in (header, *bodies(40))]
    found = tail(write(tmp_path, b"".join(parts)))
    assert isinstance(found, Tail)
    assert len(bytes(found.started.input)) == 250_002
    assert found.last[-1].id == 41
    alone = tail(write(tmp_path, parts[0]))
    assert isinstance(alone, Tail)
    assert alone.started.run == RUN


def test_a_header_that_cannot_be_read_is_an_answer(tmp_path: Path) -> None:
    for data, kind in ((b"", "empty"), (b"x\n" * 5000, "corrupt"), (b"\0" * 9000, "corrupt")):
        found = tail(write(tmp_path, data))
        assert isinstance(found, HistoryCorrupt)
        assert found.kind == kind
    foreign = tail(write(tmp_path, b"".join(lines(run="other"))))
    assert isinstance(foreign, HistoryCorrupt)
    assert foreign.kind == "foreign"
    chain = Chain.begin(RUN, "n")
    assert isinstance(tail(write(tmp_path, chain.append(started(nonce="n", format=2), NOW)[1])), NewerFormat)

"""Captured output: beginning and end, bounded on disk and in memory."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwf.activities.output import Stream, decoded, summary

CHUNKS = st.lists(st.binary(max_size=60), max_size=30)


@given(chunks=CHUNKS, limit=st.integers(2, 400))
def test_the_file_holds_everything_or_the_beginning_and_the_end(tmp_path_factory, chunks, limit) -> None:
    path = tmp_path_factory.mktemp("o") / "1.out"
    stream = Stream(str(path), limit)
    for chunk in chunks:
        stream.write(chunk)
    stream.close()
    everything = b"".join(chunks)
    kept = path.read_bytes() if path.exists() else b""
    assert stream.size == len(everything)
    assert stream.truncated == (len(everything) > limit)
    if stream.truncated:
        head, tail = limit - limit // 2, limit // 2
        gap = f"\n[... {len(everything) - limit} bytes left out ...]\n".encode()
        assert kept == everything[:head] + gap + everything[-tail:]
    else:
        assert kept == everything


@given(chunks=CHUNKS, limit=st.integers(2, 400), wanted=st.integers(0, 2000))
def test_text_is_whole_or_says_that_it_is_not(chunks, limit, wanted) -> None:
    stream = Stream(None, limit)
    for chunk in chunks:
        stream.write(chunk)
    stream.close()
    everything = b"".join(chunks)
    text, cut = stream.text(wanted)
    assert cut == (text != decoded(everything) or "bytes left out" in text)
    assert cut or len(everything) <= wanted
    if len(everything) <= min(wanted, limit):
        assert not cut


@given(text=st.text(max_size=80), limit=st.integers(2, 60))
def test_a_character_is_never_cut_in_two(text, limit) -> None:
    stream = Stream(None, 64)
    stream.write(text.encode("utf-8"))
    shown = stream.text(limit)[0] + stream.tail(limit)
    if "\\x" not in text:
        assert "\\x" not in shown


@given(data=st.binary(max_size=200))
def test_any_bytes_become_text_that_can_be_written(data) -> None:
    decoded(data).encode("utf-8")


def test_a_hundred_megabytes_need_little_memory(tmp_path: Path) -> None:
    """Fails when all output is kept in memory."""
    stream = Stream(str(tmp_path / "1.out"))
    chunk = os.urandom(65536)
    tracemalloc.start()
    for _ in range(1600):
        stream.write(bytes(bytearray(chunk)))
    stream.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert stream.size == 1600 * 65536 and stream.truncated
    assert (tmp_path / "1.out").stat().st_size < 10 * 1024 * 1024 + 100
    assert peak < 4 * 1024 * 1024


def test_one_byte_at_a_time_needs_little_memory() -> None:
    stream = Stream(None, 4000)
    for _ in range(100_000):
        stream.write(b"x")
    assert len(stream._last) <= 2001


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_files_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        stream = Stream(str(tmp_path / "old" / "new" / "1.out"))
        stream.write(b"x")
        stream.close()
    finally:
        os.umask(before)
    new = tmp_path / "old" / "new"
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "old", new, new / "1.out")] == [0o700, 0o700, 0o600]


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "1.out").symlink_to(victim)
    stream = Stream(str(tmp_path / "1.out"))
    stream.write(b"x")
    stream.close()
    assert victim.read_text() == "precious"
    assert (tmp_path / "1.out").read_bytes() == b"x"


def test_a_disk_that_refuses_leaves_the_tail(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    prefix = str(tmp_path / "file" / "1")
    out, err = Stream(f"{prefix}.out"), Stream(f"{prefix}.err")
    out.write(b"hello")
    out.close()
    err.close()
    output = summary(prefix, out, err)
    assert output is not None
    assert (output.ref, output.sha256, output.tail, output.truncated) == ("", "", "hello", False)


def test_a_full_disk_leaves_the_tail(tmp_path: Path) -> None:
    stream = Stream(str(tmp_path / "1.out"))
    stream.write(b"a")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, stream._fd)
    os.close(full)
    stream.write(b"b" * 5000)
    stream.close()
    assert (stream.tail(), stream.truncated) == ("b" * 4096, True)


@pytest.mark.parametrize("size", [10, 300 * 1024, 3 * 1024 * 1024])
def test_the_hash_is_of_what_lies_on_disk(tmp_path: Path, size: int) -> None:
    prefix = str(tmp_path / "1")
    out, err = Stream(f"{prefix}.out", 2 * 1024 * 1024), Stream(f"{prefix}.err")
    out.write(b"x" * size)
    err.write(b"error")
    out.close()
    err.close()
    output = summary(prefix, out, err)
    assert output is not None
    on_disk = Path(f"{prefix}.out").read_bytes() + Path(f"{prefix}.err").read_bytes()
    assert output.sha256 == hashlib.sha256(on_disk).hexdigest()
    assert output.size == size + 5


def test_nothing_printed_is_nothing_to_tell(tmp_path: Path) -> None:
    assert summary(str(tmp_path / "1"), Stream(None), Stream(None)) is None


def test_what_is_printed_after_the_end_is_dropped(tmp_path: Path) -> None:
    stream = Stream(str(tmp_path / "1.out"))
    stream.write(b"in time")
    stream.close()
    stream.write(b"too late")
    assert (stream.size, stream.tail(), (tmp_path / "1.out").read_bytes()) == (7, "in time", b"in time")

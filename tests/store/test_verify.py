"""Every kind of damage is found, named, and placed at its line and byte."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwf.core import events as ev
from dwf.errors import HistoryCorrupt, NewerFormat
from dwf.store import record
from dwf.store.record import Chain
from dwf.store.verify import CORRUPT, EMPTY, FOREIGN, NEWER, TORN, Finding, examine, findings
from tests.store.histories import NOW, RUN, bodies, lines, started

PATH = f"/s/runs/{RUN}.jsonl"
WHOLE = lines(6)


def joined(parts: list[bytes]) -> bytes:
    return b"".join(parts)


def offset_of(line: int, parts: list[bytes] = WHOLE) -> int:
    return len(joined(parts[: line - 1]))


def verified(data: bytes, path: str = PATH) -> list[Finding]:
    return findings(data.splitlines(keepends=True) if b"\r" not in data else _split(data), path)


def _split(data: bytes) -> list[bytes]:
    """Lines as a file gives them: only a newline ends one."""
    parts = [part + b"\n" for part in data.split(b"\n")]
    parts[-1] = parts[-1][:-1]
    return [part for part in parts if part]


def rehashed(line: bytes, previous: bytes) -> bytes:
    """The line with the hash it would have behind `previous`: what another version, or a forger, can write."""
    body = line[: -record.SUFFIX_LENGTH - 1]
    return body + b',"hash":"' + record.hash_line(previous, body) + b'"}\n'


def hash_in(line: bytes) -> bytes:
    return line[-35:-3]


# -- clean, torn, damaged ---------------------------------------------------------------------------------------


def test_a_whole_history_is_clean() -> None:
    found = examine(joined(WHOLE), PATH)
    assert (found.finding, found.tail, found.length) == (None, b"", 7)
    assert found.size == len(joined(WHOLE))
    assert found.hash == hash_in(WHOLE[-1])
    assert [event.id for event in found.events] == [1, 2, 3, 4, 5, 6, 7]
    assert found.mendable
    assert verified(joined(WHOLE)) == []


def test_a_header_alone_is_clean() -> None:
    assert verified(WHOLE[0]) == []
    assert examine(WHOLE[0], PATH).mendable


def test_a_file_cut_at_any_byte_reads_as_a_prefix() -> None:
    data = joined(WHOLE)
    ends = [offset_of(n + 1) for n in range(1, 8)]
    for cut in range(len(data)):
        found = examine(data[:cut], PATH)
        whole = sum(end <= cut for end in ends)
        assert len(found.events) == whole, cut
        if whole:
            assert found.finding is None, cut
            assert found.mendable
            assert data[:cut] == data[: found.size] + found.tail
        else:  # a header is linked to its name after it is on disk: without one it is no torn write
            assert not found.mendable
        expected = [] if cut in ends else [TORN if whole else (CORRUPT if cut else EMPTY)]
        assert [finding.kind for finding in verified(data[:cut])] == expected, cut


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 5000, WHOLE[-1][:40] + b"\0" * 100])
def test_nuls_to_the_end_are_a_torn_tail(tail: bytes) -> None:
    found = examine(joined(WHOLE[:-1]) + tail, PATH)
    assert found.finding is None
    assert found.mendable
    assert found.tail == tail
    assert [f.kind for f in verified(joined(WHOLE[:-1]) + tail)] == [TORN]


def test_nuls_to_the_boundary_of_a_sector_are_a_torn_tail() -> None:
    """The size and a later sector were written, an earlier one was not."""
    head = joined(WHOLE[:-1])
    hole = -len(head) % 512 + 512
    data = head + bytes(hole) + b'f a record","hash":"0123"}\n'
    assert examine(data, PATH).mendable
    assert [f.kind for f in verified(data)] == [TORN]
    elsewhere = head + bytes(hole - 1) + b'of a record","hash":"0123"}\n'
    assert not examine(elsewhere, PATH).mendable


def test_nuls_before_a_whole_record_are_corruption() -> None:
    """That record may have been acknowledged: rot made the hole, not a torn write."""
    head = joined(WHOLE[:4])
    hole = -len(head) % 512 + 512
    data = head + bytes(hole) + b"\n" + joined(WHOLE[5:])
    assert not examine(data, PATH).mendable
    assert verified(data)[0].kind == CORRUPT


@pytest.mark.parametrize("number", [7, 8])
def test_one_whole_last_line_that_does_not_fit_is_corruption(number: int) -> None:
    """It may have been acknowledged: to cut it off would lose a signal, or run a step again that was done."""
    last = WHOLE[-1].replace(b"left", b"lift").replace(b"pid", b"pit").replace(b"drain", b"brain").replace(b"go", b"og")
    assert last != WHOLE[-1]
    found = examine(joined(WHOLE[:-1]) + last.replace(b'"id":7', b'"id":%d' % number), PATH)
    assert found.finding is not None
    assert (found.finding.kind, found.finding.line, found.finding.offset) == (CORRUPT, 7, offset_of(7))
    assert not found.mendable
    assert len(found.events) == 6


def test_a_damaged_line_with_anything_behind_it_is_corruption() -> None:
    bad = WHOLE[5].replace(b'"type"', b'"tipe"')
    for behind in (WHOLE[6], WHOLE[6][:-1], b"x", b"\n", bad):
        found = examine(joined(WHOLE[:5]) + bad + behind, PATH)
        assert found.finding is not None
        assert found.finding.kind in (CORRUPT, FOREIGN)
        assert not found.mendable
        assert found.size == offset_of(6)


# -- each kind of damage ----------------------------------------------------------------------------------------

DEEP = b'{"id":4,"ts":"","type":"","x":' + b"[" * 100_000 + b',"hash":"0123456789abcdef0123456789abcdef"}\n'
OTHER = lines(6, run="other", nonce="0ther", start_us=NOW + 50)


@pytest.mark.parametrize(
    ("data", "line", "kind", "why"),
    [
        (b"", 1, EMPTY, "empty"),
        (WHOLE[0][:-1], 1, CORRUPT, "not complete"),
        (b"\n", 1, CORRUPT, "blank"),
        (b"\0" * 512, 1, CORRUPT, "not complete"),
        (b"\xef\xbb\xbf" + joined(WHOLE), 1, CORRUPT, "byte order mark"),
        (joined(WHOLE).replace(b"\n", b"\r\n"), 1, CORRUPT, "carriage return"),
        (joined(WHOLE[:6]) + WHOLE[6][:-1] + b"\r\n", 7, CORRUPT, "carriage return"),
        (joined(WHOLE[:3]) + b"\n" + joined(WHOLE[3:]), 4, CORRUPT, "blank"),
        (joined(WHOLE) + b"\n", 8, CORRUPT, "blank"),
        (joined(WHOLE[:3]) + b"   \n" + joined(WHOLE[3:]), 4, CORRUPT, "blank"),
        (joined(WHOLE[:3]) + WHOLE[3][:-1] + joined(WHOLE[4:]), 4, CORRUPT, "two records"),
        (joined(WHOLE[:5]) + WHOLE[5][:-1] + WHOLE[6], 6, CORRUPT, "two records"),
        (joined(WHOLE[:6]) + WHOLE[6][:-1] + b" \n", 7, CORRUPT, "more stands behind"),
        (joined(WHOLE[:3]) + joined(WHOLE[4:]), 4, CORRUPT, "id 5 where 4 belongs"),
        (joined(WHOLE[1:]), 1, CORRUPT, "not the start"),
        (joined([*WHOLE[:3], WHOLE[4], WHOLE[3], *WHOLE[5:]]), 4, CORRUPT, "id 5 where 4 belongs"),
        (joined([*WHOLE[:3], WHOLE[5], *WHOLE[3:5], WHOLE[6]]), 4, CORRUPT, "id 6 where 4 belongs"),
        (joined([*WHOLE[:4], WHOLE[3], *WHOLE[4:]]), 5, CORRUPT, "twice"),
        (joined([*WHOLE, WHOLE[6]]), 8, CORRUPT, "twice"),
        (joined([*WHOLE[:3], OTHER[3], *WHOLE[4:]]), 4, FOREIGN, "another chain"),
        (joined([*WHOLE[:3], OTHER[3], *WHOLE[3:]]), 4, FOREIGN, "fits without it"),
        (joined([*WHOLE[:3], OTHER[5], *WHOLE[3:]]), 4, FOREIGN, "fits without it"),
        (joined([*WHOLE[:3], OTHER[5], *WHOLE[4:]]), 4, CORRUPT, "id 6 where 4 belongs"),
        (joined([*WHOLE[:3], *OTHER[3:]]), 4, CORRUPT, "does not fit its hash"),
        (joined(OTHER), 1, FOREIGN, "another run, other"),
        (joined([OTHER[0], *WHOLE[1:]]), 1, FOREIGN, "another run, other"),
        (joined([*WHOLE[:3], b"\xff\xfe\n", *WHOLE[4:]]), 4, CORRUPT, "0xff"),
        (joined([*WHOLE[:3], WHOLE[3].replace(b"m-1", b"\xc3\xa4"), *WHOLE[4:]]), 4, CORRUPT, "0xc3"),
        (
            joined([*WHOLE[:3], WHOLE[3].replace(b"m-1", b"m-2"), *WHOLE[4:]]),
            4,
            CORRUPT,
            "content does not fit its hash",
        ),
        (joined([*WHOLE[:3], b'{"id":4}\n', *WHOLE[4:]]), 4, CORRUPT, "not a whole record"),
        (joined([*WHOLE[:3], DEEP, *WHOLE[4:]]), 4, CORRUPT, "not a whole record"),
        (WHOLE[0].replace(b"py", b"pi"), 1, CORRUPT, "content does not fit its hash"),
        (WHOLE[0].replace(b"hash", b"hush") + bytes(512), 1, CORRUPT, "not a whole record"),
        (WHOLE[0].replace(b"hash", b"hush") + bytes(1024) + b"\n", 1, CORRUPT, "not a whole record"),
        (joined([*WHOLE[:3], b"[" * 100_000 + b"\n", *WHOLE[4:]]), 4, CORRUPT, "not a whole record"),
    ],
)
def test_damage_is_named_with_line_byte_and_kind(data: bytes, line: int, kind: str, why: str) -> None:
    """Fails when it is not asked whose history a file is."""
    found = examine(data, PATH)
    assert found.finding is not None
    assert (found.finding.line, found.finding.kind) == (line, kind), found.finding
    assert why in found.finding.why
    assert found.finding.offset == len(joined(data.splitlines(keepends=True)[: line - 1]))
    assert not found.mendable
    assert len(found.events) == (line - 1 if kind != FOREIGN or line > 1 else 0)
    assert verified(data)[0] == found.finding
    error = found.finding.error()
    assert isinstance(error, HistoryCorrupt)
    assert error.exit_code == 65
    assert f"{PATH}: line {line}, byte {found.finding.offset}" in str(error)


def test_a_changed_hash_is_told_from_changed_content() -> None:
    line = WHOLE[3]
    forged = line[:-35] + (b"0" * 32 if hash_in(line) != b"0" * 32 else b"1" * 32) + line[-3:]
    found = verified(joined([*WHOLE[:3], forged, *WHOLE[4:]]))
    assert [(f.line, f.kind) for f in found] == [(4, CORRUPT), (5, CORRUPT)]
    assert "its hash was changed" in found[0].why


@pytest.mark.parametrize("flips", [0x01, 0x20, 0x80])
def test_any_flipped_byte_is_found_in_its_line(flips: int) -> None:
    """Fails when the hashes of lines are not compared."""
    data = joined(WHOLE)
    starts = [offset_of(n) for n in range(1, 8)]
    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= flips
        line = sum(start <= at for start in starts)
        found = examine(bytes(broken), PATH)
        assert found.length == line - 1, at
        first = verified(bytes(broken))[0]
        assert (first.line, first.offset) == (line, starts[line - 1]), at
        assert not found.mendable, at


def test_damage_in_two_places_is_found_in_both_and_nowhere_else() -> None:
    parts = lines(12)
    parts[3] = parts[3].replace(b"type", b"tipe")
    parts[8] = parts[8].replace(b"type", b"tipe")
    assert [(f.line, f.kind) for f in verified(joined(parts))] == [(4, CORRUPT), (9, CORRUPT)]
    del parts[8]
    assert [f.line for f in verified(joined(parts))] == [4, 9]
    parts.insert(6, b"\n")
    assert [f.line for f in verified(joined(parts))][:2] == [4, 7]
    assert verified(joined(parts) + b'{"id')[-1].kind == TORN


def test_a_file_of_nothing_but_damage_does_not_fill_the_screen() -> None:
    assert len(verified(WHOLE[0] + b"x\n" * 10_000)) == 100
    chain = Chain(1, hash_in(WHOLE[0]), NOW)
    unknown = []
    for number in range(2, 152):
        line = b'{"id":%d,"ts":"2026-09-21T14:13:20.123456Z","type":"X"' % number
        chain.hash = record.hash_line(chain.hash, line)
        unknown.append(line + b',"hash":"' + chain.hash + b'"}\n')
    assert len(verified(joined([WHOLE[0], *unknown, b"x\n", b"x\n"]))) == 100


@given(st.binary(max_size=600), st.integers(0, 7))
def test_any_bytes_behind_a_history_are_told_without_a_traceback(tail: bytes, keep: int) -> None:
    data = joined(WHOLE[:keep]) + tail
    found = examine(data, PATH)
    told = verified(data)
    assert found.length >= keep
    assert bool(told) == bool(found.tail or found.finding)
    if found.finding is not None:
        assert told[0] == found.finding


@given(st.data())
def test_a_history_shuffled_in_any_way_is_never_clean(data: st.DataObject) -> None:
    order = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=9))
    if order == list(range(len(order))):
        return
    broken = joined([WHOLE[n] for n in order])
    found = examine(broken, PATH)
    assert found.finding is not None
    assert found.events == examine(joined(WHOLE[: found.length]), PATH).events
    assert not found.mendable


# -- other versions, and forgers --------------------------------------------------------------------------------


def chain_with(make: Callable[[bytes], bytes], at: int) -> bytes:
    """A history whose line `at` says something else, with hashes that fit."""
    parts, previous = list(WHOLE), record.seed(RUN, "n0nce")
    for n, line in enumerate(parts, start=1):
        parts[n - 1] = rehashed(make(line) if n == at else line, previous)
        previous = hash_in(parts[n - 1])
    return joined(parts)


def test_an_unknown_event_type_is_of_a_newer_version_and_the_lines_before_it_are_shown() -> None:
    """Fails when an event of an unknown type is taken for damage."""
    data = chain_with(lambda line: line.replace(b'"type":"', b'"type":"Quantum'), 4)
    found = examine(data, PATH)
    assert found.finding is not None
    assert (found.finding.kind, found.finding.line, found.finding.offset) == (NEWER, 4, offset_of(4))
    assert [event.id for event in found.events] == [1, 2, 3]
    assert found.length == 7
    assert not found.mendable
    assert verified(data) == [found.finding]
    error = found.finding.error()
    assert isinstance(error, NewerFormat)
    assert "newer dwf (event type Quantum" in str(error)


def test_a_newer_version_with_a_torn_tail_is_left_alone() -> None:
    data = chain_with(lambda line: line.replace(b'"type":"', b'"type":"Quantum'), 4)
    assert not examine(data + b'{"id":8', PATH).mendable


def test_a_field_of_a_type_that_this_version_cannot_read_is_of_a_newer_version() -> None:
    data = chain_with(lambda line: line.replace(b'"name":', b'"name":7,"was":'), 4)
    found = examine(data, PATH)
    assert found.finding is not None
    assert found.finding.kind == NEWER


def test_unknown_fields_do_no_harm() -> None:
    data = chain_with(lambda line: line.replace(b'"type"', b'"novelty":[{"x":1}],"type"'), 4)
    assert examine(data, PATH).finding is None
    assert verified(data) == []


def test_a_higher_format_is_left_alone_and_shown_as_far_as_it_can_be_read() -> None:
    chain = Chain.begin(RUN, "n")
    parts = [chain.append(event, NOW)[1] for event in [started(nonce="n", format=2), *bodies(2)]]
    found = examine(joined(parts), PATH)
    assert found.finding is not None
    assert (found.finding.kind, found.finding.line) == (NEWER, 1)
    assert len(found.events) == 3
    assert not found.mendable
    assert verified(joined(parts)) == [found.finding]
    # the chain of another format may be another one
    strange = examine(joined(parts).replace(b'"hash"', b'"HASH"'), PATH)
    assert strange.finding is not None
    assert strange.finding.kind == NEWER


@pytest.mark.parametrize(
    ("change", "at", "why"),
    [
        (lambda line: line.replace(b'{"id":4', b'{"id":9'), 4, "id 9 where 4 belongs, though"),
        (lambda line: line.replace(b'"ts":"2', b'"ts":"1'), 4, "goes back"),
        (lambda line: line.replace(b'"ts":"2', b'"ts":"x'), 4, "is none"),
        (lambda line: line.replace(b"WorkflowStarted", b"RunUnblocked"), 1, "not WorkflowStarted"),
    ],
)
def test_lines_with_fitting_hashes_that_make_no_sense_are_corruption(
    change: Callable[[bytes], bytes], at: int, why: str
) -> None:
    data = chain_with(change, at)
    found = examine(data, PATH)
    assert found.finding is not None
    assert (found.finding.kind, found.finding.line) == (CORRUPT, at)
    assert why in found.finding.why
    assert len(found.events) == at - 1
    assert not found.mendable
    assert verified(data)[0] == found.finding


def test_the_instance_of_a_run_is_in_the_name_but_not_in_the_header() -> None:
    assert examine(joined(WHOLE), f"/s/runs/{RUN}~2.jsonl").finding is None
    assert examine(joined(WHOLE), "/s/runs/.tmp/n0nce.intent").finding is None


def test_a_long_history_is_examined_in_one_pass() -> None:
    chain = Chain.begin(RUN, "n")
    parts = [chain.append(started(nonce="n"), NOW)[1]]
    parts += [chain.append(ev.RunUnblocked(), NOW + n)[1] for n in range(20_000)]
    at = random.Random(3).randrange(1, 20_000)
    parts[at] = parts[at].replace(b"Run", b"Ran")
    found = examine(joined(parts), PATH)
    assert found.finding is not None
    assert found.finding.line == at + 1 == verified(joined(parts))[0].line


def test_findings_name_the_file(tmp_path: Path) -> None:
    assert {f.path for f in verified(b"x\n", str(tmp_path))} == {str(tmp_path)}

"""One line: any event survives it, nothing in a string can break it, and the chain binds it to its place."""

from __future__ import annotations

import json
import types
import typing
from enum import Enum
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwf.core import events as ev
from dwf.core.duration import LAST_MICROS, stamp, unstamp
from dwf.errors import ValueRefused
from dwf.store import record
from dwf.store.record import Chain
from tests.store.histories import NONCE, NOW, RUN, bodies, lines, started

NASTY = 'a"b\\c\n\r\t\x00\x1b[31m\x7f\x85\u00e4\u202e\u2028\ufeff\U0001f600}{"id":1,"hash":"'

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.just(NASTY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
payloads = st.builds(
    lambda value, ascii_only, indent: msgspec.Raw(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()),
    json_values.filter(lambda value: _encodable(value)),
    st.booleans(),
    st.sampled_from([None, 0, 2]),
)
texts = (st.text() | st.just(NASTY)).filter(lambda text: _encodable(text))


def _encodable(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    """Values for a field of an event, from its annotation, so that a new event is tested without a word here."""
    if kind is msgspec.Raw:
        return payloads
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return of_struct(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*map(of_type, arguments))
    if origin is list:
        return st.lists(of_type(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(texts, of_type(arguments[1]), max_size=3)
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: texts,
        int: st.integers(-(2**63), 2**63 - 1),
        bool: st.booleans(),
        float: st.floats(allow_nan=False, allow_infinity=False),
        type(None): st.none(),
    }
    return simple[kind]


def of_struct(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    fields = [field for field in msgspec.structs.fields(kind) if field.name not in ("id", "ts")]
    return st.builds(kind, **{field.name: of_type(field.type) for field in fields})


any_event = st.sampled_from(sorted(ev.EVENT_TYPES)).flatmap(lambda name: of_struct(ev.EVENT_TYPES[name]))


def plain(value: Any) -> Any:
    """An event as comparable data; payloads by their value."""
    if isinstance(value, msgspec.Raw):
        return "payload", json.loads(bytes(value))
    if isinstance(value, msgspec.Struct):
        found = {name: plain(inner) for name, inner in msgspec.structs.asdict(value).items()}
        return type(value), {name: inner for name, inner in found.items() if name not in ("id", "ts")}
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


# -- any event --------------------------------------------------------------------------------------------------


@given(any_event, st.integers(0, LAST_MICROS))
def test_event_to_line_to_event_is_identity(event: ev.Event, now_us: int) -> None:
    chain = Chain.begin(RUN, NONCE)
    recorded, line = chain.append(event, now_us)
    assert (recorded.id, recorded.ts) == (1, stamp(now_us))
    assert plain(recorded) == plain(event)
    again = record.decode_line(line[:-1])
    assert plain(again) == plain(event)
    assert (again.id, again.ts) == (recorded.id, recorded.ts)


@given(st.lists(any_event, min_size=1, max_size=5))
def test_every_line_is_printable_ascii_and_one_line(events: list[ev.Event]) -> None:
    """Fails when text is stored as it came."""
    chain = Chain.begin(RUN, NONCE)
    written = [chain.append(event, NOW)[1] for event in events]
    for number, line in enumerate(written, start=1):
        assert all(0x20 <= byte < 0x7F for byte in line[:-1])
        assert line.endswith(b'"}\n')
        assert line.startswith(b'{"id":%d,"ts":"' % number)
        assert json.loads(line)["id"] == number
    count, last_hash = record.chained([line[:-1] for line in written], record.seed(RUN, NONCE))
    assert (count, last_hash) == (len(events), chain.hash)


@pytest.mark.parametrize("text", ["\x1b]52;c;x\x07", "\x7f", "\u202eevil", "\U0001f600", "a\nb\r\n", "\u2028", "\x00"])
def test_a_text_with_control_or_foreign_characters_comes_back_as_it_was(text: str) -> None:
    recorded, line = Chain.begin(RUN, NONCE).append(ev.StatusChanged(command=1, text=text), NOW)
    assert isinstance(recorded, ev.StatusChanged)
    assert recorded.text == text
    assert line[:-1].decode("ascii").isprintable()


def test_half_characters_of_undecodable_output_are_stored_as_text() -> None:
    """os.fsdecode makes them; JSON cannot carry them; an error message must not be lost because of one."""
    error = ev.ErrorInfo(type="OSError", message="no such file: caf\udce9")
    recorded, line = Chain.begin(RUN, NONCE).append(ev.WorkflowFailed(error=error, notes=["\udce9"]), NOW)
    assert isinstance(recorded, ev.WorkflowFailed)
    assert recorded.error.message == "no such file: caf\\udce9"
    assert recorded.notes == ["\\udce9"]
    assert line.isascii()


def test_a_payload_on_several_lines_becomes_one() -> None:
    """Fails when a payload is stored with its line breaks."""
    payload = msgspec.Raw(b'{\n  "a": [1,\r\n\t2]\n}')
    recorded, line = Chain.begin(RUN, NONCE).append(ev.SignalReceived(name="go", payload=payload), NOW)
    assert isinstance(recorded, ev.SignalReceived)
    assert bytes(recorded.payload) == b'{"a":[1,2]}'
    assert line.count(b"\n") == 1


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"nul", b'1,"type":"WorkflowCompleted', b'"\n"', b'"\xff"', b"NaN", b'{"a":1}\n{"id":9}']
)
def test_a_payload_that_is_no_json_is_refused_and_changes_nothing(raw: bytes) -> None:
    chain = Chain.begin(RUN, NONCE)
    before = chain.mark()
    with pytest.raises(ValueRefused, match="cannot be stored"):
        chain.append(ev.ActivityCompleted(command=1, result=msgspec.Raw(raw)), NOW)
    assert chain.mark() == before


def test_number_and_time_are_given_by_the_chain_whatever_the_event_says() -> None:
    chain = Chain.begin(RUN, NONCE)
    first, _ = chain.append(started(), NOW)
    again, line = chain.append(first, NOW + 1)
    assert (again.id, again.ts) == (2, stamp(NOW + 1))
    assert line.count(b'"id"') == line.count(b'"ts"') == 1


# -- time -------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-(10**18), 10**18), min_size=1))
def test_times_never_go_back_and_never_leave_the_calendar(clock: list[int]) -> None:
    """Fails when the wall clock is recorded as it is."""
    chain = Chain.begin(RUN, NONCE)
    times = [unstamp(chain.append(ev.RunUnblocked(), now)[0].ts) for now in clock]
    assert times == sorted(times)
    highest = 0
    for now, written in zip(clock, times, strict=True):
        highest = min(max(highest, now), LAST_MICROS)
        assert written == highest


def test_times_within_and_over_a_second_are_written_in_full() -> None:
    chain = Chain.begin(RUN, NONCE)
    for us in (0, 1, 999_999, 1_000_000, 1_000_001, 60_000_000, NOW):
        assert chain.append(ev.RunUnblocked(), us)[0].ts == stamp(us)


# -- the chain --------------------------------------------------------------------------------------------------


def test_a_line_fits_only_behind_its_own_predecessor() -> None:
    mine, other = (
        [line[:-1] for line in lines(run="a", nonce=nonce)] for nonce in ("1", "2")
    )  # the same events, another instance
    assert record.chained(mine, record.seed("a", "1"))[0] == len(mine)
    assert record.chained(mine, record.seed("a", "2"))[0] == 0
    assert record.chained([mine[0], other[1]], record.seed("a", "1"))[0] == 1


def test_run_and_nonce_cannot_be_shifted_against_each_other() -> None:
    assert record.seed("ab", "c") != record.seed("a", "bc")


def test_the_hash_is_over_the_bytes_before_it_and_the_hash_before() -> None:
    """Written out, so that another program can check a history."""
    from hashlib import sha256

    previous = sha256(f"dwf.history/1\n{RUN}\n{NONCE}".encode()).hexdigest()[:32]
    for line in lines():
        body, _, rest = line.rpartition(b',"hash":"')
        previous = sha256(previous.encode() + body).hexdigest()[:32]
        assert rest == previous.encode() + b'"}\n'


def test_going_back_to_a_mark_gives_the_same_lines_again() -> None:
    chain = Chain.begin(RUN, NONCE)
    chain.append(started(), NOW)
    mark = chain.mark()
    first = [chain.append(event, NOW + 5)[1] for event in bodies(3)]
    chain.return_to(mark)
    assert [chain.append(event, NOW + 5)[1] for event in bodies(3)] == first


def test_fields_of_a_newer_version_are_read_over() -> None:
    line = b'{"id":3,"ts":"2026-11-22T15:02:11.123456Z","type":"TimerFired","command":1,"new":{"hash":"x"},"hash":"0"}'
    assert record.decode_line(line) == ev.TimerFired(id=3, ts="2026-11-22T15:02:11.123456Z", command=1)


def test_ids_that_run_on_and_times_that_do_not_go_back_are_in_order() -> None:
    chain = Chain.begin(RUN, NONCE)
    events = [chain.append(body, NOW)[0] for body in bodies(4)]
    assert record.numbered(events, 1)
    assert record.numbered([], 7)
    replace = msgspec.structs.replace
    assert not record.numbered(events, 2)
    assert not record.numbered([events[0], events[2]], 1)
    assert not record.numbered([replace(events[0], ts="2026-11-22")], 1)
    assert not record.numbered([replace(events[0], ts="2026-13-22T15:02:11.123456Z")], 1)
    assert not record.numbered([replace(events[0], ts=stamp(NOW + 1)), events[1]], 1)

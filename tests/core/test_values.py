"""Values as JSON and back: every type that a runbook may hand over, and every refusal, at the door and in words."""

from __future__ import annotations

import collections
import dataclasses
import enum
import json
import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePath, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypedDict, Union

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwf.core import standins
from dwf.core.values import (
    DEPTH_LIMIT,
    PAYLOAD_LIMIT,
    as_blob,
    blob_ref,
    convert,
    decode,
    encode,
    parse_json,
    plain,
    same,
    text,
)
from dwf.errors import ValueRefused


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1


class Mode(enum.StrEnum):
    FAST = "fast"


class Bits(enum.Flag):
    A = 1
    B = 2


class Place(NamedTuple):
    host: str
    port: int = 80


class Named(TypedDict):
    name: str
    path: Path


class Struct(msgspec.Struct):
    a: int
    when: datetime
    tags: set[str] = set()


class Tagged(msgspec.Struct, tag="t", rename="camel"):
    long_name: int


@dataclasses.dataclass
class Inner:
    path: Path
    when: datetime


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner
    more: list[Inner]
    color: Color = Color.RED
    by_number: dict[int, Inner] = dataclasses.field(default_factory=dict)
    maybe: uuid.UUID | None = None


NOON = datetime(2026, 11, 22, 12, 0, 0, 5, tzinfo=UTC)
OUTER = Outer(
    Inner(Path("/a"), NOON), [Inner(Path("b"), NOON)], Color.GREEN, {5: Inner(Path("c"), NOON)}, uuid.UUID(int=9)
)
ROUND_TRIPS: list[tuple[Any, Any]] = [
    (None, type(None)),
    (True, bool),
    (5, int),
    (2**64, int),
    (-(2**200), int),
    (1.5, float),
    ("häß\x7f\n\u2028", str),
    ("", str),
    ([1, [2]], list),
    ({"a": [1]}, dict),
    (Color.RED, Color),
    (Level.LOW, Level),
    (Mode.FAST, Mode),
    (Bits.A | Bits.B, Bits),
    (Place("web1"), Place),
    ({"name": "x", "path": Path("/y")}, Named),
    (Struct(1, NOON, {"b", "a"}), Struct),
    (Tagged(5), Tagged),
    (OUTER, Outer),
    (NOON, datetime),
    (datetime(2026, 1, 1), datetime),
    (NOON.astimezone(timezone(timedelta(hours=2))), datetime),
    (date(2026, 1, 2), date),
    (time(1, 2, 3, 4), time),
    (timedelta(days=-3, microseconds=5), timedelta),
    (timedelta.max, timedelta),
    (Path("/x/y"), Path),
    (PurePosixPath("x"), PurePosixPath),
    (b"\x00\xff", bytes),
    (bytearray(b"x"), bytearray),
    (Decimal("1.10"), Decimal),
    (uuid.UUID(int=5), uuid.UUID),
    ({3, 1, 2}, set[int]),
    (frozenset({"b", "a"}), frozenset[str]),
    ({Color.RED, Color.GREEN}, set[Color]),
    ((1, "a"), tuple[int, str]),
    ((1, 2, 3), tuple[int, ...]),
    ("a", Literal["a", "b"]),
    (2, Literal[1, 2]),
    (None, Optional[int]),  # noqa: UP045 - as people write it
    (Path("x"), Path | None),
    (5, int | str),
    ("x", Union[int, str]),  # noqa: UP007 - as people write it
    (Path("x"), Path | int),
    (NOON, datetime | None),
    ({"a": {1, 2}}, dict[str, set[int]]),
    ({1: 2}, dict[int, int]),
    ({Color.RED: 1}, dict[Color, int]),
    ({date(2026, 1, 1): 1}, dict[date, int]),
    ([1], Sequence[int]),
    ({"a": 1}, Mapping[str, int]),
    ([Path("a")], Iterable[Path]),
    ([OUTER, OUTER], list[Outer]),
    (5, Annotated[int, msgspec.Meta(ge=0)]),
    ({"x": 1}, Any),
    ({"x": 1}, object),
]


def shown(value: object) -> str:
    """Sets sorted: their own order changes from process to process, and a test has to keep its name."""
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(map(repr, value))) + "}"
    return f"{value!r:.40}"


@pytest.mark.parametrize(("value", "kind"), ROUND_TRIPS, ids=shown)
def test_it_comes_back_by_its_annotation(value: Any, kind: Any) -> None:
    raw = encode(value)
    assert raw.isascii() and b"\x7f" not in raw and b"\n" not in raw
    for back in (decode(raw, kind), convert(decode(raw), kind), convert(json.loads(raw), kind)):
        assert back == value and type(back) is type(value)


def test_pydantic_models_come_back_too() -> None:
    pydantic = pytest.importorskip("pydantic")
    Model = pydantic.create_model("Model", a=(int, ...), path=(Path, ...), when=(datetime, ...))  # noqa: N806
    value = Model(a=1, path="/x", when=NOON)
    for kind, given_value in ((Model, value), (list[Model], [value]), (dict[str, Model], {"x": value})):
        raw = encode(given_value)
        assert decode(raw, kind) == given_value == convert(decode(raw), kind)
    with pytest.raises(ValueRefused):
        decode(b'{"a":"x"}', Model)


def test_subclasses_are_stored_as_what_they_are() -> None:
    class Text(str):
        pass

    assert encode([Text("a"), collections.OrderedDict(b=1), Level.LOW, Mode.FAST]) == b'["a",{"b":1},1,"fast"]'


def test_sets_have_one_order_whatever_the_process() -> None:
    assert encode({"b", "a", "c"}) == b'["a","b","c"]' == encode(frozenset("cba"))
    assert encode({Path("b"), Path("a")}) == b'["a","b"]'


def test_union_members_that_cannot_be_told_apart_are_tried_in_order() -> None:
    assert convert("x", str | Path) == "x"
    assert convert("x", Path | str) == Path("x")
    with pytest.raises(ValueRefused, match="fits no part"):
        convert([], Path | int)


def test_annotations_that_name_the_guards_stand_ins_mean_the_originals() -> None:
    stand_in = standins.stand_in_for(datetime)
    assert stand_in is not None
    assert decode(encode(NOON), stand_in) == NOON
    assert decode(encode([NOON]), list[stand_in | None]) == [NOON]  # type: ignore[valid-type]


# -- refusals -----------------------------------------------------------------------------------------------------


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def endless() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


class Nasty:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class NastyDict(dict[str, int]):
    def items(self) -> Any:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (math.nan, "nan is not a JSON number"),
        (-math.inf, "-inf is not a JSON number"),
        ({"a": [math.nan]}, "not a JSON number"),
        (msgspec.defstruct("S", [("x", float)])(math.nan), "not a JSON number"),
        ("\ud800", "surrogates"),
        (object(), "type object"),
        (Nasty(), ""),
        (NastyDict(a=1), "RuntimeError"),
        (lambda: 1, "type function"),
        (1j, "type complex"),
        (range(3), "type range"),
        (deep(DEPTH_LIMIT + 1), "nested more than 100"),
        (endless(), "contains itself"),
        ({1: "a", "1": "b"}, "same text"),
        ({1.5: 1}, "key of type float"),
        ({(1, 2): 1}, "key of type tuple"),
        ({True: 1}, "key of type bool"),
        (10**2000, "integer of"),
        ("x" * (PAYLOAD_LIMIT + 1), "the limit is 2,097,152"),
        ({"$blob": 1}, "reserved"),
    ],
    ids=lambda v: "",
)
def test_what_cannot_be_stored_is_refused_in_words(value: Any, why: str) -> None:
    with pytest.raises(ValueRefused) as caught:
        encode(value, "the thing")
    assert caught.value.what == "the thing" and why in caught.value.why


def test_the_deepest_value_is_stored_and_read_back_wherever_the_caller_stands() -> None:
    value = deep(DEPTH_LIMIT)

    def below(levels: int) -> bytes:
        return encode(value) if not levels else below(levels - 1)

    assert below(0) == below(300)
    assert decode(below(0)) == value == parse_json(below(0))


@pytest.mark.parametrize(
    ("raw", "kind", "why"),
    [
        (b'"x"', int, "Expected `int`"),
        (b"{}", Outer, "missing required field"),
        (b'{"a":1}', list[int], "Expected `array`"),
        (b'"2026-13-01"', date, "Invalid"),
        (b'"blue"', Color, "Invalid enum value"),
        (b'"c"', Literal["a", "b"], "Invalid enum value"),
        (b"-1", Annotated[int, msgspec.Meta(ge=0)], ">= 0"),
        (b"{", dict, "truncated"),
        (b'"x"', type(lambda: 1), "cannot restore"),
        (b'"x"', collections.abc.Callable, "Callable"),
    ],
)
def test_what_does_not_fit_is_refused(raw: bytes, kind: Any, why: str) -> None:
    with pytest.raises(ValueRefused, match=why):
        decode(raw, kind)


@pytest.mark.parametrize(
    "typed",
    [
        "NaN",
        "Infinity",
        "1e999",
        '{"a":1,"a":2}',
        "\ufeff1",
        b"\xef\xbb\xbf1",
        "1".encode("utf-16"),
        b"\xff",
        '"\\ud800"',
        "1" * 5000,
        "[" * 100_000,
        "[" * 150 + "]" * 150,
        "",
        "1 2",
        "{'a': 1}",
        "x" * (PAYLOAD_LIMIT + 1),
        '{"$blob": {}}',
    ],
    ids=lambda v: f"{v!r:.20}",
)
def test_json_that_a_person_types_is_read_strictly(typed: Any) -> None:
    with pytest.raises(ValueRefused):
        parse_json(typed)


def test_json_that_a_person_types_well_is_read() -> None:
    assert parse_json(' {"a": [1, 2.5, "ä", null, true]} ') == {"a": [1, 2.5, "ä", None, True]}
    assert parse_json(b'"\xc3\xa4"') == "ä"


@pytest.mark.parametrize("value", [5, None, "\ud800", "x" * 4097])
def test_short_text_is_text(value: Any) -> None:
    assert text("häß", "a name") == "häß"
    with pytest.raises(ValueRefused, match="a name"):
        text(value, "a name")


# -- for all values -----------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_json_is_what_it_was(value: Any) -> None:
    if isinstance(value, dict) and next(iter(value), "") == "$blob":
        return
    raw = encode(value)
    assert decode(raw) == value == json.loads(raw) == parse_json(raw)
    assert raw.isascii() and all(32 <= byte < 127 for byte in raw)
    assert encode(decode(raw)) == raw
    assert as_blob(msgspec.Raw(raw)) is None


@given(JSON)
def test_the_same_value_is_the_same_whatever_the_order_of_its_keys(value: Any) -> None:
    turned = _turned(plain(value))
    assert same(msgspec.Raw(json.dumps(value).encode()), msgspec.Raw(json.dumps(turned).encode()))
    assert not same(msgspec.Raw(json.dumps(value).encode()), msgspec.Raw(json.dumps([value]).encode()))


def _turned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _turned(item) for key, item in reversed(value.items())}
    return [_turned(item) for item in value] if isinstance(value, list) else value


@given(st.binary())
def test_no_bytes_make_the_reader_stumble(raw: bytes) -> None:
    for read in (parse_json, decode, lambda b: decode(b, Outer), lambda b: decode(b, set[int])):
        try:
            read(raw)
        except ValueRefused:
            pass


def test_a_reference_to_a_file_is_told_from_a_value() -> None:
    raw = blob_ref("ab" * 32, 5, 'pre"view\n')
    reference = as_blob(raw)
    assert reference is not None and (reference.sha256, reference.size, reference.preview) == (
        "ab" * 32,
        5,
        'pre"view\n',
    )
    assert bytes(raw).isascii()
    assert isinstance(Path("x"), PurePath)

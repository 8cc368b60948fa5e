"""Values for steps that nobody performs: what is made for an annotation can be stored, and read as that."""

from __future__ import annotations

import dataclasses
import enum
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest

from dwf.authoring.shell import Shell
from dwf.core.values import decode, encode
from dwf.testing.fitting import fitting


class Colour(enum.Enum):
    RED = "red"


class Point(msgspec.Struct):
    x: int
    name: str = "here"


@dataclasses.dataclass
class Pair:
    left: Point
    right: list[int]
    size: int = 3


class Kind(TypedDict):
    name: str


@pytest.mark.parametrize(
    "kind",
    [bool, int, float, str, list[int], dict[str, int], tuple[int, str], set[str], Literal["a", "b"], Colour, Point,
     Pair, Kind, int | None, Annotated[int, "x"], datetime, timedelta, Path, Shell, list[Pair], Any, None],
    ids=str,
)  # fmt: skip
def test_a_value_that_is_made_up_fits_what_it_is_made_for(kind: Any) -> None:
    value = fitting(kind)
    assert decode(encode(value, "it"), kind) == value if kind not in (Any, None) else value is None


def test_something_is_in_what_may_be_empty() -> None:
    assert fitting(list[int]) == [1] and fitting(int | None) == 1 and fitting(Pair).right == [1]


class Tree(msgspec.Struct):
    below: list[Tree]


def test_what_is_made_of_itself_comes_to_an_end() -> None:
    assert fitting(Tree) is not None

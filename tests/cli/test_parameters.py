"""Parameters whose types are the script's own: what they take is told, in the script's words."""

from __future__ import annotations

import pytest

from tests.cli.terminal import Terminal

BOOK = """
import dataclasses, enum, typing
import msgspec, dwf

class Slot(enum.Enum):
    LEFT = "left"
    RIGHT = "right"

class Corner(enum.Enum):
    TOP = (0, 1)

@dataclasses.dataclass
class Disk:
    name: str
    slot: Slot
    size: int = 3
    tags: list[str] = dataclasses.field(default_factory=list)
    made: dict[str, int] = dataclasses.field(default_factory=lambda: exit("run"))
    serial: str = dataclasses.field(init=False, default="")

class Layout(msgspec.Struct, rename="camel"):
    all_disks: list[Disk]

class Words(typing.TypedDict):
    first: str
    second: typing.NotRequired[int]

@dwf.workflow
async def swap(slot: Slot, layout: Layout | None, words: Words, n: int, at: Slot = Slot.LEFT, to: Corner = Corner.TOP):
    pass
"""


@pytest.fixture
def book(dwf: Terminal) -> str:
    dwf.script.write_text(BOOK)
    return str(dwf.script)


@pytest.mark.parametrize("columns", ["80", "200"])
def test_types_of_the_script_are_told_with_their_fields_and_values(dwf: Terminal, book: str, columns: str) -> None:
    said = dwf("start", book, "--help", COLUMNS=columns)

    assert (said.code, said.err) == (0, "")
    assert "@" not in said.out
    told = [" ".join(line.split()) for line in said.out.splitlines()]
    for line in (
        "slot Slot required",
        "layout Layout | None required",
        "n int required",
        "at Slot default left",
        "to Corner default TOP",
        "Slot: left | right",
        "Corner: TOP",
        "Layout: a JSON object",
        "allDisks list[Disk] required",
        "Disk: a JSON object",
        "size int default 3",
        "tags list[str] default []",
        "made dict[str, int] may be left out",
        "Words: a JSON object",
        "second int may be left out",
    ):
        assert line in told
    assert told.count("Slot: left | right") == told.count("Disk: a JSON object") == 1
    assert not any(line.startswith("serial") for line in told)


def test_a_model_of_pydantic_is_told_as_well(dwf: Terminal) -> None:
    pytest.importorskip("pydantic")
    dwf.script.write_text(
        "import dwf, pydantic\nclass Host(pydantic.BaseModel):\n    name: str\n    port: int = 80\n"
        "@dwf.workflow\nasync def look(host: Host): pass\n"
    )
    told = [" ".join(line.split()) for line in dwf("start", str(dwf.script), "--help").out.splitlines()]
    assert {"Host: a JSON object", "name str required", "port int default 80"} <= set(told)


def test_programs_are_told_the_same(dwf: Terminal, book: str) -> None:
    (workflow,) = dwf("start", book, "--help", "--json").json["workflows"]
    types = {each["name"]: each for each in workflow["types"]}
    assert types["Slot"] == {"name": "Slot", "values": ["left", "right"]}
    assert types["Disk"]["fields"][1] == {"name": "slot", "type": "Slot", "required": True}


def test_what_does_not_fit_is_refused_in_the_words_of_the_script(dwf: Terminal, book: str) -> None:
    said = dwf("start", book, "slot=up", "layout=null", "words={}", "n=1")
    assert said.code == 2 and said.error.startswith("slot='up' is not a Slot: ")
    assert "@" not in said.hint and "slot=Slot layout=Layout | None" in said.hint and "[at='left']" in said.hint

"""What the help topics show is held to what happens: their runbooks are run, their claims are tried."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from dwf.cli import topics
from tests.cli.terminal import Terminal

PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*" >> "$HOME/ledger"
! test -e "$HOME/$(basename "$0")-$1.fails"
"""


def runbook(topic: str) -> str:
    """The indented block of a topic that declares a workflow."""
    blocks = re.findall(r"(?:^(?: {4}.*)?\n)+", topics.text_of(topic), re.MULTILINE)
    (found,) = [block for block in blocks if "@dwf.workflow" in block and "import" in block]
    return textwrap.dedent(found).strip() + "\n"


class Place:
    """A terminal where the commands of the topic exist; each leaves a line in a ledger."""

    def __init__(self, dwf: Terminal, path: Path) -> None:
        self.dwf, self.path = dwf, path
        for name in ("balancer", "monitor", "patch", "check"):
            (path / name).write_text(PROGRAM)
            (path / name).chmod(0o700)
        dwf.script.write_text(runbook("cleanup"))

    def fails(self, command: str, first: str) -> None:
        (self.path / f"{command}-{first}.fails").touch()

    @property
    def did(self) -> list[str]:
        return (self.path / "ledger").read_text().splitlines()

    def asked(self) -> str:
        """A run that waits for its yes."""
        said = self.dwf("start", str(self.dwf.script), "host=web1", "soak=0s", "--id", "p", "--tick")
        assert said.code == 0, said.err
        assert self.did == BEFORE
        return "p"

    def status(self) -> str:
        return str(self.dwf("show", "p", "--json").json["status"])


BEFORE = ["balancer remove web1", "monitor off web1"]
BACK = ["monitor on web1", "balancer add web1"]


@pytest.fixture
def place(dwf: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", f"{path}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(path))
    return Place(dwf, path)


def test_the_runbook_of_the_topic_cleanup_does_its_work(place: Place) -> None:
    run = place.asked()
    assert place.dwf("approve", run, "--tick").code == 0
    assert place.dwf("result", run).out.strip() == '"patched"'
    assert place.did == [*BEFORE, "patch web1", "check web1"]


def test_its_way_back_begins_when_a_step_fails(place: Place) -> None:
    place.fails("check", "web1")
    place.dwf("approve", place.asked(), "--tick")
    assert place.status() == "failed"
    assert place.did == [*BEFORE, "patch web1", "check web1", *BACK]


@pytest.mark.parametrize(("unknown", "back"), [("", []), ("undo_if_unknown=True", ["balancer add web1"])])
def test_a_step_that_failed_is_taken_back_if_the_saga_says_so(place: Place, unknown: str, back: list[str]) -> None:
    place.fails("balancer", "remove")
    place.dwf.script.write_text(place.dwf.script.read_text().replace("dwf.saga()", f"dwf.saga({unknown})"))
    place.dwf("start", str(place.dwf.script), "host=web1", "--id", "p", "--tick")
    assert place.status() == "failed" and place.did == ["balancer remove web1", *back]


@pytest.mark.parametrize(("verb", "status"), [("reject", "failed"), ("cancel", "cancelled")])
def test_its_way_back_begins_at_a_no_and_at_a_cancel(place: Place, verb: str, status: str) -> None:
    assert place.dwf(verb, place.asked(), "--tick", "-m", "why").code == 0
    assert place.status() == status and place.did == [*BEFORE, *BACK]


def test_a_way_back_that_fails_holds_up_none_of_the_others(place: Place) -> None:
    place.fails("monitor", "on")
    place.dwf("cancel", place.asked(), "--tick", "-m", "why")
    assert place.status() == "failed" and place.did == [*BEFORE, *BACK]
    shown = " ".join(place.dwf("show", "p").out.split())
    assert "undone balancer remove web1" in shown
    assert "NOT undone: monitor off web1 (exit code 1)" in shown


def test_a_mistake_in_it_and_a_termination_take_nothing_back(place: Place) -> None:
    text = place.dwf.script.read_text()
    place.dwf.script.write_text(text.replace('await dwf.sh("check", host)', "{}[host]"))
    place.dwf("approve", place.asked(), "--tick")
    assert place.status() == "blocked" and place.did == [*BEFORE, "patch web1"]
    place.dwf.script.write_text(text)
    assert place.dwf("upgrade", "p", "--to", str(place.dwf.script)).code == 0
    place.dwf("tick")
    assert place.status() == "completed" and place.did == [*BEFORE, "patch web1", "check web1"]

    place.dwf("start", str(place.dwf.script), "host=web1", "--id", "q", "--tick")
    place.dwf("terminate", "q", "-y", "-m", "lost", "--tick")
    assert place.did[4:] == BEFORE


SIGNALS = """
import dataclasses, dwf

@dataclasses.dataclass
class Order:
    serial: str

@dwf.workflow
async def main() -> list[str]:
    await dwf.sleep("1h")
    found = await dwf.wait_signal("go", type=Order, timeout="4h", default=None)
    seen = [found.serial if found else "none"]
    if found:
        async for order in dwf.signals("go", type=Order):
            seen.append(order.serial)
            if len(seen) == 3:
                break
    return seen
"""


def test_signals_are_as_their_topic_says(dwf: Terminal) -> None:
    dwf.script.write_text(SIGNALS.replace('"1h"', '"0s"').replace('"4h"', '"0s"'))
    dwf("start", str(dwf.script), "--id", "none", "--tick")
    assert dwf("result", "none").out.strip() == '["none"]'

    plan = dwf.directory / "plan.json"
    plan.write_text('{"serial": "2"}')
    dwf.script.write_text(SIGNALS.replace('"1h"', '"0s"'))
    dwf("start", str(dwf.script), "--id", "r")
    assert dwf("signal", "r", "other").code == 0
    for words in (["serial=A1", "--key", "a"], ["serial=A1", "--key", "a"], ['"no order"'], [f"@{plan}"]):
        assert dwf("signal", "r", "go", *words).code == 0
    assert dwf("signal", "r", "go", "serial=9", "--key", "a").code == 9
    assert dwf("signal", "r", "go", "-", stdin=b'{"serial": "3"}').code == 0
    dwf("tick")

    assert dwf("result", "r").json == ["A1", "2", "3"]
    assert "never taken by the script: other" in " ".join(dwf("show", "r").out.split())
    assert "go (line " in dwf("logs", "r").out and "was passed over: it does not fit Order" in dwf("logs", "r").out
    assert dwf("signal", "r", "go").code == 7


# -- reference --------------------------------------------------------------------------------------------------

TYPES = """
import dataclasses, datetime, enum, typing, dwf

class Slot(enum.Enum):
    LEFT = 1

@dataclasses.dataclass
class Disk:
    name: str
    size: int = 3

@dwf.workflow
async def main(a: {type} = None) -> str:
    return repr(a)
"""


@pytest.mark.parametrize(
    ("kind", "word", "value"),
    [
        ("bool", "on", "True"),
        ("bool", "0", "False"),
        ("list[str]", "web1,web2", "['web1', 'web2']"),
        ("list[str]", '["web1"]', "['web1']"),
        ("tuple[int, ...]", "1,2", "(1, 2)"),
        ("datetime.datetime", "2026-11-23T22:00:00+00:00", "datetime.datetime(2026, 11, 23, 22, 0, tzinfo="),
        ("datetime.date", "2026-11-23", "datetime.date(2026, 11, 23)"),
        ("datetime.timedelta", "PT90S", "datetime.timedelta(seconds=90)"),
        ("Slot", "1", "<Slot.LEFT: 1>"),
        ("Slot", "LEFT", "<Slot.LEFT: 1>"),
        ("typing.Literal['x', 3]", "3", "3"),
        ("int | None", "null", "None"),
        ("bytes", "aGVsbG8=", "b'hello'"),
        ("Disk", '{"name": "sda"}', "Disk(name='sda', size=3)"),
        ("dict[str, int]", '{"a": 1}', "{'a': 1}"),
        ("object", "[1]", "[1]"),
        ("object", "some text", "'some text'"),
    ],
)
def test_words_become_what_the_topic_reference_says(dwf: Terminal, kind: str, word: str, value: str) -> None:
    dwf.script.write_text(TYPES.replace("{type}", kind) if kind != "object" else TYPES.replace(": {type}", ""))
    said = dwf("start", str(dwf.script), f"a={word}", "--id", "r", "--tick")
    assert said.code == 0, said.err
    assert dwf("result", "r").json.startswith(value)


FIELDS = """
import dwf

@dwf.activity
def look() -> list:
    info = dwf.activity_info()
    return [info.run, info.step, info.attempt, info.idempotency_key("x")]

@dwf.workflow
async def main() -> list:
    info = dwf.info()
    found = [info.run, info.workflow, info.tags, info.started_at == dwf.now(), info.history_length, len(info.nonce)]
    got = await dwf.sh("printf", '{"a": 1}\\nb = c\\nat 7')
    found += [got.code, got.lines()[1], got.kv(), got.find("at (.*)"), got.err, got.truncated]
    found += [(await dwf.sh("echo", "[1]")).json()]
    yes = await dwf.approve("Switch?", timeout="0s", on_timeout="approve")
    return [found, await look(), [yes.by, yes.comment, yes.timed_out]]
"""


def test_what_comes_back_has_the_fields_that_the_topic_reference_names(dwf: Terminal) -> None:
    dwf.script.write_text(FIELDS)
    dwf("start", str(dwf.script), "--id", "r", "--tag", "a=b", "--tick")
    dwf("tick")

    of_run, of_step, of_yes = dwf("result", "r").json

    assert of_run[:5] == ["r", "main", {"a": "b"}, True, 1] and of_run[5] > 8
    assert of_run[6:] == [0, "b = c", {"b": "c"}, "7", "", False, [1]]
    assert of_step[:3] == ["r", "look", 1] and of_step[3].endswith(":x")
    assert of_yes == [[], "", True]


# -- file-format ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [0, 1, 40, -1], ids=["nothing", "a byte", "a part", "all but the newline"])
def test_a_history_without_its_whole_first_line_is_corrupt(dwf: Terminal, left: int) -> None:
    run = dwf.started("quick")
    history = dwf.history(run)
    history.write_bytes(history.read_bytes().splitlines(keepends=True)[0][:left])
    kept = history.read_bytes()

    assert dwf("show", run).out.splitlines()[0] == f"{run}  corrupt"
    assert dwf("verify", run).code == 65
    dwf("tick")
    assert history.read_bytes() == kept

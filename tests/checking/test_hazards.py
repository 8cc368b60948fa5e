"""What is wrong in workflow code is seen before it runs, or when it runs, as the table says; the rest by nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from dwf.core import banned
from dwf.scripts.collect import Sources, collect
from dwf.scripts.lint import RULES, Finding, findings
from dwf.testing import Env, Run
from tests.checking.hazards import HAZARDS, Hazard, Seen
from tests.checking.innocents import INNOCENTS, script

ROOT = Path(__file__).parents[2]


def read(text: str, **parts: str) -> list[Finding]:
    files = {f"{name}.py": part.encode() for name, part in {"book": text, **parts}.items()}
    return findings(Sources("book.py", files, "/srv", 0))


def ran(text: str, path: Path) -> Run:
    (path / "book.py").write_text(text)
    return Env(path / "home").run(f"{path / 'book.py'}:main", "r1", host="web1")


@pytest.mark.filterwarnings("ignore:.*was never awaited", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("hazard", HAZARDS, ids=lambda hazard: hazard.name)
def test_a_hazard_is_seen_by_whom_the_table_says(
    hazard: Hazard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dwf.engine.watchdog.LIMIT_SECONDS", 0.2)
    monkeypatch.setattr("dwf.engine.watchdog._LOOK_SECONDS", 0.05)
    found = read(hazard.script)
    codes = [one.code for one in found]
    assert codes == ([hazard.code] if hazard.seen is not Seen.GUARD else [])
    if found:
        assert found[0].line == hazard.at, found
        assert found[0].what and found[0].cure
    run = ran(hazard.script, tmp_path)
    assert (run.status == "blocked") == (hazard.seen is not Seen.CHECK), run.told


@pytest.mark.parametrize("name", INNOCENTS)
def test_what_is_innocent_raises_nothing_in_either(name: str, tmp_path: Path) -> None:
    text = script(INNOCENTS[name])
    assert read(text) == []
    run = ran(text, tmp_path)
    assert run.status == "completed", run.told


def test_there_are_enough_of_both() -> None:
    assert len(HAZARDS) >= 40 and len(INNOCENTS) >= 40
    assert {hazard.code for hazard in HAZARDS if hazard.code} == set(RULES)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_nothing_is_found_in_the_examples(path: Path) -> None:
    assert findings(collect(str(path))) == []


def test_every_name_of_the_guard_is_found() -> None:
    """Fails when the two lists part: what the guard refuses by name is a finding."""
    clocks = ("datetime", "date")
    for home, names in banned.NAMES.items():
        for name in names:
            call = "seed()" if name == "seed" else f"{name}()"
            written = f"{home}.{name}.{banned.CLOCKS[name][-1]}()" if name in clocks else f"{home}.{call}"
            text = f"import dwf, {home}\n@dwf.workflow\nasync def main():\n    {written}\n"
            assert [one.line for one in read(text)] == [4], written


def test_what_is_in_a_step_is_nobodys_business() -> None:
    text = """
import dwf, time, os
from parts import helper

def clock():
    return time.time()

@dwf.activity
def work() -> float:
    return clock() + helper() + len(os.environ)

def never_called():
    return time.time()

@dwf.workflow
async def main():
    @dwf.activity
    def inner() -> float:
        return time.time()
    await inner()
    return await work()
"""
    assert read(text, parts="import time\ndef helper():\n    return time.time()\n") == []


def test_workflow_code_is_followed_through_modules_classes_and_handlers() -> None:
    text = """
import dwf, parts
from parts import Plan

@dwf.workflow
async def main():
    dwf.on_query("how", parts.answer)
    return Plan().size()
"""
    parts = """
import time
from deep import late

def answer():
    return time.time()

class Plan:
    def __init__(self):
        self.at = late()
    def size(self):
        return time.monotonic()
    def unused(self):
        return time.monotonic()
"""
    found = read(text, parts=parts, deep="import time\ndef late():\n    return time.time_ns()\n")
    assert [(one.file, one.line) for one in found] == [("deep.py", 4 - 1), ("parts.py", 6), ("parts.py", 12)]


OPS = """
import dwf

@dwf.activity
def drain(host: str) -> int:
    return 3

class Fleet:
    async def __aenter__(self) -> "Fleet":
        return self
    async def __aexit__(self, *_): ...
    async def all(self): ...
    def size(self): ...

class Quiet(Fleet):
    def all(self): ...

async def made() -> Fleet:
    return Fleet()

async def helper(host): ...

quick = drain.options(title="soon")
fleet = Fleet()
"""


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("ops.drain(host)", True),
        ("ops.helper(host)", True),
        ("ops.quick(host)", True),
        ("ops.fleet.all()", True),
        ("ops.fleet.size()", False),
        ("ops.Fleet().all()", True),
        ("ops.Quiet().all()", False),
        ("given.all()", True),
        ("given.size()", False),
        ("unknown.all()", False),
        ("(await ops.made()).all()", True),
        ("f = await ops.made()\n    f.all()", True),
        ("async with ops.Fleet() as f:\n        f.all()", True),
        ("f = ops.Fleet()\n    f = ops.Quiet()\n    f.all()", False),
        ("for f in [ops.Fleet()]:\n        f.all()", False),
        ("f = ops.Quiet() if host else ops.Fleet()\n    f.all()", False),
        ("left = ops.drain(host)\n    later = left\n    await later", False),
        ("left = ops.drain(host)\n    return {'left': left + 1}", True),
        ("left = ops.drain(host)\n    def look():\n        return left > 1\n    return look", True),
        ("with ops.helper(host):\n        pass", True),
        ("return [one for one in ops.drain(host)]", True),
        ("return sorted(ops.drain(host))", True),
        ("return unknown(ops.drain(host))", False),
    ],
)
def test_what_is_reached_through_modules_and_objects_has_to_be_awaited(line: str, is_found: bool) -> None:
    """Fails when a step is looked for by its bare name only, or when what is not known is taken for a step."""
    text = f"""
import dwf, ops
from elsewhere import unknown

async def helped(host: str, given: ops.Fleet):
    {line}

@dwf.workflow
async def main(host: str):
    await helped(host, ops.Fleet())
"""
    assert [one.code for one in read(text, ops=OPS)] == (["DWF301"] if is_found else [])


def test_a_method_of_what_only_steps_use_is_no_workflow_code() -> None:
    text = """
import dwf, time

class Client:
    def get(self):
        return time.time()

@dwf.activity
def fetch() -> float:
    return Client().get()

@dwf.workflow
async def main():
    return {"a": await fetch()}.get("a")
"""
    assert read(text) == []
    assert [one.line for one in read(text.replace("return {", "Client; return {"))] == [6]


@pytest.mark.parametrize(
    ("comment", "is_silent"),
    [
        ("# dwf: ignore[DWF101]", True),
        ("# dwf: ignore", True),
        ("# as agreed  # dwf: ignore[DWF104, DWF101]", True),
        ("# dwf: ignore[DWF102]", False),
        ("'# dwf: ignore'", False),
    ],
)
def test_a_line_can_say_that_it_is_meant_so(comment: str, is_silent: bool) -> None:
    end = f"or {comment}" if comment.startswith("'") else f"  {comment}"
    text = f"import dwf, time\n@dwf.workflow\nasync def main():\n    return time.time(){end}\n"
    assert (read(text) == []) == is_silent


def test_a_name_of_its_own_is_not_the_modules() -> None:
    text = """
import dwf, time, random

@dwf.workflow
async def main(time: dict, open: int = 1):
    random = dwf.random()
    return time.time(), random.random(), open(1)
"""
    assert read(text) == []

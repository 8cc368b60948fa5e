"""Recorded histories are tests: pytest --dwf-replay says which script does not do any more what it did."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dwf.engine.moving import copy
from dwf.errors import NondeterminismError, NotFound
from dwf.testing.replaying import check_history
from tests.engine.house import ME, House

BOOK = """
@dwf.activity
def work(word: str) -> str:
    return word * 200_000

@dwf.workflow
async def main():
    first = await work("a")
    await dwf.sleep("1h")
    return [len(first), await dwf.wait_signal("go")]
"""


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A directory with a history and with a bundle of the same run, and its script in the directory above."""
    house = House(tmp_path)
    house.go(BOOK)
    place = house.path / "histories"
    place.mkdir()
    (place / "r1.jsonl").write_bytes((house.path / "home" / "runs" / "r1.jsonl").read_bytes())
    copy(house.store, "r1", str(place / "r1.dwf"), None, ME)
    return place


def edited(recorded: Path, old: str, new: str) -> None:
    script = recorded.parent / "book.py"
    text = script.read_text()
    assert old in text
    script.write_text(text.replace(old, new))


@pytest.mark.parametrize("file", ["r1.jsonl", "r1.dwf"])
def test_a_script_that_does_what_it_did_passes_also_when_it_is_edited_harmlessly(recorded: Path, file: str) -> None:
    check_history(recorded / file, recorded / "1")
    edited(recorded, "return word * 200_000", "print(word); return word * 200_001")
    check_history(recorded / file, recorded / "2")


def test_a_script_that_asks_for_something_else_is_told_with_both_sides(recorded: Path) -> None:
    edited(recorded, 'work("a")', 'work("b")')
    with pytest.raises(NondeterminismError) as told:
        check_history(recorded / "r1.dwf", recorded / "1")
    assert "book.py:9" in told.value.message and "line 2 recorded" in told.value.message


def test_a_script_that_is_not_there_is_said_to_be_missing(recorded: Path) -> None:
    (recorded.parent / "book.py").unlink()
    with pytest.raises(NotFound, match=r"the script book\.py of r1\.dwf is not there"):
        check_history(recorded / "r1.dwf", recorded / "1")


def test_pytest_collects_them_and_says_what_is_wrong_in_words(recorded: Path) -> None:
    def told(directory: Path) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(recorded)]
        environ = {**os.environ, "PYTEST_ADDOPTS": "", "PYTHONPATH": str(Path(__file__).parents[2])}
        line += ["--dwf-replay", str(directory)]
        return subprocess.run(line, capture_output=True, text=True, check=False, cwd=recorded, env=environ, timeout=120)

    good = told(recorded)
    assert good.returncode == 0 and "2 passed" in good.stdout, good.stdout + good.stderr
    edited(recorded, "await dwf.sleep", "await work('c'); await dwf.sleep")
    bad = told(recorded)
    assert bad.returncode == 1 and "2 failed" in bad.stdout
    assert "the script no longer fits its history" in bad.stdout and "Traceback" not in bad.stdout
    assert told(recorded / "nowhere").returncode == 4

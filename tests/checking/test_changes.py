"""A run is recorded with the old script; what `dwf check` says of the new one must be right, with the right line."""

from __future__ import annotations

from pathlib import Path

import pytest

from dwf.engine.checking import Verdict, check, prepared, subjects
from dwf.scripts.collect import collect
from dwf.testing import Env
from tests.checking.changes import BREAKING, BUGS, CHANGES, HARMLESS, PARTS, PRELUDE, Change


def recorded(path: Path, change: Change) -> Env:
    """A state directory with one open run of the old script, as far as it comes."""
    write(path, PRELUDE + change.old, PARTS)
    env = Env(path / "home")
    run = env.start(f"{path / 'book.py'}:main", "r1", host="web1", n=3)
    env.tick()
    if change.approve:
        run.approve("fine")
    for name in change.signals:
        run.signal(name)
    env.skip("3h")
    assert run.status == "waiting", run.told
    return env


def write(path: Path, text: str, parts: str) -> None:
    (path / "book.py").write_text(text)
    (path / "parts.py").write_text(parts)


def verdict_of(path: Path, change: Change) -> Verdict:
    env = recorded(path, change)
    write(path, change.prelude + change.new, change.parts)
    file = prepared(env.store, "book.py", collect(str(path / "book.py")), env.me.uid or 0)
    verdicts, others = check([file], subjects(env.store, closed=False))
    mine = [verdict for verdict in verdicts if verdict.run == "r1"]
    assert len(mine) == 1 and not others
    return mine[0]


def marked(change: Change) -> str:
    """The line that bears the mark, as a place; "" if none does."""
    for name, text in (("book.py", change.prelude + change.new), ("parts.py", change.parts)):
        for number, line in enumerate(text.splitlines(), 1):
            if "#!" in line:
                return f"{name}:{number}"
    return ""


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_the_verdict_is_right_and_names_the_line(change: Change, tmp_path: Path) -> None:
    told = verdict_of(tmp_path, change)
    assert told.fit == change.verdict, told
    assert told.adds == change.adds
    if marked(change):
        assert told.where == marked(change), told
    if change.verdict == "diverges":
        assert told.line and told.recorded and told.asked
        assert bool(told.cure) == change.cured, told


def test_there_are_enough_of_both_kinds() -> None:
    assert len(HARMLESS) >= 30 and len(BREAKING) + len(BUGS) >= 30
    assert len({change.name for change in CHANGES}) >= len(CHANGES) - 2

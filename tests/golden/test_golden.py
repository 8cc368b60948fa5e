"""Histories of every format that was ever used are read, folded and replayed for ever, and mean what they meant."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from dwf.core.duration import unstamp
from dwf.core.events import EVENT_TYPES, FORMAT, Event
from dwf.core.state import RunState
from dwf.engine.runs import folded
from dwf.engine.upgrade import come_to
from dwf.scripts.load import load
from dwf.scripts.undoing import program_of
from dwf.store import record
from dwf.store.history import read_history, verify_history
from tests.golden.schema import HERE, added, broken, described, file_of
from tests.golden.summary import summary
from tests.golden.take import SCRIPT, SUMMARIES

HISTORIES = sorted(HERE.glob("format-*/*/*.jsonl"))
FORMATS = sorted(int(path.name.removeprefix("format-")) for path in HERE.glob("format-*"))


def events_of(path: Path) -> list[Event]:
    found = read_history(str(path))
    assert found.problem is None and not found.torn_bytes
    return found.events


def no_blob(sha256: str) -> bytes:
    raise AssertionError(f"a golden history has no values beside it, and {sha256} was asked for")


def shown(path: Path) -> str:
    return f"{path.parents[1].name}/{path.parent.name}"


@pytest.mark.parametrize("path", HISTORIES, ids=shown)
def test_a_golden_history_is_sound_and_is_written_the_same_today(path: Path) -> None:
    assert verify_history(str(path)) == []
    if path.parents[1].name != f"format-{FORMAT}":
        return
    events = events_of(path)
    chain = record.Chain.begin(events[0].run, events[0].nonce)  # type: ignore[attr-defined]
    lines = [chain.append(event, unstamp(event.ts))[1] for event in events]
    assert b"".join(lines) == path.read_bytes()


@pytest.mark.parametrize("path", HISTORIES, ids=shown)
def test_a_golden_history_comes_to_the_state_that_it_came_to(path: Path) -> None:
    """Fails when an event changes a state otherwise than it did when the history was written."""
    state: RunState = folded(events_of(path), str(path))
    assert summary(state) == json.loads((path.parents[1] / SUMMARIES).read_text())[path.parent.name]


@pytest.mark.parametrize("path", HISTORIES, ids=shown)
def test_a_golden_history_replays_with_its_script(path: Path) -> None:
    events = events_of(path)
    state = folded(events, str(path))
    files = {"book.py": (path.parent / SCRIPT).read_bytes()}
    program = program_of(load(files, "book.py", path.parent.name, "/srv/runbooks"), state.head)
    come_to(program, state, events, no_blob)  # raises where it parts from it


def test_every_event_of_today_is_in_a_golden_history() -> None:
    """If only this fails there is a new event: python -m tests.golden.take NAME HISTORY SCRIPT"""
    found = {type(event).__name__ for path in HERE.glob(f"format-{FORMAT}/*/*.jsonl") for event in events_of(path)}
    assert set(EVENT_TYPES) - found == set()


@pytest.mark.parametrize("number", FORMATS)
def test_no_stored_field_has_changed_its_meaning(number: int) -> None:
    """A field that is gone, or has another type, default or role, takes a new FORMAT: histories are read for years."""
    if number == FORMAT:
        assert broken(json.loads(file_of(FORMAT).read_text()), described()) == []
    else:
        assert number < FORMAT


def test_what_was_added_is_described() -> None:
    """If only this fails: python -m tests.golden.schema"""
    assert added(json.loads(file_of(FORMAT).read_text()), described()) == []


def test_what_would_change_a_stored_history_is_seen() -> None:
    stored, now = described(), copy.deepcopy(described())
    now["TimerStarted"]["fields"]["new"] = "str = ''"
    assert broken(stored, now) == [] and added(stored, now) == ["TimerStarted.new"]
    now["TimerStarted"]["fields"]["newer"] = "str, required"
    now["TimerStarted"]["fields"]["purpose"] = "str = 'wait'"
    now["TimerStarted"]["matched"] = ["fire_at", "purpose"]
    now["ActivityStarted"]["fields"]["attempt"] = "str, required"
    now["SignalReceived"]["role"] = "progress"
    del now["TimerFired"], now["Identity"]["fields"]["uid"]
    lost = broken(stored, now)
    assert len(lost) == 7
    for name in ("TimerFired", "Identity.uid", "ActivityStarted.attempt", "TimerStarted.purpose", "TimerStarted.newer"):
        assert any(name in one for one in lost), name

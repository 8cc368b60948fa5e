"""Notes of what hooks were not told yet: there for good once made, held by one, bounded; and the names of hooks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwf.store.files import Disk
from dwf.store.hooks import GIVEN_UP, Notes, Progress, hooks_of, parsed
from dwf.store.layout import Layout
from tests.store.places import new_home
from tests.store.test_power import power_lost_after


def notes_in(layout: Layout) -> Notes:
    return Notes(Disk(), layout)


def test_a_note_is_there_for_good_when_it_is_made(tmp_path: Path) -> None:
    layout = new_home(tmp_path)
    with power_lost_after(Path(layout.home)) as disk:
        Notes(disk, layout).make("r1", 2, 7).leave()
    assert notes_in(layout).left_behind() == ["r1~2.7"]


def test_a_note_is_held_by_one_and_keeps_how_far_he_came(tmp_path: Path) -> None:
    notes = notes_in(new_home(tmp_path))
    note = notes.make("r1", 1, 3)
    assert notes.take(note.name) is None
    note.progress["page"] = Progress(told=5, tries=2, why="exit code 1", not_before=9)
    note.save()
    note.leave()
    again = notes.take(note.name)
    assert again is not None and again.progress["page"].told == 5
    again.drop()
    assert notes.left_behind() == [] and notes.take(note.name) is None


def test_a_note_that_was_not_finished_is_tidied_away(tmp_path: Path) -> None:
    """Fails when what a maker left who died before it had its name stays for ever."""
    layout = new_home(tmp_path)
    notes = notes_in(layout)
    notes.make("r1", 1, 3).drop()
    left = Path(layout.untold, ".new-0011")
    left.touch(mode=0o600)
    assert notes.left_behind() == [] and not left.exists()


def test_progress_that_cannot_be_read_is_told_again(tmp_path: Path) -> None:
    layout = new_home(tmp_path)
    notes = notes_in(layout)
    note = notes.make("r1", 1, 3)
    note.leave()
    Path(note.path).write_bytes(b'{"page":{"told')
    again = notes.take(note.name)
    assert again is not None and again.progress == {}


def test_what_was_given_up_is_kept_tried_again_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = new_home(tmp_path)
    notes = notes_in(layout)
    monkeypatch.setattr("dwf.store.hooks._MOST_GIVEN_UP", 2)
    for line in (1, 2, 3):
        note = notes.make("r1", 1, line)
        note.progress["page"] = Progress(told=line, given_up={str(line): "exit code 1"})
        note.save()
        note.give_up()
    notes.bound()
    assert len(notes.given_up()) == 2
    assert notes.left_behind() == []
    assert notes.try_again() == 2
    taken = notes.take(notes.left_behind()[-1])
    assert taken is not None and taken.progress["page"] == Progress(told=taken.line - 1)
    assert not list(Path(layout.untold).glob(f"*{GIVEN_UP}"))


@given(st.text(max_size=40))
def test_only_names_of_notes_are_notes(name: str) -> None:
    found = parsed(name)
    assert found is None or (f"{found[0]}~" in name and "/" not in found[0])


def test_hooks_are_read_in_order_and_hidden_files_are_none(tmp_path: Path) -> None:
    layout = new_home(tmp_path)
    place = Path(layout.hooks)
    place.mkdir(mode=0o700)
    for name in ("person.b", "ended.a", ".ended.swp", "ended.a~"):
        (place / name).write_text("#!/bin/sh\n")
        (place / name).chmod(0o700)
    found, unfit = hooks_of(layout)
    assert [hook.name for hook in found] == ["ended.a", "person.b"] and unfit == []
    place.chmod(0o777)
    found, (weak,) = hooks_of(layout)
    assert found == [] and weak.path == layout.hooks

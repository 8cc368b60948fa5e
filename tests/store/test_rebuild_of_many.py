"""A rebuild of very many: told as it goes, and nothing of all of them is kept in memory."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from dwf.store import rebuild
from dwf.store.files import Disk
from dwf.store.index import Index
from dwf.store.layout import Layout, open_home
from tests.store.histories import lines


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return open_home(Disk(), str(tmp_path / "home"), create=True, allow_network=True)


def furnish(layout: Layout, number: int) -> None:
    for n in range(number):
        Path(layout.history_path(f"run-{n}")).write_bytes(b"".join(lines(1, f"run-{n}")))


def test_it_is_told_how_far_it_is(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "_BATCH", 10)
    furnish(layout, 35)
    Path(layout.history_path("run-1", 2)).write_bytes(b"".join(lines(1, "run-1")))
    index, told = Index(Disk(), layout, boot="b"), []
    index.on_rebuild = lambda done, total: told.append((done, total))
    assert index.rebuild()
    assert told == [(10, 36), (20, 36), (30, 36), (35, 36)]
    assert index.rows() is not None and len(index.rows() or []) == 35
    row = index.row("run-1")
    assert row is not None and row.link == 2


def test_no_list_of_all_of_them_is_made(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    furnish(layout, 10)
    monkeypatch.setattr(os, "listdir", lambda path: pytest.fail(f"all names of {path} at once"))
    assert Index(Disk(), layout, boot="b").rebuild()


def test_memory_does_not_grow_with_their_number(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "_BATCH", 20)
    peaks = []
    for number in (300, 3000):
        furnish(layout, number)
        Index(Disk(), layout, boot="b").rebuild(force=True)  # what is imported, and compiled, comes once
        tracemalloc.start()
        Index(Disk(), layout, boot="b").rebuild(force=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + 50_000, peaks

"""Many syncs: each is made once, several at a time, and what one of them says is heard."""

from __future__ import annotations

import threading

import pytest

from dwf.errors import DiskError
from dwf.store import overlap
from dwf.store.overlap import make_all


def test_each_is_made_once() -> None:
    made: list[int] = []
    make_all([lambda n=n: made.append(n) for n in range(100)])  # type: ignore[misc]
    assert sorted(made) == list(range(100))


def test_of_many_several_are_made_at_a_time() -> None:
    """Two wait for each other: one thread alone would never come to the second."""
    met = threading.Barrier(2)
    make_all([lambda: met.wait(20) and None] * 2 + [lambda: None] * 30)


def test_a_few_are_made_in_order_by_the_thread_that_asks() -> None:
    made: list[tuple[int, int]] = []
    make_all([lambda n=n: made.append((n, threading.get_ident())) for n in range(9)])  # type: ignore[misc]
    assert made == [(n, threading.get_ident()) for n in range(9)]


def test_a_failure_is_raised_when_none_is_being_made_any_more() -> None:
    def fail() -> None:
        raise DiskError(operation="fsync", path="x", why="bad sector", errno=5)

    before = threading.active_count()
    with pytest.raises(DiskError):
        make_all([fail] * 40)
    assert threading.active_count() == before


def test_where_no_thread_can_be_started_one_makes_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise DiskError(operation="start", path="x", why="no room for another thread", errno=11)

    monkeypatch.setattr(overlap, "start_thread", refuse)
    made: list[int] = []
    make_all([lambda n=n: made.append(n) for n in range(40)])  # type: ignore[misc]
    assert made == list(range(40))

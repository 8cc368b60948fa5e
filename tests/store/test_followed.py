"""A directory that is followed says the same as one that is listed, whatever happens to it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dwf.store.followed import Followed, followed


def first_letter(name: str) -> str:
    return name[:1]


def agrees(directory: Followed, path: Path) -> bool:
    listed = os.listdir(path) if path.exists() else []  # noqa: PTH208
    by_kind = {name for kind in {name[:1] for name in listed} for name in directory.of(kind)}
    return sorted(directory.names()) == sorted(listed) and by_kind == set(listed)


def change(path: Path, what: str, name: str) -> None:
    if what == "post":
        (path.parent / "draft").write_text("")
        (path.parent / "draft").rename(path / name)
    elif what == "make":
        (path / name).write_text("")
    elif what == "remove":
        (path / name).unlink(missing_ok=True)
    elif what == "take" and (path / name).exists():
        (path / name).rename(path.parent / "taken")
    elif what == "replace":
        shutil.rmtree(path)
        path.mkdir()


changes = st.lists(
    st.tuples(
        st.sampled_from(["post", "make", "remove", "take", "replace", "look"]), st.sampled_from("ab ac ba bb".split())
    )
)


@given(changes)
@settings(deadline=None)
def test_it_says_what_a_listing_says_after_any_changes(
    tmp_path_factory: pytest.TempPathFactory, done: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("followed") / "new"
    path.mkdir()
    (path / "aa").write_text("there before")
    directory = Followed(str(path), first_letter)
    for what, name in done:
        change(path, what, name)
        assert what != "look" or agrees(directory, path)
    assert agrees(directory, path)
    directory.close()


def test_it_is_listed_once_however_often_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = Followed(str(tmp_path), first_letter)
    monkeypatch.setattr(os, "listdir", lambda path: pytest.fail("it was listed again"))
    for n in range(100):
        (tmp_path / f"a{n}").write_text("")
        assert len(directory.of("a")) == n + 1
    directory.close()


def test_what_the_kernel_has_dropped_is_listed(tmp_path: Path) -> None:
    directory = Followed(str(tmp_path), first_letter)
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if most > 40_000:
        pytest.skip("the kernel's queue is too long to be filled here")
    for n in range(most // 2 + 100):
        # Two names in turns, for the kernel makes one event of two that are alike.
        (tmp_path / f"a{n % 2}").touch()
        (tmp_path / f"a{n % 2}").unlink()
    (tmp_path / "b").touch()
    assert directory.names() == ["b"]
    directory.close()


def test_a_directory_that_is_gone_is_empty_until_it_is_back(tmp_path: Path) -> None:
    path = tmp_path / "new"
    path.mkdir()
    directory = Followed(str(path), first_letter)
    path.rmdir()
    assert directory.names() == []
    path.mkdir()
    (path / "a").touch()
    assert directory.names() == ["a"]
    directory.close()


def test_where_nothing_can_be_watched_there_is_none(tmp_path: Path) -> None:
    assert followed(str(tmp_path / "missing"), first_letter) is None

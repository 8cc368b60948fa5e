"""Many runs on a screen: a table shows the newest, says how many more there are, and counting reads no history."""

from __future__ import annotations

import pytest

from dwf.engine import lists
from dwf.store.choice import Choice
from dwf.store.index import Index
from dwf.store.room import Store
from dwf.store.row import Row
from tests.cli.terminal import Terminal


@pytest.fixture
def many(dwf: Terminal) -> Terminal:
    """Two real runs, and three hundred that the index alone knows."""
    dwf.driven("asks", "--id", "asks-1")
    dwf.driven("quick", "--id", "quick-1")
    dwf("tick")
    index = Store.open(str(dwf.home)).index
    index.insert_new(
        *(
            Row(f"row-{n:03}", "0" * 16, workflow="old", status="failed", open=False, due_at=None, started_us=n)
            for n in range(300)
        )
    )
    index.close()
    return dwf


def test_a_table_shows_the_newest_hundred_and_says_how_many_more(many: Terminal) -> None:
    said = many("list")
    lines = said.out.splitlines()
    assert len(lines) == 101
    assert "quick-1" in lines[1] and "asks-1" in lines[2]
    assert "and 202 more" in said.err and "dwf count" in said.err
    assert len(many("list", "-n", "302").out.splitlines()) == 303
    assert "more" not in many("list", "-n", "302").err


def test_programs_are_given_all_of_them(many: Terminal) -> None:
    assert len(many("list", "-o", "name").out.splitlines()) == 302
    assert len(many("list", "-o", "jsonl").out.splitlines()) == 302
    assert len(many("list", "--json").json["runs"]) == 302
    assert many("list", "-o", "name", "-n", "1").out == "quick-1\n"


def test_count_says_how_many_of_what(many: Terminal) -> None:
    assert [line.split() for line in many("count").out.splitlines()] == [
        ["STATUS", "WORKFLOW", "RUNS"],
        ["failed", "old", "300"],
        ["waiting", "asks", "1"],
        ["completed", "quick", "1"],
        ["all", "302"],
    ]
    assert many("count", "--open", "-o", "name").out == "1\n"
    assert many("count", "--status", "blocked", "-o", "name").out == "0\n"
    document = many("count", "--workflow", "quick", "--json").json
    assert document["total"] == 1 and document["counts"] == [{"workflow": "quick", "status": "completed", "runs": 1}]
    assert "did you mean" in many("count", "--status", "faild").hint


def test_before_anything_was_started_there_is_nothing_to_count(dwf: Terminal) -> None:
    assert dwf("count", "-o", "name").out == "0\n"


def test_a_run_that_is_due_is_counted_as_its_file_has_it(dwf: Terminal) -> None:
    dwf.driven("asks", "--id", "asks-1")
    Store.open(str(dwf.home)).index.wake("asks-1")
    assert dwf("count", "--status", "waiting", "-o", "name").out == "1\n"


def test_without_an_index_the_same_is_counted_and_listed_from_the_files(dwf: Terminal) -> None:
    for n in range(3):
        dwf.driven("quick", "--id", f"quick-{n}")
    before = dwf("count").out, dwf("list", "-o", "name").out, dwf("list", "-n", "2", "-o", "name").out
    (dwf.home / "index.sqlite").unlink()
    assert (dwf("count").out, dwf("list", "-o", "name").out, dwf("list", "-n", "2", "-o", "name").out) == before
    assert "and more" in dwf("list", "-n", "2").err


def test_no_list_reads_a_directory_of_a_million_names(many: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor more histories than it shows: lists, counts, beginnings of ids and wrong ids go by the index."""
    listed: list[str] = []
    monkeypatch.setattr(lists, "all_ids", lambda store: listed.append("lists") or [])
    monkeypatch.setattr("dwf.engine.runs.all_ids", lambda store: listed.append("runs") or [])
    monkeypatch.setattr("os.listdir", lambda path: listed.append(str(path)) or [])
    for words in (("list",), ("count",), ("inbox",), ("show", "asks"), ("list", "--status", "failed")):
        assert many(*words).code == 0, words
    assert not [path for path in listed if path.endswith("runs") or path in ("lists", "runs")]


LOAD = lists.load


def test_of_very_many_runs_the_inbox_reads_those_that_need_somebody(
    many: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    many.driven("asks", "--id", "asks-2")
    store = Store.open(str(many.home))
    store.index.insert_new(
        *(Row(f"w-{n}", "0" * 16, workflow="old", status="waiting", due_at=None, started_us=n) for n in range(300))
    )
    store.index.wake("asks-2")  # what is due is read, too: its row may be older than its question
    read: list[str] = []
    monkeypatch.setattr(lists, "load", lambda store, run: read.append(run) or LOAD(store, run))
    assert {need.run for need in lists.inbox(store)} == {"asks-1", "asks-2"} == set(read)
    monkeypatch.setattr(lists, "MOST_NEEDS", 1)
    assert lists.needs_beyond(store) == 1 and "and 1 more" in many("inbox").err


def test_a_long_history_is_not_read_for_a_line_of_a_list(dwf: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    dwf.driven("asks", "--id", "asks-1")
    dwf("tick")
    monkeypatch.setattr(lists, "_LONG_BYTES", 100)
    store = Store.open(str(dwf.home))
    store.index.wake("asks-1")
    monkeypatch.setattr("dwf.engine.runs.read_history", lambda path: pytest.fail("it was read as a whole"))
    (need,) = lists.inbox(store)
    assert (need.kind, need.run) == ("APPROVE", "asks-1") and "dwf show asks-1" in need.what
    (line,) = lists.summaries(store, Choice(open_only=True))
    assert (line.run, line.status.value, line.step) == ("asks-1", "running", "approve")


def test_a_wrong_id_is_compared_with_those_that_sort_next_to_it(
    many: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    near = Index.ids_near
    monkeypatch.setattr(
        Index, "ids_near", lambda self, run, limit: (found := near(self, run, limit), seen.append(len(found or [])))[0]
    )
    assert many("show", "askz-1").hint == "did you mean asks-1?"
    assert seen and seen[0] <= 1000

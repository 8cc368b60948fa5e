"""`dwf archive`: which runs it takes, what it says, and that every verb still finds what it has put away."""

from __future__ import annotations

from pathlib import Path

import pytest

from dwf.store.room import Store
from tests.cli.terminal import Terminal


@pytest.fixture
def three(dwf: Terminal) -> Terminal:
    """Two runs that are done, and one that waits."""
    for run in ("done-1", "done-2"):
        dwf.driven("quick", "--id", run)
    dwf.driven("waits", "--id", "open-1")
    dwf("tick")
    return dwf


def away(dwf: Terminal) -> list[str]:
    return sorted(path.name for path in (dwf.home / "archive").glob("*/*"))


def test_runs_by_name_go_and_are_found_by_every_verb(three: Terminal) -> None:
    said = three("archive", "done-1", "-m", "tidy")
    assert (said.code, said.out) == (0, "done-1\n") and "1 archived" in said.err
    assert away(three) == ["done-1.jsonl"] and not three.history("done-1").exists()
    assert "done-1" not in three("list").out and three("count", "-o", "name").out == "2\n"
    assert three("list", "--archived", "-o", "name").out == "done-1\n"
    assert "archived in archive/2" in three("show", "done-1").out
    assert three("show", "done-", "-o", "name").out == "done-2\n"  # what is in the way comes first
    assert three("history", "done-1").code == 0 and three("result", "done-1").out == "2\n"
    assert "doubling 1" in three("logs", "done-1").out
    assert "3 histories checked" in three("verify").out and "1 history checked" in three("verify", "done-1").out
    acts = three("audit", "done-1", "--json").json["acts"]
    assert [(act["what"], act["reason"]) for act in acts] == [("start", ""), ("archive", "tidy")]
    assert three("export", "done-1", str(three.directory / "b.dwf")).code == 0
    assert three("doctor").code == 0


def test_a_beginning_finds_what_is_archived_if_nothing_else_begins_so(three: Terminal) -> None:
    three("archive", "done-1", "done-2")
    assert three("show", "done-1", "-o", "name").out == three("show", "done-1", "-o", "name").out
    assert "done-1, done-2" in three("show", "done").hint


def test_its_id_stays_taken(three: Terminal) -> None:
    three("archive", "done-1")
    said = three("start", f"{three.script}:quick", "--id", "done-1")
    assert said.code == 9 and "in use" in said.error
    assert three("start", f"{three.script}:quick", "--id", "done-1", "--if-exists", "use").code == 0
    three("start", f"{three.script}:quick", "n=5", "--id", "done-1", "--if-exists", "new", "--tick")
    assert three("result", "done-1").out == "10\n"
    assert (three.home / "runs" / "done-1~2.jsonl").exists()
    assert three("archive", "done-1").code == 0
    assert away(three) == ["done-1.jsonl", "done-1~2.jsonl"]
    assert three("show", "done-1", "--json").json["instance"] == 2
    assert three("list", "--archived", "-o", "name").out == "done-1\n"


def test_what_is_sent_to_it_is_refused_or_late(three: Terminal) -> None:
    from dwf.core.messages import Message

    three("archive", "done-1")
    assert three("signal", "done-1", "go").code == 7
    store = Store.open(str(three.home))
    store.mailbox.post(Message(id="", run="done-1", kind="signal", name="go"))  # its sender had looked before
    assert three("tick").code == 0
    assert [letter.message.name for letter in store.mailbox.late("done-1")] == ["go"]
    assert not store.mailbox.names()


def test_an_open_run_is_never_moved(three: Terminal) -> None:
    said = three("archive", "open-1", "done-1")
    assert (said.code, said.out) == (7, "done-1\n")
    assert "open-1 stays: it has not ended" in said.err
    assert three.history("open-1").exists()
    assert three("archive", "--older-than", "0s", "-y").out == "done-2\n"


def test_what_was_posted_and_nobody_has_looked_at_keeps_it_here(three: Terminal) -> None:
    from dwf.core.messages import Message

    Store.open(str(three.home)).mailbox.post(Message(id="", run="done-1", kind="signal", name="go"))
    assert "no tick has looked at" in three("archive", "done-1").err
    three("tick")
    assert three("archive", "done-1").code == 0


def test_a_damaged_history_stays_for_people_to_see(three: Terminal) -> None:
    path = three.history("done-1")
    path.write_bytes(path.read_bytes()[:-3])
    assert "damaged" in three("archive", "done-1").err and path.exists()


def test_by_age_it_is_tried_dry_and_needs_a_yes(three: Terminal) -> None:
    assert three("archive", "--older-than", "30d", "-y").err == "0 archived; dwf list --archived\n"
    dry = three("archive", "--older-than", "0s", "--dry-run")
    assert sorted(dry.out.split()) == ["done-1", "done-2"] and "nothing was changed" in dry.err
    assert away(three) == []
    refused = three("archive", "--older-than", "0s")
    assert refused.code == 2 and "-y" in refused.hint and away(three) == []
    assert sorted(three("archive", "--older-than", "0s", "-y").out.split()) == ["done-1", "done-2"]
    assert three("archive", "--older-than", "0s", "-y").out == ""


@pytest.mark.parametrize(
    "words", [(), ("done-1", "--older-than", "1d"), ("--older-than", "soon"), ("--older-than", "-1d"), ("nobody",)]
)
def test_what_makes_no_sense_is_refused_in_one_line(three: Terminal, words: tuple[str, ...]) -> None:
    said = three("archive", *words)
    assert said.code == (4 if words == ("nobody",) else 2) and said.error and away(three) == []


def test_an_open_run_costs_nothing_more_for_what_is_archived(three: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose first instance is in runs/ has nothing in there, so nobody looks."""
    three("archive", "done-1")
    looked: list[str] = []
    monkeypatch.setattr("dwf.store.archive.months", lambda layout: looked.append("") or [])
    store = Store.open(str(three.home))
    assert store.latest_link("open-1") == 1
    assert store.history("open-1") == str(three.history("open-1"))
    three("signal", "open-1", "go")
    three("tick")
    assert looked == []


def test_what_an_archivist_left_half_done_is_told_once(three: Terminal) -> None:
    """Killed between the two names, it is still here; killed before its row went, it is there."""
    month = three.home / "archive" / "2026-01"
    month.mkdir(parents=True)
    Path(month, "done-1.jsonl").hardlink_to(three.history("done-1"))
    assert three("list", "--archived", "-o", "name").out == ""
    assert "done-1" in three("list", "-o", "name").out
    Store.open(str(three.home)).index.wake("done-1")
    three.history("done-1").unlink()
    assert three("list", "--archived", "-o", "name").out == "done-1\n"
    assert "done-1" not in three("list", "-o", "name").out
    assert three("count", "-o", "name").out == "2\n"

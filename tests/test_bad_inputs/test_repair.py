"""Damage in the middle of a history: nothing is repaired unasked, and never without saying what is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_bad_inputs.terminal import PLAIN, WAITS, Terminal, tree

BOOK = """
    import dwf

    @dwf.activity
    def pay(n: int) -> int:
        with open(LEDGER, "a") as file:
            file.write(f"{n}\\n")
        return n

    @dwf.workflow
    async def book() -> object:
        await pay(1)
        got = await dwf.wait_signal("go")
        await pay(2)
        return [got, await dwf.wait_signal("again")]
"""


@pytest.fixture
def damaged(dwf: Terminal) -> Terminal:
    """A run `one` with a byte flipped in the middle: behind it a signal was taken and a payment made."""
    ledger = dwf.where / "ledger"
    dwf.driven(BOOK.replace("LEDGER", repr(str(ledger))), "one")
    dwf.typed("signal", "one", "go", "1")
    dwf.tick()
    path = dwf.history("one")
    lines = path.read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if b'"SignalReceived"' in line)
    lines[at] = lines[at].replace(b'"go"', b'"no"')
    path.write_bytes(b"".join(lines))
    dwf.typed("tick")
    assert dwf.status("one") == "corrupt" and at == 5
    return dwf


def test_it_says_what_would_be_lost_and_changes_nothing(damaged: Terminal) -> None:
    before = tree(damaged.home)
    answer = damaged.typed("repair", "one").is_clean()
    assert answer.code == 0 and tree(damaged.home) == before
    assert "from line 6 on" in answer.out and "would run again: pay" in answer.out
    assert "dwf repair one --truncate-at 6 --i-know" in answer.err


def test_it_wants_the_line_and_the_knowledge_and_a_reason(damaged: Terminal) -> None:
    for code, words in [
        (2, ("--truncate-at", "6", "-m", "x")),
        (2, ("--truncate-at", "6", "--i-know")),
        (7, ("--truncate-at", "7", "--i-know", "-m", "x")),
        (7, ("--truncate-at", "1", "--i-know", "-m", "x")),
        (7, ("--truncate-at", "0", "--i-know", "-m", "x")),
        (7, ("--truncate-at", "99", "--i-know", "-m", "x")),
    ]:
        damaged.refuses(code, "repair", "one", *words)


def test_to_give_up_sound_lines_too_is_told_as_that(damaged: Terminal) -> None:
    before = damaged.state()
    answer = damaged.typed("repair", "one", "--truncate-at", "4")
    assert answer.code == 2 and damaged.state() == before
    assert "the damage begins in line 6: 2 lines are sound, and in them pay" in answer.error
    assert "1 line is sound" in damaged.typed("repair", "one", "--truncate-at", "5").error
    assert "sound" not in damaged.typed("repair", "one", "--truncate-at", "6").error
    assert "are sound" not in damaged.typed("repair", "one").out
    done = damaged.typed("repair", "one", "--truncate-at", "4", "--i-know", "-m", "start over", "--json")
    said = json.loads(done.out)
    assert (said["sound"], said["sound_did"], said["did"]) == (2, ["pay"], ["pay", "pay"])


def test_what_is_sound_goes_on_and_what_was_cut_is_kept_with_who_and_why(damaged: Terminal) -> None:
    path = damaged.history("one")
    whole = path.read_bytes()
    kept = b"".join(whole.splitlines(keepends=True)[:5])
    done = damaged.typed("repair", "one", "--truncate-at", "6", "--i-know", "-m", "no backup").is_clean()
    assert done.code == 0
    assert path.read_bytes().startswith(kept)
    (event,) = damaged.events("one", "HistoryRepaired")
    assert event["decided"]["reason"] == "no backup" and "uid" in event["decided"]["by"]
    (copy,) = Path(path.parent).glob("one.jsonl.broken-*")
    assert kept + copy.read_bytes() == whole
    assert "no backup" in damaged.typed("history", "one").out
    assert damaged.typed("verify", "one").code == 0
    damaged.tick()
    assert damaged.status("one") == "waiting"
    damaged.typed("signal", "one", "go", "2")
    damaged.typed("signal", "one", "again", "3")
    damaged.tick()
    assert damaged.typed("result", "one").out.replace(" ", "").replace("\n", "") == "[2,3]"
    assert (damaged.where / "ledger").read_text().split() == ["1", "2", "2"], "the promise: it may run again"


def test_a_sound_history_and_one_without_its_first_line_are_not_repaired(dwf: Terminal) -> None:
    dwf.driven(PLAIN, "good")
    assert "not damaged" in dwf.refuses(7, "repair", "good").error
    dwf.driven(WAITS, "bad")
    path = dwf.history("bad")
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert "backup" in dwf.refuses(7, "repair", "bad").hint


def test_a_run_that_somebody_works_on_is_not_repaired(damaged: Terminal) -> None:
    from dwf.store.room import Store

    store = Store.open(str(damaged.home))
    lock = store.locks.take("one")
    assert lock is not None
    with lock:
        damaged.refuses(75, "repair", "one", "--truncate-at", "6", "--i-know", "-m", "x")

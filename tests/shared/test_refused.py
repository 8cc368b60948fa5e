"""What a member is refused on his own side reaches the log of refusals, as his, and within bounds."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.shared.people import ALICE, BOB, STRANGER, Place
from tests.shared.test_members import POLICY

POST = """
import os, sys
from dwf.store.room import Store
store = Store.open(sys.argv[1], post=True)
for n in range(int(sys.argv[2])):
    store.mailbox.post_note(sys.argv[3].encode().replace(b"%d", str(n).encode()))
"""
NOTE = (
    '{"at":"2020-01-01T00:00:00.000000Z","verb":"approve","run":"r1","code":"not-permitted","exit":77,'
    '"message":"no %d","by":{"uid":4711,"login":"root"}}'
)


@pytest.fixture
def asked(place: Place) -> Place:
    """A run that asks, which ALICE may not answer."""
    policy = place.home / "policy.toml"
    policy.write_text(POLICY.format(alice=ALICE, bob=BOB))
    os.chown(policy, place.engine, -1)
    policy.chmod(0o644)
    place.start("asks", "r1")
    return place


def audit(place: Place) -> list[Any]:
    acts = json.loads(place.tick_("audit", "--json").out)["acts"]
    return [act for act in acts if act["outcome"] == "refused"]


def test_a_refusal_of_a_member_is_in_the_log_with_his_uid(asked: Place) -> None:
    assert asked.do(ALICE, "approve", "r1", "-m", "let me").code == 77
    assert audit(asked) == [] and len(asked.new()) == 1
    asked.tick()
    (act,) = audit(asked)
    assert (act["what"], act["run"], act["by"]["uid"], act["reason"]) == ("approve", "r1", ALICE, "let me")
    assert "may not approve" in act["why"] and "(77)" in act["why"]
    assert asked.new() == [] and asked.reasons() == []
    asked.tick()
    assert len(audit(asked)) == 1 and asked.status("r1") == "waiting"


def test_whose_it_is_and_when_says_the_kernel(asked: Place) -> None:
    assert asked.python(ALICE, POST, asked.home, 1, NOTE).code == 0
    asked.tick()
    (act,) = audit(asked)
    assert act["by"]["uid"] == ALICE and "login" not in act["by"] and not act["at"].startswith("2020")


def test_a_member_cannot_fill_the_log_and_one_line_says_so(asked: Place) -> None:
    assert asked.python(ALICE, POST, asked.home, 150, NOTE).code == 0
    assert asked.python(BOB, POST, asked.home, 1, NOTE).code == 0
    asked.tick()
    found = audit(asked)
    assert len(found) == 102 and asked.new() == []
    assert len([act for act in found if "more than 100" in act["why"]]) == 1
    assert asked.python(ALICE, POST, asked.home, 5, NOTE).code == 0
    asked.tick()
    assert len(audit(asked)) == 102, "nor by waiting for the next tick"


def test_what_is_no_note_is_put_aside_with_a_reason(asked: Place) -> None:
    for text in ("", "[]", '{"verb":"approve"}', "x" * 5000, NOTE.replace("77", '"77"')):
        assert asked.python(ALICE, POST, asked.home, 1, text).code == 0
    asked.tick()
    assert [act["what"] for act in audit(asked)] == ["mail"] * 5
    assert len(asked.reasons()) == 5 and asked.new() == []


def test_where_nothing_can_be_said_the_answer_is_the_same(asked: Place) -> None:
    (asked.home / "mail" / "tmp").chmod(0o700)
    said = asked.do(ALICE, "approve", "r1")
    assert said.code == 77 and "may not approve" in said.err and said.err.count("error:") == 1
    assert asked.do(STRANGER, "approve", "r1").code == 77
    assert asked.new() == []


def test_a_note_that_was_taken_over_by_a_tick_that_died_counts_once(asked: Place) -> None:
    assert asked.do(ALICE, "approve", "r1").code == 77
    (name,) = asked.new()
    note = asked.home / "mail" / "new" / name
    data = note.read_bytes()
    asked.tick()
    note.write_bytes(data)
    note.chmod(0o640)
    os.chown(note, ALICE, -1)
    asked.tick()
    assert len(audit(asked)) == 1 and asked.new() == []
    assert (asked.home / "audit.jsonl").read_bytes().count(b"\n") == 1

"""Late mail is bounded: the oldest goes, never that of an open run, and the log says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dwf.core.messages import SIGNAL, Message
from dwf.engine.audit import acts
from dwf.engine.late import bound_late
from dwf.store import refused
from tests.engine.house import ME, House

WAITS = "@dwf.workflow\nasync def main():\n    await dwf.wait_signal('go')\n"


@pytest.fixture
def few(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A state directory that keeps three late messages, with an open run "open" and one that is over, "over"."""
    monkeypatch.setattr(refused, "MOST", 3)
    for run in ("open", "over"):
        house.start(house.script(WAITS), run)
    house.tick()
    house.signal("go", run="over")
    house.tick()
    return house


def come_late(house: House, run: str, count: int, uid: int | None = None) -> list[str]:
    names = []
    for _ in range(count):
        message = Message(id="", run=run, nonce="gone", kind=SIGNAL, name="go", by=ME)
        names.append(house.store.mailbox.post(message))
        house.store.mailbox.to_late(names[-1])
        if uid is not None:
            os.chown(Path(house.store.layout.mail_late) / names[-1], uid, -1)
    return names


def kept(house: House) -> list[str]:
    return sorted(os.listdir(house.store.layout.mail_late))  # noqa: PTH208


def test_up_to_the_limit_nothing_is_removed(few: House) -> None:
    names = come_late(few, "over", 3)
    few.tick()
    assert kept(few) == names and acts(few.store, "over")[-1].outcome == "late"


def test_beyond_it_the_oldest_go_and_the_log_says_so(few: House) -> None:
    names = come_late(few, "over", 5)
    few.tick()
    assert kept(few) == names[2:]
    noted = [act for act in acts(few.store, "over") if act.what == "mail"]
    assert [act.why for act in noted] == ["2 late messages, the oldest, removed: more than 3 were kept (0)"]


def test_what_came_for_an_open_run_stays_however_old_it_is(few: House) -> None:
    asked, others = come_late(few, "open", 2), come_late(few, "over", 4)
    few.tick()
    assert kept(few) == sorted([*asked, others[-1]])


def test_an_index_that_is_lost_does_not_make_an_open_run_look_over(few: House) -> None:
    asked = come_late(few, "open", 2)
    come_late(few, "over", 4)
    few.store.index.forget("open")
    bound_late(few.store, few.clock())
    assert set(asked) < set(kept(few))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_who_has_most_loses_first(few: House) -> None:
    others = come_late(few, "over", 1, uid=61009)
    mine = come_late(few, "over", 4)
    few.tick()
    assert kept(few) == sorted([*others, *mine[2:]])


def test_one_user_cannot_fill_the_disk_by_way_of_an_open_run(few: House) -> None:
    names = come_late(few, "open", 5)
    few.tick()
    assert kept(few) == names[2:]

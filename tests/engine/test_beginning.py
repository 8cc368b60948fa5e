"""A signal that starts its run: one or the other, once, whatever else is going on."""

from __future__ import annotations

import threading

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.core.values import encode
from dwf.engine.beginning import signal_or_start
from dwf.engine.post import Posted
from dwf.engine.start import StartRequest, prepare
from dwf.errors import Conflict, UsageError
from tests.engine.house import ME, House

ALERT = """
@dwf.workflow
async def main(host: str = "web1", times: int = 2):
    return [host, *[await dwf.wait_signal("fired") for _ in range(times)]]

@dwf.workflow
async def long() -> int:
    return len(await dwf.wait_signal("fired"))

@dwf.workflow
async def other():
    return await dwf.wait_signal("fired")
"""


def fired(house: House, value: object = 1, key: str = "", workflow: str = "main", **words: str) -> Posted:
    asked = StartRequest(script=f"{house.script(ALERT)}:{workflow}", by=ME, values=words, run="r1", reason="pager")
    data = encode(value, "the payload")
    return signal_or_start(house.store, prepare(asked), "fired", data, key, house.clock)


def test_a_signal_to_a_run_that_is_not_there_makes_it_and_is_in_its_first_line(house: House) -> None:
    """Fails when the signal is not part of the start."""
    posted = fired(house, {"n": 1}, host="db1")
    assert posted.started and house.kinds() == ["WorkflowStarted"] and house.mail() == []
    (first,) = house.the(ev.WorkflowStarted).signals
    assert (first.name, bytes(first.payload), first.message) == ("fired", b'{"n":1}', posted.message)
    assert first.by == ME and first.reason == "pager" and first.posted
    fired(house, {"n": 2})
    house.tick()
    assert house.result() == ["db1", {"n": 1}, {"n": 2}]
    house.check()


def test_a_signal_to_a_run_that_is_open_is_posted_to_it(house: House) -> None:
    fired(house)
    house.tick()
    posted = fired(house, 2, host="another")
    assert not posted.started and len(house.mail()) == 1
    house.tick()
    assert house.result() == ["web1", 1, 2] and house.the(ev.SignalReceived).message == posted.message


def test_a_signal_to_a_run_that_is_over_makes_the_next_one_of_that_id(house: House) -> None:
    fired(house, times="1")
    house.tick()
    assert house.status() is Status.COMPLETED
    assert fired(house, 5, times="1").started
    house.tick()
    assert house.result() == ["web1", 5] and house.store.latest_link("r1") == 2


def test_the_same_key_does_nothing_also_when_its_run_is_over(house: House) -> None:
    """Fails when only open runs are asked whether they know a key."""
    first = fired(house, 1, "page-7", times="1")
    assert fired(house, 1, "page-7", times="1") == Posted(
        first.message, "r1", first.nonce, 'signal fired: a duplicate, "page-7" was there before', duplicate=True
    )
    house.tick()
    assert fired(house, 1, "page-7", times="1").duplicate
    with pytest.raises(Conflict, match="another signal or payload"):
        fired(house, 2, "page-7", times="1")
    house.tick()
    assert house.result() == ["web1", 1] and house.store.latest_link("r1") == 1


def test_a_signal_for_one_workflow_does_not_reach_another_of_that_id(house: House) -> None:
    fired(house)
    with pytest.raises(Conflict, match="belongs to another workflow: main"):
        fired(house, workflow="other")
    assert house.kinds() == ["WorkflowStarted"] and house.mail() == []


def test_a_name_that_is_none_starts_nothing(house: House) -> None:
    asked = StartRequest(script=f"{house.script(ALERT)}:main", by=ME, run="r1")
    with pytest.raises(UsageError, match="not a signal name"):
        signal_or_start(house.store, prepare(asked), "__init__", b"1")
    assert list(house.path.joinpath("home", "runs").glob("*.jsonl")) == []


def test_a_large_payload_is_kept_beside_the_history_and_arrives_whole(house: House) -> None:
    fired(house, "x" * 300_000, workflow="long")
    assert len(bytes(house.the(ev.WorkflowStarted).signals[0].payload)) < 1_000
    house.tick()
    assert house.result() == 300_000
    house.check()


def test_many_who_signal_at_once_make_one_run_and_lose_nothing(house: House) -> None:
    house.script(ALERT)
    asked = StartRequest(script=f"{house.path}/book.py:main", by=ME, values={"times": "12"}, run="r1")
    prepared = [prepare(asked) for _ in range(12)]
    done: list[Posted] = []

    def send(number: int) -> None:
        done.append(signal_or_start(house.store, prepared[number], "fired", str(number).encode()))

    threads = [threading.Thread(target=send, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [posted.started for posted in done].count(True) == 1
    house.tick()
    assert sorted(house.result()[1:]) == list(range(12))

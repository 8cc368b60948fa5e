"""Limits that runs share: so many at a time, so many in a while, one for each key; first come first served."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.flow import Limit
from dwf.core.state import Status
from dwf.engine import post
from dwf.engine.lists import summaries
from dwf.engine.queueing import in_line
from dwf.errors import ValueRefused
from dwf.host import this_process
from dwf.store.lines import Ticket
from dwf.store.slots import Slots
from tests.engine.dying import comes_to_its_end, each_death
from tests.engine.house import ME, House, in_thread, until

BOOK = """
    @dwf.activity({options})
    def call(n):
        note("call", n)
        return n

    @dwf.workflow
    async def main(n: int = 1):
        return await asyncio.gather(*(call(i) for i in range(n)))
"""
RATED = BOOK.format(options='limit=dwf.Limit("api", rate="2/min")')
CAPPED = BOOK.format(options='limit=dwf.Limit("api", at_once=1)')


def begin(house: House, run: str, text: str, **given: object) -> None:
    house.go(text, run=run, json_input=given)


def occupy(house: House, name: str = "api", run: str = "other") -> object:
    """Somebody else's slot."""
    with house.store.limits.line(name) as line:
        return house.store.limits.take(line, Ticket(100, 1, "n" * 16, 1, run))


def test_a_rate_is_a_number_of_starts_in_any_span(house: House) -> None:
    begin(house, "a", RATED, n=5)
    assert len(house.notes()) == 2
    assert house.status("a") is Status.RUNNING
    house.tick()
    assert len(house.notes()) == 2
    house.clock.advance("59s")
    house.tick()
    assert len(house.notes()) == 2
    house.clock.advance("2s")
    house.tick()
    assert len(house.notes()) == 4
    house.clock.advance("61s")
    house.tick()
    assert house.result("a") == [0, 1, 2, 3, 4]


def test_who_waits_for_a_rate_is_due_when_it_has_room_and_not_before(house: House) -> None:
    begin(house, "a", RATED, n=3)
    row = house.store.index.row("a")
    assert row is not None and row.due_at is not None
    assert 55_000_000 < row.due_at - house.clock() <= 60_100_000
    assert row.waiting == "api: 2/1m"
    assert row.status == "waiting"


def test_a_rate_is_shared_by_all_runs_and_the_others_wait_for_the_first(house: House) -> None:
    begin(house, "a", RATED, n=2)
    begin(house, "b", RATED)
    begin(house, "c", RATED)
    assert len(house.notes()) == 2
    rows = {run: house.store.index.row(run) for run in "bc"}
    assert rows["b"] is not None and rows["b"].due_at is not None
    assert rows["c"] is not None and rows["c"].due_at is None
    house.clock.advance("61s")
    house.tick()
    assert house.result("b") == house.result("c") == [0]


@pytest.mark.parametrize("away", ["-3h", "3h"])
def test_a_clock_that_was_set_neither_frees_nor_blocks_for_ever(house: House, away: str) -> None:
    begin(house, "a", RATED, n=2)
    begin(house, "b", RATED)
    if away.startswith("-"):
        house.clock.back("3h")
        house.store.index.wake("b")
        house.tick()
        assert len(house.notes()) == 2
        house.clock.advance("61s")
        house.store.index.wake("b")
    else:
        house.clock.advance("3h")
    house.tick()
    assert house.result("b") == [0]


def test_a_slot_that_somebody_holds_is_waited_for(house: House) -> None:
    slot = occupy(house)
    begin(house, "a", CAPPED)
    assert house.notes() == []
    row = house.store.index.row("a")
    assert row is not None and row.waiting == "a slot of api (1 of 1 held by other)"
    slot.release()  # type: ignore[attr-defined]
    house.clock.advance("2s")
    house.tick()
    assert house.result("a") == [0]


def test_never_more_at_once_than_there_are_slots_in_one_tick(house: House) -> None:
    begin(
        house,
        "a",
        """
        @dwf.activity(limit=dwf.Limit("api", at_once=2))
        def call(n):
            note("+")
            time.sleep(0.05)
            note("-")

        @dwf.workflow
        async def main():
            await asyncio.gather(*(call(i) for i in range(6)))
        """,
    )
    inside = peak = 0
    for line in house.notes():
        inside += 1 if line == "+" else -1
        peak = max(peak, inside)
    assert (peak, inside, len(house.notes())) == (2, 0, 12)


def test_of_a_key_one_step_runs_at_a_time_in_all_runs(house: House) -> None:
    text = BOOK.format(options="").replace("call(i) for", 'call.options(key="web1")(i) for')
    slot = occupy(house, "key:web1")
    begin(house, "a", text, n=3)
    assert house.notes() == []
    slot.release()  # type: ignore[attr-defined]
    house.clock.advance("2s")
    house.tick()
    assert house.result("a") == [0, 1, 2]


def test_who_waits_for_two_takes_neither_alone(house: House) -> None:
    """Fails when a slot is kept while another one is waited for: two who do so crosswise would never go on."""
    text = BOOK.format(options='limit=dwf.Limit("api", at_once=1), key="web1"')
    slot = occupy(house, "key:web1")
    begin(house, "a", text)
    assert house.store.limits.look("api") == []
    begin(house, "b", CAPPED)
    assert house.result("b") == [0]
    slot.release()  # type: ignore[attr-defined]
    house.clock.advance("2s")
    house.tick()
    assert house.result("a") == [0]


def test_slots_of_the_dead_are_free_and_those_of_living_processes_are_not(house: House) -> None:
    slot = occupy(house)
    slot.sign(this_process())  # type: ignore[attr-defined]
    slot.keep()  # type: ignore[attr-defined]
    begin(house, "a", CAPPED)
    assert house.notes() == []
    (held,) = [t for t in house.store.limits.look("api") if t.held]
    path = Path(house.store.layout.limits, "api", held.file)
    path.write_text(path.read_text().replace(str(os.getpid()), "999999"))
    house.clock.advance("2s")
    house.tick()
    assert house.result("a") == [0]


def test_the_kernel_frees_the_slot_of_who_is_killed(house: House) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from dwf.store.files import Disk; from dwf.store.slots import Slots; from dwf.store.lines import Ticket\n"
        "s = Slots(Disk(), sys.argv[1])\n"
        "with s.line('api') as line: slot = s.take(line, Ticket(100, 1, 'n' * 16, 1, 'other'))\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    limits = house.store.limits
    limits.begin()
    other = subprocess.Popen(
        [sys.executable, "-c", code, limits.root, str(Path(__file__).parents[2])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None and other.stdout.readline() == b"held\n"
    begin(house, "a", CAPPED)
    assert house.notes() == []
    other.send_signal(signal.SIGKILL)
    other.communicate()
    house.clock.advance("2s")
    house.tick()
    assert house.result("a") == [0]


def test_who_waits_for_a_slot_costs_an_idle_tick_one_replay_however_many_there_are(house: House) -> None:
    """Fails when every run that waits is due at each tick."""
    slot = occupy(house)
    path = house.script(CAPPED)
    for number in range(20):
        house.start(path, f"r{number}")
    for _ in range(2):  # they are taken up in any order, and who came before others has thought himself the first
        house.tick()
        house.clock.advance("2s")
    assert house.tick().driven == 1
    slot.release()  # type: ignore[attr-defined]
    house.clock.advance("2s")
    house.tick()
    assert len(house.notes()) == 20
    assert house.store.limits.names() == []


def test_a_run_that_is_cancelled_leaves_the_line_and_the_next_one_is_the_first(house: House) -> None:
    slot = occupy(house)
    begin(house, "a", CAPPED)
    begin(house, "b", CAPPED)
    post.cancel(house.store, "a", ME, "enough")
    house.tick()
    assert [t.run for t in house.store.limits.look("api") if not t.held] == ["b"]
    row = house.store.index.row("b")
    assert row is not None and row.due_at is not None
    slot.release()  # type: ignore[attr-defined]


def test_who_has_priority_overtakes(house: House) -> None:
    slot = occupy(house)
    begin(house, "batch", CAPPED)
    begin(house, "incident", CAPPED.replace("at_once=1)", "at_once=1), priority=50"))
    slot.release()  # type: ignore[attr-defined]
    house.clock.advance("2s")
    house.tick()
    ended = {run: house.the(ev.ActivityStarted, run).ts for run in ("batch", "incident")}
    assert ended["incident"] < ended["batch"]


def test_the_slot_of_a_step_that_outlives_its_dwf_stays_taken_and_is_taken_up(house: House) -> None:
    text = """
        @dwf.workflow
        async def main():
            await dwf.sh(script="sleep 50", orphan="adopt", limit=dwf.Limit("api", at_once=1))
    """
    house.start(house.script(text), "a")
    stop = threading.Event()
    ticking = in_thread(lambda: house.tick(stop=stop))
    until(lambda: "ActivityStarted" in house.kinds("a"))
    stop.set()
    ticking.join()
    house.start(house.script(CAPPED), "b")
    house.tick(only=["b"])
    assert house.notes() == []
    (held,) = [t for t in house.store.limits.look("api") if t.held]
    assert held.run == "a"
    ticking = in_thread(lambda: house.tick(only=["a"]))
    until(lambda: house.store.locks.holder("a") is not None)
    house.terminate("a")
    ticking.join()
    house.clock.advance("2s")
    house.tick()
    assert house.result("b") == [0]
    assert house.store.limits.names() == []


def test_a_queue_is_served_by_its_own_tick(house: House) -> None:
    text = BOOK.format(options='queue="slow"')
    house.start(house.script(text), "a")
    house.tick(queues=["default"])
    assert house.notes() == []
    house.tick(queues=["slow"])
    assert house.result("a") == [0]
    begin(house, "b", text)
    assert house.result("b") == [0]


def test_an_operators_number_wins_and_bounds_a_queue(house: House) -> None:
    house.store.limits.override("queue:default", (1, 0, 0))
    house.store.limits.override("api", (0, 1, 60_000_000))
    slot = occupy(house, "queue:default")
    begin(house, "a", BOOK.format(options=""))
    assert house.notes() == []
    slot.release()  # type: ignore[attr-defined]
    house.clock.advance("2s")
    house.tick()
    begin(house, "b", RATED, n=2)
    assert len(house.notes()) == 2
    house.store.limits.override("api", None)
    house.store.limits.override("queue:default", None)
    house.store.index.wake("b")
    house.tick()
    assert len(house.notes()) == 3


@pytest.mark.parametrize(
    "wrong", [{"rate": "30"}, {"rate": "0/s"}, {"rate": "3/0s"}, {"at_once": -1}, {"at_once": True}, {}, {"rate": 3}]
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueRefused):
        Limit("api", **wrong)  # type: ignore[arg-type]


def test_names_of_limits_are_any_text(tmp_path: Path, house: House) -> None:
    slots: Slots = house.store.limits
    for name in ("../x", "a b", "é"):
        with slots.line(name) as line:
            slots.take(line, Ticket(0, 1, "n", 1, "r")).release()
    assert slots.names() == []


def test_what_is_left_of_a_limit_is_tidied_away_when_it_counts_no_more(house: House) -> None:
    begin(house, "a", RATED)
    assert house.store.limits.names() == ["api"]
    house.clock.advance("61s")
    begin(house, "b", BOOK.format(options=""))
    assert house.store.limits.names() == []


def test_who_waits_is_told_for_what_and_behind_whom(house: House) -> None:
    slot = occupy(house)
    begin(house, "a", CAPPED)
    begin(house, "b", CAPPED)
    told = {row.run: (row.status.value, row.waiting) for row in summaries(house.store)}
    assert told["a"] == ("waiting", "api (1 at once), held by other")
    assert told["b"][0] == "waiting"
    (held_up,) = in_line(house.store, house.state("b")).values()
    assert held_up.words == "api (1 at once), held by other, 1 before it"
    slot.release()  # type: ignore[attr-defined]


def test_a_process_that_dies_anywhere_leaves_no_slot_and_no_line_behind(ram: Path) -> None:
    def begin(house: House) -> None:
        for run in "abc":
            house.start(house.script(CAPPED.replace("api", "api.v1")), run)

    def check(house: House) -> None:
        assert not comes_to_its_end(house, "abc") or house.store.limits.names() == []

    assert each_death(ram, begin, check) > 10


def test_who_waits_behind_one_that_is_gone_is_found_by_the_next_tick(house: House) -> None:
    """Fails when only the end of the one before makes a run the first of its line."""
    slot = occupy(house)
    with house.store.limits.line("api") as line:
        line.put(Ticket(100, 1, "m" * 16, 1, "moved-away"))
    begin(house, "a", CAPPED)
    slot.release()  # type: ignore[attr-defined]
    house.clock.advance("2s")
    house.tick()
    assert house.result("a") == [0]


def test_of_the_steps_of_a_run_the_higher_begin_first(house: House) -> None:
    text = BOOK.format(options="").replace("call(i) for", "call.options(priority=i)(i) for")
    house.start(house.script(text), "a", json_input={"n": 4})
    house.tick(jobs=1)
    assert house.notes() == [f"call {n}" for n in (3, 2, 1, 0)]

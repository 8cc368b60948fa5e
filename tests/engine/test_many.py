"""Many runs, many ticks: they share the work out and stand in nobody's way; damage to the index changes nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine import lists
from dwf.store.choice import Choice
from tests.engine.house import House, in_thread, until
from tests.engine.processes import begin_tick, finish

STEPS = """
@dwf.activity
def work(run: str, n: int) -> int:
    note(run, n)
    return n

@dwf.workflow
async def main(run: str):
    for n in range(3):
        await work(run, n)
    await dwf.sh(LEDGER, f"{run} shell", script='echo "$2" >> "$1"')
    await asyncio.gather(*(work(run, n) for n in range(3, 6)))
    return run
"""


def start_many(house: House, count: int, text: str = STEPS) -> None:
    path = house.script(text)
    for n in range(count):
        house.start(path, f"r{n}", json_input={"run": f"r{n}"})


def all_done(house: House, count: int) -> bool:
    return all(house.status(f"r{n}") is Status.COMPLETED for n in range(count))


def test_many_runs_are_driven_side_by_side_and_each_step_runs_once(house: House) -> None:
    start_many(house, 40)
    report = house.tick()
    assert all_done(house, 40) and report.driven >= 40
    assert len(house.notes()) == 40 * 7 and set(house.counted().values()) == {1}
    house.check()


def test_two_ticks_in_two_processes_run_each_step_once(house: House) -> None:
    """Fails when a lock that is held by another is taken all the same."""
    start_many(house, 50)
    ticks = [begin_tick(house.store.layout.home, wait=True) for _ in range(2)]
    for process in ticks:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    driven = [int(finish(process)[0]) for process in ticks]
    assert [process.returncode for process in ticks] == [0, 0]
    assert all_done(house, 50)
    assert set(house.counted().values()) == {1} and len(house.notes()) == 350
    assert all(event.attempt == 1 for n in range(50) for event in house.all(ev.ActivityStarted, f"r{n}"))
    assert sum(driven) >= 50
    house.check()


def test_a_tick_skips_what_another_one_works_on_and_ends(house: House) -> None:
    """Fails when a lock that is held by another is taken all the same."""
    house.start(house.script("@dwf.workflow\nasync def main():\n    await dwf.wait_signal('go')\n"))
    lock = house.store.locks.take("r1")
    assert lock is not None
    house.signal("go")
    began = time.monotonic()
    used = time.process_time()
    report = house.tick()
    assert (report.driven, report.errors) == (0, []) and time.monotonic() - began < 1.5
    assert time.process_time() - used < 0.5, "it asked again and again"
    assert len(house.mail()) == 1
    lock.release()
    house.tick()
    assert house.status() is Status.COMPLETED


def test_a_long_step_does_not_hold_up_another_run_s_approval(house: House) -> None:
    """Fails when a tick waits for what it drives before it looks again."""
    long = house.script("@dwf.workflow\nasync def main():\n    await dwf.sh('sleep', '5')\n", "long.py")
    asks = house.script("@dwf.workflow\nasync def main():\n    await dwf.approve('Go on?')\n", "asks.py")
    house.start(long, "long")
    house.start(asks, "asks")
    ticking = in_thread(house.tick)
    until(lambda: "ApprovalRequested" in house.kinds("asks") and "ActivityStarted" in house.kinds("long"))
    house.answer(True, run="asks")
    posted = time.monotonic()
    until(lambda: house.status("asks") is Status.COMPLETED, 4)
    assert time.monotonic() - posted < 2
    assert house.status("long") is Status.RUNNING
    house.terminate("long")
    ticking.join(4)
    assert house.status("long") is Status.TERMINATED


def test_what_is_started_while_a_tick_works_is_driven_by_that_tick(house: House) -> None:
    house.start(house.script("@dwf.workflow\nasync def main():\n    await dwf.sh('sleep', '2.5')\n", "long.py"), "long")
    ticking = in_thread(house.tick)
    until(lambda: "ActivityStarted" in house.kinds("long"))
    house.start(house.script("@dwf.workflow\nasync def main():\n    return 1\n"), "new")
    until(lambda: house.status("new") is Status.COMPLETED, 2)
    house.terminate("long")
    ticking.join(5)


def test_a_run_without_a_free_lane_is_taken_up_when_there_is_one(house: House) -> None:
    start_many(house, 4, "@dwf.workflow\nasync def main(run: str):\n    await dwf.sh('sleep', '0.2')\n")
    report = house.tick(jobs=1)
    assert all_done(house, 4) and report.errors == []


def test_runs_that_only_wait_are_served_while_all_lanes_are_taken(house: House) -> None:
    start_many(house, 2, "@dwf.workflow\nasync def main(run: str):\n    await dwf.sh('sleep', '3')\n")
    house.start(house.script("@dwf.workflow\nasync def main():\n    return await dwf.wait_signal('go')\n", "w.py"), "w")
    ticking = in_thread(lambda: house.tick(jobs=1))
    until(lambda: house.kinds("w")[-1] == "SignalWaitOpened")
    house.signal("go", 1, "w")
    until(lambda: house.status("w") is Status.COMPLETED, 2)
    for run in ("r0", "r1"):
        house.terminate(run)
    ticking.join(10)
    assert not ticking.is_alive()


def test_only_the_chosen_runs_are_driven(house: House) -> None:
    start_many(house, 3)
    house.tick(only={"r1"})
    assert [house.status(f"r{n}") for n in range(3)] == [Status.RUNNING, Status.COMPLETED, Status.RUNNING]


def test_a_chosen_run_is_driven_also_if_all_lanes_were_taken_and_the_index_is_gone(house: House) -> None:
    start_many(house, 3, "@dwf.workflow\nasync def main(run: str):\n    await dwf.sh('sleep', '0.1')\n")
    os.unlink(house.store.layout.index)  # noqa: PTH108
    house.tick(only={"r0", "r1", "r2"}, jobs=1)
    assert all_done(house, 3)


# -- the index --------------------------------------------------------------------------------------------------

WAITING = """
@dwf.activity
def work(word: str) -> None:
    note(word)

@dwf.workflow
async def main():
    await work("one")
    await dwf.sleep("1h")
    await work("two")
    await dwf.approve("Go on?")
    await work("three")
    return await dwf.wait_signal("go")
"""


def delete(path: Path) -> None:
    path.unlink(missing_ok=True)


def garbage(path: Path) -> None:
    delete(path)
    path.write_bytes(os.urandom(5000))


def empty(path: Path) -> None:
    delete(path)
    path.touch(0o600)


def directory(path: Path) -> None:
    delete(path)
    path.mkdir()


def nothing(path: Path) -> None:
    pass


@pytest.mark.parametrize("damage", [nothing, delete, garbage, empty, directory])
def test_damage_to_the_index_between_any_two_steps_changes_nothing(
    house: House, damage: Callable[[Path], None]
) -> None:
    """Fails when a tick asks an index that nobody has vouched for."""

    def hurt() -> None:
        house.store.index.close()
        for old in house.path.glob("home/index.sqlite.*"):
            if old.is_dir():
                old.rmdir()
        damage(Path(house.store.layout.index))
        house.reopen()

    house.clock.back("3h")  # so that an answer by the kernel's clock is younger than the question
    hurt()
    house.start(house.script(WAITING))
    hurt()
    house.tick()
    assert house.notes() == ["one"]
    hurt()
    house.tick()
    house.clock.advance("2h")
    hurt()
    house.tick()
    assert house.notes() == ["one", "two"]
    hurt()
    assert [need.kind for need in lists.inbox(house.store)] == ["APPROVE"]
    house.answer(True)
    hurt()
    house.tick()
    assert house.notes() == ["one", "two", "three"]
    hurt()
    assert [s.run for s in lists.summaries(house.store, Choice(open_only=True))] == ["r1"]
    house.signal("go", 1)
    hurt()
    house.tick()
    hurt()
    assert house.result() == 1
    assert [(s.run, s.status) for s in lists.summaries(house.store)] == [("r1", Status.COMPLETED)]
    house.tick()
    assert house.notes() == ["one", "two", "three"]
    house.check()


def test_an_index_of_another_boot_is_built_anew_by_the_tick(house: House) -> None:
    """What a power cut has taken from it belongs to that boot: nothing of it is believed."""
    from dwf.store.index import Index

    house.go(WAITING)
    assert house.store.index.trusted()
    house.clock.advance("2h")
    other = Index(house.store.disk, house.store.layout, boot="another boot")
    assert not other.trusted()
    other.forget("r1")  # as if the row had never reached the disk
    house.store.index.close()
    house.store.index = other
    house.tick()
    assert house.notes() == ["one", "two"] and house.store.index.trusted()


def test_the_index_is_damaged_while_a_tick_works(house: House) -> None:
    """Where it goes again and again that tick may give a run up for this time; the next one has it."""
    start_many(house, 20)
    stop = time.monotonic() + 10
    ticking = in_thread(house.try_tick)
    while ticking.is_alive() and time.monotonic() < stop:
        Path(house.store.layout.index).unlink(missing_ok=True)
        time.sleep(0.01)
    ticking.join(10)
    house.reopen()
    house.tick()
    assert all_done(house, 20) and set(house.counted().values()) == {1}


def test_lists_from_the_index_and_from_the_files_are_the_same(house: House) -> None:
    start_many(house, 3)
    house.start(house.script(WAITING), "w")
    house.tick()
    listed = lists.summaries(house.store)
    house.store.index.close()
    Path(house.store.layout.index).unlink()
    house.reopen()
    assert lists.summaries(house.store) == listed


def test_what_dead_makers_left_is_finished_and_tidied_away_by_a_tick(house: House) -> None:
    house.go(WAITING)
    path = house.view().path
    Path(house.store.layout.intents, "00ff00ff00ff00ff.r1.jsonl").hardlink_to(path)
    Path(house.store.layout.intents, "00ff00ff00ff00fe.r2.jsonl").write_text("half a li")
    Path(house.store.layout.locks, "r1.lock").write_text("pid=1")
    for place in ("intents", "locks"):
        for leftover in Path(getattr(house.store.layout, place)).iterdir():
            leftover.chmod(0o600)
    house.store.index.wake("r1")
    house.tick()
    house.check()
    assert [s.run for s in lists.summaries(house.store)] == ["r1"]


@pytest.mark.parametrize("what", ["fifo", "directory", "symlink", "text", "foreign"])
def test_strange_things_in_the_mailbox_are_set_aside_and_stop_nothing(house: House, what: str) -> None:
    house.go(WAITING)
    name = "00064c2a1b2c3d4e.0011223344556677.r1"
    path = Path(house.store.layout.mail_new, name)
    match what:
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "symlink":
            path.symlink_to("/etc/passwd")
        case "text":
            path.write_text("{")
            path.chmod(0o600)
        case "foreign":
            path = path.with_name("notes.txt")
            path.write_text("hello")
    house.clock.advance("2h")
    report = house.tick()
    assert report.errors == [] and house.notes() == ["one", "two"]
    assert house.mail() == [] and len(house.store.mailbox.bad()) == 1

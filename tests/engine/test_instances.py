"""Ids: one open run each; the next instance of an id has nothing to do with what the one before left behind."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine import start as start_module
from dwf.errors import Busy, Conflict, UsageError
from dwf.store.files import Disk
from dwf.store.history import Reading
from tests.engine.house import House, in_thread, until

BOOK = """
@dwf.activity
def work(n: int) -> int:
    note("work", n, dwf.activity_info().idempotency_key())
    return n

@dwf.workflow
async def main(n: int = 1):
    await work(n)
    return await dwf.wait_signal("go")
"""


def book(house: House) -> str:
    return house.script(BOOK)


def test_an_id_in_use_is_refused_with_what_differs(house: House) -> None:
    house.start(book(house))
    with pytest.raises(Conflict, match="in use: that run is running"):
        house.start(book(house))
    with pytest.raises(Conflict, match="another input"):
        house.start(book(house), json_input={"n": 2})
    assert house.kinds() == ["WorkflowStarted"]


def test_use_answers_with_the_run_that_is_there_if_it_is_the_same(house: House) -> None:
    """Fails when a start that is typed again is not answered with the run that is there."""
    first = house.start(book(house))
    again = house.start(book(house), if_exists="use")
    assert again.nonce == first.nonce and not again.created
    with pytest.raises(Conflict):
        house.start(book(house), json_input={"n": 2}, if_exists="use")


def test_use_knows_a_large_input_again(house: House) -> None:
    path = house.script("@dwf.workflow\nasync def main(text: str):\n    return len(text)\n")
    large = "x" * 300_000
    house.start(path, json_input={"text": large})
    assert not house.start(path, json_input={"text": large}, if_exists="use").created
    house.tick()
    assert house.result() == 300_000


def test_new_needs_the_one_before_to_be_closed(house: House) -> None:
    house.start(book(house))
    with pytest.raises(Conflict):
        house.start(book(house), if_exists="new")
    house.signal("go", 1)
    house.tick()
    assert house.result() == 1
    second = house.start(book(house), if_exists="new")
    assert second.created
    house.tick()
    assert house.view().link == 2 and house.status() is Status.WAITING
    house.signal("go", 2)
    house.tick()
    assert house.result() == 2
    assert house.notes() == ["work 1 r1:1", "work 1 r1~2:1"]
    house.check()


def test_the_output_of_two_instances_lies_apart(house: House) -> None:
    text = "@dwf.workflow\nasync def main(n: int):\n    print('said', n)\n    await dwf.sh('echo', n)\n"
    for n in (1, 2):
        house.start(house.script(text), json_input={"n": n}, if_exists="new")
        house.tick()
    assert "said 1" in house.log() and "said 2" in house.log(link=2) and "said 2" not in house.log()
    assert house.store.outputs.read("r1", "1.1.out") == b"1\n"
    assert house.store.outputs.read("r1", "1.1.out", 2) == b"2\n"


def test_terminate_ends_the_open_one_and_makes_another(house: House) -> None:
    house.start(book(house))
    house.tick()
    house.start(book(house), if_exists="terminate", reason="again")
    assert house.view().link == 2
    house.tick()
    assert house.status() is Status.WAITING
    first = Path(house.store.layout.history_path("r1", 1)).read_text()
    assert '"WorkflowTerminated"' in first and "replaced: again" in first


def test_terminate_makes_another_if_the_one_before_is_closed_anyway(house: House) -> None:
    house.go("@dwf.workflow\nasync def main():\n    return 1\n")
    assert house.start(house.script("@dwf.workflow\nasync def main():\n    return 2\n"), if_exists="terminate").created
    house.tick()
    assert house.result() == 2


def test_an_instance_does_not_get_the_late_results_of_the_one_before(house: House) -> None:
    """Numbers of commands begin again at 1: a result is told apart by the drive that it belongs to."""
    house.start(
        house.script(
            """
            @dwf.activity
            def slow(word: str) -> str:
                note("in", word)
                while not os.path.exists(LEDGER + "." + word):
                    time.sleep(0.001)
                return word

            @dwf.workflow
            async def main(word: str):
                other = asyncio.create_task(dwf.wait_signal("never"))
                return await slow(word)
            """
        ),
        json_input={"word": "old"},
    )
    ticking = in_thread(house.tick)
    until(lambda: house.notes() == ["in old"])
    starting: list[object] = []

    def start() -> None:
        try:
            starting.append(house.start(str(house.path / "book.py"), json_input={"word": "new"}, if_exists="terminate"))
        except Busy as busy:
            starting.append(busy)

    beside = in_thread(start)
    beside.join(10)
    assert isinstance(starting[0], Busy), "the old one still works on a step that cannot be ended"
    (house.path / "ledger.old").touch()
    ticking.join(10)
    assert house.status() is Status.TERMINATED
    house.start(str(house.path / "book.py"), json_input={"word": "new"}, if_exists="terminate")
    (house.path / "ledger.new").touch()
    house.tick()
    assert house.result() == "new"


def test_many_starts_of_one_id_at_once_make_one_run(house: House) -> None:
    path, made, refused = book(house), [], []
    gate = threading.Barrier(6)

    def start() -> None:
        gate.wait()
        try:
            made.append(house.start(path))
        except Conflict as error:
            refused.append(error)

    threads = [in_thread(start) for _ in range(6)]
    for thread in threads:
        thread.join(20)
    assert (len(made), len(refused)) == (1, 5)
    assert house.state().head.nonce == made[0].nonce
    house.check()


def test_many_new_instances_at_once_make_one_while_ticks_run(house: House) -> None:
    house.go("@dwf.workflow\nasync def main():\n    return 1\n")
    path, made = house.script("@dwf.workflow\nasync def main():\n    return await dwf.wait_signal('go')\n"), []

    def start() -> None:
        try:
            made.append(house.start(path, if_exists="new"))
        except Conflict:
            pass

    threads = [in_thread(start) for _ in range(4)] + [in_thread(house.tick)]
    for thread in threads:
        thread.join(20)
    house.tick()
    assert len(made) == 1 and house.view().link == 2
    assert house.status() is Status.WAITING


def test_a_new_instance_is_made_under_the_lock_of_its_id(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when a new instance is made without the lock of the id."""
    monkeypatch.setattr(start_module, "_LOCK_SECONDS", 0.05)
    house.go("@dwf.workflow\nasync def main():\n    return 1\n")
    lock = house.store.locks.take("r1")
    assert lock is not None
    with lock, pytest.raises(Busy):
        house.start(house.script("@dwf.workflow\nasync def main():\n    return 2\n"), if_exists="new")
    assert house.view().link == 1


def test_a_new_instance_follows_the_one_that_was_found_closed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one start looks at the closed instance, another makes the next: it is open, and is not passed over."""
    house.go("@dwf.workflow\nasync def main():\n    return 1\n")
    path = house.script("@dwf.workflow\nasync def main():\n    return await dwf.wait_signal('go')\n")
    believe, begun = start_module.believe_history, []

    def overtaken(disk: Disk, history: str) -> Reading:
        reading = believe(disk, history)
        if not begun:
            begun.append(True)
            house.start(path, if_exists="new")
        return reading

    monkeypatch.setattr(start_module, "believe_history", overtaken)
    with pytest.raises(Conflict, match="that run is running"):
        house.start(path, if_exists="new")
    assert house.view().link == 2


def test_an_id_is_made_up_from_the_workflow_if_none_is_given(house: House) -> None:
    started = house.start(book(house), run=None)
    assert started.run.startswith("main-") and house.status(started.run) is Status.RUNNING


@pytest.mark.parametrize("run", ["", ".", "..", "a/b", "../x", "/etc/x", "a~2", "-x", "a\nb", "x" * 129, "é"])
def test_a_bad_id_is_refused_before_anything_is_made(house: House, run: str) -> None:
    with pytest.raises(UsageError):
        house.start(book(house), run)
    assert list(Path(house.store.layout.runs).glob("*.jsonl")) == []


def test_the_end_of_an_instance_says_what_was_open(house: House) -> None:
    house.start(book(house))
    house.tick()
    house.terminate()
    house.tick()
    assert house.the(ev.WorkflowTerminated).open == [2]

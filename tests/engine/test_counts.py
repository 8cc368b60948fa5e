"""What things cost, counted: syncs, questions to the index, files touched. No clock is looked at, so none can be slow.

A count that grows with what is not concerned is a mistake, however fast it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dwf.store import indexfile
from dwf.store.index import Index
from dwf.store.layout import Layout
from dwf.store.row import Row
from tests.engine.house import House
from tests.faults import FaultyDisk

ROOT = Path(__file__).parents[2]
SCRIPT = """
@dwf.activity
def work(n: int) -> int:
    return n

@dwf.workflow
async def sequence(n: int):
    for i in range(n):
        await work(i)

@dwf.workflow
async def fan_out(n: int):
    await asyncio.gather(*(work(i) for i in range(n)))

@dwf.workflow
async def one(n: int):
    return await work(n)

@dwf.workflow
async def children(n: int):
    for i in range(n):
        await one(i)

@dwf.workflow
async def listens(n: int = 0):
    return await work(await dwf.wait_signal("go"))
"""


def syncs_of(house: House, workflow: str, number: int) -> int:
    """Syncs of the history of a run with so many steps, in the tick that drives it to its end."""
    script, run = house.script(SCRIPT), f"{workflow}-{number}"
    house.start(f"{script}:{workflow}", run, json_input={"n": number})
    disk = FaultyDisk()
    house.reopen(disk)
    house.tick()
    assert house.kinds(run)[-1] == "WorkflowCompleted"
    return Counter(call.operation for call in disk.calls if call.path.endswith(f"{run}.jsonl"))["fdatasync"]


def test_a_step_costs_exactly_one_sync(house: House) -> None:
    assert syncs_of(house, "sequence", 30) - syncs_of(house, "sequence", 10) == 20


def all_syncs_of(house: House, workflow: str, number: int) -> int:
    """Every sync, of whatever, from the start of a run to its end."""
    disk = FaultyDisk()
    house.reopen(disk)
    run = f"{workflow}-{number}"
    house.start(f"{house.script(SCRIPT)}:{workflow}", run, json_input={"n": number})
    house.tick()
    assert house.kinds(run)[-1] == "WorkflowCompleted"
    return sum(call.operation in ("fdatasync", "fsync", "fsync_dir") for call in disk.calls)


def test_a_child_costs_two_syncs_more_than_its_own_run_and_a_step_of_its_parent(house: House) -> None:
    """Those two bring its file and its name to disk; no name is brought there twice, no file is opened in doubt."""
    its_own = syncs_of(house, "one", 1)
    a_step = (all_syncs_of(house, "sequence", 21) - all_syncs_of(house, "sequence", 11)) / 10
    a_child = (all_syncs_of(house, "children", 21) - all_syncs_of(house, "children", 11)) / 10
    assert (its_own, a_step, a_child) == (2, 1, 2 + 1 + 2)


def test_steps_that_are_asked_for_together_share_their_syncs(house: House) -> None:
    assert syncs_of(house, "fan_out", 200) <= 60


# -- the index --------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that SQLite is given, by its first words."""
    statements: list[str] = []
    real = indexfile.open_index

    def opened(path: str) -> tuple[Any, tuple[int, int]]:
        connection, inode = real(path)
        connection.set_trace_callback(lambda text: statements.append(" ".join(text.split()[:2])))
        return connection, inode

    monkeypatch.setattr(indexfile, "open_index", opened)
    return statements


def many_waiting(house: House, number: int) -> None:
    house.store.index.insert_new(
        *(Row(f"row-{n}", "0" * 16, 1, "listens", status="waiting", due_at=None, started_us=n) for n in range(number))
    )
    house.store.index.close()


@pytest.mark.parametrize("number", [0, 3000])
def test_an_idle_tick_asks_the_index_one_question_and_notes_that_it_was_here(
    house: House, asked: list[str], number: int
) -> None:
    from dwf.cli.idle import nothing_to_do

    house.tick()
    many_waiting(house, number)
    asked.clear()
    assert nothing_to_do(["--home", house.store.layout.home, "tick"])
    assert asked == ["SELECT schema", "PRAGMA journal_mode", "PRAGMA synchronous", "INSERT INTO"]


def test_a_signal_costs_as_many_questions_however_many_others_wait(house: House, asked: list[str]) -> None:
    counts = []
    for number in (0, 3000):
        script = house.script(SCRIPT)
        run = f"one-{number}"
        house.start(f"{script}:listens", run)
        many_waiting(house, number)
        house.tick()
        house.signal("go", 1, run)
        asked.clear()
        house.tick()
        assert house.kinds(run)[-1] == "WorkflowCompleted"
        counts.append(len(asked))
    # One look more or less: whether a round falls between a run's end and its being noticed is chance.
    assert abs(counts[0] - counts[1]) <= 12 and max(counts) < 40, counts


# -- the files --------------------------------------------------------------------------------------------------

HOOKED = """
import json, sys
seen = []
NAMES = {{"open", "os.listdir", "os.scandir", "os.link", "os.rename", "os.remove"}}
sys.addaudithook(lambda name, args: seen.append([name, str(args[0])]) if name in NAMES else None)
import os
leave = os._exit
def tell(code):
    os.write(1, json.dumps(seen).encode())
    leave(code)
os._exit = tell
sys.argv = ["dwf", *{words!r}]
from dwf.__main__ import main
main()
"""


def touched(home: str, *words: str) -> list[tuple[str, str]]:
    """What a command opens, lists and changes below the state directory, in order."""
    done = subprocess.run(
        [sys.executable, "-c", HOOKED.format(words=words)],
        env={"PYTHONPATH": str(ROOT), "DWF_HOME": home, "LANG": "C.UTF-8", "PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
    )
    seen = json.loads(done.stdout[done.stdout.index(b"[[") :])
    return [(name, path.removeprefix(home + "/")) for name, path in seen if path.startswith(home + "/")]


def test_an_idle_tick_touches_the_same_few_files_however_many_runs_wait(house: House) -> None:
    script = house.script(SCRIPT)
    for n in range(20):
        house.start(f"{script}:listens", f"w-{n}")
    house.tick()
    many_waiting(house, 0)
    home = house.store.layout.home
    few = touched(home, "tick")
    looked = [("os.listdir", "mail/new"), ("os.listdir", "runs/.tmp"), ("os.listdir", "untold")]
    assert sorted(few) == [("open", "machine"), *looked]
    many_waiting(house, 3000)
    assert touched(home, "tick") == few


def test_a_tick_for_one_signal_opens_one_history_and_lists_no_directory_of_runs(house: House) -> None:
    script = house.script(SCRIPT)
    for n in range(20):
        house.start(f"{script}:listens", f"w-{n}")
    house.tick()
    house.signal("go", 5, "w-7")
    house.store.index.close()
    seen = touched(house.store.layout.home, "tick")
    histories = {path for _, path in seen if path.startswith("runs/") and ".jsonl" in path}
    assert {path.removesuffix(".torn") for path in histories} == {"runs/w-7.jsonl"}
    assert not [path for name, path in seen if name in ("os.listdir", "os.scandir") and path == "runs"]
    assert house.kinds("w-7")[-1] == "WorkflowCompleted"


def test_lists_and_a_tab_open_no_history_that_they_do_not_show(house: House) -> None:
    script = house.script(SCRIPT)
    for n in range(5):
        house.start(f"{script}:listens", f"w-{n}")
    house.tick()
    house.store.index.close()
    home = house.store.layout.home
    for words in (("count",), ("__complete", "runs", "w"), ("list", "--status", "failed")):
        assert not [path for _, path in touched(home, *words) if path.startswith("runs")], words
    shown = {path for _, path in touched(home, "list", "-n", "2") if path.startswith("runs/")}
    assert len(shown) <= 3  # one more is asked for, to know whether there are more


def test_a_waiting_run_is_one_small_file_and_no_process(house: House) -> None:
    before = sorted(str(path) for path in Path(house.store.layout.home).rglob("*"))
    script = house.script(SCRIPT)
    house.start(f"{script}:listens", "w-1")
    house.tick()
    house.start(f"{script}:listens", "w-2")
    middle = sorted(str(path) for path in Path(house.store.layout.home).rglob("*"))
    house.tick()
    after = sorted(str(path) for path in Path(house.store.layout.home).rglob("*"))
    assert len(after) - len(middle) == 0 and len(middle) > len(before)
    assert Path(house.store.layout.history_path("w-2")).stat().st_size < 1000
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    assert not [pid for pid in children if b"w-2" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_the_index_is_opened_once_a_command(house: House, asked: list[str]) -> None:
    house.tick()
    layout = Layout(house.store.layout.home)
    index = Index(house.store.disk, layout)
    index.ids("a", 5)
    assert asked[-2:] == ["SELECT schema", "SELECT run"]

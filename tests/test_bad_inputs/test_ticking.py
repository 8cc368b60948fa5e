"""Ticks: idle, beside each other, told to stop, killed."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from dwf.engine import post
from dwf.engine.identity import sender
from dwf.store.room import Store
from tests.test_bad_inputs.terminal import PLAIN, WAITS, Answer, Terminal, tree, until

LONG = """
    import dwf

    @dwf.workflow
    async def long(where: str, attempts: int = 3) -> str:
        script = 'echo $$ >> "$1/pids"; sleep 600 & echo $! >> "$1/pids"; while [ ! -e "$1/go" ]; do sleep 0.01; done'
        retry = dwf.Retry(max_attempts=attempts)
        await dwf.sh(where, script=script + "; echo done >> $1/done", retry=retry, grace="1s")
        return "done"
"""


def _pids(where: Path) -> list[int]:
    path = where / "pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


# -- nothing to do ----------------------------------------------------------------------------------------------


def test_a_tick_without_a_state_directory_is_silent_and_makes_none(dwf: Terminal) -> None:
    assert dwf.process("tick") == Answer(0, "", "")
    assert dwf.typed("tick") == Answer(0, "", "")
    assert not dwf.home.exists()


def test_a_tick_with_nothing_to_do_is_silent_and_changes_no_history(dwf: Terminal) -> None:
    dwf.start(WAITS, "one")
    assert dwf.tick() == Answer(0, "", "")
    before = {path: data for path, data in tree(dwf.home).items() if not path.startswith("index.sqlite")}
    assert dwf.process("tick") == Answer(0, "", "")
    assert dwf.process("tick", "--jobs", "2", "-q", env={"PATH": "/bin", **dwf.process_environ()}) == Answer(0, "", "")
    assert dwf.tick() == Answer(0, "", "")
    assert {path: data for path, data in tree(dwf.home).items() if not path.startswith("index.sqlite")} == before


@pytest.mark.parametrize(
    "words",
    [["--jobs", "0"], ["--jobs", "-1"], ["--jobs", "many"], ["--jobs", "1.5"], ["--max-seconds", "-1"],
     ["--max-seconds", "soon"], ["--job"], ["now"], ["--jobs"]],
)  # fmt: skip
def test_words_that_a_tick_does_not_know_are_refused(dwf: Terminal, words: list[str]) -> None:
    dwf.start(PLAIN, "one")
    dwf.refuses(2, "tick", *words)


def test_bad_words_are_refused_also_when_there_is_nothing_to_do(dwf: Terminal) -> None:
    dwf.refuses_process(2, "tick", "--jobs", "0")
    dwf.refuses_process(2, "tick", "--home", "")


# -- beside each other ------------------------------------------------------------------------------------------


def test_a_tick_beside_another_skips_what_is_locked_and_is_silent(dwf: Terminal) -> None:
    dwf.start(LONG, "one", f"where={dwf.where}")
    first = dwf.spawn("tick")
    until(lambda: _pids(dwf.where))
    began = time.monotonic()
    assert dwf.tick() == Answer(0, "", "")
    assert dwf.typed("verify").code == 0
    assert time.monotonic() - began < 5
    (dwf.where / "go").touch()
    assert first.communicate(timeout=30) == (b"", b"")
    assert first.returncode == 0
    assert (dwf.where / "done").read_text() == "done\n"
    assert dwf.status("one") == "completed"
    _end_children(dwf)


def test_while_a_long_step_runs_others_are_driven_by_the_same_tick(dwf: Terminal) -> None:
    dwf.start(LONG, "one", f"where={dwf.where}")
    first = dwf.spawn("tick")
    until(lambda: _pids(dwf.where))
    dwf.start(PLAIN, "two")
    until(lambda: dwf.status("two") == "completed")
    (dwf.where / "go").touch()
    first.communicate(timeout=30)
    assert first.returncode == 0
    _end_children(dwf)


def test_many_ticks_at_once_are_as_good_as_one(dwf: Terminal) -> None:
    script = dwf.script("""
        import dwf

        @dwf.activity
        def note(path: str) -> None:
            with open(path, "a") as file:
                file.write("x")

        @dwf.workflow
        async def noting(path: str) -> None:
            for _ in range(3):
                await note(path)
    """)
    for number in range(5):
        assert dwf.typed("start", script, f"path={dwf.where}/{number}", "--id", f"run{number}").code == 0
    ticks = [dwf.spawn("tick") for _ in range(4)]
    assert [(tick.communicate(timeout=60), tick.returncode) for tick in ticks] == [((b"", b""), 0)] * 4
    for number in range(5):
        assert dwf.status(f"run{number}") == "completed"
        assert (dwf.where / str(number)).read_text() == "xxx"


# -- told to stop -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_the_step_and_the_tick_and_loses_nothing(dwf: Terminal, number: signal.Signals) -> None:
    dwf.start(LONG, "one", f"where={dwf.where}")
    tick = dwf.spawn("tick")
    until(lambda: len(_pids(dwf.where)) == 2)
    tick.send_signal(number)
    out, err = tick.communicate(timeout=30)
    assert (tick.returncode, out) == (128 + number, b"")
    assert b"Traceback" not in err
    assert not [pid for pid in _pids(dwf.where) if _alive(pid)], "a process of the step is left"
    assert not list((dwf.home / "locks").iterdir()), "a lock is left"
    assert dwf.status("one") in ("running", "waiting")
    (failed,) = dwf.events("one", "ActivityAttemptFailed")
    assert failed["error"]["type"] == "Interrupted"
    (dwf.where / "go").touch()
    dwf.tick()
    assert dwf.status("one") == "completed"
    _end_children(dwf)


def test_a_step_that_is_tried_once_is_unknown_after_a_signal_and_not_run_again(dwf: Terminal) -> None:
    dwf.start(LONG, "one", f"where={dwf.where}", "attempts=1")
    tick = dwf.spawn("tick")
    until(lambda: len(_pids(dwf.where)) == 2)
    tick.terminate()
    tick.communicate(timeout=30)
    assert tick.returncode == 143
    dwf.tick(code=None)
    assert dwf.status("one") == "failed"
    assert "unknown" in dwf.events("one", "WorkflowFailed")[0]["error"]["message"]
    assert len(_pids(dwf.where)) == 2


def test_a_second_signal_ends_a_tick_whose_step_will_not_go(dwf: Terminal) -> None:
    dwf.start("""
        import dwf

        @dwf.workflow
        async def deaf(where: str) -> None:
            await dwf.sh(
                where,
                script='trap "" TERM; echo $$ > "$1/pids"; while :; do sleep 0.05; done',
                grace="600s",
                retry=dwf.Retry(max_attempts=1),
            )
    """, "one", f"where={dwf.where}")  # fmt: skip
    tick = dwf.spawn("tick")
    until(lambda: _pids(dwf.where))
    tick.terminate()
    time.sleep(0.2)
    assert tick.poll() is None, "it did not wait for its step"
    tick.terminate()
    tick.communicate(timeout=30)
    assert tick.returncode == 143
    (pid,) = _pids(dwf.where)
    os.killpg(pid, signal.SIGKILL)
    until(lambda: not _alive(pid))
    dwf.tick(code=None)
    assert dwf.status("one") == "failed"


def test_ctrl_c_leaves_a_run_that_was_driven_here_to_the_next_tick(dwf: Terminal) -> None:
    # Without a time limit it would leave by itself: there is nobody here to send a signal.
    limited = WAITS.replace("wait_signal(name)", 'wait_signal(name, timeout="1h")')
    process = dwf.spawn("run", dwf.script(limited), "--id", "one")
    until(lambda: dwf.history("one").exists() and dwf.events("one", "SignalWaitOpened"))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err and b"next tick" in err
    dwf.typed("signal", "one", "go", "1")
    dwf.tick()
    assert dwf.status("one") == "completed"


# -- killed -----------------------------------------------------------------------------------------------------


def test_a_tick_that_is_killed_in_a_step_leaves_nothing_that_runs_beside_the_next(dwf: Terminal) -> None:
    dwf.start(LONG, "one", f"where={dwf.where}")
    tick = dwf.spawn("tick")
    until(lambda: len(_pids(dwf.where)) == 2)
    tick.kill()
    tick.communicate()
    first = _pids(dwf.where)
    (dwf.where / "go").touch()
    dwf.tick()
    assert not [pid for pid in first if _alive(pid)], "what the killed tick had started still runs"
    assert dwf.status("one") == "completed"
    assert len(dwf.events("one", "ActivityStarted")) == 2
    assert len(dwf.events("one", "ActivityCompleted")) == 1
    _end_children(dwf)


COUNTS = """
    import dwf

    @dwf.activity
    def note(path: str, n: int) -> int:
        with open(path, "a") as file:
            file.write(f"{n}\\n")
        return n

    @dwf.workflow
    async def counts(path: str) -> int:
        total = 0
        for n in range(40):
            total += await note(path, n)
        return total
"""


def test_ticks_that_are_killed_anywhere_lose_and_repeat_nothing_that_is_recorded(dwf: Terminal) -> None:
    ledger = dwf.where / "ledger"
    dwf.start(COUNTS, "one", f"path={ledger}")
    size = dwf.history("one").stat().st_size
    for more in (1, 700, 5000, 9000):
        tick = dwf.spawn("tick")
        while dwf.history("one").stat().st_size < size + more and tick.poll() is None:
            time.sleep(0.001)
        tick.kill()
        tick.communicate()
        before = dwf.history("one").read_bytes()
        assert dwf.typed("verify").code == 0
        assert dwf.typed("show", "one").is_clean().code == 0
        assert dwf.history("one").read_bytes() == before, "a reader changed the history"
        size = len(before)
    dwf.tick()
    assert dwf.typed("result", "one").out == f"{sum(range(40))}\n"
    done = [int(line) for line in ledger.read_text().split()]
    assert sorted(set(done)) == list(range(40))
    assert done == sorted(done) and len(done) <= 44, "a step was run again after it was recorded"
    assert len(dwf.events("one", "ActivityCompleted")) == 40
    assert not list((dwf.home / "locks").iterdir()) or dwf.tick().code == 0


def test_a_start_that_is_killed_anywhere_is_whole_or_not_there(dwf: Terminal) -> None:
    script = dwf.script(PLAIN)
    dwf.start(PLAIN, "warm")
    for number, path in enumerate(["runs/.tmp", "runs", "index.sqlite-journal"]):
        run = f"run{number}"
        process = dwf.spawn("start", script, "--id", run)
        watched = dwf.home / path
        before = len(list(watched.iterdir())) if watched.is_dir() else 0
        while process.poll() is None:
            if (len(list(watched.iterdir())) > before) if watched.is_dir() else watched.exists():
                break
        process.kill()
        out, _ = process.communicate()
        assert not out or dwf.history(run).exists(), "it was acknowledged and is gone"
        again = dwf.typed("start", script, "--id", run, "--if-exists", "use")
        assert (again.code, again.out) == (0, f"{run}\n")
        dwf.tick()
        assert dwf.status(run) == "completed"
        assert not list((dwf.home / "runs" / ".tmp").iterdir())


def _end_children(dwf: Terminal) -> None:
    """The background processes that the step has left on purpose."""
    for pid in _pids(dwf.where):
        if _alive(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_long_history_says_so_and_still_works(dwf: Terminal) -> None:
    dwf.start(
        """
        import asyncio, dwf

        @dwf.activity
        def nothing(n: int) -> int:
            return n

        @dwf.workflow
        async def long() -> object:
            for _ in range(7):
                await asyncio.gather(*(nothing(n) for n in range(500)))
            return await dwf.wait_signal("go")
        """,
        "one",
    )
    assert dwf.tick(code=None).err.startswith("one has 10,5")
    shown = dwf.typed("show", "one").out
    assert re.search(r"length +10,5\d\d events", shown)
    dwf.typed("signal", "one", "go", "1")
    assert dwf.tick().err == ""
    assert dwf.typed("result", "one").out == "1\n" and dwf.typed("verify", "one").code == 0


@pytest.mark.long
def test_ten_thousand_signals_to_a_thousand_runs_under_four_ticks_at_once(dwf: Terminal) -> None:
    """All handled, none lost, none twice."""
    source = """
        import dwf

        @dwf.workflow
        async def counts(n: int) -> object:
            got = []
            async for value in dwf.signals("go"):
                got.append(value)
                if len(got) == 10:
                    return got
    """
    path = dwf.where / "each.jsonl"
    path.write_text("".join(f'{{"n": {n}}}\n' for n in range(1000)))
    assert dwf.typed("start", dwf.script(source), "--each", path, "--id", "c-{n}").code == 0
    dwf.tick()
    store = Store.open(str(dwf.home), write=True)
    me = sender(os.environ)
    for value in range(10):
        for n in range(1000):
            post.signal(store, f"c-{n}", "go", str(value).encode(), me)
    ticks = [dwf.spawn("tick") for _ in range(4)]
    for ticking in ticks:
        out, err = ticking.communicate(timeout=900)
        assert (ticking.returncode, out, err) == (0, b"", b"")
    for n in range(1000):
        assert dwf.typed("result", f"c-{n}").out.split() == json.dumps(list(range(10)), indent=2).split(), n

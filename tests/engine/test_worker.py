"""The worker: a tick that goes on. It is woken by mail, by time and by new runs, and ends by parking everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dwf.core.state import Status
from dwf.engine.context import Engine
from dwf.engine.tick import TickReport
from dwf.engine.upgrade import upgrade
from dwf.engine.worker import _patience, work
from tests.engine.house import ME, House, until
from tests.engine.processes import ROOT

COUNTS = """
@dwf.workflow
async def main(until: int = 3):
    total = 0
    async for n in dwf.signals("go", type=int):
        await dwf.step("note", note, n)
        total += n
        if total >= until:
            return total
"""


@contextmanager
def working(house: House, reports: list[TickReport] | None = None) -> Iterator[threading.Event]:
    """A worker in a thread of this process, until the block ends; no error of it is passed over."""
    stop, ended = threading.Event(), []
    told = [] if reports is None else reports

    def run() -> None:
        ended.append(work(house.store, stop=stop, told=told.append, clock=house.clock))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(20)
    assert ended and not [error for report in [*told, *ended] for error in report.errors]


def test_it_takes_up_signals_and_new_runs_as_they_come(house: House) -> None:
    with working(house):
        house.start(house.script(COUNTS), json_input={"until": 6})
        until(lambda: house.status() is Status.WAITING)
        for n in (1, 2, 3):
            house.signal("go", n)
            until(lambda n=n: house.notes()[-1:] == [str(n)])
        until(lambda: house.status() is Status.COMPLETED)
    assert house.result() == 6
    house.check()


def test_it_answers_in_far_less_than_its_look_at_the_index(house: House) -> None:
    """Woken by the directory: if it were not, each of these would take up to a second."""
    pytest.importorskip("inotify_simple")
    with working(house):
        house.start(house.script(COUNTS), json_input={"until": 10_000})
        until(lambda: house.status() is Status.WAITING)
        began = time.monotonic()
        for n in range(20):
            house.signal("go", n)
            until(lambda n=n: house.notes()[-1:] == [str(n)])
        assert time.monotonic() - began < 10


def test_what_is_due_and_cannot_be_taken_does_not_keep_it_awake(house: House) -> None:
    """Another process drives it, or it is blocked: without this the worker would ask again and again at full speed."""
    house.start(house.script(COUNTS))
    engine = Engine.open(house.store, clock=house.clock)
    try:
        assert house.store.index.next_due_us() is not None
        assert _patience(engine, house.clock()) == 1.0
        house.go("@dwf.workflow\nasync def main():\n    await dwf.sleep('500ms')\n", "soon")
        house.tick()
        assert 0 < _patience(engine, house.clock()) <= 0.5
    finally:
        engine.close()


def test_timers_are_kept(house: House) -> None:
    house.start(house.script("@dwf.workflow\nasync def main():\n    await dwf.sleep('1h')\n    note('woken')\n"
                             .replace("    note('woken')", "    await dwf.step('n', note, 'woken')")))  # fmt: skip
    with working(house):
        until(lambda: house.status() is Status.WAITING)
        house.clock.advance("2h")
        until(lambda: house.notes() == ["woken"])


def test_a_blocked_run_goes_on_when_it_is_mended_and_is_told_once(house: House) -> None:
    reports: list[TickReport] = []
    house.start(house.script("@dwf.workflow\nasync def main():\n    {}['k']\n"))
    with working(house, reports):
        until(lambda: house.status() is Status.BLOCKED)
        until(lambda: any(report.news for report in reports))
        upgrade(house.store, "r1", house.script("@dwf.workflow\nasync def main():\n    return 1\n"), ME)
        until(lambda: house.status() is Status.COMPLETED, seconds=20)
    assert sum(len(report.news) for report in reports) == 1


def test_a_step_that_runs_when_it_is_stopped_is_interrupted_and_made_again(house: House) -> None:
    house.start(
        house.script(
            """
            @dwf.workflow
            async def main():
                await dwf.sh(LEDGER, script='echo $DWF_ATTEMPT >> "$1"; test "$DWF_ATTEMPT" -gt 1 || sleep 1000')
            """
        )
    )
    with working(house):
        until(house.notes)
    assert house.status() is not Status.COMPLETED
    house.tick()
    assert house.notes() == ["1", "2"] and house.status() is Status.COMPLETED


def test_beside_ticks_nothing_is_done_twice(house: House) -> None:
    script = house.script(
        "@dwf.workflow\nasync def main(n: int):\n"
        "    for i in range(5):\n        await dwf.step('s', note, f'{n}.{i}')\n"
    )
    with working(house):
        for n in range(20):
            house.start(script, f"r{n}", json_input={"n": n})
            house.try_tick()
        until(lambda: all(house.status(f"r{n}") is Status.COMPLETED for n in range(20)))
    assert sorted(house.notes()) == sorted(f"{n}.{i}" for n in range(20) for i in range(5))


def test_killed_it_is_one_more_killed_tick_and_sigterm_ends_it_well(house: House) -> None:
    command = [sys.executable, "-m", "dwf", "--home", house.store.layout.home, "worker"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    house.start(house.script(COUNTS))
    for how, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 0)):
        process = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL)
        before = len(house.notes())
        house.signal("go", 1)
        until(lambda before=before: len(house.notes()) > before)
        process.send_signal(how)
        assert process.wait(20) == code
    house.signal("go", 1)
    house.tick()
    assert house.result() == 3
    house.check()

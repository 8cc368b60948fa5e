"""Ticks in processes of their own, for what only another process can show."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

_TICK = """
import signal, sys, threading
from dwf.engine.tick import tick
from dwf.store.files import Disk
from dwf.store.layout import open_home
from dwf.store.room import Store
stop = threading.Event()
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda *_: stop.set())
disk = Disk()
store = Store(disk, open_home(disk, sys.argv[1], False, allow_network=True))
print("ready", flush=True)
if sys.argv[2:] == ["wait"]:
    sys.stdin.readline()
report = tick(store, stop=stop)
print(report.driven, *report.news, *(e.message for e in report.errors), sep="\\n", flush=True)
import os; os._exit(3 if report.stopped else 0)
"""


def begin_tick(home: str, *, wait: bool = False, before: str = "") -> subprocess.Popen[str]:
    """A tick in a process of its own, as cron would start it; with `wait`, it goes on when a line is written to it.

    before: a program that is run before, in the same process; what it and the tick say on stderr is kept then.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", before + _TICK, home, *(["wait"] if wait else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if before else None,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process: subprocess.Popen[str], seconds: float = 30) -> list[str]:
    """What it said, when it has ended."""
    out, _ = process.communicate(timeout=seconds)
    return out.splitlines()


def kill(process: subprocess.Popen[str]) -> None:
    """As by `kill -9`."""
    process.send_signal(signal.SIGKILL)
    process.communicate()

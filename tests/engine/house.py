"""What the tests of the engine share: a state directory, scripts with a ledger, a clock that can be moved, real ticks.

The ledger is a file to which steps add a line each time they really run; what a history says of them is compared to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from dwf.core import events as ev
from dwf.core.duration import micros
from dwf.core.state import RunState, Status
from dwf.engine import post, runs
from dwf.engine.identity import sender
from dwf.engine.start import Started, StartRequest, start
from dwf.engine.tick import TickReport, tick
from dwf.store.files import Disk
from dwf.store.history import verify_history
from dwf.store.layout import open_home
from dwf.store.room import Store

ME = sender(os.environ)
E = TypeVar("E", bound=ev.Event)

# One line, so that line numbers in a test's script are off by one only.
_PRELUDE = (
    "import asyncio, os, sys, time, dwf; LEDGER = {ledger!r}; "
    "note = lambda *words: (lambda fd: (os.write(fd, (' '.join(map(str, words)) + chr(10)).encode()), os.close(fd)))"
    "(os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))\n"
)


class Clock:
    """The wall clock, moved on (or back) where a test says so. Microseconds."""

    def __init__(self) -> None:
        self.ahead_us = 0

    def __call__(self) -> int:
        return time.time_ns() // 1000 + self.ahead_us

    def advance(self, duration: str) -> None:
        self.ahead_us += micros(duration)

    def back(self, duration: str) -> None:
        self.ahead_us -= micros(duration)


class House:
    """One state directory and what is done in it."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self.path = path
        self.ledger = path / "ledger"
        self.clock = Clock()
        self._scripts = 0
        self.reopen(disk)

    def reopen(self, disk: Disk | None = None) -> Store:
        """As a new process would: nothing is kept in memory."""
        quiet = Disk()
        layout = open_home(quiet, str(self.path / "home"), create=True, allow_network=True)
        self.store = Store(disk or quiet, layout)
        return self.store

    # -- doing --------------------------------------------------------------------------------------------------

    def script(self, text: str, name: str = "book.py") -> str:
        """A script with the ledger's `note(...)` and the usual imports in its first line; its path."""
        path = self.path / name
        path.write_text(_PRELUDE.format(ledger=str(self.ledger)) + textwrap.dedent(text))
        return str(path)

    def start(self, script: str, run: str | None = "r1", **more: Any) -> Started:
        more.setdefault("json_input", {})
        return start(self.store, StartRequest(script, more.pop("by", ME), run=run, **more), self.clock)

    def tick(self, **more: Any) -> TickReport:
        report = self.try_tick(**more)
        assert not report.errors, report.errors
        return report

    def try_tick(self, **more: Any) -> TickReport:
        return tick(self.store, clock=self.clock, **more)

    def go(self, text: str, run: str = "r1", **more: Any) -> TickReport:
        """Write a script, start it, tick once."""
        self.start(self.script(text), run, **more)
        return self.tick()

    def signal(self, name: str, value: Any = None, run: str = "r1", **more: Any) -> post.Posted:
        return post.signal(self.store, run, name, json.dumps(value).encode(), ME, **more)

    def answer(self, yes: bool = True, run: str = "r1", **more: Any) -> post.Posted:
        return post.answer(self.store, run, yes, more.pop("by", ME), **more)

    def cancel(self, run: str = "r1") -> post.Posted:
        return post.cancel(self.store, run, ME, "enough")

    def terminate(self, run: str = "r1") -> post.Posted:
        return post.terminate(self.store, run, ME, "enough")

    # -- asking -------------------------------------------------------------------------------------------------

    def view(self, run: str = "r1") -> runs.RunView:
        return runs.load(self.store, run)

    def events(self, run: str = "r1") -> list[ev.Event]:
        return self.view(run).events

    def kinds(self, run: str = "r1") -> list[str]:
        return [type(event).__name__ for event in self.events(run)]

    def all(self, kind: type[E], run: str = "r1") -> list[E]:
        return [event for event in self.events(run) if isinstance(event, kind)]

    def the(self, kind: type[E], run: str = "r1") -> E:
        (found,) = self.all(kind, run)
        return found

    def state(self, run: str = "r1") -> RunState:
        state = self.view(run).state
        assert state is not None
        return state

    def status(self, run: str = "r1") -> Status:
        return self.view(run).status

    def result(self, run: str = "r1") -> Any:
        """What the run returned."""
        return json.loads(bytes(self.the(ev.WorkflowCompleted, run).result))

    def notes(self) -> list[str]:
        """The ledger, in order."""
        return self.ledger.read_text().splitlines() if self.ledger.exists() else []

    def counted(self) -> Counter[str]:
        return Counter(self.notes())

    def mail(self) -> list[str]:
        return self.store.mailbox.names()

    def late(self, run: str = "r1") -> list[str]:
        return [letter.message.name or letter.message.kind for letter in self.store.mailbox.late(run)]

    def log(self, run: str = "r1", link: int = 1) -> str:
        """What the script itself has said."""
        path = Path(self.store.outputs.directory(run, link)) / "script.log"
        return path.read_text() if path.exists() else ""

    def check(self) -> None:
        """What must hold of every state directory at rest."""
        for path in sorted(Path(self.store.layout.runs).glob("*.jsonl")):
            assert verify_history(str(path)) == []
        with contextlib.suppress(AssertionError):
            # Where a death is played, a thread of who has died may be at its lock for a moment more.
            until(lambda: not self._left(), 5)
        assert not self._left(), self._left()

    def _left(self) -> list[Path]:
        layout = self.store.layout
        return [*Path(layout.intents).iterdir(), *Path(layout.locks).iterdir(), *Path(layout.mail_tmp).iterdir()]


def in_thread(work: Callable[[], object]) -> threading.Thread:
    """Begin something beside the test; join it."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Look until it is true; what it is then."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)
    return found

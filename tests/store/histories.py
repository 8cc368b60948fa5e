"""What the tests of histories share: a small valid history, and an event of every type."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from dwf.core import events as ev
from dwf.store.files import Disk
from dwf.store.history import History
from dwf.store.record import Chain

NOW = 1_790_000_000_123_456
LATER = NOW + 1_000_000
RUN, NONCE = "deploy-7", "n0nce"
# What a killed writer can leave behind four records and a header.
TORN = b'{"id":6,"ts":"2026-1'


def started(run: str = RUN, nonce: str = NONCE, **fields: Any) -> ev.WorkflowStarted:
    return ev.WorkflowStarted(run=run, nonce=nonce, workflow="deploy", script="deploy.py", code="c0de", **fields)


def bodies(count: int) -> list[ev.Event]:
    """Events as a run with steps would have them, of different lengths."""
    made: list[ev.Event] = []
    for n in range(1, count + 1):
        made.append(
            [
                ev.ActivityScheduled(command=n, name="drain", kind="function", input=msgspec.Raw(b'{"args":["web1"]}')),
                ev.ActivityStarted(command=n, attempt=1, pid=4711, pid_start=99, boot="b00t"),
                ev.ActivityCompleted(command=n, result=msgspec.Raw(b'{"hash":"no","left":17}')),
                ev.SignalReceived(name="go", message="m-1", payload=msgspec.Raw(b'"\\u00e4"')),
            ][n % 4]
        )
    return made


def lines(count: int = 4, run: str = RUN, nonce: str = NONCE, start_us: int = NOW) -> list[bytes]:
    """The lines of a valid history, newlines included: the header and `count` more."""
    chain = Chain.begin(run, nonce)
    return [chain.append(event, start_us + n)[1] for n, event in enumerate([started(run, nonce), *bodies(count)])]


def write(directory: Path, data: bytes, run: str = RUN) -> str:
    """A history file with this content; its path."""
    path = directory / f"{run}.jsonl"
    path.write_bytes(data)
    path.chmod(0o600)
    return str(path)


def make(directory: Path, count: int = 4, run: str = RUN) -> str:
    """A valid history; its path."""
    return write(directory, b"".join(lines(count, run)), run)


def content(path: str) -> bytes:
    return Path(path).read_bytes()


def open_history(path: str, disk: Disk | None = None) -> History:
    return History.open(disk or Disk(), path, LATER)


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))  # noqa: PTH208


def texts(events: list[ev.Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, ev.StatusChanged)]


def note(text: str) -> ev.StatusChanged:
    return ev.StatusChanged(command=1, text=text)


def repairs(events: list[ev.Event]) -> list[ev.HistoryRepaired]:
    return [event for event in events if isinstance(event, ev.HistoryRepaired)]

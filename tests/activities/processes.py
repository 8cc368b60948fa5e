"""Looking at real processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from dwf.activities.session import DEAD, row


def is_alive(pid: int) -> bool:
    found = row(pid)
    return found is not None and found.state not in DEAD


def descriptors() -> int:
    """How many files this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def soon(happens: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether it happens within that time; looks often, so that tests take as long as they must and no longer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if happens():
            return True
        time.sleep(0.005)
    return happens()


def pid_in(path: Path) -> int:
    """The number that a step writes there."""
    assert soon(lambda: path.exists() and path.read_text().endswith("\n")), f"{path} was not written"
    return int(path.read_text())

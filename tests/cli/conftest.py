from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.cli.terminal import ROOT, Terminal


@pytest.fixture
def dwf(tmp_path: Path) -> Terminal:
    """A terminal with an empty place for its state."""
    return Terminal(tmp_path)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is Berlin's, where clocks change on 2026-03-29 and 2026-10-25."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def spawn(dwf: Terminal) -> Iterator[Any]:
    """A real terminal of 80 columns with a real process in it."""
    children = []

    def begin(*words: str, **environ: str) -> Any:
        child = pexpect.spawn(
            sys.executable,
            ["-m", "dwf", *words],
            env={**dwf.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **environ},
            encoding="utf-8",
            timeout=30,
            dimensions=(24, 80),
        )
        children.append(child)
        return child

    yield begin
    for child in children:
        child.close(force=True)

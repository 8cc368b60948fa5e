"""The room's door: what it exports, and that coming by costs nothing."""

from __future__ import annotations

import inspect
import subprocess
import sys

import dwf.activities


def test_all_that_is_exported_can_be_used() -> None:
    defined = {name for name, value in vars(dwf.activities).items() if inspect.isfunction(value)}
    assert defined == set(dwf.activities.__all__)


def test_an_idle_tick_comes_by_without_paying() -> None:
    script = "import sys; before = set(sys.modules); import dwf.activities; print(*sys.modules.keys() - before)"
    command = [sys.executable, "-c", script]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    heavy = {"msgspec", "asyncio", "subprocess", "threading", "json", "hashlib", "dataclasses", "pathlib"}
    assert "dwf.activities" in loaded
    assert not heavy & set(loaded)

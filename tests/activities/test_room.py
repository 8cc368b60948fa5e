"""The room's door: what it exports, and that coming by costs nothing."""

from __future__ import annotations

import subprocess
import sys

import dwf.activities


def test_all_that_is_exported_can_be_used() -> None:
    public = {name for name in vars(dwf.activities) if not name.startswith("_")}
    assert set(dwf.activities.__all__) <= public
    assert public - set(dwf.activities.__all__) - {"annotations", "TYPE_CHECKING"} <= set(sys.modules) | {
        name.rpartition(".")[2] for name in sys.modules if name.startswith("dwf.activities.")
    }


def test_an_idle_tick_comes_by_without_paying() -> None:
    script = "import sys; before = set(sys.modules); import dwf.activities; print(*sys.modules.keys() - before)"
    command = [sys.executable, "-c", script]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    heavy = {"msgspec", "asyncio", "subprocess", "threading", "json", "hashlib", "dataclasses", "pathlib"}
    assert "dwf.activities" in loaded
    assert not heavy & set(loaded)

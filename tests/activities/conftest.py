"""Givens shared by the tests of this room."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dwf.activities.plan import Attempt

from .processes import soon


@pytest.fixture
def attempt(tmp_path: Path) -> Callable[..., Attempt]:
    """Makes an attempt whose output goes to a directory that is not there yet."""

    def make(**changes: Any) -> Attempt:
        given = {"run": "r1", "command": 3, "name": "drain", "key": "r1:3", "out_prefix": str(tmp_path / "out" / "3.1")}
        return Attempt(**{**given, **changes})

    return make


_ENGINE = """
import os, signal, sys
from dwf.activities import prepare_shell
from dwf.activities.plan import Attempt, ShellSpec
spec = ShellSpec(script=sys.argv[1], argv=tuple(sys.argv[3:]))
performance = prepare_shell(spec, Attempt(run="r1", command=3, name="s", key="r1:3"))
if sys.argv[2] == "go":
    performance.go()
process = performance.process
print(process.pid, process.start, process.boot, flush=True)
signal.pause()
"""


@pytest.fixture
def engine() -> Any:
    """Starts a process that prepares (and begins) a shell step, kills it, and tells the step's pid, start and boot."""

    def killed(script: str, begin: str, *argv: str, when: Callable[[], bool] = lambda: True) -> tuple[int, int, str]:
        command = [sys.executable, "-c", _ENGINE, script, begin, *argv]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
            try:
                assert parent.stdout is not None
                pid, start, boot = parent.stdout.readline().split()
                assert soon(when)
            finally:
                parent.kill()
        return int(pid), int(start), boot

    return killed

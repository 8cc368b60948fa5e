"""What the tests of the store share: a fresh state directory, and children that can be killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dwf.store.files import Disk
from dwf.store.layout import Layout, open_home


def new_home(tmp_path: Path, disk: Disk | None = None) -> Layout:
    return open_home(disk or Disk(), str(tmp_path / "home"), create=True, allow_network=True)


def child(code: str, *args: str) -> subprocess.Popen[str]:
    """A Python process that runs `code`; it says "ready" on its stdout when the test may go on."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    line = process.stdout.readline()
    assert line == "ready\n", line
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()

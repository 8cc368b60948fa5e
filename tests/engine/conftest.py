"""Givens shared by the tests of this room."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engine.house import House
from tests.installed import Install, forget, installer


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@contextmanager
def in_memory(otherwise: Path) -> Iterator[Path]:
    """A directory in memory where there is one."""
    if not os.access("/dev/shm", os.W_OK):
        yield otherwise
        return
    path = Path(tempfile.mkdtemp(prefix="dwf-test-", dir="/dev/shm"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def ram(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: for tests that play the same story hundreds of times."""
    with in_memory(tmp_path) as path:
        yield path


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts distributions where Python finds them."""
    yield installer(tmp_path / "site", monkeypatch)
    forget()

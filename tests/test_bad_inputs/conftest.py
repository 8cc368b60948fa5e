from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_bad_inputs.terminal import Terminal


@pytest.fixture
def dwf(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal; whatever was typed there, a normal run must work afterwards."""
    terminal = Terminal(tmp_path)
    yield terminal
    assert gc.isenabled(), "something has left the garbage collector off"
    terminal.still_works()


@pytest.fixture
def shared_tmp() -> Iterator[Path]:
    """A directory that other users can enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="dwf-bad-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path

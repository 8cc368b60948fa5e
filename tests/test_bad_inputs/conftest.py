from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_bad_inputs.terminal import Terminal


@pytest.fixture
def dwf(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal; whatever was typed there, a normal run must work afterwards."""
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.still_works()

"""Givens shared by the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dwf.activities.plan import Attempt


@pytest.fixture
def attempt(tmp_path: Path) -> Callable[..., Attempt]:
    """Makes an attempt whose output goes to a directory that is not there yet."""

    def make(**changes: Any) -> Attempt:
        given = {"run": "r1", "command": 3, "name": "drain", "key": "r1:3", "out_prefix": str(tmp_path / "out" / "3.1")}
        return Attempt(**{**given, **changes})

    return make

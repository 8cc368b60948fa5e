"""Givens shared by the tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.house import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)

"""The pytest plugin: the fixture `dwf_env`. Loaded by pytest wherever dwf is installed, so it imports nothing early."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from dwf.testing import Env


@pytest.fixture
def dwf_env(tmp_path: Path) -> Env:
    """A world of its own for one test of a runbook: see dwf.testing."""
    from dwf.testing import Env

    return Env(tmp_path / "dwf-state")

"""Givens shared by the tests of this room. Only root can become somebody else; others skip it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.shared.people import Place, new_actor


@pytest.fixture(scope="module")
def actor() -> Iterator[Any]:
    """A process that becomes other people."""
    if os.geteuid() != 0:
        pytest.skip("only root can become other users")
    with new_actor() as process:
        yield process
        process.stdin.close()


@pytest.fixture
def place(actor: Any) -> Iterator[Place]:
    """A shared directory with a catalogue; its engine is no root."""
    made = Place(actor)
    yield made
    made.remove()

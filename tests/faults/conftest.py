"""Givens shared by the tests of this room."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.engine.conftest import ram as ram
from tests.faults.tally import Tally


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Iterator[Tally]:
    """Counts what is tried and survived; told at the end of the test run."""
    counted = Tally()
    yield counted
    for name, value in counted.properties():
        record_property(name, value)

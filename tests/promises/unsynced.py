"""A plugin of pytest: one sync of the store is left out, wherever a test comes by it.

DWF_LEFT_OUT=rebuild._fill python -m pytest -p tests.promises.unsynced tests/store/test_index.py
"""

from __future__ import annotations

import os
from typing import Any

from dwf.store.files import Disk
from tests.faults.sites import asked_from, sites

_SYNCS = ("fsync", "fdatasync")
_do = Disk._do


def pytest_configure() -> None:
    site = os.environ["DWF_LEFT_OUT"]
    assert site in sites().values(), f"there is no sync {site}"

    def leaving_out(self: Disk, operation: str, path: str, function: Any, *args: Any) -> Any:
        if operation in _SYNCS and asked_from() == site:
            return None
        return _do(self, operation, path, function, *args)

    Disk._do = leaving_out  # type: ignore[method-assign]

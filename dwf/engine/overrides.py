"""The operator's limits for a whole state directory: they win over what scripts say."""

from __future__ import annotations

import time

from dwf.core.flow import Bound
from dwf.store.room import Store


class Overrides:
    """The operator's limits, looked at again once a second."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Bound] = {}
        self._looked = 0.0

    def __call__(self) -> dict[str, Bound]:
        now = time.monotonic()
        if now - self._looked >= 1 or not self._looked:
            self._looked = now
            self._known = {name: Bound(*numbers) for name, numbers in self._store.limits.overrides().items()}
        return self._known

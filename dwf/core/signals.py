"""Signals of one run in memory: who waits for which name, and what came before anybody waited."""

from __future__ import annotations

from collections import deque

from dwf.core.runtime import Signal
from dwf.core.tasks import WorkflowFuture


class Signals:
    """First come, first served, on both sides; each name for itself."""

    def __init__(self) -> None:
        self._kept: dict[str, deque[Signal]] = {}
        self._waits: dict[str, dict[int, WorkflowFuture]] = {}
        self._names: dict[int, str] = {}

    def deliver(self, signal: Signal) -> int | None:
        """Give a signal to the first that waits for it, whose number is returned; else keep it."""
        for number, future in self._waits.get(signal.name, {}).items():
            if not future.done():
                self.forget(number)
                future.set_result(signal)
                return number
        self._kept.setdefault(signal.name, deque()).append(signal)
        return None

    def take(self, name: str) -> Signal | None:
        """The oldest kept signal of that name."""
        kept = self._kept.get(name)
        return kept.popleft() if kept else None

    def wait(self, number: int, name: str, future: WorkflowFuture) -> None:
        """From now on `future` waits for a signal of that name."""
        self._waits.setdefault(name, {})[number] = future
        self._names[number] = name

    def forget(self, number: int) -> None:
        """That wait is over."""
        del self._waits[self._names.pop(number)][number]

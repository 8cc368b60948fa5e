"""Signals of one run in memory: who waits for which name, and what came before anybody waited."""

from __future__ import annotations

from collections import deque
from collections.abc import Container

from dwf.core.runtime import Signal
from dwf.core.tasks import WorkflowFuture


class Signals:
    """First come, first served, on both sides; each name for itself."""

    def __init__(self) -> None:
        self._kept: dict[str, deque[Signal]] = {}
        self._waits: dict[str, dict[int, WorkflowFuture]] = {}
        self._names: dict[int, str] = {}
        self._known: set[str] = set()

    def offer(self, signal: Signal) -> int | None:
        """Give a signal to the first that waits for it, whose number is returned; None if nobody does."""
        for number, future in self._waits.get(signal.name, {}).items():
            if not future.done():
                self.forget(number)
                future.set_result(signal)
                return number
        return None

    def keep(self, signal: Signal) -> None:
        """Keep a signal for whoever asks for it later."""
        self._kept.setdefault(signal.name, deque()).append(signal)

    def is_known(self, name: str) -> bool:
        """Whether the script has ever asked for that name itself."""
        return name in self._known

    def take_all(self, name: str) -> list[Signal]:
        """All kept signals of that name, oldest first."""
        self._known.add(name)
        return list(self._kept.pop(name, ()))

    def take_unknown(self, handled: Container[str]) -> list[Signal]:
        """All kept signals whose names nobody has asked for, oldest first."""
        names = [name for name in self._kept if name not in self._known and name not in handled]
        return sorted((s for name in names for s in self._kept.pop(name)), key=lambda signal: signal.event)

    def take(self, name: str) -> Signal | None:
        """The oldest kept signal of that name."""
        self._known.add(name)
        kept = self._kept.get(name)
        return kept.popleft() if kept else None

    def wait(self, number: int, name: str, future: WorkflowFuture) -> None:
        """From now on `future` waits for a signal of that name."""
        self._known.add(name)
        self._waits.setdefault(name, {})[number] = future
        self._names[number] = name

    def forget(self, number: int) -> None:
        """That wait is over."""
        del self._waits[self._names.pop(number)][number]

"""The clock of a test, and a mailbox that goes by it: the kernel's time of a file is that of another world."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from dwf.core.duration import SECOND
from dwf.store.files import Disk
from dwf.store.layout import Layout
from dwf.store.letters import Letter, written_us
from dwf.store.mailbox import Mailbox
from dwf.store.room import Store

BEGIN_US = 1_767_225_600 * SECOND  # 2026-01-01T00:00:00Z


class Clock:
    """Microseconds since the epoch. It stands still, however often it is looked at, until it leaps or ticks.

    So a script is told the same times also where a process dies on the way, and another looks once more.
    """

    def __init__(self) -> None:
        self._now_us = BEGIN_US

    def __call__(self) -> int:
        return self._now_us

    def tick(self) -> int:
        """One later: of two who post, one was the first."""
        self._now_us += 1
        return self._now_us

    def leap_to(self, at_us: int) -> None:
        """On to that time, unless it has passed."""
        self._now_us = max(self._now_us, at_us)


class VirtualMailbox(Mailbox):
    """A message counts from the time in its name, which its sender has from the clock of the test."""

    def __init__(self, disk: Disk, layout: Layout, clock: Clock) -> None:
        super().__init__(disk, layout)
        self._clock = clock

    def _time_us(self) -> int:
        return self._clock.tick()

    def pending(self, run: str, names: Iterable[str] | None = None) -> list[Letter]:
        """As of any mailbox, at the times of the test."""
        found = [replace(letter, posted_us=written_us(letter.name)) for letter in super().pending(run, names)]
        return sorted(found, key=lambda letter: (letter.posted_us, letter.name))


class VirtualStore(Store):
    """A state directory whose mail goes by the clock of the test."""

    def __init__(self, disk: Disk, layout: Layout, clock: Clock) -> None:
        super().__init__(disk, layout)
        self.mailbox = VirtualMailbox(disk, layout, clock)

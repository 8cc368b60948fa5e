"""The seam of the simulation: clock, chance, boots, threads and the disk of one world, all from one seed.

Everything happens in one thread, or in a second one that the first waits for, so the same seed does the same again.
"""

# ruff: noqa: PTH119

from __future__ import annotations

import itertools
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import dwf.activities.function
import dwf.engine.context
import dwf.engine.tick
import dwf.engine.watchdog
import dwf.host
import dwf.store.letters
import dwf.store.locks
import dwf.store.mailbox
import dwf.store.refused
from dwf.core.duration import SECOND
from dwf.engine.lanes import Ended, LaneFree, Lanes, Load, Report, played
from dwf.store.files import Disk
from dwf.store.index import Index
from dwf.store.layout import Layout, open_home
from dwf.store.letters import Letter
from dwf.store.room import Store
from tests.faults import outside
from tests.faults.disk import FaultyDisk
from tests.faults.power import PowerCut
from tests.faults.sites import asked_from

# Long ago, so that nothing that the real kernel stamps looks old.
_BEGIN_US = 1_600_000_000 * SECOND
_SYNCS = ("fsync", "fdatasync")


class OneByOne(Lanes):
    """Lanes without threads: steps are played where they are handed over."""

    def staff(self) -> None:
        return None

    def play(self, load: Load, reports: SimpleQueue[Report]) -> None:
        for command, performance in load:
            reports.put(Ended(command, played(performance)))
        self.give_back(1)
        reports.put(LaneFree(len(load), 0.0))


class SimDisk(FaultyDisk):
    """The disk as one process sees it. `at(number)` calls what is given before the call with that number."""

    def __init__(self, world: World) -> None:
        super().__init__(world.power)
        self._world = world
        self._events: dict[int, Callable[[], None]] = {}
        self._indexing = False
        self._short = 0

    def write_at_most(self, size: int) -> None:
        self._short = size

    def at(self, number: int, event: Callable[[], None]) -> None:
        """Something else happens before that call. Put off while the index is replaced: others wait for that."""
        self._events[number] = event

    def tear_from(self, number: int, chance: random.Random) -> None:
        """The first write from that call on is cut short, and the process dies in it."""

        def rule(now: int, operation: str, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
            if now >= number and operation == "write":
                size = chance.randrange(max(1, len(args[1])))
                if size:
                    function(args[0], bytes(args[1])[:size])
                self._die()

        self._rules.append(rule)

    def _call(self, operation: str, path: str, function: Callable[..., Any], *args: Any) -> Any:
        number = len(self.calls) + 1
        if not self.dead:
            self._track_index(operation, path)
            for due in [due for due in self._events if due <= number]:
                if not self._indexing:
                    self._events.pop(due)()
        if operation == "write" and self._short:
            # A large one in 500 pieces tells as much as in 300 000.
            self._longest_write = max(self._short, len(args[1]) // 500)
        if operation in _SYNCS and self._world.without and asked_from() == self._world.without:
            function = _nothing
            operation = "left out"
        result = super()._call(operation, path, function, *args)
        if operation == "rename_noreplace":
            self._world.arrived(path)
        return result

    def _track_index(self, operation: str, path: str) -> None:
        if path.endswith("/.index.lock"):
            self._indexing = operation != "unlink"
        elif path.startswith(self._world.layout.index) and operation != "index":
            self._indexing = True


def _nothing(*_: object) -> None:
    return None


class SimIndex(Index):
    """Before and after each of its writes a process can die, too, or meet others."""

    def _write(self, change: Callable[[Any], Any], *, again: bool = True) -> Any:
        self._disk._do("index", self._path, _nothing)
        result = super()._write(change, again=again)
        self._disk._do("index", self._path, _nothing)
        return result


class AtOnce:
    """Drives what it is given in the thread that gives it."""

    def __init__(self, most: int, drive: Callable[[str], None]) -> None:
        self._most, self.give = most, drive

    def room(self, active: int) -> int:
        return self._most - active

    def is_short(self) -> bool:
        return False

    def has_plenty(self) -> bool:
        return False

    def close(self) -> None:
        return None


class World:
    """One machine with one state directory. Use it as a context: it stands in for the real one meanwhile."""

    def __init__(self, path: Path, seed: int, without: str = "") -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.without = without
        """A sync that does nothing: see `sites`."""
        self.chance = random.Random(seed)
        self.now_us = _BEGIN_US
        self.outside = outside.Outside()
        self.boot = "boot-1"
        self._boots = itertools.count(2)
        self._arrivals: dict[str, int] = {}
        self.layout: Layout = open_home(Disk(), str(path / "home"), create=True, allow_network=True)
        self.power = PowerCut(self.layout.home)

    def clock(self) -> int:
        """Microseconds; no two moments are the same."""
        self.now_us += 1
        return self.now_us

    def arrived(self, path: str) -> None:
        self._arrivals.setdefault(os.path.basename(path), self.now_us)

    def store(self, disk: Disk) -> Store:
        """As a new process sees it."""
        store = Store(disk, self.layout)
        store.index = SimIndex(disk, self.layout)
        return store

    def reboot(self) -> None:
        self.boot = f"boot-{next(self._boots)}"

    # -- standing in --------------------------------------------------------------------------------------------

    @contextmanager
    def entered(self) -> Iterator[World]:
        """The real clock, chance, boot and threads are replaced by this world's until the block ends."""
        outside.enter(self.outside)
        kept = []
        for owner, name, stand_in in self._stand_ins():
            kept.append((owner, name, getattr(owner, name)))
            setattr(owner, name, stand_in)
        try:
            yield self
        finally:
            for owner, name, before in reversed(kept):
                setattr(owner, name, before)
            self.power.close()

    def _stand_ins(self) -> list[tuple[Any, str, Any]]:
        fake_time = SimpleNamespace(time_ns=lambda: self.clock() * 1000, monotonic=time.monotonic, sleep=time.sleep)
        inside = (dwf.activities.function, dwf.store.locks, dwf.store.mailbox, dwf.store.refused)
        entropy = random.Random(self.chance.random())
        read = dwf.store.letters.read_letter

        def read_letter(directory: str, name: str, *more: Any) -> Any:
            found = read(directory, name, *more)
            if isinstance(found, Letter) and name in self._arrivals:
                return Letter(found.name, found.message, found.uid, self._arrivals[name])
            return found

        return [
            *((module, "time", fake_time) for module in inside),
            (os, "urandom", entropy.randbytes),
            (secrets, "token_hex", lambda size=8: entropy.randbytes(size).hex()),
            (dwf.store.letters, "read_letter", read_letter),
            (dwf.host, "boot_id", lambda: self.boot),
            (dwf.engine.tick, "Drivers", AtOnce),
            (dwf.engine.context, "Lanes", OneByOne),
            (dwf.engine.watchdog.Watchdog, "over", lambda dog, replay: nullcontext()),
        ]

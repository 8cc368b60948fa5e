"""What all runs of one tick share: the store, the code they run, the lanes for steps, the clock, the wish to stop."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from dwf.core.events import Event
from dwf.core.flow import Bound
from dwf.core.runtime import ActivityCall
from dwf.core.state import RunState
from dwf.engine.hooks import Hooks
from dwf.engine.kept import Kept
from dwf.engine.lanes import Lanes
from dwf.engine.overrides import Overrides
from dwf.engine.owners import require_own, require_roots
from dwf.engine.watchdog import Watchdog
from dwf.errors import ScriptRefused
from dwf.scripts.collect import Sources, collect
from dwf.scripts.load import Script, load
from dwf.scripts.ondisk import OnDisk, OnDisks
from dwf.store.code import bundle_hash
from dwf.store.room import Store


class Watch(Protocol):
    """Somebody who looks on. Called after what is told is on disk, from the thread that drives the run."""

    def event(self, run: str, event: Event) -> None: ...

    def said(self, run: str, level: int, text: str) -> None: ...


class Unwatched:
    """Nobody looks."""

    def event(self, run: str, event: Event) -> None:
        return None

    def said(self, run: str, level: int, text: str) -> None:
        return None


def wall_clock_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


@dataclass(frozen=True)
class Loaded:
    """A script in memory, and the files it came from."""

    script: Script
    content: str
    sources: Sources


class Codes:
    """Loaded scripts by content, so that a thousand runs of one script load it once; also what could not be loaded."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._shelf: dict[tuple[str, str], _Place] = {}
        self._files = OnDisks()

    def of(self, state: RunState) -> Loaded:
        """The code that a run is on. Raises CodeMissing, ScriptRefused, NotFound, NotPermitted, DiskError."""
        if state.head.code_mode == "live":
            sources = collect(state.script)
            require_own(sources)
            return self.load(sources, bundle_hash(sources.files, sources.main))
        require_roots(state)
        origin, _, _ = state.script.rpartition("/")
        found = self._shelf.get((state.code, origin))
        if found is not None and found.loaded is not None:
            return found.loaded
        bundle = self._store.code.load(state.code, state.head.run)
        return self.load(Sources(bundle.main, dict(bundle.files), origin, state.code_owner), state.code)

    def on_disk(self, script: str) -> OnDisk:
        """What the file of a script holds now. Raises what `collect` raises."""
        return self._files.of(script)

    def load(self, sources: Sources, content: str) -> Loaded:
        """Load what was collected; `content` is its hash. Raises ScriptRefused."""
        with self._lock:
            place = self._shelf.setdefault((content, sources.origin), _Place())
        # A script that takes long to load, or for ever, holds up nobody but its own runs.
        with place.lock:
            if place.refused is not None:
                raise place.refused
            if place.loaded is None:
                try:
                    script = load(sources.files, sources.main, content, sources.origin)
                except ScriptRefused as error:
                    place.refused = error
                    raise
                place.loaded = Loaded(script, content, sources)
            return place.loaded


class _Place:
    """One script on the shelf."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loaded: Loaded | None = None
        self.refused: ScriptRefused | None = None


@dataclass(frozen=True)
class Engine:
    """Shared by the runs that are driven in one process."""

    store: Store
    lanes: Lanes
    codes: Codes
    hooks: Hooks
    watch: Watch = field(default_factory=Unwatched)
    clock: Callable[[], int] = wall_clock_us
    stop: threading.Event = field(default_factory=threading.Event)
    kin: deque[str] = field(default_factory=deque)
    """Parents and children of runs driven here that have something to do now: who drives only chosen runs asks this."""
    watchdog: Watchdog = field(default_factory=Watchdog)
    kept: Kept = field(default_factory=Kept)
    stand_in: Callable[[ActivityCall], Callable[[bytes], Any] | None] = field(default=lambda _: None)
    """What performs a step instead of what the script says, if anything: for tests of runbooks."""

    queues: frozenset[str] = frozenset()
    """Only steps of these queues are begun here; empty: of all."""
    overrides: Callable[[], dict[str, Bound]] = field(default=dict)
    """The operator's limits, by name."""

    @classmethod
    def open(
        cls,
        store: Store,
        *,
        jobs: int = 8,
        watch: Watch | None = None,
        stop: threading.Event | None = None,
        clock: Callable[[], int] = wall_clock_us,
        kept: Kept | None = None,
        stand_in: Callable[[ActivityCall], Callable[[bytes], Any] | None] = lambda _: None,
        queues: Iterable[str] = (),
    ) -> Engine:
        """An engine for one process. jobs: how many steps may run at a time. clock: microseconds since the epoch.

        kept: the runs that stay in memory while they wait; none if left out. queues: begin only steps of these.
        """
        stop = stop or threading.Event()
        watch, kept = watch or Unwatched(), kept or Kept()
        hooks = Hooks(store, clock)
        engine = cls(store, Lanes(jobs), Codes(store), hooks, watch, clock, stop, kept=kept, stand_in=stand_in)
        return replace(engine, queues=frozenset(queues), overrides=Overrides(store))

    def close(self) -> None:
        """Close what is kept, and end the threads."""
        self.kept.close()
        self.hooks.close()
        self.lanes.close()
        self.watchdog.close()

"""What all runs of one tick share: the store, the code they run, the lanes for steps, the clock, the wish to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from dwf.core.events import Event
from dwf.core.state import RunState
from dwf.engine.lanes import Lanes
from dwf.engine.watchdog import Watchdog
from dwf.scripts.collect import Sources, collect
from dwf.scripts.load import Script, load
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
    """Loaded scripts by content, so that a thousand runs of one script load it once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._loaded: dict[tuple[str, str], Loaded] = {}

    def of(self, state: RunState) -> Loaded:
        """The code that a run is on. Raises CodeMissing, ScriptRefused, NotFound."""
        origin, _, _ = state.script.rpartition("/")
        if state.head.code_mode == "live":
            sources = collect(state.script)
            return self.load(sources, bundle_hash(sources.files, sources.main))
        with self._lock:
            found = self._loaded.get((state.code, origin))
        if found is not None:
            return found
        bundle = self._store.code.load(state.code, state.head.run)
        return self.load(Sources(bundle.main, dict(bundle.files), origin, state.code_owner), state.code)

    def load(self, sources: Sources, content: str) -> Loaded:
        """Load what was collected; `content` is its hash. Raises ScriptRefused."""
        with self._lock:
            key = (content, sources.origin)
            if key not in self._loaded:
                script = load(sources.files, sources.main, content, sources.origin)
                self._loaded[key] = Loaded(script, content, sources)
            return self._loaded[key]


@dataclass(frozen=True)
class Engine:
    """Shared by the runs that are driven in one process."""

    store: Store
    lanes: Lanes
    codes: Codes
    watch: Watch = field(default_factory=Unwatched)
    clock: Callable[[], int] = wall_clock_us
    stop: threading.Event = field(default_factory=threading.Event)
    watchdog: Watchdog = field(default_factory=Watchdog)

    @classmethod
    def open(cls, store: Store, *, jobs: int = 8, watch: Watch | None = None, stop: threading.Event | None = None) -> Engine:
        """An engine for one process. `jobs`: how many steps may run at a time."""
        return cls(store, Lanes(jobs), Codes(store), watch or Unwatched(), stop=stop or threading.Event())

    def close(self) -> None:
        """End the threads."""
        self.lanes.close()
        self.watchdog.close()

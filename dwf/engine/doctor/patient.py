"""Who is examined: a state directory, the machine around it, and every history, each read once for all checks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from dwf.core.duration import SECOND
from dwf.core.events import WorkflowStarted
from dwf.core.state import RunState
from dwf.engine.context import wall_clock_us
from dwf.engine.runs import folded
from dwf.errors import DwfError, HistoryCorrupt
from dwf.store.files import Disk
from dwf.store.history import read_history
from dwf.store.layout import Layout, run_of
from dwf.store.room import Store
from dwf.store.row import Row
from dwf.store.sharing import read_sharing

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on something is told. Times in microseconds."""

    late_tick_us: int = 180 * SECOND
    clock_ahead_us: int = 120 * SECOND
    low_bytes: int = 256 * 1024 * 1024
    no_bytes: int = 16 * 1024 * 1024
    low_inodes: int = 10_000
    no_inodes: int = 500
    slow_start_us: int = 1 * SECOND
    old_intent_us: int = 60 * SECOND


@dataclass(frozen=True, slots=True)
class Seen:
    """One history as it was found. `state` is None if it cannot be folded; `newest`: the id's last instance."""

    run: str
    link: int
    path: str
    state: RunState | None
    problem: DwfError | None
    torn_bytes: int
    newest: bool

    @property
    def name(self) -> str:
        return self.run if self.link == 1 else f"{self.run} (instance {self.link})"

    @property
    def open_state(self) -> RunState | None:
        """The state of a run that has not ended and can be read."""
        if self.problem is not None or self.state is None or not self.newest or self.state.ended is not None:
            return None
        return self.state


@dataclass
class Patient:
    """What the checks look at. `etc` and `environ` are where they look for cron lines and timers."""

    home: str
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    clock: Callable[[], int] = wall_clock_us
    limits: Limits = Limits()
    etc: str = "/etc"
    progress: Progress | None = None

    @cached_property
    def store(self) -> Store:
        """The directory as it is, checked by nobody: what is wrong with it is what we are here for."""
        layout = Layout(self.home)
        with contextlib.suppress(OSError, DwfError):  # said by the check of the directory
            layout.sharing = read_sharing(layout, os.stat(self.home))  # noqa: PTH116
        return Store(Disk(), layout)

    @property
    def layout(self) -> Layout:
        return self.store.layout

    @cached_property
    def now_us(self) -> int:
        return self.clock()

    @cached_property
    def owner(self) -> int:
        """The uid that the state directory belongs to."""
        return os.stat(self.home).st_uid  # noqa: PTH116

    @property
    def exists(self) -> bool:
        return os.path.lexists(self.home)

    @cached_property
    def names(self) -> list[str]:
        """What lies in runs/."""
        try:
            return sorted(os.listdir(self.layout.runs))  # noqa: PTH208
        except FileNotFoundError:
            return []

    @cached_property
    def rows_before(self) -> dict[str, Row]:
        """What the index had of each run before the histories were read, which only grow; none if it is not trusted."""
        return {row.run: row for row in self.store.index.rows() or []}

    @cached_property
    def histories(self) -> list[Seen]:
        """Every history, read and folded."""
        # Read after these, a run that went on meanwhile would look as if its history had been cut.
        self.rows_before  # noqa: B018
        known = [found for found in map(run_of, self.names) if found is not None]
        newest: dict[str, int] = {}
        for run, link in known:
            newest[run] = max(link, newest.get(run, 0))
        found = []
        for number, (run, link) in enumerate(sorted(known)):
            if self.progress is not None:
                self.progress(number, len(known))
            found.append(self._seen(run, link, newest[run] == link))
        if self.progress is not None:
            self.progress(len(known), len(known))
        return found

    @cached_property
    def open_runs(self) -> list[tuple[Seen, RunState]]:
        """Runs that can be read and have not ended."""
        return [(seen, seen.open_state) for seen in self.histories if seen.open_state is not None]

    def forget(self) -> None:
        """Look at everything anew, after something was mended."""
        for name in ("names", "rows_before", "histories", "open_runs", "now_us", "owner"):
            self.__dict__.pop(name, None)
        self.store.index.close()

    def held(self, run: str) -> bool:
        """Whether somebody works on the run just now."""
        return self.store.locks.holder(run) is not None

    def _seen(self, run: str, link: int, newest: bool) -> Seen:
        path = self.layout.history_path(run, link)
        try:
            reading = read_history(path)
        except DwfError as error:
            return Seen(run, link, path, None, error, 0, newest)
        state, problem = None, reading.problem
        if reading.events and isinstance(reading.events[0], WorkflowStarted):
            try:
                state = folded(reading.events, path)
            except HistoryCorrupt as error:
                problem = problem or error
        return Seen(run, link, path, state, problem, reading.torn_bytes, newest)

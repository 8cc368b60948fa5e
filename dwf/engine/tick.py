"""The tick: drive every run that is due, several at a time, until none is. Any number of ticks may overlap.

While a step of it runs, a tick does not fall asleep on it: it goes on asking index and mailbox every second, and drives
what became due. Each run is driven by one thread; `jobs` counts steps, not runs, so a run that waits for a lane is put
aside and does not hold up those that only need a replay.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from dwf.activities import capturing
from dwf.engine.context import Engine, Watch, wall_clock_us
from dwf.engine.drive import drive
from dwf.engine.drivers import Drivers
from dwf.engine.ending import Driven, Rest, kept_from
from dwf.engine.gate import rouse
from dwf.engine.kept import MOST_PARENTS, Kept
from dwf.engine.late import bound_late
from dwf.engine.suspects import Suspects
from dwf.errors import DiskError, DwfError
from dwf.store.creation import recover_intents
from dwf.store.room import Store

_LOOK_SECONDS = 1.0
_MOMENT_SECONDS = 0.02
# With so much mail each look at it would list it all.
_MANY = 32
_BATCH = 256
# Threads beyond the lanes: runs that only replay and record overlap their syncs. More would fight for the interpreter.
_EXTRA_DRIVERS = 4
_STOP_SECONDS = 30.0


@dataclass(frozen=True)
class TickReport:
    """What a tick did. news: a line for each run that newly failed or got stuck. errors: what kept it from a run.

    remarks: what is in order, but should be known.
    """

    driven: int
    news: list[str]
    remarks: list[str]
    errors: list[DwfError]
    stopped: bool


def tick(
    store: Store,
    *,
    jobs: int = 8,
    max_seconds: float | None = None,
    only: Iterable[str] | None = None,
    watch: Watch | None = None,
    stop: threading.Event | None = None,
    clock: Callable[[], int] = wall_clock_us,
    tell: Callable[[str], None] | None = None,
    queues: Iterable[str] = (),
) -> TickReport:
    """Drive what is due until nothing is, or `stop` is set, or `max_seconds` have passed.

    only: drive just these runs, due or not, and children of theirs.
    clock: microseconds since the epoch. tell: given each line of news at once,
    for the next run may end this process. queues: begin only steps of these; of all if there are none.
    Raises DiskError if the index cannot be written.
    """
    kept = Kept(MOST_PARENTS, parents=True)
    engine = Engine.open(store, jobs=jobs, watch=watch, stop=stop, clock=clock, kept=kept, queues=queues)
    return tick_with(engine, only, max_seconds, tell)


def tick_with(
    engine: Engine,
    only: Iterable[str] | None = None,
    max_seconds: float | None = None,
    tell: Callable[[str], None] | None = None,
) -> TickReport:
    """The same with an engine that was made for it, and is closed."""
    # The collector must not run while a workflow's loop is set; it is asked for between runs instead.
    collecting = gc.isenabled()
    gc.disable()
    try:
        with capturing():
            return Rounds(engine, None if only is None else set(only), max_seconds, tell).run()
    finally:
        if collecting:
            gc.enable()
        engine.close()
        engine.store.locks.drop_spares()


class Rounds:
    """Round after round: see what is due, let it be driven, take what came to rest. A tick ends when nothing is due."""

    def __init__(
        self,
        engine: Engine,
        only: set[str] | None = None,
        max_seconds: float | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._engine = engine
        self._tell = tell
        self._store = engine.store
        self._only = only
        self._until = None if max_seconds is None else time.monotonic() + max_seconds
        self._changed = threading.Condition()
        self._drivers = Drivers(engine.lanes.count + _EXTRA_DRIVERS, self._driver)
        self._active: set[str] = set()
        self._ended: list[tuple[str, Driven | BaseException]] = []
        self._parked: set[str] = set()
        self._unparked: set[str] = set()
        self._elsewhere: dict[str, float] = {}
        self._broken: set[str] = set()
        self._resting: set[str] = set()
        self._names: dict[str, set[str]] = {}
        self._run_of: dict[str, str | None] = {}
        self._looking: dict[str, set[str]] = {}
        self._left_lying: set[str] = set()
        self._roused: set[str] = set()
        self._suspects = Suspects()
        self._first = True
        self._nudged = False
        self.driven = 0
        self.news: list[str] = []
        self.remarks: list[str] = []
        self.errors: list[DwfError] = []

    def run(self) -> TickReport:
        """All that is due, until nothing is."""
        self.begin()
        while not self._over() and self.go_round():
            pass
        return self.end()

    def begin(self) -> None:
        """Look what others have left behind."""
        self._suspects = Suspects(self._store.locks.left_by_dead())
        if self._only is None:
            recover_intents(self._store.disk, self._store.layout, self._store.index)
            self._engine.hooks.take_up()

    def go_round(self) -> bool:
        """One round; waits for a moment if something is being driven. False: nothing is, and nothing is due."""
        idle = not self._active
        due = self._suspects.one_of(self._due(), self._active)
        self._mark(due)
        started = [self._drive(run) for run in due]
        if idle and not started:
            return False
        self._take_ended()
        return True

    def _mark(self, due: list[str]) -> None:
        """Mark those due at once that have mail: under its lock each is marked again only if it is not any more."""
        posted = [run for run in due if run in self._names]
        if len(due) > 1:
            self._store.locks.keep_spares()
        if len(posted) < 2:
            return
        with suppress(DiskError):  # each says so for itself
            self._store.index.wake_each(posted)

    def nudge(self) -> None:
        """From any thread: something may have become due, look now."""
        with self._changed:
            self._nudged = True
            self._changed.notify()

    def rest(self, seconds: float) -> None:
        """Wait until nudged, for that long at most."""
        with self._changed:
            if not self._nudged:
                self._changed.wait(seconds)
            self._nudged = False

    def look_anew(self) -> TickReport:
        """What was driven and told since the last time; what was left alone since then is looked at again."""
        report = self._report()
        self.driven, self.news, self.remarks, self.errors = 0, [], [], []
        self._broken, self._resting = set(), set()
        return report

    def end(self) -> TickReport:
        """Wait for what is being driven, and leave everything tidy."""
        self._stop()
        self._drivers.close()
        self._store.mailbox.forget()
        self._store.locks.drop_spares()
        if self._only is None:
            self.tidy()
        self._store.index.note_tick(self._engine.clock())
        self._engine.hooks.finish(stop=self._engine.stop.is_set())
        return self._report()

    def _say(self, told: list[str], *lines: str) -> None:
        for line in filter(None, lines):
            told.append(line)
            if self._tell is not None:
                self._tell(line)

    def _report(self) -> TickReport:
        self._say(self.remarks, *self._engine.hooks.take_remarks())
        return TickReport(self.driven, self.news, self.remarks, self.errors, self._engine.stop.is_set())

    def _over(self) -> bool:
        if self._until is not None and time.monotonic() > self._until:
            self._engine.stop.set()
        return self._engine.stop.is_set()

    def tidy(self) -> None:
        """Remove what killed processes have left: normally two directories without anything in them."""
        try:
            self._store.mailbox.sweep(self._engine.clock())
            self._store.locks.sweep(self._is_due)
            if self._store.limits.exist():
                self._store.limits.sweep(self._engine.clock())
                rouse(self._store)
            bound_late(self._store, self._engine.clock())
        except DwfError as error:
            self.errors.append(error)

    # -- what is due --------------------------------------------------------------------------------------------

    def _due(self) -> list[str]:
        free = self._drivers.room(len(self._active))
        if free <= 0 or (self._only is None and os.path.lexists(self._store.layout.paused)):
            return []
        if self._engine.lanes.any_free():
            self._unparked, self._parked = self._unparked | self._parked, set()
        self._hear_of_kin()
        skip = self._active | self._parked | self._broken | self._locked()
        if self._suspects.is_tried(self._active):
            skip |= self._suspects.runs
        posted = [run for run in self._posted() if run not in skip]
        if self._only is not None:
            return self._of_the_chosen(self._only, set(posted), skip)
        found = posted[:free]
        return found + self._indexed(free - len(found), skip | self._resting | set(found))

    def _hear_of_kin(self) -> None:
        kin = self._engine.kin
        while kin:
            self._roused.add(kin.popleft())
        if self._only is None:
            self._roused.clear()  # the index says it, too

    def _locked(self) -> set[str]:
        """Runs that another process works on. It will look at their mail itself; we look again after a while."""
        since = time.monotonic() - _LOOK_SECONDS
        self._elsewhere = {run: seen for run, seen in self._elsewhere.items() if seen > since}
        return set(self._elsewhere)

    def _of_the_chosen(self, only: set[str], posted: set[str], skip: set[str]) -> list[str]:
        wanted = only if self._first else self._unparked | {run for run in only if run in posted or self._is_due(run)}
        self._first, self._unparked = False, set()
        self._roused -= wanted
        only |= self._roused
        found = (wanted | self._roused) - skip
        self._roused -= found
        return sorted(found)

    def _is_due(self, run: str) -> bool:
        row = None if run in self._resting else self._store.index.row(run)
        return row is not None and row.due_at is not None and row.due_at <= self._engine.clock()

    def _posted(self) -> dict[str, None]:
        """Runs with mail that has come since they were last left, the oldest first."""
        self._store.mailbox.bound()
        names = self._store.mailbox.names()
        if len(names) >= _MANY:
            self._store.mailbox.follow()
        self._left_lying.intersection_update(names)
        self._names = {}
        known, self._run_of = self._run_of, {}
        strange: list[str] = []
        for name in names:
            # Each round sees them all again: what a name says is worked out once.
            run = self._run_of[name] = known[name] if name in known else self._store.mailbox.run_of(name)
            if run is None:
                strange.append(name)
            elif name not in self._left_lying:
                self._names.setdefault(run, set()).add(name)
        self._take_strange([name for name in strange if name not in self._left_lying])
        return dict.fromkeys(self._names)

    def _take_strange(self, names: list[str]) -> None:
        if not names:
            return
        from dwf.engine.notes import take_strange

        try:
            take_strange(self._store, names, self._engine.clock())
        except DwfError as error:
            self.errors.append(error)
            self._left_lying.update(names)

    def _indexed(self, limit: int, skip: set[str]) -> list[str]:
        if limit <= 0:
            return []
        if not self._store.index.trusted():
            # Of another boot, or new, or damaged since: what it says of the past may never have reached the disk.
            self._store.index.rebuild()
        return self._store.index.due(self._engine.clock(), min(limit, _BATCH), skip) or []

    # -- drivers ------------------------------------------------------------------------------------------------

    def _drive(self, run: str) -> str:
        self._active.add(run)
        self._looking[run] = self._names.get(run, set())
        try:
            self._drivers.give(run)
        except DiskError as error:
            self._active.discard(run)
            self._note(run, error)
        return run

    def _driver(self, run: str) -> None:
        result: Driven | BaseException
        try:
            # Given before the wish to stop, and not begun: left alone, as it is.
            result = Driven(Rest.BUSY) if self._engine.stop.is_set() else drive(self._engine, run)
        except BaseException as error:
            result = error
        with self._changed:
            self._ended.append((run, result))
            # Whoever is woken takes the interpreter from those who drive: not for each of many.
            if not self._drivers.has_plenty() or isinstance(result, BaseException) or result.tells:
                self._changed.notify()

    def _take_ended(self) -> None:
        with self._changed:
            if not self._ended and not self._nudged:
                short = self._drivers.is_short()
                notified = self._changed.wait(_MOMENT_SECONDS if short else _LOOK_SECONDS)
                if short and not notified and not self._ended:
                    self._drivers.add()
            self._nudged = False
            ended, self._ended = self._ended, []
        for run, result in ended:
            self._active.discard(run)
            self._note(run, result)
        if ended:
            gc.collect(1)

    def _note(self, run: str, result: Driven | BaseException) -> None:
        if isinstance(result, BaseException):
            self._broken.add(run)
            self.errors.append(kept_from(run, result))
            return
        self._say(self.news, result.news)
        self._say(self.remarks, result.remark)
        if result.rest is Rest.BUSY:
            self._elsewhere[run] = time.monotonic()
            return
        self.driven += 1
        self._suspects.acquit(run)
        # Mail that a run has seen and left (it has not begun, it is unreadable) is no reason to drive it again.
        self._left_lying |= self._looking.pop(run, set())
        if result.rest is Rest.PARKED:
            self._parked.add(run)
        elif result.rest in (Rest.BLOCKED, Rest.UNREADABLE, Rest.ELSEWHERE):
            # Whoever mends it does not do so within this tick; what is posted for it is still taken up.
            self._resting.add(run)

    def _stop(self) -> None:
        """Wait for the drivers to leave their runs; what does not in time dies with the process."""
        until = time.monotonic() + _STOP_SECONDS
        while self._active and time.monotonic() < until:
            self._take_ended()

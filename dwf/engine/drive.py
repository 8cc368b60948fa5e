"""One run under its lock: read, replay, deliver what is ready, act, record, until it rests.

The loop is plain synchronous code; steps run in lanes. What is a fact (a step's end, a signal) is recorded even while
the script is blocked, and delivered when it goes on. A blocked run starts nothing.
"""

from __future__ import annotations

import os
import time
from collections import deque

from dwf.activities.function import one_picture
from dwf.core import events as ev
from dwf.core.due import is_cut_short
from dwf.core.duration import SECOND, stamp
from dwf.core.state import OpenStep, Status
from dwf.engine.arrivals import CLOSING, TIMER, Arrival, decided, from_time
from dwf.engine.callbacks import asked
from dwf.engine.context import Engine
from dwf.engine.ending import (
    Driven,
    Rest,
    at_the_beginning,
    close_with,
    closed,
    forced,
    missing,
    news_of,
    not_begun,
    refuse_poison,
    unreadable,
)
from dwf.engine.incoming import Incoming
from dwf.engine.journal import Journal
from dwf.engine.lanes import Ended, played
from dwf.engine.newer import code_for
from dwf.engine.requests import take_up
from dwf.engine.steps import Steps
from dwf.engine.summary import row_of
from dwf.errors import DiskError, DwfError, HistoryCorrupt, NewerFormat, ScriptError, StepStillRuns
from dwf.store.locks import RunLock

_LOOK_SECONDS = 1.0
_LANE_SECONDS = 0.05
_LAST_LOOKS = 3
_STOP_SECONDS = 10.0


def drive(engine: Engine, run: str) -> Driven:
    """Drive one run until it rests. Raises DiskError; nothing is lost then, and the run stays due."""
    store = engine.store
    lock = store.locks.take(run)
    if lock is None:
        return Driven(Rest.BUSY)
    try:
        if store.shared:
            take_up(store, run)
        link = store.latest_link(run)
        if not os.path.lexists(store.layout.history_path(run, link)):
            return missing(store, run)
        # Rows are written under the lock only; if this one cannot be, no work begins.
        wakes = store.index.mark_due(run)
        return _Drive(engine, run, link, lock, wakes).to_rest()
    finally:
        lock.release()


class _LookAgain(Exception):
    """Mail came in time, just before the script was done: it is delivered first. Or a person let the run go on."""


class _Drive:
    """ready: what has happened and was not delivered yet. batch: what was delivered and is not on disk yet.

    wakes: how often the run had been woken when it was marked due; all that came before is seen by the first look.
    """

    def __init__(self, engine: Engine, run: str, link: int, lock: RunLock, wakes: int) -> None:
        self._engine = engine
        self._lock = lock
        self._store = engine.store
        self._run, self._link, self._wakes = run, link, wakes
        self._mail = Incoming(engine.store, run, self._misfit, lambda letter: asked(self.journal, letter), engine.clock)
        self._ready: list[Arrival] = []
        self._batch: list[Arrival] = []
        self._waits_for_lane = self._let_go = False
        self._looks = 0
        self.news = ""

    # -- the whole ----------------------------------------------------------------------------------------------

    def to_rest(self) -> Driven:
        try:
            # Over which a process has died, is read anew: how far it came has to be counted.
            kept = None if self._lock.deaths else self._engine.kept.take(self._run, self._link)
            self.journal = kept or Journal(self._engine, self._run, self._link)
        except (HistoryCorrupt, NewerFormat) as error:
            return unreadable(self._store, self._run, self._link, error)
        if self._lock.deaths:
            self._lock.come_to(sum(event.role is not ev.Role.PROGRESS for event in self.journal.history.events))
        self.steps = Steps(self._engine, self.journal)
        found = self.journal.history.length
        try:
            while True:
                try:
                    driven = Driven(self._once(), self.news, self.journal.remark(found))
                    break
                except _LookAgain:
                    self._begin_again()
        except BaseException:
            self._abandon()
            self.journal.close()
            raise
        if driven.rest is Rest.WAITING:
            self._engine.kept.keep(self.journal)
        else:
            self.journal.close()
        return driven

    def _once(self) -> Rest:
        state = self.journal.state
        if state.ended is not None:
            return closed(self._store, self.journal, self._wakes)
        if state.starts_later and stamp(self._engine.clock()) < state.head.start_at:
            return not_begun(self._store, self.journal, self._wakes)
        if (
            self.journal.history.length == 1
            and (ended := at_the_beginning(self._store, self.journal, self._wakes)) is not None
        ):
            return ended
        self._replay()
        while True:
            if self._engine.stop.is_set():
                return self._stop()
            self._deliver_ready()
            if self._is_over():
                return self._end()
            if not self._act() and (rest := self._rest()) is not None:
                return rest

    def _is_over(self) -> bool:
        return self._mail.terminated is not None or is_cut_short(self.journal.state) or self._done()

    def _done(self) -> bool:
        return not (self.journal.blocked or self._let_go) and self.journal.replay.outcome is not None

    def _begin_again(self) -> None:
        """Throw away what is not on disk, but not what steps have done."""
        self._looks += 1
        self._mail.again(arrival.at_us for arrival in self._batch if arrival.rank == TIMER)
        self._ready = [arrival for arrival in [*self._batch, *self._ready] if arrival.rank == CLOSING]
        self._batch = []
        self.journal.rollback()
        self.journal.close()
        self.journal = self.steps.journal = Journal(self._engine, self._run, self._link)

    def _abandon(self) -> None:
        """Something could not be recorded: nothing begins, and the lock is kept until nothing runs."""
        self.steps.drop()
        self.steps.abandon("dwf could not record it")
        self._await_ends()

    # -- replay and blocks --------------------------------------------------------------------------------------

    def _replay(self) -> None:
        interrupted, left = self.steps.orphans()
        try:
            if left is not None:
                raise left
            refuse_poison(self.journal.state, self._lock.deaths)
            if not (self.journal.replayed or self.journal.blocked):
                self.journal.replay_all(code_for(self._engine, self.journal))
        except DiskError:
            raise
        except DwfError as error:
            self._block(error)
        for event in interrupted:
            self._deliver(event)
        # A batch that was torn between an answer and what it decides.
        for command in list(self.journal.state.approvals):
            self._deliver_decision(command)

    def _block(self, error: DwfError) -> None:
        if error.hint:
            # Core does not know of whom it speaks.
            error.hint = error.hint.replace(" RUN ", f" {self._run} ")
        if self.journal.block(error):
            where = str(error.facts.get("where", ""))
            at = f" ({where})" if where and where not in error.message else ""
            self.news = f"{self._run} is blocked: {error.message}{at}"

    def _say_unblocked(self) -> None:
        """It was blocked when the history was last written, and is not any more."""
        if self.journal.state.blocked is not None and not self.journal.blocked and not self._is_stuck():
            self.journal.record(ev.RunUnblocked())

    def _is_stuck(self) -> bool:
        try:
            self.journal.replay.check_not_stuck()
        except ScriptError as error:
            self._block(error)
            return True
        return False

    # -- arrivals -----------------------------------------------------------------------------------------------

    def _deliver_ready(self) -> None:
        """Deliver in the order of their own time, until the script is done; what is left then stays ready."""
        self._ready += self.steps.finished() + self._mail.fresh()
        # A lock is asked for before its own timeout counts: whether it is free is not known yet.
        due = [] if self.journal.has_to_ask else from_time(self.journal.state, self._engine.clock())
        waiting = deque(sorted(self._ready + due))
        self._ready = []
        # Asked before the first, too: a script may be done without having waited, and nothing can be recorded then.
        while waiting and not (self._is_over() or self._let_go):
            self._take(waiting.popleft())
        if self._is_over() or self._let_go:
            self._ready = [arrival for arrival in waiting if arrival.rank != TIMER]
        elif not self.journal.blocked:
            while called_off := self.steps.called_off():
                for event in called_off:
                    self._deliver(event)

    def _take(self, arrival: Arrival) -> None:
        self._batch.append(arrival)
        try:
            events = arrival.make(self.journal.state)
        except (StepStillRuns, ScriptError) as error:
            self._block(error)
            return
        for event in events:
            self._deliver(event)
            self._let_go = self._let_go or isinstance(event, ev.RunUnblocked | ev.RunResumed)

    def _deliver(self, event: ev.Event) -> None:
        if self._done():
            return
        if self.journal.blocked or event.role is ev.Role.PROGRESS:
            self.journal.record(event)
        else:
            try:
                self.journal.deliver(event)
            except DiskError:
                raise
            except DwfError as error:
                self._block(error)
        if isinstance(event, ev.ApprovalAnswered):
            self._deliver_decision(event.command)

    def _deliver_decision(self, command: int) -> None:
        outcome = decided(self.journal.state, command)
        if outcome is not None:
            self._deliver(outcome)

    def _misfit(self, command: int, result: bytes) -> str | None:
        return self.journal.refusal(command, result)

    # -- acting -------------------------------------------------------------------------------------------------

    def _act(self) -> bool:
        """Commit, and let steps begin. False when there is nothing to do but wait or rest."""
        self._waits_for_lane = False
        if self._let_go:
            self._commit()
            self._let_go = False
            self._lock.forgive()
            raise _LookAgain
        self._say_unblocked()
        if self.journal.blocked:
            self._commit()
            return False
        self.journal.tell_handlers()
        lone = None if self.steps.in_flight else self.steps.lone_function()
        if lone is not None and self._engine.lanes.take(1, self.journal.state.head.priority):
            self._play_on(lone)
            return True
        self._waits_for_lane = not self.steps.plan()
        self._commit()
        self.steps.cancel_asked()
        self.steps.launch()
        self._ready += self.journal.heard_of_family()
        return bool(self._ready)

    def _play_on(self, lone: OpenStep | None) -> None:
        """Step after step, as long as nothing else is open and it is not time to look for mail or for the end.

        How the last one ended is all that can be ready then, so it is delivered without being sorted among others.
        """
        try:
            with one_picture():
                while lone is not None:
                    self._play_alone(lone.command)
                    if self._mail.is_to_be_looked_for() or self._engine.stop.is_set():
                        return
                    for arrival in self.steps.finished():
                        self._take(arrival)
                    if self.journal.blocked or self._is_over():
                        return
                    lone = self.steps.lone_function()
        finally:
            self._engine.lanes.give_back(1)

    def _play_alone(self, command: int) -> None:
        """The run's own thread performs the step, without handing it over."""
        performance = self.steps.begin_lone(self.journal.state.steps[command], self._mail.asks_to_end)
        self._commit()
        self.steps.reports.put(Ended(command, played(performance)))

    def _commit(self) -> None:
        self.journal.commit()
        self.steps.tidy()
        self._batch = []
        self._mail.put_aside()

    def _rest(self) -> Rest | None:
        """Wait for what runs, or leave the run. None: there is something to do again."""
        if self.steps.in_flight:
            self._await_report()
            return None
        self._ready += self._mail.fresh(surely=True)
        self._ready += self.journal.heard_of_family()
        if self._ready or from_time(self.journal.state, self._engine.clock()) or not self.steps.reports.empty():
            return None
        if not self.journal.blocked:
            if not self._waits_for_lane and self.steps.has_ready():
                return None
            self._is_stuck()
            if self.journal.dirty:
                return None
        return self._settle()

    def _await_report(self) -> None:
        timeout = _LANE_SECONDS if self._waits_for_lane else _LOOK_SECONDS
        due, now = self.steps.gate.next_due_us(self.journal.state), self._engine.clock()
        # What is due and was not begun waits for a lane, or for the script to be mended, and not for the clock.
        if due is not None and due > now:
            timeout = min(timeout, (due - now) / SECOND)
        self._ready += self.steps.finished(timeout)
        if timeout >= _LOOK_SECONDS:
            self._mail.look_anew()
        self._ready += self.journal.heard_of_family()

    def _settle(self) -> Rest | None:
        held_up = [] if self.journal.blocked else self.steps.gate.reasons()
        row = row_of(self.journal.state, self._link, due_now=self._waits_for_lane, held_up=held_up)
        if not self._store.index.settle(self._run, self._wakes, row):
            self._wakes = self._store.index.mark_due(self._run)
            return None
        # Until the row is written, the letters are what makes the run due.
        self._mail.discard()
        if self._waits_for_lane:
            return Rest.PARKED
        if any(held.elsewhere for held in held_up):
            return Rest.ELSEWHERE
        return Rest.BLOCKED if self.journal.state.status in (Status.BLOCKED, Status.PAUSED) else Rest.WAITING

    # -- ends ---------------------------------------------------------------------------------------------------

    def _end(self) -> Rest:
        """Record the end. Mail that came before it is delivered first, a bounded number of times."""
        if forced(self.journal.state, self._mail.terminated) is None:
            if self._looks < _LAST_LOOKS and self._mail.came_in_time():
                raise _LookAgain
            self._say_unblocked()
        if self.steps.in_flight or self._mail.unsettled:
            # What made it end is on disk before anything is done about it.
            self._commit()
        self.steps.end_all("the run is over")
        self._await_ends()
        self._mail.discard(surely=True)
        end = forced(self.journal.state, self._mail.terminated) or self.journal.replay.outcome
        assert end is not None
        self.news = news_of(self.journal.state, end) or self.news
        rest = close_with(self._store, self.journal, end, self._wakes)
        self.steps.tidy()
        return rest

    def _await_ends(self) -> None:
        while self.steps.in_flight:
            self.steps.finished(_LOOK_SECONDS)

    def _stop(self) -> Rest:
        """The tick is told to stop: end what runs, write down how, and leave."""
        self.steps.interrupt_all()
        until = time.monotonic() + _STOP_SECONDS
        # What cannot be interrupted counts as killed with this process.
        while self.steps.in_flight and (left := until - time.monotonic()) > 0:
            self._ready += self.steps.finished(left)
        closings = [arrival for arrival in self._ready + self.steps.finished() if arrival.rank == CLOSING]
        self._ready = []
        for arrival in sorted(closings):
            self._take(arrival)
        if self._done() and not self.steps.in_flight:
            return self._end()
        self._commit()
        if self._store.index.settle(self._run, self._wakes, row_of(self.journal.state, self._link, due_now=True)):
            self._mail.discard()
        return Rest.STOPPED

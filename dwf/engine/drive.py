"""One run under its lock: read, replay, deliver what is ready, act, record, until it rests.

The loop is plain synchronous code; steps run in lanes. What is facts (a step's end, a signal) is recorded even while the
script is blocked, and delivered when it goes on. A blocked run starts nothing.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from enum import Enum
from queue import Empty, SimpleQueue

from dwf.core import events as ev
from dwf.core import messages as mail
from dwf.core.duration import SECOND, stamp
from dwf.core.state import Status
from dwf.engine.arrivals import CLOSING, Arrival, Late, decided, from_letter, from_time, sender_of
from dwf.engine.context import Engine
from dwf.engine.journal import Journal
from dwf.engine.lanes import Ended, Report
from dwf.engine.steps import Steps
from dwf.engine.summary import row_of
from dwf.errors import DiskError, DwfError, HistoryCorrupt, NewerFormat, ScriptError, ValueRefused
from dwf.store.letters import Letter
from dwf.store.row import Row

_LOOK_SECONDS = 1.0
_LAST_LOOKS = 3
_STOP_SECONDS = 10.0


class Rest(Enum):
    """Why a run was left."""

    WAITING = "waiting"
    CLOSED = "closed"
    BLOCKED = "blocked"
    PARKED = "parked"  # a step is runnable, but no lane was free
    STOPPED = "stopped"
    BUSY = "busy"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Driven:
    """How a run was left. `news`: a line for people, if something went wrong for the first time."""

    rest: Rest
    news: str = ""


def drive(engine: Engine, run: str) -> Driven:
    """Drive one run until it rests. Raises DiskError; nothing is lost then, and the run stays due."""
    lock = engine.store.locks.take(run)
    if lock is None:
        return Driven(Rest.BUSY)
    try:
        # Rows are written under the lock only; if this one cannot be, no work begins.
        engine.store.index.mark_due(run)
        return _Drive(engine, run).to_rest()
    finally:
        lock.release()


class _LookAgain(Exception):
    """Mail came in time, just before the script was done: it is delivered first."""


class _Drive:
    def __init__(self, engine: Engine, run: str) -> None:
        self._engine = engine
        self._store = engine.store
        self._run = run
        self._link = engine.store.latest_link(run)
        self._reports: SimpleQueue[Report] = SimpleQueue()
        self._imported: list[str] = []
        self._seen: set[str] = set()
        self._batch: list[Arrival] = []
        self._carried: list[Arrival] = []
        self._terminated: Letter | None = None
        self._blocked = False
        self._waits_for_lane = False
        self._last_looks = 0
        self._mail_time = -1
        self.news = ""

    # -- the whole ----------------------------------------------------------------------------------------------

    def to_rest(self) -> Driven:
        try:
            self.journal = Journal(self._engine, self._run, self._link)
        except (HistoryCorrupt, NewerFormat) as error:
            return self._unreadable(error)
        self.steps = Steps(self._engine, self.journal, self._reports)
        try:
            while True:
                try:
                    return Driven(self._once(), self.news)
                except _LookAgain:
                    self._begin_again()
        except BaseException:
            self.steps.abandon()
            raise
        finally:
            self.journal.close()

    def _once(self) -> Rest:
        if self.journal.state.ended is not None:
            return self._closed()
        if self._before_its_start():
            return self._not_begun()
        self._replay()
        while True:
            if self._engine.stop.is_set():
                return self._stop()
            self._deliver_ready()
            if self._terminated is not None or self._done():
                return self._end()
            if not self._act():
                rest = self._rest()
                if rest is not None:
                    return rest

    def _done(self) -> bool:
        return not self._blocked and self.journal.replay.outcome is not None

    def _begin_again(self) -> None:
        self._carried = [arrival for arrival in self._batch if arrival.rank == CLOSING]
        self._batch, self._imported, self._seen = [], [], set()
        self._last_looks += 1
        self.journal.rollback()
        self.journal.close()
        self.journal = self.steps.journal = Journal(self._engine, self._run, self._link)

    def _before_its_start(self) -> bool:
        state = self.journal.state
        return state.last_id == 1 and stamp(self._engine.clock()) < state.head.start_at

    def _not_begun(self) -> Rest:
        """A start that lies ahead: mail is kept for the script; only an end is taken up now."""
        while True:
            wakes = self._store.index.wakes_seen(self._run)
            for letter in self._store.mailbox.pending(self._run):
                if letter.message.nonce == self.journal.state.head.nonce:
                    if letter.message.kind == mail.TERMINATE:
                        return self._close_with(self._termination(letter))
                    if letter.message.kind == mail.CANCEL:
                        return self._close_with(ev.WorkflowCancelled(reason=letter.message.reason, message=letter.message.id))
            if self._store.index.settle(self._run, wakes, row_of(self.journal.state, self._link)):
                return Rest.WAITING
            self._store.index.mark_due(self._run)

    def _close_with(self, end: ev.Event) -> Rest:
        self.journal.record(end)
        self.journal.commit()
        return self._closed()

    # -- replay and blocks --------------------------------------------------------------------------------------

    def _replay(self) -> None:
        state = self.journal.state
        try:
            fresh = self.journal.replay_all(self._engine.codes.of(state))
        except DiskError:
            raise
        except DwfError as error:
            self._block(error)
            return
        self._blocked = False
        if state.blocked is not None:
            self.journal.record(ev.RunUnblocked())
        for opening in fresh:
            self._opened(self.journal.record(opening))
        for event in self.steps.orphans():
            self._deliver(event)

    def _block(self, error: DwfError) -> None:
        """The script cannot go on. Recorded once per distinct reason; nothing of the void activation is."""
        self._blocked = True
        state, loaded = self.journal.state, self.journal.loaded
        blocked = ev.RunBlocked(
            code=error.code,
            message=error.message,
            hint=error.hint or "",
            where=str(error.facts.get("where", "")),
            code_hash=loaded.content if loaded else state.code,
        )
        before = state.blocked
        if before is None or (before.code, before.message, before.code_hash) != (
            blocked.code,
            blocked.message,
            blocked.code_hash,
        ):
            self.journal.record(blocked)
            self.news = f"{self._run} is blocked: {error.message}"
        else:
            self.journal.forget_said()

    def _check_stuck(self) -> None:
        try:
            self.journal.replay.check_not_stuck()
        except ScriptError as error:
            self._block(error)

    # -- arrivals -----------------------------------------------------------------------------------------------

    def _deliver_ready(self) -> None:
        ready, self._carried = self._carried, []
        ready += self._finished() + self._letters() + from_time(self.journal.state, self._engine.clock())
        for arrival in sorted(ready):
            self._batch.append(arrival)
            for event in arrival.make(self.journal.state):
                self._deliver(event)
            if self._terminated is not None or self._done():
                return
        if not self._blocked:
            while called_off := self.steps.called_off():
                for event in called_off:
                    self._deliver(event)

    def _deliver(self, event: ev.Event) -> None:
        if self._done():
            return
        if self._blocked or event.role is ev.Role.PROGRESS:
            self.journal.record(event)
        else:
            try:
                for opening in self.journal.deliver(event):
                    self._opened(opening)
            except DiskError:
                raise
            except ScriptError as error:
                self._block(error)
        if isinstance(event, ev.ApprovalAnswered):
            outcome = decided(self.journal.state, event.command)
            if outcome is not None:
                self._deliver(outcome)

    def _opened(self, opening: ev.Event) -> None:
        """Refuse at once what could never be answered."""
        if isinstance(opening, ev.ApprovalRequested) and opening.need > 1 and not self._store.shared:
            self._block(
                ValueRefused(
                    what=f"dwf.approve(need={opening.need})",
                    why="this state directory belongs to one user, who is one person",
                    hint="use need=1 here",
                )
            )

    def _finished(self) -> list[Arrival]:
        found = []
        with contextlib.suppress(Empty):
            while True:
                found += self._reported(self._reports.get_nowait())
        return found

    def _reported(self, report: Report) -> list[Arrival]:
        if not isinstance(report, Ended):
            self.steps.lane_free(report.steps, report.seconds)
            return []
        command, outcome = report.command, report.outcome
        return [Arrival(outcome.ended_us, CLOSING, (command, ""), lambda _: self.steps.ended(command, outcome))]

    def _letters(self, *, all_of_them: bool = False) -> list[Arrival]:
        if not all_of_them and not self._mail_moved():
            return []
        found = []
        for letter in self._store.mailbox.pending(self._run):
            if letter.name in self._seen:
                continue
            self._seen.add(letter.name)
            found.append(self._letter(letter))
        return found

    def _letter(self, letter: Letter) -> Arrival:
        if letter.message.kind == mail.TERMINATE:
            arrival = Arrival(letter.posted_us, 0, (0, letter.name), lambda _: self._terminate(letter))
        else:
            arrival = from_letter(letter, self.journal.state)
        inner = arrival.make

        def make(state: object) -> list[ev.Event]:
            try:
                events = inner(self.journal.state)
            except Late:
                self._store.mailbox.to_late(letter.name)
                return []
            if events or letter.message.id in self.journal.state.messages:
                self._imported.append(letter.name)
            return events

        arrival.make = make
        if self._last_looks:
            arrival.at_us = 0  # it came in time: before what would have ended the run
        return arrival

    def _terminate(self, letter: Letter) -> list[ev.Event]:
        if letter.message.nonce and letter.message.nonce != self.journal.state.head.nonce:
            raise Late("it was meant for an earlier run of this id")
        self._terminated = letter
        return []

    def _mail_moved(self) -> bool:
        """A directory's time says whether anything was posted; the full look before a rest does not rely on it."""
        time = os.stat(self._store.layout.mail_new).st_mtime_ns  # noqa: PTH116 - on the path of every step
        moved, self._mail_time = time != self._mail_time, time
        return moved

    # -- acting -------------------------------------------------------------------------------------------------

    def _act(self) -> bool:
        """Commit, and let steps begin. False when there is nothing to do but wait or rest."""
        self._waits_for_lane = False
        if self._blocked:
            self._commit()
            return False
        self.steps.cancel_asked()
        lone = None if self.steps.in_flight else self.steps.lone_function()
        if lone is not None and self._engine.lanes.take(1):
            self._play_alone(lone.command)
            return True
        self._waits_for_lane = not self.steps.plan()
        self._commit()
        self.steps.launch()
        return False

    def _play_alone(self, command: int) -> None:
        """Nothing else is open: the run's own thread performs the step, without handing it over."""
        try:
            performance = self.steps.begin_lone(self.journal.state.steps[command])
            self._commit()
            performance.go()
            self._reports.put(Ended(command, performance.finish()))
        finally:
            self._engine.lanes.give_back(1)

    def _commit(self) -> None:
        self.journal.commit()
        self._batch = []

    def _rest(self) -> Rest | None:
        """Wait for what runs, or leave the run. None: there is something to do again."""
        if self.steps.in_flight:
            self._await_report()
            return None
        wakes = self._store.index.wakes_seen(self._run)
        late = self._letters(all_of_them=True)
        due = from_time(self.journal.state, self._engine.clock())
        if late or due or not self._reports.empty():
            self._carried += late
            return None
        if not self._blocked:
            if not self._waits_for_lane and self.steps.has_ready():
                return None
            self._check_stuck()
            if self.journal.dirty:
                return None
        return self._settle(wakes)

    def _await_report(self) -> None:
        timeout = _LOOK_SECONDS
        due = self.journal.state.next_due_us()
        if due is not None:
            timeout = min(timeout, max(0.0, (due - self._engine.clock()) / SECOND))
        if self._waits_for_lane:
            timeout = min(timeout, 0.05)
        with contextlib.suppress(Empty):
            self._carried += self._reported(self._reports.get(timeout=timeout))
        # A posting within the same clock tick as the last look leaves the directory's time as it was.
        self._mail_time = -1 if timeout >= _LOOK_SECONDS else self._mail_time

    def _settle(self, wakes: int) -> Rest | None:
        row = row_of(self.journal.state, self._link, due_now=self._waits_for_lane)
        if not self._store.index.settle(self._run, wakes, row):
            self._store.index.mark_due(self._run)
            return None
        self._discard()
        if self._waits_for_lane:
            return Rest.PARKED
        return Rest.BLOCKED if self.journal.state.status is Status.BLOCKED else Rest.WAITING

    def _discard(self) -> None:
        """Imported letters go last: until the row is written they are what makes the run due."""
        self._store.mailbox.discard(self._imported)
        self._imported = []

    # -- ends ---------------------------------------------------------------------------------------------------

    def _end(self) -> Rest:
        """Record the end. Mail that came before it is delivered first, a bounded number of times."""
        terminated = self._terminated
        if terminated is None and self._last_looks < _LAST_LOOKS and self._letters(all_of_them=True):
            raise _LookAgain
        self._end_steps()
        if self._imported:
            self.journal.commit()
            self._discard()
            self._store.mailbox.sync_new()
        end = self.journal.replay.outcome if terminated is None else self._termination(terminated)
        assert end is not None
        if isinstance(end, ev.WorkflowFailed):
            self.news = f"{self._run} failed: {end.error.message}"
        return self._close_with(end)

    def _termination(self, letter: Letter) -> ev.WorkflowTerminated:
        state = self.journal.state
        still_open = sorted([*state.steps, *state.timers, *state.signal_waits, *state.approvals])
        return ev.WorkflowTerminated(
            by=sender_of(letter), reason=letter.message.reason, message=letter.message.id, open=still_open
        )

    def _end_steps(self) -> None:
        self.steps.end_all("the run is over")
        while self.steps.in_flight:
            report = self._reports.get()
            if isinstance(report, Ended):
                self.steps.in_flight.pop(report.command, None)

    def _closed(self) -> Rest:
        """Settle a run that is over; what else came for it came too late, and is kept as that."""
        while True:
            wakes = self._store.index.wakes_seen(self._run)
            for letter in self._store.mailbox.pending(self._run):
                if self._took_up(letter):
                    self._store.mailbox.discard([letter.name])
                else:
                    self._store.mailbox.to_late(letter.name)
            if self._store.index.settle(self._run, wakes, row_of(self.journal.state, self._link)):
                return Rest.CLOSED
            self._store.index.mark_due(self._run)

    def _took_up(self, letter: Letter) -> bool:
        """Whether the history has this letter: as an event, or as what ended it."""
        ended = self.journal.state.ended
        by = ended.message if isinstance(ended, ev.WorkflowTerminated | ev.WorkflowCancelled) else ""
        return letter.message.id == by or letter.message.id in self.journal.state.messages

    def _stop(self) -> Rest:
        """The tick is told to stop: end what runs, write down how, and leave."""
        self.steps.interrupt_all()
        with contextlib.suppress(Empty):  # what cannot be interrupted counts as killed with this process
            while self.steps.in_flight:
                for arrival in self._reported(self._reports.get(timeout=_STOP_SECONDS)):
                    for event in arrival.make(self.journal.state):
                        self._deliver(event)
        if self._done():
            return self._end()
        self.journal.commit()
        wakes = self._store.index.wakes_seen(self._run)
        self._store.index.settle(self._run, wakes, row_of(self.journal.state, self._link, due_now=True))
        self._discard()
        return Rest.STOPPED

    def _unreadable(self, error: HistoryCorrupt | NewerFormat) -> Driven:
        """Leave a history alone that cannot be trusted. Others go on; it is reported when it is first met."""
        status = Status.CORRUPT if isinstance(error, HistoryCorrupt) else Status.NEWER
        before = self._store.index.row(self._run)
        known = before is not None and before.status == status.value
        row = Row(self._run, link=self._link, status=status.value, due_at=None, waiting=error.message)
        self._store.index.settle(self._run, self._store.index.wakes_seen(self._run), row)
        return Driven(Rest.UNREADABLE, "" if known else error.message)


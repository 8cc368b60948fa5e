"""Steps: from a scheduled activity to attempts, and from how they ended to events.

Order on disk: ActivityStarted(attempt n) is durable before the attempt acts; how it ended is durable, together with
what the script asks for next, before anything of that begins.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from msgspec.structs import replace

from dwf.activities import adopt, end_orphan, prepare_async, prepare_isolated, prepare_kept, prepare_shell
from dwf.activities.function import InProcess
from dwf.activities.plan import Asked, Attempt, Kind, Outcome, Performance, ShellSpec, Target
from dwf.activities.waited import Waited
from dwf.core import events as ev
from dwf.core.duration import stamp, unstamp
from dwf.core.parts import Payload
from dwf.core.runtime import ActivityCall
from dwf.core.state import OpenStep, RunState
from dwf.core.values import decode
from dwf.engine.arrivals import CLOSING, Arrival, Make
from dwf.engine.attempts import Attempts, as_set, no_probe, still_runs
from dwf.engine.context import Engine
from dwf.engine.deciding import overruled, why_cancelled, why_overruled
from dwf.engine.gate import Gate, Pass, priority
from dwf.engine.journal import Journal
from dwf.engine.lanes import Ended, Report, played
from dwf.engine.outcomes import ended, interrupted, probed
from dwf.engine.quick import is_isolated, is_quick
from dwf.engine.tokens import with_tokens
from dwf.errors import DiskError, StepStillRuns
from dwf.host import Process, same_process_alive, start_thread
from dwf.scripts.perform import PERFORMER, packed

# A lane is loaded with more quick functions at a time as long as a whole load takes less than this.
_QUICK_SECONDS = 0.01
_LONGEST_LOAD = 256
_ORPHAN_GRACE_US = 5_000_000
ADOPT = "adopt"
Mail = Callable[[RunState], Asked | None]
STOPPING = Asked(Kind.INTERRUPTED, "dwf is stopping")


class Steps:
    """The attempts of one run in this process.

    in_flight: those that were let go and have not reported their end. reports: where they do.
    """

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self._engine = engine
        self.journal = journal
        self._attempts = Attempts(engine, lambda: self.journal)
        self.reports: SimpleQueue[Report] = SimpleQueue()
        self._load_size = 1
        self._slow: list[tuple[int, Performance]] = []
        self._quick: list[tuple[int, Performance]] = []
        self._reserved = 0
        self._quick_lanes = 0
        self._begun_here: set[int] = set()
        self._options: dict[int, dict[str, int]] = {}
        self._probing: set[int] = set()
        self._waited: dict[int, Waited] = {}
        self.gate = Gate(engine)
        self._passes: dict[int, Pass] = {}
        self.in_flight: dict[int, Performance] = {}

    # -- beginning ----------------------------------------------------------------------------------------------

    def plan(self) -> bool:
        """Prepare what can begin now and stage its ActivityStarted; False if something had to wait for a free lane."""
        self.gate.open(self.journal.state)
        waiting = self._ready()
        if not waiting:
            return True
        self._reserved = self._engine.lanes.take(len(waiting), self.journal.state.head.priority)
        self._engine.lanes.staff()
        lanes, seats = self._reserved, 0
        for step in waiting:
            call = self._call(step.command)
            quick = step.unknown is None and is_quick(call) and self.gate.is_plain(step)
            if not lanes and not (quick and seats):
                return False
            if not self._let_through(step):
                continue
            if quick and seats:
                seats -= 1
            else:
                lanes -= 1
                if quick:
                    self._quick_lanes += 1
                    seats = self._load_size - 1
            try:
                prepared = self._prepare(step, call)
            except DiskError:
                if step.command in self._passes:
                    self._passes.pop(step.command).end()
                if not (self.in_flight or self._quick or self._slow):
                    raise
                return False  # what runs will give back what there is too little of
            (self._quick if quick else self._slow).append(prepared)
        return True

    def has_ready(self) -> bool:
        """Whether a step could begin now."""
        return any(step.command not in self.gate.held_up for step in self._ready())

    def _let_through(self, step: OpenStep) -> bool:
        """Whether its limits let it begin. A probe only looks, and is not counted."""
        if step.unknown is not None or self.gate.is_plain(step):
            return True
        passed = self.gate.enter(step, self.journal.state)
        if passed is not None:
            self._passes[step.command] = passed
        return passed is not None

    def lone_function(self) -> OpenStep | None:
        """The step that may run in the run's own thread: a plain function, and nothing else is open beside it."""
        if self.journal.replay.commands.handlers.changed:
            return None  # what it takes by handlers is told first; then it is not alone any more
        if self.journal.family.claims.owes(self.journal.state):
            return None  # another run may wait for what it has given up
        step = self.journal.state.lone_step
        if step is None or not step.is_free or step.unknown is not None:
            return None
        if step.retry_at and step.retry_at > stamp(self._engine.clock()):
            return None
        return step if is_quick(self._call(step.command)) and self.gate.is_plain(step) else None

    def begin_lone(self, step: OpenStep, mail: Mail) -> Performance:
        """Prepare the only step and stage its ActivityStarted.

        The thread that could tell it that it is to end performs it, so it asks; mail: what is posted that says so.
        """
        return self._prepare(step, self._call(step.command), mail)[1]

    def launch(self) -> None:
        """Let the prepared steps begin; their ActivityStarted is on disk now."""
        loads = [[one] for one in self._slow]
        loads += [self._quick[i :: self._quick_lanes] for i in range(self._quick_lanes)]
        self._engine.lanes.give_back(self._reserved - len(loads))
        self._forget_prepared()
        for load in loads:
            self.in_flight.update(load)
            for command, _ in load if self._passes else ():
                if command in self._passes:
                    self._passes[command].begins()
            self._engine.lanes.play(load, self.reports)

    def drop(self) -> None:
        """Let go of what is prepared and must not begin."""
        for _, performance in [*self._slow, *self._quick]:
            performance.finish()
        for command in self._passes.keys() - self.in_flight.keys():
            self._passes.pop(command).end()
        self._engine.lanes.give_back(self._reserved)
        self._forget_prepared()

    def _forget_prepared(self) -> None:
        self._slow, self._quick, self._reserved, self._quick_lanes = [], [], 0, 0

    def _lane_free(self, steps: int, seconds: float) -> None:
        """Learn from how long a load took."""
        if seconds < _QUICK_SECONDS:
            self._load_size = min(max(self._load_size, steps * 2), _LONGEST_LOAD)
        else:
            self._load_size = 1

    def _ready(self) -> list[OpenStep]:
        resting = [step for step in self.journal.state.steps.values() if step.is_free and not self._sits(step)]
        if any(step.retry_at for step in resting):
            now = stamp(self._engine.clock())
            resting = [step for step in resting if step.retry_at <= now]
        # Who is higher begins first; of the same the one that was asked for first.
        return sorted(resting, key=priority) if self.journal.state.flows else resting

    def _sits(self, step: OpenStep) -> bool:
        """Whether nobody knows what became of it, and a person or its probe has to say so first."""
        return step.unknown is not None and (step.asks or step.command in self._probing)

    def _call(self, command: int) -> ActivityCall:
        """As the script asks for it, with what a person has set since."""
        call, step = self.journal.replay.commands.calls[command], self.journal.state.steps[command]
        return as_set(call, step)

    def _prepare(self, step: OpenStep, call: ActivityCall, mail: Mail | None = None) -> tuple[int, Performance]:
        if step.unknown is not None:
            return self._prepare_probe(step, call)
        number = step.attempts + 1
        attempt = self._attempts.of(step, call, number)
        performance = self._performance(call, attempt)
        if mail is not None and isinstance(performance, InProcess):
            state, stop = self.journal.state, self._engine.stop
            performance.look = lambda: STOPPING if stop.is_set() else mail(state)
        performance = self._engine.hooks.around(performance, call, attempt)
        if isinstance(performance, Waited):
            self._waited[step.command] = performance
        self._begun_here.add(step.command)
        self._options[step.command] = dict(step.options)
        process = performance.process
        if step.command in self._passes:
            self._passes[step.command].sign(process)
        self.journal.record(
            ev.ActivityStarted(
                command=step.command, attempt=number, pid=process.pid, pid_start=process.start, boot=process.boot
            )
        )
        return step.command, performance

    def _prepare_probe(self, step: OpenStep, call: ActivityCall) -> tuple[int, Performance]:
        """A probe only looks, so nothing is recorded before it."""
        self._probing.add(step.command)
        probe = call.probe or ActivityCall(name=call.name, kind="function", perform=no_probe)
        if probe.kind != "shell":
            probe = replace(probe, input=call.input)
        attempt = replace(self._attempts.of(step, probe, step.attempts), out_prefix=None, pulse="")
        return step.command, self._performance(probe, attempt)

    def _performance(self, call: ActivityCall, attempt: Attempt) -> Performance:
        given = with_tokens(bytes(call.input), self._engine.store, self.journal.state)
        if given != call.input:
            call = replace(call, input=Payload(given))
        if (stands_in := self._engine.stand_in(call)) is not None:
            return InProcess(replace(call, perform=stands_in), attempt)
        kept = call.orphan == ADOPT
        if call.kind == "shell":
            return (prepare_kept if kept else prepare_shell)(decode(given, ShellSpec), attempt)
        if call.is_async:
            return prepare_async(call, attempt)
        if not is_isolated(call):
            return InProcess(call, attempt)
        loaded = self.journal.loaded
        assert loaded is not None and call.target is not None
        source = packed(loaded.sources, loaded.content)
        target = Target(loader=PERFORMER, source=source, activity=":".join(call.target), input=given)
        return (prepare_kept if kept else prepare_isolated)(target, attempt)

    def _take_up(self, step: OpenStep, started: ev.ActivityStarted) -> bool:
        """Wait for a process of an earlier dwf, or for how it ended, if the step wants that and there is something."""
        waited = self._left_by(step, started)
        if waited is None:
            return False
        self._waited[step.command] = self.in_flight[step.command] = waited
        self._begun_here.add(step.command)
        self._passes[step.command] = self.gate.resume(step, self.journal.state)
        start_thread(f"dwf-orphan-{started.pid}", lambda: self.reports.put(Ended(step.command, played(waited))))
        return True

    def _left_by(self, step: OpenStep, started: ev.ActivityStarted) -> Waited | None:
        process = Process(started.pid, started.pid_start, started.boot)
        if step.scheduled.orphan == ADOPT and process.pid:
            return adopt(process, self._attempts.named(step, started.attempt))
        if step.scheduled.orphan != "wait" or not same_process_alive(process.pid, process.start, process.boot):
            return None
        begun_us = unstamp(started.ts)
        limit, length = self._attempts.limit(step, step.option("timeout", step.scheduled.timeout), begun_us)
        key, until_us = self._attempts.key(step.command), begun_us + length if length else None
        return Waited(process, key, _ORPHAN_GRACE_US, until_us, limit)

    # -- ending -------------------------------------------------------------------------------------------------

    def finished(self, wait: float = 0.0) -> list[Arrival]:
        """What has ended; if nothing has, wait up to so many seconds for the first report."""
        reports, found = self.reports, []
        if wait and reports.empty():
            with suppress(Empty):
                found += self._taken(reports.get(timeout=wait))
        while not reports.empty():
            found += self._taken(reports.get())
        return found

    def _taken(self, report: Report) -> list[Arrival]:
        if not isinstance(report, Ended):
            self._lane_free(report.steps, report.seconds)
            return []
        command, outcome = report.command, report.outcome
        return [Arrival(outcome.ended_us, CLOSING, (command, ""), self._reported(command, outcome))]

    def _reported(self, command: int, outcome: Outcome) -> Make:
        """An attempt or a probe has ended: what makes its events when its turn comes, which may be more than once."""
        self.in_flight.pop(command, None)
        was_probe = command in self._probing
        self._probing.discard(command)
        waited = self._waited.pop(command, None)
        goes_on = waited is not None and (waited.left_running or waited.still_runs)
        if not was_probe and not goes_on:
            self._leaves_nothing(command, outcome)
        passed = self._passes.pop(command, None)
        if passed is not None:
            passed.end(goes_on=goes_on)
        return lambda _: self._ended(command, outcome, waited, was_probe=was_probe)

    def _leaves_nothing(self, command: int, outcome: Outcome) -> None:
        step = self.journal.state.steps.get(command)
        if step is not None and step.started is not None and (step.started.pid or outcome.heartbeat is not None):
            self._attempts.over(step)

    def tidy(self) -> None:
        """What has ended is on disk."""
        self._attempts.tidy()

    def _ended(self, command: int, outcome: Outcome, waited: Waited | None, *, was_probe: bool) -> list[ev.Event]:
        step = self.journal.state.steps.get(command)
        if step is None or (was_probe and (step.unknown is None or outcome.kind is Kind.INTERRUPTED)):
            return []  # somebody has decided meanwhile; or the next tick asks again
        if waited is not None and waited.left_running:
            return []  # the next tick waits for it
        if waited is not None and waited.still_runs:
            raise still_runs(step.title, waited.process.pid)
        if step.overruled is not None:
            return [overruled(step, self._engine.clock(), outcome.output)]
        if waited is not None and outcome.kind is Kind.INTERRUPTED and outcome.error is not None:
            why = f"attempt {step.attempts}: {outcome.error.message}"
            told = outcome.heartbeat or self._attempts.left_by(step)
            return [interrupted(self._engine, step, why, outcome.output, told)]
        event = (probed if was_probe else ended)(self._engine, self.journal, step, outcome)
        if waited is not None and waited.from_before:
            event = replace(event, ended=stamp(outcome.ended_us))
        return [event]

    def called_off(self) -> list[ev.Event]:
        """Steps that were cancelled before an attempt began, or between two."""
        return [
            ev.ActivityCancelled(
                command=step.command,
                reason=ev.NEVER_BEGAN if step.unknown is None else f"cancelled; {step.unknown.why}",
            )
            for step in self.journal.state.steps.values()
            if step.cancel_requested and step.started is None and step.command not in self._probing
        ]

    def cancel_asked(self) -> None:
        """Pass on the wish to end to the attempts that run."""
        for command, performance in self.in_flight.items():
            step = self.journal.state.steps.get(command)
            if step is not None and step.overruled is not None:
                self._cancel(command, performance, why_overruled(step))
            elif step is not None and step.options != self._options.get(command, {}):
                self._options[command] = dict(step.options)
                self._attempts.relimit(step, self._call(command), performance)
            if step is None or step.cancel_requested:
                self._cancel(command, performance, why_cancelled(self.journal.state))

    def end_all(self, reason: str) -> None:
        """Ask every attempt that runs to end; their reports are to be waited for."""
        for command, performance in self.in_flight.items():
            self._cancel(command, performance, reason)

    def _cancel(self, command: int, performance: Performance, reason: str) -> None:
        call = self.journal.call(command)
        if call is not None and isinstance(performance, Waited):
            performance.grace_us = call.grace_us  # it was not known before the replay
        performance.cancel(reason)

    def abandon(self, reason: str) -> None:
        """The same, where nothing can be recorded: what is kept goes on, and tells its end to a later tick."""
        for performance in self.in_flight.values():
            if isinstance(performance, Waited):
                performance.interrupt(reason)
            else:
                performance.cancel(reason)

    def interrupt_all(self) -> None:
        """The same, because dwf is stopping."""
        for performance in self.in_flight.values():
            performance.interrupt(STOPPING.reason)

    def orphans(self) -> tuple[list[ev.Event], StepStillRuns | None]:
        """Attempts of a process that is gone: their remains are ended first, then they count as interrupted.

        Beside the events: what still runs and cannot be ended. Nothing may be started while it does.
        """
        events: list[ev.Event] = []
        left: StepStillRuns | None = None
        for step in self.journal.state.steps.values():
            started = step.started
            if started is None or step.command in self._begun_here:
                continue
            if self._take_up(step, started):
                continue
            key = self._attempts.key(step.command)
            if end_orphan(started.pid, started.pid_start, started.boot, _ORPHAN_GRACE_US, key):
                why = f"dwf was killed while attempt {started.attempt} ran"
                if step.overruled is not None:
                    events.append(overruled(step, self._engine.clock()))
                else:
                    events.append(interrupted(self._engine, step, why, heartbeat=self._attempts.left_by(step)))
                self._attempts.over(step)
            else:
                left = left or still_runs(step.title, started.pid)
        return events, left

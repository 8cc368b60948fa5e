"""State: a history folded into what people and the engine ask about. No script is run for it.

The fold is the only reading of a history: `list`, `show`, `inbox` and the engine's "what is runnable, what is due" all
ask the same object. It keeps what is open and a short tail of what is done, so a long history folds in bounded memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from dwf.core import events as ev
from dwf.core.due import due_times
from dwf.core.duration import unstamp
from dwf.core.fanouts import FanOut
from dwf.core.flow import bounds_of
from dwf.core.outside import OUTSIDE, Callbacks, Locks, Updates
from dwf.core.standing import OpenApproval as OpenApproval
from dwf.core.standing import OpenChild as OpenChild
from dwf.core.standing import OpenMessage as OpenMessage
from dwf.core.standing import OpenSignalWait as OpenSignalWait
from dwf.core.standing import OpenTimer as OpenTimer
from dwf.core.status import Status as Status
from dwf.core.steps import ENDS as STEP_ENDS
from dwf.core.steps import STEPS, opened
from dwf.core.steps import DoneStep as DoneStep
from dwf.core.steps import OpenStep as OpenStep
from dwf.core.tags import NOTED
from dwf.core.undos import Undos

DONE_KEPT = 24
DEGRADED_KEPT = 20


class RunState:
    """What a history says. `apply` takes its events in order; the first must be WorkflowStarted."""

    def __init__(self) -> None:
        self.started: ev.WorkflowStarted | None = None
        self.ended: ev.Event | None = None
        """What says that nothing happens here any more: an end, or that the run goes on elsewhere."""
        self.moved: ev.RunMoved | ev.RunAdopted | ev.RunImported | None = None
        self.begun = False
        """Whether the script has run: anything but news was recorded behind line 1."""
        self.last_id = 0
        self.last_ts = ""
        self.code = ""
        self.script = ""
        self.code_owner = -1
        self.packages: Mapping[str, str] = {}
        """Installed distributions that its code imports, with the versions that they had when it came onto that."""
        self.refused: ev.CodeRefused | None = None
        """What its file holds and does not fit it, if it follows that."""
        self.status_text = ""
        self.tags: Mapping[str, ev.Payload] = {}
        self.memo: Mapping[str, ev.Payload] = {}
        self.undos = Undos()
        self.fan_outs: dict[int, FanOut] = {}
        self.degraded: list[str] = []
        """What went wrong that does not end the run."""
        self.blocked: ev.RunBlocked | None = None
        self.paused: ev.RunPaused | None = None
        self.cancel: ev.CancelRequested | None = None
        self.overdue: ev.DeadlinePassed | None = None
        self.steps: dict[int, OpenStep] = {}
        self.timers: dict[int, OpenTimer] = {}
        self.signal_waits: dict[int, OpenSignalWait] = {}
        self.approvals: dict[int, OpenApproval] = {}
        self.children: dict[int, OpenChild] = {}
        self.outgoing: dict[int, OpenMessage] = {}
        self.unconsumed: dict[int, ev.SignalReceived] = {}
        self.takes = ev.HandlersRegistered()
        """What its script takes by handlers, as far as is known."""
        self.messages: set[str] = set()
        self.keys: dict[str, ev.SignalReceived] = {}
        self.updates = Updates()
        self.callbacks = Callbacks()
        self.locks = Locks()
        self.done: deque[DoneStep] = deque(maxlen=DONE_KEPT)
        self.steps_done = 0
        self.flows: set[str] = set()
        """Every name that its steps may have stood in line for."""

    def apply(self, event: ev.Event) -> None:
        self.last_id, self.last_ts = event.id, event.ts
        if event.id > 1 and event.role is not ev.Role.PROGRESS:
            self.begun = True
        change = _CHANGES.get(type(event))
        if change is not None:
            change(self, event)

    # -- questions ----------------------------------------------------------------------------------------------

    @property
    def head(self) -> ev.WorkflowStarted:
        """Line 1. A history has it before anything else."""
        assert self.started is not None
        return self.started

    @property
    def status(self) -> Status:
        if self.ended is not None:
            degraded = isinstance(self.ended, ev.WorkflowCompleted) and self.ended.degraded
            return Status.DEGRADED if degraded else _ENDS[type(self.ended)]
        if self.paused is not None:
            return Status.PAUSED
        if self.blocked is not None:
            return Status.BLOCKED
        if self.outgoing or not all(step.rests for step in self.steps.values()):
            return Status.RUNNING
        if self.starts_later or self.takes.wakes or self.steps or self._others_open:
            return Status.WAITING
        return Status.RUNNING

    @property
    def _others_open(self) -> bool:
        waits = self.timers or self.signal_waits or self.approvals or self.children or self.callbacks
        return bool(waits or self.locks.waited_for)

    @property
    def lone_step(self) -> OpenStep | None:
        """The step that is all there is open; None if there is more, or less."""
        if len(self.steps) != 1 or self._others_open or self.outgoing or self.takes.wakes:
            return None
        return next(iter(self.steps.values()))

    @property
    def upgraded(self) -> bool:
        """Whether it is blocked on code that it was moved away from since: the next tick tries the new one."""
        blocked = self.blocked
        if blocked is None or blocked.code == "poison" or self.head.code_mode == "live":
            return False
        return blocked.code_hash not in ("", self.code)

    @property
    def asks_person(self) -> bool:
        """Whether it waits for a person's answer: to an approval, or to what became of a step."""
        return bool(self.approvals) or any(
            step.asks or (step.paused is not None and step.rests) for step in self.steps.values()
        )

    @property
    def continues(self) -> bool:
        """Whether this instance is over and the run is not: it goes on in the next one."""
        return isinstance(self.ended, ev.WorkflowContinuedAsNew)

    def next_due_us(self) -> int | None:
        """When time alone gives this run something to do; None if it does not."""
        due = self.due_times()
        return unstamp(min(due)) if due else None

    def keeps(self, signal: str) -> bool:
        """Whether a signal of that name would have to be kept: nobody waits for it now, and it has no handler."""
        waited_for = any(wait.opened.name == signal for wait in self.signal_waits.values())
        return not (waited_for or signal in self.takes.signals or self.takes.any_signal)

    def due_times(self) -> list[str]:
        """The times for which it waits: of timers, retries, deadlines, a delayed start."""
        return due_times(self)

    @property
    def starts_later(self) -> bool:
        """Whether its start was put off, and nothing has come of it yet."""
        return bool(self.head.start_at) and not self.begun

    # -- changes, one per event that matters --------------------------------------------------------------------

    def _start(self, event: ev.WorkflowStarted) -> None:
        self.started, self.tags, self.memo = event, event.tags, event.memo
        for signal in event.keyed:
            self._know_signal(signal)
        for number, signal in enumerate(event.signals, 1):
            self._know_signal(signal)
            self.unconsumed[-number] = signal
        self.code, self.script, self.code_owner = event.code, event.script, event.code_owner
        self.packages = event.packages

    def _end(self, event: ev.Lifecycle) -> None:
        self.ended = event
        self.blocked = None

    def _leave(self, event: ev.RunMoved | ev.RunImported) -> None:
        self.moved = event
        # An end is an end in every copy; of an open run everything else stays as it was, for it may go on.
        if not isinstance(self.ended, ev.TERMINAL):
            self.ended = event

    def _adopt(self, event: ev.RunAdopted) -> None:
        self.moved = event
        if not isinstance(self.ended, ev.TERMINAL):
            self.ended = None
        # Whoever takes it up vouches for its code; the owner that was recorded is a user of another machine.
        self.code_owner = event.by.uid if event.by is not None else -1

    def _schedule(self, event: ev.ActivityScheduled) -> None:
        self.steps[event.command] = opened(event, self.head)
        self.flows.update(bounds_of(event.flow) if event.flow is not None else ())
        if event.part_of:
            self._whole(event.part_of).begin(event.part_of)

    def _step_over(self, event: ev.Closing) -> None:
        if isinstance(event, ev.ActivityCompleted | ev.ActivityFailed) and event.decided is not None:
            self.heed(event.decided)
        step = self.steps.pop(event.command)
        self.steps_done += 1
        if step.scheduled.part_of:
            self._whole(step.scheduled.part_of).end(step.scheduled.part_of, event)
        began = step.started.ts if step.started is not None else step.scheduled.ts
        self.done.append(DoneStep(event.command, step.title, STEP_ENDS[type(event)], began, event.ts, step.attempts))

    def _timer(self, event: ev.TimerStarted) -> None:
        self.timers[event.command] = OpenTimer(event, event.fire_at)

    def _timer_moved(self, event: ev.TimerMoved) -> None:
        self.heed(event.decided)
        self.timers[event.command].fire_at = event.fire_at

    def _timer_over(self, event: ev.TimerFired) -> None:
        if event.decided is not None:
            self.heed(event.decided)
        self.timers.pop(event.command, None)

    def _timer_cancelled(self, event: ev.TimerCancelled) -> None:
        self.timers.pop(event.timer, None)

    def _wait(self, event: ev.SignalWaitOpened) -> None:
        if event.got:
            self.unconsumed.pop(event.got, None)
        else:
            self.signal_waits[event.command] = OpenSignalWait(event)

    def _taken(self, event: ev.SignalsTaken) -> None:
        for signal in event.got:
            self.unconsumed.pop(signal, None)

    def _wait_closed(self, event: ev.SignalWaitClosed) -> None:
        self.signal_waits.pop(event.wait, None)

    def _signal(self, event: ev.SignalReceived) -> None:
        self._know_signal(event)
        for command, wait in self.signal_waits.items():
            if wait.opened.name == event.name:
                del self.signal_waits[command]
                return
        self.unconsumed[event.id] = event

    def _update(self, event: ev.UpdateAccepted) -> None:
        self._remember(event)
        self.updates.accept(event)

    def _know_signal(self, event: ev.SignalReceived) -> None:
        self._remember(event)
        if event.key:
            self.keys.setdefault(event.key, event)

    def _cancel(self, event: ev.CancelRequested) -> None:
        self._remember(event)
        self.cancel = self.cancel or event

    def _ask(self, event: ev.ApprovalRequested) -> None:
        self.approvals[event.command] = OpenApproval(event)

    def _answer(self, event: ev.ApprovalAnswered) -> None:
        self._remember(event)
        if event.command in self.approvals:
            self.approvals[event.command].answers.append(event)

    def _resolved(self, event: ev.ApprovalResolved) -> None:
        self.approvals.pop(event.command, None)

    def _withdrawn(self, event: ev.ApprovalWithdrawn) -> None:
        self.approvals.pop(event.approval, None)

    def _child(self, event: ev.ChildWorkflowRequested) -> None:
        self.children[event.command] = OpenChild(event)

    def _child_over(self, event: ev.Closing) -> None:
        del self.children[event.command]

    def _message(self, event: ev.MessageRequested) -> None:
        self.outgoing[event.command] = OpenMessage(event)

    def _message_over(self, event: ev.Closing) -> None:
        del self.outgoing[event.command]

    def _remember(self, event: ev.Input | ev.ApprovalAnswered) -> None:
        if event.message:
            self.messages.add(event.message)

    def heed(self, decided: ev.Decision) -> None:
        """A person's word has counted: its letter is known from here on."""
        if decided.message:
            self.messages.add(decided.message)

    def _whole(self, number: int) -> FanOut | Undos:
        """What a step belongs to that is part of command `number`."""
        return self.fan_outs.get(number) or self.undos

    def _fan_out(self, event: ev.FanOutStarted) -> None:
        self.fan_outs[event.command] = FanOut(event)

    def _carry(self, event: ev.ItemCarried) -> None:
        self.fan_outs[event.part_of].carried += 1

    def _degrade(self, event: ev.RunDegraded) -> None:
        if len(self.degraded) < DEGRADED_KEPT:
            self.degraded.append(event.why)

    def _block(self, event: ev.RunBlocked) -> None:
        self.blocked = event

    def _pause(self, event: ev.RunPaused) -> None:
        self.paused = event
        self.heed(event.decided)

    def _resume(self, event: ev.RunResumed) -> None:
        self.paused = None
        self.heed(event.decided)

    def _unblock(self, event: ev.RunUnblocked) -> None:
        self.blocked = None
        if event.decided is not None:
            self.heed(event.decided)

    def _upgrade(self, event: ev.CodeUpgraded) -> None:
        self.code, self.script, self.code_owner, self.refused = event.code, event.script, event.code_owner, None
        self.packages = event.packages


def fold(events: Iterable[ev.Event]) -> RunState:
    """A whole history, or any prefix of one, as a state."""
    state = RunState()
    for event in events:
        state.apply(event)
    return state


_ENDS: dict[type[ev.Event], Status] = {
    ev.WorkflowCompleted: Status.COMPLETED,
    ev.WorkflowFailed: Status.FAILED,
    ev.WorkflowCancelled: Status.CANCELLED,
    ev.WorkflowTerminated: Status.TERMINATED,
    ev.WorkflowTimedOut: Status.TIMED_OUT,
    ev.WorkflowContinuedAsNew: Status.CONTINUED,
    ev.RunMoved: Status.MOVED,
    ev.RunImported: Status.IMPORTED,
}
# What decides whether a history is open: folded in order, these alone say so.
STANDING = (*ev.TERMINAL, ev.WorkflowContinuedAsNew, ev.RunMoved, ev.RunAdopted, ev.RunImported)
_CHANGES: dict[type[ev.Event], Callable[..., None]] = {
    ev.WorkflowStarted: RunState._start,
    **dict.fromkeys((*ev.TERMINAL, ev.WorkflowContinuedAsNew), RunState._end),
    ev.RunMoved: RunState._leave,
    ev.RunImported: RunState._leave,
    ev.RunAdopted: RunState._adopt,
    ev.ActivityScheduled: RunState._schedule,
    **STEPS,
    **dict.fromkeys(STEP_ENDS, RunState._step_over),
    ev.TimerStarted: RunState._timer,
    ev.TimerMoved: RunState._timer_moved,
    ev.TimerFired: RunState._timer_over,
    ev.TimerCancelled: RunState._timer_cancelled,
    ev.SignalWaitOpened: RunState._wait,
    ev.SignalWaitClosed: RunState._wait_closed,
    ev.SignalsTaken: RunState._taken,
    ev.HandlersRegistered: lambda state, event: setattr(state, "takes", event),
    ev.SignalReceived: RunState._signal,
    ev.UpdateAccepted: RunState._update,
    **OUTSIDE,
    ev.CancelRequested: RunState._cancel,
    ev.DeadlinePassed: lambda state, event: setattr(state, "overdue", event),
    ev.ApprovalRequested: RunState._ask,
    ev.ApprovalAnswered: RunState._answer,
    ev.ApprovalResolved: RunState._resolved,
    ev.ApprovalWithdrawn: RunState._withdrawn,
    ev.StatusChanged: lambda state, event: setattr(state, "status_text", event.text),
    **NOTED,
    ev.RunDegraded: RunState._degrade,
    ev.UndoRecorded: lambda state, event: state.undos.record(event),
    ev.UndoSettled: lambda state, event: state.undos.settle(event),
    ev.FanOutStarted: RunState._fan_out,
    ev.ItemCarried: RunState._carry,
    ev.CompensationStarted: lambda state, event: state.undos.compensate(event),
    ev.ChildWorkflowRequested: RunState._child,
    ev.ChildWorkflowCompleted: RunState._child_over,
    ev.ChildWorkflowFailed: RunState._child_over,
    ev.ChildWorkflowCancelled: RunState._child_over,
    ev.MessageRequested: RunState._message,
    ev.MessageSent: RunState._message_over,
    ev.MessageRefused: RunState._message_over,
    ev.RunBlocked: RunState._block,
    ev.RunUnblocked: RunState._unblock,
    ev.RunPaused: RunState._pause,
    ev.RunResumed: RunState._resume,
    ev.CodeUpgraded: RunState._upgrade,
    ev.CodeRefused: lambda state, event: setattr(state, "refused", event),
}

"""Events in words: one table, a line per kind of event. A new primitive adds its line here and nowhere else.

Each line gives what happened and, beside it, who or how long. What came before (the name of a step, when it began) is
kept in a Thread, so events are told in file order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dwf.cli.payloads import arguments, brief, call, came, options, result
from dwf.cli.phrases import code_from, failure, person, place, script_name
from dwf.cli.times import Clock
from dwf.core import events as ev
from dwf.core.deadlines import earliest
from dwf.core.duration import asked_span, spoken, unstamp
from dwf.core.steps import START_TO_CLOSE
from dwf.core.tags import words
from dwf.core.values import decode
from dwf.engine.summary import taken


class Told(NamedTuple):
    """An event for people: `what` happened, and `beside` it who did it, or how long it took."""

    what: str
    beside: str = ""


class Step(NamedTuple):
    title: str
    kind: str
    began_us: int


class Thread:
    """What earlier events said that later ones refer to by number."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._named: dict[int, Step] = {}

    def tell(self, event: ev.Event) -> Told:
        """The event in words. Call it for every event, in order."""
        if isinstance(event, ev.WorkflowStarted):
            self._named.clear()  # another instance, whose commands are counted anew
        if isinstance(event, ev.Opening):
            self._named[event.command] = Step(*_title(event), unstamp(event.ts))
        told = _WORDS[type(event)](event, self)
        if isinstance(event, ev.ActivityStarted):
            step = self.step(event.command)
            self._named[event.command] = step._replace(began_us=unstamp(event.ts))
        return told

    def step(self, command: int) -> Step:
        """What a command was; by its number if the history does not say."""
        return self._named.get(command) or Step(f"command {command}", "", 0)

    def title(self, command: int) -> str:
        return self.step(command).title

    def took(self, event: ev.Closing) -> str:
        began = self.step(event.command).began_us
        took = spoken(max(unstamp(event.ended or event.ts) - began, 0)) if began else ""
        return f"{took}, ended {_seconds(event.ended, self)}" if event.ended else took

    def point(self, ts: str) -> str:
        return self.clock.point(unstamp(ts))


def _title(opening: ev.Opening) -> tuple[str, str]:
    if isinstance(opening, ev.ActivityScheduled):
        return opening.title or opening.name, opening.kind
    if isinstance(opening, ev.TimerStarted):
        return opening.purpose, "timer"
    if isinstance(opening, ev.ApprovalRequested):
        return f'"{opening.prompt}"', "approval"
    if isinstance(opening, ev.SignalWaitOpened):
        return opening.name, "signal"
    if isinstance(opening, ev.CallbackOpened):
        return opening.name, "callback"
    if isinstance(opening, ev.LockRequested):
        return opening.name, "lock"
    if isinstance(opening, ev.UndoRecorded):
        return opening.of, "undo"
    if isinstance(opening, ev.ChildWorkflowRequested):
        return opening.run, "child"
    if isinstance(opening, ev.MessageRequested):
        return f"{opening.kind} {opening.name}".rstrip() + f" to {opening.run}", "message"
    return "", ""


# -- how each kind is told, where a line is not enough ----------------------------------------------------------


def _started(e: ev.WorkflowStarted, thread: Thread) -> Told:
    words = call(e.workflow, e.input) if e.follows is None else f"{e.follows.how} of {e.follows.run}"
    if e.start_at:
        words += f"  starts {thread.point(e.start_at)}"
    if end := earliest(e):
        words += f"  until {thread.point(end)}"
    words += code_from(e.code_from, "  ")
    if e.parent is not None:
        words += f"  child of {e.parent.run}"
    if e.attempt > 1:
        words += f"  attempt {e.attempt}"
    if e.continues:
        words += f"  instance {e.link}, continued"
    if e.signals:
        words += f"  with {'signal ' + e.signals[0].name if len(e.signals) == 1 else f'{len(e.signals)} signals'}"
    return Told(words + _why(e.reason), person(e.by))


def _continued(e: ev.WorkflowContinuedAsNew, thread: Thread) -> Told:
    kept = f"  {len(e.signals)} signals go along" if e.signals else ""
    if e.error is not None:
        again = f"  tried again, not before {_seconds(e.start_at, thread)}"
        return Told(f"{failure(e.error)}{again}{kept}{_ended(e)}")
    return Told(f"goes on in the next instance: {call(e.workflow, e.input)}{kept}{_ended(e)}")


def _child(e: ev.ChildWorkflowRequested, thread: Thread) -> Told:
    return Told(f"{e.run}  {call(e.workflow, e.input)}", "" if e.on_close == "terminate" else f"{e.on_close} on close")


def _child_failed(e: ev.ChildWorkflowFailed, thread: Thread) -> Told:
    return Told(f"{thread.title(e.command)}  {e.outcome}  {failure(e.error)}", thread.took(e))


def _message(e: ev.MessageRequested, thread: Thread) -> Told:
    payload = "" if decode(e.payload) is None else f"  {brief(e.payload)}"
    return Told(f"{thread.title(e.command)}{payload}{_why(e.reason)}")


def _completed(e: ev.WorkflowCompleted, thread: Thread) -> Told:
    return Told(result(e.result).removeprefix(" ") + _ended(e), "degraded" if e.degraded else "")


def _fan_out(e: ev.FanOutStarted, thread: Thread) -> Told:
    stages = f", in stages {', '.join(map(str, e.stages))}" if len(e.stages) > 1 else ""
    return Told(f"{e.name} for {e.items} items{stages}", f"{e.tolerated} may fail" if e.tolerated else "")


def _undo_recorded(e: ev.UndoRecorded, thread: Thread) -> Told:
    given = arguments(e.input)
    what = e.title or e.name
    return Told(f"{e.of}  by {what}" if e.kind == "shell" else f"{e.of}  by {what}({given})")


def _asked(e: ev.ApprovalRequested, thread: Thread) -> Told:
    words = [", ".join(e.by) or "anyone"]
    if e.need > 1:
        words.append(f"{e.need} needed")
    if e.deadline:
        words.append(f"until {thread.point(e.deadline)}, then {e.on_timeout}")
    return Told(f'"{e.prompt}"', ", ".join(words))


def _resolved(e: ev.ApprovalResolved, thread: Thread) -> Told:
    how = "by the deadline" if e.timed_out else f"by {', '.join(e.by)}" if e.by else ""
    return Told(f"{thread.title(e.command)}  {e.outcome} {how}".rstrip() + _why(e.comment), thread.took(e))


def _attempt_failed(e: ev.ActivityAttemptFailed, thread: Thread) -> Told:
    return Told(
        f"{thread.title(e.command)}  attempt {e.attempt}: {failure(e.error)}{came(e.heartbeat)}",
        f"again at {_seconds(e.retry_at, thread)}",
    )


def _timer(e: ev.TimerStarted, thread: Thread) -> Told:
    length = max(unstamp(e.fire_at) - unstamp(e.ts), 0)
    return Told(e.purpose, f"{asked_span(length)}, until {thread.point(e.fire_at)}")


def _waits(e: ev.SignalWaitOpened, thread: Thread) -> Told:
    took = f"took line {e.got}" if e.got > 0 else "took one that came along"
    return Told(e.name, took if e.got else "")


def _lines(numbers: list[int]) -> str:
    return f"lines {numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else f"line {numbers[0]}"


def _callback(e: ev.CallbackOpened, thread: Thread) -> Told:
    limits = [f"until {thread.point(e.deadline)}"] if e.deadline else []
    limits += [f"a heartbeat every {spoken(e.heartbeat)}"] if e.heartbeat else []
    return Told(e.name, ", ".join(limits))


def _from_outside(what: str, decided: ev.Decision | None) -> Told:
    return Told(what, person(decided.by, uid=True) if decided is not None else "")


def _side_effect(e: ev.SideEffectRecorded, thread: Thread) -> Told:
    return Told(f"{e.name} = {brief(e.result)}")


def _blocked(e: ev.RunBlocked, thread: Thread) -> Told:
    at = f" at {e.where}" if e.where and e.where not in e.message else ""
    return Told(f"{' '.join(e.message.split())}{at}")


def _activity(e: ev.ActivityScheduled, thread: Thread) -> Told:
    given = arguments(e.input)
    title = thread.title(e.command)
    if e.kind == "shell":
        return Told(title if title == given else f"{title}  {given}".rstrip())
    return Told(f"{title}({given})" if title == e.name else f"{title}  {e.name}({given})")


def _over(e: ev.ActivityCompleted, thread: Thread) -> Told:
    step = thread.step(e.command)
    if e.decided is not None:
        return _decided(step.title + result(e.result, step.kind), "skipped" if e.skipped else "done", e.decided)
    return Told(step.title + result(e.result, step.kind), thread.took(e))


def _decided(what: str, word: str, decided: ev.Decision) -> Told:
    """A step's fate as a person, or its probe, has said it."""
    by = person(decided.by, uid=True) if decided.by else "by its probe"
    shown = decided.evidence
    evidence = f"evidence {shown.name} ({shown.size:,} bytes)" if shown is not None else ""
    return Told("  ".join(filter(None, (what, word, _why(decided.reason).strip(), evidence))), by)


def _failed(e: ev.ActivityFailed, thread: Thread) -> Told:
    if e.decided is not None:
        return _decided(thread.title(e.command), "failed", e.decided)
    return Told(f"{thread.title(e.command)}  {failure(e.error)}{_tries(e.attempts)}", thread.took(e))


def _timed_out(e: ev.ActivityTimedOut, thread: Thread) -> Told:
    limit = spoken(e.timeout) if e.which == START_TO_CLOSE else f"{spoken(e.timeout)} {e.which}"
    last = f"  {failure(e.error)}" if e.error is not None else ""
    return Told(
        f"{thread.title(e.command)}  after {limit}{_tries(e.attempts)}{last}{came(e.heartbeat)}", thread.took(e)
    )


def _signalled(e: ev.SignalReceived, thread: Thread) -> Told:
    payload = "" if decode(e.payload) is None else f"  {brief(e.payload)}"
    return Told(f"{e.name}{payload}{_why(e.reason)}", person(e.by))


def _answered(e: ev.ApprovalAnswered, thread: Thread) -> Told:
    yes = {"approve": "yes", "reject": "no"}.get(e.answer, e.answer)
    return Told(f"{yes} to {thread.title(e.command)}{_why(e.comment)}", person(e.by, uid=True))


def _moving(e: Any, thread: Thread) -> Told:
    return Told(f"{place(e)}{_why(e.reason)}", person(e.by))


def _repaired(e: ev.HistoryRepaired, thread: Thread) -> Told:
    if e.decided is not None:
        return _decided(f"{e.dropped_bytes} bytes were given up", "", e.decided)
    return Told(f"{e.dropped_bytes} bytes of an unfinished record were cut off")


def _ended(e: Any) -> str:
    return f"  ({len(e.open)} still open)" if e.open else ""


def _why(reason: str) -> str:
    return f'  "{reason}"' if reason else ""


def _tries(attempts: int) -> str:
    return f" (attempt {attempts})" if attempts > 1 else ""


def _seconds(ts: str, thread: Thread) -> str:
    return f"{thread.clock.of(ts):%H:%M:%S}" if ts else "once"


_HOW = {"": "", "try": "the script goes on at once", "abandon": "left to itself"}
_WORDS: dict[type[ev.Event], Callable[[Any, Thread], Told]] = {
    ev.WorkflowStarted: _started,
    ev.WorkflowCompleted: _completed,
    ev.WorkflowContinuedAsNew: _continued,
    ev.WorkflowFailed: lambda e, t: Told(failure(e.error) + _ended(e)),
    ev.WorkflowCancelled: lambda e, t: Told(_why(e.reason).strip() + _ended(e)),
    ev.WorkflowTerminated: lambda e, t: Told((e.reason and f'"{e.reason}"') + _ended(e), person(e.by)),
    ev.WorkflowTimedOut: lambda e, t: Told(f"{e.reason}: {t.point(e.due)}{_ended(e)}"),
    ev.ActivityScheduled: _activity,
    ev.ActivityCancelRequested: lambda e, t: Told(t.title(e.activity), _HOW.get(e.how, e.how)),
    ev.ActivityStarted: lambda e, t: Told(
        f"{t.title(e.command)}  attempt {e.attempt}", f"pid {e.pid}" if e.pid else ""
    ),
    ev.ActivityAttemptFailed: _attempt_failed,
    ev.ActivityUnknown: lambda e, t: Told(f"{t.title(e.command)}  attempt {e.attempt} may have taken effect: {e.why}"),
    ev.ActivityRetryRequested: lambda e, t: _decided(t.title(e.command), "again", e.decided),
    ev.ActivityOverruled: lambda e, t: _decided(f"{t.title(e.command)}  {e.act}: its attempt is ended", "", e.decided),
    ev.ActivityPaused: lambda e, t: _decided(t.title(e.command), "no attempt begins", e.decided),
    ev.ActivityUnpaused: lambda e, t: _decided(t.title(e.command), "goes on", e.decided),
    ev.ActivityReset: lambda e, t: _decided(
        t.title(e.command), f"attempts count anew{', the heartbeat stays' if e.keep else ''}", e.decided
    ),
    ev.ActivityOptionsChanged: lambda e, t: _decided(t.title(e.command), options(e.options), e.decided),
    ev.ActivityCompleted: _over,
    ev.ActivityFailed: _failed,
    ev.ActivityTimedOut: _timed_out,
    ev.ActivityCancelled: lambda e, t: Told(t.title(e.command) + _why(e.reason), t.took(e)),
    ev.TimerStarted: _timer,
    ev.TimerCancelled: lambda e, t: Told(t.title(e.timer)),
    ev.TimerFired: lambda e, t: (
        _decided(t.title(e.command), "", e.decided) if e.decided else Told(t.title(e.command), t.took(e))
    ),
    ev.TimerMoved: lambda e, t: _decided(t.title(e.command), f"to {t.point(e.fire_at)}", e.decided),
    ev.SignalWaitOpened: _waits,
    ev.SignalWaitClosed: lambda e, t: Told(t.title(e.wait)),
    ev.SignalReceived: _signalled,
    ev.SignalsTaken: lambda e, t: Told(e.name, f"took {len(e.got)}: {_lines(e.got)}"),
    ev.HandlersRegistered: lambda e, t: Told(", ".join([taken(e)] * e.wakes + [f"query {name}" for name in e.queries])),
    ev.CallbackOpened: _callback,
    ev.LockRequested: lambda e, t: Told(e.name + (f"  (held by {e.slots} at a time)" if e.slots > 1 else "")),
    ev.LockAcquired: lambda e, t: Told(t.title(e.command)),
    ev.LockReleased: lambda e, t: Told(t.title(e.lock)),
    ev.CallbackWithdrawn: lambda e, t: Told(t.title(e.callback)),
    ev.CallbackHeartbeat: lambda e, t: Told(t.title(e.command) + _why(e.decided.reason), person(e.decided.by)),
    ev.CallbackCompleted: lambda e, t: _from_outside(t.title(e.command) + result(e.result), e.decided),
    ev.CallbackFailed: lambda e, t: _from_outside(f"{t.title(e.command)}  {failure(e.error)}", e.decided),
    ev.CallbackTimedOut: lambda e, t: Told(
        f"{t.title(e.command)}  {'no heartbeat' if e.heartbeat else 'by its deadline'}", t.took(e)
    ),
    ev.UpdateAccepted: lambda e, t: Told(call(e.name, e.input, 60) + _why(e.reason), person(e.by)),
    ev.UpdateCompleted: lambda e, t: Told(f"line {e.update}{result(e.result)}"),
    ev.UpdateFailed: lambda e, t: Told(f"line {e.update}  {failure(e.error)}"),
    ev.ApprovalRequested: _asked,
    ev.ApprovalWithdrawn: lambda e, t: Told(t.title(e.approval)),
    ev.ApprovalAnswered: _answered,
    ev.ApprovalResolved: _resolved,
    ev.VersionMarkerRecorded: lambda e, t: Told(e.patch),
    ev.SideEffectRecorded: _side_effect,
    ev.StatusChanged: lambda e, t: Told(e.text),
    ev.TagsChanged: lambda e, t: Told("  ".join(_noted(e.tags, words))),
    ev.MemoChanged: lambda e, t: Told("  ".join(_noted(e.memo, brief))),
    ev.FanOutStarted: _fan_out,
    ev.ItemCarried: lambda e, t: Told(f"{e.name}  done before"),
    ev.UndoRecorded: _undo_recorded,
    ev.UndoSettled: lambda e, t: Told(t.title(e.undo), "due" if e.due else "nothing to undo"),
    ev.CompensationStarted: lambda e, t: Told(", ".join(map(t.title, e.undos)), f"because {e.why}"),
    ev.RunDegraded: lambda e, t: Told(" ".join(e.why.split())),
    ev.ChildWorkflowRequested: _child,
    ev.ChildWorkflowCompleted: lambda e, t: Told(t.title(e.command) + result(e.result), t.took(e)),
    ev.ChildWorkflowFailed: _child_failed,
    ev.ChildWorkflowCancelled: lambda e, t: Told(t.title(e.command) + _why(e.reason), t.took(e)),
    ev.MessageRequested: _message,
    ev.MessageSent: lambda e, t: Told(t.title(e.command)),
    ev.MessageRefused: lambda e, t: Told(f"{t.title(e.command)}  {e.why}"),
    ev.CancelRequested: lambda e, t: Told(_why(e.reason).strip(), person(e.by)),
    ev.DeadlinePassed: lambda e, t: Told(f"{t.point(e.due)}, of {'the run' if e.whole else 'this instance'}"),
    ev.RunBlocked: _blocked,
    ev.LineLeftOut: lambda e, t: Told(f"{e.was}: it does not hold here"),
    ev.RunPaused: lambda e, t: _decided("", "nothing of it begins", e.decided),
    ev.RunResumed: lambda e, t: _decided("", "goes on", e.decided),
    ev.RunUnblocked: lambda e, t: _decided("", "goes on", e.decided) if e.decided else Told(""),
    ev.CodeUpgraded: lambda e, t: Told(f"{script_name(e.script)} @ {e.code[:7]}{_why(e.reason)}", person(e.by)),
    ev.CodeRefused: lambda e, t: Told(f"{script_name(e.script)} @ {e.code[:7] or '?'}: {e.message}"),
    ev.HistoryRepaired: _repaired,
    ev.RunMoved: _moving,
    ev.RunAdopted: _moving,
    ev.RunImported: _moving,
}


def _noted(changes: Mapping[str, ev.Payload], said: Callable[[ev.Payload], str]) -> list[str]:
    return [f"{name} taken away" if to == ev.NOTHING else f"{name}={said(to)}" for name, to in changes.items()]

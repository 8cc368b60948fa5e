"""Going on from a line of a history in another one: what is taken over, and where that makes no sense.

Lines keep their numbers and times, for the script has seen them; what they say of attempts in flight, of blocks and of
code does not hold in the new run, and is left out in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from dwf.core import events as ev
from dwf.core.chance import seed_of
from dwf.core.links import children_of
from dwf.core.parts import Follows, Named
from dwf.core.state import RunState, fold
from dwf.core.undos import Stand

_OF_THE_RUN = (
    ev.RunBlocked,
    ev.RunUnblocked,
    ev.RunPaused,
    ev.RunResumed,
    ev.CodeUpgraded,
    ev.HistoryRepaired,
    ev.RunMoved,
    ev.RunAdopted,
    ev.RunImported,
)
_TELLING = (ev.Role.LIFECYCLE, ev.Role.CLOSING, ev.Role.INPUT)
_KEPT = (ev.ApprovalAnswered, ev.HandlersRegistered, ev.CallbackHeartbeat, ev.LineLeftOut)


def begin_of(events: Sequence[ev.Event], command: int) -> int:
    """The last line before a command: a history up to there asks for it next."""
    return next(e.id for e in events if isinstance(e, ev.Opening) and e.command == command) - 1


def last_failure(events: Sequence[ev.Event]) -> ev.ActivityScheduled | None:
    """The step that failed last; None if none did. Steps that take something back are not meant."""
    scheduled = {e.command: e for e in events if isinstance(e, ev.ActivityScheduled)}
    undoing = {e.command for e in events if isinstance(e, ev.UndoRecorded)}
    failed = [scheduled[e.command] for e in events if isinstance(e, ev.ActivityFailed | ev.ActivityTimedOut)]
    return next((step for step in reversed(failed) if step.part_of not in undoing), None)


def in_the_way(events: Sequence[ev.Event], lines: int) -> str:
    """Why nothing can go on from that line, in words; "" if something can."""
    return _in_the_way(fold(events[:lines]), fold(events))


def nearest(events: Sequence[ev.Event], lines: int) -> tuple[int, int]:
    """The last line before that one from which something can go on, and the first behind it; 0 if there is none."""
    state, end, before = RunState(), fold(events), 0
    for event in events:
        state.apply(event)
        if event.id == lines or _in_the_way(state, end):
            continue
        if event.id > lines:
            return before, event.id
        before = event.id
    return before, 0


def _in_the_way(state: RunState, end: RunState) -> str:
    """state: at the place; end: what the whole history comes to."""
    if state.ended is not None:
        return "the run is over there"
    if state.children:
        return f"its child {next(iter(state.children.values())).requested.run} is open there"
    if state.outgoing:
        return "a message to another run is on its way there"
    if state.callbacks:
        return f"callback {next(iter(state.callbacks.values())).opened.name} is open there, with its token"
    due = {entry.recorded.command for entry in state.undos.that_are(Stand.DUE)}
    undone = [
        entry.of
        for entry in end.undos.that_are(Stand.UNDONE, Stand.BEGUN, Stand.FAILED)
        if entry.recorded.command in due
    ]
    return f"what it has done by then was taken back since: {', '.join(undone)}" if undone else ""


def follows_of(head: ev.WorkflowStarted, events: Sequence[ev.Event], lines: int, how: str, at: str) -> Follows:
    """What the first line of the new run says of it."""
    commands = max((e.command for e in events[:lines] if isinstance(e, ev.Opening)), default=0)
    before = head.follows.named if head.follows is not None else []
    older = [replace(one, upto=min(one.upto, commands)) for one in before]
    named = [*older, Named(upto=commands, name=children_of(head))]
    return Follows(
        run=head.run,
        nonce=head.nonce,
        how=how,
        lines=lines,
        commands=commands,
        seed=seed_of(head),
        named=named if commands else [],
        at=at,
    )


def taken_over(
    events: Sequence[ev.Event], lines: int, results: Mapping[int, ev.Payload], decided: ev.Decision, now: str
) -> list[ev.Event]:
    """The lines from the second on, as they stand in the new run. results: by command, in place of those recorded.

    What the script is told last it is told `now`: what it asks for next, and how long that may take, counts from there.
    """
    open_steps = set(fold(events[:lines]).steps)
    since = _told_now(events[:lines])
    found = [_taken(event, open_steps, results, decided) for event in events[1:lines]]
    return [replace(event, ts=now) if event.id >= since else event for event in found]


def _told_now(events: Sequence[ev.Event]) -> int:
    """The line from which on times may be others: the last that the script was told, unless a timer counts from it."""
    last = next(event for event in reversed(events) if event.role in _TELLING)
    behind = [event for event in events[last.id :] if isinstance(event, ev.TimerStarted)]
    return last.id if last.id > 1 and not behind else len(events) + 1


def _taken(event: ev.Event, open_steps: set[int], results: Mapping[int, ev.Payload], decided: ev.Decision) -> ev.Event:
    if isinstance(event, ev.ActivityCompleted) and event.command in results:
        return replace(event, result=results[event.command], decided=decided, output=None)
    if isinstance(event, ev.ActivityFailed | ev.ActivityTimedOut) and event.command in results:
        return ev.ActivityCompleted(
            id=event.id, ts=event.ts, command=event.command, result=results[event.command], decided=decided
        )
    if isinstance(event, _OF_THE_RUN):
        return _left_out(event)
    of_step = event.role is ev.Role.PROGRESS and not isinstance(event, _KEPT)
    return _left_out(event) if of_step and getattr(event, "command", 0) in open_steps else event


def _left_out(event: ev.Event) -> ev.Event:
    return ev.LineLeftOut(id=event.id, ts=event.ts, was=type(event).__name__)


def signals_behind(events: Sequence[ev.Event], lines: int) -> list[ev.SignalReceived]:
    """What people and other runs have sent after that line."""
    return [event for event in events[lines:] if isinstance(event, ev.SignalReceived)]

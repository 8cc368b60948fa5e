"""`dwf plan`: how a run may go, a line for each thing, with the time from the beginning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from dwf.cli.screen import Line
from dwf.cli.times import Clock
from dwf.cli.words import Thread
from dwf.core import events as ev
from dwf.core.duration import spoken, unstamp

if TYPE_CHECKING:
    from dwf.testing.playing import Played

_KINDS: dict[type[ev.Event], str] = {
    ev.ActivityScheduled: "step",
    ev.ActivityFailed: "fails",
    ev.ActivityTimedOut: "fails",
    ev.TimerStarted: "wait",
    ev.ApprovalRequested: "question",
    ev.SignalWaitOpened: "signal",
    ev.CallbackOpened: "callback",
    ev.LockRequested: "lock",
    ev.ChildWorkflowRequested: "child run",
    ev.MessageRequested: "message",
    ev.CompensationStarted: "takes back",
    ev.RunDegraded: "degraded",
    ev.CodeUpgraded: "new code",
    ev.WorkflowCompleted: "completed",
    ev.WorkflowFailed: "failed",
    ev.WorkflowCancelled: "cancelled",
    ev.WorkflowTimedOut: "timed out",
    ev.WorkflowContinuedAsNew: "goes on as new",
    ev.RunBlocked: "blocked",
}


class Row(NamedTuple):
    """One thing that happens: microseconds after the beginning, what kind, in words, and what was assumed of it."""

    after_us: int
    kind: str
    what: str
    assumed: str


def rows_of(played: Played, clock: Clock) -> list[Row]:
    """What happens in a play, in order."""
    thread, rows = Thread(clock), list[Row]()
    for event in played.events:
        told, kind = thread.tell(event), _KINDS.get(type(event))
        open_before = event.id in played.assumed
        if kind is None or (event.id <= played.first and not open_before):
            continue
        what, after_us = told.what, max(unstamp(event.ts) - played.began_us, 0)
        if isinstance(event, ev.TimerStarted):
            what = f"{spoken(unstamp(event.fire_at) - unstamp(event.ts))}  {event.purpose}"
        rows.append(Row(after_us, kind, what, played.assumed.get(event.id, "")))
    return rows


def plan_lines(played: Played, rows: list[Row]) -> Iterator[Line]:
    """The rows as lines, and where it ends if that is before the run does."""
    width = max((len(spoken(row.after_us)) for row in rows), default=0) + 1
    for row in rows:
        assumed = f"  (assumed: {row.assumed})" if row.assumed else ""
        time = f"+{spoken(row.after_us)}"
        yield ["  ", (f"{time:>{width}}", "dim"), f"  {row.kind:<10} ", row.what, (assumed, "dim")]
    if played.stopped:
        yield ["  ", " " * width, "  ", (played.stopped, "yellow")]


def plan_document(assume: str, played: Played, rows: list[Row]) -> dict[str, Any]:
    """One way, for programs."""
    return {
        "assume": assume,
        "status": played.state.status.value,
        "stopped": played.stopped or None,
        "steps": [
            {"after_us": row.after_us, "kind": row.kind, "what": row.what, "assumed": row.assumed or None}
            for row in rows
        ],
    }

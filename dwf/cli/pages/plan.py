"""`dwf plan`: how a run may go, a line for each thing, with the time from the beginning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dwf.cli.screen import Line
from dwf.cli.times import Clock
from dwf.cli.words import Thread
from dwf.core import events as ev
from dwf.core.duration import spoken, unstamp

if TYPE_CHECKING:
    from dwf.testing.playing import Played
    from dwf.testing.ways import Way

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


LEADS = {
    "yes": "if all goes well",
    "no": "on no",
    "timeout": "if nobody answers",
    "failure": "if the next step fails",
}
_THEN = {"no": "no to", "timeout": "nobody answers"}


class Row(NamedTuple):
    """One thing that happens: microseconds after the beginning, what kind, in words, and what was assumed of it."""

    after_us: int
    kind: str
    what: str
    assumed: str

    @property
    def told(self) -> tuple[str, str, str]:
        """All but the time, which is not the same in two plays of one thing."""
        return self.kind, self.what, self.assumed


class Told(NamedTuple):
    """A way that is told, and what happens on it."""

    way: Way
    rows: list[Row]


def lead(way: Way) -> str:
    """`on no, then nobody answers "Really?"`."""
    words = "on yes" if way.turned and way.first == "yes" else LEADS[way.first]
    return ", then ".join([words, *(f"{_THEN[choice]} {what}" for what, choice in way.turned)])


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


def plan_lines(one: Told, others: Sequence[Told] = ()) -> Iterator[Line]:
    """The rows as lines, and where it ends if that is before the run does.

    others: the ways that are told as well; what the one has that it parts from is not told again.
    """
    rows, width = one.rows, max((len(spoken(row.after_us)) for row in one.rows), default=0) + 1
    before = next((other for other in others if other.way is one.way.of), None)
    same = 0 if before is None else _as_far_as(rows, before.rows)
    if before is not None and same > 1:
        yield ["  ", " " * width, (f'  as "{lead(before.way)}" so far', "dim")]
    for row in rows[same if same > 1 else 0 :]:
        assumed = f"  (assumed: {row.assumed})" if row.assumed else ""
        time = f"+{spoken(row.after_us)}"
        yield ["  ", (f"{time:>{width}}", "dim"), f"  {row.kind:<10} ", row.what, (assumed, "dim")]
    if one.way.played.stopped:
        yield ["  ", " " * width, "  ", (one.way.played.stopped, "yellow")]


def _as_far_as(rows: list[Row], others: list[Row]) -> int:
    """How many of the first rows are the same."""
    pairs = zip(rows, others, strict=False)
    return next((n for n, (row, other) in enumerate(pairs) if row.told != other.told), 0)


def plan_document(one: Told) -> dict[str, Any]:
    """One way, for programs. then: what comes to something else than yes behind the first choice."""
    played = one.way.played
    return {
        "assume": one.way.first.value,
        "then": [{"what": what, "assume": choice.value} for what, choice in one.way.turned],
        "status": played.state.status.value,
        "stopped": played.stopped or None,
        "steps": [
            {"after_us": row.after_us, "kind": row.kind, "what": row.what, "assumed": row.assumed or None}
            for row in one.rows
        ],
    }

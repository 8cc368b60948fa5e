"""A run's state in the words that people see: what it waits for, and the row the index keeps of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dwf.core import events as ev
from dwf.core.due import next_deadline
from dwf.core.duration import unstamp
from dwf.core.state import OpenApproval, OpenStep, RunState, Status
from dwf.core.tags import packed
from dwf.errors import StepStillRuns
from dwf.store.row import DUE_NOW, Row


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing that a run waits for. Times: microseconds UTC.

    kind: approval, decide (a step that may have run), paused (a step), step, retry, child, outgoing (to another run),
    lock, signal, callback, timer, start, or message (what the handlers of the script take). over_by_us: when a step
    that waits has waited too long.
    """

    command: int
    kind: str
    what: str
    since_us: int
    until_us: int | None = None
    detail: str = ""
    on_timeout: str = ""
    over_by_us: int | None = None


# What a person can act on comes first.
_FIRST_FIRST = "approval decide paused step retry child outgoing lock signal callback timer start message".split()
_RANK = {kind: place for place, kind in enumerate(_FIRST_FIRST)} | {"decide": 0}

_ASKS = ("approval", "decide", "paused")


@dataclass(frozen=True)
class HeldUp:
    """Why a step that is ready does not begin. due_us: when to look again; None: somebody wakes the run.

    elsewhere: its queue is served by other ticks.
    """

    words: str
    due_us: int | None
    elsewhere: bool = False


def waits(state: RunState) -> list[Wait]:
    """Everything that is open, most important first."""
    found = [_approval(a) for a in state.approvals.values()]
    found += [_step(s, state.paused is not None) for s in state.steps.values()]
    found += [Wait(c, "signal", w.opened.name, unstamp(w.opened.ts)) for c, w in state.signal_waits.items()]
    found += [
        Wait(c, "timer", t.started.purpose, unstamp(t.started.ts), unstamp(t.fire_at)) for c, t in state.timers.items()
    ]
    found += [Wait(c, "child", o.requested.run, unstamp(o.requested.ts)) for c, o in state.children.items()]
    found += [Wait(c, "outgoing", o.requested.run, unstamp(o.requested.ts)) for c, o in state.outgoing.items()]
    found += [Wait(c, "callback", b.opened.name, unstamp(b.opened.ts), b.due_us) for c, b in state.callbacks.items()]
    found += [Wait(c, "lock", o.requested.name, unstamp(o.requested.ts)) for c, o in state.locks.items() if not o.since]
    if state.takes.wakes:
        found.append(Wait(0, "message", taken(state.takes), unstamp(state.takes.ts)))
    if state.starts_later:
        found.append(Wait(0, "start", "its start", unstamp(state.head.ts), unstamp(state.head.start_at)))
    return sorted(found, key=lambda wait: (_RANK[wait.kind], wait.command))


def taken(takes: ev.HandlersRegistered) -> str:
    """What handlers take, in words: `signal go, signal stop`."""
    words = [f"signal {name}" for name in takes.signals] + [f"update {name}" for name in takes.updates]
    words += ["any other signal"] if takes.any_signal else []
    return ", ".join(words)


def _approval(approval: OpenApproval) -> Wait:
    asked = approval.requested
    given = "; ".join(f"{who(a.by)}: {a.comment}" if a.comment else who(a.by) for a in approval.given("approve"))
    return Wait(
        asked.command,
        "approval",
        asked.prompt,
        unstamp(asked.ts),
        unstamp(asked.deadline) if asked.deadline else None,
        given,
        asked.on_timeout if asked.deadline else "",
    )


def _step(step: OpenStep, run_paused: bool) -> Wait:
    if step.unknown is not None and step.asks:
        return Wait(step.command, "decide", step.title, unstamp(step.unknown.ts), detail=step.unknown.why)
    if step.paused is not None and step.started is None:
        by = step.paused.decided
        told = f"paused by {who(by.by)}: {by.reason}" if by.reason else f"paused by {who(by.by)}"
        return Wait(step.command, "paused", step.title, unstamp(step.paused.ts), detail=told, over_by_us=_over_by(step))
    if step.retry_at and step.started is None:
        error = step.last_error
        told = f"after attempt {step.attempts}: {error.message}" if error else ""
        return Wait(
            step.command,
            "retry",
            step.title,
            unstamp(step.scheduled.ts),
            unstamp(step.retry_at),
            told,
            over_by_us=_over_by(step),
        )
    attempt = f"attempt {step.attempts + (step.started is None)}"
    if step.max_attempts > 1:
        attempt += f" of {step.max_attempts + step.spent}"
    attempt += ", paused: no other begins" if step.paused is not None else ""
    attempt += ", begins when the run is resumed" if run_paused and step.started is None else ""
    since = step.started.ts if step.started else step.scheduled.ts
    if step.started is None:
        return Wait(step.command, "step", step.title, unstamp(since), None, attempt, over_by_us=_over_by(step))
    timeout = step.option("timeout", step.scheduled.timeout)
    ends = [unstamp(since) + timeout] if timeout else []
    ends += [unstamp(step.close_by)] if step.close_by else []
    return Wait(step.command, "step", step.title, unstamp(since), min(ends, default=None), attempt)


def _over_by(step: OpenStep) -> int | None:
    expiry = step.expiry
    return unstamp(expiry.at) if expiry is not None else None


def who(identity: ev.Identity | None) -> str:
    """A name for a person: the login, with the user behind a sudo."""
    if identity is None:
        return "somebody"
    name = identity.login or f"uid {identity.uid}"
    return f"{name} (sudo by {identity.sudo_user})" if identity.sudo_user else name


def paused(event: ev.RunPaused) -> str:
    """Who has paused a run, and why, as it is told."""
    by, reason = who(event.decided.by), event.decided.reason
    return f"paused by {by}: {reason}" if reason else f"paused by {by}"


def cancelled(by: ev.Identity | None, reason: str) -> str:
    """Who wants something to end, and why, as it is told."""
    return f"cancelled by {who(by)}: {reason}" if reason else f"cancelled by {who(by)}"


def whereabouts(state: RunState) -> str:
    """Where a run goes on that goes no further here, as a hint."""
    moved = state.moved
    if isinstance(moved, ev.RunMoved):
        return f"it was moved into {moved.to} by {who(moved.by)}; it goes on where that was imported"
    if isinstance(moved, ev.RunImported):
        return "it is a copy to look into; nothing can be done with it"
    return f"see how it ended: dwf show {state.head.run}"


def addressees(approval: ev.ApprovalRequested) -> str:
    """Who may answer, in words."""
    return ", ".join(approval.by) or "anyone"


_STEPS = {"approval": "approve"} | {
    kind: kind for kind in ("decide", "lock", "signal", "callback", "child", "start", "message")
}


def step_of(state: RunState) -> str:
    """Where a run is, in one or two words."""
    return _step_of(state, _first(state))


def _first(state: RunState) -> Wait | None:
    return next(iter(waits(state)), None)


def _step_of(state: RunState, first: Wait | None) -> str:
    if state.ended is not None:
        return "-"
    if first is None:
        return state.status_text or "-"
    return _STEPS.get(first.kind, first.what)


def waiting_for(state: RunState) -> str:
    """What a run waits for, in a few words and without times."""
    return _waiting_for(state, _first(state))


def _waiting_for(state: RunState, first: Wait | None) -> str:
    if state.upgraded:
        return "the next tick: it was upgraded"
    if state.paused is not None and state.ended is None:
        return paused(state.paused)
    if state.blocked is not None:
        return f"you: {state.blocked.message}"
    if first is None or state.ended is not None:
        return "-"
    if first.kind == "approval":
        return addressees(state.approvals[first.command].requested)
    if first.kind in ("lock", "signal", "callback"):
        return f"{first.kind} {first.what}"
    if first.kind == "child":
        more = len(state.children) - 1
        return f"run {first.what}" + (f" and {more} more" if more else "")
    if first.kind == "decide":
        return f"you: did {first.what} take effect?"
    if first.kind in ("step", "retry", "paused"):
        return first.detail
    return first.what


def row_of(state: RunState, link: int, *, due_now: bool = False, held_up: Sequence[HeldUp] = ()) -> Row:
    """The index row of a run that rests. `due_now`: it has something to do whatever the clock says.

    held_up: why steps of it that are ready do not begin.
    """
    status, first = state.status, _first(state)
    held = held_up if status is Status.RUNNING and not state.outgoing else ()
    status = Status.WAITING if held else status
    return Row(
        run=state.head.run,
        nonce=state.head.nonce,
        link=link,
        workflow=state.head.workflow,
        status=status.value,
        open=state.ended is None or state.continues,
        due_at=DUE_NOW if due_now or state.continues else _earlier(_due(state, status), held),
        step=_step_of(state, first),
        waiting=held[0].words if held else _waiting_for(state, first),
        since_us=first.since_us if first else unstamp(state.last_ts),
        started_us=unstamp(state.head.ts),
        updated_us=unstamp(state.last_ts),
        by=who(state.head.by) if state.head.by else "",
        needs=state.ended is None and (_set_aside(state) or (first is not None and first.kind in _ASKS)),
        parent=state.head.parent.mark if state.head.parent else "",
        parent_run=state.head.parent.run if state.head.parent else "",
        tags=packed(state.tags),
        priority=state.head.priority,
    )


def _earlier(due_us: int | None, held_up: Sequence[HeldUp]) -> int | None:
    """When a run is due that others hold up, too. Who is of another queue stays due, for its ticks."""
    if any(held.elsewhere for held in held_up):
        return DUE_NOW
    due = [held.due_us for held in held_up if held.due_us is not None]
    return min([*due, due_us] if due_us is not None else due, default=None)


def _set_aside(state: RunState) -> bool:
    return state.blocked is not None or state.paused is not None


def _due(state: RunState, status: Status) -> int | None:
    if state.ended is not None:
        return None
    if status is Status.PAUSED:
        deadline = next_deadline(state)
        return unstamp(deadline) if deadline else None
    if status is Status.BLOCKED:
        # Stored code does not mend itself. A file does, and a process ends: those are looked at again by each tick.
        assert state.blocked is not None
        if state.head.code_mode != "pinned" or state.blocked.code == StepStillRuns.code:
            return DUE_NOW
        deadline = next_deadline(state)
        return unstamp(deadline) if deadline else None
    if status is Status.RUNNING:
        return DUE_NOW
    return state.next_due_us()

"""Timers, for people: which there are, and a person's word on one of them.

The word is posted, bound to the run instance and the timer; whoever drives the run next turns it into an event.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dwf.core import messages as mail
from dwf.core.duration import stamp, unstamp
from dwf.core.events import NOTHING, Identity, Payload
from dwf.core.messages import Message, quoted
from dwf.core.state import OpenTimer, RunState, Status
from dwf.core.values import encode
from dwf.engine.lists import Progress, scanned
from dwf.engine.post import Posted, open_run, post
from dwf.engine.runs import load
from dwf.engine.stepping import refuse_second
from dwf.errors import DwfError, UsageError, WrongState
from dwf.store.choice import Choice
from dwf.store.room import Store
from dwf.store.row import DUE_NOW, Row

_OPEN = Choice(open_only=True)


@dataclass(frozen=True)
class Pending:
    """What waits for its time. Times: microseconds UTC. moved: its time is a person's word.

    kind: a `timer` that has not fired; a `retry` of the step `command`; the `start` of the run, which was put off.
    """

    run: str
    command: int
    purpose: str
    since_us: int
    due_us: int
    moved: bool = False
    kind: str = "timer"


def pending(store: Store, before_us: int | None = None, progress: Progress | None = None) -> list[Pending]:
    """What waits for its time in open runs, the first due first; with `before_us` what is due before then."""
    rows = store.index.rows(_OPEN)
    runs = scanned(store, _OPEN, progress) if rows is None else (row for row in rows if _may_fire(row, before_us))
    found = [timer for row in runs for timer in _timers_of(store, row.run)]
    return sorted(
        (timer for timer in found if before_us is None or timer.due_us < before_us),
        key=lambda timer: (timer.due_us, timer.run, timer.command),
    )


def _may_fire(row: Row, before_us: int | None) -> bool:
    """Whether its history has to be read. A blocked run is not due for the sake of its timers."""
    if row.due_at is None:
        return row.status == Status.BLOCKED.value
    return row.due_at == DUE_NOW or before_us is None or row.due_at < before_us


def _timers_of(store: Store, run: str) -> Iterator[Pending]:
    try:
        state = load(store, run).state
    except DwfError:
        return
    if state is None or state.ended is not None:
        return
    for command, timer in state.timers.items():
        asked = timer.started
        moved = timer.fire_at != asked.fire_at
        yield Pending(run, command, asked.purpose, unstamp(asked.ts), unstamp(timer.fire_at), moved)
    for command, step in state.steps.items():
        if step.retry_at and step.paused is None:
            what = f"attempt {step.attempts + 1} of {step.title}"
            yield Pending(run, command, what, unstamp(step.scheduled.ts), unstamp(step.retry_at), kind="retry")
    if state.starts_later:
        head = state.head
        yield Pending(run, 0, "the start of the run", unstamp(head.ts), unstamp(head.start_at), kind="start")


def fire(store: Store, run: str, by: Identity, reason: str, timer: str | None = None) -> Posted:
    """Let a timer fire, whatever its time. Raises what `move` raises."""
    return _post(store, run, mail.FIRE, by, reason, timer, "is to fire now")


def move(
    store: Store, run: str, at_us: int, by: Identity, reason: str, timer: str | None = None, shown: str = ""
) -> Posted:
    """Let a timer fire at another time, earlier or later. shown: that time as the person reads it.

    timer: its number, or part of its purpose; None if the run has one. Raises UsageError (2) if that names none or
    several, or the reason is missing; NotFound (4), WrongState (7) if the run has no timer, or if somebody has had his
    word on it and no tick has acted on that yet.
    """
    return _post(store, run, mail.MOVE, by, reason, timer, f"is to fire at {shown or stamp(at_us)}", stamp(at_us))


def _post(
    store: Store, run: str, act: str, by: Identity, reason: str, timer: str | None, what: str, fire_at: str = ""
) -> Posted:
    if not reason:
        raise UsageError(what="a word on a timer needs a reason", hint="-m 'why': it is recorded with your name")
    view = open_run(store, run)
    assert view.state is not None
    chosen = _chosen(view.state, view.run, timer)
    refuse_second(store, view.state, mail.TIMER, chosen.started.command)
    message = Message(
        id="",
        run=view.run,
        kind=mail.TIMER,
        nonce=view.state.head.nonce,
        name=act,
        payload=Payload(encode(fire_at)) if fire_at else NOTHING,
        command=chosen.started.command,
        reason=reason,
        by=by,
    )
    return post(store, view, message, f"timer {chosen.started.command} {quoted(chosen.started.purpose)} {what}")


def _chosen(state: RunState, run: str, timer: str | None) -> OpenTimer:
    timers = list(state.timers.values())
    if not timers:
        hint = f"see what it waits for: dwf show {run}"
        if any(step.retry_at for step in state.steps.values()):
            hint = f"its next attempt can be made now: dwf step retry {run}"
        elif state.starts_later:
            hint = f"it has not begun: dwf cancel {run}, and start it anew"
        raise WrongState(what=f"run {run} waits for no timer", hint=hint)
    fitting = timers if timer is None else [t for t in timers if timer == str(t.started.command)]
    fitting = fitting or [t for t in timers if timer is not None and timer.lower() in t.started.purpose.lower()]
    if len(fitting) == 1:
        return fitting[0]
    known = "; ".join(f"{t.started.command} {quoted(t.started.purpose)}" for t in timers)
    which = f"run {run} has {len(timers)} timers" if timer is None else f"{quoted(timer)} names {len(fitting)} timers"
    raise UsageError(what=which, hint=f"say which: {known}")

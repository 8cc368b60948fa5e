"""How a run is left: where it rests, how it ends, and what becomes of mail that comes after that.

The order at the end of a run: what it took up is on disk, then removed from the mailbox for good, then the end is
recorded; so whoever posts afterwards finds either his letter in the history or the run closed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from errno import ENOMEM
from typing import Any

from msgspec.structs import replace

from dwf.core import events as ev
from dwf.core import messages as mail
from dwf.core.due import is_cut_short
from dwf.core.outcome import said
from dwf.core.state import RunState, Status
from dwf.core.undos import Stand
from dwf.core.values import decode
from dwf.engine.arrivals import sender_of
from dwf.engine.chain import continue_in_next, is_for_next, is_meant, with_leftovers
from dwf.engine.journal import Journal
from dwf.engine.rights import forbidden
from dwf.engine.summary import row_of
from dwf.errors import ActivityError, DiskError, DwfError, Expected, HistoryCorrupt, InternalError, NewerFormat, Poison
from dwf.store.archive import archived
from dwf.store.files import disk_error
from dwf.store.held import held_workflow
from dwf.store.letters import Letter
from dwf.store.room import Store
from dwf.store.row import Row

_DEATHS = 5


class Rest(Enum):
    """Why a run was left."""

    WAITING = "waiting"
    CLOSED = "closed"
    BLOCKED = "blocked"
    PARKED = "parked"  # a step is runnable, but no lane was free
    ELSEWHERE = "elsewhere"  # a step is runnable, but its queue is served by other ticks
    STOPPED = "stopped"
    BUSY = "busy"
    UNREADABLE = "unreadable"
    MISSING = "missing"


@dataclass(frozen=True)
class Driven:
    """How a run was left. `news`: a line for people, if something went wrong for the first time.

    `remark`: a line about what is in order, but should be known.
    """

    rest: Rest
    news: str = ""
    remark: str = ""

    @property
    def tells(self) -> bool:
        """Whether people are to be told something."""
        return bool(self.news or self.remark)


def close_with(store: Store, journal: Journal, end: ev.Lifecycle, wakes: int) -> Rest:
    """Record the end of a run, and leave it. wakes: see `Index.settle`."""
    if isinstance(end, ev.WorkflowContinuedAsNew):
        end = with_leftovers(end, journal.state)
    if journal.state.tags != journal.state.head.tags:
        end = replace(end, tags=dict(journal.state.tags))
    journal.record(end)
    journal.commit()
    return closed(store, journal, wakes)


def closed(store: Store, journal: Journal, wakes: int) -> Rest:
    """Settle a run that is over; what else came came too late, and is kept as that. wakes: see `Index.settle`."""
    journal.commit()
    run, link = journal.run, journal.link
    state, parent = journal.state, journal.state.head.parent
    journal.family.leave(state)
    if state.continues:
        journal.tell(continue_in_next(store, state, link))
    while True:
        wanted = False
        for letter in store.mailbox.pending(run):
            if _took_up(state, letter):
                store.mailbox.discard([letter.name])
            elif is_for_next(letter.message, state):
                continue
            elif _wants_another(store, letter):
                wanted = True
            else:
                store.mailbox.to_late(letter.name)
        row = row_of(state, link, due_now=wanted)
        if store.index.settle(run, wakes, row, wake=parent.run if parent else ""):
            if parent is not None:
                journal.family.rouse(parent.run)
            return Rest.CLOSED
        if store.latest_link(run) > link:
            return Rest.CLOSED  # the row is its successor's now
        wakes = store.index.mark_due(run)


def _took_up(state: RunState, letter: Letter) -> bool:
    """Whether the history has this letter: as an event, as what ended it, or as another one with the same key."""
    message, ended = letter.message, state.ended
    by = ended.message if isinstance(ended, ev.WorkflowTerminated | ev.WorkflowCancelled) else ""
    return message.id == by or message.id in state.messages


def _wants_another(store: Store, letter: Letter) -> bool:
    """Whether it asks for a run, which the next drive makes, or refuses to."""
    return store.shared and letter.message.kind == mail.START


def termination(state: RunState, letter: Letter) -> ev.WorkflowTerminated:
    """The end that a letter asks for, with what it leaves undone."""
    message = letter.message
    return ev.WorkflowTerminated(by=sender_of(letter), reason=message.reason, message=message.id, **_left(state))


def forced(state: RunState, letter: Letter | None) -> ev.Lifecycle | None:
    """The end of a run whose script is not asked: by a person's letter, or because its time is up."""
    if letter is not None:
        return termination(state, letter)
    if not is_cut_short(state):
        return None
    assert state.overdue is not None
    return ev.WorkflowTimedOut(due=state.overdue.due, reason=state.overdue.reason, **_left(state))


def _left(state: RunState) -> dict[str, Any]:
    """What an end without cleanup leaves as it is."""
    waits = [*state.timers, *state.signal_waits, *state.approvals, *state.children, *state.callbacks, *state.locks]
    return {
        "open": sorted([*state.steps, *waits]),
        "undone": [entry.of for entry in state.undos.that_are(Stand.UNDONE)],
        "not_undone": [entry.told for entry in state.undos.left()],
    }


def news_of(state: RunState, end: ev.Event) -> str:
    """What people are told of an end: that it failed, if that is not its parent's matter and alarms somebody."""
    if not isinstance(end, ev.WorkflowFailed) or _expected(end.error):
        return ""
    parent = state.head.parent
    return f"{state.head.run} failed: {end.error.message}" if parent is None or parent.alone else ""


def _expected(error: ev.ErrorInfo) -> bool:
    """Whether the script, or the step that failed, has raised dwf.Expected."""
    details = decode(error.details) if error.type == ActivityError.__name__ else None
    return Expected.__name__ in (error.type, details.get("type") if isinstance(details, dict) else "")


def at_the_beginning(store: Store, journal: Journal, wakes: int) -> Rest | None:
    """Before the first line of its script: an end that its mail asks for; or it is held back, and rests."""
    ended = _ended_unbegun(store, journal, wakes)
    head = journal.state.head
    if ended is None and not head.continues and (held := held_workflow(store.held, head.workflow)) is not None:
        journal.record(ev.RunPaused(decided=ev.Decision(by=held.by, reason=held.reason, posted=held.at)))
    return ended


def _ended_unbegun(store: Store, journal: Journal, wakes: int) -> Rest | None:
    """End a run of which nothing has happened yet, if its mail asks for that: its script never begins."""
    letters = store.mailbox.pending(journal.run)
    if store.shared:
        # What may not be is refused once the run has begun, with everything else that does not count.
        letters = [letter for letter in letters if forbidden(store, letter.uid, letter.message.kind) is None]
    end = _ended_before(journal.state, letters)
    return None if end is None else close_with(store, journal, end, wakes)


def not_begun(store: Store, journal: Journal, wakes: int) -> Rest:
    """Leave a run whose start lies ahead: mail is kept for the script; only an end is taken up now."""
    journal.commit()
    while True:
        ended = _ended_unbegun(store, journal, wakes)
        if ended is not None:
            return ended
        if store.index.settle(journal.run, wakes, row_of(journal.state, journal.link)):
            return Rest.WAITING
        wakes = store.index.mark_due(journal.run)


def _ended_before(state: RunState, letters: Iterable[Letter]) -> ev.Lifecycle | None:
    for letter in letters:
        message = letter.message
        if not message.nonce or not is_meant(message, state.head):
            continue
        if message.kind == mail.TERMINATE:
            return termination(state, letter)
        if message.kind == mail.CANCEL:
            return ev.WorkflowCancelled(reason=message.reason, message=message.id, by=sender_of(letter))
    return None


def refuse_poison(state: RunState, deaths: int) -> None:
    """Not once more, if process after process has died over this run: it would keep all others from their turn."""
    if deaths >= _DEATHS or (state.blocked is not None and state.blocked.code == Poison.code):
        hint = f"look for the cause (dmesg: out of memory?), mend it, then: dwf unblock {state.head.run} -m WHY"
        raise Poison(times=_DEATHS, hint=hint)


def unreadable(store: Store, run: str, link: int, error: HistoryCorrupt | NewerFormat) -> Driven:
    """Leave a history alone that cannot be trusted. Others go on; it is reported when it is first met."""
    status = Status.CORRUPT if isinstance(error, HistoryCorrupt) else Status.NEWER
    before = store.index.row(run)
    known = before is not None and before.status == status.value
    row = Row(run, link=link, status=status.value, due_at=None, waiting=error.message, needs=True)
    store.index.settle(run, store.index.wakes_seen(run), row)
    return Driven(Rest.UNREADABLE, "" if known else error.message)


def missing(store: Store, run: str) -> Driven:
    """There is no such run, or it is archived: mail for it is refused, or came too late, and the index forgets it."""
    letters = store.mailbox.pending(run)
    if os.path.lexists(store.layout.history_path(run)):
        return Driven(Rest.BUSY)  # made in this moment, and told of something at once: the next look finds it
    away = archived(store.layout, run)
    for letter in letters:
        if away is None:
            store.mailbox.refuse(letter.name, f"there is no run {run}", letter.uid)
        else:
            store.mailbox.to_late(letter.name)
    store.index.forget(run)
    return Driven(Rest.MISSING)


def kept_from(run: str, error: BaseException) -> DwfError:
    """What kept us from a run, as an error that stops this run only. What ends the process is raised."""
    if isinstance(error, DwfError):
        return error
    if isinstance(error, OSError):
        return disk_error("drive", run, error)
    if isinstance(error, MemoryError):
        return DiskError(operation="drive", path=run, why="out of memory", errno=ENOMEM)
    if not isinstance(error, Exception):
        raise error
    wrapped = InternalError(what=f"driving {run} failed: {type(error).__name__}: {said(error)}")
    wrapped.__cause__ = error
    return wrapped

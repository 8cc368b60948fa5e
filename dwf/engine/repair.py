"""Giving up the rest of a damaged history: what a person may do when no backup is left. Never done unasked.

What stands before the damage goes on; what stood behind it has happened in the world all the same, and may happen
again. So it is shown first what that was, and what is cut off is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dwf.core import events as ev
from dwf.core.duration import stamp
from dwf.core.events import Decision, Identity
from dwf.engine.context import wall_clock_us
from dwf.engine.runs import load
from dwf.errors import Busy, HistoryCorrupt, UsageError, WrongState
from dwf.store.files import read_regular
from dwf.store.history import History
from dwf.store.record import UNREADABLE, decode_line
from dwf.store.room import Store


@dataclass(frozen=True)
class Loss:
    """What would be given up from `line` on: how many lines and bytes, and what of it can still be read.

    did: steps that ran to an end there, which would run again. said: signals and answers of people. sound: how many of
    the lines are before the damage and in order, so that nothing forces to give them up; sound_did: the steps in them.
    """

    run: str
    path: str
    line: int
    lines: int
    size: int
    did: list[str]
    said: list[str]
    sound: int
    sound_did: list[str]


def loss(store: Store, run: str, line: int | None = None) -> Loss:
    """What giving up a damaged history from `line` on would lose; from its first damaged line if None.

    Raises NotFound (4), WrongState (7) if it is not damaged, or not before that line.
    """
    view = load(store, run)
    if not isinstance(view.problem, HistoryCorrupt) or view.problem.facts.get("kind") == "torn":
        raise WrongState(what=f"the history of {run} is not damaged", hint=f"dwf verify {run}")
    first = int(str(view.problem.facts["line"]))
    at = first if line is None else line
    if not 1 < at <= first:
        raise WrongState(
            what=f"line {at} cannot be where the history of {run} is given up",
            hint="its first line is needed: put back a backup" if first <= 1 else f"damage begins in line {first}",
        )
    kept, given_up = _parted(read_regular(view.path), at)
    titles = _titles([*kept, *given_up])
    found = [event for event in map(_read, given_up) if event is not None]
    said = [_told(event) for event in found if isinstance(event, ev.SignalReceived | ev.ApprovalAnswered)]
    sound = list(filter(None, map(_read, given_up[: first - at])))
    size = sum(map(len, given_up))
    return Loss(run, view.path, at, len(given_up), size, _did(found, titles), said, first - at, _did(sound, titles))


def give_up(
    store: Store, run: str, line: int, by: Identity, reason: str, clock: Callable[[], int] = wall_clock_us
) -> Loss:
    """Cut a damaged history off before `line`; keep what is cut, record who and why. Raises Busy, WrongState."""
    if not reason:
        raise UsageError(what="to give up a part of a history needs a reason", hint="-m 'why': it is recorded")
    lock = store.locks.take(run)
    if lock is None:
        holder = store.locks.holder(run)
        raise Busy(run=run, pid=holder.pid if holder else "?", hint="try again when it is done")
    with lock:
        # Looked at under the lock: a history that was put back meanwhile is sound, and nothing of it is given up.
        lost = loss(store, run, line)
        store.index.mark_due(run)
        decided = Decision(by=by, reason=reason, posted=stamp(clock()))
        History.cut(store.disk, lost.path, line, decided, clock()).close()
    return lost


_ENDS = (ev.ActivityCompleted, ev.ActivityFailed, ev.ActivityTimedOut)


def _parted(data: bytes, line: int) -> tuple[list[bytes], list[bytes]]:
    lines = data.splitlines(keepends=True)
    return lines[: line - 1], lines[line - 1 :]


def _read(line: bytes) -> ev.Event | None:
    try:
        return decode_line(line)
    except UNREADABLE:
        return None


def _did(events: list[ev.Event], titles: dict[int, str]) -> list[str]:
    return [titles.get(event.command, f"step {event.command}") for event in events if isinstance(event, _ENDS)]


def _titles(lines: list[bytes]) -> dict[int, str]:
    scheduled = [event for event in map(_read, lines) if isinstance(event, ev.ActivityScheduled)]
    return {event.command: event.title or event.name for event in scheduled}


def _told(event: ev.SignalReceived | ev.ApprovalAnswered) -> str:
    return f"signal {event.name}" if isinstance(event, ev.SignalReceived) else f"{event.answer} (line {event.id})"

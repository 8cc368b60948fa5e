"""Reading one run, for people: which is meant, what its history says. Executes no script and writes nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from dwf.core.duration import unstamp
from dwf.core.events import Event, Identity, WorkflowStarted
from dwf.core.messages import check_run_id
from dwf.core.state import RunState, Status
from dwf.engine.summary import who
from dwf.errors import DwfError, HistoryCorrupt, NotFound, UsageError
from dwf.store import archive
from dwf.store.choice import Choice
from dwf.store.history import read_history
from dwf.store.layout import run_of
from dwf.store.letters import Letter
from dwf.store.refused import MOST as MOST_BAD
from dwf.store.refused import BadMail
from dwf.store.room import Store
from dwf.store.walk import Walk

_SHOWN = 5
_LONG_BYTES = 1024 * 1024
_PIECE = 256 * 1024
_REMEMBERED_US = 7 * 24 * 3600 * 1_000_000
# Ids that are compared with a mistyped one; of a million, those that sort next to it.
_COMPARED = 500


@dataclass(frozen=True)
class RunView:
    """A run as a reader found it. `state` is None if not even its first line can be read; `problem` says why."""

    run: str
    link: int
    path: str
    events: list[Event]
    state: RunState | None
    problem: DwfError | None
    torn_bytes: int

    @property
    def month(self) -> str:
        """In which month's directory of the archive it lies; "" if it is not archived."""
        directory = self.path.rpartition("/")[0]
        return "" if directory.endswith("/runs") else directory.rpartition("/")[2]

    @property
    def status(self) -> Status:
        if self.problem is not None:
            return Status.CORRUPT if isinstance(self.problem, HistoryCorrupt) else Status.NEWER
        assert self.state is not None
        return self.state.status


def resolve(store: Store, text: str) -> str:
    """A run id from an id or a unique prefix of one. Raises NotFound (4), UsageError (2) with the candidates."""
    check_run_id(text)
    if os.path.lexists(store.history(text)):
        return text
    fitting = _beginning_so(store, text)
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise _no_run(store, text)
    more = f" and {len(fitting) - _SHOWN} more" if len(fitting) > _SHOWN else ""
    what = f"{text} begins {f'at least {_COMPARED}' if len(fitting) >= _COMPARED else len(fitting)} run ids"
    raise UsageError(what=what, hint=", ".join(fitting[:_SHOWN]) + more)


def _beginning_so(store: Store, text: str) -> list[str]:
    known = store.index.ids(text, _COMPARED)
    found = [run for run in all_ids(store) if run.startswith(text)] if known is None else known
    if not found:
        names = (entry for month in archive.months(store.layout) for entry in archive.entries(store.layout, month))
        found = sorted({run for run, *_ in names if run.startswith(text)})
    return found[:_COMPARED]


def _no_run(store: Store, run: str) -> NotFound:
    if store.shared and store.mailbox.has_mail(run):
        return NotFound(what=f"there is no run {run} yet: it was asked for", hint="the next tick starts it, or refuses")
    refused = refused_mail(store, run) if store.shared else []
    if refused:
        return NotFound(what=f"there is no run {run}: {refused[-1].reason}", hint="dwf inbox tells what was refused")
    near = store.index.ids_near(run, _COMPARED)
    close = get_close_matches(run, all_ids(store)[:_COMPARED] if near is None else near, 1)
    return NotFound(what=f"there is no run {run}", hint=f"did you mean {close[0]}?" if close else "dwf list")


def last_started(store: Store, by: Identity) -> str:
    """The run that this user started last, by the name he had then. Raises NotFound."""
    from dwf.engine.lists import summaries

    name = who(by)
    for found in summaries(store, Choice(by=name), 1):
        return found.run
    raise NotFound(what=f"{name} has started no run here", hint="dwf list shows what there is")


def load(store: Store, run: str, link: int = 0) -> RunView:
    """The latest instance of a run, or the one of that number. Raises NotFound."""
    check_run_id(run)
    link = link or store.latest_link(run)
    path = store.history(run, link)
    try:
        reading = read_history(path)
    except NotFound:
        if path == store.history(run, link):
            raise _no_run(store, run) from None
        return load(store, run, link)  # it went into the archive in this moment
    state, problem = None, reading.problem
    if reading.events and isinstance(reading.events[0], WorkflowStarted):
        try:
            state = folded(reading.events, path)
        except HistoryCorrupt as error:
            problem = problem or error
    return RunView(run, link, path, reading.events, state, problem, reading.torn_bytes)


def chain_of(store: Store, view: RunView) -> list[RunView]:
    """The instances of a run that continues as new, the first one first; what cannot be read ends the way back."""
    found = [view]
    while found[0].state is not None and found[0].state.head.continues:
        try:
            found.insert(0, load(store, view.run, found[0].link - 1))
        except NotFound:
            break
    return found


def family(store: Store, view: RunView) -> Iterator[RunView]:
    """A run and its open children, and theirs; what cannot be read is left out."""
    yield view
    for child in view.state.children.values() if view.state is not None else ():
        try:
            found = load(store, child.requested.run)
        except DwfError:
            continue
        if found.state is not None and found.state.head.parent is not None:
            yield from family(store, found)


def standing(store: Store, run: str) -> RunView:
    """The same where only its state counts: a long history is folded piece by piece, and none of it is kept."""
    check_run_id(run)
    link = store.latest_link(run)
    path = store.history(run, link)
    try:
        with os.fdopen(store.disk.open_regular(path), "rb") as file:  # what is no file would be waited for
            if os.fstat(file.fileno()).st_size < _LONG_BYTES:
                return load(store, run)
            walk = Walk(path)
            while piece := file.read(_PIECE):
                walk.feed(piece)
        state = walk.end().state
    except (OSError, DwfError):
        return load(store, run)  # it says what is wrong
    return RunView(run, link, path, [], state, None, walk.torn_bytes)


def folded(events: Iterable[Event], path: str) -> RunState:
    """A history as a state. Raises HistoryCorrupt for records that each are in order, and together are no history."""
    state = RunState()
    for event in events:
        try:
            state.apply(event)
        except (KeyError, AssertionError, AttributeError) as error:
            why = f"{type(event).__name__} does not follow from what is before it ({type(error).__name__}: {error})"
            raise HistoryCorrupt(path=path, line=event.id, offset=0, why=why, kind="corrupt") from error
    try:
        for due in state.due_times():
            unstamp(due)
    except ValueError as error:
        raise HistoryCorrupt(path=path, line=state.last_id, offset=0, why=str(error), kind="corrupt") from error
    return state


def last_tick_us(store: Store) -> int | None:
    """When a tick was last here, microseconds UTC; None if never, or not known."""
    return store.index.last_tick_us()


def someone_drives(store: Store) -> bool:
    """Whether a tick is at work just now, as far as this user may see; it notes itself only when it ends."""
    try:
        return next(store.locks.holders(), None) is not None
    except DwfError:
        return False


def is_undriven(store: Store, run: str, status: Status) -> bool:
    """Whether a run looks as if it were running, and nobody is at work on it: its tick has ended, or was killed.

    Only who may look at the locks can tell: in a shared directory that is the engine's user.
    """
    return status is Status.RUNNING and not store.is_operator and store.locks.holder(run) is None


def pending_mail(store: Store, run: str) -> list[Letter]:
    """What was posted to a run and is not in its history yet."""
    return store.mailbox.pending(run)


def late_mail(store: Store, run: str) -> list[Letter]:
    """What was posted to a run and came after what it speaks of was over: kept, and never acted on."""
    return store.mailbox.late(run)


def refused_count(store: Store) -> int:
    """How many files in the mailbox were no messages, or were not allowed."""
    return store.mailbox.count_bad()


def refused_mail(store: Store, run: str) -> list[BadMail]:
    """What bears the name of a run and was refused, the newest last."""
    return [bad for bad in store.mailbox.bad(MOST_BAD) if store.mailbox.run_of(bad.name) == run]


def refused_to(store: Store, uid: int) -> list[BadMail]:
    """Messages of a user that were refused lately: nobody else would tell him."""
    since = time.time_ns() // 1000 - _REMEMBERED_US
    return [bad for bad in store.mailbox.bad(MOST_BAD) if bad.uid == uid and bad.at_us > since][-_SHOWN:]


def all_ids(store: Store) -> list[str]:
    """Every run id, by the names of the histories."""
    try:
        found = map(run_of, os.listdir(store.layout.runs))  # noqa: PTH208
    except FileNotFoundError:
        return []
    return sorted({name[0] for name in found if name is not None})

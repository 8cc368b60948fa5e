"""Reading, for people: one run, all runs, what needs somebody. Executes no script and writes nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from dwf.core.duration import unstamp
from dwf.core.events import Event, Identity, WorkflowStarted
from dwf.core.messages import check_run_id
from dwf.core.state import RunState, Status
from dwf.engine.stuck import why_stuck
from dwf.engine.summary import Wait, addressees, row_of, waits, who
from dwf.errors import DwfError, HistoryCorrupt, NotFound, UsageError
from dwf.store.history import read_history
from dwf.store.layout import run_of
from dwf.store.letters import Letter
from dwf.store.refused import MOST as MOST_BAD
from dwf.store.refused import BadMail
from dwf.store.room import Store
from dwf.store.row import Row

_SHOWN = 5
_REMEMBERED_US = 7 * 24 * 3600 * 1_000_000
_LOOKED_INTO = 200
_SHORT_BYTES = 64 * 1024


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
    def status(self) -> Status:
        if self.problem is not None:
            return Status.CORRUPT if isinstance(self.problem, HistoryCorrupt) else Status.NEWER
        assert self.state is not None
        return self.state.status


@dataclass(frozen=True)
class Summary:
    """A line of `dwf list`. Times are microseconds UTC; `until_us` is when time alone moves it on."""

    run: str
    workflow: str
    status: Status
    step: str
    waiting: str
    since_us: int
    until_us: int | None
    started_us: int
    updated_us: int
    by: str


@dataclass(frozen=True)
class Need:
    """Something that needs a person. kind: APPROVE, DECIDE, FIX or STUCK; `then`: what happens without an answer."""

    kind: str
    run: str
    what: str
    who: str
    since_us: int
    until_us: int | None = None
    then: str = ""
    detail: str = ""
    command: int = 0


def resolve(store: Store, text: str) -> str:
    """A run id from an id or a unique prefix of one. Raises NotFound (4), UsageError (2) with the candidates."""
    check_run_id(text)
    if os.path.exists(store.layout.history_path(text)):  # noqa: PTH110
        return text
    known = _all_ids(store)
    fitting = [run for run in known if run.startswith(text)]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise _no_run(store, text, known)
    more = f" and {len(fitting) - _SHOWN} more" if len(fitting) > _SHOWN else ""
    raise UsageError(what=f"{text} begins {len(fitting)} run ids", hint=", ".join(fitting[:_SHOWN]) + more)


def _no_run(store: Store, run: str, known: list[str]) -> NotFound:
    if store.shared and store.mailbox.has_mail(run):
        return NotFound(what=f"there is no run {run} yet: it was asked for", hint="the next tick starts it, or refuses")
    refused = refused_mail(store, run) if store.shared else []
    if refused:
        return NotFound(what=f"there is no run {run}: {refused[-1].reason}", hint="dwf inbox tells what was refused")
    close = get_close_matches(run, known, 1)
    return NotFound(what=f"there is no run {run}", hint=f"did you mean {close[0]}?" if close else "dwf list")


def last_started(store: Store, by: Identity) -> str:
    """The run that this user started last, by the name he had then. Raises NotFound."""
    name = who(by)
    for limit in (_SHOWN, -1):  # it is among the first nearly always
        rows = store.index.rows(limit=limit)
        for row in _scanned(store) if rows is None else rows:
            if row.by == name:
                return row.run
    raise NotFound(what=f"{name} has started no run here", hint="dwf list shows what there is")


def load(store: Store, run: str) -> RunView:
    """The latest instance of a run. Raises NotFound."""
    check_run_id(run)
    link = store.latest_link(run)
    path = store.layout.history_path(run, link)
    try:
        reading = read_history(path)
    except NotFound:
        raise _no_run(store, run, _all_ids(store)) from None
    state, problem = None, reading.problem
    if reading.events and isinstance(reading.events[0], WorkflowStarted):
        try:
            state = folded(reading.events, path)
        except HistoryCorrupt as error:
            problem = problem or error
    return RunView(run, link, path, reading.events, state, problem, reading.torn_bytes)


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


def summaries(
    store: Store,
    *,
    open_only: bool = False,
    workflow: str | None = None,
    status: Collection[Status] | None = None,
    limit: int | None = None,
) -> list[Summary]:
    """Runs, the last started first: from the index if it can be believed, else from the files."""
    words = [s.value for s in status] if status else []
    rows = store.index.rows(open_only=open_only, workflow=workflow, status=words, limit=-1 if limit is None else limit)
    if rows is None:
        rows = [row for row in _scanned(store) if _wanted(row, open_only, workflow, words)][:limit]
    few = sum(row.open for row in rows) <= _LOOKED_INTO
    return [_summary(_read_anew(store, row) if _needs_look(store, row, few) else row) for row in rows]


def _needs_look(store: Store, row: Row, few: bool) -> bool:
    """Whether the file is asked instead of the index.

    A row says "due" from before work begins until after its result is on disk: only the file knows more. And a file
    that somebody has damaged while its run waits is seen here, where that costs little; else `dwf verify` sees it.
    """
    if row.due_at == 0:
        return True
    if not few or not row.open:
        return False
    try:
        return os.stat(store.layout.history_path(row.run, row.link)).st_size <= _SHORT_BYTES  # noqa: PTH116
    except OSError:
        return True


def last_tick_us(store: Store) -> int | None:
    """When a tick was last here, microseconds UTC; None if never, or not known."""
    return store.index.last_tick_us()


def someone_drives(store: Store) -> bool:
    """Whether a tick is at work just now, as far as this user may see; it notes itself only when it ends."""
    try:
        return next(store.locks.holders(), None) is not None
    except DwfError:
        return False


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


def inbox(store: Store, uid: int | None = None) -> list[Need]:
    """Everything that needs a person, what ends first first. uid: in a shared directory, also what he was refused."""
    needs = _refused_to(store, uid) if store.shared and uid is not None else []
    for summary in summaries(store, open_only=True):
        if summary.status is Status.CORRUPT or summary.status is Status.NEWER:
            needs.append(Need("FIX", summary.run, summary.waiting, "whoever keeps the disk", summary.updated_us))
        elif summary.status is Status.BLOCKED or summary.step in ("approve", "decide"):
            needs += _needs_of(store, load(store, summary.run))
    return sorted(needs, key=lambda need: (need.until_us is None, need.until_us or need.since_us))


def _refused_to(store: Store, uid: int) -> list[Need]:
    """Messages of a user that were refused lately: nobody else would tell him."""
    since = time.time_ns() // 1000 - _REMEMBERED_US
    return [
        Need("REFUSED", store.mailbox.run_of(bad.name) or "-", bad.reason, "you", bad.at_us)
        for bad in store.mailbox.bad(MOST_BAD)
        if bad.uid == uid and bad.at_us > since
    ][-_SHOWN:]


def _needs_of(store: Store, view: RunView) -> list[Need]:
    state = view.state
    if view.problem is not None:
        return [Need("FIX", view.run, view.problem.message, "whoever keeps the disk", 0)]
    if state is None or state.upgraded:
        return []
    if state.blocked is not None:
        blocked = state.blocked
        return [
            Need("FIX", view.run, blocked.message, "whoever keeps the script", unstamp(blocked.ts), detail=blocked.hint)
        ]
    stuck = why_stuck(state, os.stat(store.layout.home).st_uid, shared=store.shared)  # noqa: PTH116
    if stuck is not None:
        return [Need("STUCK", view.run, stuck, "whoever started it", unstamp(state.last_ts))]
    return [
        _question(state, wait) if wait.kind == "approval" else _unknown(state, wait)
        for wait in waits(state)
        if wait.kind in ("approval", "decide")
    ]


def _unknown(state: RunState, wait: Wait) -> Need:
    who = "whoever can look whether it took effect"
    return Need("DECIDE", state.head.run, wait.what, who, wait.since_us, detail=wait.detail, command=wait.command)


def _question(state: RunState, wait: Wait) -> Need:
    approval = state.approvals[wait.command]
    needed = f" {len(approval.given('approve'))}/{approval.requested.need}" if approval.requested.need > 1 else ""
    return Need(
        "APPROVE",
        state.head.run,
        wait.what,
        addressees(approval.requested) + needed,
        wait.since_us,
        wait.until_us,
        wait.on_timeout,
        wait.detail,
        wait.command,
    )


def _all_ids(store: Store) -> list[str]:
    try:
        found = map(run_of, os.listdir(store.layout.runs))  # noqa: PTH208
    except FileNotFoundError:
        return []
    return sorted({name[0] for name in found if name is not None})


def _scanned(store: Store) -> list[Row]:
    rows = [_read_anew(store, Row(run)) for run in _all_ids(store)]
    return sorted(rows, key=lambda row: (-row.started_us, row.run))


def _wanted(row: Row, open_only: bool, workflow: str | None, status: list[str]) -> bool:
    if (open_only and not row.open) or (workflow is not None and row.workflow != workflow):
        return False
    return not status or row.status in status


def _read_anew(store: Store, row: Row) -> Row:
    try:
        view = load(store, row.run)
    except DwfError as error:
        return Row(row.run, status=Status.CORRUPT.value, waiting=error.message, started_us=row.started_us)
    if view.state is None or view.problem is not None:
        why = view.problem.message if view.problem else "its first line cannot be read"
        known = view.state.head if view.state else None
        return Row(
            row.run,
            status=view.status.value,
            workflow=known.workflow if known else "",
            waiting=why,
            started_us=unstamp(known.ts) if known else row.started_us,
        )
    return row_of(view.state, view.link)


def _summary(row: Row) -> Summary:
    return Summary(
        run=row.run,
        workflow=row.workflow,
        status=Status(row.status),
        step=row.step or "-",
        waiting=row.waiting or "-",
        since_us=row.since_us,
        until_us=row.due_at or None,
        started_us=row.started_us,
        updated_us=row.updated_us,
        by=row.by,
    )

"""Many runs, for people: what there is, how many of it, what needs somebody. Executes no script and writes nothing.

There may be a million runs. So the index is asked for as many as are shown, and histories are read one after the other
and only where the index cannot know; without an index every history is, and a caller may be told how far that is.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from heapq import merge, nsmallest
from itertools import islice
from typing import TYPE_CHECKING, Any

from dwf.core.duration import unstamp
from dwf.core.state import RunState, Status
from dwf.core.tags import Noted, unpacked
from dwf.engine.queueing import in_line
from dwf.engine.runs import RunView, all_ids, is_undriven, load, refused_to
from dwf.engine.stuck import stuck_at
from dwf.engine.summary import Wait, addressees, paused, row_of, waits
from dwf.errors import DwfError
from dwf.store.archive import entries, find, months
from dwf.store.choice import EVERY, Choice
from dwf.store.rebuild import glance
from dwf.store.room import Store
from dwf.store.row import DUE_NOW, Row

if TYPE_CHECKING:
    from dwf.store.where import Expression

Progress = Callable[[int, int], None]
_LOOKED_INTO = 200
_SHORT_BYTES = 64 * 1024
# A longer history takes longer to read than a person likes to wait for a line of a list.
_LONG_BYTES = 1024 * 1024
_PAGE = 1000
MOST_NEEDS = 1000
UNDRIVEN = "the next tick: nobody drives it now"
_OPEN, _NEED, _DUE = Choice(open_only=True), Choice(needs=True), Choice(due_now=True)


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
    tags: Noted = field(default_factory=dict)


@dataclass(frozen=True)
class Need:
    """Something that needs a person. kind: APPROVE, DECIDE, PAUSED, FIX, STUCK; `then`: what happens without answer."""

    kind: str
    run: str
    what: str
    who: str
    since_us: int
    until_us: int | None = None
    then: str = ""
    detail: str = ""
    command: int = 0


@dataclass(frozen=True)
class Tally:
    """How many runs there are, by workflow and status. unsure: so many are due, and counted as they were left."""

    runs: dict[tuple[str, str], int]
    unsure: int = 0

    @property
    def total(self) -> int:
        return sum(self.runs.values())


# -- which there are --------------------------------------------------------------------------------------------


def summaries(
    store: Store, choice: Choice = EVERY, limit: int | None = None, progress: Progress | None = None
) -> list[Summary]:
    """Runs, the last started first: from the index if it can be believed, else from the files."""
    if choice.refined:
        rows: list[Row] | None = list(islice(refined(store, choice, progress), limit))
    else:
        rows = store.index.rows(choice, limit=-1 if limit is None else limit)
    if rows is None:
        rows = _newest(scanned(store, choice, progress), limit)
    return _looked_at(store, rows)


def every(store: Store, choice: Choice = EVERY, progress: Progress | None = None) -> Iterator[Summary]:
    """The same, all of them, a page at a time: of a million runs only the page is in memory."""
    if choice.refined:
        rows = refined(store, choice, progress)
        while page := list(islice(rows, _PAGE)):
            yield from _looked_at(store, page)
        return
    known = store.index.rows(choice, limit=_PAGE)
    if known is None:
        yield from _looked_at(store, _newest(scanned(store, choice, progress), None))
        return
    for page in _pages(store, choice, known):
        yield from _looked_at(store, page)


def _pages(store: Store, choice: Choice, page: list[Row] | None) -> Iterator[list[Row]]:
    while page:
        yield page
        page = store.index.rows(choice, limit=_PAGE, after=(page[-1].started_us, page[-1].run))


def refined(store: Store, choice: Choice, progress: Progress | None = None) -> Iterator[Row]:
    """Rows that are meant by tags and expressions, the last started first. What is due is asked of its history.

    A row is as it was when its run came to rest last, and a run that is at work may have marked itself since.
    """
    known = store.index.rows(choice, limit=_PAGE)
    if known is None:
        yield from _newest(scanned(store, choice, progress), None)
        return
    due = store.index.rows(_DUE, limit=_LOOKED_INTO + 1) or []
    anew = {} if len(due) > _LOOKED_INTO else {r.run: _read_anew(store, r) for r in due if not _is_away(store, r)}
    settled = (row for page in _pages(store, choice, known) for row in page if row.run not in anew)
    yield from merge(settled, _newest((row for row in anew.values() if choice.fits(row)), None), key=_order)


def archived(store: Store, limit: int | None = None) -> Iterator[Summary]:
    """Runs in the archive: by the month in which they ended, the newest first, and what was written last first."""
    layout, left = store.layout, limit
    for month in months(layout):
        found = [entry for entry in entries(layout, month) if entry[1] == store.latest_link(entry[0])]
        for run, link, path in sorted(found, key=lambda entry: _written(entry[2]), reverse=True)[:left]:
            yield _summary(glance(run, link, path))
        left = None if left is None else max(left - len(found), 0)
        if left == 0:
            return


def _written(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116
    except OSError:
        return 0


def tally(store: Store, choice: Choice = EVERY, progress: Progress | None = None) -> Tally:
    """How many runs there are, of each workflow and status."""
    known = store.index.counts(choice)
    if known is None:
        return Tally(dict(Counter((row.workflow, row.status) for row in scanned(store, choice, progress))))
    counted = Counter({(workflow, status): number for workflow, status, number in known})
    due = store.index.rows(_DUE, limit=_LOOKED_INTO + 1) or []
    if len(due) > _LOOKED_INTO:
        return Tally(dict(counted), sum(number for *_, number in store.index.counts(_DUE) or []))
    for row in due:
        counted -= _one(row, choice)
        if not _is_away(store, row):
            counted += _one(_read_anew(store, row), choice)
    return Tally(dict(counted))


def grouped(
    store: Store, choice: Choice, by: Expression, progress: Progress | None = None
) -> tuple[dict[Any, int], int]:
    """How many runs there are of each value of a column or tag; and how many are due, and counted as they were left."""
    known = store.index.groups(choice, by)
    if known is None:
        return dict(Counter(by.of(row) for row in scanned(store, choice, progress))), 0
    counted = Counter(dict(known))
    due = store.index.rows(_DUE, limit=_LOOKED_INTO + 1) or []
    if len(due) > _LOOKED_INTO:
        return dict(counted), sum(number for *_, number in store.index.counts(_DUE) or [])
    for row in due:
        counted.subtract([by.of(row)] if choice.fits(row) else [])
        if not _is_away(store, row):
            anew = _read_anew(store, row)
            counted.update([by.of(anew)] if choice.fits(anew) else [])
    return {value: number for value, number in counted.items() if number > 0}, 0


def _one(row: Row, choice: Choice) -> Counter[tuple[str, str]]:
    return Counter([(row.workflow, row.status)] if choice.fits(row) else [])


def _looked_at(store: Store, rows: list[Row]) -> list[Summary]:
    few = sum(row.open for row in rows) <= _LOOKED_INTO
    # Its archivist was killed before he could drop the row: it is told among the archived.
    rows = [row for row in rows if row.due_at != DUE_NOW or not _is_away(store, row)]
    return [_told(store, _read_anew(store, row) if _needs_look(store, row, few) else row) for row in rows]


def _told(store: Store, row: Row) -> Summary:
    told = _summary(row)
    return replace(told, waiting=UNDRIVEN) if is_undriven(store, told.run, told.status) else told


def _needs_look(store: Store, row: Row, few: bool) -> bool:
    """Whether the file is asked instead of the index.

    A row says "due" from before work begins until after its result is on disk: only the file knows more. And a file
    that somebody has damaged while its run waits is seen here, where that costs little; else `dwf verify` sees it.
    """
    if row.due_at == DUE_NOW:
        return True
    return few and row.open and not _is_longer(store, row, _SHORT_BYTES)


def _is_away(store: Store, row: Row) -> bool:
    path = store.layout.history_path(row.run, row.link)
    return not os.path.lexists(path) and find(store.layout, row.run, row.link) != path


def _is_longer(store: Store, row: Row, size: int) -> bool:
    try:
        return os.stat(store.layout.history_path(row.run, row.link)).st_size > size  # noqa: PTH116
    except OSError:
        return False


# -- what needs somebody ----------------------------------------------------------------------------------------


def inbox(store: Store, uid: int | None = None, progress: Progress | None = None) -> list[Need]:
    """What needs a person, what ends first first; of very many, those of the runs that were started last.

    uid: in a shared directory, also what he was refused.
    """
    needs = [
        Need("REFUSED", store.mailbox.run_of(bad.name) or "-", bad.reason, "you", bad.at_us)
        for bad in (refused_to(store, uid) if store.shared and uid is not None else [])
    ]
    for row in _in_need(store, progress):
        needs += _needs_of(store, row)
    return sorted(needs, key=lambda need: (need.until_us is None, need.until_us or need.since_us))


def needs_beyond(store: Store) -> int:
    """How many runs need somebody and are not in the inbox, because it is full."""
    return max(sum(number for *_, number in store.index.counts(_NEED) or []) - MOST_NEEDS, 0)


def _in_need(store: Store, progress: Progress | None) -> list[Row]:
    """Rows of runs that need somebody, as their files have them; where there are few, all that are open are read."""
    known = store.index.rows(_OPEN, limit=_LOOKED_INTO + 1)
    if known is None:
        return [row for row in scanned(store, _OPEN, progress) if row.needs]
    if len(known) > _LOOKED_INTO:
        known = store.index.rows(_NEED, limit=MOST_NEEDS) or []
        # What is due was not settled yet: only its file knows.
        known += store.index.rows(_DUE, limit=MOST_NEEDS) or []
    rows = {row.run: row for row in known}
    read = (_read_anew(store, row) if _needs_look(store, row, True) else row for row in rows.values())
    return [row for row in read if row.open and row.needs]


def _needs_of(store: Store, row: Row) -> list[Need]:
    status = Status(row.status)
    if status in (Status.CORRUPT, Status.NEWER):
        return [Need("FIX", row.run, row.waiting, "whoever keeps the disk", row.updated_us)]
    if _is_longer(store, row, _LONG_BYTES):
        kind = "FIX" if status is Status.BLOCKED else "DECIDE" if row.step == "decide" else "APPROVE"
        return [Need(kind, row.run, f"its history is long: dwf show {row.run}", row.waiting, row.since_us, row.due_at)]
    return _read_needs(store, load(store, row.run))


def _read_needs(store: Store, view: RunView) -> list[Need]:
    state = view.state
    if view.problem is not None:
        return [Need("FIX", view.run, view.problem.message, "whoever keeps the disk", 0)]
    if state is None or state.upgraded:
        return []
    if state.paused is not None:
        told, since_us, goes_on = paused(state.paused), unstamp(state.paused.ts), f"dwf resume {view.run}"
        return [Need("PAUSED", view.run, told, "whoever paused it", since_us, detail=goes_on)]
    if state.blocked is not None:
        blocked = state.blocked
        return [
            Need("FIX", view.run, blocked.message, "whoever keeps the script", unstamp(blocked.ts), detail=blocked.hint)
        ]
    stuck = stuck_at(store, state)
    if stuck is not None:
        return [Need("STUCK", view.run, stuck, "whoever started it", unstamp(state.last_ts))]
    return [_NEEDS[wait.kind](state, wait) for wait in waits(state) if wait.kind in _NEEDS]


def _unknown(state: RunState, wait: Wait) -> Need:
    who = "whoever can look whether it took effect"
    return Need("DECIDE", state.head.run, wait.what, who, wait.since_us, detail=wait.detail, command=wait.command)


def _paused(state: RunState, wait: Wait) -> Need:
    run, said = state.head.run, f"{wait.detail}: dwf step unpause {state.head.run} {wait.command}"
    return Need("PAUSED", run, wait.what, "whoever paused it", wait.since_us, wait.over_by_us, "", said, wait.command)


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


_NEEDS = {"approval": _question, "decide": _unknown, "paused": _paused}


# -- from the files ---------------------------------------------------------------------------------------------


def scanned(store: Store, choice: Choice = EVERY, progress: Progress | None = None) -> Iterator[Row]:
    """Every run that is meant, read from its history, in the order of their ids."""
    ids = all_ids(store)
    for number, run in enumerate(ids):
        if progress is not None:
            progress(number, len(ids))
        row = _read_anew(store, Row(run, link=store.latest_link(run)))
        if choice.fits(row):
            yield row
    if progress is not None:
        progress(len(ids), len(ids))


def _newest(rows: Iterator[Row], limit: int | None) -> list[Row]:
    return sorted(rows, key=_order) if limit is None else nsmallest(limit, rows, key=_order)


def chosen(store: Store, choice: Choice, progress: Progress | None = None, *, over: bool = False) -> list[Summary]:
    """The open runs that are meant, or (over) those that have ended, for somebody who acts on them.

    The last started first.
    """
    found = [_summary(row) for row in refined(store, replace(choice, open_only=not over), progress)]
    return [one for one in found if one.status.closed] if over else found


def _order(row: Row) -> tuple[int, str]:
    return -row.started_us, row.run


def _read_anew(store: Store, row: Row) -> Row:
    if _is_longer(store, row, _LONG_BYTES):
        ends = glance(row.run, row.link, store.layout.history_path(row.run, row.link))
        # Where it is and what it waits for stays as it was told last: its ends do not say.
        tags = row.tags if ends.open and row.nonce else ends.tags
        needs = row.needs and ends.open
        return replace(ends, step=row.step, waiting=row.waiting, needs=needs, due_at=row.due_at, tags=tags)
    try:
        view = load(store, row.run)
    except DwfError as error:
        return Row(row.run, status=Status.CORRUPT.value, waiting=error.message, started_us=row.started_us, needs=True)
    if view.state is None or view.problem is not None:
        why = view.problem.message if view.problem else "its first line cannot be read"
        known = view.state.head if view.state else None
        return Row(
            row.run,
            status=view.status.value,
            workflow=known.workflow if known else "",
            waiting=why,
            started_us=unstamp(known.ts) if known else row.started_us,
            needs=True,
        )
    return row_of(view.state, view.link, held_up=[*in_line(store, view.state).values()])


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
        tags=unpacked(row.tags),
    )

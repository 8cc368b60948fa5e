"""Archiving: closed runs out of the way, chosen by age or by name, and who did so. How files move is the store's.

A run is marked due before it moves and its row is dropped after it has: a killed archivist leaves runs that a tick
looks at once, and finds either closed, or away.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

from dwf.core.duration import stamp
from dwf.core.events import Identity
from dwf.engine.audit import Archival, note_archival
from dwf.engine.context import wall_clock_us
from dwf.engine.runs import load
from dwf.errors import Busy, NotFound
from dwf.store.archive import Volume, find, put_away
from dwf.store.choice import Choice
from dwf.store.rebuild import Progress, glance
from dwf.store.room import Store
from dwf.store.row import Row

_BATCH = 50
_PAGE = 1000


@dataclass(frozen=True)
class Outcome:
    """What became of one run. month: where it lies now; else `why` it stays."""

    run: str
    month: str = ""
    why: str = ""


def closed_before(store: Store, before_us: int, progress: Progress | None = None) -> Iterator[Row]:
    """Runs that ended before then, the last started first. Raises Busy (75) if nobody can say which there are."""
    choice, after = Choice(closed_before_us=before_us), None
    if not store.index.trusted():
        store.index.rebuild(progress)
    while (page := store.index.rows(choice, limit=_PAGE, after=after)) is not None:
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].started_us, page[-1].run
    raise Busy(run="", pid="?", hint="another process is making the index anew; try again when it is done")


def archive(
    store: Store, runs: Iterable[str], by: Identity, reason: str = "", clock: Callable[[], int] = wall_clock_us
) -> Iterator[Outcome]:
    """Move closed runs into the archive, fifty by fifty; each answer is given when its run is there for good.

    Raises DiskError, NotPermitted; what was answered before is there, and nothing is lost.
    """
    coming = iter(runs)
    while batch := list(islice(coming, _BATCH)):
        with ExitStack() as locks:
            yield from _batch(store, dict.fromkeys(batch), locks, by, reason, clock)


def _batch(
    store: Store, runs: Iterable[str], locks: ExitStack, by: Identity, reason: str, clock: Callable[[], int]
) -> list[Outcome]:
    volumes, answers = [], []
    for run in runs:
        found = _volume(store, run, locks)
        if isinstance(found, Outcome):
            answers.append(found)
        else:
            store.index.mark_due(run)
            volumes.append(found)

    def say(moved: list[Volume]) -> None:
        # Before they go: an act that is told and not finished is finished by the next one, and told again.
        if moved:
            told = Archival(at=stamp(clock()), runs=[volume.run for volume in moved], reason=reason, by=by)
            note_archival(store, told)

    moved = {volume.run for volume in put_away(store.disk, store.layout, volumes, say)}
    for volume in volumes:
        if volume.run in moved:
            store.index.forget(volume.run)
            answers.append(Outcome(volume.run, volume.month))
        else:
            answers.append(Outcome(volume.run, why="a start with its id is under way"))
    return answers


def _open_parent(store: Store, run: str) -> str:
    """The run that made this one, if it is open: it may not have heard yet how this one ended."""
    state = load(store, run).state
    parent = None if state is None else state.head.parent
    if parent is None:
        return ""
    try:
        above = load(store, parent.run).state
    except NotFound:
        return ""
    return parent.run if above is not None and above.ended is None and above.head.nonce == parent.nonce else ""


def _volume(store: Store, run: str, locks: ExitStack) -> Volume | Outcome:
    lock = store.locks.take(run)
    if lock is None:
        return Outcome(run, why="somebody works on it")
    locks.push(lock)
    link = store.latest_link(run)
    path = store.layout.history_path(run, link)
    if not os.path.lexists(path):
        away = os.path.lexists(find(store.layout, run, link))
        if away:
            store.index.forget(run)  # its archivist was killed before he could
        return Outcome(run, why="it is archived already" if away else "there is no such run")
    ends = glance(run, link, path)
    if ends.open:
        return Outcome(run, why="it has not ended, or its history is damaged")
    if (store.index.row(run) or ends).due_at is not None:
        return Outcome(run, why="its end is still to be told to others by a tick")
    if store.mailbox.has_mail(run):
        return Outcome(run, why="something was posted to it that no tick has looked at")
    if parent := _open_parent(store, run):
        return Outcome(run, why=f"run {parent}, which started it, has not ended")
    links = (n for n in range(1, link + 1) if os.path.lexists(store.layout.history_path(run, n)))
    return Volume(run, tuple(links), stamp(ends.updated_us)[:7])

"""Locks between runs: who gets one, when it is given up, and whether a holder is still there.

The histories are the truth: a run holds a lock from its LockAcquired to its LockReleased, or to its end. Tickets on
disk (see store/lines.py) say who comes first, and who was let in. They follow from the histories:

* A ticket is put when LockRequested is on disk; its place in the line is that event's time.
* Who is let in has his ticket marked, for good, before LockAcquired is recorded. After a crash in between the mark is
  found, and the event is recorded then.
* A ticket is removed when LockReleased or the end of the run is on disk, and whoever comes next is woken before that.
  A crash in between leaves the run due, and it does it once more.
* Who stands in somebody's way is asked for by his history, and never by age: a holder that has ended, or has given the
  lock up, is out, whoever forgot to remove his ticket.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum

from dwf.core import events as ev
from dwf.core.duration import unstamp
from dwf.core.outside import OpenLock
from dwf.core.state import RunState
from dwf.engine.arrivals import CLOSING, Arrival
from dwf.engine.context import Engine
from dwf.engine.runs import all_ids, load
from dwf.errors import Busy, DwfError, NotFound, WrongState
from dwf.store.files import read_regular
from dwf.store.history import believe_history
from dwf.store.lines import Line, Ticket
from dwf.store.room import Store

_VERIFY_SECONDS = 1.0
_BUILD_SECONDS = 60.0
_BUILDING = ".claims"
_REQUEST = b'"LockRequested"'


class Stand(Enum):
    """What a history says of a ticket."""

    OPEN = "open"  # it holds, or waits
    UNABLE = "unable"  # it waits, and its run is blocked: others go first
    GONE = "gone"


class Claims:
    """The locks of one run, while it is driven. Asked only when everything in `state` is on disk."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._store, self._lines = engine, engine.store, engine.store.claims
        self._given_up = -1
        self._told: set[int] = set()
        self._verified: dict[int, float] = {}

    def owes(self, state: RunState) -> bool:
        """Whether something was given up that others have not heard of."""
        return bool(state.locks.names) and self._given_up != state.locks.given_up

    def work(self, state: RunState) -> list[Arrival]:
        """Stand in line, and give up; what there is to tell the script of it."""
        if not state.locks.names:
            return []
        prepare(self._store)
        if self.owes(state):
            self._tidy(state)
        waiting = [(c, lock) for c, lock in state.locks.items() if not lock.since and c not in self._told]
        return [arrival for command, lock in waiting for arrival in self._ask(state, command, lock)]

    def leave(self, state: RunState) -> None:
        """The run is over, and that is on disk: nothing of it is held any more."""
        for name in state.locks.names if self._lines.exist() else ():
            with self._lines.line(name) as line:
                self._give_up(line, [t for t in line.tickets() if t.nonce == state.head.nonce])

    def _tidy(self, state: RunState) -> None:
        """Tickets of this run as its history has them, whatever an earlier process has come to."""
        nonce = state.head.nonce
        for name in state.locks.names:
            wanted = {c: lock for c, lock in state.locks.items() if lock.requested.name == name}
            with self._lines.line(name) as line:
                ours = {t.command: t for t in line.tickets() if t.nonce == nonce}
                self._give_up(line, [t for command, t in ours.items() if command not in wanted])
                for command, lock in wanted.items():
                    if lock.since and command not in ours:
                        line.put(_ticket(state, lock, held=True))
        self._given_up = state.locks.given_up

    def _give_up(self, line: Line, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            # Woken first: if this process dies in between, all of it is done again.
            self._wake_next(line, besides=ticket)
            line.drop(ticket)

    def _wake_next(self, line: Line, besides: Ticket) -> None:
        """Wake the first who waits and can go on. He wakes the one behind him, if there is room for two."""
        for ticket in line.tickets():
            if ticket.held or ticket == besides:
                continue
            stand = standing(self._store, ticket)
            if stand is Stand.GONE:
                line.drop(ticket)
            elif stand is Stand.OPEN:
                self._store.index.wake(ticket.run)
                return

    # -- getting one --------------------------------------------------------------------------------------------

    def _ask(self, state: RunState, command: int, lock: OpenLock) -> list[Arrival]:
        is_new = command not in self._verified
        with self._lines.line(lock.requested.name) as line:
            tickets = line.tickets()
            mine = next((t for t in tickets if t.owner == (state.head.nonce, command)), None)
            if mine is None:
                mine = _ticket(state, lock)
                line.put(mine)
                tickets = line.tickets()
            if not mine.held:
                if not self._is_free(line, mine, tickets, state):
                    return []
                line.give(mine)
                self._wake_next(line, besides=mine)
        self._told.add(command)
        # Free when it was first looked for: it was so when it was asked for, and no timeout comes before that.
        at_us = 0 if is_new else self._engine.clock()
        event = ev.LockAcquired(command=command)
        return [Arrival(at_us, CLOSING, (command, ""), lambda now: [event] if _waits(now, command) else [])]

    def _is_free(self, line: Line, mine: Ticket, tickets: list[Ticket], state: RunState) -> bool:
        """Whether it is this one's turn. Whoever stands in the way is looked up, once a second at most."""
        held = [t for t in tickets if t.held]
        before = [t for t in tickets if not t.held and t < mine]
        if len(held) + len(before) < mine.slots:
            self._verified[mine.command] = 0.0
            return True
        now = time.monotonic()
        if now - self._verified.get(mine.command, -_VERIFY_SECONDS) < _VERIFY_SECONDS:
            return False
        self._verified[mine.command] = now
        room = mine.slots - len([t for t in held if self._stands(line, t, state) is not Stand.GONE])
        for ticket in before:
            if room <= 0:
                return False
            if self._stands(line, ticket, state) is Stand.OPEN:
                # It is that one's turn, and who gave it up may have died before he could tell.
                self._store.index.wake(ticket.run)
                room -= 1
        return room > 0

    def _stands(self, line: Line, ticket: Ticket, state: RunState) -> Stand:
        if ticket.nonce == state.head.nonce:
            return Stand.OPEN  # tidied before
        stand = standing(self._store, ticket)
        if stand is Stand.GONE:
            line.drop(ticket)
        return stand


@contextmanager
def taken_over(store: Store, state: RunState) -> Iterator[None]:
    """For a run that is made in the block and has locks in its first lines: they are its own from then on.

    Raises WrongState if somebody else holds one of them. Its tickets are there before it is: if its maker dies in
    between, they belong to nobody, and whoever comes next drops them.
    """
    held = sorted((lock for lock in state.locks.values() if lock.since), key=lambda lock: lock.requested.name)
    if not held:
        yield
        return
    prepare(store)
    with ExitStack() as lines:
        for lock in held:
            line = lines.enter_context(store.claims.line(lock.requested.name))
            others = [t for t in line.tickets() if t.held and standing(store, t) is not Stand.GONE]
            if len(others) >= lock.requested.slots:
                what = f"lock {lock.requested.name}, which it holds there, is held by {others[0].run} now"
                raise WrongState(what=what, hint=f"when it is given up: dwf show {others[0].run}; or an earlier place")
            line.put(_ticket(state, lock, held=True))
        yield


def _ticket(state: RunState, lock: OpenLock, *, held: bool = False) -> Ticket:
    asked, head = lock.requested, state.head
    return Ticket(0, unstamp(asked.ts), head.nonce, asked.command, head.run, asked.slots, held)


def _waits(state: RunState, command: int) -> bool:
    return command in state.locks and not state.locks[command].since


def standing(store: Store, ticket: Ticket) -> Stand:
    """What its history says of a ticket. What cannot be read stands: it may hold what it holds."""
    try:
        view = load(store, ticket.run)
    except NotFound:
        return Stand.GONE
    except DwfError:
        return Stand.OPEN
    if view.problem is not None or view.state is None:
        return Stand.OPEN
    state = view.state
    if state.head.nonce != ticket.nonce or state.ended is not None or ticket.command not in state.locks:
        # Others act on it: what a killed process has left in the page cache only is no end yet.
        believe_history(store.disk, view.path)
        return Stand.GONE
    return Stand.UNABLE if state.blocked is not None and not ticket.held else Stand.OPEN


# -- made anew --------------------------------------------------------------------------------------------------


def prepare(store: Store) -> None:
    """Have the lines of locks there; where there are none, as the open histories say. Raises Busy, DiskError."""
    if store.claims.exist():
        return
    until = time.monotonic() + _BUILD_SECONDS
    while not store.claims.exist():
        building = store.locks.take(_BUILDING)
        if building is not None:
            with building:
                _build(store)
            return
        if time.monotonic() > until:
            raise Busy(run=_BUILDING, pid=0, hint="another process reads who holds which lock; try again")
        time.sleep(0.01)


def _build(store: Store) -> None:
    """Every ticket that an open history asks for. Until all are there, nobody goes by any."""
    if store.claims.exist():
        return
    for state in _asking(store):
        for lock in state.locks.values():
            with store.claims.line(lock.requested.name) as line:
                line.put(_ticket(state, lock, held=bool(lock.since)))
    store.claims.complete()


def _asking(store: Store) -> Iterator[RunState]:
    """Open runs that may have asked for a lock; most are told by their bytes alone to be none."""
    for run in all_ids(store):
        try:
            if _REQUEST in read_regular(store.history(run, store.latest_link(run))):
                state = load(store, run).state
                if state is not None and state.ended is None:
                    yield state
        except (DwfError, FileNotFoundError):
            continue

"""Who holds which lock between runs, and who waits for it, for people; and runs that wait for each other.

The files of the lines tell who there is, and each history since when. Nothing in here writes.
"""

from __future__ import annotations

from dataclasses import dataclass

from dwf.core.duration import unstamp
from dwf.core.state import RunState
from dwf.engine.runs import load
from dwf.errors import DwfError
from dwf.store.lines import Ticket
from dwf.store.room import Store


@dataclass(frozen=True)
class Place:
    """A run in a line. since_us: when it got the lock, or asked for it; microseconds UTC."""

    run: str
    since_us: int
    held: bool
    status: str


@dataclass(frozen=True)
class Held:
    """One lock. slots: how many may hold it, as the last who asked for it has said."""

    name: str
    slots: int
    holders: list[Place]
    queue: list[Place]


def held(store: Store) -> list[Held]:
    """Every lock that somebody holds or waits for, by name. What has ended is left out."""
    found = []
    for name in store.claims.names():
        places, told, slots = [], name, 1
        for ticket in store.claims.look(name):
            seen = _place(store, ticket)
            if seen is not None:
                place, told = seen
                places.append(place)
                slots = ticket.slots
        if places:
            holders, queue = [p for p in places if p.held], [p for p in places if not p.held]
            found.append(Held(told, slots, holders, queue))
    return found


def _place(store: Store, ticket: Ticket) -> tuple[Place, str] | None:
    """One ticket, and the name of what it is for; None if its run has ended, or has given it up."""
    try:
        state = load(store, ticket.run).state
    except DwfError:
        state = None
    if state is None:
        return Place(ticket.run, ticket.since_us, ticket.held, "unreadable"), "?"
    lock = state.locks.get(ticket.command)
    if state.head.nonce != ticket.nonce or state.ended is not None or lock is None:
        return None
    since = lock.since or lock.requested.ts
    return Place(ticket.run, unstamp(since), ticket.held, state.status.value), lock.requested.name


def tangled(locks: list[Held]) -> list[str]:
    """Runs of which each waits for a lock that only others of them hold: none of them goes on by itself."""
    waiting = {place.run for lock in locks for place in lock.queue}
    while True:
        free = {place.run for lock in locks for place in lock.queue if _may_come_free(lock, place.run, waiting)}
        if not waiting & free:
            return sorted(waiting)
        waiting -= free


def _may_come_free(lock: Held, run: str, waiting: set[str]) -> bool:
    others = {place.run for place in lock.holders} - {run}
    # Another task of the same run may give it up.
    return len(lock.holders) < lock.slots or not others or not others <= waiting


def why_tangled(store: Store, state: RunState) -> str:
    """Why a run will wait for ever for a lock, in words; "" if it need not."""
    if not state.locks.waited_for:
        return ""
    try:
        locks = held(store)
    except DwfError:
        return ""  # a member of a shared directory may not look
    tangle = tangled(locks)
    if state.head.run not in tangle:
        return ""
    mine = [lock for lock in locks if any(place.run == state.head.run for place in lock.queue)]
    holders = sorted({place.run for lock in mine for place in lock.holders} & set(tangle))
    return f"it waits for lock {mine[0].name} of {', '.join(holders)}, and they wait for each other"

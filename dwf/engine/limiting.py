"""Limits, for people: which there are, who is under them and who waits; and the operator's numbers, which win."""

from __future__ import annotations

from dataclasses import dataclass

from dwf.core.duration import stamp
from dwf.core.events import Identity
from dwf.core.flow import MOST, Bound, bounds_of, check_name, parse_rate
from dwf.engine.audit import Setting, note_setting
from dwf.engine.gate import wake_first
from dwf.engine.runs import load
from dwf.errors import DwfError, NotFound, UsageError, ValueRefused
from dwf.store.lines import Ticket
from dwf.store.room import Store

_QUEUE = "queue:"


@dataclass(frozen=True)
class Place:
    """A step at a limit. since_us: when it began, or since when it waits; pid: its process, 0 if it is dwf's own."""

    run: str
    step: str
    since_us: int
    pid: int = 0


@dataclass(frozen=True)
class Known:
    """A limit. bound: what counts, None if nobody is there who says it; is_set: by an operator.

    started: how many began in the span that counts now.
    """

    name: str
    bound: Bound | None
    is_set: bool
    running: list[Place]
    started: int
    waiting: list[Place]


def known(store: Store, now_us: int) -> list[Known]:
    """Every limit that somebody is under or waits for, has begun under, or that is set."""
    ours = {name: Bound(*numbers) for name, numbers in store.limits.overrides().items()}
    return [_known(store, name, ours, now_us) for name in sorted({*store.limits.names(), *ours})]


def _known(store: Store, name: str, ours: dict[str, Bound], now_us: int) -> Known:
    tickets = store.limits.look(name)
    running = [t for t in tickets if t.held and store.limits.runs(name, t)]
    waiting = [t for t in tickets if not t.held]
    bound, told = ours.get(name), name
    for ticket in (*running, *waiting) if bound is None or name.startswith("~") else ():
        if (found := _said_by(store, ticket, name)) is not None:
            told, said = found
            bound = ours.get(told, said)
            break
    return Known(
        told,
        bound,
        told in ours,
        [_place(store, t, store.limits.pid_of(name, t)) for t in running],
        store.limits.started(name, now_us),
        [_place(store, t) for t in waiting],
    )


def _said_by(store: Store, ticket: Ticket, name: str) -> tuple[str, Bound] | None:
    """The name as it was given, and what the script says of it."""
    try:
        state = load(store, ticket.run).state
    except DwfError:
        return None
    for step in state.steps.values() if state is not None else ():
        for one, bound in bounds_of(step.scheduled.flow).items():
            if store.limits.is_named(one, name):
                return one, bound
    return None


def _place(store: Store, ticket: Ticket, pid: int = 0) -> Place:
    title = ""
    try:
        state = load(store, ticket.run).state
        step = state.steps.get(ticket.command) if state is not None else None
        title = step.title if step is not None else ""
    except DwfError:
        pass  # its history cannot be read; the slot is held all the same
    return Place(ticket.run, title, ticket.since_us, pid)


# -- the operator's ---------------------------------------------------------------------------------------------


def parse_bound(text: str) -> tuple[str, Bound]:
    """`api=10/min`, `api=4` (at a time), `api=10/min,4`. Raises UsageError."""
    name, _, value = text.rpartition("=")
    at_once, rate = 0, (0, 0)
    try:
        check_name(name.removeprefix(_QUEUE), "a limit")
        for part in value.split(","):
            if "/" in part:
                rate = parse_rate(part.strip())
            elif not 1 <= int(part) <= MOST:
                raise ValueError
            else:
                at_once = int(part)
    except (ValueRefused, ValueError) as error:
        why = (
            error.message
            if isinstance(error, ValueRefused)
            else "its value is a rate, a number of steps at a time, or both"
        )
        raise UsageError(
            what=f"{text!r:.80}: {why}", hint="dwf limits set api=10/min; api=4; api=10/min,4; queue:slow=2"
        ) from None
    return name, Bound(at_once, *rate)


def set_limit(store: Store, name: str, bound: Bound, by: Identity, reason: str, now_us: int) -> None:
    """Let these numbers count for a name, whatever scripts say. Raises DiskError."""
    note_setting(store, Setting(at=stamp(now_us), name=name, value=str(bound), reason=reason, by=by))
    store.limits.override(name, bound)
    wake_first(store, name)


def unset_limit(store: Store, name: str, by: Identity, reason: str, now_us: int) -> None:
    """Let the scripts say again what counts. Raises NotFound (4)."""
    if name not in store.limits.overrides():
        raise NotFound(what=f"no limit {name} is set", hint="dwf limits shows those that are")
    note_setting(store, Setting(at=stamp(now_us), name=name, value="as scripts say", reason=reason, by=by))
    store.limits.override(name, None)
    wake_first(store, name)

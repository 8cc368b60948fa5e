"""Steps that wait for their turn, for people: at which limit, who has it, how many come before. Nothing is written."""

from __future__ import annotations

from dwf.core.flow import Bound, bounds_of
from dwf.core.state import OpenStep, RunState
from dwf.engine.summary import HeldUp
from dwf.errors import DwfError
from dwf.store.lines import Ticket
from dwf.store.room import Store

_SHOWN = 3


def in_line(store: Store, state: RunState) -> dict[int, HeldUp]:
    """The steps of a run that are ready and stand in line, by command, and for what."""
    ready = [step for step in state.steps.values() if step.is_free]
    if not ready or state.ended is not None:
        return {}
    try:
        ours = {name: Bound(*numbers) for name, numbers in store.limits.overrides().items()}
        found = {step.command: _words(store, state, step, ours) for step in ready}
    except DwfError:
        return {}  # a member of a shared directory may not look
    return {command: HeldUp(words, None) for command, words in found.items() if words}


def _words(store: Store, state: RunState, step: OpenStep, ours: dict[str, Bound]) -> str:
    if step.scheduled.flow is None and not ours:
        return ""
    for name, bound in bounds_of(step.scheduled.flow).items():
        tickets = store.limits.look(name)
        waiting = [t for t in tickets if not t.held]
        place = next((i for i, t in enumerate(waiting) if t.nonce == state.head.nonce), None)
        if place is not None:
            return _told(name, ours.get(name, bound), [t for t in tickets if t.held], place)
    return ""


def _told(name: str, bound: Bound, held: list[Ticket], before: int) -> str:
    words = f"{name} ({bound})"
    runs = list(dict.fromkeys(t.run for t in held))
    more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    words += f", held by {', '.join(runs[:_SHOWN])}{more}" if runs else ""
    return words + (f", {before} before it" if before else "")

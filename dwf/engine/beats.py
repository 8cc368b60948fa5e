"""When the steps of a run were last heard of, for people. Reads what their attempts leave beside their output."""

from __future__ import annotations

from typing import NamedTuple

from dwf.activities.pulse import beat_us, details_left
from dwf.core.events import Payload
from dwf.core.state import RunState
from dwf.store.room import Store


class Beat(NamedTuple):
    """The last heartbeat of an attempt that runs. at_us: microseconds UTC. details: JSON, None without."""

    at_us: int
    details: Payload | None


def beats(store: Store, state: RunState, link: int) -> dict[int, Beat]:
    """Those of steps that run, by command; none of a step that has not beaten."""
    found = {}
    for step in state.steps.values():
        if step.started is None:
            continue
        path = store.outputs.prefix(state.head.run, step.command, step.attempts, link)
        if at_us := beat_us(path):
            details = details_left(path, step.scheduled.kind)
            found[step.command] = Beat(at_us, None if details is None else Payload(details))
    return found

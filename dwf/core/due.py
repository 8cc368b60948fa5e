"""When time alone gives a run something to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dwf.core.deadlines import earliest
from dwf.core.duration import stamp

if TYPE_CHECKING:
    from dwf.core.state import RunState


def due_times(state: RunState) -> list[str]:
    """The times for which a run waits: of timers, retries, deadlines, a delayed start."""
    due = [timer.fire_at for timer in state.timers.values()]
    due += [at for step in state.steps.values() for at in step.due_times]
    due += [a.requested.deadline for a in state.approvals.values() if a.requested.deadline]
    due += [stamp(c.due_us) for c in state.callbacks.values() if c.due_us is not None]
    deadline = next_deadline(state)
    due += [deadline] if deadline else []
    if state.starts_later:
        due.append(state.head.start_at)
    return due


def next_deadline(state: RunState) -> str:
    """When the run has to be over, if that lies ahead; else ""."""
    return "" if state.overdue is not None else earliest(state.head)


def is_cut_short(state: RunState) -> bool:
    """Whether its time was up and it is to end at once, without cleanup."""
    return state.overdue is not None and state.head.on_deadline == "terminate"

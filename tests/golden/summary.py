"""A state in short, as plain data: what people and the engine read from it."""

from __future__ import annotations

from typing import Any

from dwf.core.state import RunState


def summary(state: RunState) -> dict[str, Any]:
    """What a history comes to."""
    return {
        "status": state.status.value,
        "workflow": state.head.workflow,
        "lines": state.last_id,
        "ended": None if state.ended is None else type(state.ended).__name__,
        "blocked": None if state.blocked is None else state.blocked.message,
        "paused": state.paused is not None,
        "says": state.status_text,
        "steps done": state.steps_done,
        "degraded": state.degraded,
        "open": {
            "steps": sorted(state.steps),
            "timers": sorted(state.timers),
            "signal waits": sorted(state.signal_waits),
            "approvals": sorted(state.approvals),
            "children": sorted(state.children),
            "messages": sorted(state.outgoing),
        },
        "signals": sorted(state.unconsumed),
        "tags": {name: bytes(value).decode() for name, value in state.tags.items()},
        "memo": {name: bytes(value).decode() for name, value in state.memo.items()},
        "to undo": [entry.of for entry in state.undos.left()],
        "due": sorted(state.due_times()),
    }

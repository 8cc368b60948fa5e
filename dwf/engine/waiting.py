"""Waiting for a run from outside: `dwf wait`, and `dwf start --wait`."""

from __future__ import annotations

import time
from collections.abc import Callable

from dwf.core.events import ActivityCompleted, ActivityScheduled
from dwf.core.state import Status
from dwf.engine.context import wall_clock_us
from dwf.engine.runs import RunView, load
from dwf.errors import TimedOut
from dwf.store.history import believe_history
from dwf.store.room import Store


def wait_for(
    store: Store,
    run: str,
    *,
    until: str = "done",
    timeout_us: int | None = None,
    poll_us: int = 200_000,
    sleep: Callable[[float], None] = time.sleep,
) -> RunView:
    """Look until the run is done, or waits ("waiting"), or has completed a step ("step:NAME"); or until it is blocked.

    What is answered is on disk. Raises TimedOut (124), NotFound (4), and what makes the history unreadable (65).
    """
    deadline = None if timeout_us is None else wall_clock_us() + timeout_us
    while True:
        view = load(store, run)
        if view.problem is not None:
            raise view.problem
        if _reached(view, until):
            believe_history(store.disk, view.path)
            return view
        if deadline is not None and wall_clock_us() >= deadline:
            raise TimedOut(what=f"{run} is still {view.status.value}", hint=f"see what it waits for: dwf show {run}")
        sleep(poll_us / 1_000_000)


def _reached(view: RunView, until: str) -> bool:
    state = view.state
    assert state is not None
    if state.ended is not None or state.status in (Status.BLOCKED, Status.PAUSED):
        return True  # what is blocked does not move before somebody acts
    if until == "waiting":
        return state.status is Status.WAITING
    if until.startswith("step:"):
        return until.removeprefix("step:") in _completed(view)
    return False


def _completed(view: RunView) -> set[str]:
    """The titles of all steps that have completed; the state keeps only the last of them."""
    titles = {e.command: e.title or e.name for e in view.events if isinstance(e, ActivityScheduled)}
    return {titles.get(e.command, "") for e in view.events if isinstance(e, ActivityCompleted)}

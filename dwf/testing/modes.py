"""Harder ways to run a test: replayed from the top all the time, or with a process that dies at every turn.

What a runbook comes to must not depend on either. A runbook that does is wrong, and this is where that shows.
"""

from __future__ import annotations

import threading
from enum import Enum

from dwf.core.events import ActivityAttemptFailed, ActivityStarted, Event
from dwf.engine.context import Codes, Unwatched
from dwf.engine.runs import load
from dwf.engine.upgrade import check_fits
from dwf.scripts.undoing import program_of
from dwf.store.room import Store


class Mode(Enum):
    """How the runs of a test are driven."""

    NORMAL = "normal"
    PARANOID = "paranoid"
    """after each tick every run is replayed from the top, and must ask for what it asked for"""
    DYING = "dying"
    """the process dies whenever something was written, and the next one goes on"""


class Died(BaseException):
    """The process is dead, as far as the test is concerned."""


class Deadly(Unwatched):
    """Looks on, and lets the process die of what it sees: each time something is on disk.

    But not over a failure or a second attempt, or no step would ever come to its end.
    """

    def event(self, run: str, event: Event) -> None:
        """Called when the batch with this event is on disk."""
        again = isinstance(event, ActivityStarted) and event.attempt > 1
        if not again and not isinstance(event, ActivityAttemptFailed):
            raise Died


def wait_for_the_dead() -> None:
    """Threads of a process that has died in a test are still there: until they have noticed it."""
    for thread in threading.enumerate():
        if thread.name.startswith("dwf-run-"):
            thread.join()


def replay_all(store: Store) -> None:
    """Replay every run from the top. Raises the ScriptError that tells where it does not do what it did."""
    codes = Codes(store)
    for row in store.index.rows() or []:
        view = load(store, row.run)
        state = view.state
        if state is None or view.problem is not None or state.blocked is not None or not state.begun:
            continue
        check_fits(store, program_of(codes.of(state).script, state.head), state, view.events)

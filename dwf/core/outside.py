"""What of a run somebody outside holds the other end of: updates that it answers, callbacks and locks it waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dwf.core import events as ev
from dwf.core.duration import unstamp


@dataclass
class Updates:
    """open: accepted and not answered, by event id. by_key: the first that was accepted with a key."""

    open: dict[int, ev.UpdateAccepted] = field(default_factory=dict)
    by_key: dict[str, ev.UpdateAccepted] = field(default_factory=dict)

    def accept(self, event: ev.UpdateAccepted) -> None:
        self.open[event.id] = event
        if event.key:
            self.by_key.setdefault(event.key, event)

    def end(self, event: ev.UpdateCompleted | ev.UpdateFailed) -> None:
        self.open.pop(event.update, None)


@dataclass(slots=True)
class OpenCallback:
    """beat_us: when it was last heard of, at first when it was opened."""

    opened: ev.CallbackOpened
    beat_us: int

    @property
    def due_us(self) -> int | None:
        """When it has waited for too long; None: never."""
        limits = [unstamp(self.opened.deadline)] if self.opened.deadline else []
        if self.opened.heartbeat:
            limits.append(self.beat_us + self.opened.heartbeat)
        return min(limits, default=None)

    @property
    def is_silent_first(self) -> bool:
        """Whether it is the heartbeat that is missed first."""
        return not self.opened.deadline or self.due_us != unstamp(self.opened.deadline)


class Callbacks(dict[int, OpenCallback]):
    """The open ones, by command."""

    def begin(self, event: ev.CallbackOpened) -> None:
        self[event.command] = OpenCallback(event, unstamp(event.ts))


@dataclass(slots=True)
class OpenLock:
    """A lock between runs. `since`: when the run got it; "" if it stands in line."""

    requested: ev.LockRequested
    since: str = ""


class Locks(dict[int, OpenLock]):
    """Those that the run holds or waits for, by command.

    names: all that it has ever asked for. given_up: how many it has let go.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.given_up = 0

    @property
    def waited_for(self) -> bool:
        """Whether the run stands in line for any."""
        return any(not lock.since for lock in self.values())

    def ask(self, event: ev.LockRequested) -> None:
        self[event.command] = OpenLock(event)
        self.names.add(event.name)

    def give_up(self, event: ev.LockReleased) -> None:
        self.given_up += 1
        self.pop(event.lock, None)


def heard_of_callback(state: Any, event: ev.CallbackHeartbeat | ev.CallbackCompleted | ev.CallbackFailed) -> None:
    """A letter with a token has counted: the callback is over, or it is still worked on."""
    decided = event.decided
    if decided is not None and decided.message:
        state.messages.add(decided.message)
    if not isinstance(event, ev.CallbackHeartbeat):
        state.callbacks.pop(event.command, None)
    elif event.command in state.callbacks:
        found = state.callbacks[event.command]
        found.beat_us = max(unstamp(event.decided.posted or event.ts), found.beat_us)


# What a state has to do with these events.
OUTSIDE: dict[type[ev.Event], Callable[[Any, Any], None]] = {
    ev.UpdateCompleted: lambda state, event: state.updates.end(event),
    ev.UpdateFailed: lambda state, event: state.updates.end(event),
    ev.CallbackOpened: lambda state, event: state.callbacks.begin(event),
    ev.CallbackWithdrawn: lambda state, event: state.callbacks.pop(event.callback, None),
    ev.CallbackHeartbeat: heard_of_callback,
    ev.CallbackCompleted: heard_of_callback,
    ev.CallbackFailed: heard_of_callback,
    ev.LockRequested: lambda state, event: state.locks.ask(event),
    ev.LockAcquired: lambda state, event: setattr(state.locks[event.command], "since", event.ts),
    ev.LockReleased: lambda state, event: state.locks.give_up(event),
    ev.CallbackTimedOut: lambda state, event: state.callbacks.pop(event.command, None),
}

"""One run as it moves, on stderr: a plain line per change, or a live region on a terminal.

A Follower is told events by the engine as they come to disk, and reads the history for those that another process
wrote; it tells each once, in order.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Protocol, TypeGuard

from dwf.cli.screen import Piece, Screen
from dwf.cli.times import Clock, now_us
from dwf.cli.words import Thread, Told
from dwf.core import events as ev
from dwf.core.state import RunState

# What a person who looks on need not see: the same is said better by what follows it.
_UNSEEN = (
    ev.ActivityScheduled,
    ev.SignalWaitClosed,
    ev.TimerCancelled,
    ev.VersionMarkerRecorded,
    ev.SideEffectRecorded,
    ev.ActivityCancelRequested,
    ev.ApprovalAnswered,
    ev.UndoRecorded,
    ev.UndoSettled,
    ev.ItemCarried,
)
_VERBS: dict[type[ev.Event], str] = {
    ev.WorkflowStarted: "started",
    ev.WorkflowCompleted: "completed",
    ev.WorkflowFailed: "failed",
    ev.WorkflowCancelled: "cancelled",
    ev.WorkflowTerminated: "terminated",
    ev.WorkflowTimedOut: "timed out",
    ev.TimerStarted: "waits",
    ev.TimerFired: "waited",
    ev.TimerMoved: "timer moved",
    ev.SignalWaitOpened: "waits for signal",
    ev.SignalReceived: "signal",
    ev.SignalsTaken: "takes signals",
    ev.HandlersRegistered: "takes",
    ev.UpdateAccepted: "update",
    ev.UpdateCompleted: "answers",
    ev.UpdateFailed: "answers",
    ev.LockAcquired: "holds lock",
    ev.LockReleased: "gives up lock",
    ev.CallbackOpened: "waits for callback",
    ev.CallbackHeartbeat: "heard of callback",
    ev.CallbackCompleted: "called back",
    ev.CallbackFailed: "called back",
    ev.CallbackTimedOut: "callback timed out",
    ev.ApprovalRequested: "asks",
    ev.ApprovalResolved: "answered",
    ev.CancelRequested: "cancel requested",
    ev.DeadlinePassed: "deadline passed",
    ev.StatusChanged: "status",
    ev.RunDegraded: "degraded",
    ev.CompensationStarted: "undoes",
    ev.FanOutStarted: "maps",
    ev.RunBlocked: "blocked",
    ev.RunUnblocked: "unblocked",
    ev.RunPaused: "paused",
    ev.RunResumed: "resumed",
    ev.CodeUpgraded: "upgraded to",
    ev.CodeRefused: "does not fit",
    ev.HistoryRepaired: "repaired",
    ev.RunMoved: "moved",
    ev.RunAdopted: "taken up",
    ev.RunImported: "imported",
}
_FAILED = (
    ev.ActivityFailed,
    ev.ActivityTimedOut,
    ev.ActivityAttemptFailed,
    ev.WorkflowFailed,
    ev.WorkflowTimedOut,
    ev.RunBlocked,
)
_DONE = (ev.ActivityCompleted, ev.WorkflowCompleted, ev.TimerFired, ev.ApprovalResolved)


class View(Protocol):
    """Where a Follower's lines go. `shows_open`: it shows by itself what is open, so beginnings need no line."""

    shows_open: bool

    def line(self, pieces: list[Piece], state: RunState) -> None: ...

    def pause(self) -> None: ...

    def close(self) -> None: ...


class Follower:
    """Implements the engine's Watch for one run. Thread-safe: the engine tells from the run's own thread."""

    def __init__(self, screen: Screen, view: View, run: str, *, utc: bool = False, everything: bool = False) -> None:
        """`run`: what others that are driven beside it do is not told."""
        self._run, self._nonce = run, ""
        self._screen, self._view, self._everything = screen, view, everything
        self._clock = Clock(now_us(), utc)
        self._thread = Thread(self._clock)
        self._lock = threading.Lock()
        self._state = RunState()
        self._last = 0

    def event(self, run: str, event: ev.Event) -> None:
        """Called by the engine when the event is on disk."""
        if run != self._run:
            return
        with self._lock:
            self._tell(event)

    def said(self, run: str, level: int, text: str) -> None:
        """A line that the script logged or printed."""
        if run != self._run:
            return
        with self._lock:
            for line in text.splitlines():
                self._view.line([f"{'':10}", ("  " + line, "dim")], self._state)

    def catch_up(self, events: Iterable[ev.Event]) -> None:
        """Tell what the file holds and nobody has told yet."""
        with self._lock:
            for event in events:
                self._tell(event)

    def learn(self, events: Iterable[ev.Event]) -> None:
        """What happened before anybody looked: names of steps, what is open. Nothing is told of it."""
        with self._lock:
            for event in events:
                self._know(event)

    def pause(self) -> None:
        """Leave the terminal to somebody else, until the next line."""
        with self._lock:
            self._view.pause()

    def close(self) -> None:
        with self._lock:
            self._view.close()

    def _tell(self, event: ev.Event) -> None:
        told = self._know(event)
        if told is None:
            return
        seen = self._everything or not isinstance(event, _UNSEEN)
        if self._view.shows_open and isinstance(event, ev.ActivityStarted) and not self._everything:
            self._view.line([], self._state)
        elif seen:
            self._view.line(self._pieces(event, told), self._state)

    def _know(self, event: ev.Event) -> Told | None:
        """The event in words, if it is the next one; None if it is known already."""
        if isinstance(event, ev.WorkflowStarted) and event.nonce != self._nonce:
            # The first, or the next instance of a run that continues as new.
            self._nonce, self._last = event.nonce, 0
            self._state, self._thread = RunState(), Thread(self._clock)
        if event.id <= self._last:
            return None
        self._last = event.id
        self._state.apply(event)
        return self._thread.tell(event)

    def _pieces(self, event: ev.Event, told: Told) -> list[Piece]:
        marks = self._screen.marks
        if isinstance(event, _FAILED):
            mark, style = marks.failed, "red"
        elif isinstance(event, _DONE):
            mark, style = marks.done, "green"
        elif isinstance(event, ev.ActivityStarted):
            mark, style = marks.running, "cyan"
        else:
            mark, style = marks.open, ""
        verb = _VERBS.get(type(event), "")
        what = self._thread.title(event.command) if _is_first(event) else told.what
        text = f"{verb} {what}".strip()
        time = f"{self._clock.of(event.ts):%H:%M:%S}"
        return [time + "  ", (mark, style), " ", text, ("  " + told.beside if told.beside else "", "dim")]


def _is_first(event: ev.Event) -> TypeGuard[ev.ActivityStarted]:
    """A first attempt needs no number: it is the rule."""
    return isinstance(event, ev.ActivityStarted) and event.attempt == 1


class PlainView:
    """A line per change, for logs, pipes and small terminals."""

    shows_open = False

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def line(self, pieces: list[Piece], state: RunState) -> None:
        self._screen.say(*pieces)

    def pause(self) -> None:
        return None

    def close(self) -> None:
        return None


def view_for(screen: Screen) -> View:
    """The live region if stderr is a terminal that can show it; else plain lines."""
    if not screen.err_is_terminal or screen.quiet or screen.environ.get("TERM", "dumb") == "dumb":
        return PlainView(screen)
    from dwf.cli.live import LiveView

    return LiveView(screen)

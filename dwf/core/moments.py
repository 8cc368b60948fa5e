"""Moments of a run that somebody outside may want to be told of, by the words that people use for them.

Each is an event that is on disk; here it only gets its word and its line of text. Who is told, and how, is no matter of
this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dwf.core import events as ev

STARTED, CONTINUED = "started", "continued"
ENDS = ("completed", "degraded", "failed", "cancelled", "terminated", "timed-out")
PERSON = ("asks", "unknown", "blocked")
STEPS = ("step-started", "step-retries", "step-completed", "step-failed", "step-timed-out", "step-cancelled")
GROUPS: dict[str, tuple[str, ...]] = {
    "ended": ENDS,
    "person": PERSON,
    "step": STEPS,
    "all": (STARTED, CONTINUED, "unblocked", "paused", "resumed", *ENDS, *PERSON, *STEPS),
}
"""Words for several moments at once."""


def moments_named(words: Iterable[str]) -> frozenset[str] | None:
    """The moments that some words mean, of single ones and of groups; None if one of them means nothing."""
    found: set[str] = set()
    for word in words:
        if word not in GROUPS and word not in GROUPS["all"]:
            return None
        found.update(GROUPS.get(word, (word,)))
    return frozenset(found) or None


def moment_of(event: ev.Event) -> str:
    """The word for it, "" if nobody is told of such an event."""
    if isinstance(event, ev.WorkflowCompleted) and event.degraded:
        return "degraded"
    return _WORDS.get(type(event), "")


def text_of(event: ev.Event) -> str:
    """What is to be said of it beyond its word: what went wrong, what is asked. "" if nothing is."""
    say = _TEXTS.get(type(event))
    return "" if say is None else say(event)


_WORDS: dict[type[ev.Event], str] = {
    ev.WorkflowStarted: STARTED,
    ev.WorkflowContinuedAsNew: CONTINUED,
    ev.WorkflowCompleted: "completed",
    ev.WorkflowFailed: "failed",
    ev.WorkflowCancelled: "cancelled",
    ev.WorkflowTerminated: "terminated",
    ev.WorkflowTimedOut: "timed-out",
    ev.ApprovalRequested: "asks",
    ev.ActivityUnknown: "unknown",
    ev.RunBlocked: "blocked",
    ev.RunUnblocked: "unblocked",
    ev.RunPaused: "paused",
    ev.RunResumed: "resumed",
    ev.ActivityStarted: "step-started",
    ev.ActivityAttemptFailed: "step-retries",
    ev.ActivityCompleted: "step-completed",
    ev.ActivityFailed: "step-failed",
    ev.ActivityTimedOut: "step-timed-out",
    ev.ActivityCancelled: "step-cancelled",
}
_TEXTS: dict[type[ev.Event], Callable[..., str]] = {
    ev.WorkflowCompleted: lambda event: "; ".join(event.degraded),
    ev.WorkflowFailed: lambda event: event.error.message,
    ev.WorkflowCancelled: lambda event: event.reason,
    ev.WorkflowTerminated: lambda event: event.reason,
    ev.WorkflowTimedOut: lambda event: event.reason or f"it was to be over by {event.due}",
    ev.ApprovalRequested: lambda event: event.prompt,
    ev.ActivityUnknown: lambda event: event.why,
    ev.RunBlocked: lambda event: event.message,
    ev.ActivityAttemptFailed: lambda event: event.error.message,
    ev.ActivityFailed: lambda event: event.error.message,
    ev.ActivityCancelled: lambda event: event.reason,
}

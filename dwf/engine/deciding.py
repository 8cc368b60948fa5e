"""A person's word on one open step, from a letter to an event: what became of it, or how it goes on.

What is said of a step that rests is done at once. Of one that runs it is written down, the attempt is ended, and then
it is done, whatever the attempt had to say for itself. Decides and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from dwf.core import events as ev
from dwf.core import messages as mail
from dwf.core.duration import stamp
from dwf.core.messages import quoted
from dwf.core.state import OpenStep, RunState
from dwf.core.steps import OPTIONS
from dwf.core.values import decode
from dwf.engine.summary import cancelled, who
from dwf.errors import ValueRefused


def said_of(step: OpenStep, act: str, payload: ev.Payload, attempt: int, decided: ev.Decision) -> ev.Event | None:
    """The event for a person's word; None if it comes too late. Raises ValueRefused for what cannot count.

    attempt: the last of which the person knew. What has begun since he looked is not his to decide.
    """
    if act in mail.DECIDING:
        if step.attempts != attempt or step.overruled is not None:
            return None
        if step.started is not None:
            return ev.ActivityOverruled(command=step.command, act=act, result=payload, decided=decided)
        if act == mail.RETRY:
            return ev.ActivityRetryRequested(command=step.command, decided=decided)
        return _settled(step, act, payload, decided)
    make = _CONTROLS.get(act)
    if make is None:
        raise ValueRefused(what="a word on a step", why=f"there is no decision {quoted(act)}")
    return make(step, payload, decided)


def overruled(step: OpenStep, now_us: int, output: ev.Output | None = None) -> ev.Event:
    """What becomes of a step whose attempt was ended for it."""
    word = step.overruled
    assert word is not None
    if word.act != mail.RETRY:
        # Its letter is known by the event that wrote it down.
        return _settled(step, word.act, word.result, replace(word.decided, message=""))
    error = ev.ErrorInfo(type="RetriedByHand", message=f"ended by {who(word.decided.by)}: {word.decided.reason}")
    return ev.ActivityAttemptFailed(
        command=step.command, attempt=step.attempts, error=error, retry_at=stamp(now_us), output=output
    )


def why_overruled(step: OpenStep) -> str:
    """What the attempt is told that is ended for it."""
    assert step.overruled is not None
    decided = step.overruled.decided
    return f"{_WORDS[step.overruled.act]} by {who(decided.by)}: {decided.reason}"


def why_cancelled(state: RunState) -> str:
    """Who wants a step to end that is cancelled, and why, as the activity is told."""
    asked = state.cancel
    return "cancelled by the run" if asked is None else cancelled(asked.by, asked.reason)


def _settled(step: OpenStep, act: str, result: ev.Payload, decided: ev.Decision) -> ev.Event:
    if act == mail.FAIL:
        error = ev.ErrorInfo(type="FailedByHand", message=decided.reason)
        return ev.ActivityFailed(command=step.command, error=error, attempts=step.attempts, decided=decided)
    return ev.ActivityCompleted(command=step.command, result=result, decided=decided, skipped=act == mail.SKIP)


def _pause(step: OpenStep, _: ev.Payload, decided: ev.Decision) -> ev.Event | None:
    return None if step.paused is not None else ev.ActivityPaused(command=step.command, decided=decided)


def _unpause(step: OpenStep, _: ev.Payload, decided: ev.Decision) -> ev.Event | None:
    return None if step.paused is None else ev.ActivityUnpaused(command=step.command, decided=decided)


def _reset(step: OpenStep, payload: ev.Payload, decided: ev.Decision) -> ev.Event:
    return ev.ActivityReset(command=step.command, keep=decode(payload) is True, decided=decided)


def _set(step: OpenStep, payload: ev.Payload, decided: ev.Decision) -> ev.Event:
    options = decode(payload, dict[str, int])
    if not options or not set(options) <= set(OPTIONS) or any(value < 0 for value in options.values()):
        raise ValueRefused(what="the options of a step", why=f"they are some of {', '.join(OPTIONS)}, from 0")
    return ev.ActivityOptionsChanged(command=step.command, options=options, decided=decided)


_CONTROLS: dict[str, Callable[[OpenStep, ev.Payload, ev.Decision], ev.Event | None]] = {
    mail.PAUSE: _pause,
    mail.UNPAUSE: _unpause,
    mail.RESET: _reset,
    mail.SET: _set,
}
_WORDS = {mail.COMPLETE: "done", mail.SKIP: "skipped", mail.FAIL: "failed", mail.RETRY: "ended to be tried again"}

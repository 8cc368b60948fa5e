"""From how an attempt ended to the event that says so: done, failed, to be tried again, or unknown.

Decides and writes nothing; the drive loop delivers what comes out of here. An attempt whose end nobody saw (dwf, its
tick or the machine died in it) may have taken effect: what follows is the step's own `on_crash`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from dwf.activities.plan import Kind, Outcome
from dwf.core import events as ev
from dwf.core.duration import stamp
from dwf.core.events import Payload
from dwf.core.retry import AttemptFailure, Retry, chance_for, retry_at
from dwf.core.state import OpenStep
from dwf.core.steps import HEARTBEAT, SCHEDULE_TO_CLOSE, START_TO_CLOSE
from dwf.core.values import decode, encode
from dwf.engine.context import Engine
from dwf.engine.journal import Journal
from dwf.errors import Expected, ValueRefused


def ended(engine: Engine, journal: Journal, step: OpenStep, outcome: Outcome) -> ev.Event:
    """An attempt's end as an event: a closing, or the news of what is to become of it."""
    if outcome.kind is Kind.INTERRUPTED:
        return _stopped(engine, step, outcome)
    if outcome.kind is Kind.COMPLETED:
        outcome = _checked(journal, step.command, outcome)
    if outcome.kind is Kind.COMPLETED:
        return ev.ActivityCompleted(command=step.command, result=Payload(outcome.result), output=outcome.output)
    if step.cancel_requested or outcome.kind is Kind.CANCELLED:
        reason = "cancelled" if outcome.error is None else outcome.error.message
        return ev.ActivityCancelled(command=step.command, reason=reason, output=outcome.output)
    return _failed(engine, journal, step, outcome)


def _stopped(engine: Engine, step: OpenStep, outcome: Outcome) -> ev.Event:
    """dwf was told to stop, and the attempt with it: it does not use up the retries of a step that has any."""
    how = "dwf was told to stop while it ran"
    if step.cancel_requested or step.scheduled.on_crash or step.max_attempts == 1:
        return interrupted(engine, step, how, outcome.output, outcome.heartbeat)
    return _once_more(engine, step, how, outcome.output, outcome.heartbeat, spared=True)


def interrupted(
    engine: Engine, step: OpenStep, how: str, output: ev.Output | None = None, heartbeat: bytes | None = None
) -> ev.Event:
    """The event for an attempt whose end nobody saw. `how`: in words, why not. heartbeat: what its last one told."""
    if step.cancel_requested:
        return ev.ActivityCancelled(command=step.command, reason=f"cancelled; {how}", output=output)
    if step.scheduled.on_crash:
        return ev.ActivityUnknown(command=step.command, attempt=step.attempts, why=how, heartbeat=_told(heartbeat))
    limit = step.max_attempts
    if limit and step.tries >= limit:
        error = ev.ErrorInfo(type="Interrupted", message=f"{how}; whether it took effect is unknown")
        return ev.ActivityFailed(command=step.command, error=error, attempts=step.attempts, output=output)
    return _once_more(engine, step, how, output, heartbeat)


def probed(engine: Engine, journal: Journal, step: OpenStep, outcome: Outcome) -> ev.Event:
    """What a probe has found out about an attempt whose end nobody saw."""
    assert step.unknown is not None
    how = step.unknown.why
    if step.cancel_requested:
        return ev.ActivityCancelled(command=step.command, reason=f"cancelled; {how}")
    try:
        done, result = _verdict(outcome, step.scheduled.kind)
        if done and (misfit := journal.misfit(step.command, result)) is not None:
            raise ValueRefused(what="its probe's result", why=misfit)
    except ValueRefused as error:
        why = f"{how}, and its probe could not tell: {error.message}"
        return ev.ActivityUnknown(command=step.command, attempt=step.attempts, why=why, probed=True)
    if done:
        return ev.ActivityCompleted(
            command=step.command, result=Payload(result), decided=ev.Decision(reason=f"{how}; its probe found it done")
        )
    limit = step.max_attempts
    if limit and step.tries >= limit:
        error_info = ev.ErrorInfo(type="NoEffect", message=f"{how}; its probe says that it took no effect")
        return ev.ActivityFailed(command=step.command, error=error_info, attempts=step.attempts)
    return _once_more(engine, step, f"{how}; its probe says that it took no effect")


def _verdict(outcome: Outcome, kind: str) -> tuple[bool, bytes]:
    """Whether a probe found the step done, and the step's result then. Raises ValueRefused if it could not tell."""
    if outcome.kind is not Kind.COMPLETED:
        why = outcome.error.message if outcome.error is not None else outcome.kind.value
        raise ValueRefused(what="it", why=why)
    answer = decode(outcome.result)
    if kind == "shell":
        return answer["code"] == 0, outcome.result
    return answer["done"], encode(answer.get("result"))


def _checked(journal: Journal, command: int, outcome: Outcome) -> Outcome:
    """A result that does not fit the function's annotation is that attempt's failure, not the run's riddle."""
    misfit = journal.misfit(command, outcome.result)
    if misfit is None:
        return outcome
    info = ev.ErrorInfo(type="ResultType", message=f"its result is not what is annotated: {misfit}")
    return Outcome(Kind.FAILED, outcome.ended_us, error=info, error_types=("ResultType",))


def _failed(engine: Engine, journal: Journal, step: OpenStep, outcome: Outcome) -> ev.Event:
    error = outcome.error or ev.ErrorInfo(type="TimeoutError", message="no end within its time")
    retry = _policy(journal, step)
    text = f"{outcome.output.tail}\n{outcome.output.err_tail}" if outcome.output else ""
    failure = AttemptFailure(error, outcome.error_types, outcome.exit_code, text)
    too_late = outcome.kind is Kind.TIMED_OUT and outcome.which == SCHEDULE_TO_CLOSE
    if not too_late and Expected.__name__ not in failure.types and not retry.gives_up(step.tries, failure):
        chance = chance_for(journal.state.head.nonce, step.command, step.attempts)
        due = retry_at(engine.clock(), retry, step.tries, chance, outcome.retry_after_us)
        if step.close_by and stamp(due) >= step.close_by:
            return _timed_out(journal, step, SCHEDULE_TO_CLOSE, outcome, error)
        return ev.ActivityAttemptFailed(
            command=step.command,
            attempt=step.attempts,
            error=error,
            retry_at=stamp(due),
            output=outcome.output,
            heartbeat=_told(outcome.heartbeat),
        )
    if outcome.kind is Kind.TIMED_OUT:
        return _timed_out(journal, step, outcome.which, outcome, step.last_error if too_late else None)
    return ev.ActivityFailed(command=step.command, error=error, attempts=step.attempts, output=outcome.output)


def _timed_out(journal: Journal, step: OpenStep, which: str, outcome: Outcome, error: ev.ErrorInfo | None) -> ev.Event:
    """`error`: how its last attempt failed, if it is all of them together that took too long."""
    call = journal.call(step.command)
    timeout = step.option("timeout", step.scheduled.timeout if call is None else call.timeout_us)
    silence = step.option("heartbeat", step.scheduled.heartbeat if call is None else call.heartbeat_us)
    limit = {SCHEDULE_TO_CLOSE: step.schedule_to_close, HEARTBEAT: silence}.get(which, timeout)
    more: Any = {} if which == START_TO_CLOSE else {"which": which}  # what is as usual is left out of a record
    return ev.ActivityTimedOut(
        command=step.command,
        timeout=limit,
        attempts=step.attempts,
        output=outcome.output,
        error=error,
        heartbeat=_told(outcome.heartbeat),
        **more,
    )


def _told(heartbeat: bytes | None) -> Payload:
    return ev.NOTHING if heartbeat in (None, b"null") else Payload(heartbeat or b"null")


def _policy(journal: Journal, step: OpenStep) -> Retry:
    """As the script has it now; what was recorded, if the script cannot be asked."""
    call = journal.call(step.command)
    retry = Retry(max_attempts=step.scheduled.max_attempts or None) if call is None else call.retry
    if "max_attempts" in step.options:
        return dataclasses.replace(retry, max_attempts=step.max_attempts or None)
    return retry


def _once_more(
    engine: Engine,
    step: OpenStep,
    how: str,
    output: ev.Output | None = None,
    heartbeat: bytes | None = None,
    *,
    spared: bool = False,
) -> ev.Event:
    error = ev.ErrorInfo(type="Interrupted", message=how)
    now = stamp(engine.clock())
    return ev.ActivityAttemptFailed(
        command=step.command,
        attempt=step.attempts,
        error=error,
        retry_at=now,
        output=output,
        heartbeat=_told(heartbeat),
        spared=spared,
    )

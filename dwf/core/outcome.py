"""How a script ended: which exceptions end the *run* and which are bugs that block it.

Leaves of exception groups count. All of them failures: failed. All CancelledError: cancelled, if a cancel was
delivered. Failure and cancellation mixed: failed. Anything else is a bug: nothing is recorded as an outcome, nothing is
compensated, and the run goes on when the code is mended.
"""

from __future__ import annotations

import asyncio
import linecache
import traceback
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from dwf.core.duration import stamp
from dwf.core.events import (
    NOTHING,
    ErrorInfo,
    Lifecycle,
    Payload,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowContinuedAsNew,
    WorkflowFailed,
    WorkflowTimedOut,
)
from dwf.core.links import next_nonce
from dwf.core.retry import AttemptFailure, chance_for, retry_at, retry_of
from dwf.core.runtime import ContinueAsNew
from dwf.core.tasks import cancelled_error
from dwf.core.values import encode
from dwf.errors import (
    ActivityError,
    ChildError,
    DwfError,
    Failure,
    NotDelivered,
    ScriptBug,
    ScriptError,
    UsageError,
    ValueRefused,
)

if TYPE_CHECKING:
    from dwf.core.replay import Replay

MESSAGE_LIMIT = 16 * 1024
_FAILURES = (ActivityError, ChildError, Failure, NotDelivered, TimeoutError)


def outcome_of(main: asyncio.Task[Any], replay: Replay) -> Lifecycle:
    """The terminal event of a finished main coroutine. Raises ScriptBug (or the script's own ScriptError) for a bug."""
    error = _end_of(main)
    leaves = [] if error is None else leaves_of(error)
    cancelled = replay.cancelled and error is not None and all(isinstance(e, asyncio.CancelledError) for e in leaves)
    failed = _all_failures(leaves, replay) or replay.program.bug_fails
    if error is not None and not cancelled and not failed:
        raise _bug_at_the_end(error, replay)
    notes = [*replay.commands.notes, *replay.commands.handlers.notes_at_the_end(), *_background_notes(replay)]
    scopes = replay.commands.scopes
    told: dict[str, Any] = {
        "open": sorted(replay.commands.open_numbers()),
        "notes": notes,
        "undone": list(scopes.undone),
        "not_undone": list(scopes.not_undone),
    }
    if error is None and isinstance(main.result(), ContinueAsNew):
        return _continued(main.result(), replay, told)
    if error is None:
        result = Payload(encode(main.result(), "the workflow's return value"))
        return WorkflowCompleted(result=result, degraded=list(replay.commands.degraded), **told)
    if cancelled and replay.timed_out is not None:
        return WorkflowTimedOut(due=replay.timed_out.due, reason=replay.cancel_reason, **told)
    if cancelled:
        return WorkflowCancelled(reason=replay.cancel_reason, **told)
    worst = _most_telling(leaves, error)
    info = error_info(worst, replay.program.is_script, error)
    again_at = _again_at(worst, info, replay)
    return _another_attempt(info, again_at, replay, told) if again_at else WorkflowFailed(error=info, **told)


def _again_at(worst: BaseException, info: ErrorInfo, replay: Replay) -> str:
    """When another attempt of the whole run begins; "" if this was the last. Who was cancelled is not tried again."""
    started = replay.started
    retry = replay.program.retry if started.retry is None else retry_of(started.retry)
    if retry is None or replay.cancelled:
        return ""
    types = tuple(cls.__name__ for cls in type(worst).__mro__)
    # Of a step or a child that failed it is its own error that counts, too.
    types += (str(worst.facts.get("type", "")),) if isinstance(worst, ActivityError | ChildError) else ()
    if retry.gives_up(started.attempt, AttemptFailure(info, types)):
        return ""
    chance = chance_for(started.nonce, 0, started.attempt)
    at = stamp(retry_at(replay.commands.now_us(), retry, started.attempt, chance, None))
    return "" if started.deadline and at >= started.deadline else at


def _another_attempt(info: ErrorInfo, at: str, replay: Replay, told: dict[str, Any]) -> Lifecycle:
    started = replay.started
    return WorkflowContinuedAsNew(
        nonce=next_nonce(started.nonce),
        workflow=started.workflow,
        input=started.input,
        error=info,
        start_at=at,
        **told,
    )


def _continued(wish: ContinueAsNew, replay: Replay, told: dict[str, Any]) -> Lifecycle:
    """What is filled in when it is recorded: signals that nobody took."""
    held = replay.commands.held_by()
    if held:
        raise ScriptBug(
            type="ContinueAsNew",
            reason=f"the run would go on in a new instance and leave behind: {', '.join(held[:5])}",
            where="the end of the script",
            hint="await or cancel it before return dwf.continue_as_new(...)",
        )
    started = replay.started
    try:
        given = replay.program.bind(wish.values)
    except UsageError as error:
        raise ValueRefused(what="dwf.continue_as_new()", why=error.message, hint=error.hint) from None
    return WorkflowContinuedAsNew(
        nonce=next_nonce(started.nonce),
        workflow=started.workflow,
        input=Payload(given),
        **told,
    )


def _end_of(main: asyncio.Task[Any]) -> BaseException | None:
    return cancelled_error(main) if main.cancelled() else main.exception()


def _bug_at_the_end(error: BaseException, replay: Replay) -> ScriptError:
    if not isinstance(error, asyncio.CancelledError):
        return bug_of(error, replay.program.is_script)
    return ScriptBug(
        type="CancelledError",
        reason="the workflow ended as cancelled, but nobody cancelled the run",
        where="the end of the script",
        hint="raise dwf.Failure(...) to end a run; catch asyncio.CancelledError where you cancel a task yourself",
    )


def is_failure(error: BaseException, replay: Replay) -> bool:
    """Whether an exception is one that ends a run as failed, and no bug; with on_bug="fail" all are."""
    return replay.program.bug_fails or _all_failures(leaves_of(error), replay)


def _all_failures(leaves: list[BaseException], replay: Replay) -> bool:
    failures = _FAILURES + replay.program.failure_types
    if not any(isinstance(leaf, failures) for leaf in leaves):
        return False
    allowed = (*failures, asyncio.CancelledError)
    return all(isinstance(leaf, allowed) for leaf in leaves)


def only_failures(error: BaseException, replay: Replay) -> bool:
    """Whether all of it is failure or cancellation, so that what was done may be taken back; a bug is not."""
    return all(isinstance(leaf, asyncio.CancelledError) for leaf in leaves_of(error)) or is_failure(error, replay)


def _most_telling(leaves: list[BaseException], error: BaseException) -> BaseException:
    told = [leaf for leaf in leaves if not isinstance(leaf, asyncio.CancelledError)]
    return told[0] if len(told) == 1 else error


def _background_notes(replay: Replay) -> list[str]:
    """A background task that failed and was never awaited is named; one that died of a bug blocks the run."""
    notes = []
    for error in replay.loop.unawaited_errors():
        if not is_failure(error, replay):
            raise bug_of(error, replay.program.is_script)
        notes.append(f"a background task failed and was never awaited: {said(error)}")
    return notes


def leaves_of(error: BaseException) -> list[BaseException]:
    """The exceptions inside an exception group, however nested; the exception itself if it is none."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves_of(inner)]
    return [error]


def bug_of(error: BaseException, is_script: Callable[[str], bool]) -> ScriptError:
    """An exception as what blocks a run: itself if it is a ScriptError already."""
    leaves = leaves_of(error)
    ours = next((leaf for leaf in leaves if isinstance(leaf, ScriptError)), None)
    if ours is not None:
        ours.facts.setdefault("where", raised_at(ours, is_script, error))
        return ours
    worst = next((leaf for leaf in leaves if not isinstance(leaf, (*_FAILURES, asyncio.CancelledError))), error)
    hint = "mend the script, then: dwf upgrade RUN --to FILE"
    if worst.__cause__ is not None and isinstance(worst.__cause__, _FAILURES):
        hint = "to end the run as failed: raise dwf.Failure(...) from error"
    return ScriptBug(type=type(worst).__name__, reason=said(worst), where=raised_at(worst, is_script, error), hint=hint)


def said(error: BaseException) -> str:
    """An exception's message, bounded, whatever its __str__ does."""
    try:
        text = error.message if isinstance(error, DwfError) else str(error)
    except BaseException as broken:
        text = f"(its __str__ raised {type(broken).__name__})"
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT] + "… (cut)"


def error_info(
    error: BaseException, is_script: Callable[[str], bool] | None = None, outer: BaseException | None = None
) -> ErrorInfo:
    """An exception as data, with what it knows as details and the script's own lines as traceback.

    outer: the group that it came in, whose lines are told if it has none itself.
    """
    lines = ""
    if is_script is not None:
        lines = _script_lines(error, is_script) or (_script_lines(outer, is_script) if outer else "")
    return ErrorInfo(
        type=type(error).__name__,
        message=said(error),
        details=_details(error),
        traceback=lines,
    )


def _details(error: BaseException) -> Payload:
    facts: Any = None
    if isinstance(error, Failure):
        facts = error.details
    elif isinstance(error, ActivityError | ChildError | NotDelivered):
        facts = error.facts
    if not facts:
        return NOTHING
    try:
        return Payload(encode(facts))
    except ValueRefused:
        return Payload(encode({str(name): _shown(value) for name, value in list(facts.items())[:100]}))


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except BaseException as broken:
        text = f"(its __repr__ raised {type(broken).__name__})"
    return text[:1000].encode("utf-8", "backslashreplace").decode()


def raised_at(error: BaseException, is_script: Callable[[str], bool], outer: BaseException | None = None) -> str:
    """The innermost line of the script through which an exception came, or else the group that it came in."""
    lines = [(f.f_code.co_filename, n) for f, n in traceback.walk_tb(error.__traceback__)]
    own = [line for line in lines if is_script(line[0])]
    if not own and outer is not None and outer is not error:
        return raised_at(outer, is_script)
    own = own or lines[-1:]
    return place(*own[-1]) if own else "an unknown line"


def _script_lines(error: BaseException, is_script: Callable[[str], bool]) -> str:
    told = []
    for frame, number in traceback.walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        if is_script(name):
            source = linecache.getline(name, number, frame.f_globals).strip()
            told.append(f"{place(name, number)} in {frame.f_code.co_name}: {source[:200]}")
    return "\n".join(told[-20:])


def place(filename: str, line: int) -> str:
    """A line of a script for people: `rotate.py:31`. Stored scripts are named `rotate.py@<hash>`."""
    return f"{PurePath(filename).name.partition('@')[0]}:{line}"

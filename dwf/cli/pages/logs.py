"""`dwf logs`: which output files are meant, and what stands above each."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from dwf.cli.catalog import nearest
from dwf.core.events import ActivityAttemptFailed, ActivityFailed, ActivityScheduled, ActivityStarted, ErrorInfo, Event
from dwf.errors import NotFound, UsageError

_SCRIPT_LOG = "script.log"


def steps_of(events: Iterable[Event]) -> dict[int, str]:
    """The titles of a run's steps by command number."""
    return {e.command: e.title or e.name for e in events if isinstance(e, ActivityScheduled)}


def chosen_files(
    run: str, steps: dict[int, str], names: Sequence[str], step: str | None, attempt: int | None
) -> list[str]:
    """Names of output files, in order: of one step or of all; of one attempt, or of the last of each.

    Raises NotFound for a step that there is not, UsageError if several fit.
    """
    wanted = None if step is None else command_of(run, steps, step)
    found = sorted((name for name in names if wanted is None or _numbers(name)[0] == wanted), key=_order)
    if attempt is not None:
        return [name for name in found if _numbers(name)[1] == attempt]
    last: dict[int, int] = {}
    for name in found:
        command, number = _numbers(name)
        last[command] = max(last.get(command, 0), number)
    return [name for name in found if _numbers(name)[1] == last[_numbers(name)[0]]]


def _order(name: str) -> tuple[int, int, bool]:
    """By step and attempt, output before error output, the script's own log last."""
    command, attempt = _numbers(name)
    return command or sys.maxsize, attempt, name.endswith(".err")


def error_of(events: Iterable[Event], command: int, attempt: int | None) -> ErrorInfo | None:
    """How an attempt of a step failed: the last one, or the one that is asked for. None if it did not."""
    failed: dict[int, ErrorInfo] = {}
    last = 0
    for event in events:
        if isinstance(event, ActivityStarted) and event.command == command:
            last = event.attempt
        elif isinstance(event, ActivityAttemptFailed) and event.command == command:
            failed[event.attempt] = event.error
        elif isinstance(event, ActivityFailed) and event.command == command:
            failed[event.attempts] = event.error
    return failed.get(attempt or last)


def command_of(run: str, steps: dict[int, str], step: str) -> int:
    """The command number of a step: given so, or by its title, or by a part of it."""
    if step.isdecimal() and int(step) in steps:
        return int(step)
    fitting = [c for c, title in steps.items() if title == step]
    fitting = fitting or [c for c, title in steps.items() if step.lower() in title.lower()]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        said = "; ".join(f"{c} {steps[c]}" for c in fitting[:6])
        raise UsageError(what=f"{step!r} fits {len(fitting)} steps of {run}", hint=f"say which by its number: {said}")
    meant = nearest(step, list(steps.values()))
    known = ", ".join(dict.fromkeys(steps.values())) or "none yet"
    raise NotFound(
        what=f"{run} has no step {step!r}", hint=f"did you mean {meant!r}?" if meant else f"its steps: {known[:200]}"
    )


def _numbers(name: str) -> tuple[int, int]:
    if name == _SCRIPT_LOG:
        return 0, 0
    command, attempt, _ = name.split(".")
    return int(command), int(attempt)


def heading(name: str, steps: dict[int, str]) -> str:
    """`== drain (step 3), attempt 1, error output`"""
    if name == _SCRIPT_LOG:
        return "== the script's own log"
    command, attempt = _numbers(name)
    kind = ", error output" if name.endswith(".err") else ""
    return f"== {steps.get(command, 'step')} (step {command}), attempt {attempt}{kind}"


def last_lines(data: bytes, count: int) -> bytes:
    """The last so many lines, as they are."""
    lines = data.splitlines(keepends=True)
    return b"".join(lines[-count:]) if count else b""

"""Words for parts of a run, as the page of one run has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dwf.core.fanouts import FanOut
from dwf.core.state import RunState
from dwf.scripts.packages import changed_packages, changed_python

_MOST_PACKAGES = 6


def progress(fan_out: FanOut) -> str:
    """How far a map is: `patch: 37 of 200 done, 1 failed, 10 run, stage 3 of 4`."""
    started = fan_out.started
    if not fan_out.begun and not fan_out.carried:  # or each item is more than a step: those are counted by nobody
        return f"{started.name}: {started.items} items"
    words = [f"{started.name}: {fan_out.done + fan_out.carried} of {started.items} done"]
    words += [f"{fan_out.carried} of them before"] if fan_out.carried else []
    words += [f"{fan_out.failed} failed"] if fan_out.failed else []
    words += [f"{fan_out.open} run"] if fan_out.open else []
    words += [f"stage {fan_out.stage} of {len(started.stages)}"] if len(started.stages) > 1 else []
    return ", ".join(words)


def named(state: RunState, commands: Sequence[int]) -> Iterator[str]:
    """Commands that are still open, as one would speak of them."""
    for number in commands:
        if number in state.steps:
            yield f"step {state.steps[number].title}"
        elif number in state.timers:
            yield f"timer {state.timers[number].started.purpose}"
        elif number in state.signal_waits:
            yield f"signal {state.signal_waits[number].opened.name}"
        elif number in state.locks:
            yield f"lock {state.locks[number].requested.name}"
        elif number in state.callbacks:
            yield f"callback {state.callbacks[number].opened.name}"
        elif number in state.approvals:
            yield f'approval "{state.approvals[number].requested.prompt}"'
        else:
            yield f"command {number}"


def stays(state: RunState) -> list[str]:
    """Why a run that follows its file is not on what that holds now."""
    refused = state.refused
    if refused is None or state.ended is not None:
        return []
    if not refused.line:
        return [f"stays on {state.code[:7]}: {refused.message}"]
    at = f"{refused.where} (history line {refused.line})"
    return [f"stays on {state.code[:7]}: the new code ({refused.code[:7]}) diverges at {at}"]


def others_here(state: RunState) -> list[str]:
    """A line for Python, and for each package, that is another one here than an open run was started with."""
    if state.ended is not None:
        return []
    lines = [
        f"started with Python {change.then}; here it is driven by {change.now}" for change in changed_python(state)
    ]
    began = "started" if state.code == state.head.code else "came onto this code"
    for change in (found := changed_packages(state))[:_MOST_PACKAGES]:
        here = f"here it is {change.now}" if change.now else "here it is no longer installed"
        lines.append(f"{began} with {change.name} {change.then}, {here}")
    more = len(found) - _MOST_PACKAGES
    return [*lines, f"and {more} packages more: -o json shows all"] if more > 0 else lines

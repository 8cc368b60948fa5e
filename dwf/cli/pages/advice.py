"""What to type now: for each state of a run the exact commands. `show`, `start` and every error end in advice."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dwf.core import events as ev
from dwf.core.state import RunState, Status
from dwf.core.undos import Stand

if TYPE_CHECKING:
    from dwf.engine.summary import Wait

Advice = tuple[str, str]


def commands(run: str, status: Status, state: RunState | None, waits: Sequence[Wait], stuck: str = "") -> list[Advice]:
    """Command lines and what they do, the likeliest first."""
    if status in (Status.CORRUPT, Status.NEWER) or state is None:
        given_up = [(f"dwf repair {run}", "what would be lost without a backup")] if status is Status.CORRUPT else []
        told = (f"dwf verify {run}", "where it is damaged, and how")
        return [told, *given_up, ("dwf help stuck", "what can be done")]
    if state.ended is not None:
        return _after_the_end(run, status, state)
    if state.paused is not None:
        goes_on = [(f'dwf resume {run} -m "..."', "let it go on"), (f"dwf history {run}", "what it has done so far")]
        return [*goes_on, (f'dwf terminate {run} -m "..."', "give it up; nothing is cleaned up")]
    if state.blocked is not None:
        return _blocked(run, state, state.blocked)
    if stuck:
        # An answer would be refused: nobody who is asked can give one.
        give_up = [(f'dwf cancel {run} -m "..."', "let it clean up"), (f'dwf terminate {run} -m "..."', "give it up")]
        return [*give_up, (f"dwf stack {run}", "where in the script it stands")]
    found = [line for wait in waits for line in _on_wait(run, wait, several=len(state.approvals) > 1)]
    return [*found[:6], (f"dwf stack {run}", "where in the script it stands")]


def _after_the_end(run: str, status: Status, state: RunState) -> list[Advice]:
    if status in (Status.COMPLETED, Status.DEGRADED):
        found = [(f"dwf result {run}", "what it returned"), (f"dwf history {run}", "how it came to it")]
        if status is Status.DEGRADED and any(fan_out.failed for fan_out in state.fan_outs.values()):
            found.append((f'dwf retry {run} --failed-items -m "..."', "does what failed once more"))
        return [*found, *_undo(run, state)]
    failed = next((step for step in reversed(state.done) if step.outcome in ("failed", "timed-out")), None)
    found = [(f"dwf history {run}", "what led to it")]
    if status in (Status.MOVED, Status.IMPORTED):
        return [*found, ("dwf help moving", "why nothing can be done with it here")]
    if failed is not None:
        found.append((f"dwf logs {run} {shlex.quote(failed.title)}", "what the step printed, and where it failed"))
    found += _undo(run, state)
    if any(fan_out.begun and fan_out.failed for fan_out in state.fan_outs.values()):
        found.append((f'dwf retry {run} --failed-items -m "..."', "does what failed once more"))
    if failed is not None and not state.undos.compensated():
        by_hand = f'dwf reset {run} --set {failed.command}=JSON -m "..."'
        found.append((f'dwf retry {run} -m "..."', "from the step that failed; --script mended.py"))
        found.append((by_hand, f"{failed.title} was done by hand: on behind it"))
    if status is Status.FAILED:
        found.append((f"dwf start {shlex.quote(state.script)} ...", "start it again, under another id"))
    return found


def _undo(run: str, state: RunState) -> list[Advice]:
    left = state.undos.that_are(Stand.DUE, Stand.BEGUN, Stand.FAILED)
    return [(f'dwf undo {run} -m "..."', "takes back what it did")] if left else []


def _blocked(run: str, state: RunState, blocked: ev.RunBlocked) -> list[Advice]:
    if blocked.code == "poison":
        return [
            (f"dwf history {run}", "where it was when dwf died"),
            (f'dwf unblock {run} -m "..."', "when the cause is mended"),
            (f'dwf terminate {run} -m "..."', "give it up; nothing is cleaned up"),
        ]
    found = [(f"dwf upgrade {run} --to {shlex.quote(state.script)}", "when the script is mended")]
    if state.upgraded:
        found = [("dwf tick", "goes on with the new code")]
    if blocked.code != "code-missing":
        found.append((f"dwf history {run}", "what it has done so far"))
    return [*found, (f'dwf terminate {run} -m "..."', "give it up; nothing is cleaned up")]


def _on_wait(run: str, wait: Wait, several: bool) -> list[Advice]:
    if wait.kind == "approval":
        which = f" {wait.command}" if several else ""
        return [(f'dwf approve {run}{which} -m "..."', "yes"), (f'dwf reject {run}{which} -m "..."', "no")]
    if wait.kind == "decide":
        which = f"{run} {wait.command}"
        return [
            (f'dwf step complete {which} --result JSON -m "..."', "it did take effect: go on with this result"),
            (f'dwf step retry {which} -m "..."', "it did not, or twice is harmless: once more"),
            (f'dwf step fail {which} -m "..."', "it failed: let the script handle that"),
        ]
    if wait.kind == "paused":
        return [(f'dwf step unpause {run} {wait.command} -m "..."', "let it go on")]
    if wait.kind == "child":
        return [(f"dwf tree {run}", "where all its children are"), (f"dwf show {wait.what}", "this one")]
    if wait.kind == "lock":
        return [("dwf locks", "who holds it, and who comes before")]
    if wait.kind == "signal":
        return [(f"dwf signal {run} {wait.what} [K=V ...]", "send what it waits for")]
    if wait.kind == "callback":
        return [("dwf complete - --result JSON", "by whoever has its token, on stdin")]
    if wait.kind == "message":
        word = next((word for word in wait.what.split(", ") if not word.startswith("any ")), "signal NAME")
        return [(f"dwf {word.replace(' ', f' {run} ', 1)} [K=V ...]", "send it something that it takes")]
    if wait.kind == "retry":
        again = (f'dwf step retry {run} {wait.command} -m "..."', "tries again now")
        return [(f"dwf logs {run} {shlex.quote(wait.what)}", "what the step has printed"), again]
    if wait.kind == "step":
        return [(f"dwf logs {run} {shlex.quote(wait.what)}", "what the step has printed")]
    return []


# -- the two sides of a divergence ------------------------------------------------------------------------------


def sides(blocked: ev.RunBlocked) -> list[tuple[str, str, str]] | None:
    """(place, verb, command) of what was recorded and what is asked now; None if it is blocked by something else."""
    told = blocked.diverged
    if told is None:
        return _sides_of_sentence(blocked.message)
    return [(f"history line {told.line}", "recorded", told.recorded), (blocked.where, "now asks", told.asked)]


def _sides_of_sentence(message: str) -> list[tuple[str, str, str]] | None:
    """The same for an older history, which holds only the sentence of NondeterminismError."""
    from dwf.errors import NondeterminismError

    pattern = re.escape(NondeterminismError.sentence)
    for name in ("line", "recorded", "where", "asked"):
        pattern = pattern.replace(re.escape("{" + name + "}"), f"(?P<{name}>.*)")
    found = re.fullmatch(pattern, " ".join(message.split()))
    if found is None:
        return None
    return [
        (f"history line {found['line']}", "recorded", found["recorded"]),
        (found["where"], "now asks", found["asked"]),
    ]

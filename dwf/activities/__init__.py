"""Performs one attempt of a step. Knows no history, no state directory and no retry policy: paths and limits are given.

    plan.py            data: ShellSpec, Target, Attempt, Outcome; Performance, the one face of every kind
    info.py            what an activity may know about itself
    function.py        a Python function, in the calling thread (the hot path)
    surroundings.py    ... and what it must not change for the next one
    prints.py          ... and what it prints
    async_function.py  a coroutine function, on a loop in a side thread
    isolated.py        a Python function in a process of its own, which can be ended; child.py is that process
    shell.py           a command line; environment.py is what it finds in its environment
    gated.py           a process that waits at its gate: what shell.py and isolated.py share
    watch.py           ... from the gate to its end: output, input, clock, who asks it to stop
    telling.py         ... and what is told of it then
    pulse.py           heartbeats: that an attempt lives, how far it is, and that it is to end
    secrets.py         looked up when an attempt begins, masked in all that is told of it
    output.py          captured output, within bounds
    session.py         which processes belong to a step; ending them, with proof
    orphans.py         ends what a killed tick has left behind; waited.py waits for it
    kept.py            a step that outlives dwf: keeper.py performs it, and whoever is there then reads how it ended

Everything is loaded when first used: an idle `dwf tick` comes by here and must not pay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from dwf.activities.plan import Attempt, Performance, ShellSpec, Target
    from dwf.activities.waited import Waited
    from dwf.core.runtime import ActivityCall
    from dwf.host import Process

__all__ = [
    "adopt",
    "capturing",
    "end_orphan",
    "prepare_async",
    "prepare_function",
    "prepare_isolated",
    "prepare_kept",
    "prepare_shell",
    "unheard",
]


def prepare_function(call: ActivityCall, attempt: Attempt) -> Performance:
    """A sync Python function, in the thread that calls `finish`."""
    from dwf.activities.function import InProcess

    return InProcess(call, attempt)


def prepare_async(call: ActivityCall, attempt: Attempt) -> Performance:
    """A coroutine function, on the event loop of a side thread."""
    from dwf.activities.async_function import InLoop

    return InLoop(call, attempt)


def prepare_shell(spec: ShellSpec, attempt: Attempt) -> Performance:
    """A command line, spawned and held at its gate."""
    from dwf.activities.shell import Shell, with_secrets

    if spec.secret_env or spec.secret_stdin:
        return with_secrets(spec, attempt)
    return Shell(spec, attempt)


def prepare_isolated(target: Target, attempt: Attempt) -> Performance:
    """A Python function in a process of its own, spawned and held at its gate."""
    from dwf.activities.isolated import Isolated, with_secrets

    if b'"secrets":[' in target.input:
        return with_secrets(target, attempt)
    return Isolated(target, attempt)


def prepare_kept(work: ShellSpec | Target, attempt: Attempt) -> Performance:
    """A command or an isolated function that goes on, and is accounted for, when dwf is gone; held at its gate."""
    from dwf.activities.kept import Kept

    return Kept(work, attempt)


def adopt(keeper: Process, attempt: Attempt) -> Waited:
    """A kept step that another dwf has begun, whether it still runs or not; see kept.py."""
    from dwf.activities.kept import Adopted

    return Adopted(keeper, attempt)


def capturing() -> AbstractContextManager[None]:
    """Catch what Python activities print, in the whole process, while the block runs."""
    from dwf.activities import prints

    return prints.capturing()


def unheard() -> AbstractContextManager[None]:
    """Drop what this thread prints while the block runs."""
    from dwf.activities import prints

    return prints.unheard()


def end_orphan(pid: int, pid_start: int, boot: str, grace_us: int, key: str = "") -> bool:
    """End what a killed tick has left running of a step; see orphans.py. True if nothing of it is left."""
    from dwf.activities import orphans

    return orphans.end_orphan(pid, pid_start, boot, grace_us, key)

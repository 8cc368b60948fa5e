"""Repair: step, unblock. A person's word where dwf cannot know; recorded with who and why, and never an edited line."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Context, Option

from dwf.cli.options import ReasonOption, RunArgument, StepArgument, TickOption, session_of
from dwf.cli.verbs.answering import tell_posted
from dwf.cli.verbs.shared import given_json, pick

ResultOption = Annotated[
    str | None, Option("--result", metavar="JSON|@FILE|-", help="what the step gives back; only with complete")
]


def step(
    context: Context,
    act: Annotated[str, Argument(metavar="complete|retry|fail", help="what became of it", show_default=False)],
    run: RunArgument,
    which: StepArgument = None,
    result: ResultOption = None,
    reason: ReasonOption = "",
    tick: TickOption = False,
) -> int:
    """Say what is to become of a step that rests: one that may have taken effect, or that waits for another attempt.

    complete: it is done, and --result is what it gives back (null without it). retry: once more, and at once.
    fail: it has failed; the script handles that as any failure. Who, when and why (-m) is recorded.
    """
    from dwf.core.values import encode
    from dwf.engine.stepping import decide
    from dwf.errors import UsageError

    session = session_of(context)
    if result is not None and act != "complete":
        raise UsageError(what=f"--result does not go with {act}", hint="only dwf step complete gives a result")
    data = b"null" if result is None else encode(given_json(result, "the result"), "the result")
    store = session.existing_store(run, write=True)
    run = pick(session, store, run, changes=True)
    return tell_posted(session, store, decide(store, run, act, session.me, reason, step=which, result=data), tick)


def unblock(context: Context, run: RunArgument, reason: ReasonOption = "", tick: TickOption = False) -> int:
    """Let a run go on that is blocked, after its cause was mended; if it was not, it is blocked again.

    A mended script is another matter: dwf upgrade. Who, when and why (-m) is recorded.
    """
    from dwf.engine.stepping import unblock as let_go

    session = session_of(context)
    store = session.existing_store(run, write=True)
    run = pick(session, store, run, changes=True)
    return tell_posted(session, store, let_go(store, run, session.me, reason), tick)

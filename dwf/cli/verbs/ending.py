"""Repair: cancel, terminate, upgrade."""

from __future__ import annotations

from typing import Annotated

from typer import Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import ReasonOption, RunArgument, RunsArgument, TickOption, session_of
from dwf.cli.verbs.answering import tell_posted
from dwf.cli.verbs.shared import pick, say_tick
from dwf.errors import UsageError, WrongState


def cancel(context: Context, run: RunArgument, reason: ReasonOption = "", tick: TickOption = False) -> int:
    """Ask a run to end. Its script gets a CancelledError where it waits, and cleans up; only then it is cancelled."""
    from dwf.engine.post import cancel as post

    session = session_of(context)
    store = session.existing_store(run, write=True)
    run = pick(session, store, run, changes=True)
    return tell_posted(session, store, post(store, run, session.me, reason), tick)


def terminate(
    context: Context,
    run: RunArgument,
    reason: ReasonOption = "",
    yes: Annotated[bool, Option("-y", "--yes", help="do not ask")] = False,
    tick: TickOption = False,
) -> int:
    """End a run now, without any cleanup: nothing is undone. For runs whose script can no longer help.

    A reason is needed; it asks first, and says what stays as it is.
    """
    from dwf.cli.verbs.watching import look
    from dwf.engine.post import terminate as post

    session = session_of(context)
    store = session.existing_store(run, write=True)
    run = pick(session, store, run, changes=True)
    _, facts = look(store, run)
    if facts.status.closed:
        raise WrongState(what=f"run {run} is {facts.status.value} already", hint=f"see how it ended: dwf show {run}")
    if not reason:
        raise UsageError(
            what="terminating needs a reason", hint=f"dwf terminate {run} -m '...'; dwf cancel lets it clean up"
        )
    if not yes:
        left = ", ".join(wait.what for wait in facts.waits if wait.kind in ("step", "retry", "decide"))
        question = f"end {run} without cleanup?" + (f" not finished: {left}." if left else "")
        if not session.interactive:
            raise UsageError(what=f"there is nobody to ask whether to end {run} without cleanup", hint="say so with -y")
        if not session.screen.confirm(question):
            raise UsageError(what="nothing was changed", hint=f"dwf cancel {run} lets it clean up")
    return tell_posted(session, store, post(store, run, session.me, reason), tick)


def upgrade(
    context: Context,
    run: RunsArgument,
    to: Annotated[str, Option("--to", metavar="SCRIPT", help="the mended script")],
    reason: ReasonOption = "",
) -> int:
    """Move open runs to a mended script. Each is replayed against it first; what would diverge stays as it is."""
    from dwf.engine.upgrade import upgrade as move

    session = session_of(context)
    store = session.existing_store(run[0], write=True)
    runs = [pick(session, store, name, changes=True) for name in run]
    for name in runs:
        moved = move(store, name, to, session.me, reason)
        if session.is_json:
            document = {"schema": "dwf.upgraded/1", "run": name, "code": moved.code, "unblocked": moved.unblocked}
            session.screen.document(document, one_line=True)
        else:
            goes_on = "; it goes on" if moved.unblocked else ""
            session.screen.line(f"{name} is on {to} @ {moved.code[:7]} now{goes_on}")
        session.screen.flush()
    say_tick(session, store, "acted on by the next tick")
    return Exit.OK

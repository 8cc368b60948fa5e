"""Repair: cancel, terminate, upgrade."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from dwf.cli.bulk import Many, for_all, takes_many, tell_one
from dwf.cli.exits import worst
from dwf.cli.options import ReasonOption, RunArgument, RunsArgument, TickOption, session_of
from dwf.cli.session import Session
from dwf.cli.verbs.answering import tell_posted
from dwf.cli.verbs.shared import pick, reason_for, say_tick, tell_fault
from dwf.errors import DwfError, UsageError, WrongState

if TYPE_CHECKING:
    from dwf.cli.pages.run import Facts
    from dwf.engine.upgrade import Upgraded


@takes_many
def cancel(
    context: Context,
    run: RunArgument,
    reason: ReasonOption = "",
    tick: TickOption = False,
    *,
    many: Many,
) -> int:
    """Ask a run to end. Its script gets a CancelledError where it waits, and cleans up; only then it is cancelled.

    A reason is needed. With --where and the like it is for all open runs that fit: they are shown, and it asks.
    """
    from dwf.engine.post import cancel as post
    from dwf.engine.post import open_run

    session = session_of(context)
    bulk = many.bulk(session, run, tick)
    store = session.existing_store(run, post=True)
    if bulk is not None:
        reason = reason if many.dry_run else reason_for(session, reason, "cancelling")
        return for_all(
            session, store, bulk, "cancel {}", lambda one: tell_one(session, post(store, one, session.me, reason))
        )
    run = pick(session, store, run, changes=True)
    if not reason.strip():
        open_run(store, run)  # nobody is asked why something is to be done that cannot be done
    return tell_posted(session, store, post(store, run, session.me, reason_for(session, reason, "cancelling")), tick)


@takes_many
def terminate(
    context: Context,
    run: RunArgument,
    reason: ReasonOption = "",
    tick: TickOption = False,
    *,
    many: Many,
) -> int:
    """End a run now, without any cleanup: nothing is undone. For runs whose script can no longer help.

    A reason is needed; it asks first, and says what stays as it is. With --where and the like it is for all open runs
    that fit: they are shown, and it asks.
    """
    from dwf.cli.verbs.watching import look
    from dwf.engine.post import terminate as post

    session = session_of(context)
    bulk = many.bulk(session, run, tick)
    store = session.existing_store(run, post=True)
    if bulk is not None:
        reason = reason if many.dry_run else reason_for(session, reason, "terminating")
        doing = "end {} without cleanup"
        return for_all(session, store, bulk, doing, lambda one: tell_one(session, post(store, one, session.me, reason)))
    run = pick(session, store, run, changes=True)
    _, facts = look(store, run)
    if facts.status.closed:
        raise WrongState(what=f"run {run} is {facts.status.value} already", hint=f"see how it ended: dwf show {run}")
    reason = reason_for(session, reason, "terminating")
    stays = _stays(facts)
    if many.yes and stays:
        session.screen.say(stays.strip())
    if not many.yes:
        question = f"end {run} without cleanup?{stays}"
        if not session.interactive:
            raise UsageError(what=f"there is nobody to ask whether to end {run} without cleanup", hint="say so with -y")
        if not session.screen.confirm(question):
            raise UsageError(what="nothing was changed", hint=f"dwf cancel {run} -m WHY lets it clean up")
    return tell_posted(session, store, post(store, run, session.me, reason), tick)


def _stays(facts: Facts) -> str:
    """What a termination would leave as it is."""
    open_now = ", ".join(wait.what for wait in facts.waits if wait.kind in ("step", "retry", "decide"))
    left = [] if facts.state is None else [entry.of for entry in facts.state.undos.left()]
    words = f" not finished: {open_now}." if open_now else ""
    return words + (f" not taken back: {', '.join(left)}." if left else "")


@takes_many
def upgrade(
    context: Context,
    run: RunsArgument,
    to: Annotated[str, Option("--to", metavar="SCRIPT", help="the mended script")],
    reason: ReasonOption = "",
    *,
    many: Many,
) -> int:
    """Move open runs to a mended script. Each is replayed against it first; what would diverge stays as it is.

    Of several, those that cannot be moved are told, and hold up none of the others. A run on that very code stays as
    it is. With --where and the like it is for all open runs that fit: they are shown, and it asks.
    """
    from dwf.engine.upgrade import upgrade as move

    session = session_of(context)
    bulk = many.bulk(session, run[0])
    if bulk is not None:
        store = session.existing_store(run[0], write=True)

        def do(one: str) -> None:
            _tell_upgraded(session, move(store, one, to, session.me, reason), to)

        return for_all(session, store, bulk, f"move {{}} to {to}", do)
    store = session.existing_store(run[0], write=True)
    failed, acted_on = [], False
    for name in dict.fromkeys(run):
        try:
            name = pick(session, store, name, changes=True)
            moved = move(store, name, to, session.me, reason)
            _tell_upgraded(session, moved, to)
            acted_on |= moved.changed or moved.unblocked
        except DwfError as error:
            if len(run) == 1:
                raise
            failed.append(tell_fault(session, error))
    if acted_on:
        say_tick(session, store, "acted on by the next tick")
    return worst(failed)


def _tell_upgraded(session: Session, moved: Upgraded, to: str) -> None:
    if session.is_json:
        document = {"schema": "dwf.upgraded/1", **dataclasses.asdict(moved)}
        session.screen.document(document, one_line=True)
    elif moved.changed:
        goes_on = "; it goes on" if moved.unblocked else ""
        session.screen.line(f"{moved.run} is on {to} @ {moved.code[:7]} now{goes_on}")
    else:
        again = "it is tried again" if moved.unblocked else "nothing was changed"
        session.screen.line(f"{moved.run} is on {to} @ {moved.code[:7]} already; {again}")
    session.screen.flush()

"""Repair: pause and resume, of one run or of many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from dwf.cli.bulk import First, Many, for_all, takes_many, tell_one
from dwf.cli.exits import Exit
from dwf.cli.options import ReasonOption, RunArgument, TickOption, session_of
from dwf.cli.verbs.answering import tell_posted
from dwf.cli.verbs.shared import pick, reason_for
from dwf.core.status import Status

if TYPE_CHECKING:
    from dwf.cli.session import Session
    from dwf.store.room import Store

EverythingOption = Annotated[
    bool, Option("--everything", help="no tick and no worker drives anything, also what is started meanwhile")
]


@takes_many
def pause(
    context: Context,
    run: RunArgument,
    reason: ReasonOption = "",
    everything: EverythingOption = False,
    tick: TickOption = False,
    *,
    many: Many,
) -> int:
    """Let nothing more of a run begin, until dwf resume. Who, when and why (-m) is recorded.

    Steps that run come to their end. What happens meanwhile (their results, signals, answers) is recorded, and its
    script is told when it goes on; timers and a cancel wait until then. A deadline of the run does not. With --where
    and the like it is for all open runs that fit: they are shown, and it asks. With --workflow alone also for what is
    started of it later, and its children elsewhere, until dwf resume --workflow. With --everything ticks and workers
    drive nothing until dwf resume --everything; what you drive by hand (dwf run, --tick) is driven.
    """
    if everything:
        return _hold_everything(context, reason, pausing=True)
    return _hold(context, run, reason, many, tick, pausing=True)


@takes_many
def resume(
    context: Context,
    run: RunArgument,
    reason: ReasonOption = "",
    everything: EverythingOption = False,
    tick: TickOption = False,
    *,
    many: Many,
) -> int:
    """Let a paused run go on. Who, when and why (-m) is recorded.

    With --where and the like it is for all paused runs that fit: they are shown, and it asks. With --workflow alone
    also for what is started of it later.
    """
    if everything:
        return _hold_everything(context, reason, pausing=False)
    return _hold(context, run, reason, many, tick, pausing=False)


def _hold(context: Context, run: str, reason: str, many: Many, tick: bool, *, pausing: bool) -> int:
    from dwf.engine.pausing import hold

    session = session_of(context)
    bulk = many.bulk(session, run, tick)
    store = session.existing_store(run, post=True)
    doing = "pausing" if pausing else "resuming"
    if bulk is not None:
        reason = reason if many.dry_run else reason_for(session, reason, doing)
        is_whole = many.is_workflow and not session.is_operator
        first = _whole(session, store, many.workflow or "", reason, pausing) if is_whole else None
        return for_all(
            session,
            store,
            bulk,
            "pause {}" if pausing else "resume {}",
            lambda one: tell_one(session, hold(store, one, session.me, reason, pause=pausing)),
            fits=lambda run: (run.status is Status.PAUSED) != pausing,
            first=first,
        )
    run = pick(session, store, run, changes=True)
    reason = reason_for(session, reason, doing)
    return tell_posted(session, store, hold(store, run, session.me, reason, pause=pausing), tick)


def _whole(session: Session, store: Store, workflow: str, reason: str, pausing: bool) -> First | None:
    """What is to be done for runs of a workflow that begin later; None if it is so already."""
    from dwf.engine.pausing import hold_workflow
    from dwf.store.held import held_workflow

    if (held_workflow(store.held, workflow) is not None) == pausing:
        return None
    words = f"every run of {workflow} that is started later" if pausing else f"let new runs of {workflow} begin"

    def do() -> None:
        hold_workflow(session.store(), workflow, session.me, reason, pause=pausing, now_us=session.clock.now)
        session.screen.line(f"workflow {workflow} {'is paused' if pausing else 'goes on'}")
        if pausing:
            session.screen.say(f"what is started of it begins after: dwf resume --workflow {workflow}")

    return First(words, do)


def _hold_everything(context: Context, reason: str, *, pausing: bool) -> int:
    from dwf.engine.pausing import hold_everything

    session = session_of(context)
    store = session.store()
    reason = reason_for(session, reason, "pausing" if pausing else "resuming")
    hold_everything(store, session.me, reason, pause=pausing, now_us=session.clock.now)
    session.screen.line("everything is paused" if pausing else "everything goes on")
    if pausing:
        session.screen.say("steps that run come to their end; until: dwf resume --everything")
    return Exit.OK

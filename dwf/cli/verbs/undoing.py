"""Repair: undo, retry. What a run did, or left undone, that has ended, is the matter of a run of its own."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from dwf.cli.bulk import Bulk, Many, for_all, takes_many
from dwf.cli.exits import Exit
from dwf.cli.options import ReasonOption, RunArgument, TickOption, session_of
from dwf.cli.session import SELECTED, Session
from dwf.cli.verbs.branching import CodeOption
from dwf.cli.verbs.shared import pick, reason_for, say_tick
from dwf.core.status import Status
from dwf.errors import UsageError

if TYPE_CHECKING:
    from dwf.engine.branching import Wish


def undo(
    context: Context,
    run: RunArgument,
    reason: ReasonOption = "",
    unknown: Annotated[
        bool, Option("--unknown", help="also what may have been done: steps that had no outcome at its end")
    ] = False,
    instance: Annotated[
        int | None,
        Option("--instance", metavar="N", min=1, help="of a run that has gone on in new instances: which; the newest"),
    ] = None,
    yes: Annotated[bool, Option("-y", "--yes", help="do not ask")] = False,
    tick: TickOption = False,
) -> int:
    """Take back what the sagas of a run have done, the newest first. It has ended, well or not, and stays as it is.

    A new run, RUN.undo, works through its undo ledger with the code that it was on; the id is printed. What was taken
    back already is refused (7); what could not be is tried again. A reason is needed (-m); it asks first.
    """
    from dwf.cli.verbs.starting import drive_once
    from dwf.engine.undo import plan
    from dwf.engine.undo import undo as start_undo

    session = session_of(context)
    store = session.existing_store(run, write=True)
    run = pick(session, store, run, changes=True)
    planned = plan(store, run, unknown=unknown, instance=instance or 0)
    reason = reason_for(session, reason, "undoing")
    what = ", ".join(planned.of)
    if not yes:
        if not session.interactive:
            raise UsageError(what=f"there is nobody to ask whether to undo {what}", hint="say so with -y")
        if not session.screen.confirm(f"undo of {run}, in this order: {what}?"):
            raise UsageError(what="nothing was changed", hint=f"dwf show {run}")
    planned = start_undo(store, run, session.me, reason, unknown=unknown, instance=instance or 0)
    if session.is_json:
        session.screen.document({"schema": "dwf.undo/1", **dataclasses.asdict(planned)}, one_line=True)
    else:
        session.screen.line(planned.run)
    session.screen.flush()
    session.screen.say(f"takes back of {run}: {what}")
    if planned.left_out:
        session.screen.warn(f"may have been done, and is left as it is: {', '.join(planned.left_out)}")
    if planned.older:
        which = ", ".join(map(str, planned.older))
        session.screen.warn(f"earlier instances have done what is not taken back: {which}; dwf undo {run} --instance N")
    if tick:
        return drive_once(session, store, planned.run)
    say_tick(session, store, "begun by the next tick")
    return Exit.OK


@takes_many
def retry(
    context: Context,
    run: RunArgument,
    failed_items: Annotated[
        bool, Option("--failed-items", help="the items of dwf.map that failed or were not begun, in a run of their own")
    ] = False,
    code: CodeOption = None,
    reason: ReasonOption = "",
    tick: TickOption = False,
    *,
    many: Many,
) -> int:
    """Go on from the step that failed last, in a run that has ended: its next instance, under the same id.

    What was done before is taken over, the step is tried again, with its attempts counted anew; --script brings mended
    code. With --failed-items a new run, RUN.retry, does only what failed of the items of dwf.map: steps outside of a
    map run again there, and questions are asked again. A reason is needed (-m). With --where and the like it is for all
    runs that have failed or timed out and fit: they are shown, and it asks.
    """
    from dwf.cli.verbs.branching import branched
    from dwf.cli.verbs.starting import drive_once
    from dwf.engine.again import check_ended, retry_failed_items

    session = session_of(context)
    bulk = many.bulk(session, run, tick)
    if bulk is not None and failed_items:
        raise UsageError(what="--failed-items is for one run", hint="for many: dwf retry --where ... without it")
    if not failed_items:
        from dwf.engine.branching import LAST_OK, RETRY, Wish

        wish = Wish(to=LAST_OK, script=code, how=RETRY)
        if bulk is not None:
            return _retry_all(session, bulk, wish, reason)
        return branched(session, run, wish, "a retry", reason, tick)
    if code is not None:
        raise UsageError(what="--failed-items goes on with the code that it was", hint="leave out --script")
    store = session.existing_store(run, write=True)
    run = pick(session, store, run, changes=True)
    if not reason.strip():
        check_ended(store, run)  # nobody is asked why something is to be done that cannot be done
    reason = reason_for(session, reason, "a retry")
    again = retry_failed_items(store, run, session.me, reason)
    if session.is_json:
        session.screen.document({"schema": "dwf.retry/1", **dataclasses.asdict(again)}, one_line=True)
    else:
        session.screen.line(again.run)
    session.screen.flush()
    session.screen.say(f"{again.left} items of {run} once more; {again.done} were done")
    if tick:
        return drive_once(session, store, again.run)
    say_tick(session, store, "begun by the next tick")
    return Exit.OK


def _retry_all(session: Session, bulk: Bulk, wish: Wish, reason: str) -> int:
    from dwf.cli.verbs.branching import tell_branch
    from dwf.engine.branching import reset

    store = session.existing_store(SELECTED, write=not bulk.dry_run)
    reason = reason if bulk.dry_run else reason_for(session, reason, "a retry")
    return for_all(
        session,
        store,
        bulk,
        "retry {}",
        lambda one: tell_branch(session, reset(store, one, wish, session.me, reason)),
        over=True,
        fits=lambda found: found.status in (Status.FAILED, Status.TIMED_OUT),
    )

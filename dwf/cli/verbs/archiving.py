"""Admin: archive. Closed runs go out of the way of the open ones; show, history, verify and audit still find them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument, Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import ReasonOption, session_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import pick
from dwf.errors import UsageError

if TYPE_CHECKING:
    from dwf.store.room import Store

_FIRST = 5
_HOW = "dwf archive RUN ..., or dwf archive --older-than 30d"


def archive(
    context: Context,
    run: Annotated[list[str] | None, Argument(metavar="[RUN...]", help="closed runs", show_default=False)] = None,
    older_than: Annotated[
        str | None, Option("--older-than", metavar="DURATION", help="all that ended so long ago: 30d, 12h")
    ] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="say which, and change nothing")] = False,
    reason: ReasonOption = "",
    yes: Annotated[bool, Option("-y", "--yes", help="do not ask")] = False,
) -> int:
    """Move the histories of closed runs into archive/YEAR-MONTH/, by the month in which they ended.

    Nothing of them is lost: show, history, logs, verify, audit and export find them by their id, and the id stays
    taken. Only lists and counts leave them out: dwf list --archived. An open run is never moved. Each id is printed
    when its run is there for good; 7 if a run that was named stays where it is.
    """
    from dwf.cli.faults import Fault
    from dwf.cli.refusals import note
    from dwf.engine.archiving import archive as put_away

    session = session_of(context)
    if bool(run) == (older_than is not None):
        raise UsageError(what="say either which runs, or how old they must be", hint=_HOW)
    store = session.existing_store(run[0], write=True) if run else session.store()
    chosen = [pick(session, store, name, changes=True) for name in run] if run else _old(session, store, older_than)
    if dry_run:
        session.screen.lines([name] for name in chosen)
        session.screen.say(f"{len(chosen):,} runs would be archived; nothing was changed")
        return Exit.OK
    if not run and chosen and not yes:
        _ask(session, chosen)
    moved, stayed = 0, 0
    for outcome in put_away(store, chosen, session.me, reason):
        if outcome.month:
            moved += 1
            session.screen.line(outcome.run)
        else:
            stayed += 1
            what = f"{outcome.run} stays: {outcome.why}"
            if run:
                fault = Fault("wrong-state", Exit.WRONG_STATE, what, f"dwf show {outcome.run}")
                note(session, fault)
                fault.tell(session.screen, session.is_json)
            else:
                session.screen.say(what)
    session.screen.flush()
    session.screen.say(f"{moved:,} archived" + (f", {stayed:,} not" if stayed else "") + "; dwf list --archived")
    return Exit.WRONG_STATE if run and stayed else Exit.OK


def _old(session: Session, store: Store, text: str | None) -> list[str]:
    from dwf.cli.counting import Counting
    from dwf.cli.times import parse_duration
    from dwf.engine.archiving import closed_before

    before = session.clock.now - parse_duration(text or "")
    return [row.run for row in closed_before(store, before, Counting(session, "histories read:"))]


def _ask(session: Session, chosen: list[str]) -> None:
    first = ", ".join(chosen[:_FIRST]) + (" ..." if len(chosen) > _FIRST else "")
    if not session.interactive:
        raise UsageError(what=f"there is nobody to ask whether to archive {len(chosen):,} runs", hint="say so with -y")
    if not session.screen.confirm(f"archive {len(chosen):,} runs ({first})?"):
        raise UsageError(what="nothing was changed", hint="--dry-run says which they are")

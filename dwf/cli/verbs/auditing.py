"""Admin: audit. Who did what, and who was told no."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument, Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import session_of
from dwf.cli.session import Session
from dwf.errors import NotFound, UsageError

if TYPE_CHECKING:
    from dwf.engine.audit import Act


def audit(
    context: Context,
    run: Annotated[str | None, Argument(metavar="[RUN]", help="one run; else all of them", show_default=False)] = None,
    since: Annotated[
        str | None, Option("--since", metavar="TIME", help="only from then on: '2h ago', yesterday, 2026-11-22")
    ] = None,
) -> int:
    """Who did what to which run, when, why, and what became of it; the oldest first.

    What was done is in the histories. What was refused is in audit.jsonl. What was posted and came late, or was no
    message, is in the mailbox. Steps and timers are not in it: dwf history RUN shows those.
    """
    from dwf.engine.audit import acts

    session = session_of(context)
    since_us = 0 if since is None else _since(session, since)
    store = session.store_to_read()
    found = [] if store is None else acts(store, None if run is None else _meant(session, run), since_us)
    if run is not None and not found and since is None:
        raise NotFound(what=f"nobody has done anything to a run {run}", hint="dwf audit shows all there is")
    _print(session, found)
    return Exit.OK


def _since(session: Session, text: str) -> int:
    from dwf.cli.times import parse_when

    when = parse_when(text, session.clock.now)
    if when > session.clock.now:
        raise UsageError(
            what=f"--since {text!r} lies in the future ({session.clock.full(when)})",
            hint="write it like '2h ago', 'today 14:00' or 2026-11-22",
        )
    return when


def _meant(session: Session, run: str) -> str:
    """The run; also one that is gone, or never was: somebody may have tried."""
    from dwf.cli.verbs.shared import pick

    try:
        return pick(session, session.existing_store(run), run)
    except NotFound:
        return run


def _print(session: Session, found: list[Act]) -> None:
    from dwf.cli.pages.audit import audit_lines
    from dwf.engine.audit import document_of

    screen = session.screen
    if session.output == "json":
        screen.document({"schema": "dwf.audit/1", "acts": [document_of(act) for act in found]})
    elif session.output == "jsonl":
        screen.documents({"schema": "dwf.act/1", **document_of(act)} for act in found)
    elif session.output == "name":
        screen.lines([run] for run in dict.fromkeys(act.run for act in found if act.run))
    elif found:
        screen.lines(
            audit_lines(found, session.clock, 0 if session.output == "wide" else screen.width, screen.marks.cut)
        )
    else:
        screen.say("nobody has done anything")

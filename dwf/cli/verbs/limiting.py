"""Watch: limits. What is under them and what waits, and an operator's numbers."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Context

from dwf.cli.exits import Exit
from dwf.cli.options import ReasonOption, session_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import reason_for
from dwf.errors import UsageError


def limits(
    context: Context,
    act: Annotated[str | None, Argument(metavar="[set|unset]", help="change one", show_default=False)] = None,
    what: Annotated[
        str | None,
        Argument(metavar="[NAME=RATE[,N]]", help="api=10/min, api=4 at a time, queue:slow=2", show_default=False),
    ] = None,
    reason: ReasonOption = "",
) -> int:
    """Limits that steps share: how many run and began, who waits. Or set one, which wins over what scripts say.

    unset takes the NAME alone. What is set counts for steps that begin from then on, in all runs; who set it, when and
    why is in `dwf audit`.
    """
    session = session_of(context)
    if act is None:
        return _tell(session)
    if act not in ("set", "unset") or not what:
        raise UsageError(
            what=f"dwf limits {act} {what or ''}".rstrip() + " says nothing", hint="dwf limits set api=10/min -m WHY"
        )
    from dwf.cli.times import now_us
    from dwf.engine.limiting import parse_bound, set_limit, unset_limit

    reason = reason_for(session, reason, f"to {act} a limit")
    if act == "unset":
        unset_limit(session.store(), what, session.me, reason, now_us())
        session.screen.say(f"{what} is what scripts say again")
        return Exit.OK
    name, bound = parse_bound(what)
    set_limit(session.store(), name, bound, session.me, reason, now_us())
    session.screen.say(f"{name} is limited to {bound}")
    return Exit.OK


def _tell(session: Session) -> int:
    from dwf.cli.pages.limits import limit_document, limit_lines
    from dwf.engine.limiting import known

    store, screen = session.store_to_read(), session.screen
    found = [] if store is None else known(store, session.clock.now)
    if session.output == "json":
        screen.document({"schema": "dwf.limits/1", "limits": [limit_document(limit) for limit in found]})
    elif session.output == "jsonl":
        screen.documents({"schema": "dwf.limit/1", **limit_document(limit)} for limit in found)
    elif session.output == "name":
        screen.lines([limit.name] for limit in found)
    else:
        screen.lines(limit_lines(found, session.clock, screen.marks, 0 if session.output == "wide" else screen.width))
        if not found:
            screen.say("no limits are in use")
    return Exit.OK

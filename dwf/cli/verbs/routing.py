"""Run: routes. Which code new starts of a script take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument, Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import ReasonOption, session_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import reason_for
from dwf.errors import UsageError

if TYPE_CHECKING:
    from dwf.store.routes import Route


def routes(
    context: Context,
    act: Annotated[str | None, Argument(metavar="[set|unset]", help="change one", show_default=False)] = None,
    script: Annotated[str | None, Argument(metavar="[SCRIPT]", help="whose starts", show_default=False)] = None,
    code: Annotated[
        str | None, Option("--code", metavar="CODE", help="of dwf versions; pinned: what the file holds now")
    ] = None,
    ramp: Annotated[
        int | None, Option("--ramp", metavar="N", help="of 100 starts so many take the file; the others what is kept")
    ] = None,
    reason: ReasonOption = "",
) -> int:
    """Which code new starts of a script take: its file, or stored code that is kept for them. Or set that.

    Before a deploy, `dwf routes set SCRIPT --code pinned`: new starts stay on what the file holds now. Then --ramp 10
    lets 10 of 100 take the file as it is by then, and unset all of them. A run id is always on the same side, and
    stays there as N grows. Children are on the code of their parent. `dwf start --code` asks for one version, whatever
    is set. Who set it, when and why is in `dwf audit`.
    """
    session = session_of(context)
    if act is None:
        return _tell(session)
    if act not in ("set", "unset") or not script:
        raise UsageError(
            what=f"dwf routes {act} {script or ''}".rstrip() + " says nothing",
            hint="dwf routes set rotate.py --code pinned -m WHY",
        )
    if act == "unset":
        if code is not None or ramp is not None:
            raise UsageError(what="unset takes the script alone", hint=f"dwf routes unset {script}")
        return _unset(session, script, reason)
    if code == "" or (code is None and ramp is None):
        raise UsageError(what="what is to be kept?", hint=f"dwf routes set {script} --code pinned; or --ramp 10")
    return _set(session, script, code or "", ramp or 0, reason)


def _set(session: Session, script: str, code: str, ramp: int, reason: str) -> int:
    from dwf.cli.phrases import script_name
    from dwf.cli.times import now_us
    from dwf.engine.keeping import keep
    from dwf.engine.routing import PINNED

    reason = reason_for(session, reason, "to set a route")
    route = keep(session.store(create=code == PINNED), script, code, ramp, session.me, reason, now_us())
    kept = f"{script_name(route.script)} @ {route.code[:7]}"
    some = f"of 100 new starts {100 - route.ramp} take {kept}, and {route.ramp} the file"
    session.screen.say(some if route.ramp else f"new starts take {kept}, whatever the file holds")
    return Exit.OK


def _unset(session: Session, script: str, reason: str) -> int:
    from dwf.cli.times import now_us
    from dwf.engine.keeping import unset

    reason = reason_for(session, reason, "to unset a route")
    path = unset(session.store(), script, session.me, reason, now_us())
    session.screen.say(f"new starts take {path} as it is")
    return Exit.OK


def _tell(session: Session) -> int:
    from dwf.cli.pages.versions import route_document, route_lines

    store, screen = session.store_to_read(), session.screen
    found: list[Route] = [] if store is None else store.routes.all()
    if session.output == "json":
        screen.document({"schema": "dwf.routes/1", "routes": [route_document(route) for route in found]})
    elif session.output == "jsonl":
        screen.documents({"schema": "dwf.route/1", **route_document(route)} for route in found)
    elif session.output == "name":
        screen.lines([route.script] for route in found)
    else:
        width = 0 if session.output == "wide" else screen.width
        screen.lines(route_lines(found, session.clock, width, screen.marks.cut))
        if not found:
            screen.say("new starts of every script take its file")
    return Exit.OK

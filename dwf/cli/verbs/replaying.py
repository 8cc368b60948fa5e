"""Author: replay. A history over its code, or over another, and where the script stands then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import RunArgument, session_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import pick
from dwf.errors import CannotReplay, UsageError

if TYPE_CHECKING:
    from dwf.engine.replaying import Stand


def replay(
    context: Context,
    run: RunArgument,
    against: Annotated[
        str | None, Option("--against", metavar="FILE", help="this script, instead of the code that the run is on")
    ] = None,
    stop_at: Annotated[
        int | None,
        Option("--stop-at", metavar="LINE", min=1, help="stop when that line of the history has been delivered"),
    ] = None,
    pdb: Annotated[bool, Option("--pdb", help="look around there with Python's debugger; needs a terminal")] = False,
) -> int:
    """Replay the history of a run, open or over, and say where its script stands: each task's lines, and variables.

    Nothing is done and nothing recorded. It stops at the end, or at a line of dwf history: 12 is after what line 12
    says was told to the script. Exit 65 if the script asks for something else than is recorded; both sides are told.
    For all open runs and an edited script: dwf check.
    """
    from dwf.engine.replaying import stood_at

    session = session_of(context)
    if pdb and (session.is_json or not session.interactive):
        raise UsageError(what="--pdb needs a terminal", hint="--stop-at LINE alone prints where it stands")
    store = session.existing_store(run)
    run = pick(session, store, run)
    with stood_at(store, run, session.me.uid or 0, against or "", stop_at or 0) as stand:
        if session.is_json:
            session.screen.document(_document(stand), one_line=session.output == "jsonl")
        elif session.output == "name":
            session.screen.lines([place.at] for task in stand.tasks for place in task.places[-1:])
        else:
            _tell(session, stand)
        if stand.why:
            raise CannotReplay(
                run=run, why=stand.why, hint="put the script back, or guard the change: dwf help replaying"
            )
        if pdb:
            session.screen.flush()
            _debug(stand)
    return Exit.OK


def _tell(session: Session, stand: Stand) -> None:
    screen, last = session.screen, stand.last
    screen.line(
        (stand.run, "bold"),
        f"  line {last.id} of {stand.lines}, {type(last).__name__}, on {stand.script} @ {stand.code[:7]}",
    )
    if stand.ended:
        screen.line(f"  the script is done: {stand.ended}")
    if stand.adds:
        screen.line(f"  and asks for what is not recorded yet: {', '.join(stand.adds)}")
    for task in stand.tasks:
        screen.line((task.name, "bold"))
        for place in task.places:
            screen.line(f"  {place.at}")
            screen.line("    ", (place.source, "cyan"))
            for name, value in place.variables.items():
                screen.line(f"      {name} = {value}")


def _document(stand: Stand) -> dict[str, Any]:
    tasks = [
        {
            "task": task.name,
            "lines": [{"at": p.at, "source": p.source, "variables": p.variables} for p in task.places],
        }
        for task in stand.tasks
    ]
    return {
        "schema": "dwf.replay/1",
        "run": stand.run,
        "script": stand.script,
        "code": stand.code,
        "line": stand.last.id,
        "lines": stand.lines,
        "type": type(stand.last).__name__,
        "adds": stand.adds,
        "ended": stand.ended or None,
        "differs": stand.why or None,
        "tasks": tasks,
    }


def _debug(stand: Stand) -> None:
    """The debugger at the innermost line of the first task: it looks around; there is nothing to step through."""
    import pdb

    frames = [frame for task in stand.tasks for frame in task.frames[-1:]]
    if not frames:
        raise UsageError(what=f"no task of {stand.run} waits there", hint="--stop-at an earlier line")
    debugger = pdb.Pdb(nosigint=True, readrc=False)
    debugger.reset()
    debugger.interaction(frames[0], None)

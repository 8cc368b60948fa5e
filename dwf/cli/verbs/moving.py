"""Admin: export and import. A run in one file, to look into it elsewhere or to go on elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument, Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import ReasonOption, RunArgument, session_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import pick, reason_for, say_tick
from dwf.errors import UsageError

if TYPE_CHECKING:
    from dwf.engine.moving import Exported


def export(
    context: Context,
    run: RunArgument,
    file: Annotated[
        str, Argument(metavar="[FILE|-]", help="a file that is not there yet; - is stdout", show_default=False)
    ] = "-",
    move: Annotated[bool, Option("--move", help="it goes no further here, and can be taken up elsewhere")] = False,
    reason: ReasonOption = "",
) -> int:
    """Write a run into one file: histories, code, large values, output.

    A copy is for looking into it. With --move the run is closed here first, so that it can go on elsewhere and only
    there; if the command is killed in between, type it again.
    """
    from dwf.engine import moving

    session = session_of(context)
    store = session.existing_store(run, write=move)
    run = pick(session, store, run, changes=move)
    if not file:
        raise UsageError(what="the name of the file is empty", hint=f"dwf export {run} {run}.dwf")
    if not move:
        to_stdout = file == "-"
        if to_stdout:
            _require_pipe(session, run)
        sink = session.screen.output if to_stdout else None
        made = moving.copy(store, run, None if to_stdout else file, sink, session.me, reason)
        return _tell_exported(session, made, file)
    if file == "-":
        raise UsageError(
            what="a run is moved into a file, for a pipe cannot be made durable",
            hint=f"dwf export {run} {run}.dwf --move -m '...'",
        )
    reason = reason_for(session, reason, "moving")
    return _tell_exported(session, moving.move(store, run, file, session.me, reason), file)


def import_(
    context: Context,
    file: Annotated[str, Argument(metavar="FILE", help="what dwf export has written", show_default=False)],
    resume: Annotated[bool, Option("--resume", help="it goes on here; only if it was moved, not copied")] = False,
    reason: ReasonOption = "",
) -> int:
    """Take in a run from a file that `dwf export` has written.

    It is a copy to look into, and nothing is done with it; with --resume it goes on here, running the code that is in
    the file as you. The file is checked to its last byte before anything is written.
    """
    from dwf.engine import moving

    session = session_of(context)
    if not file:
        raise UsageError(what="the name of the file is empty", hint="dwf import FILE")
    found = moving.examined(file)
    # A mistake must not leave an empty state directory behind.
    if resume:
        moving.require_moved(found)
    store = session.store(create=True)
    taken = moving.take_in(store, found, session.me, reason, resume=resume)
    if session.is_json:
        document = {"run": taken.run, "head": taken.head, "resumed": taken.resumed, "instances": taken.instances}
        session.screen.document({"schema": "dwf.imported/1", **document})
    else:
        session.screen.line(taken.run)
    session.screen.flush()
    if resume:
        say_tick(session, store, "taken up; the next tick goes on with it")
    else:
        session.screen.say("a copy to look into; nothing drives it")
    session.screen.say(("next: ", "cyan"), f"dwf show {taken.run}")
    return Exit.OK


def _require_pipe(session: Session, run: str) -> None:
    if session.screen.out_is_terminal:
        raise UsageError(what="a bundle is not for a terminal", hint=f"dwf export {run} {run}.dwf")


def _tell_exported(session: Session, made: Exported, file: str) -> int:
    screen = session.screen
    if file != "-" and session.is_json:
        document = {"run": made.run, "file": file, "head": made.head, "moved": made.moved}
        document |= {"instances": made.instances, "size": made.size}
        screen.document({"schema": "dwf.exported/1", **document})
    elif file != "-":
        screen.line(file)
    screen.flush()
    instances = "" if made.instances == 1 else f"{made.instances} instances, "
    if made.moved:
        screen.say(f"{instances}{made.size:,} bytes; {made.run} goes no further here")
        screen.say(("next: ", "cyan"), f"where it is to go on: dwf import {file if file != '-' else 'FILE'} --resume")
    else:
        screen.say(f"{instances}{made.size:,} bytes; a copy of {made.run} as it is now")
    return Exit.OK

"""Author: replay. A history over its code, or over another, and where the script stands then; or all, and which fit."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Context, Option

from dwf.cli.exits import Exit, worst
from dwf.cli.options import session_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import pick, refuse_both
from dwf.errors import CannotReplay, UsageError

if TYPE_CHECKING:
    from dwf.engine.checking import Verdict
    from dwf.engine.replaying import Stand
    from dwf.store.room import Store


def replay(
    context: Context,
    run: Annotated[
        str | None, Argument(metavar="[RUN]", help="a run id, or a unique beginning of one", show_default=False)
    ] = None,
    all_: Annotated[
        bool, Option("--all", help="every run, open or over; with --against those that belong to FILE")
    ] = False,
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

    With --all every run that is not in the archive is replayed, in its newest instance. One that asks for something
    else than is recorded, or comes to another end, is a line; -o name prints only their ids. Exit 65 if there is one.
    For all open runs and an edited script, with what would cure it: dwf check.
    """
    from dwf.engine.replaying import stood_at

    session = session_of(context)
    refuse_both(run is not None, all_, "RUN and --all")
    if all_:
        if stop_at is not None or pdb:
            raise UsageError(what="--stop-at and --pdb are for one run", hint="dwf replay RUN --stop-at LINE")
        return _all(session, against)
    if run is None:
        raise UsageError(what="there is nothing to replay", hint="dwf replay RUN, or all of them: dwf replay --all")
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


def _all(session: Session, against: str | None) -> int:
    """Every run, and 65 if one of them does not fit, or what made that it could not be replayed."""
    store = session.store_to_read()
    verdicts, others = ([], 0) if store is None else _held(session, store, against)
    _tell_all(session, verdicts, others, against)
    return worst(_exit(verdict) for verdict in verdicts)


def _held(session: Session, store: Store, against: str | None) -> tuple[list[Verdict], int]:
    """How each run fits its own code, or a file if it belongs to that; and how many belong to it not."""
    from dwf.cli.counting import Counting
    from dwf.engine.checking import check, check_own, prepared, subjects
    from dwf.engine.context import Codes
    from dwf.engine.reading import code_of
    from dwf.scripts.collect import collect

    uid, codes = session.me.uid or 0, Codes(store)
    found = subjects(store, closed=True, progress=Counting(session, "replayed"))
    if against is None:
        return list(check_own(found, lambda state: code_of(store, state, uid, codes)[0])), 0
    return check([prepared(store, against, collect(against), uid)], found, ends=True)


def _exit(verdict: Verdict) -> Exit:
    if verdict.fit == "safe":
        return Exit.OK
    return Exit(verdict.error.exit_code) if verdict.error is not None else Exit.DAMAGED


def _tell_all(session: Session, verdicts: list[Verdict], others: int, against: str | None) -> None:
    from dwf.cli.escape import one_line
    from dwf.cli.pages.checked import as_json

    screen, bad = session.screen, [verdict for verdict in verdicts if verdict.fit != "safe"]
    if session.output == "json":
        runs = [as_json(verdict) for verdict in verdicts]
        screen.document({"schema": "dwf.fits/1", "fit": len(verdicts) - len(bad), "others": others, "runs": runs})
    elif session.output == "jsonl":
        screen.documents({"schema": "dwf.fit/1", **as_json(verdict)} for verdict in verdicts)
    elif session.output == "name":
        screen.lines([verdict.run] for verdict in bad)
    else:
        for verdict in bad:
            at = f" at {verdict.where}" if verdict.where else ""
            sides = f"history line {verdict.line} recorded {verdict.recorded}, now it asks {verdict.asked}"
            why = sides if verdict.line else verdict.why
            screen.line((verdict.run, "bold"), "  ", (verdict.fit.value, "red"), f"{at}: {one_line(why)}")
    count, what = len(verdicts), "their code" if against is None else against
    words = f"{count} {'run' if count == 1 else 'runs'} replayed: "
    words += f"{count - len(bad)} fit {what}, {len(bad)} {'does' if len(bad) == 1 else 'do'} not"
    screen.say((words if count else "no runs to replay") + (f"; {others} of other scripts" if others else ""))
    if bad:
        on = f" --against {shlex.quote(against)}" if against is not None else ""
        screen.say(("next: ", "cyan"), f"dwf replay {bad[0].run}{on}")


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

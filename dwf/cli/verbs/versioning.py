"""Watch: versions. Which code runs are on."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import session_of


def versions(
    context: Context,
    script: Annotated[
        str, Argument(metavar="[SCRIPT]", help="only of that script: its path, or file name", show_default=False)
    ] = "",
    open_only: Annotated[bool, Option("--open", help="count open runs only: reads no closed history")] = False,
) -> int:
    """Which code runs are on: since when, how many are open and closed, and what can be dropped.

    A run counts on the code that it is on now. "current" is what the file says today, so what a new start would take.
    What "can be dropped" has no open run: no branch of the script is needed for it any more. Its stored copy stays, for
    dwf undo and dwf query of closed runs. -o name prints the open runs that are not on current code.
    """
    from dwf.cli.counting import Counting
    from dwf.cli.pages.versions import version_document, version_lines
    from dwf.engine.versions import versions as all_versions

    session = session_of(context)
    store, screen = session.store_to_read(), session.screen
    told = Counting(session, "read")
    found = [] if store is None else all_versions(store, script, open_only=open_only, progress=told)
    if session.output == "json":
        screen.document({"schema": "dwf.versions/1", "versions": [version_document(version) for version in found]})
    elif session.output == "jsonl":
        screen.documents({"schema": "dwf.version/1", **version_document(version)} for version in found)
    elif session.output == "name":
        screen.lines([run] for version in found if not version.current for run in version.open)
    else:
        width = 0 if session.output == "wide" else screen.width
        screen.lines(version_lines(found, session.clock, width, screen.marks.cut))
        if not found:
            screen.say("no run is on any code" + (f" of {script}" if script else ""))
    return Exit.OK

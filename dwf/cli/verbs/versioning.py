"""Watch: versions. Author: patches. Which code runs are on, and which branches of it they need."""

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


def patches(
    context: Context,
    script: Annotated[str, Argument(metavar="SCRIPT", help="as it is to be deployed", show_default=False)],
) -> int:
    """Which patches of a script may go: dwf.patched(NAME) can be deprecated, dwf.deprecate_patch(NAME) removed.

    Each open run of it is replayed against the file, and nothing is changed. "keep" names the runs that need it: for
    dwf.patched() those that went the old way, for dwf.deprecate_patch() those with the mark. A run that does not fit
    the file at all stays on its code, and is told.
    """
    from dwf.cli.counting import Counting
    from dwf.cli.pages.versions import patch_document, patch_lines
    from dwf.engine.patches import patches as of_script

    session = session_of(context)
    screen = session.screen
    found = of_script(session.store_to_read(), script, Counting(session, "replayed"))
    if session.output == "json":
        screen.document(
            {
                "schema": "dwf.patches/1",
                "script": found.script,
                "fit": found.fit,
                "unfit": found.unfit,
                "patches": [patch_document(needed) for needed in found.needed],
            }
        )
    elif session.output == "jsonl":
        screen.documents({"schema": "dwf.patch/1", **patch_document(needed)} for needed in found.needed)
    elif session.output == "name":
        screen.lines([needed.patch.name] for needed in found.needed if needed.advice != "keep")
    else:
        screen.lines(patch_lines(found.needed, 0 if session.output == "wide" else screen.width, screen.marks.cut))
        if not found.needed:
            screen.say(f"{script} has no patches")
        for run, why in found.unfit.items():
            screen.say(f"{run} does not fit, and stays on its code: {why}")
    return Exit.OK

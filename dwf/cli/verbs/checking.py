"""Author: check. Scripts before they are deployed: what is wrong in them, and which runs they would strand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument, Context, Option

from dwf.cli.exits import Exit, worst
from dwf.cli.options import session_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import tell_fault
from dwf.errors import DwfError, UsageError

if TYPE_CHECKING:
    from dwf.engine.checking import Checked, Verdict
    from dwf.store.room import Store

_FORMATS = ("text", "json", "github")
_RUNS = ("open", "all", "none")


def check(
    context: Context,
    files: Annotated[
        list[str] | None, Argument(metavar="FILE...", help="runbooks as they would be deployed", show_default=False)
    ] = None,
    runs: Annotated[str, Option("--runs", metavar="WHICH", help="open, all or none: what they must fit")] = "open",
    history: Annotated[
        list[str] | None,
        Option("--history", metavar="FILE", help="also this history or bundle, or a directory of them; repeatable"),
    ] = None,
    format: Annotated[  # noqa: A002 - the word of the option
        str, Option("--format", metavar="FORMAT", help="text, json, or github (annotations)")
    ] = "text",
) -> int:
    """Replay every open run over an edited script, and say which would not fit it any more, where, and what cures it.

    Of several files each run is held against the one that it belongs to: at the path of its script, else of its name,
    else with its workflow. Changes nothing. Exit 1 if anything was found, 0 if nothing was.
    """
    from dwf.cli.pages.checked import tell

    session = session_of(context)
    kind = _chosen("--format", "json" if session.is_json else format, _FORMATS)
    which = _chosen("--runs", runs, _RUNS)
    if not files:
        raise UsageError(what="there is nothing to check", hint="dwf check rotate.py")
    store = session.store_to_read() if which != "none" else None
    faults, checked = _loaded(session, store, files)
    verdicts, others = _held(session, store, checked, which, history or [])
    tell(session.screen, kind, checked, verdicts, others)
    return worst([*faults, *(_exit(verdict) for verdict in verdicts)])


def _chosen(option: str, given: str, known: tuple[str, ...]) -> str:
    if given not in known:
        raise UsageError(what=f"{option} {given!r} is none of {', '.join(known)}", hint=f"the usual is {known[0]}")
    return given


def _loaded(session: Session, store: Store | None, files: list[str]) -> tuple[list[Exit], list[Checked]]:
    """Each file, loaded; what cannot be loaded is told, and holds up none of the others."""
    from dwf.engine.checking import prepared
    from dwf.scripts.collect import collect

    faults, checked = [], []
    for file in dict.fromkeys(files):
        try:
            checked.append(prepared(store, file, collect(file), session.me.uid or 0))
        except DwfError as error:
            if len(files) == 1:
                raise
            faults.append(tell_fault(session, error))
    return faults, checked


def _held(
    session: Session, store: Store | None, checked: list[Checked], which: str, histories: list[str]
) -> tuple[list[Verdict], int]:
    """The verdicts, and how many runs belong to none of the files."""
    from itertools import chain

    from dwf.cli.counting import Counting
    from dwf.engine.checking import check as hold
    from dwf.engine.checking import recorded_subjects, subjects

    found = subjects(store, which == "all", Counting(session, "replayed")) if store is not None else ()
    return hold(checked, chain(found, recorded_subjects(store, histories)))


def _exit(verdict: Verdict) -> Exit:
    if verdict.fit == "unreadable":
        return Exit(verdict.error.exit_code) if verdict.error is not None else Exit.DAMAGED
    return Exit.OK if verdict.fit == "safe" else Exit.FAILED

"""Author: check. Scripts before they are deployed: what is wrong in them, and which runs they would strand."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Context, Option

from dwf.cli.exits import Exit, worst
from dwf.cli.options import session_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import tell_fault
from dwf.errors import DwfError, NotFound, UsageError

if TYPE_CHECKING:
    from dwf.cli.pages.checked import Read
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
    explain: Annotated[str | None, Option("--explain", metavar="CODE", help="what DWF101 is about, and end")] = None,
) -> int:
    """Find mistakes in a script, and the open runs that it would strand: each is replayed over it, without a trace.

    A finding is silenced by # dwf: ignore[DWF101] on its line. Of several files each run is held against the one that
    it belongs to: at the path of its script, else of its name, else with its workflow. Changes nothing. Exit 1 if
    anything was found, 0 if nothing was.
    """
    from dwf.cli.pages.checked import Found, tell

    session = session_of(context)
    kind = _chosen("--format", "json" if session.is_json else format, _FORMATS)
    which = _chosen("--runs", runs, _RUNS)
    if explain is not None:
        return _explained(session, explain)
    if not files or "" in files or "" in (history or []):
        raise UsageError(
            what="there is nothing to check" if not files else "the name of a file is empty", hint="dwf check rotate.py"
        )
    store = session.store_to_read() if which != "none" else None
    is_run = which != "none" or bool(history)
    faults, read, checked = _loaded(session, store, files, is_run)
    verdicts, others = _held(session, store, checked, which, history or [])
    found = Found(read, verdicts, others, is_run)
    tell(session.screen, kind, found)
    return worst([*faults, *(Exit.FAILED for _ in found.findings), *(_exit(verdict) for verdict in verdicts)])


def _chosen(option: str, given: str, known: tuple[str, ...]) -> str:
    if given not in known:
        raise UsageError(what=f"{option} {given!r} is none of {', '.join(known)}", hint=f"the usual is {known[0]}")
    return given


def _loaded(
    session: Session, store: Store | None, files: list[str], is_run: bool
) -> tuple[list[Exit], list[Read], list[Checked]]:
    """Each file, read, and loaded if it is to be run; what cannot be is told, and holds up none of the others."""
    from dwf.cli.pages.checked import Read
    from dwf.engine.checking import prepared
    from dwf.scripts.collect import collect
    from dwf.scripts.lint import findings, has_workflow

    faults, read, checked = [], [], []
    for file in dict.fromkeys(files):
        try:
            sources = collect(file)
            if len(files) > 1 and not has_workflow(sources):
                session.screen.say(f"{file} is passed over: there is no workflow in it")
                continue
            read.append(Read(file, sources, findings(sources)))
            if is_run:
                checked.append(prepared(store, file, sources, session.me.uid or 0))
        except DwfError as error:
            if len(files) == 1 and not any(one.findings for one in read):
                raise
            faults.append(tell_fault(session, error))
    return faults, read, checked


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


def _explained(session: Session, code: str) -> int:
    from dwf.cli.catalog import nearest
    from dwf.cli.pages.checked import explained
    from dwf.scripts.lint import RULES

    rule = RULES.get(code.upper())
    if rule is None:
        meant = nearest(code.upper(), list(RULES))
        hint = f"did you mean {meant}?" if meant else f"there are {', '.join(RULES)}"
        raise NotFound(what=f"there is no finding {code}", hint=hint)
    if session.is_json:
        session.screen.document({"schema": "dwf.rule/1", "code": code.upper(), **dataclasses.asdict(rule)})
    else:
        session.screen.text(explained(code.upper(), rule))
    return Exit.OK

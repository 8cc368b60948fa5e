"""Watch: list and count. Of a million runs they read what they show."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import session_of
from dwf.cli.selecting import OpenOption, StatusOption, TaggedOption, WhereOption, WorkflowOption, choice_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import refuse_both, warn_of_pause
from dwf.errors import UsageError
from dwf.store.choice import EVERY, Choice

if TYPE_CHECKING:
    from dwf.engine.lists import Summary
    from dwf.store.room import Store

_SHOWN = 100


def list_(
    context: Context,
    open_: OpenOption = False,
    workflow: WorkflowOption = None,
    status: StatusOption = None,
    tag: TaggedOption = None,
    where: WhereOption = None,
    archived: Annotated[
        bool, Option("--archived", help="what dwf archive has put away; by month, newest first")
    ] = False,
    limit: Annotated[
        int | None,
        Option("-n", "--limit", metavar="N", min=1, help="at most so many, newest first; a table: 100 without it"),
    ] = None,
    csv: Annotated[bool, Option("--csv", help="comma-separated values, names first; all of them")] = False,
) -> int:
    """What there is: where each run is, and what it waits for. The last started comes first.

    A table shows the newest hundred and says how many more there are; name, json, jsonl and --csv give all.
    Exit 1 if a history is damaged; the others are shown all the same.
    """
    session = session_of(context)
    choice = choice_of(session, open_=open_, workflow=workflow, status=status, tag=tag, where=where)
    refuse_both(csv, "output" in session.options, "--csv and -o")
    store = session.store_to_read()
    if archived:
        if choice != EVERY or csv:
            what = "--archived goes with none of --open, --workflow, --status, --tag, --where, --csv"
            raise UsageError(what=what, hint="dwf list --archived")
        return _print_archived(session, store, limit)
    if csv:
        return _print_csv(session, store, choice, limit)
    if session.output in ("name", "jsonl") and limit is None:
        return _print_all(session, store, choice)
    is_table = session.output in ("table", "wide")
    found = _found(session, store, choice, (limit or _SHOWN) + 1 if is_table else limit)
    runs = found[: limit or _SHOWN] if is_table else found
    _print_list(session, runs)
    if len(found) > len(runs) and store is not None:
        _tell_more(session, store, choice, len(runs))
    if store is not None and is_table:
        warn_of_pause(session, store)
    if not runs and not session.is_json:
        session.screen.say("no such runs" if choice != EVERY else "no runs yet; start one with: dwf start SCRIPT")
    return Exit.FAILED if any(_is_bad(run) for run in runs) else Exit.OK


def count(
    context: Context,
    open_: OpenOption = False,
    workflow: WorkflowOption = None,
    status: StatusOption = None,
    tag: TaggedOption = None,
    where: WhereOption = None,
    by: Annotated[str | None, Option("--by", metavar="COLUMN", help="of each value of a column or tag.NAME")] = None,
) -> int:
    """How many runs there are, by status and workflow. -o name prints the sum alone."""
    from dwf.cli.counting import Counting
    from dwf.cli.pages.runs import count_document, count_lines
    from dwf.engine.lists import Tally, tally

    session = session_of(context)
    choice = choice_of(session, open_=open_, workflow=workflow, status=status, tag=tag, where=where)
    if by is not None:
        return _count_by(session, choice, by)
    store, screen = session.store_to_read(), session.screen
    found = Tally({}) if store is None else tally(store, choice, Counting(session, "histories read:"))
    if session.is_json:
        screen.document(count_document(found), one_line=session.output == "jsonl")
    elif session.output == "name":
        screen.line(str(found.total))
    else:
        screen.lines(count_lines(found, screen.marks, screen.width))
        if found.unsure:
            screen.say(f"{found.unsure:,} of them are due now, and counted as they were left")
    return Exit.OK


def _count_by(session: Session, choice: Choice, by: str) -> int:
    from dwf.cli.counting import Counting
    from dwf.cli.pages.runs import groups_document, groups_lines
    from dwf.engine.lists import grouped
    from dwf.store.where import column

    wanted = column(by)
    store, screen = session.store_to_read(), session.screen
    found, unsure = ({}, 0) if store is None else grouped(store, choice, wanted, Counting(session, "histories read:"))
    if session.is_json:
        screen.document(groups_document(by, found, unsure), one_line=session.output == "jsonl")
    elif session.output == "name":
        screen.line(str(sum(found.values())))
    else:
        screen.lines(groups_lines(by, found, screen.marks, screen.width))
        if unsure:
            screen.say(f"{unsure:,} of them are due now, and counted as they were left")
    return Exit.OK


def _found(session: Session, store: Store | None, choice: Choice, limit: int | None) -> list[Summary]:
    from dwf.cli.counting import Counting
    from dwf.engine.lists import summaries

    return [] if store is None else summaries(store, choice, limit, Counting(session, "histories read:"))


def _is_bad(run: Summary) -> bool:
    return run.status.value in ("corrupt", "newer")


def _tell_more(session: Session, store: Store, choice: Choice, shown: int) -> None:
    counted = store.index.counts(choice)
    # Without an index counting them is reading them all once more.
    more = "more" if counted is None else f"{sum(number for *_, number in counted) - shown:,} more"
    session.screen.say(f"and {more}: -n N shows N, -o name or jsonl all; dwf count says of which kind")


def _print_archived(session: Session, store: Store | None, limit: int | None) -> int:
    from dwf.engine.lists import archived

    is_table = session.output in ("table", "wide")
    wanted = (limit or _SHOWN) + 1 if is_table else limit
    found = [] if store is None else list(archived(store, wanted))
    _print_list(session, found[: limit or _SHOWN] if is_table else found)
    if not found and not session.is_json:
        session.screen.say("nothing is archived; put closed runs away with: dwf archive --older-than 30d")
    if is_table and len(found) > (limit or _SHOWN):
        session.screen.say("and more: -n N shows N, -o name all")
    return Exit.OK


def _print_all(session: Session, store: Store | None, choice: Choice) -> int:
    """Every run, as it comes: there may be a million."""
    from dwf.cli.counting import Counting
    from dwf.cli.pages.runs import summary_document
    from dwf.engine.lists import every

    screen, code = session.screen, Exit.OK
    for run in () if store is None else every(store, choice, Counting(session, "histories read:")):
        code = Exit.FAILED if _is_bad(run) else code
        if session.is_json:
            screen.document({"schema": "dwf.summary/1", **summary_document(run)}, one_line=True)
        else:
            screen.line(run.run)
    return code


def _print_csv(session: Session, store: Store | None, choice: Choice, limit: int | None) -> int:
    from dwf.cli.counting import Counting
    from dwf.cli.pages.runs import csv_lines
    from dwf.engine.lists import every

    runs = iter(()) if store is None else every(store, choice, Counting(session, "histories read:"))
    bad = False
    for run, line in csv_lines(islice(runs, limit)):
        bad |= run is not None and _is_bad(run)
        session.screen.line(line)
    return Exit.FAILED if bad else Exit.OK


def _print_list(session: Session, runs: list[Summary]) -> None:
    from dwf.cli.pages.runs import list_document, list_lines, summary_document

    screen = session.screen
    if session.output == "json":
        screen.document(list_document(runs))
    elif session.output == "jsonl":
        screen.documents({"schema": "dwf.summary/1", **summary_document(run)} for run in runs)
    elif session.output == "name":
        screen.lines([run.run] for run in runs)
    elif runs:
        wide = session.output == "wide"
        screen.lines(list_lines(runs, session.clock, screen.marks, screen.width, wide=wide))

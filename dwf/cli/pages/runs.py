"""`dwf list` and `dwf inbox`: many runs, a line each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dwf.cli.screen import STATUS_STYLES, Line, Marks, Piece
from dwf.cli.table import Column, table
from dwf.cli.times import Clock, iso
from dwf.core.tags import plain_tags, words

if TYPE_CHECKING:
    from dwf.engine.lists import Need, Summary, Tally

_LIST = (
    Column("ID"),
    Column("WORKFLOW", 8),
    Column("STATUS"),
    Column("STEP", 8),
    Column("AGE", right=True),
    Column("WAITING FOR", 12),
)
_CSV = "run workflow status step waiting since until started updated by tags".split()
_WIDE = (*_LIST, Column("STARTED"), Column("UPDATED"), Column("BY"), Column("TAGS"))


def list_lines(runs: Sequence[Summary], clock: Clock, marks: Marks, width: int, *, wide: bool) -> list[list[Piece]]:
    """The table; `wide` adds columns and cuts nothing."""
    rows = [_row(run, clock) + (_more(run, clock) if wide else []) for run in runs]
    return table(_WIDE if wide else _LIST, rows, 0 if wide else width, marks.cut)


def _row(run: Summary, clock: Clock) -> list[Piece]:
    status = run.status.value
    return [
        run.run,
        run.workflow or "-",
        (status, STATUS_STYLES.get(status, "")),
        run.step or "-",
        clock.age(run.started_us) if run.started_us else "-",
        waiting(run, clock),
    ]


def _more(run: Summary, clock: Clock) -> list[Piece]:
    return [
        clock.full(run.started_us) if run.started_us else "-",
        clock.full(run.updated_us) if run.updated_us else "-",
        run.by or "-",
        " ".join(f"{name}={words(tag)}" for name, tag in run.tags.items()) or "-",
    ]


def waiting(run: Summary, clock: Clock) -> str:
    """On what, and how long still; for a run that cannot be read, why."""
    said = run.waiting if run.waiting not in ("", "-") else ""
    if run.until_us is not None and not run.status.closed:
        left = clock.left(run.until_us)
        return f"{left}: {said}" if said else left
    return said or "-"


def list_document(runs: Iterable[Summary]) -> dict[str, Any]:
    """The list for programs."""
    return {"schema": "dwf.list/1", "runs": [summary_document(run) for run in runs]}


def summary_document(run: Summary) -> dict[str, Any]:
    """One run of the list for programs. Times are UTC, RFC 3339."""
    return {
        "run": run.run,
        "workflow": run.workflow,
        "status": run.status.value,
        "step": run.step,
        "waiting": run.waiting,
        "since": iso(run.since_us or None),
        "until": iso(run.until_us),
        "started": iso(run.started_us or None),
        "updated": iso(run.updated_us or None),
        "by": run.by,
        "tags": plain_tags(run.tags),
    }


def csv_lines(runs: Iterable[Summary]) -> Iterator[tuple[Summary | None, str]]:
    """The list as comma-separated values, the names first; tags as JSON. Times are UTC, RFC 3339."""
    yield None, ",".join(_CSV)
    for run in runs:
        document = summary_document(run)
        document["tags"] = json.dumps(document["tags"]) if document["tags"] else ""
        yield run, ",".join(_csv_field(document[name]) for name in _CSV)


def _csv_field(value: str | None) -> str:
    text = " ".join((value or "").splitlines())
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if any(c in text for c in ',"') else text


# -- count ------------------------------------------------------------------------------------------------------

_COUNT = (Column("STATUS"), Column("WORKFLOW", 8), Column("RUNS", right=True))


def count_lines(tally: Tally, marks: Marks, width: int) -> list[list[Piece]]:
    """How many of each, the most first, and all together."""
    rows: list[list[Piece]] = [
        [(status, STATUS_STYLES.get(status, "")), workflow or "-", f"{number:,}"]
        for (workflow, status), number in _most_first(tally)
    ]
    if len(rows) != 1:
        rows.append(["all", "", f"{tally.total:,}"])
    return table(_COUNT, rows, width, marks.cut)


def count_document(tally: Tally) -> dict[str, Any]:
    """The same for programs. `unsure`: runs that are due just now, and counted as they were left."""
    counts = [{"workflow": w, "status": s, "runs": number} for (w, s), number in _most_first(tally)]
    return {"schema": "dwf.count/1", "total": tally.total, "unsure": tally.unsure, "counts": counts}


def _most_first(tally: Tally) -> list[tuple[tuple[str, str], int]]:
    return sorted(tally.runs.items(), key=lambda item: (-item[1], item[0]))


def groups_lines(by: str, groups: dict[Any, int], marks: Marks, width: int) -> list[list[Piece]]:
    """How many of each value of a column or tag, the most first, and all together."""
    columns = (Column(by.upper(), 8), Column("RUNS", right=True))
    rows: list[list[Piece]] = [[_group(value), f"{number:,}"] for value, number in _largest_first(groups)]
    if len(rows) != 1:
        rows.append(["all", f"{sum(groups.values()):,}"])
    return table(columns, rows, width, marks.cut)


def groups_document(by: str, groups: dict[Any, int], unsure: int) -> dict[str, Any]:
    """The same for programs; null is for runs that have no such thing."""
    counts = [{"value": value, "runs": number} for value, number in _largest_first(groups)]
    return {"schema": "dwf.count/1", "total": sum(groups.values()), "unsure": unsure, "by": by, "counts": counts}


def _group(value: Any) -> str:
    return "-" if value in (None, "") else str(value)


def _largest_first(groups: dict[Any, int]) -> list[tuple[Any, int]]:
    return sorted(groups.items(), key=lambda item: (-item[1], str(item[0])))


# -- inbox ------------------------------------------------------------------------------------------------------

_INBOX = (Column("KIND"), Column("RUN"), Column("WHAT", 14), Column("LEFT"), Column("WHO", 6))
_INBOX_WIDE = (*_INBOX, Column("AGE", right=True), Column("DETAIL"))
_KIND_STYLES = {"APPROVE": "yellow", "DECIDE": "yellow", "PAUSED": "yellow", "FIX": "red bold", "STUCK": "red bold"}


def inbox_lines(
    needs: Sequence[Need], clock: Clock, marks: Marks, width: int, *, wide: bool = False
) -> list[list[Piece]]:
    """What needs a person, most urgent first as given; `wide` adds columns and cuts nothing."""
    rows = [_need(need, clock) + (_need_more(need, clock) if wide else []) for need in needs]
    return table(_INBOX_WIDE if wide else _INBOX, rows, 0 if wide else width, marks.cut)


def _need(need: Need, clock: Clock) -> list[Piece]:
    left = "-" if need.until_us is None else clock.left(need.until_us)
    if need.then and need.until_us is not None:
        left += f", then {need.then}"
    return [(need.kind, _KIND_STYLES.get(need.kind, "")), need.run, need.what, left, need.who or "-"]


def _need_more(need: Need, clock: Clock) -> list[Piece]:
    return [clock.age(need.since_us) if need.since_us else "-", need.detail or "-"]


def inbox_document(needs: Iterable[Need]) -> dict[str, Any]:
    """The inbox for programs."""
    found = [
        {
            "kind": need.kind.lower(),
            "run": need.run,
            "what": need.what,
            "who": need.who,
            "since": iso(need.since_us),
            "until": iso(need.until_us),
            "then": need.then,
            "detail": need.detail,
        }
        for need in needs
    ]
    return {"schema": "dwf.inbox/1", "needs": found}


def inbox_next(needs: Sequence[Need]) -> list[Line]:
    """What to type now, once for each kind."""
    commands = {
        "APPROVE": 'dwf approve {run} -m "..."',
        "DECIDE": "dwf show {run}",
        "PAUSED": "dwf show {run}",
        "FIX": "dwf show {run}",
        "STUCK": 'dwf cancel {run} -m "..."',
    }
    first: dict[str, str] = {}
    for need in needs:
        if need.kind in commands:
            first.setdefault(need.kind, commands[need.kind].format(run=need.run))
    return [[("next: ", "cyan"), command] for command in first.values()]

"""A verb for many runs: which are meant, whether that is so, and what became of each.

All verbs that take `--where` and its like come through here, so that none acts on many runs without a person's yes, or
`-y`, and none stops at the first that refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

from typer import Option

from dwf.cli.exits import Exit
from dwf.cli.selecting import choice_of
from dwf.cli.session import SELECTED, Session
from dwf.cli.verbs.shared import say_tick, tell_fault
from dwf.errors import DwfError, UsageError
from dwf.store.choice import Choice

if TYPE_CHECKING:
    from dwf.engine.lists import Summary
    from dwf.engine.post import Posted
    from dwf.store.room import Store

_SHOWN = 20
DryRunOption = Annotated[bool, Option("--dry-run", help="with --where and the like: only say which runs")]
YesOption = Annotated[bool, Option("-y", "--yes", help="do not ask")]


@dataclass(frozen=True)
class Bulk:
    """For which runs, and how sure: `dry_run` only tells them, `yes` asks nobody."""

    choice: Choice
    dry_run: bool
    yes: bool


def bulk_of(
    session: Session,
    run: str,
    *,
    workflow: str | None,
    status: list[str] | None,
    tag: list[str] | None,
    where: str | None,
    dry_run: bool,
    yes: bool,
    tick: bool,
) -> Bulk | None:
    """What is asked for if it is for all that are selected, None if it is for one run.

    Raises UsageError for options that do not go with that.
    """
    if run != SELECTED:
        if dry_run:
            raise UsageError(what="--dry-run is for --where, --tag, --status and --workflow", hint="leave out RUN")
        return None
    if tick:
        raise UsageError(what="--tick is for one run", hint="the next tick drives them all: dwf tick")
    return Bulk(choice_of(session, workflow=workflow, status=status, tag=tag, where=where), dry_run, yes)


class First(NamedTuple):
    """What is done before anything is done to the runs, also if there are none: in words, and in deed."""

    words: str
    do: Callable[[], None]


def for_all(
    session: Session,
    store: Store,
    bulk: Bulk,
    doing: str,
    act: Callable[[str], Posted],
    *,
    fits: Callable[[Summary], bool] = lambda _: True,
    first: First | None = None,
) -> int:
    """Do it to each open run that is selected and fits. doing: in words, with {} for the runs.

    1 if it was refused for some, which are told; those that have accepted it are a line each.
    """
    runs = [run for run in _selected(session, store, bulk.choice) if fits(run)]
    if bulk.dry_run:
        return _tell_selected(session, runs, first)
    if not runs and first is None:
        session.screen.say("no such runs; nothing was changed")
        return Exit.OK
    words = doing.replace("{}", _several(len(runs)))
    _make_sure(session, runs, bulk, words if first is None else f"{words}, and {first.words}")
    if first is not None:
        first.do()
    return _do_each(session, store, runs, act) if runs else Exit.OK


def _do_each(session: Session, store: Store, runs: list[Summary], act: Callable[[str], Posted]) -> int:
    failed = []
    # Each looks how much waits for its run: names in memory, and not a listing of all that was posted so far.
    store.mailbox.follow()
    try:
        for run in runs:
            try:
                _tell(session, act(run.run))
            except DwfError as error:
                failed.append(run.run)
                tell_fault(session, error)
    finally:
        store.mailbox.forget()
    if len(failed) < len(runs):
        say_tick(session, store, "acted on by the next tick")
    if failed:
        named = ", ".join(failed[:_SHOWN]) + (" and more" if len(failed) > _SHOWN else "")
        session.screen.tell(f"refused for {len(failed):,} of {_several(len(runs))}: {named}")
    return Exit.FAILED if failed else Exit.OK


def _selected(session: Session, store: Store, choice: Choice) -> list[Summary]:
    from dwf.cli.counting import Counting
    from dwf.engine.lists import chosen

    return chosen(store, choice, Counting(session, "histories read:"))


def _tell_selected(session: Session, runs: list[Summary], first: First | None) -> int:
    if session.is_json:
        ids = [run.run for run in runs]
        session.screen.document({"schema": "dwf.selected/1", "total": len(ids), "runs": ids})
    else:
        session.screen.lines([run.run] for run in runs)
        also = "" if first is None else f", and {first.words}"
        session.screen.say(f"{_several(len(runs))}{also}; nothing was changed")
    return Exit.OK


def _make_sure(session: Session, runs: list[Summary], bulk: Bulk, doing: str) -> None:
    if bulk.yes:
        return
    if not session.interactive:
        what = f"there is nobody to ask whether to {doing}"
        raise UsageError(what=what, hint="say so with -y; --dry-run shows which they are")
    from dwf.cli.pages.runs import list_lines

    screen = session.screen
    for line in list_lines(runs[:_SHOWN], session.clock, screen.marks, screen.width, wide=False):
        screen.say(*line)
    if len(runs) > _SHOWN:
        screen.say(f"and {len(runs) - _SHOWN:,} more")
    if not screen.confirm(f"{doing}?"):
        raise UsageError(what="nothing was changed", hint="--dry-run shows which they are")


def _tell(session: Session, posted: Posted) -> None:
    screen = session.screen
    if session.is_json:
        screen.document(posted_document(posted), one_line=True)
    elif session.output == "name":
        screen.line(posted.message)
    else:
        screen.line(posted.what if posted.run in posted.what else f"{posted.run}: {posted.what}")
    screen.flush()


def posted_document(posted: Posted) -> dict[str, object]:
    """What was posted, for programs."""
    return {
        "schema": "dwf.posted/1",
        "message": posted.message,
        "run": posted.run,
        "nonce": posted.nonce,
        "what": posted.what,
        "duplicate": posted.duplicate,
        "started": posted.started,
    }


def _several(count: int) -> str:
    return f"{count:,} run{'' if count == 1 else 's'}"

"""A verb for many runs: which are meant, whether that is so, and what became of each.

All verbs that take `--where` and its like come through here, so that none acts on many runs without a person's yes, or
`-y`, and none stops at the first that refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_type_hints

from typer import Option

from dwf.cli.exits import Exit
from dwf.cli.selecting import StatusOption, TaggedOption, WhereOption, WorkflowOption, choice_of
from dwf.cli.session import SELECTED, Session
from dwf.cli.verbs.shared import say_tick, tell_fault
from dwf.errors import DwfError, UsageError
from dwf.store.choice import Choice

if TYPE_CHECKING:
    from dwf.engine.lists import Summary
    from dwf.engine.post import Posted
    from dwf.store.room import Store

_SHOWN = 20


@dataclass(frozen=True)
class Bulk:
    """For which runs, and how sure: `dry_run` only tells them, `yes` asks nobody."""

    choice: Choice
    dry_run: bool
    yes: bool


@dataclass(frozen=True)
class Many:
    """What was given of the options that select many runs."""

    workflow: str | None
    status: list[str] | None
    tag: list[str] | None
    where: str | None
    dry_run: bool
    yes: bool

    @property
    def is_workflow(self) -> bool:
        """Whether all runs of a workflow are meant, whatever they are."""
        return bool(self.workflow) and not (self.status or self.tag or self.where)

    def bulk(self, session: Session, run: str, tick: bool = False) -> Bulk | None:
        """What is asked for if it is for all that are selected, None if it is for one run.

        Raises UsageError for options that do not go with that.
        """
        if run != SELECTED:
            if self.dry_run:
                raise UsageError(what="--dry-run is for --where, --tag, --status and --workflow", hint="leave out RUN")
            return None
        if tick:
            raise UsageError(what="--tick is for one run", hint="the next tick drives them all: dwf tick")
        choice = choice_of(session, workflow=self.workflow, status=self.status, tag=self.tag, where=self.where)
        return Bulk(choice, self.dry_run, self.yes)


def _options(
    workflow: WorkflowOption = None,
    status: StatusOption = None,
    tag: TaggedOption = None,
    where: WhereOption = None,
    dry_run: Annotated[bool, Option("--dry-run", help="with --where and the like: only say which runs")] = False,
    yes: Annotated[bool, Option("-y", "--yes", help="do not ask")] = False,
) -> Many:
    return Many(workflow, status, tag, where, dry_run, yes)


def takes_many(verb: Callable[..., int]) -> Callable[..., int]:
    """Give a verb the options that select many runs; what was given of them it gets as `many`, its last parameter."""
    chosen, own = _parameters(_options), _parameters(verb)

    def called(*args: Any, **words: Any) -> int:
        many = _options(**{name: words.pop(name) for name in chosen if name in words})
        return verb(*args, **words, many=many)

    shown = [parameter for name, parameter in own.items() if name != "many"]
    called.__doc__, called.__name__ = verb.__doc__, verb.__name__
    called.__signature__ = Signature([*shown, *chosen.values()])  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in (*shown, *chosen.values())}
    return called


def _parameters(function: Callable[..., Any]) -> dict[str, Parameter]:
    """With annotations that are no longer text: the parser looks for them in the module that has wrapped them."""
    hints = get_type_hints(function, include_extras=True)
    return {name: one.replace(annotation=hints[name]) for name, one in signature(function).parameters.items()}


class First(NamedTuple):
    """What is done before anything is done to the runs, also if there are none: in words, and in deed."""

    words: str
    do: Callable[[], None]


def for_all(
    session: Session,
    store: Store,
    bulk: Bulk,
    doing: str,
    do: Callable[[str], None],
    *,
    over: bool = False,
    fits: Callable[[Summary], bool] = lambda _: True,
    first: First | None = None,
) -> int:
    """Do it to each open run that is selected and fits. doing: in words, with {} for the runs.

    do: for one, with the line that tells of it. 1 if it was refused for some, which are told. over: it is for runs that
    have ended.
    """
    runs = [run for run in _selected(session, store, bulk.choice, over) if fits(run)]
    if bulk.dry_run:
        return _tell_selected(session, runs, first)
    if not runs and first is None:
        session.screen.say("no such runs; nothing was changed")
        return Exit.OK
    words = doing.replace("{}", _several(len(runs)))
    _make_sure(session, runs, bulk, words if first is None else f"{words}, and {first.words}")
    if first is not None:
        first.do()
    return _do_each(session, store, runs, do) if runs else Exit.OK


def _do_each(session: Session, store: Store, runs: list[Summary], do: Callable[[str], None]) -> int:
    failed = []
    # Each looks how much waits for its run: names in memory, and not a listing of all that was posted so far.
    store.mailbox.follow()
    try:
        for run in runs:
            try:
                do(run.run)
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


def _selected(session: Session, store: Store, choice: Choice, over: bool) -> list[Summary]:
    from dwf.cli.counting import Counting
    from dwf.engine.lists import chosen

    return chosen(store, choice, Counting(session, "histories read:"), over=over)


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


def tell_one(session: Session, posted: Posted) -> None:
    """The line of one of many that a message was posted to."""
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

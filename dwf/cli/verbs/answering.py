"""Answer: inbox, approve, reject. They post a message and return; a tick acts on it, or `--tick` at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from dwf.cli.bulk import posted_document
from dwf.cli.exits import Exit
from dwf.cli.options import ReasonOption, RunArgument, StepArgument, TickOption, session_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import pick, say_tick, warn_of_no_tick

if TYPE_CHECKING:
    from dwf.engine.post import Posted
    from dwf.store.room import Store

HashOption = Annotated[
    str | None, Option("--if-hash", metavar="H", help="only if the question still has this fingerprint (dwf show)")
]


def inbox(context: Context) -> int:
    """Everything that needs a person: questions to answer, runs to mend. What ends first comes first."""
    from dwf.cli.counting import Counting
    from dwf.cli.pages.runs import inbox_document, inbox_lines, inbox_next
    from dwf.engine.lists import inbox as needs_of

    session = session_of(context)
    screen = session.screen
    store = session.store_to_read()
    progress = Counting(session, "histories read:")
    needs = needs_of(store, session.me.uid, progress) if store is not None else []
    if session.output == "json":
        screen.document(inbox_document(needs))
    elif session.output == "jsonl":
        screen.documents({"schema": "dwf.need/1", **need} for need in inbox_document(needs)["needs"])
    elif session.output == "name":
        screen.lines([run] for run in dict.fromkeys(need.run for need in needs))
    elif needs:
        wide = session.output == "wide"
        screen.lines(inbox_lines(needs, session.clock, screen.marks, screen.width, wide=wide))
        for line in inbox_next(needs):
            screen.say(*line)
    else:
        screen.say("nothing needs you")
    if store is not None and not session.is_json:
        _tell_beyond(session, store)
        _tell_refused(session, store)
        warn_of_no_tick(session, store)
    return Exit.OK


def _tell_beyond(session: Session, store: Store) -> None:
    from dwf.engine.lists import needs_beyond

    if more := needs_beyond(store):
        session.screen.say(f"and {more:,} more runs that were started before these: dwf list --open -o jsonl")


def _tell_refused(session: Session, store: Store) -> None:
    from dwf.engine.runs import refused_count

    if count := 0 if store.is_operator else refused_count(store):
        files = "1 file was" if count == 1 else f"{count} files were"
        session.screen.say(f"{files} refused: dwf audit says why; see {store.layout.mail_bad}, and tidy it up")


def approve(
    context: Context,
    run: RunArgument,
    step: StepArgument = None,
    reason: ReasonOption = "",
    if_hash: HashOption = None,
    tick: TickOption = False,
) -> int:
    """Say yes to a question of a run. Who, when, why and from where is recorded.

    The yes is bound to the question as it is now: if the run asks something else meanwhile, it does not count.
    """
    return _answer(context, run, True, step, reason, if_hash, tick)


def reject(
    context: Context,
    run: RunArgument,
    step: StepArgument = None,
    reason: ReasonOption = "",
    if_hash: HashOption = None,
    tick: TickOption = False,
) -> int:
    """Say no to a question of a run. Who, when, why and from where is recorded."""
    return _answer(context, run, False, step, reason, if_hash, tick)


def _answer(
    context: Context, run: str, yes: bool, step: str | None, reason: str, if_hash: str | None, tick: bool
) -> int:
    from dwf.engine.post import answer

    session = session_of(context)
    store = session.existing_store(run, post=True)
    run = pick(session, store, run, changes=True)
    return tell_posted(session, store, answer(store, run, yes, session.me, reason, step=step, if_hash=if_hash), tick)


def tell_posted(session: Session, store: Store, posted: Posted, tick: bool) -> int:
    """What was posted, and when it will be acted on; or act on it here."""
    screen = session.screen
    if session.is_json:
        screen.document(posted_document(posted))
    elif session.output == "name":
        screen.line(posted.message)
    else:
        screen.line(posted.what)
    screen.flush()
    if posted.duplicate and not tick:
        return Exit.OK  # it is not known whether there is anything left to do for a tick
    if not tick:
        say_tick(session, store, "acted on by the next tick")
        return Exit.OK
    from dwf.cli.verbs.starting import drive_once
    from dwf.engine.post import check_heard

    if store.is_operator:
        from dwf.cli.requesting import follow_run

        say_tick(session, store, "acted on by the next tick")
        code = follow_run(session, store, posted.run, until_it_waits=True)
    else:
        code = drive_once(session, store, posted.run)
    check_heard(store, posted)
    return code

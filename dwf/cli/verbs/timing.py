"""Watch and repair: timers, timer. What waits for its time, and a person's word on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument, Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import ReasonOption, RunArgument, TickOption, session_of
from dwf.cli.verbs.answering import tell_posted
from dwf.cli.verbs.shared import pick, reason_for, refuse_both
from dwf.errors import UsageError

if TYPE_CHECKING:
    from dwf.cli.session import Session

_SHOWN = 100


def timers(
    context: Context,
    due_before: Annotated[
        str | None, Option("--due-before", metavar="TIME", help="only what is due before then: now, 22:00, RFC 3339")
    ] = None,
    limit: Annotated[int | None, Option("-n", "--limit", metavar="N", min=1, help="at most so many")] = None,
) -> int:
    """What waits for its time in open runs, the first due first: timers, next attempts of steps, delayed starts.

    Timers are sleeps, and timeouts of asyncio; -o name prints the run and the number of each, as dwf timer takes them.
    What is overdue waits for a tick. A table shows a hundred.
    """
    from dwf.cli.counting import Counting
    from dwf.cli.pages.timers import timer_document, timer_lines
    from dwf.cli.times import parse_when
    from dwf.engine.timing import pending

    session = session_of(context)
    before_us = None if due_before is None else parse_when(due_before, session.clock.now)
    store, screen = session.store_to_read(), session.screen
    found = [] if store is None else pending(store, before_us, Counting(session, "histories read:"))
    is_table = session.output in ("table", "wide")
    shown = found[: limit or (_SHOWN if is_table else None)]
    if session.output == "json":
        screen.document({"schema": "dwf.timers/1", "timers": [timer_document(timer, session.clock) for timer in shown]})
    elif session.output == "jsonl":
        screen.documents({"schema": "dwf.timer/1", **timer_document(timer, session.clock)} for timer in shown)
    elif session.output == "name":
        screen.lines([f"{timer.run} {timer.command}"] for timer in shown if timer.kind == "timer")
    elif shown:
        screen.lines(timer_lines(shown, session.clock, screen.marks, 0 if session.output == "wide" else screen.width))
    if is_table and not shown:
        screen.say("nothing waits for its time" if before_us is None else "nothing is due before then")
    elif is_table and len(found) > len(shown):
        screen.say(f"and {len(found) - len(shown):,} more: -n N shows N, -o name or jsonl all")
    return Exit.OK


def timer(
    context: Context,
    act: Annotated[str, Argument(metavar="fire|move", help="now, or at another time", show_default=False)],
    run: RunArgument,
    which: Annotated[
        str | None, Argument(metavar="[TIMER]", help="its number, or a part of its purpose", show_default=False)
    ] = None,
    at: Annotated[
        str | None, Option("--at", metavar="TIME", help="with move: 22:00, 'tomorrow 09:00', RFC 3339")
    ] = None,
    in_: Annotated[str | None, Option("--in", metavar="DURATION", help="with move: after it has passed: 2h")] = None,
    reason: ReasonOption = "",
    tick: TickOption = False,
) -> int:
    """Let a timer of a run fire now, or move it to another time, earlier or later.

    A timeout of asyncio is a timer too: to fire it is to let the time run out. Who, when and why (-m) is recorded.
    """
    from dwf.engine.timing import fire, move

    session = session_of(context)
    if act not in ("fire", "move"):
        raise UsageError(what=f"{act!r} is neither fire nor move", hint="dwf timer fire RUN -m WHY")
    at_us = _when(session, act, at, in_)
    store = session.existing_store(run, post=True)
    run = pick(session, store, run, changes=True)
    reason = reason_for(session, reason, "a word on a timer")
    if at_us is None:
        posted = fire(store, run, session.me, reason, which)
    else:
        posted = move(store, run, at_us, session.me, reason, which, session.clock.point(at_us))
    return tell_posted(session, store, posted, tick)


def _when(session: Session, act: str, at: str | None, in_: str | None) -> int | None:
    from dwf.cli.times import parse_duration, parse_when

    refuse_both(at is not None, in_ is not None, "--at and --in")
    if act == "fire":
        if at is not None or in_ is not None:
            raise UsageError(what="--at and --in are for move", hint="dwf timer move RUN --in 2h -m WHY")
        return None
    if at is not None:
        return parse_when(at, session.clock.now)
    if in_ is not None:
        return session.clock.now + parse_duration(in_)
    raise UsageError(what="move it to when?", hint="--at TIME or --in DURATION")

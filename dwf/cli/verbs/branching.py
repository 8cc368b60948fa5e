"""Repair: reset and fork. Going on from a line of a run that went wrong."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import ReasonOption, RunArgument, TickOption, session_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import given_json, pick, reason_for, say_tick
from dwf.errors import UsageError

if TYPE_CHECKING:
    from dwf.engine.branching import Branch, Wish

_SetOption = Annotated[
    list[str] | None, Option("--set", metavar="STEP=JSON|@FILE", help="the result of a step; may be repeated")
]
CodeOption = Annotated[str | None, Option("--script", metavar="SCRIPT", help="go on with this script")]
_ToOption = Annotated[
    str, Option("--from", metavar="STEP", help="a step by number or name, which is done again; first; or last-ok")
]
_LineOption = Annotated[int, Option("--line", metavar="N", help="keep the first N lines of the history")]
_AskOption = Annotated[bool, Option("--ask-again", help="keep no answer of a person")]
_SignalsOption = Annotated[bool, Option("--no-signals", help="do not send again what was sent later")]


def reset(
    context: Context,
    run: RunArgument,
    to: _ToOption = "",
    line: _LineOption = 0,
    set_: _SetOption = None,
    ask_again: _AskOption = False,
    no_signals: _SignalsOption = False,
    code: CodeOption = None,
    reason: ReasonOption = "",
    tick: TickOption = False,
) -> int:
    """Go on from an earlier place of a run that is over, in its next instance, under the same id.

    The old history stays as it is. What stands before that place is taken over, answers of people with it; what comes
    behind is done again. Signals that came later are sent again. With --set a step has another result there, or one
    instead of its failure, recorded with who and why; without --from or --line it then goes on right behind it. It is
    refused, and nothing made, if the code does not fit, if a child or callback is open at that place, or if what was
    done by then was taken back since.
    """
    from dwf.engine.branching import Wish

    results = dict(_result(word) for word in set_ or [])
    wish = Wish(to=to, line=line, ask_again=ask_again, signals=not no_signals, script=code, results=results)
    return branched(session_of(context), run, wish, "a reset", reason, tick)


def fork(
    context: Context,
    run: RunArgument,
    id_: Annotated[str, Option("--id", metavar="ID", help="of the new run")] = "",
    to: _ToOption = "",
    line: _LineOption = 0,
    set_: _SetOption = None,
    ask_again: _AskOption = False,
    no_signals: _SignalsOption = False,
    code: CodeOption = None,
    reason: ReasonOption = "",
    tick: TickOption = False,
) -> int:
    """Make another run that goes on from a place of this one, which stays as it is, open or not.

    Otherwise as dwf reset, also with --set. Both do what comes next: see that it is harmless.
    """
    from dwf.engine.branching import Wish

    results = dict(_result(word) for word in set_ or [])
    wish = Wish(to=to, line=line, ask_again=ask_again, signals=not no_signals, script=code, results=results, run=id_)
    return branched(session_of(context), run, wish, "a fork", reason, tick, fork=True)


def _result(word: str) -> tuple[str, bytes]:
    from dwf.core.values import encode

    step, equals, value = word.partition("=")
    if not (step and equals):
        raise UsageError(what=f"--set {word!r} is not of the form STEP=JSON", hint="--set drain=3, --set 'check=null'")
    return step, encode(given_json(value, f"the result of {step}"), "the result")


def branched(session: Session, run: str, wish: Wish, what: str, reason: str, tick: bool, *, fork: bool = False) -> int:
    """Make it, and tell what was made."""
    from dwf.cli.verbs.starting import drive_once
    from dwf.engine import branching

    store = session.existing_store(run, write=True)
    run = pick(session, store, run, changes=True)
    reason = reason_for(session, reason, what)
    make = branching.fork if fork else branching.reset
    made = make(store, run, wish, session.me, reason)
    tell_branch(session, made)
    if tick:
        return drive_once(session, store, made.run)
    say_tick(session, store, "gone on with by the next tick")
    return Exit.OK


def tell_branch(session: Session, made: Branch) -> None:
    """Its id, and what it begins with."""
    if session.is_json:
        session.screen.document({"schema": "dwf.branch/1", **dataclasses.asdict(made)}, one_line=True)
    else:
        session.screen.line(made.run)
    session.screen.flush()
    session.screen.say(_told(made))


def _told(made: Branch) -> str:
    where = made.run if made.run != made.of else f"instance {made.link} of {made.run}"
    kept = f"{made.lines} line{'' if made.lines == 1 else 's'} of {made.of}"
    then = f", goes on with {made.next}" if made.next else ""
    answers = f"; {made.answers} answer{'' if made.answers == 1 else 's'} kept" if made.answers else ""
    signals = f"; {made.signals} signal{'' if made.signals == 1 else 's'} sent again" if made.signals else ""
    return f"{where} begins with {kept}{then}{answers}{signals}"

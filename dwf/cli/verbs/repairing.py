"""Repair: step, unblock. A person's word where dwf cannot know; recorded with who and why, and never an edited line."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Context, Option

from dwf.cli.bulk import Many, for_all, takes_many, tell_one
from dwf.cli.options import ReasonOption, RunArgument, StepArgument, TickOption, session_of
from dwf.cli.verbs.answering import tell_posted
from dwf.cli.verbs.shared import file_bytes, given_json, pairs, pick, reason_for, say_tick
from dwf.core.status import Status

ResultOption = Annotated[
    str | None, Option("--result", metavar="JSON|@FILE|-", help="what the step gives back; with complete, skip")
]


def step(
    context: Context,
    act: Annotated[
        str,
        Argument(
            metavar="complete|skip|fail|retry|pause|unpause|reset|set",
            help="what became of it, or how it goes on",
            show_default=False,
        ),
    ],
    run: RunArgument,
    which: StepArgument = None,
    options: Annotated[
        list[str] | None, Argument(metavar="[OPTION=VALUE ...]", help="with set", show_default=False)
    ] = None,
    result: ResultOption = None,
    evidence: Annotated[
        str | None, Option("--evidence", metavar="FILE", help="a file that shows it; it goes into the history")
    ] = None,
    keep: Annotated[bool, Option("--keep", help="with reset: the heartbeat's details stay")] = False,
    reason: ReasonOption = "",
    tick: TickOption = False,
) -> int:
    """Say what is to become of an open step, or how it goes on. Who, when and why (-m) is recorded.

    complete: it is done, and --result is what it gives back (null without it). skip: it is not done, and the script
    goes on. fail: the script handles that as any failure. retry: once more, and at once. An attempt that runs is ended
    first, and what it comes to is dropped. pause: no attempt begins until unpause. reset: attempts are counted anew,
    and the next begins now. set: timeout=2h max_attempts=7 schedule_to_close=none ... See dwf help steps.
    """
    from dwf.core.values import encode
    from dwf.engine.stepping import CONTROLS, DECISIONS, MOST_EVIDENCE, decide, evidence_of
    from dwf.errors import UsageError

    session = session_of(context)
    if act not in (*DECISIONS, *CONTROLS):
        known = ", ".join((*DECISIONS, *CONTROLS))
        raise UsageError(what=f"there is no decision {act!r} on a step", hint=f"one of {known}")
    if result is not None and act not in ("complete", "skip"):
        raise UsageError(what=f"--result does not go with {act}", hint="only complete and skip give a result")
    if keep and act != "reset":
        raise UsageError(what=f"--keep does not go with {act}", hint="dwf step reset RUN STEP --keep")
    words = list(options or [])
    if which is not None and "=" in which:
        words, which = [which, *words], None
    if words and act != "set":
        raise UsageError(what=f"{words[0]} does not go with {act}", hint="dwf step set RUN STEP timeout=2h")
    given = pairs(words, "an option")
    data = None if result is None else encode(given_json(result, "the result"), "the result")
    shown = None if evidence is None else evidence_of(evidence, file_bytes(evidence, "the evidence", MOST_EVIDENCE + 1))
    store = session.existing_store(run, post=True)
    run = pick(session, store, run, changes=True)
    reason = reason_for(session, reason, "a decision on a step")
    posted = decide(
        store, run, act, session.me, reason, step=which, result=data, keep=keep, options=given, evidence=shown
    )
    return tell_posted(session, store, posted, tick)


@takes_many
def unblock(
    context: Context, run: RunArgument, reason: ReasonOption = "", tick: TickOption = False, *, many: Many
) -> int:
    """Let a run go on that is blocked, after its cause was mended; if it was not, it is blocked again.

    A mended script is another matter: dwf upgrade. Who, when and why (-m) is recorded. With --where and the like it is
    for all blocked runs that fit: they are shown, and it asks.
    """
    from dwf.engine.stepping import unblock as let_go

    session = session_of(context)
    bulk = many.bulk(session, run, tick)
    store = session.existing_store(run, post=True)
    if bulk is not None:
        reason = reason if many.dry_run else reason_for(session, reason, "to let runs go on")
        return for_all(
            session,
            store,
            bulk,
            "unblock {}",
            lambda one: tell_one(session, let_go(store, one, session.me, reason)),
            fits=lambda found: found.status is Status.BLOCKED,
        )
    run = pick(session, store, run, changes=True)
    reason = reason_for(session, reason, "to let a run go on")
    return tell_posted(session, store, let_go(store, run, session.me, reason), tick)


def repair(
    context: Context,
    run: RunArgument,
    truncate_at: Annotated[
        int | None, Option("--truncate-at", metavar="LINE", help="give up this line and all behind it")
    ] = None,
    i_know: Annotated[bool, Option("--i-know", help="what is lost was read, and may happen again")] = False,
    reason: ReasonOption = "",
) -> int:
    """Go on with a damaged history as far as it is sound, when no backup is left.

    Without options it says what would be lost, and changes nothing. What is cut off is kept beside the history; who
    gave it up and why is recorded. Steps that ran behind the damage run again.
    """
    from dwf.cli.exits import Exit
    from dwf.engine.repair import give_up, loss
    from dwf.errors import UsageError

    session = session_of(context)
    store = session.existing_store(run, write=truncate_at is not None)
    run = pick(session, store, run, changes=truncate_at is not None)
    lost = loss(store, run, truncate_at)
    command = f"dwf repair {run} --truncate-at {lost.line} --i-know -m ..."
    if truncate_at is not None:
        if not i_know:
            what = "nothing was changed: what is lost has to be known"
            if lost.sound:
                steps = f", and in them {', '.join(lost.sound_did)}" if lost.sound_did else ""
                sound = "1 line is sound" if lost.sound == 1 else f"{lost.sound} lines are sound"
                what += f", and the damage begins in line {lost.line + lost.sound}: {sound}{steps}"
            raise UsageError(what=what, hint=f"dwf repair {run} says it; then: {command}")
        reason = reason_for(session, reason, "to give up a part of a history")
        give_up(store, run, truncate_at, session.me, reason)
    if session.is_json:
        session.screen.document({"schema": "dwf.loss/1", "run": run, "file": lost.path, "line": lost.line,
                                 "lines": lost.lines, "bytes": lost.size, "did": lost.did, "said": lost.said,
                                 "sound": lost.sound, "sound_did": lost.sound_did,
                                 "done": i_know and truncate_at is not None})  # fmt: skip
    else:
        session.screen.line(f"{lost.path}: {lost.lines} lines from line {lost.line} on, {lost.size} bytes")
        session.screen.line("steps that ended there, and would run again: " + (", ".join(lost.did) or "none"))
        session.screen.line("what people said there: " + (", ".join(lost.said) or "nothing"))
        if lost.sound:
            damage = lost.line + lost.sound
            session.screen.line(f"{lost.sound} of these lines are sound: --truncate-at {damage} keeps them")
            session.screen.line("steps that ended in the sound ones: " + (", ".join(lost.sound_did) or "none"))
    if truncate_at is None:
        session.screen.say(("next: ", "cyan"), f"put back a backup (dwf help stuck), or: {command}")
        return Exit.OK
    say_tick(session, store, f"{run} goes on from line {truncate_at - 1}; the next tick drives it")
    return Exit.OK

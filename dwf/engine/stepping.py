"""A person's word on one step that rests: done, failed, or to be tried again. And on a run that was set aside.

Bound to the step and to the last attempt that the person knew of. Posted like everything from outside; whoever drives
the run next turns it into an event, with who and why.
"""

from __future__ import annotations

from dwf.core import messages as mail
from dwf.core.events import NOTHING, Identity, Payload
from dwf.core.messages import Message, quoted
from dwf.core.state import OpenStep, RunState
from dwf.engine.post import Posted, open_run, post
from dwf.errors import UsageError, WrongState
from dwf.store.room import Store

DECISIONS = (mail.COMPLETE, mail.RETRY, mail.FAIL)
_WORDS = {mail.COMPLETE: "done", mail.RETRY: "to be tried again", mail.FAIL: "failed"}


def decide(
    store: Store, run: str, act: str, by: Identity, reason: str, *, step: str | None = None, result: bytes = b"null"
) -> Posted:
    """Say what is to become of a step: complete (with a result, JSON), retry or fail.

    step: a command number, or part of the title; None if only one step rests. Raises UsageError (2) if that names none
    or several, WrongState (7) if nothing of the run rests or the step is just running.
    """
    if act not in DECISIONS:
        raise UsageError(what=f"there is no decision {quoted(act)}", hint=f"one of {', '.join(DECISIONS)}")
    if not reason:
        raise UsageError(what="a decision on a step needs a reason", hint="-m 'why': it is recorded with your name")
    view = open_run(store, run)
    assert view.state is not None
    chosen = _chosen(view.state, view.run, step)
    _refuse_second(store, view.run, mail.STEP, chosen.command)
    message = Message(
        id="",
        run=view.run,
        kind=mail.STEP,
        nonce=view.state.head.nonce,
        name=act,
        payload=Payload(result) if act == mail.COMPLETE else NOTHING,
        command=chosen.command,
        attempt=chosen.attempts,
        reason=reason,
        by=by,
    )
    return post(store, view, message, f"{quoted(chosen.title)} is {_WORDS[act]}")


def unblock(store: Store, run: str, by: Identity, reason: str) -> Posted:
    """Let a run go on that is blocked. It is blocked again if the cause is still there. Raises WrongState (7)."""
    if not reason:
        raise UsageError(what="to let a run go on needs a reason", hint="-m 'what was mended': it is recorded")
    view = open_run(store, run)
    assert view.state is not None
    if view.state.blocked is None:
        raise WrongState(what=f"run {run} is not blocked", hint=f"see what it waits for: dwf show {run}")
    _refuse_second(store, view.run, mail.UNBLOCK)
    message = Message(id="", run=view.run, kind=mail.UNBLOCK, nonce=view.state.head.nonce, reason=reason, by=by)
    return post(store, view, message, f"{run} may go on")


def _refuse_second(store: Store, run: str, kind: str, command: int = 0) -> None:
    """One word at a time: the second would be too late, or overturn the first without anybody knowing."""
    for letter in store.mailbox.pending(run):
        if letter.message.kind == kind and letter.message.command == command:
            said = f"{kind} {letter.message.name}".strip()
            raise WrongState(what=f"that is decided already: {said}, not yet acted on", hint="dwf tick takes it up")


def _chosen(state: RunState, run: str, step: str | None) -> OpenStep:
    resting = [open_step for open_step in state.steps.values() if open_step.started is None]
    fitting = resting if step is None else _named(resting, step)
    if len(fitting) == 1:
        return fitting[0]
    if step is not None and _named(list(state.steps.values()), step):
        raise WrongState(
            what=f"an attempt of {quoted(step)} is running", hint=f"wait for its end, or: dwf cancel {run} -m WHY"
        )
    if not resting:
        raise WrongState(what=f"no step of run {run} waits for anybody", hint=f"dwf show {run}")
    known = "; ".join(f"{s.command} {quoted(s.title)}" for s in resting)
    which = f"{quoted(step)} names {len(fitting)} steps of {run}" if step else f"{len(resting)} steps of {run} rest"
    raise UsageError(what=which, hint=f"say which: {known}")


def _named(steps: list[OpenStep], text: str) -> list[OpenStep]:
    exact = [step for step in steps if text == str(step.command)]
    return exact or [step for step in steps if text.lower() in step.title.lower()]

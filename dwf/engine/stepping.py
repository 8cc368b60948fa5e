"""A person's word on one open step: what became of it, or how it goes on. And on a run that was set aside.

Bound to the step, and what becomes of it to the last attempt that the person knew of. Posted like everything from
outside; whoever drives the run next turns it into an event, with who and why.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType

from dwf.core import messages as mail
from dwf.core.duration import micros
from dwf.core.events import NOTHING, Identity, Payload
from dwf.core.messages import Message, quoted
from dwf.core.parts import Evidence
from dwf.core.state import OpenStep, RunState
from dwf.core.steps import OPTIONS
from dwf.core.values import decode, encode
from dwf.engine.arrivals import sender_of
from dwf.engine.fitting import refuse_unfit
from dwf.engine.post import Posted, open_run, post
from dwf.engine.summary import who
from dwf.errors import UsageError, ValueRefused, WrongState
from dwf.store.room import Store

DECISIONS = mail.DECIDING
MOST_EVIDENCE = 32 * 1024
CONTROLS = (mail.PAUSE, mail.UNPAUSE, mail.RESET, mail.SET)
# What is posted is not done before it is taken up, and is not said to be.
_WORDS = {
    mail.COMPLETE: "is to count as done",
    mail.SKIP: "is to be skipped",
    mail.RETRY: "is to be tried again",
    mail.FAIL: "is to count as failed",
    mail.PAUSE: "is to be paused: then no attempt of it begins",
    mail.UNPAUSE: "is to go on",
    mail.RESET: "is to count its attempts anew",
    mail.SET: "is to have other options",
}
_NAMES = {"start_to_close": "timeout", "heartbeat_timeout": "heartbeat"}


def evidence_of(name: str, data: bytes) -> Evidence:
    """A file as evidence. Raises UsageError if it is too large for a history."""
    if len(data) > MOST_EVIDENCE:
        what = f"{name} has {len(data):,} bytes; the limit of evidence is {MOST_EVIDENCE:,}"
        raise UsageError(what=what, hint="keep it elsewhere, and say in -m where, with its sha256")
    text = data.decode("utf-8", "backslashreplace")
    return Evidence(name=name.rpartition("/")[2][:200], size=len(data), sha256=sha256(data).hexdigest(), text=text)


def decide(
    store: Store,
    run: str,
    act: str,
    by: Identity,
    reason: str,
    *,
    step: str | None = None,
    result: bytes | None = None,
    keep: bool = False,
    options: Mapping[str, str] = MappingProxyType({}),
    evidence: Evidence | None = None,
) -> Posted:
    """Say what is to become of a step (complete, skip, fail, retry), or how it goes on (pause, unpause, reset, set).

    step: a command number, or part of the title; None if there is one that it can be. result: JSON, of complete and
    skip. keep: reset leaves the details of the heartbeat. options: what set sets, as a person writes it. evidence: a
    file that shows what is said, see `evidence_of`. Raises UsageError (2) if `step` names none or several, and for a
    result that the step cannot have, as far as this user may ask the script; WrongState (7) if there is no step of
    which that can be said.
    """
    if act not in (*DECISIONS, *CONTROLS):
        known = ", ".join((*DECISIONS, *CONTROLS))
        raise UsageError(what=f"there is no decision {quoted(act)}", hint=f"one of {known}")
    if not reason:
        raise UsageError(what="a decision on a step needs a reason", hint="-m 'why': it is recorded with your name")
    view = open_run(store, run)
    assert view.state is not None
    payload = Payload(encode(option_values(options))) if act == mail.SET else NOTHING
    chosen = _chosen(view.state, view.run, step, act)
    refuse_second(store, view.state, mail.STEP, chosen.command, act)
    if act in (mail.COMPLETE, mail.SKIP):
        payload = Payload(_result_of(chosen, result))
        refuse_unfit(store, view, chosen.command, bytes(payload), by.uid or 0)
    elif act == mail.RESET and keep:
        payload = Payload(b"true")
    message = Message(
        id="",
        run=view.run,
        kind=mail.STEP,
        nonce=view.state.head.nonce,
        name=act,
        payload=payload,
        command=chosen.command,
        attempt=chosen.attempts,
        reason=reason,
        by=by,
        evidence=evidence,
    )
    ends = "; the attempt that runs is ended first" if act in mail.DECIDING and chosen.started is not None else ""
    return post(store, view, message, f"{quoted(chosen.title)} {_WORDS[act]}{ends}")


def option_values(given: Mapping[str, str]) -> dict[str, int]:
    """Options as a person writes them (`timeout=2h max_attempts=7 heartbeat=none`), by their recorded names.

    Raises UsageError.
    """
    found = {}
    for word, value in given.items():
        name = _NAMES.get(word, word)
        if name not in OPTIONS:
            raise UsageError(what=f"{quoted(word)} is no option that can be set", hint=f"one of {', '.join(OPTIONS)}")
        found[name] = _option(word, value, name)
    if not found:
        raise UsageError(what="what is to be set?", hint="timeout=2h max_attempts=7")
    return found


def _result_of(step: OpenStep, result: bytes | None) -> bytes:
    """What a person gives, or nothing in particular. Raises UsageError for what no command can have come to."""
    if step.scheduled.kind != "shell":
        return b"null" if result is None else result
    given = {"code": 0} if result in (None, b"null") else decode(result)
    if not isinstance(given, dict) or type(given.get("code")) is not int:
        hint = """leave out --result for exit code 0, or: --result '{"code": 0, "out": "..."}'"""
        raise UsageError(what=f"{quoted(step.title)} is a command, and that is not what one comes to", hint=hint)
    return encode(given)


def _option(word: str, value: str, name: str) -> int:
    if value == "none":
        return 0
    if name == "max_attempts":
        if not (value.isascii() and value.isdecimal() and 0 < int(value) < 1_000_000):
            raise UsageError(what=f"{word}={value} is not a number of attempts", hint="a whole number from 1, or none")
        return int(value)
    try:
        length = micros(value)
    except ValueRefused as error:
        raise UsageError(what=f"{word}: {error.message}", hint='a duration such as "90s" or "2h", or none') from None
    if not length:
        raise UsageError(what=f"{word}={value}: no step ends within no time", hint="none is for no limit")
    return length


def unblock(store: Store, run: str, by: Identity, reason: str) -> Posted:
    """Let a run go on that is blocked. It is blocked again if the cause is still there. Raises WrongState (7)."""
    if not reason:
        raise UsageError(what="to let a run go on needs a reason", hint="-m 'what was mended': it is recorded")
    view = open_run(store, run)
    assert view.state is not None
    if view.state.blocked is None:
        raise WrongState(what=f"run {run} is not blocked", hint=f"see what it waits for: dwf show {run}")
    refuse_second(store, view.state, mail.UNBLOCK)
    message = Message(id="", run=view.run, kind=mail.UNBLOCK, nonce=view.state.head.nonce, reason=reason, by=by)
    return post(store, view, message, f"{run} may go on")


def refuse_second(store: Store, state: RunState, kind: str, command: int = 0, act: str = "") -> None:
    """One word at a time: the second would be too late, or overturn the first without anybody knowing.

    How a step goes on may be said in several words, and its options several times, until it is said what becomes of it.
    What the history has already is no word that is still to be heard, though its letter may lie there for a while.
    """
    for letter in store.mailbox.pending(state.head.run):
        message = letter.message
        if message.kind != kind or message.command != command or message.id in state.messages:
            continue
        if act and message.name not in mail.DECIDING and (act != message.name or act == mail.SET):
            continue
        said = f"{mail.in_words(message)} by {who(sender_of(letter))}"
        what = f"that is decided already: {said}, not yet acted on"
        raise WrongState(what=what, hint="dwf tick takes it up")


def _chosen(state: RunState, run: str, step: str | None, act: str) -> OpenStep:
    fit = [one for one in state.steps.values() if (one.paused is not None) == (act == mail.UNPAUSE)]
    steps = fit if act in (mail.PAUSE, mail.UNPAUSE) else list(state.steps.values())
    # Unless a step is named, what rests is meant: it is what waits for somebody.
    resting = [one for one in steps if one.started is None] or steps
    fitting = resting if step is None else _named(steps, step)
    if len(fitting) == 1:
        _refuse_to_end(fitting[0], run, act)
        return fitting[0]
    if not steps or (step is not None and not fitting and _named(list(state.steps.values()), step)):
        paused = {mail.PAUSE: " that is not paused", mail.UNPAUSE: " that is paused"}.get(act, "")
        raise WrongState(what=f"run {run} has no open step{paused}", hint=f"dwf show {run}")
    known = "; ".join(f"{s.command} {quoted(s.title)}" for s in steps)
    which = f"{quoted(step)} names {len(fitting)} steps of {run}" if step else f"{len(fitting)} steps of {run} are open"
    raise UsageError(what=which, hint=f"say which: {known}")


def _refuse_to_end(step: OpenStep, run: str, act: str) -> None:
    """What runs in dwf's own process cannot be ended; to run it again is to run it twice."""
    if step.overruled is not None and act in mail.DECIDING:
        what = f"that is decided already: {step.overruled.act}; its attempt is being ended"
        raise WrongState(what=what, hint=f"dwf show {run}")
    if act == mail.RETRY and step.started is not None and not step.started.pid:
        raise WrongState(
            what=f"an attempt of {quoted(step.title)} is running in dwf's own process, which cannot be ended",
            hint=f"wait for its end, or: dwf cancel {run} -m WHY",
        )


def _named(steps: list[OpenStep], text: str) -> list[OpenStep]:
    exact = [step for step in steps if text == str(step.command)]
    return exact or [step for step in steps if text.lower() in step.title.lower()]

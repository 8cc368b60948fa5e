"""Updates: a request to a run that its script may refuse, and that it answers.

The sender posts a letter with the arguments. Whoever holds the run's lock asks the live script: is there a handler, do
the arguments fit, does the validator agree. Only then is anything recorded; what is refused is put aside with the
reason, for its sender and the audit. While the script cannot be asked, the letter stays where it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from hashlib import sha256
from typing import Any

import msgspec

from dwf.authoring.parameters import Parameters
from dwf.core import events as ev
from dwf.core import messages as mail
from dwf.core.duration import stamp
from dwf.core.events import Identity, Payload
from dwf.core.messages import Message, check_signal_name, quoted
from dwf.core.outcome import leaves_of, said
from dwf.core.runtime import Handler
from dwf.core.state import RunState
from dwf.core.values import encode
from dwf.engine.arrivals import Unfit, sender_of
from dwf.engine.context import wall_clock_us
from dwf.engine.journal import Journal
from dwf.engine.post import Posted, open_run, post, refuse_too_many
from dwf.engine.runs import load
from dwf.errors import Conflict, Failure, ScriptError, TimedOut, UsageError, ValueRefused, WrongState
from dwf.store.history import believe_history
from dwf.store.letters import Letter
from dwf.store.room import Store


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The payload of such a letter: arguments as words of a command line, as JSON values, or both."""

    words: dict[str, str] = {}
    input: dict[str, Any] | None = None


@dataclass(frozen=True)
class Answer:
    """How far an update has come: posted, accepted, completed or failed; what it returned, or why it failed."""

    stage: str
    result: Payload = field(default_factory=lambda: ev.NOTHING)
    error: ev.ErrorInfo | None = None


# -- sending ----------------------------------------------------------------------------------------------------


def send(store: Store, run: str, name: str, asked: Asked, by: Identity, reason: str = "", key: str = "") -> Posted:
    """Post an update. Raises NotFound (4), WrongState (7), UsageError (2); Conflict (9) for a key of another one."""
    check_signal_name(name)
    payload = Payload(encode(msgspec.to_builtins(asked), "the arguments"))
    if key and (before := _asked_before(store, run, key, name, payload)) is not None:
        return before
    view = open_run(store, run)
    assert view.state is not None
    _refuse_unknown(view.state, name)
    refuse_too_many(store, view, name)
    message = Message(
        id="",
        run=view.run,
        kind=mail.UPDATE,
        nonce=view.state.head.nonce,
        name=name,
        payload=payload,
        key=key,
        reason=reason,
        by=by,
    )
    return post(store, view, message, f"update {name}")


def _asked_before(store: Store, run: str, key: str, name: str, payload: Payload) -> Posted | None:
    """What was asked with that key, also of a run that is over: it has its answer. Raises Conflict."""
    view = load(store, run)
    known = None if view.state is None else _known(store, view.state, key, name, payload)
    if view.state is None or known is None:
        return None
    believe_history(store.disk, view.path)
    return Posted(known, view.run, view.state.head.nonce, f"update {name}, as before", duplicate=True)


def _known(store: Store, state: RunState, key: str, name: str, payload: Payload) -> str | None:
    """The id of an earlier update with that key. Raises Conflict if it asked for something else."""
    recorded = state.updates.by_key.get(key)
    found = [(recorded.message, recorded.name, recorded.asked)] if recorded is not None else []
    for letter in store.mailbox.pending(state.head.run):
        if letter.message.kind == mail.UPDATE and letter.message.key == key:
            found.append((letter.name, letter.message.name, _fingerprint(letter.message.payload)))
    for message, known_name, asked in found[:1]:
        if (known_name, asked) != (name, _fingerprint(payload)):
            what = f"the key {quoted(key)} was used before, for another update"
            raise Conflict(what=what, hint="choose another key, or leave it out")
        store.mailbox.sync_new()
        return message
    return None


def _refuse_unknown(state: RunState, name: str) -> None:
    """Before it is posted, if the run rests and has said what it takes. The script has the last word anyway."""
    if state.begun and name not in state.takes.updates and not state.steps:
        raise WrongState(what=f"{state.head.run} takes no update {name!r} now", hint=_which(state.takes.updates, name))


def _which(updates: list[str], name: str) -> str:
    meant = get_close_matches(name, updates, 1)
    return f"did you mean {meant[0]}?" if meant else f"it takes {', '.join(sorted(updates)) or 'none'}"


def _fingerprint(payload: Payload) -> str:
    return sha256(bytes(payload)).hexdigest()[:16]


# -- the answer -------------------------------------------------------------------------------------------------


def answer(store: Store, posted: Posted) -> Answer:
    """How far it has come; what is told is on disk. Raises WrongState (7) if it was refused or came too late."""
    view = load(store, posted.run)
    if view.problem is not None:
        raise view.problem
    accepted = next((e for e in view.events if isinstance(e, ev.UpdateAccepted) and e.message == posted.message), None)
    if accepted is None:
        return _not_taken(store, posted)
    believe_history(store.disk, view.path)
    for event in view.events[accepted.id :]:
        if isinstance(event, ev.UpdateCompleted) and event.update == accepted.id:
            return Answer("completed", event.result)
        if isinstance(event, ev.UpdateFailed) and event.update == accepted.id:
            return Answer("failed", error=event.error)
    if view.state is not None and view.state.ended is not None:
        why = ev.ErrorInfo(type="Ended", message=f"the run is {view.status.value}, and the update had not finished")
        return Answer("failed", error=why)
    return Answer("accepted")


def _not_taken(store: Store, posted: Posted) -> Answer:
    fate = store.mailbox.fate(posted.message)
    if fate == "bad":
        why = next((bad.reason for bad in store.mailbox.bad() if bad.name == posted.message), "it is no message")
        raise WrongState(what=f"{posted.run} did not take it: {why}", hint=f"what it takes: dwf query {posted.run}")
    if fate == "late":
        raise WrongState(what=f"{posted.run} was over before this came", hint=f"dwf show {posted.run}")
    return Answer("posted")


def wait(
    store: Store,
    posted: Posted,
    until: str,
    timeout_us: int,
    poll_us: int = 100_000,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Look until it is accepted or completed (`until`), or has failed. Raises TimedOut, and what `answer` raises."""
    deadline = wall_clock_us() + timeout_us
    while True:
        found = answer(store, posted)
        if found.stage in ("completed", "failed") or found.stage == until:
            return found
        if wall_clock_us() >= deadline:
            raise TimedOut(what=f"the update is {found.stage}, and not yet {until}", hint=f"dwf show {posted.run}")
        sleep(poll_us / 1_000_000)


# -- taking, by the holder of the run's lock --------------------------------------------------------------------


def accepted(journal: Journal, letter: Letter) -> list[ev.Event] | None:
    """The event to deliver; None if the script cannot be asked now. Raises Unfit with the words for its sender.

    Raises a ScriptError if the script is wrong: the run is blocked then, and the letter stays.
    """
    message, state = letter.message, journal.state
    if message.id in state.messages:
        return []
    if journal.blocked:
        return None
    asked = _fingerprint(message.payload)
    before = state.updates.by_key.get(message.key) if message.key else None
    if before is not None:
        if (before.name, before.asked) == (message.name, asked):
            return []
        raise Unfit(f"its key {quoted(message.key)} was used before, for another update")
    handler = journal.replay.commands.handlers.updates.get(message.name)
    if handler is None:
        known = list(journal.replay.commands.handlers.updates)
        raise Unfit(f"it takes no update {quoted(message.name)}; {_which(known, message.name)}")
    event = ev.UpdateAccepted(
        name=message.name,
        input=_bound(handler, message.payload),
        key=message.key,
        asked=asked,
        message=message.id,
        by=sender_of(letter),
        reason=message.reason,
        posted=stamp(letter.posted_us),
    )
    if handler.check is not None:
        _validate(journal, handler, handler.check, event)
    return [event]


def _bound(handler: Handler, payload: Payload) -> Payload:
    try:
        asked = msgspec.json.decode(payload, type=Asked)
    except msgspec.MsgspecError as error:
        raise Unfit(f"its arguments cannot be read: {error}") from None
    try:
        return Payload(Parameters(handler.function, f"update {handler.name}").bind(asked.words, asked.input))
    except UsageError as error:
        raise Unfit(f"{error.message} ({error.hint})" if error.hint else error.message) from None


def _validate(journal: Journal, handler: Handler, check: Callable[[Any], Any], event: ev.UpdateAccepted) -> None:
    def ask() -> object:
        return check(handler.read(bytes(event.input)))

    try:
        says = journal.look(f"the validator of update {handler.name}", ask)
    except ScriptError as error:
        if isinstance(error, ValueRefused) and journal.replay.bug is None:
            raise Unfit(error.message) from None
        raise
    except Exception as error:
        (leaf, *_) = leaves_of(error)
        kind = "" if isinstance(leaf, Failure | ValueError) else f"{type(leaf).__name__}: "
        raise Unfit(f"{kind}{said(leaf)}") from None
    if says is False:
        raise Unfit("its validator says no")

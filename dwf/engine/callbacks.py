"""Callbacks: what comes back from outside with a token.

A letter with a token names run, instance and command by it, and counts if the token's hash is the recorded one.
"""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest

from dwf.core import events as ev
from dwf.core import messages as mail
from dwf.core.duration import stamp
from dwf.core.events import Identity, Payload
from dwf.core.messages import Message, check_run_id
from dwf.engine.arrivals import Late, Unfit, sender_of
from dwf.engine.journal import Journal
from dwf.engine.post import Posted, post
from dwf.engine.runs import RunView, load
from dwf.engine.summary import who
from dwf.engine.updates import accepted
from dwf.errors import NotFound, OperatorError, WrongState
from dwf.store.letters import Letter
from dwf.store.room import Store
from dwf.store.tokens import Address, address_in, hash_of

_NO_TOKEN = "that is no token of a callback here"
_DONE = {mail.COMPLETE: "is completed", mail.FAIL: "has failed", mail.HEARTBEAT: "is alive"}


# -- sending ----------------------------------------------------------------------------------------------------


def send(store: Store, token: str, act: str, by: Identity, result: bytes = b"null", reason: str = "") -> Posted:
    """Complete, fail or keep alive the callback of a token. `act`: COMPLETE, FAIL or HEARTBEAT of messages.py.

    Raises NotFound (4) for what is no token here, WrongState (7) for one that was used or whose run is over.
    """
    view, opened = _callback_of(store, token)
    assert view.state is not None
    if opened.command not in view.state.callbacks or view.state.ended is not None:
        raise WrongState(what=_how_it_ended(view.events, opened, view.run), hint=f"dwf show {view.run}")
    message = Message(
        id="", run=view.run, kind=mail.CALLBACK, name=act, payload=Payload(result), key=token, reason=reason, by=by
    )
    return post(store, view, message, f"callback {opened.name} of {view.run} {_DONE[act]}")


def _callback_of(store: Store, token: str) -> tuple[RunView, ev.CallbackOpened]:
    address = address_in(token)
    unknown = NotFound(what=_NO_TOKEN, hint="a token is one line, as the step was given it")
    if address is None:
        raise unknown
    try:
        view = load(store, check_run_id(address.run))
    except OperatorError:
        raise unknown from None
    if view.state is None:
        assert view.problem is not None
        raise view.problem
    opened = _opened(view, address)
    # Which of it is wrong is nobody's business who guesses.
    if opened is None or not compare_digest(opened.token_hash, hash_of(token)):
        raise unknown
    return view, opened


def _opened(view: RunView, address: Address) -> ev.CallbackOpened | None:
    if view.state is None or view.state.head.nonce != address.nonce:
        return None
    return next((e for e in view.events if isinstance(e, ev.CallbackOpened) and e.command == address.command), None)


def _how_it_ended(events: Sequence[ev.Event], opened: ev.CallbackOpened, run: str) -> str:
    lead = f"callback {opened.name} of {run}"
    for event in events:
        if isinstance(event, ev.CallbackWithdrawn) and event.callback == opened.command:
            return f"{lead} is not waited for any more"
        if isinstance(event, ev.CallbackTimedOut) and event.command == opened.command:
            return f"{lead} has timed out"
        if isinstance(event, ev.CallbackCompleted | ev.CallbackFailed) and event.command == opened.command:
            by = f" by {who(event.decided.by)}" if event.decided is not None else ""
            how = "completed" if isinstance(event, ev.CallbackCompleted) else "failed"
            return f"{lead} was {how}{by} before: a token is good for one end"
    return f"{lead} is over, and so is the run"


# -- taking, by the holder of the run's lock --------------------------------------------------------------------


def heard(journal: Journal, letter: Letter) -> list[ev.Event]:
    """What a letter with a token brings. Raises Unfit for a token that is none, Late for one that was used."""
    message, state = letter.message, journal.state
    if message.id in state.messages:
        return []
    address = address_in(message.key)
    if address is None or address.run != state.head.run:
        raise Unfit(_NO_TOKEN)
    found = state.callbacks.get(address.command)
    if address.nonce != state.head.nonce or found is None:
        raise Late
    if not compare_digest(found.opened.token_hash, hash_of(message.key)):
        raise Unfit(_NO_TOKEN)
    decided = ev.Decision(
        by=sender_of(letter), reason=message.reason, message=message.id, posted=stamp(letter.posted_us)
    )
    if message.name == mail.HEARTBEAT:
        return [ev.CallbackHeartbeat(command=address.command, decided=decided)]
    if message.name == mail.FAIL:
        error = ev.ErrorInfo(type="Failed", message=message.reason or "it was not said why")
        return [ev.CallbackFailed(command=address.command, error=error, decided=decided)]
    if message.name != mail.COMPLETE:
        raise Unfit("it neither completes nor fails nor keeps alive")
    # While the script cannot be asked, anything fits; the script is told then that it does not.
    why = None if journal.blocked else journal.misfit(address.command, bytes(message.payload))
    if why is not None:
        raise Unfit(f"that result does not fit: {why}")
    return [ev.CallbackCompleted(command=address.command, result=message.payload, decided=decided)]


def asked(journal: Journal, letter: Letter) -> list[ev.Event] | None:
    """What comes of a letter for which the live run has to be asked; None: it cannot be asked, and the letter stays."""
    return heard(journal, letter) if letter.message.kind == mail.CALLBACK else accepted(journal, letter)

"""Starts that members of a shared state directory ask for: a message that names a workflow of the catalogue.

No code comes with it: the engine loads the workflow from a directory that nobody but root and its own user can write.
The instance nonce of the run is made from the message's id, so that a request which is read twice (its reader was
killed in between) makes one run, and so that who asked can tell his run from somebody else's.
"""

from __future__ import annotations

import os
import time
from hashlib import sha256
from typing import Any

import msgspec

from dwf.core import messages as mail
from dwf.core.events import TERMINAL, Payload, SignalReceived
from dwf.core.headers import check_headers
from dwf.core.messages import Message, check_catalogued, check_run_id
from dwf.core.tags import check_noted
from dwf.core.values import decode, encode
from dwf.engine.arrivals import sender_of, signal_of
from dwf.engine.context import wall_clock_us
from dwf.engine.rights import forbidden
from dwf.engine.routing import PINNED, made_up_id
from dwf.engine.runs import load
from dwf.engine.start import StartRequest, make, prepare
from dwf.engine.wishes import wish_of
from dwf.errors import (
    BadConfiguration,
    Busy,
    Conflict,
    DiskError,
    DwfError,
    NotFound,
    NotPermitted,
    UsageError,
    WrongState,
)
from dwf.store.letters import Letter
from dwf.store.room import Store

_LOOK_SECONDS = 0.05


class Requested(msgspec.Struct, frozen=True):
    """A start that was asked for. `started`: the engine has done it; else the next tick decides."""

    message: str
    run: str
    workflow: str
    started: bool


# -- asking -----------------------------------------------------------------------------------------------------


def request(store: Store, asked: StartRequest, patience: float = 2.0) -> Requested:
    """Ask the engine for a run, and wait up to `patience` seconds for what it says.

    Raises NotPermitted (77), Conflict (9), UsageError (2), NotFound (4) for what can be known before it is asked, and
    WrongState (7) if the engine refuses it.
    """
    name = catalogued(store, asked.script)
    if asked.code not in ("", PINNED) or asked.if_exists == "terminate":
        which = f"--code {asked.code}" if asked.code else "--if-exists terminate"
        raise UsageError(what=f"{which} is not for a shared directory", hint="leave it out")
    if asked.step_by_step:
        raise UsageError(
            what="--step is not for members of a shared directory", hint="the user who drives the runs can start it so"
        )
    if asked.priority:
        what = "--priority is not for members of a shared directory: it would overtake the runs of others"
        raise UsageError(what=what, hint="leave it out")
    if why := forbidden(store, os.geteuid(), mail.START, name):
        raise NotPermitted(what=why, hint=f"who may: {store.layout.policy}")
    if asked.signal is not None and (why := forbidden(store, os.geteuid(), mail.SIGNAL)):
        raise NotPermitted(what=why, hint=f"who may: {store.layout.policy}")
    run = made_up_id(name.partition(":")[2] or name.removesuffix(".py")) if asked.run is None else asked.run
    check_run_id(run)
    check_headers(asked.headers)
    check_noted(asked.tags, asked.memo)
    _refuse_taken(store, run, asked)
    wish: dict[str, Any] = {"values": asked.values, "tags": asked.tags, "if_exists": asked.if_exists}
    wish |= {"input": asked.json_input} if asked.json_input is not None else {}
    wish |= {"start_at_us": asked.start_at_us} if asked.start_at_us is not None else {}
    wish |= {"deadline_us": asked.deadline_us} if asked.deadline_us is not None else {}
    wish |= {"memo": asked.memo} if asked.memo else {}
    wish |= {"headers": asked.headers} if asked.headers else {}
    wish |= {"signal": _first(asked.signal)} if asked.signal is not None else {}
    payload = Payload(encode(wish, "the parameters"))
    message = Message(id="", run=run, kind=mail.START, name=name, payload=payload, reason=asked.reason, by=asked.by)
    posted = store.mailbox.post(message)
    return Requested(posted, run, name, _await(store, run, posted, patience))


def catalogued(store: Store, script: str) -> str:
    """The name in the catalogue that is meant by `rotate`, `rotate.py:name` or a path into it. Raises UsageError."""
    sharing = store.layout.sharing
    assert sharing is not None
    if not sharing.catalogue:
        raise UsageError(
            what=f"{store.layout.home} has no catalogue, so nobody but its engine starts runs there",
            hint=f"its owner names a directory in {store.layout.shared}: catalogue /srv/dwf/workflows",
        )
    file, colon, workflow = script.partition(":")
    directory, slash, base = file.rpartition("/")
    if slash and os.path.realpath(directory) != os.path.realpath(sharing.catalogue):
        raise UsageError(
            what=f"{script} is not in the catalogue {sharing.catalogue}",
            hint="in a shared directory a workflow is named, and no code is given: " + _names(sharing.catalogue),
        )
    name = base if base.endswith(".py") else f"{base}.py"
    found = check_catalogued(f"{name}{colon}{workflow}")
    if not os.path.exists(f"{sharing.catalogue}/{name}"):  # noqa: PTH110
        raise NotFound(what=f"there is no {name} in the catalogue {sharing.catalogue}", hint=_names(sharing.catalogue))
    return found


def _first(signal: SignalReceived) -> dict[str, Any]:
    return {"name": signal.name, "payload": decode(signal.payload, Any), "key": signal.key}


def _names(catalogue: str) -> str:
    try:
        names = sorted(name for name in os.listdir(catalogue) if name.endswith(".py"))  # noqa: PTH208
    except OSError:
        names = []
    return "there are " + ", ".join(names[:20]) if names else f"look into {catalogue}"


def _refuse_taken(store: Store, run: str, asked: StartRequest) -> None:
    try:
        view = load(store, run)
    except NotFound:
        return
    if asked.if_exists == "fail":
        raise Conflict(what=f"the id {run} is in use", hint=f"see it: dwf show {run}; choose another --id")
    if asked.signal is None and asked.if_exists == "new" and view.state is not None and view.state.ended is None:
        raise Conflict(what=f"the id {run} is in use: that run is not over", hint=f"see it: dwf show {run}")


def _await(store: Store, run: str, message: str, patience: float) -> bool:
    until = time.monotonic() + patience
    while True:
        fate = store.mailbox.fate(message)
        if fate == "taken":
            return True
        if fate in ("bad", "late"):
            raise WrongState(what=f"the start of {run} was refused: {_reason(store, message)}", hint="dwf inbox")
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_SECONDS)


def _reason(store: Store, message: str) -> str:
    return next((bad.reason for bad in store.mailbox.bad() if bad.name == message), "it came too late")


# -- granting, by the engine ------------------------------------------------------------------------------------


def take_up(store: Store, run: str) -> None:
    """Make the run that is asked for, or refuse to. Under the run's lock. Raises what is nobody's fault."""
    for letter in store.mailbox.pending(run):
        if letter.message.kind != mail.START:
            continue
        try:
            if _is_to_be_delivered(store, letter):
                continue
            if not _is_made(store, letter):
                _make(store, letter)
        except (DiskError, Busy, BadConfiguration):
            raise
        except DwfError as error:
            hint = f" ({error.hint})" if error.hint and isinstance(error, UsageError) else ""
            store.mailbox.refuse(letter.name, f"{error.message}{hint}", letter.uid)
        else:
            store.mailbox.discard([letter.name])


def nonce_of(message: str) -> str:
    """The instance nonce of the run that a message asks for."""
    return sha256(message.encode("ascii", "replace")).hexdigest()[:16]


def _is_made(store: Store, letter: Letter) -> bool:
    try:
        state = load(store, letter.message.run).state
    except NotFound:
        return False
    return state is not None and state.head.nonce == nonce_of(letter.name)


def _is_to_be_delivered(store: Store, letter: Letter) -> bool:
    """Whether it brings a signal to a run that is open: then it is mail like any other, and stays."""
    if wish_of(letter.message.payload).signal is None or _is_made(store, letter):
        return False
    try:
        state = load(store, letter.message.run).state
    except NotFound:
        return False
    return state is not None and not isinstance(state.ended, TERMINAL)


def _make(store: Store, letter: Letter) -> None:
    sharing, message = store.layout.sharing, letter.message
    if sharing is None or not sharing.catalogue:
        raise NotPermitted(what="starts are not taken from the mailbox here: there is no catalogue")
    if why := forbidden(store, letter.uid, mail.START, message.name):
        raise NotPermitted(what=why)
    wish = wish_of(message.payload)
    if wish.signal is not None and (why := forbidden(store, letter.uid, mail.SIGNAL)):
        raise NotPermitted(what=why)
    file, colon, workflow = message.name.partition(":")
    by = sender_of(letter)
    asked = StartRequest(
        script=f"{sharing.catalogue}/{file}{colon}{workflow}",
        by=by,
        values=wish.values,
        json_input=wish.input,
        run=message.run,
        tags=wish.tags,
        memo=wish.memo,
        headers=wish.headers,
        reason=message.reason,
        start_at_us=wish.start_at_us,
        deadline_us=wish.deadline_us,
        if_exists=wish.if_exists,
        signal=signal_of(wish, letter),
    )
    prepared = prepare(asked, {0, sharing.engine}, store=store)
    make(store, prepared, wall_clock_us, nonce=nonce_of(letter.name), locked=True)

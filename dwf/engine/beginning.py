"""A signal that starts its run: what is told to a run that may not be there yet, as one thing.

If the id is free, or its run is over, a run is made whose first line holds the signal; if it is open, the signal is
posted to it. Whoever asks gets one of the two, whatever others do meanwhile.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import replace

from dwf.core.duration import stamp
from dwf.core.events import Payload, SignalReceived
from dwf.core.messages import check_signal_name, quoted
from dwf.engine.context import wall_clock_us
from dwf.engine.post import Posted, refuse_other_use, signal
from dwf.engine.requests import Requested, catalogued, request
from dwf.engine.runs import load
from dwf.engine.start import Prepared, StartRequest, make
from dwf.errors import Busy, Conflict, NotFound, WrongState
from dwf.store.history import believe_history
from dwf.store.letters import name_of
from dwf.store.room import Store

_TRIES = 20


def signal_or_start(
    store: Store, prepared: Prepared, name: str, payload: bytes, key: str = "", clock: Callable[[], int] = wall_clock_us
) -> Posted:
    """Signal the open run of the id that is asked for, or make one that begins with the signal (`started`).

    A key that the last run of that id has seen does nothing, also after its end. Raises Conflict (9) if the id belongs
    to another workflow, or the key to another signal; and what `signal` and `make` raise.
    """
    asked = prepared.request
    assert asked.run is not None
    check_signal_name(name)
    for _ in range(_TRIES):
        posted = _to_open_run(store, asked, prepared.workflow.name, name, payload, key)
        if posted is not None:
            return posted
        now_us = clock()
        first = _first(asked, name, payload, key, now_us)
        try:
            made = make(store, replace(prepared, request=replace(asked, signal=first, if_exists="new")), clock)
        except Conflict:
            continue  # somebody else has made it meanwhile
        return Posted(
            first.message, made.run, made.nonce, f"signal {name}: {made.run} is started with it", started=True
        )
    raise Busy(run=asked.run, pid=os.getpid(), hint="runs of that id begin and end all the time; try again")


def ask_or_signal(
    store: Store, asked: StartRequest, name: str, payload: bytes, key: str, patience: float
) -> Posted | Requested:
    """The same for a member of a shared directory, who asks its engine for the run: one message that holds both.

    patience: seconds to wait for the engine's word. Raises what `signal_or_start` and `request` raise.
    """
    assert asked.run is not None
    check_signal_name(name)
    workflow = catalogued(store, asked.script).partition(":")[2]
    posted = _to_open_run(store, asked, workflow, name, payload, key)
    if posted is not None:
        return posted
    first = _first(asked, name, payload, key, 0)
    return request(store, replace(asked, signal=first, if_exists="new"), patience)


def _first(asked: StartRequest, name: str, payload: bytes, key: str, now_us: int) -> SignalReceived:
    return SignalReceived(
        name=name,
        payload=Payload(payload),
        key=key,
        message=name_of(now_us, secrets.token_hex(8), asked.run or ""),
        by=asked.by,
        reason=asked.reason,
        posted=stamp(now_us),
    )


def _to_open_run(
    store: Store, asked: StartRequest, workflow: str, name: str, payload: bytes, key: str
) -> Posted | None:
    """The answer of a run that is open, or of one that is over and has seen the key; None if there is neither.

    workflow: which it has to be; "" is any. Raises Conflict.
    """
    assert asked.run is not None
    try:
        view = load(store, asked.run)
    except NotFound:
        return None
    state = view.state
    if state is not None and workflow not in ("", state.head.workflow):
        other = f"the id {asked.run} belongs to another workflow: {state.head.workflow}"
        raise Conflict(what=other, hint=f"see it: dwf show {asked.run}")
    before = state.keys.get(key) if state is not None and key else None
    if state is not None and before is not None:
        believe_history(store.disk, view.path)
        refuse_other_use(key, before.name == name, before.payload, payload)
        what = f"signal {name}: a duplicate, {quoted(key)} was there before"
        return Posted(before.message, asked.run, state.head.nonce, what, duplicate=True)
    try:
        return signal(store, asked.run, name, payload, asked.by, asked.reason, key)
    except (NotFound, WrongState):
        return None  # it is over, or was before the message came

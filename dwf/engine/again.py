"""Once more with what failed: a new run of the same code and input, which takes over the items that were done.

The run that ended stays as it is. The new one, RUN.retry, begins at the top of the script: steps outside of a `dwf.map`
run again and questions are asked again; an item of a map that was done there is not, its result comes with line 1.
"""

from __future__ import annotations

import platform
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dwf import __version__
from dwf.core import events as ev
from dwf.core.events import TERMINAL, Identity, Payload, WorkflowStarted
from dwf.core.messages import check_run_id
from dwf.core.parts import Follows
from dwf.core.scopes import fingerprint
from dwf.core.state import RunState
from dwf.core.undos import Stand
from dwf.core.values import decode, encode
from dwf.engine.context import wall_clock_us
from dwf.engine.runs import RunView, load
from dwf.engine.start import first_line, row_of_new
from dwf.engine.summary import whereabouts
from dwf.errors import Conflict, UsageError, WrongState
from dwf.scripts.packages import as_here
from dwf.store.creation import create_run
from dwf.store.history import believe_history
from dwf.store.room import Store

FAILED_ITEMS = "retry"
_LONGEST_ID = 128


@dataclass(frozen=True)
class Again:
    """A run that was made to do what another has not. `done`: items taken over; `left`: items that are to run."""

    run: str
    of: str
    done: int
    left: int


def retry_failed_items(
    store: Store, run: str, by: Identity, reason: str, clock: Callable[[], int] = wall_clock_us
) -> Again:
    """Start the run that does the items which failed or were not begun; when this returns it is there for good.

    Raises NotFound (4), WrongState (7) for an open run, for one without such items, and for one that has taken back
    what it did; Conflict (9) if it was retried before; UsageError (2) without a reason.
    """
    view = load(store, run)
    if view.state is None or view.problem is not None:
        assert view.problem is not None
        raise view.problem
    state = view.state
    _check_ended(run, state)
    if not reason.strip():
        raise UsageError(what="a retry needs a reason", hint=f'dwf retry {run} --failed-items -m "..."')
    believe_history(store.disk, view.path)
    done = _done(store, view)
    left = sum(fan_out.started.items for fan_out in state.fan_outs.values()) - len(done)
    if not left:
        raise WrongState(what=f"no item of {run} has failed or was left out", hint=f"dwf show {run}")
    head = state.head
    event = WorkflowStarted(
        run=_next_id(run),
        nonce=secrets.token_hex(8),
        workflow=head.workflow,
        script=state.script,
        code=state.code,
        code_mode=head.code_mode,
        code_owner=state.code_owner,
        code_permissions=head.code_permissions,
        input=Payload(store.blobs.resolve(head.input)),
        by=by,
        reason=reason,
        tags=dict(state.tags),
        memo=dict(state.memo),
        python=platform.python_version(),
        dwf=__version__,
        packages=as_here(state.packages),
        follows=Follows(run=run, nonce=head.nonce, how=FAILED_ITEMS),
        carried=Payload(encode(done, "the results of the items that are done")),
    )
    now_us = clock()
    try:
        create_run(
            store.disk, store.layout, store.index, row_of_new(event, 1, now_us), first_line(store, event, now_us)
        )
    except Conflict:
        raise Conflict(what=f"{run} was retried before, by {event.run}", hint=f"dwf show {event.run}") from None
    store.index.wake(event.run)
    return Again(event.run, run, len(done), left)


def check_ended(store: Store, run: str) -> None:
    """Raises WrongState (7) if the run is not one whose items could be done once more."""
    state = load(store, run).state
    if state is not None:
        _check_ended(run, state)


def _check_ended(run: str, state: RunState) -> None:
    if not isinstance(state.ended, TERMINAL):
        hint = f"dwf show {run}" if state.ended is None else whereabouts(state)
        raise WrongState(what=f"run {run} is {state.status.value}; only what has ended is retried", hint=hint)
    if state.undos.that_are(Stand.UNDONE, Stand.BEGUN, Stand.FAILED):
        why = f"{run} has taken back what it did; an item that was done there may be done no more"
        raise WrongState(what=why, hint=f"start it anew: dwf start {state.script} ...")
    several = [f for f in state.fan_outs.values() if f.started.items and not f.begun and not f.carried]
    if several:
        why = f"the items of {several[0].started.name} were not begun, or are more than one step each"
        raise WrongState(what=why, hint="only items of one step each are taken over: dwf help many")


def _done(store: Store, view: RunView) -> list[list[Any]]:
    """Of each item that was done: the name of its step, the fingerprint of what it was called with, the result."""
    assert view.state is not None
    scheduled: dict[int, ev.ActivityScheduled] = {}
    before = [tuple(item) for item in decode(bytes(store.blobs.resolve(view.state.head.carried))) or []]
    found: list[list[Any]] = []
    for event in view.events:
        if isinstance(event, ev.ActivityScheduled) and event.part_of in view.state.fan_outs:
            scheduled[event.command] = event
        elif isinstance(event, ev.ActivityCompleted) and event.command in scheduled:
            step = scheduled[event.command]
            print_ = fingerprint(bytes(store.blobs.resolve(step.input)))
            found.append([step.name, print_, store.blobs.resolve(event.result)])
        elif isinstance(event, ev.ItemCarried):
            found.append(next([*item] for item in before if item[:2] == (event.name, event.fingerprint)))
    return found


def _next_id(run: str) -> str:
    """r1, r1.retry, r1.retry-2, ..."""
    found = re.fullmatch(r"(.*)\.retry(?:-(\d+))?", run)
    name = f"{run}.retry" if found is None else f"{found[1]}.retry-{int(found[2] or 1) + 1}"
    if len(name) > _LONGEST_ID:
        raise UsageError(what=f"the id {run} is too long for a retry of it", hint="dwf help bounds")
    return check_run_id(name)

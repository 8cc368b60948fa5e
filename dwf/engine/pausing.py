"""Pauses: of one run, which is an event in its history; of a workflow, which each run of it meets when it begins; and
of everything, which is a file that ticks look for.
"""

from __future__ import annotations

import os
from contextlib import suppress

from dwf.core import messages as mail
from dwf.core.duration import stamp
from dwf.core.events import Identity
from dwf.core.messages import Message
from dwf.engine.audit import Setting, note_setting
from dwf.engine.post import Posted, open_run, post
from dwf.engine.stepping import refuse_second
from dwf.errors import WrongState
from dwf.store.held import Held, held_workflow, let_go
from dwf.store.held import hold as hold_all
from dwf.store.room import Store

EVERYTHING = "everything"


def hold(store: Store, run: str, by: Identity, reason: str, *, pause: bool) -> Posted:
    """Pause a run, or let it go on. Raises UsageError without a reason to pause; WrongState (7) if it is so already."""
    act = mail.PAUSE if pause else mail.RESUME
    view = open_run(store, run)
    assert view.state is not None
    refuse_second(store, view.state, mail.HOLD)
    if (view.state.paused is not None) == pause:
        is_so = "paused already" if pause else "not paused"
        raise WrongState(what=f"run {run} is {is_so}", hint=f"see what it waits for: dwf show {run}")
    message = Message(id="", run=view.run, kind=mail.HOLD, nonce=view.state.head.nonce, name=act, reason=reason, by=by)
    return post(store, view, message, f"{run} is to be paused" if pause else f"{run} is to go on")


def hold_workflow(store: Store, workflow: str, by: Identity, reason: str, *, pause: bool, now_us: int) -> bool:
    """Let runs of a workflow be paused when they begin, children too, or begin again; whether that is new. Durable.

    Those that have begun are not touched. Raises NotPermitted (77) in a directory of another user, DiskError.
    """
    if (held_workflow(store.held, workflow) is not None) == pause:
        return False
    at, act = stamp(now_us), mail.PAUSE if pause else mail.RESUME
    note_setting(store, Setting(act=act, at=at, name=f"workflow {workflow}", value="", reason=reason, by=by))
    if pause:
        store.held.put(Held(at=at, by=by, reason=reason, workflow=workflow))
        return True
    with suppress(FileNotFoundError):
        store.held.drop(workflow)
    return True


def hold_everything(store: Store, by: Identity, reason: str, *, pause: bool, now_us: int) -> None:
    """Keep ticks and workers from driving anything, or let them; there for good when this returns.

    Raises WrongState (7) if it is so already; NotPermitted (77) in a directory of another user.
    """
    at = stamp(now_us)
    if os.path.lexists(store.layout.paused) == pause:
        raise _so_already(pause)
    note_setting(store, Setting(act=mail.PAUSE if pause else mail.RESUME, at=at, name=EVERYTHING, value="",
                                reason=reason, by=by))  # fmt: skip
    try:
        if pause:
            hold_all(store.disk, store.layout, Held(at=at, by=by, reason=reason))
        else:
            let_go(store.disk, store.layout)
    except (FileExistsError, FileNotFoundError):
        raise _so_already(pause) from None


def _so_already(pause: bool) -> WrongState:
    what = f"everything is {'paused already' if pause else 'not paused'}"
    return WrongState(what=what, hint="dwf doctor says by whom, and since when")

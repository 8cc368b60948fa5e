"""Posting: what anybody may send to a run. Durable when it returns, acted on by whoever drives the run next.

What can be known to be in vain is refused before it is posted: a run that is closed, a question that nobody asked. What
happens in between is for the run's own history to decide; the sender looks once more after posting.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from dwf.core import messages as mail
from dwf.core.events import ApprovalRequested, Identity, Payload
from dwf.core.messages import Message, check_signal_name, quoted
from dwf.core.state import OpenApproval, RunState
from dwf.engine.identity import may_answer, members_of
from dwf.engine.rights import forbidden
from dwf.engine.runs import RunView, load
from dwf.engine.summary import whereabouts
from dwf.errors import Conflict, NotFound, NotPermitted, TooManySignals, UsageError, WrongState
from dwf.store.blobs import same_payload
from dwf.store.history import believe_history
from dwf.store.room import Store

_HASH = re.compile("[0-9a-f]{1,64}")


@dataclass(frozen=True)
class Posted:
    """What was posted: the message's id, and what it says in words. `duplicate`: it was there before.

    `started`: it is in the first line of a run that was made for it.
    """

    message: str
    run: str
    nonce: str
    what: str
    duplicate: bool = False
    started: bool = False


def signal(store: Store, run: str, name: str, payload: bytes, by: Identity, reason: str = "", key: str = "") -> Posted:
    """Post a signal to whatever instance of the run is open. Raises NotFound (4), WrongState (7), UsageError (2).

    The same `key` a second time posts nothing (`duplicate`); with another name or payload it is a Conflict (9).
    """
    check_signal_name(name)
    view = open_run(store, run)
    message = Message(
        id="", run=view.run, kind=mail.SIGNAL, name=name, payload=Payload(payload), key=key, reason=reason, by=by
    )
    before = _known(store, view, message) if key else None
    if before is not None:
        assert view.state is not None
        what = f"signal {name}: a duplicate, it was there before"
        return Posted(before, view.run, view.state.head.nonce, what, duplicate=True)
    refuse_too_many(store, view, name)
    shown = "" if payload == b"null" else " " + quoted(payload.decode("ascii", "replace"), 200)[1:-1]
    return post(store, view, message, f"signal {name}{shown}")


def refuse_too_many(store: Store, view: RunView, name: str) -> None:
    """What a script does not take is bounded, and so is what waits in the mailbox. Raises TooManySignals."""
    assert view.state is not None
    kept, posted = len(view.state.unconsumed), store.mailbox.count(view.run)
    if posted >= mail.MOST_PENDING or (kept + posted >= mail.MOST_PENDING and view.state.keeps(name)):
        hint = f"does anybody tick, and does it wait for them? dwf show {view.run}; dwf help bounds"
        raise TooManySignals(count=kept + posted, run=view.run, hint=hint)


def _known(store: Store, view: RunView, message: Message) -> str | None:
    """The id of an earlier signal with the same key, if there is one; it is on disk. Raises Conflict."""
    assert view.state is not None
    found: list[tuple[str, str, Payload]] = []
    recorded = view.state.keys.get(message.key)
    if recorded is not None:
        # A killed process may have left it in memory only, and this answer is believed.
        believe_history(store.disk, view.path)
        found.append((recorded.message, recorded.name, recorded.payload))
    waiting = [letter for letter in store.mailbox.pending(view.run) if letter.message.key == message.key]
    if waiting:
        store.mailbox.sync_new()
    found += [(letter.name, letter.message.name, letter.message.payload) for letter in waiting]
    if not found:
        return None
    before, name, payload = found[0]
    refuse_other_use(message.key, name == message.name, payload, message.payload)
    return before


def refuse_other_use(key: str, same_name: bool, recorded: Payload, given: bytes) -> None:
    """Raise Conflict if a key stands for another signal than that."""
    if not same_name or not same_payload(recorded, Payload(given)):
        raise Conflict(
            what=f"the key {quoted(key)} was used before, with another signal or payload",
            hint="a new signal needs a key of its own; to send the same again changes nothing",
        )


def cancel(store: Store, run: str, by: Identity, reason: str) -> Posted:
    """Ask a run to end, with its cleanup. Raises NotFound (4), WrongState (7), UsageError (2) without a reason."""
    view = open_run(store, run)
    _check_reason(reason, "cancelling")
    return post(store, view, _to(view, mail.CANCEL, by, reason), f"{view.run} is asked to end, and cleans up first")


def terminate(store: Store, run: str, by: Identity, reason: str) -> Posted:
    """End a run without cleanup. Raises NotFound (4), WrongState (7), UsageError (2) without a reason."""
    view = open_run(store, run)
    _check_reason(reason, "terminating")
    return post(store, view, _to(view, mail.TERMINATE, by, reason), f"{view.run} is to end without cleanup")


def answer(
    store: Store,
    run: str,
    yes: bool,
    by: Identity,
    comment: str = "",
    step: str | None = None,
    if_hash: str | None = None,
) -> Posted:
    """Answer an approval, bound to the run instance and the question as they are now.

    step: a command number, or part of the prompt. if_hash: refuse unless the question has this fingerprint.
    Raises WrongState (7) if nothing is asked, or this user has answered; NotPermitted (77) if the question is not for
    this user; UsageError (2) if several questions fit.
    """
    view = open_run(store, run)
    assert view.state is not None
    approval = _asked(view.state, view.run, step)
    asked = approval.requested
    if if_hash is not None and not _HASH.fullmatch(if_hash):
        raise UsageError(what=f"{quoted(if_hash)} is no fingerprint", hint=f"dwf show {run} has it")
    if if_hash is not None and not asked.fingerprint.startswith(if_hash):
        raise WrongState(what=f"the question is now another one ({asked.fingerprint[:12]})", hint=f"dwf show {run}")
    _check_allowed(asked, view.run, by)
    _check_not_answered(store, view, approval, by)
    kind = mail.APPROVE if yes else mail.REJECT
    message = Message(
        id="",
        run=view.run,
        kind=kind,
        nonce=view.state.head.nonce,
        question=asked.id,
        fingerprint=asked.fingerprint,
        reason=comment,
        by=by,
    )
    count = f" ({len(approval.given(mail.APPROVE)) + 1} of {asked.need})" if yes and asked.need > 1 else ""
    return post(store, view, message, f"{'yes' if yes else 'no'} to {quoted(asked.prompt, 200)}{count}")


def open_run(store: Store, run: str) -> RunView:
    """The latest instance of a run, if something may be posted to it. Raises NotFound, WrongState, or its damage."""
    view = load(store, run)
    if view.state is None or (view.problem is not None and view.problem.exit_code == 65):
        assert view.problem is not None
        raise view.problem
    if view.state.ended is not None and not view.state.continues:
        raise WrongState(
            what=f"run {view.run} is {view.state.status.value}; nothing reaches it any more",
            hint=whereabouts(view.state),
        )
    return view


def check_heard(store: Store, posted: Posted) -> None:
    """After the run was driven: raises WrongState (7) if the message did not count, with the reason."""
    if posted.duplicate:
        return
    fate = store.mailbox.fate(posted.message)
    if fate == "late":
        raise WrongState(what=f"it came too late for {posted.run}; it is kept as late", hint=f"dwf show {posted.run}")
    if fate == "bad":
        why = next((bad.reason for bad in store.mailbox.bad() if bad.name == posted.message), "it is no message")
        raise WrongState(what=f"{posted.run} did not take it: {why}", hint=f"dwf show {posted.run}")


def _check_reason(reason: str, doing: str) -> None:
    if not reason.strip():
        raise UsageError(what=f"{doing} needs a reason", hint="who ended it and why is recorded")


def _to(view: RunView, kind: str, by: Identity, reason: str) -> Message:
    assert view.state is not None
    head = view.state.head
    return Message(id="", run=view.run, kind=kind, nonce=head.chain or head.nonce, reason=reason, by=by)


def post(store: Store, view: RunView, message: Message, what: str) -> Posted:
    """Store a message for a run, and look what became of it. Raises WrongState (7) if it came too late after all."""
    if why := forbidden(store, os.geteuid(), message.kind):
        raise NotPermitted(what=f"you may not do that to {view.run}: {why}", hint=f"who may: {store.layout.policy}")
    posted = store.mailbox.post(message)
    store.index.wake(view.run)
    assert view.state is not None
    fate = store.mailbox.fate(posted)
    if fate == "late":
        raise WrongState(
            what=f"run {view.run} was over before this came; it is kept as late", hint=f"dwf show {view.run}"
        )
    if fate == "bad":
        raise WrongState(
            what=f"run {view.run} could not take this; the reason is kept with it", hint=f"see {store.layout.mail_bad}"
        )
    return Posted(posted, view.run, view.state.head.nonce, what)


def _asked(state: RunState, run: str, step: str | None) -> OpenApproval:
    open_ones = list(state.approvals.values())
    if not open_ones:
        hint = f"see what it waits for: dwf show {run}"
        raise WrongState(what=f"run {run} asks nothing now", hint=hint)
    if step is None:
        if len(open_ones) == 1:
            return open_ones[0]
        raise UsageError(what=f"run {run} asks {len(open_ones)} questions", hint=_which(run, open_ones))
    fitting = [a for a in open_ones if step == str(a.requested.command)]
    fitting = fitting or [a for a in open_ones if step.lower() in a.requested.prompt.lower()]
    if not fitting:
        raise NotFound(what=f"{run} asks no question {quoted(step)}", hint=_which(run, open_ones))
    if len(fitting) != 1:
        raise UsageError(
            what=f"{quoted(step)} names {len(fitting)} open questions of {run}", hint=_which(run, open_ones)
        )
    return fitting[0]


def _which(run: str, approvals: list[OpenApproval]) -> str:
    return "say which: " + "; ".join(f"{a.requested.command} {quoted(a.requested.prompt)}" for a in approvals)


def _check_allowed(asked: ApprovalRequested, run: str, by: Identity) -> None:
    refused = may_answer(asked, by.uid)
    if refused is None:
        return
    may: list[str] = []
    for name in asked.by:
        members = members_of(name[1:]) if name.startswith("@") else [name]
        may += [f"(there is no group {name[1:]} here)"] if members is None else members
    raise NotPermitted(
        what=f"you may not answer for {run}: {refused}",
        hint="who may: " + (", ".join(may) or "nobody is in that group"),
    )


def _check_not_answered(store: Store, view: RunView, approval: OpenApproval, by: Identity) -> None:
    given = next((a for a in approval.answers if a.by is not None and a.by.uid == by.uid), None)
    if given is not None:
        raise WrongState(what=f"you have answered this already: {given.answer}", hint=f"dwf show {view.run}")
    for letter in store.mailbox.pending(view.run):
        message = letter.message
        if message.question == approval.requested.id and letter.uid == by.uid and message.nonce:
            raise WrongState(
                what=f"you have answered this already: {message.kind}, not yet acted on",
                hint="the next tick takes it up: dwf tick",
            )

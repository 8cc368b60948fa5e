"""Stuck: an open run that no clock, no step, no signal and no person can ever move on.

What a script awaits in vain (a future that nobody resolves) is blocked by the replay itself. What is left is a question
that nobody can answer: it is for users or groups that are not there, or for people whom this state directory does not
hear. Nothing in here writes.
"""

from __future__ import annotations

import os

from dwf.core.state import OpenApproval, RunState
from dwf.engine.holding import why_tangled
from dwf.engine.identity import login_of, may_answer, members_of
from dwf.store.room import Store


def why_stuck(state: RunState, owner: int, *, shared: bool = False) -> str | None:
    """Why nothing will ever move the run, in words; None if something may, or if it is blocked or over.

    owner: the uid that the state directory belongs to. shared: whether other users may answer, too.
    """
    if state.ended is not None or state.blocked is not None or not state.approvals:
        return None
    if state.steps or state.signal_waits or state.next_due_us() is not None:
        return None
    reasons = [_unanswerable(approval, owner, shared) for approval in state.approvals.values()]
    found = [reason for reason in reasons if reason]
    return found[0] if found and len(found) == len(reasons) else None


def stuck_at(store: Store, state: RunState) -> str | None:
    """The same, of a run of this state directory; also that it waits for a run that waits for it."""
    if why := why_tangled(store, state):
        return why
    return why_stuck(state, os.stat(store.layout.home).st_uid, shared=store.shared)  # noqa: PTH116


def _unanswerable(approval: OpenApproval, owner: int, shared: bool) -> str:
    """Why a question can have no answer; "" if it can."""
    asked = approval.requested
    if not shared:
        refused = may_answer(asked, owner)
        if refused is None:
            return ""
        who = login_of(owner) or f"uid {owner}"
        return f"nobody can answer: here only {who} is heard, and {refused}"
    if not asked.by:
        return ""
    able = {login for name in asked.by for login in _people(name)}
    if len(able) >= asked.need:
        return ""
    return f"nobody can answer: {', '.join(asked.by)} are {len(able)} people, and {asked.need} must say yes"


def _people(name: str) -> list[str]:
    if name.startswith("@"):
        return members_of(name[1:]) or []
    return [name] if _exists(name) else []


def _exists(login: str) -> bool:
    import pwd

    try:
        pwd.getpwnam(login)
    except KeyError:
        return False
    return True

"""The next instance of a run that continues as new: made of the event that ends the one before.

Whoever finds it missing makes it. Everything in it follows from that event, its time included, so that two who do so
make the same bytes.
"""

from __future__ import annotations

from dwf.core import events as ev
from dwf.core import messages as mail
from dwf.core.deadlines import within
from dwf.core.duration import unstamp
from dwf.core.messages import Message
from dwf.core.state import RunState
from dwf.engine.runs import RunView, load
from dwf.engine.start import row_of_new
from dwf.errors import Conflict
from dwf.store.creation import create_run
from dwf.store.history import believe_history
from dwf.store.record import Chain
from dwf.store.room import Store

_KEYS_KEPT = 1000


def with_leftovers(end: ev.WorkflowContinuedAsNew, state: RunState) -> ev.WorkflowContinuedAsNew:
    """The end of an instance, with what the next one takes over: signals that nobody took, keys that still count."""
    from msgspec.structs import replace

    left = list(state.unconsumed.values())
    waiting = {signal.message for signal in left}
    keyed = [signal for signal in state.keys.values() if signal.message not in waiting]
    return replace(end, signals=left, keyed=keyed[-_KEYS_KEPT:])


def continue_in_next(store: Store, state: RunState, link: int) -> list[ev.Event]:
    """Make the next instance, unless it is there; how it begins. The end of this one is on disk. Raises DiskError."""
    event = _next_event(state, link + 1)
    at_us = unstamp(event.ts)
    recorded, line = Chain.begin(event.run, event.nonce).append(event, at_us)
    try:
        row = row_of_new(event, link + 1, at_us)
        store.note_named(create_run(store.disk, store.layout, store.index, row, line))
    except Conflict:
        return []
    return [recorded]


def _next_event(state: RunState, link: int) -> ev.WorkflowStarted:
    end, head = state.ended, state.head
    assert isinstance(end, ev.WorkflowContinuedAsNew)
    begins_us = unstamp(end.start_at or end.ts)
    return ev.WorkflowStarted(
        ts=end.ts,
        run=head.run,
        nonce=end.nonce,
        workflow=end.workflow,
        script=state.script,
        code=state.code,
        code_mode=head.code_mode,
        code_owner=state.code_owner,
        input=end.input,
        by=head.by,
        reason=head.reason,
        tags=dict(state.tags),
        memo=dict(state.memo),
        headers=head.headers,
        start_at=end.start_at,
        step_by_step=head.step_by_step,
        priority=head.priority,
        retry=head.retry,
        attempt=1 if end.error is None else head.attempt + 1,
        deadline=head.deadline,
        **within(begins_us, head.run_timeout),
        on_deadline=head.on_deadline,
        parent=head.parent,
        link=link,
        continues=head.nonce,
        chain=head.chain or head.nonce,
        signals=end.signals,
        keyed=end.keyed,
        python=head.python,
        dwf=head.dwf,
        packages=dict(state.packages),
    )


def is_meant(message: Message, head: ev.WorkflowStarted) -> bool:
    """Whether a message is for this instance. Who ends a run ends the whole chain, wherever it has come to."""
    if message.nonce in ("", head.nonce):
        return True
    return message.kind in (mail.CANCEL, mail.TERMINATE) and message.nonce == head.chain


def is_for_next(message: Message, state: RunState) -> bool:
    """Whether a message that comes after the end of an instance is for the one that continues it."""
    chain = state.head.chain or state.head.nonce
    return state.continues and (not message.nonce or message.nonce == chain)


def first_of_chain(store: Store, head: ev.WorkflowStarted) -> ev.WorkflowStarted:
    """How the chain that an instance belongs to was started. Raises HistoryCorrupt, NotFound."""
    while head.continues:
        before = believe_history(store.disk, store.history(head.run, head.link - 1)).events[0]
        assert isinstance(before, ev.WorkflowStarted)
        head = before
    return head


def has_taken_up(store: Store, view: RunView, message: str, since: str) -> bool:
    """Whether an instance of a run has a message in its history that nobody can have sent before `since`."""
    state = view.state
    while state is not None:
        if message in state.messages:
            return True
        if not state.head.continues or state.head.ts < since:
            return False
        state = load(store, view.run, state.head.link - 1).state
    return False

"""What one run asks of others: children to be made, messages to be sent, ends of children to be told.

All of it is derived from openings that are on disk, and under ids that follow from them: what was done already is done
again without harm, so after a crash anywhere somebody simply does it all once more. What was done comes back as an
arrival. That a child has ended is believed of the index, which says so only after the child's history is on disk; where
the index is not to be trusted, of the history itself.
"""

from __future__ import annotations

import os
import platform
from typing import TypeVar

from dwf import __version__
from dwf.core import events as ev
from dwf.core import messages as mail
from dwf.core.deadlines import Limits
from dwf.core.duration import unstamp
from dwf.core.links import child_nonce, message_nonce
from dwf.core.messages import Message
from dwf.core.state import OpenChild, OpenMessage, RunState
from dwf.engine.arrivals import CLOSING, Arrival
from dwf.engine.chain import has_taken_up
from dwf.engine.claims import Claims
from dwf.engine.context import Engine
from dwf.engine.gate import Gate
from dwf.engine.runs import RunView, load
from dwf.engine.start import first_line, row_of_new
from dwf.errors import DwfError, NotFound
from dwf.scripts.packages import as_here
from dwf.store.creation import create_runs
from dwf.store.history import believe_history
from dwf.store.letters import name_of
from dwf.store.row import Row

_Open = TypeVar("_Open", OpenChild, OpenMessage)


class Family:
    """The other runs of one run, while it is driven. Asked only when everything in `state` is on disk."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._store = engine, engine.store
        self._told: set[int] = set()
        self._made: set[int] = set()
        self._found: set[int] = set()
        self.claims = Claims(engine)

    def work(self, state: RunState) -> list[Arrival]:
        """Make and send what is missing; what there is to tell the script of it."""
        # Children first: a message may be for one of them.
        found = self._made_or_over(state) if state.children else []
        found += [self._sent(message, state) for message in self._untold(state.outgoing)]
        self._told.update(arrival.order[0] for arrival in found)
        return found + self.claims.work(state)

    def leave(self, state: RunState) -> None:
        """The run is over, and that is on disk: what it asked for goes out, and its children hear of it."""
        assert state.ended is not None
        self.claims.leave(state)
        Gate(self._engine).leave(state)
        for message in state.outgoing.values():
            self._post(message, state)
        rows = self._rows(state)
        self._make([c for c in self._missing(state, rows) if c.requested.on_close == "abandon"], state)
        for command, child in state.children.items():
            kind = {"cancel": mail.CANCEL, "terminate": mail.TERMINATE}.get(child.requested.on_close)
            if kind is not None and self._is_open(state, child, rows):
                why = f"run {state.head.run}, which had started it, is {state.status.value}"
                nonce = child_nonce(state.head.nonce, command)
                wish = Message(id="", run=child.requested.run, kind=kind, nonce=nonce, reason=why)
                unique = message_nonce(state.head.nonce, state.ended.id, command)
                self._deliver(wish, name_of(unstamp(state.ended.ts), unique, wish.run))
                self.rouse(wish.run)

    def rouse(self, run: str) -> None:
        """Let whoever drives only chosen runs know that this one of the family has something to do."""
        self._engine.kin.append(run)

    # -- children -----------------------------------------------------------------------------------------------

    def _made_or_over(self, state: RunState) -> list[Arrival]:
        rows = self._rows(state)
        found = self._make(self._missing(state, rows), state)
        for child in self._untold(state.children):
            command = child.requested.command
            if rows is None or not rows.get(command, command not in self._found):
                found += self._end_of(state, child, believed=rows is not None and command in rows)
        return found

    def _rows(self, state: RunState) -> dict[int, bool] | None:
        """What the index knows of the children, by command; None if it is not to be trusted."""
        return self._store.index.children(state.head.nonce) if state.children else {}

    def _missing(self, state: RunState, rows: dict[int, bool] | None) -> list[OpenChild]:
        return [
            child
            for command, child in state.children.items()
            if (rows is None or command not in rows) and command not in self._made and command not in self._told
        ]

    def _make(self, wanted: list[OpenChild], state: RunState) -> list[Arrival]:
        """Create children; those whose id somebody else has are told as refused."""
        now = self._engine.clock()
        there = [child for child in wanted if self._is_taken(child.requested.run)]
        refused = [child for child in there if not self._take_up(state, child)]
        self._found.update(child.requested.command for child in there)
        self._made |= self._found
        told = [self._over(child, now, _refused(child)) for child in refused]
        return told + self._create([child for child in wanted if child not in there], state, now)

    def _take_up(self, state: RunState, child: OpenChild) -> bool:
        """Whether what has the id is this very child, made before. Its maker may have died before its row was there."""
        view = self._view(state, child)
        if view is not None and not view.month:
            self._store.index.insert_new(Row(view.run, link=view.link))
            self.rouse(view.run)
        return view is not None

    def _is_taken(self, run: str) -> bool:
        return os.path.lexists(self._store.history(run, self._store.latest_link(run)))

    def _create(self, wanted: list[OpenChild], state: RunState, now: int) -> list[Arrival]:
        events = [_first_event(state, child, now) for child in wanted]
        new = [(row_of_new(event, 1, now), first_line(self._store, event, now)) for event in events]
        answers = create_runs(self._store.disk, self._store.layout, self._store.index, new)
        refused = []
        for child, event, conflict in zip(wanted, events, answers, strict=True):
            self._made.add(child.requested.command)
            self.rouse(event.run)
            if conflict is None:
                self._store.note_named(self._store.layout.history_path(event.run))
            elif self._view(state, child) is None:
                refused.append(self._over(child, now, _refused(child)))
        return refused

    def _is_open(self, state: RunState, child: OpenChild, rows: dict[int, bool] | None) -> bool:
        known = None if rows is None else rows.get(child.requested.command)
        if known is not None:
            return known
        view = self._view(state, child)
        return view is not None and view.state is not None and (view.state.ended is None or view.state.continues)

    def _end_of(self, state: RunState, child: OpenChild, *, believed: bool) -> list[Arrival]:
        view = self._view(state, child)
        if view is None or view.state is None or view.problem is not None:
            return []
        ended = view.state.ended
        if ended is None or isinstance(ended, ev.WorkflowContinuedAsNew):
            return []
        if not believed:
            believe_history(self._store.disk, view.path)
        return [self._over(child, unstamp(ended.ts), _closing(child, ended))]

    def _view(self, state: RunState, child: OpenChild) -> RunView | None:
        """The child as it is now; None if there is none, or another run has its id."""
        try:
            view = load(self._store, child.requested.run)
        except NotFound:
            return None
        ours = _origin(state, child)
        return view if view.state is not None and view.state.head.parent == ours else None

    def _over(self, child: OpenChild, at_us: int, event: ev.Closing) -> Arrival:
        command = child.requested.command
        return Arrival(at_us, CLOSING, (command, ""), lambda state: [event] if command in state.children else [])

    # -- messages -----------------------------------------------------------------------------------------------

    def _sent(self, message: OpenMessage, state: RunState) -> Arrival:
        command, event = message.requested.command, self._post(message, state)
        return Arrival(
            self._engine.clock(), CLOSING, (command, ""), lambda now: [event] if command in now.outgoing else []
        )

    def _post(self, message: OpenMessage, state: RunState) -> ev.Closing:
        wish = message.requested
        name = name_of(unstamp(wish.ts), message_nonce(state.head.nonce, wish.id), wish.run)
        try:
            view = load(self._store, wish.run)
        except DwfError as error:
            return ev.MessageRefused(command=wish.command, why=error.message)
        # After a crash, what was sent may have been taken up already, and the run be over for that very reason.
        if not has_taken_up(self._store, view, name, wish.ts):
            why = _out_of_reach(view, wish, state)
            if why:
                return ev.MessageRefused(command=wish.command, why=why)
            self._deliver(_letter(wish, view, state, self._store.blobs.resolve(wish.payload)), name)
        if wish.child:
            self.rouse(wish.run)
        return ev.MessageSent(command=wish.command, message=name)

    def _deliver(self, letter: Message, name: str) -> None:
        """Post it under a name that follows from its cause, so that the same letter is never two."""
        self._store.mailbox.post(letter, name)
        self._store.index.wake(letter.run)

    def _untold(self, open_ones: dict[int, _Open]) -> list[_Open]:
        return [one for command, one in open_ones.items() if command not in self._told]


def _origin(state: RunState, child: OpenChild) -> ev.Origin:
    asked = child.requested
    alone = asked.on_close == "abandon"
    return ev.Origin(run=state.head.run, nonce=state.head.nonce, command=asked.command, alone=alone)


def _out_of_reach(view: RunView, wish: ev.MessageRequested, state: RunState) -> str:
    """Why a message cannot be sent to that run; "" if it can."""
    target, child = view.state, state.children.get(wish.child)
    if view.problem is not None or target is None or (target.ended is not None and not target.continues):
        return f"run {wish.run} is {view.status.value}"
    if wish.child and (child is None or target.head.parent != _origin(state, child)):
        return f"run {wish.run} is not that child"
    return ""


def _letter(wish: ev.MessageRequested, view: RunView, state: RunState, payload: ev.Payload) -> Message:
    assert view.state is not None
    head = view.state.head
    return Message(
        id="",
        run=wish.run,
        kind=wish.kind,
        nonce="" if wish.kind == mail.SIGNAL else head.chain or head.nonce,
        name=wish.name,
        payload=payload,
        reason=wish.reason or f"from run {state.head.run}",
    )


def _first_event(state: RunState, child: OpenChild, now_us: int) -> ev.WorkflowStarted:
    head, asked = state.head, child.requested
    limits = Limits(asked.deadline, asked.run_timeout, asked.on_deadline)
    return ev.WorkflowStarted(
        run=asked.run,
        nonce=child_nonce(head.nonce, asked.command),
        workflow=asked.workflow,
        script=state.script,
        code=state.code,
        code_mode=head.code_mode,
        code_owner=state.code_owner,
        input=asked.input,
        by=head.by,
        tags=asked.tags,
        retry=asked.retry,
        headers=head.headers,
        step_by_step=head.step_by_step,
        priority=head.priority,
        parent=_origin(state, child),
        **limits.at_start(now_us),
        python=platform.python_version(),
        dwf=__version__,
        packages=as_here(state.packages),
    )


def _closing(child: OpenChild, ended: ev.Event) -> ev.Closing:
    """How a child ended, as the event that tells its parent."""
    command = child.requested.command
    if isinstance(ended, ev.WorkflowCompleted):
        return ev.ChildWorkflowCompleted(command=command, result=ended.result)
    if isinstance(ended, ev.WorkflowFailed):
        return ev.ChildWorkflowFailed(command=command, error=ended.error)
    if isinstance(ended, ev.WorkflowCancelled):
        return ev.ChildWorkflowCancelled(command=command, reason=ended.reason)
    if isinstance(ended, ev.WorkflowTerminated):
        error = ev.ErrorInfo(type="Terminated", message=ended.reason or "by hand")
        return ev.ChildWorkflowFailed(command=command, error=error, outcome="terminated")
    if isinstance(ended, ev.WorkflowTimedOut):
        error = ev.ErrorInfo(type="TimedOut", message=ended.reason)
        return ev.ChildWorkflowFailed(command=command, error=error, outcome="timed-out")
    error = ev.ErrorInfo(type="Moved", message="it goes on in another state directory, out of sight")
    return ev.ChildWorkflowFailed(command=command, error=error, outcome="moved")


def _refused(child: OpenChild) -> ev.Closing:
    run = child.requested.run
    error = ev.ErrorInfo(type="IdInUse", message=f"the id {run} is in use, and no child was made")
    return ev.ChildWorkflowFailed(command=child.requested.command, error=error, outcome="refused")

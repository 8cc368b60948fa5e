"""The tree of a run: the children it has asked for, and theirs. Read from histories; executes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dwf.core.events import ChildWorkflowRequested
from dwf.core.links import child_nonce
from dwf.core.state import Status
from dwf.engine.runs import RunView, chain_of, load
from dwf.engine.summary import step_of, waiting_for
from dwf.errors import DwfError
from dwf.store.room import Store


@dataclass(frozen=True)
class Branch:
    """One run of a tree, `depth` levels below the top. status: None if it was never made, or cannot be found."""

    run: str
    depth: int
    workflow: str
    status: Status | None
    step: str = ""
    waiting: str = ""
    on_close: str = ""


def tree(store: Store, run: str) -> Iterator[Branch]:
    """A run and all that it has brought forth, parents before children. Raises NotFound."""
    return _branches(store, load(store, run), 0, "")


def _branches(store: Store, view: RunView, depth: int, on_close: str) -> Iterator[Branch]:
    state = view.state
    workflow = state.head.workflow if state is not None else ""
    step, waiting = (step_of(state), waiting_for(state)) if state is not None else ("", "")
    yield Branch(view.run, depth, workflow, view.status, step, waiting, on_close)
    for one in chain_of(store, view):
        for event in one.events:
            if isinstance(event, ChildWorkflowRequested) and one.state is not None:
                yield from _child(store, event, child_nonce(one.state.head.nonce, event.command), depth + 1)


def _child(store: Store, asked: ChildWorkflowRequested, nonce: str, depth: int) -> Iterator[Branch]:
    view = _found(store, asked.run)
    head = view.state.head if view is not None and view.state is not None else None
    if view is None or head is None or nonce not in (head.nonce, head.chain):
        yield Branch(asked.run, depth, asked.workflow, None, on_close=asked.on_close)
        return
    yield from _branches(store, view, depth, asked.on_close)


def _found(store: Store, run: str) -> RunView | None:
    try:
        return load(store, run)
    except DwfError:
        return None

"""Undoing: the ledger of a closed run is worked through by a run of its own, which names the one that it takes back.

A history is never continued behind its end. The undo of run R is the run R.undo, on the code that R was on, with R's
ledger as its input: one id, so that nothing is taken back twice. What it could not take back is tried again by its next
instance.
"""

from __future__ import annotations

import platform
import secrets
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import msgspec

from dwf import __version__
from dwf.core import messages as mail
from dwf.core.events import TERMINAL, Identity, Payload, WorkflowStarted
from dwf.core.messages import check_run_id
from dwf.core.parts import Follows
from dwf.core.state import RunState
from dwf.core.undos import Stand, Undo
from dwf.core.values import encode
from dwf.engine.context import Codes, wall_clock_us
from dwf.engine.runs import RunView, load
from dwf.engine.start import first_line, lock_on, row_of_new
from dwf.engine.summary import whereabouts
from dwf.errors import CannotReplay, Conflict, DwfError, NotFound, ScriptRefused, UsageError, WrongState
from dwf.scripts.packages import as_here
from dwf.scripts.undoing import UNDO, Entry, Ledger, call_of
from dwf.store.creation import create_run
from dwf.store.history import believe_history
from dwf.store.room import Store

_LONGEST_ID = 128


@dataclass(frozen=True)
class Undoing:
    """What is taken back: by the run `run`, the entries `of`, the newest first. `left_out`: may have been done.

    older: instances that this one continues, which have done what is not taken back.
    """

    run: str
    undoes: str
    of: list[str]
    left_out: list[str]
    older: list[int]


def plan(store: Store, run: str, *, unknown: bool = False, instance: int = 0) -> Undoing:
    """What `undo` would do. Writes nothing; raises what `undo` raises."""
    return _planned(store, run, unknown, instance)[0]


def undo(
    store: Store,
    run: str,
    by: Identity,
    reason: str,
    *,
    unknown: bool = False,
    instance: int = 0,
    clock: Callable[[], int] = wall_clock_us,
) -> Undoing:
    """Start the run that takes back what a closed run did; when this returns it is there for good.

    unknown: also what may have been done: steps that had no outcome when the run ended. instance: which; 0, the newest.
    Raises NotFound (4), WrongState (7) for an open run and when there is nothing to take back, Conflict (9) if that is
    being done already, UsageError (2) without a reason, CannotReplay (65) if the code is not to be had.
    """
    if not reason.strip():
        raise UsageError(what="undoing needs a reason", hint=f'dwf undo {run} -m "..."')
    planned, state, entries, link = _planned(store, run, unknown, instance)
    _check_found(store, state, entries)
    ledger = {"run": run, "ledger": [_recorded(store, entry) for entry in entries]}
    head = state.head
    event = WorkflowStarted(
        run=planned.run,
        nonce=secrets.token_hex(8),
        workflow=UNDO,
        script=state.script,
        code=state.code,
        code_mode=head.code_mode,
        code_owner=state.code_owner,
        code_permissions=head.code_permissions,
        input=Payload(encode(ledger, "the undo ledger")),
        by=by,
        reason=reason,
        tags=dict(state.tags),
        headers=head.headers,
        python=platform.python_version(),
        dwf=__version__,
        packages=as_here(state.packages),
        link=link,
        follows=Follows(run=run, nonce=head.nonce, how=UNDO),
    )
    now_us = clock()
    with lock_on(store, planned.run) if link > 1 else nullcontext():
        try:
            create_run(
                store.disk, store.layout, store.index, row_of_new(event, link, now_us), first_line(store, event, now_us)
            )
        except Conflict:
            raise _under_way(planned.run, run) from None
    store.index.wake(planned.run)
    return planned


def undo_of(store: Store, view: RunView) -> RunView | None:
    """The newest run that takes back this one, if there is one."""
    if view.state is None or not view.state.undos.entries:
        return None
    try:
        found = load(store, undo_id(view.run, view.link))
    except NotFound:
        return None
    return found if found.state is not None and _follows(found.state, view.state) else None


def undo_id(run: str, link: int) -> str:
    """The id of the run that takes back an instance of a run."""
    suffix = ".undo" if link == 1 else f".{link}.undo"
    if len(run) + len(suffix) > _LONGEST_ID:
        raise UsageError(what=f"the id {run} is too long for an undo of it", hint="dwf help bounds")
    return check_run_id(run + suffix)


def _how_it_ends(store: Store, run: str) -> str:
    if any(letter.message.kind in (mail.CANCEL, mail.TERMINATE) for letter in store.mailbox.pending(run)):
        return "it is asked to end, and does with the next tick: dwf tick"
    return f"dwf cancel {run} -m WHY ends it, and takes back"


def _readable(store: Store, run: str, instance: int = 0) -> tuple[RunView, RunState]:
    view = load(store, run, instance)
    if view.state is None or view.problem is not None:
        assert view.problem is not None
        raise view.problem
    return view, view.state


def _planned(store: Store, run: str, unknown: bool, instance: int) -> tuple[Undoing, RunState, list[Undo], int]:
    view, state = _readable(store, run)
    if not isinstance(state.ended, TERMINAL):
        hint = whereabouts(state) if state.ended is not None else _how_it_ends(store, run)
        raise WrongState(what=f"run {run} is {state.status.value}; only what has ended is undone", hint=hint)
    older = _older_with_more(store, run, state) if not instance else []
    if instance:
        view, state = _readable(store, run, instance)
    believe_history(store.disk, view.path)
    name = undo_id(run, view.link)
    undone, last, link = _undone_before(store, name, run, state)
    possible = [entry for entry in state.undos.left()[::-1] if entry.recorded.command not in undone]
    open_ones = [entry for entry in possible if entry.stand is Stand.OPEN]
    entries = possible if unknown else [entry for entry in possible if entry.stand is not Stand.OPEN]
    left_out = [] if unknown else [entry.of for entry in open_ones]
    if not entries:
        raise _nothing(run, state, last, left_out, older)
    return Undoing(name, run, [entry.of for entry in entries[::-1]], left_out, older), state, entries, link


def _older_with_more(store: Store, run: str, state: RunState) -> list[int]:
    """The instances that this one continues, and that have done what nobody has taken back, oldest first.

    One that cannot be judged (it is damaged, or being undone just now) is no reason to refuse the undo of another.
    """
    found: list[int] = []
    while state.head.continues:
        link = state.head.link - 1
        try:
            _, state = _readable(store, run, link)
            left = {entry.recorded.command for entry in state.undos.left()}
            if left and left - _undone_before(store, undo_id(run, link), run, state)[0]:
                found.append(link)
        except Conflict:
            continue
        except DwfError:
            break
    return found[::-1]


def _undone_before(store: Store, name: str, run: str, state: RunState) -> tuple[set[int], str, int]:
    """What earlier undos of the run have taken back, the last of them, and the link of the next. Raises Conflict."""
    undone: set[int] = set()
    last, link = "", 0
    for link in range(1, store.latest_link(name) + 1):
        try:
            earlier = load(store, name, link)
        except NotFound:
            return undone, last, link
        if earlier.state is None or not _follows(earlier.state, state):
            raise Conflict(what=f"the id {name} is in use, by another run", hint=f"dwf show {name}")
        if earlier.state.ended is None:
            raise _under_way(name, run)
        last = name
        undone |= _taken_back(store, earlier.state)
    return undone, last, link + 1


def _taken_back(store: Store, state: RunState) -> set[int]:
    """The entries that an undo has worked through with success, by their number in the run that it takes back."""
    ledger = msgspec.json.decode(bytes(store.blobs.resolve(state.head.input)), type=Ledger)
    stands = [entry.stand for entry in state.undos.entries.values()]
    pairs = zip(ledger.ledger, stands, strict=False)
    return {entry.command for entry, stand in pairs if stand is Stand.UNDONE}


def _follows(state: RunState, of: RunState) -> bool:
    follows = state.head.follows
    return follows is not None and follows.how == UNDO and follows.nonce == of.head.nonce


def _recorded(store: Store, entry: Undo) -> dict[str, object]:
    recorded = entry.recorded
    return {
        "command": recorded.command,
        "of": recorded.of,
        "name": recorded.name,
        "kind": recorded.kind,
        "input": store.blobs.resolve(recorded.input),
        "title": recorded.title,
        "timeout": recorded.timeout,
        "max_attempts": recorded.max_attempts,
    }


def _check_found(store: Store, state: RunState, entries: list[Undo]) -> None:
    """Everything is found before anything is begun."""
    try:
        script = Codes(store).of(state).script
        for entry in entries:
            call_of(script, msgspec.convert(_recorded(store, entry), Entry))
    except (ScriptRefused, NotFound) as error:
        raise CannotReplay(run=state.head.run, why=error.message, hint=error.hint) from error


def _under_way(name: str, run: str) -> Conflict:
    return Conflict(what=f"{run} is being undone, by {name}", hint=f"dwf show {name}")


def _nothing(run: str, state: RunState, last: str, left_out: list[str], older: list[int]) -> WrongState:
    if older:
        what = f"the newest instance of {run} has nothing that could be undone"
        return WrongState(what=what, hint=f"an earlier one has: dwf undo {run} --instance {older[-1]}")
    if left_out:
        hint = f"take that back, too: dwf undo {run} --unknown"
        return WrongState(what=f"of {run} it is only not known whether it was done: {', '.join(left_out)}", hint=hint)
    if last:
        return WrongState(what=f"{run} has been undone already, by {last}", hint=f"dwf show {last}")
    if state.undos.that_are(Stand.UNDONE):
        return WrongState(what=f"{run} has nothing left to undo: what could be, is undone", hint=f"dwf show {run}")
    return WrongState(what=f"{run} has nothing that could be undone", hint="only steps of a saga: dwf help cleanup")

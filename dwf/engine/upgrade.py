"""Upgrading: move one open run to other code, if that code replays its history."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dwf.core.events import CodeUpgraded, Decision, Event, Identity, Opening, RunUnblocked
from dwf.core.messages import check_run_id
from dwf.core.replay import Fetch, Program, Replay
from dwf.core.state import RunState
from dwf.engine.context import wall_clock_us
from dwf.engine.owners import require_own
from dwf.engine.routing import split_name
from dwf.engine.runs import folded
from dwf.engine.watched import watched
from dwf.errors import Busy, CannotReplay, NotFound, Poison, ScriptRefused, WrongState
from dwf.scripts.collect import Sources, collect
from dwf.scripts.load import Script, load
from dwf.scripts.packages import versions
from dwf.scripts.undoing import program_of
from dwf.store.code import bundle_hash
from dwf.store.history import History
from dwf.store.room import Store


@dataclass(frozen=True)
class Upgraded:
    """A run on its new code. `unblocked`: it was blocked before, and goes on with the next tick.

    `changed`: it was not on that code already; else it is recorded at most that it is not blocked any more.
    """

    run: str
    code: str
    unblocked: bool
    changed: bool = True


def upgrade(store: Store, run: str, script: str, by: Identity, reason: str = "") -> Upgraded:
    """Check that `script` replays the run's history, store it, and record that the run is on it now.

    A run that is on this very code stays as it is; if it is blocked, that is lifted, and it is tried again.
    Raises NondeterminismError or another ScriptError (65) when it does not fit or cannot be loaded, Busy (75),
    WrongState (7), NotFound (4) and NotPermitted (77) for the script's file. Nothing is changed then.
    """
    check_run_id(run)
    sources, content, loaded = brought(run, script)
    lock = store.locks.take(run)
    if lock is None:
        holder = store.locks.holder(run)
        raise Busy(run=run, pid=holder.pid if holder else "?", hint="try again in a moment")
    with lock:
        path = store.history(run, store.latest_link(run))
        history = History.open(store.disk, path, wall_clock_us())
        try:
            state = folded(history.events, path)
            if state.ended is not None:
                raise WrongState(what=f"run {run} is {state.status.value}", hint="only open runs can be upgraded")
            check_fits(store, _program(loaded, state), state, history.events)
            store.code.save(dict(sources.files), sources.main)
            place = f"{sources.origin}/{sources.main}"
            changed = (state.code, state.script) != (content, place)
            moved = CodeUpgraded(
                code=content,
                script=place,
                code_owner=sources.owner,
                code_permissions=sources.permissions,
                packages=versions(sources.imports),
                by=by,
                reason=reason,
            )
            said: list[Event] = [moved] if changed else []
            if state.blocked is not None and (not changed or state.blocked.code == Poison.code):
                # That other code was brought is no word on what is not of the code: it is lifted here.
                said.append(RunUnblocked(decided=Decision(by=by, reason=reason)))
            store.index.mark_due(run)
            if said:
                for event in said:
                    history.stage(event, wall_clock_us())
                history.commit()
                lock.forgive()  # of what the old code died, the new one need not
        finally:
            history.close()
    store.index.wake(run)
    return Upgraded(run, content, state.blocked is not None, changed)


def brought(run: str, script: str) -> tuple[Sources, str, Script]:
    """Code that a run is to go on with: its files, their hash, loaded. Raises CannotReplay, NotFound, NotPermitted."""
    path, _ = split_name(script)
    try:
        sources = collect(path)
        require_own(sources)
        content = bundle_hash(dict(sources.files), sources.main)
        return sources, content, load(sources.files, sources.main, content, sources.origin)
    except ScriptRefused as error:
        raise CannotReplay(run=run, why=error.message, hint=error.hint) from error


def _program(loaded: Script, state: RunState) -> Program:
    try:
        return program_of(loaded, state.head)
    except NotFound as error:
        raise CannotReplay(run=state.head.run, why=error.message, hint=error.hint) from error


def check_fits(
    store: Store,
    program: Program,
    state: RunState,
    events: list[Event],
    weight: Callable[[int], int] | None = None,
) -> None:
    """Replay a history against a program, without a trace. Raises the ScriptError that it meets.

    weight: how long its first so many lines are, in bytes, if its file is not there yet.
    """
    with replaying(store, program, state, events, weight) as replay:
        replay.apply(events)


@contextmanager
def replaying(
    store: Store,
    program: Program,
    state: RunState,
    events: Sequence[Event],
    weight: Callable[[int], int] | None = None,
) -> Iterator[Replay]:
    """A replay that is to be given these events, and nothing of which is recorded. Raises the ScriptError it meets."""
    weight = weight or store.weight(state.head.run, state.head.link)
    with watched(program, state, events, store.blobs.fetch, weight) as replay:
        yield replay


def come_to(
    program: Program, state: RunState, events: list[Event], fetch: Fetch, weigh: Callable[[int], int] | None = None
) -> tuple[list[Opening], Event | None]:
    """Replay a history that lies anywhere. Raises the ScriptError it meets.

    What is asked for at its end, and was not before; and the script's own end, as the event that would say so, None if
    it waits. fetch: the bytes of a large value by their hash. weigh: as `weight` above, 0 if None.
    """
    with watched(program, state, events, fetch, weigh) as replay:
        return replay.apply(events), replay.outcome

"""Moving a run: out of this state directory into a bundle, and from a bundle into this one. Bytes are the store's.

A copy is taken of any run, at any time. A move is fenced: under the run's lock RunMoved is on disk before a byte
of the bundle is, so no two copies of it go on. Only what ends with RunMoved can be taken up elsewhere, by RunAdopted;
any other bundle becomes a copy for inspection, by RunImported. The chain of hashes runs through all of them.

What cannot be prevented: one bundle taken up on two machines. Each history says then on which machine it was.
"""

# ruff: noqa: PTH100, PTH113

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from dwf import __version__, host
from dwf.core.duration import stamp
from dwf.core.events import TERMINAL, Identity, RunAdopted, RunImported, RunMoved
from dwf.core.messages import check_run_id
from dwf.core.state import RunState
from dwf.engine.context import wall_clock_us
from dwf.engine.summary import row_of, whereabouts
from dwf.errors import BundleRefused, Busy, Conflict, NotAtRest, NotFound, NotPermitted, WrongState
from dwf.store.bundle import Manifest, Sink, Survey, new_file, survey, surveyed_anew, write
from dwf.store.history import History, read_history
from dwf.store.locks import RunLock
from dwf.store.record import Chain
from dwf.store.room import Store
from dwf.store.unbundle import Found, look, store_all

Clock = Callable[[], int]
_MARK_LENGTH = 16


@dataclass(frozen=True)
class Exported:
    """A bundle that was written. `head`: the hash of the last line in it; `moved`: it can be taken up elsewhere."""

    run: str
    head: str
    moved: bool
    instances: int
    size: int


@dataclass(frozen=True)
class Imported:
    """A run that was taken in, for good. `resumed`: it goes on here; else it is a copy for inspection."""

    run: str
    head: str
    resumed: bool
    instances: int


def machine_mark() -> str:
    """What tells this machine from others. Not its id, which is nobody's business."""
    return sha256(b"dwf.machine\n" + host.machine_id().encode()).hexdigest()[:_MARK_LENGTH]


# -- out --------------------------------------------------------------------------------------------------------


def copy(store: Store, run: str, path: str | None, sink: Sink | None, by: Identity, reason: str = "") -> Exported:
    """A bundle of a run as it is now, into a new file at `path`, or piece by piece into `sink`.

    Writes nothing to the state directory. Raises NotFound (4), Conflict (9) if the file is there, what makes the
    history unreadable (65), DiskError.
    """
    found = survey(store, run)
    if sink is not None:
        return _written(found, by, reason, sink)
    assert path is not None
    with new_file(store.disk, path) as into:
        return _written(found, by, reason, into)


def move(store: Store, run: str, path: str, by: Identity, reason: str = "", clock: Clock = wall_clock_us) -> Exported:
    """Put a run into a new file at `path`, from where it goes on elsewhere; here it goes no further.

    When this returns the file is on disk. If it fails after the run was marked as moved, it can be called again.
    Raises Busy or NotAtRest (75), WrongState (7) for a run that is not open, and what `copy` raises.
    """
    check_run_id(run)
    with _locked(store, run), new_file(store.disk, path) as into:
        link = store.latest_link(run)
        with History.open(store.disk, store.history(run, link), clock()) as history:
            # Before the fence: what is lost or too large for a bundle must not strand the run.
            found = survey(store, run)
            if not isinstance(found.newest.state.ended, RunMoved):
                _require_rest(store, run, found.newest.state)
                store.index.mark_due(run)
                fence = RunMoved(to=os.path.abspath(path), by=by, reason=reason, machine=machine_mark())
                history.stage(fence, clock())
                history.commit()
            found = surveyed_anew(store, found)
        _settle(store, found.newest.state, link)
        return _written(found, by, reason, into)


def _written(found: Survey, by: Identity, reason: str, sink: Sink) -> Exported:
    newest = found.newest
    moved = isinstance(newest.state.ended, RunMoved)
    manifest = Manifest(
        run=found.run,
        nonce=newest.nonce,
        head=newest.head,
        moved=moved,
        made=stamp(wall_clock_us()),
        by=by,
        reason=reason,
        machine=machine_mark(),
        dwf=__version__,
        members=[member for member, _ in found.sources],
    )
    size = 0

    def counted(data: bytes) -> None:
        nonlocal size
        size += len(data)
        sink(data)

    write(found, manifest, counted)
    return Exported(found.run, newest.head, moved, len(found.instances), size)


def _require_rest(store: Store, run: str, state: RunState) -> None:
    """Nothing of it may be happening, and nothing may wait here that it would not learn of there."""
    if state.ended is not None:
        hint = f"a copy of it: dwf export {run} FILE" if isinstance(state.ended, TERMINAL) else whereabouts(state)
        raise WrongState(what=f"run {run} is {state.status.value}; only open runs can be moved", hint=hint)
    started = next((step for step in state.steps.values() if step.started is not None), None)
    if started is not None:
        raise NotAtRest(run=run, why=f"the step {started.title} has begun and has no outcome", hint="dwf tick")
    if state.locks:
        name = next(iter(state.locks.values())).requested.name
        raise NotAtRest(
            run=run, why=f"it holds or waits for lock {name}, which other runs here share", hint="dwf locks"
        )
    if store.mailbox.pending(run):
        raise NotAtRest(run=run, why="something was posted to it that it has not taken up", hint="dwf tick")


def _settle(store: Store, state: RunState, link: int) -> None:
    """It is closed here. If something has come in meanwhile, a tick finds the run due and puts that aside as late."""
    run = state.head.run
    wakes = store.index.wakes_seen(run)
    if store.mailbox.pending(run) or not store.index.settle(run, wakes, row_of(state, link)):
        store.index.mark_due(run)


# -- in ---------------------------------------------------------------------------------------------------------


def examined(path: str) -> Found:
    """A bundle, checked to its last byte; nothing is written. Raises NotFound (4), BundleRefused (2), DiskError."""
    try:
        return look(os.path.realpath(path))
    except FileNotFoundError:
        raise NotFound(what=f"there is no file {path}", hint="name a bundle that dwf export has made") from None
    except NotPermitted:
        if os.path.isfile(path):
            raise
        raise BundleRefused(
            path=path, why="it is not a regular file", hint="a bundle is what dwf export makes"
        ) from None


def require_moved(found: Found) -> None:
    """Raise WrongState (7) for a bundle that cannot be taken up: its run goes on where it came from, or has ended."""
    state = found.newest.state
    if isinstance(state.ended, RunMoved):
        return
    run = found.manifest.run
    if state.ended is not None:
        hint = "leave out --resume for a copy to look into"
        raise WrongState(what=f"run {run} is {state.status.value} in this bundle; it cannot go on", hint=hint)
    hint = f"where it runs: dwf export {run} FILE --move -m REASON"
    raise WrongState(what=f"run {run} was copied into this bundle and not moved; it may go on elsewhere", hint=hint)


def take_in(
    store: Store, found: Found, by: Identity, reason: str = "", *, resume: bool = False, clock: Clock = wall_clock_us
) -> Imported:
    """Make the run of a bundle one of this state directory; when this returns it is there for good.

    resume: it goes on here, where it was. Else it is a copy for inspection, that nothing drives. A run that was moved
    from here comes back so: its history grows by what happened elsewhere.
    Raises Conflict (9) if the id is in use here, WrongState (7), Busy (75), BundleRefused (2), DiskError.
    """
    if resume:
        require_moved(found)
    run, newest, link = found.manifest.run, found.newest, max(found.instances)
    kind = RunAdopted if resume else RunImported
    with _locked(store, run):
        comes_back = _comes_back(store, found, resume)
        chain = Chain(newest.length, newest.hash, newest.last_us)
        event, line = chain.append(kind(by=by, reason=reason, machine=machine_mark()), clock())
        newest.state.apply(event)
        try:
            store_all(store, found, line, row_of(newest.state, link, due_now=resume), comes_back=comes_back)
        except Conflict as error:
            raise error if comes_back else _in_use(run) from None
    return Imported(run, newest.head, resume, len(found.instances))


def _comes_back(store: Store, found: Found, resume: bool) -> bool:
    """Whether the run was moved from here and may come back; False if it is not here. Raises Conflict otherwise."""
    run = found.manifest.run
    here = list(range(1, store.latest_link(run) + 1))
    paths = [store.history(run, link) for link in here]
    if not os.path.lexists(paths[-1]):
        return False
    is_away = any(path != store.layout.history_path(run, link) for link, path in zip(here, paths, strict=True))
    if is_away or not isinstance(read_history(paths[-1]).events[-1], RunMoved):
        raise _in_use(run)
    if not resume:
        raise Conflict(
            what=f"run {run} was moved from here", run=run, hint="it can come back: dwf import FILE --resume"
        )
    if here != sorted(found.instances):
        hint = "look into it elsewhere: dwf --home DIR import FILE"
        raise Conflict(what=f"run {run} was moved from here, and its id was used anew since", run=run, hint=hint)
    return True


def _in_use(run: str) -> Conflict:
    return Conflict(what=f"the run id {run} is in use here", run=run, hint=f"see what it is: dwf show {run}")


def _locked(store: Store, run: str) -> RunLock:
    lock = store.locks.take(run)
    if lock is None:
        holder = store.locks.holder(run)
        raise Busy(run=run, pid=holder.pid if holder else "?", hint="try again when it rests")
    return lock

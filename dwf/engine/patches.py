"""Patches of a script: which open runs still need the old branch, which have the mark, and so what may go.

Each open run of the script is replayed against the file, without a trace. What a run that does not fit it needs is
nobody's question: it stays on its own code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from dwf.core.events import Event, VersionMarkerRecorded
from dwf.core.state import RunState
from dwf.engine.owners import require_own
from dwf.engine.routing import split_name
from dwf.engine.runs import RunView, load
from dwf.engine.upgrade import replaying
from dwf.engine.versions import Progress, open_ids
from dwf.errors import DwfError
from dwf.scripts.collect import Sources, collect
from dwf.scripts.load import Script
from dwf.scripts.load import load as load_script
from dwf.scripts.patches import Patch, patches_in
from dwf.scripts.undoing import program_of
from dwf.store.code import bundle_hash
from dwf.store.room import Store


@dataclass(frozen=True)
class Needed:
    """One patch. old: open runs that have gone the old way; marked: those that have its mark; may: those on code that
    would still set it."""

    patch: Patch
    old: list[str] = field(default_factory=list)
    marked: list[str] = field(default_factory=list)
    may: list[str] = field(default_factory=list)

    @property
    def advice(self) -> str:
        """What may be done with it now."""
        if self.patch.asked:
            return "keep" if self.old else "can be deprecated"
        return "keep" if self.marked or self.may else "can be removed"

    @property
    def why(self) -> str:
        """Why, in words."""
        if self.patch.asked:
            if self.old:
                return f"{_runs(self.old)} went the old way"
            return "no open run went the old way: keep the new branch, and dwf.deprecate_patch() before it"
        if self.marked:
            return f"{_runs(self.marked)} with its mark"
        return f"{_runs(self.may)} on code that may still set it" if self.may else "no open run has its mark"


@dataclass(frozen=True)
class Patches:
    """What is to be said of one script. unfit: open runs that do not fit the file, and why."""

    script: str
    needed: list[Needed]
    fit: int
    unfit: dict[str, str]


def patches(store: Store | None, script: str, progress: Progress | None = None) -> Patches:
    """Every patch that the script knows. Raises what `collect` and `load` raise for a script that cannot be used."""
    path, _ = split_name(script)
    sources = collect(path)
    require_own(sources)
    loaded = load_script(sources.files, sources.main, bundle_hash(sources.files, sources.main), sources.origin)
    found = {name: Needed(patch) for name, patch in sorted(patches_in(sources.files).items())}
    told = Patches(f"{sources.origin}/{sources.main}", list(found.values()), 0, {})
    fit = 0
    for view, state in () if store is None else open_runs_of(store, loaded, sources, progress):
        assert store is not None
        try:
            old = _gone_the_old_way(store, loaded, state, view.events)
        except DwfError as error:
            told.unfit[view.run] = error.message
            continue
        fit += 1
        marked = {event.patch for event in view.events if isinstance(event, VersionMarkerRecorded)}
        asked = _asked_by_code(store, state)
        for name, needed in found.items():
            if name in old:
                needed.old.append(view.run)
            if name in marked:
                needed.marked.append(view.run)
            elif name in asked and name not in old:
                needed.may.append(view.run)
    return Patches(told.script, told.needed, fit, told.unfit)


def open_runs_of(
    store: Store, loaded: Script, sources: Sources, progress: Callable[[int, int], None] | None = None
) -> Iterator[tuple[RunView, RunState]]:
    """The open runs of a script's workflows, as far as they can be read: by the name of its file."""
    runs = open_ids(store)
    for number, run in enumerate(runs):
        if progress is not None:
            progress(number, len(runs))
        with suppress(DwfError):
            view = load(store, run)
            state = view.state
            if state is None or view.problem is not None or state.ended is not None:
                continue
            if state.script.rpartition("/")[2] == sources.main and state.head.workflow in loaded.workflows:
                yield view, state
    if progress is not None:
        progress(len(runs), len(runs))


def _gone_the_old_way(store: Store, loaded: Script, state: RunState, events: list[Event]) -> set[str]:
    with replaying(store, program_of(loaded, state.head), state, events) as replay:
        replay.apply(events)
        return set(replay.commands.old_branches)


def _asked_by_code(store: Store, state: RunState) -> set[str]:
    with suppress(DwfError):
        bundle = store.code.load(state.code, state.head.run)
        return {name for name, patch in patches_in(bundle.files).items() if patch.asked}
    return set()


def _runs(runs: list[str]) -> str:
    shown = ", ".join(runs[:3])
    return shown + (f" and {len(runs) - 3} more" if len(runs) > 3 else "")

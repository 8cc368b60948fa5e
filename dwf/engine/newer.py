"""Runs that follow (`@dwf.workflow(upgrade="auto")`): onto what a new start of their id would take, if they fit that.

That is what their file holds, unless an operator keeps other code for new starts (routing.py). With upgrade="next" it
is done at the beginning of each next instance only. It is looked for when such a run is driven anyway. What does not
fit is told once, in the history, and the run stays on its code; nothing that is wrong with a file ever blocks it.
"""

from __future__ import annotations

from dwf.core.events import CodeRefused, CodeUpgraded
from dwf.core.state import RunState
from dwf.engine.context import Engine, Loaded
from dwf.engine.journal import Journal
from dwf.engine.owners import require_own
from dwf.engine.routing import kept_sources, takes_file
from dwf.engine.upgrade import check_fits
from dwf.errors import DiskError, DwfError, NotFound
from dwf.scripts.ondisk import OnDisk
from dwf.scripts.packages import versions
from dwf.scripts.undoing import program_of

AUTO, NEXT = "auto", "next"


def code_for(engine: Engine, journal: Journal) -> Loaded:
    """The code that a run goes on with; onto which it is moved first, if it follows and there is other code.

    What is recorded of it is staged. Raises DiskError, and what `Codes.of` raises.
    """
    head = journal.state.head
    if head.code_mode == AUTO or (head.code_mode == NEXT and head.continues and len(journal.history.events) == 1):
        _follow(engine, journal)
    return engine.codes.of(journal.state)


def _follow(engine: Engine, journal: Journal) -> None:
    state = journal.state
    found = None
    try:
        route = engine.store.routes.of(state.script)
        kept = None if route is None or takes_file(route, state.head.run) else route
        # What is kept is known by its hash, and need not be read to see that it is no other.
        if kept is not None and _is_settled(state, kept.code):
            return
        on_disk = engine.codes.on_disk
        found = on_disk(state.script) if kept is None else OnDisk(kept_sources(engine.store, kept), kept.code)
        if not _is_settled(state, found.content):
            journal.record(_moved(engine, journal, found, kept is not None))
    except DiskError:
        raise
    except DwfError as error:
        if found is None and isinstance(error, NotFound):
            return  # without a file there is nothing newer
        refusal = _refusal(state.script, found, error)
        if state.refused is None or (state.refused.code, state.refused.message) != (refusal.code, refusal.message):
            journal.record(refusal)


def _is_settled(state: RunState, content: str) -> bool:
    """Whether a run is on that code, or was found not to fit it."""
    return content == state.code or (state.refused is not None and state.refused.code == content)


def _moved(engine: Engine, journal: Journal, found: OnDisk, is_kept: bool) -> CodeUpgraded:
    """Raises the DwfError that says why the run cannot go on with it."""
    store, state, sources = engine.store, journal.state, found.sources
    sharing = store.layout.sharing
    if not is_kept:
        require_own(sources, {0, sharing.engine} if sharing is not None else None)
    loaded = engine.codes.load(sources, found.content)
    check_fits(store, program_of(loaded.script, state.head), state, journal.history.events)
    store.code.save(dict(sources.files), sources.main)
    return CodeUpgraded(
        code=found.content,
        script=state.script,
        code_owner=sources.owner,
        code_permissions=sources.permissions,
        packages=versions(sources.imports),
        reason=state.head.code_mode,
    )


def _refusal(script: str, found: OnDisk | None, error: DwfError) -> CodeRefused:
    return CodeRefused(
        code=found.content if found is not None else "",
        script=script,
        message=error.message,
        where=str(error.facts.get("where", "")),
        line=int(error.facts.get("line", 0)) if error.code == "nondeterminism" else 0,
    )

"""Runs that follow their file (`@dwf.workflow(upgrade="auto")`): onto what it holds now, if their history fits that.

The file is looked at when such a run is driven anyway, and only then. What does not fit is told once, in the history,
and the run stays on its code; nothing that is wrong with a file on disk ever blocks it.
"""

from __future__ import annotations

from dwf.core.events import CodeRefused, CodeUpgraded
from dwf.engine.context import Engine, Loaded
from dwf.engine.journal import Journal
from dwf.engine.owners import require_own
from dwf.engine.upgrade import check_fits
from dwf.errors import DiskError, DwfError, NotFound
from dwf.scripts.ondisk import OnDisk
from dwf.scripts.packages import versions
from dwf.scripts.undoing import program_of

AUTO = "auto"


def code_for(engine: Engine, journal: Journal) -> Loaded:
    """The code that a run goes on with; onto which it is moved first, if it follows its file and that has changed.

    What is recorded of it is staged. Raises DiskError, and what `Codes.of` raises.
    """
    if journal.state.head.code_mode == AUTO:
        _follow(engine, journal)
    return engine.codes.of(journal.state)


def _follow(engine: Engine, journal: Journal) -> None:
    state = journal.state
    found = None
    try:
        found = engine.codes.on_disk(state.script)
        if found.content == state.code or (state.refused is not None and state.refused.code == found.content):
            return
        journal.record(_moved(engine, journal, found))
    except DiskError:
        raise
    except DwfError as error:
        if found is None and isinstance(error, NotFound):
            return  # without a file there is nothing newer
        refusal = _refusal(state.script, found, error)
        if state.refused is None or (state.refused.code, state.refused.message) != (refusal.code, refusal.message):
            journal.record(refusal)


def _moved(engine: Engine, journal: Journal, found: OnDisk) -> CodeUpgraded:
    """Raises the DwfError that says why the run cannot go on with it."""
    store, state, sources = engine.store, journal.state, found.sources
    sharing = store.layout.sharing
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
        reason=AUTO,
    )


def _refusal(script: str, found: OnDisk | None, error: DwfError) -> CodeRefused:
    return CodeRefused(
        code=found.content if found is not None else "",
        script=script,
        message=error.message,
        where=str(error.facts.get("where", "")),
        line=int(error.facts.get("line", 0)) if error.code == "nondeterminism" else 0,
    )

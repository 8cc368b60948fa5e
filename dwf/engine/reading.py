"""Reading by replay: the script of a run is run by who asks, in his process, over the history, and leaves no trace.

That is running code, so it is refused for code of strangers (owners.py), and watched like any workflow code.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from dwf.core.replay import Program, Replay
from dwf.core.state import RunState
from dwf.engine.context import Codes, Loaded
from dwf.engine.owners import require_readers
from dwf.engine.runs import RunView
from dwf.engine.watched import watched
from dwf.errors import CannotReplay, NotFound, NotPermitted, ScriptRefused
from dwf.scripts.collect import collect
from dwf.scripts.undoing import program_of
from dwf.store.code import bundle_hash
from dwf.store.room import Store


@contextlib.contextmanager
def replayed(store: Store, view: RunView, uid: int) -> Iterator[tuple[Replay, Loaded]]:
    """The script of a run at the end of its history. In the block it is still watched; afterwards it is closed.

    Raises NotPermitted (77), and what makes that it cannot be replayed (65).
    """
    state = view.state
    assert state is not None
    loaded, program = code_of(store, state, uid)
    with watched(program, state, view.events, store.blobs.fetch, store.weight(view.run, view.link)) as replay:
        replay.apply(view.events)
        yield replay, loaded


def code_of(store: Store, state: RunState, uid: int, codes: Codes | None = None) -> tuple[Loaded, Program]:
    """The code of a run, for one who reads. Raises NotPermitted for that of strangers, CannotReplay.

    codes: what was loaded for others before.
    """
    require_readers(store, state, uid)
    codes = codes or Codes(store)
    try:
        loaded = _in_catalogue(store, state, codes) if store.is_operator else codes.of(state)
        return loaded, program_of(loaded.script, state.head)
    except (ScriptRefused, NotFound) as error:
        raise CannotReplay(run=state.head.run, why=error.message, hint=error.hint) from error


def _in_catalogue(store: Store, state: RunState, codes: Codes) -> Loaded:
    """Members cannot read the stored code of a shared directory; the catalogue they can, if it is still the same."""
    sources = collect(state.script)
    if bundle_hash(sources.files, sources.main) != state.code:
        raise NotPermitted(
            what=f"the code of {state.head.run} is not for members to read, and {state.script} is another one now",
            hint="the user who drives the runs can ask; what needs no code: dwf show, dwf history",
        )
    return codes.load(sources, state.code)

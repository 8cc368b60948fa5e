"""Whose code it is: asked before one user runs what another may have written.

At the start it is asked of the files, up to the root directory; afterwards the run is on a stored copy, and who owned
the script is recorded with it, for the copy says nothing of where it came from.
"""

from __future__ import annotations

import os
from collections.abc import Collection

from dwf.core.state import RunState
from dwf.errors import NotPermitted
from dwf.scripts.collect import Sources
from dwf.store.room import Store
from dwf.store.trust import require_trusted

_UNKNOWN = -1


def require_own(sources: Sources, trusted: Collection[int] | None = None) -> None:
    """Raise NotPermitted if others than `trusted` can change a script that is about to be run.

    None: anybody may, but root runs only what nobody but root can write.
    """
    if trusted is None:
        if os.geteuid() != 0:
            return
        trusted = {0}
    for file in sources.files:
        require_trusted(f"{sources.origin}/{file}", trusted, "root" if os.geteuid() == 0 else "the engine")


def require_roots(state: RunState) -> None:
    """Before root drives a run on its stored code: raise NotPermitted if that was not root's."""
    if os.geteuid() == 0 and state.code_owner not in (0, _UNKNOWN):
        raise NotPermitted(
            what=f"root does not run the code of {state.head.run}: it belonged to uid {state.code_owner}",
            hint=f"if it is in order: chown root {state.script}; dwf upgrade {state.head.run} --to {state.script}",
        )


def require_owner(owner: int, what: str) -> None:
    """Before root takes stored code for a new run: raise NotPermitted if that was not root's."""
    if os.geteuid() == 0 and owner not in (0, _UNKNOWN):
        raise NotPermitted(
            what=f"root does not run {what}: it belonged to uid {owner}",
            hint="if it is in order: chown root the file, and start from that (--code pinned)",
        )


def require_readers(store: Store, state: RunState, uid: int) -> None:
    """Before a reader replays a run, as himself: raise NotPermitted for the code of strangers.

    Who it belonged to is the word of whoever may write the history, so it counts only if he is trusted, too.
    """
    keeper = os.stat(store.layout.home).st_uid  # noqa: PTH116
    trusted = {0} if uid == 0 else {uid, 0, keeper} if store.shared else {uid, 0}
    owner = state.code_owner
    if keeper in trusted and (owner in trusted or owner == _UNKNOWN):
        return
    whose = f"the state directory belongs to uid {keeper}" if keeper not in trusted else f"it belongs to uid {owner}"
    raise NotPermitted(
        what=f"the code of {state.head.run} will not be run as you: {whose}",
        hint="what needs no code: dwf show, dwf history",
    )


def require_mine(store: Store | None, sources: Sources, uid: int) -> None:
    """Before somebody runs the top of a file over histories, as himself: raise NotPermitted for a stranger's file.

    Root runs only what nobody but root can write; anybody else what is his own, root's, or the engine's.
    """
    require_own(sources)
    shared = store is not None and store.shared
    keeper = {os.stat(store.layout.home).st_uid} if shared and store is not None else set()  # noqa: PTH116
    for file in sources.files:
        path = f"{sources.origin}/{file}"
        owner = os.stat(path).st_uid  # noqa: PTH116
        if owner not in {uid, 0} | keeper:
            raise NotPermitted(
                what=f"{path} will not be run as you: it belongs to uid {owner}",
                hint="what needs no run of it: dwf check --runs none",
            )

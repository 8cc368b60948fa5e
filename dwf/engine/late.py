"""Late mail is kept, and told, but not for ever: of more than a thousand messages the oldest go, and that is noted."""

from __future__ import annotations

import os

from dwf.core.duration import stamp
from dwf.core.events import Identity
from dwf.store.room import Store


def bound_late(store: Store, now_us: int) -> int:
    """Remove the oldest late messages beyond the limit, none for a run that is open; how many.

    The log of refusals says that it was done. Raises NotPermitted, DiskError.
    """
    dropped = store.mailbox.bound_late(lambda run: _is_open(store, run))
    if dropped:
        from dwf.engine.audit import Refusal, note_refusal
        from dwf.store.refused import MOST

        count = len(dropped)
        what = f"{count:,} late message{'s' if count > 1 else ''}, the oldest, removed: more than {MOST:,} were kept"
        runs = sorted({store.mailbox.run_of(name) or "" for name in dropped})
        me = Identity(uid=os.geteuid())
        note_refusal(
            store,
            Refusal(at=stamp(now_us), verb="mail", run=" ".join(runs[:20]), code="late", exit=0, message=what, by=me),
        )
    return len(dropped)


def _is_open(store: Store, run: str) -> bool:
    """What the index does not know is open as long as there is a history of that name."""
    row = store.index.row(run)
    return row.open if row is not None else os.path.lexists(store.layout.history_path(run))

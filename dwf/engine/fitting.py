"""Whether what a person says a step has come to fits what the script has annotated, asked before that is posted.

The script is asked by replay, as for any reader; where it cannot be, or is not this user's to run, nobody is refused
here: whoever drives the run looks at it once more.
"""

from __future__ import annotations

from dwf.core.messages import quoted
from dwf.core.runtime import ActivityCall
from dwf.engine.reading import replayed
from dwf.engine.runs import RunView
from dwf.errors import DwfError, UsageError
from dwf.store.room import Store


def refuse_unfit(store: Store, view: RunView, command: int, result: bytes, uid: int) -> None:
    """Raise UsageError for the result of an open step that it cannot have. Members of a shared directory do not ask."""
    if store.is_operator:
        return
    try:
        with replayed(store, view, uid) as (replay, _):
            call = replay.commands.calls.get(command)
    except DwfError:
        return
    if call is not None:
        refuse(call, result)


def refuse(call: ActivityCall, result: bytes) -> None:
    """The same, for who knows how the script asks for it."""
    why = None if call.result_type is None else call.misfit(result)
    if why is not None:
        what = f"that is no result of {quoted(call.title or call.name)}: {why}"
        raise UsageError(what=what, hint="give what the step returns by its annotation, as JSON")

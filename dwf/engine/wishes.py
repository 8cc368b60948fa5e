"""What a member's message asks for that wants a run to be there: its start, perhaps with the first signal to it.

Only the shape of it, and how it is read; who may, and what comes of it, is asked elsewhere.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from dwf.core.events import NOTHING, Payload
from dwf.core.messages import check_signal_name
from dwf.errors import UsageError


class FirstSignal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signal that starts the run if it is not there, and is delivered to it if it is."""

    name: str
    payload: Payload = NOTHING
    key: str = ""


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The payload of a start that is asked for by mail."""

    values: dict[str, str] = {}
    input: dict[str, Any] | None = None
    tags: dict[str, msgspec.Raw] = {}
    memo: dict[str, msgspec.Raw] = {}
    headers: dict[str, str] = {}
    start_at_us: int | None = None
    deadline_us: int | None = None
    if_exists: Literal["fail", "use", "new"] = "fail"
    signal: FirstSignal | None = None


def wish_of(payload: Payload) -> Wish:
    """What a letter asks for. Raises UsageError if it cannot be read."""
    try:
        wish = msgspec.json.decode(payload, type=Wish)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(what=f"what it asks for cannot be read: {error}") from None
    if wish.signal is not None:
        check_signal_name(wish.signal.name)
    return wish

"""Notes: what the members of a shared directory were refused on their own side, for the engine's log of refusals.

A member cannot write the log. His `dwf` says that it has refused him by a small file in the mailbox, and the next tick
takes it over: whose file it is, and when it came, says the kernel; what it says is his program's word. So that nobody
can fill the disk with it, there is a limit for each member and hour, and one line says that it was reached.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from dwf.core.duration import SECOND, stamp
from dwf.core.events import Identity
from dwf.engine.audit import Refusal, line_of, note_refusal, refusals
from dwf.store.letters import Note
from dwf.store.room import Store

MOST_AN_HOUR = 100
_HOUR_US = 3600 * SECOND


def post_refusal(store: Store, refusal: Refusal) -> None:
    """Tell the engine. Raises what posting a message raises."""
    store.mailbox.post_note(line_of(refusal))


def take_strange(store: Store, names: Iterable[str], now_us: int) -> None:
    """What is in the mailbox and for no run: notes go to the log, everything else is moved away with a reason.

    Raises NotPermitted, DiskError; what was not taken up is still there then.
    """
    found = list(filter(None, map(store.mailbox.read_note, names)))
    if not found:
        return
    told, have = Counter[int](), set[str]()
    for said, at_us in refusals(store):
        if said.note and at_us > now_us - _HOUR_US:
            told[said.by.uid] += 1
            have.add(said.note)
    for note in sorted(found, key=lambda note: (note.posted_us, note.name)):
        refusal = _refusal_in(note)
        if refusal is None:
            store.mailbox.refuse(note.name, "it is no note of a refusal", note.uid)
            continue
        if note.name not in have:
            _take(store, refusal, told)
        store.mailbox.discard([note.name])


def _take(store: Store, refusal: Refusal, told: Counter[int]) -> None:
    uid = refusal.by.uid
    told[uid] += 1
    if told[uid] <= MOST_AN_HOUR:
        note_refusal(store, refusal)
    elif told[uid] == MOST_AN_HOUR + 1:
        what = f"more than {MOST_AN_HOUR} refusals of one member in an hour: the others are not written down"
        note_refusal(store, msgspec.structs.replace(refusal, verb="mail", run="", reason="", message=what))


def _refusal_in(note: Note) -> Refusal | None:
    try:
        said = msgspec.json.decode(note.data, type=Refusal)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    by = said.by if said.by.uid == note.uid else Identity(uid=note.uid)
    return msgspec.structs.replace(said, by=by, at=stamp(note.posted_us), note=note.name)

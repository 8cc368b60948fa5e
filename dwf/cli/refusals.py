"""Refused commands: who tried to change something and was told no is written down. The answer is never changed by it.

In a shared directory only the engine writes that log: a member's refusal goes there as a note in the mailbox.

Verbs that only look are not written down, nor are slips of the keyboard: a wrong word, an id that is not there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from dwf.cli.exits import Exit

if TYPE_CHECKING:
    from dwf.cli.catalog import Verb
    from dwf.cli.faults import Fault
    from dwf.cli.session import Session

_REFUSALS = frozenset({Exit.WRONG_STATE, Exit.CONFLICT, Exit.DAMAGED, Exit.NOT_PERMITTED})
_PANELS = frozenset({"Run", "Answer", "Repair", "Schedule"})
_LOOKING = frozenset({"tick", "inbox"})
_ADMIN = frozenset({"adopt", "doctor", "import", "prune", "archive"})


def changes(verb: Verb) -> bool:
    """Whether the verb would change something."""
    return verb.name in _ADMIN or (verb.panel in _PANELS and verb.name not in _LOOKING)


def note(session: Session, fault: Fault) -> None:
    """Write a refusal down, if it is one and there is a state directory of ours to write it in."""
    if session.asked is None or fault.exit not in _REFUSALS:
        return
    verb, given = session.asked
    # A copy of a run changes nothing; a move ends it here.
    if not (changes(verb) or given.get("move")):
        return
    try:
        _write(session, verb, given, fault)
    except Exception:
        # Not swallowed: the person hears why the command was refused, and that is what was asked.
        return


def _write(session: Session, verb: Verb, given: dict[str, Any], fault: Fault) -> None:
    from dwf.cli.session import LAST, SELECTED
    from dwf.cli.times import now_us
    from dwf.core.duration import stamp
    from dwf.engine.audit import Refusal, note_refusal
    from dwf.engine.notes import post_refusal
    from dwf.store.room import Store

    home = session.home
    if not os.path.lexists(f"{home}/machine"):
        return
    mine = os.stat(home).st_uid == os.geteuid()  # noqa: PTH116
    store = Store.open(home) if mine else Store.open(home, post=True)
    if not (mine or store.is_operator):
        return
    named = given.get("run") or given.get("id_") or given.get("script") or ""
    words = map(str, named) if isinstance(named, list | tuple) else [str(named)]
    refusal = Refusal(
        at=stamp(now_us()),
        verb=verb.name,
        # These stand for runs that were not typed; the message names them.
        run=" ".join({LAST: "--last", SELECTED: "--where"}.get(word, word) for word in words),
        reason=str(given.get("reason") or ""),
        code=fault.code,
        exit=int(fault.exit),
        message=fault.message,
        by=session.me,
    )
    if mine:
        note_refusal(store, refusal)
    else:
        post_refusal(store, refusal)

"""Watch: locks. Who holds what runs share, and who waits for it."""

from __future__ import annotations

from typer import Context

from dwf.cli.exits import Exit
from dwf.cli.options import session_of


def locks(context: Context) -> int:
    """Locks between runs: who holds them, since when, and who waits, the next one first.

    -o name prints a line for each lock. Runs that wait for each other are said; ending one of them frees the others.
    """
    from dwf.cli.pages.locks import lock_document, lock_lines
    from dwf.engine.holding import held, tangled

    session = session_of(context)
    store, screen = session.store_to_read(), session.screen
    found = [] if store is None else held(store)
    tangle = tangled(found)
    if session.output == "json":
        documents = [lock_document(lock) for lock in found]
        screen.document({"schema": "dwf.locks/1", "locks": documents, "deadlock": tangle})
    elif session.output == "jsonl":
        screen.documents({"schema": "dwf.lock/1", **lock_document(lock)} for lock in found)
    elif session.output == "name":
        screen.lines([lock.name] for lock in found)
    else:
        screen.lines(lock_lines(found, session.clock, screen.marks, 0 if session.output == "wide" else screen.width))
        if not found:
            screen.say("no locks")
        for run in tangle[:1]:
            screen.say(f"{', '.join(tangle)} wait for each other, and none goes on: dwf cancel {run} -m WHY")
    return Exit.OK

"""Watch: the tree of a run and its children."""

from __future__ import annotations

from typer import Context

from dwf.cli.exits import Exit
from dwf.cli.options import RunArgument, session_of
from dwf.cli.screen import STATUS_STYLES, Piece
from dwf.cli.verbs.shared import pick


def tree(context: Context, run: RunArgument) -> int:
    """A run and the child runs that it has started, and theirs: where each is, and what it waits for.

    A child that was asked for and never made (its parent ended first, its id was in use) is shown as that.
    """
    from dwf.engine.tree import tree as branches

    session = session_of(context)
    store = session.existing_store(run)
    run = pick(session, store, run)
    found = list(branches(store, run))
    if session.is_json:
        runs = [
            {
                "run": b.run,
                "depth": b.depth,
                "workflow": b.workflow,
                "status": b.status.value if b.status else "not-made",
                "step": b.step,
                "waiting_for": b.waiting,
                "on_close": b.on_close,
            }
            for b in found
        ]
        session.screen.document({"schema": "dwf.tree/1", "run": run, "runs": runs})
        return Exit.OK
    if session.output == "name":
        session.screen.lines([b.run] for b in found)
        return Exit.OK
    widest = max(2 * b.depth + len(b.run) for b in found)
    for b in found:
        word = b.status.value if b.status else "not made"
        line: list[Piece] = [("  " * b.depth + b.run).ljust(widest + 2), (word, STATUS_STYLES.get(word, ""))]
        told = [b.workflow, "" if b.waiting in ("", "-") else f"waits for {b.waiting}"]
        told.append(f"{b.on_close} on close" if b.on_close not in ("", "terminate") else "")
        session.screen.line(*line, "  ", ("  ".join(filter(None, told)), "dim"))
    return Exit.OK

"""One row of the index: what `list` shows of a run, and when the run is due. Data only, derived from its history."""

from __future__ import annotations

from dataclasses import dataclass

# The time in `due_at` of a run that is due whatever the clock says.
DUE_NOW = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A run as the index knows it. All times are microseconds UTC.

    run, nonce, link: the workflow id, its newest instance, and which one that is (from 1).
    status: a word of core/state.py. open: it has not ended.
    due_at: DUE_NOW, the time that the run waits for, or None (closed, or it waits for mail only).
    step, waiting, since_us: where it is, what it waits for, since when. by: who started it.
    needs: it does not go on before a person acts.
    parent: `<nonce>.<command>` of the run that made it; empty if no run did. parent_run: its id.
    tags: what it is found by, as JSON. priority: who is higher is driven first.
    """

    run: str
    nonce: str = ""
    link: int = 1
    workflow: str = ""
    status: str = "running"
    open: bool = True
    due_at: int | None = DUE_NOW
    step: str = ""
    waiting: str = ""
    since_us: int = 0
    started_us: int = 0
    updated_us: int = 0
    by: str = ""
    needs: bool = False
    parent: str = ""
    parent_run: str = ""
    tags: str = "{}"
    priority: int = 0

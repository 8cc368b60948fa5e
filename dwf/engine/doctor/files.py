"""The files that count: histories, the index made from them, and what killed processes and refused mail left behind."""

from __future__ import annotations

import os

from dwf.core.duration import unstamp
from dwf.core.state import Status
from dwf.engine.doctor.finding import Finding, bad, several, warn
from dwf.engine.doctor.patient import Patient, Seen
from dwf.engine.queueing import in_line
from dwf.engine.summary import row_of
from dwf.errors import HistoryCorrupt, NewerFormat
from dwf.store.files import listed
from dwf.store.layout import HISTORY_SUFFIX, run_of
from dwf.store.refused import MOST
from dwf.store.row import DUE_NOW, Row
from dwf.store.survey import left_over
from dwf.store.verify import TORN

_FIX = "dwf doctor --fix"
_MOST_TOLD = 20


def histories(patient: Patient) -> list[Finding]:
    """Whether every history can be read to its end."""
    told = [finding for seen in patient.histories for finding in _of_history(patient, seen)]
    told += [_cut(seen) for seen in shortened(patient)]
    odd = [name for name in patient.names if name.endswith(HISTORY_SUFFIX) and run_of(name) is None]
    if odd:
        what = f"{several(len(odd), 'file', 'files')} in runs/ bear a name that no run can have, first {odd[0]!r}"
        told.append(warn("histories", what, f"ls -l {patient.layout.runs}"))
    if len(told) > _MOST_TOLD:
        more = len(told) - _MOST_TOLD
        told = [*told[:_MOST_TOLD], bad("histories", f"and {several(more, 'more', 'more')}", "dwf verify")]
    return told


def shortened(patient: Patient) -> list[Seen]:
    """Histories that end before the last record that the index has seen of them: a row follows what is on disk."""
    rows = patient.rows_before
    return [seen for seen in patient.histories if seen.run in rows and _is_shortened(patient, rows[seen.run], seen)]


def _is_shortened(patient: Patient, row: Row, seen: Seen) -> bool:
    if seen.problem is not None or seen.state is None or patient.held(seen.run):
        return False
    same = (row.link, row.nonce) == (seen.link, seen.state.head.nonce)
    return same and row.updated_us > unstamp(seen.state.last_ts)


def _cut(seen: Seen) -> Finding:
    what = f"{seen.name} ends before the last record that the index has seen of it: lines are missing at its end"
    return bad("histories", what, "dwf help stuck")


def _of_history(patient: Patient, seen: Seen) -> list[Finding]:
    if is_torn(patient, seen):
        what = f"{seen.name} ends in an incomplete record: a writer was killed; the next tick of this run mends it"
        return [warn("histories", what, _FIX)]
    if seen.problem is None:
        return []
    if isinstance(seen.problem, NewerFormat):
        return [bad("histories", f"{seen.name} was written by a newer dwf, and rests until one is back", "dwf version")]
    if isinstance(seen.problem, HistoryCorrupt):
        return [bad("histories", f"{seen.name} is damaged: {seen.problem.message}", f"dwf verify {seen.run}")]
    return [bad("histories", f"{seen.name} cannot be read: {seen.problem.message}", f"ls -l {seen.path}")]


def is_torn(patient: Patient, seen: Seen) -> bool:
    """Whether it ends in what the next writer cuts off, and no writer is at it just now."""
    if not seen.newest or patient.held(seen.run):
        return False
    if seen.problem is not None:
        return getattr(seen.problem, "kind", "") == TORN
    # A copy whose repair was never recorded: its maker died in between.
    return bool(seen.torn_bytes) or os.path.lexists(f"{seen.path}.torn")


# -- index ------------------------------------------------------------------------------------------------------


def index(patient: Patient) -> list[Finding]:
    """Whether what `list` shows and what ticks go by is what the histories say."""
    known = patient.store.index.rows()
    if known is None:
        if not os.path.lexists(patient.layout.index) and not patient.histories:
            return []
        what = "the index is missing, damaged, or of another boot: the next tick makes it anew, until then all is read"
        return [warn("index", what, _FIX)]
    rows = {row.run: row for row in known}
    newest = {seen.run: seen for seen in patient.histories if seen.newest}
    strays = sorted(set(rows) - set(newest))
    unknown = sorted(set(newest) - set(rows) - _begun(patient))
    told = []
    if strays:
        what = f"the index knows {several(len(strays), 'run', 'runs')} without a history, first {strays[0]}"
        told.append(warn("index", what, _FIX))
    if unknown:
        what = f"the index misses {several(len(unknown), 'run', 'runs')}, first {unknown[0]}: no tick sees them"
        told.append(bad("index", what, _FIX))
    cut = {seen.run for seen in shortened(patient)}
    stale = [run for run in newest.keys() & rows.keys() - cut if _is_stale(patient, rows[run], newest[run])]
    if stale:
        what = f"{several(len(stale), 'run is', 'runs are')} not as the index has them, first {min(stale)}"
        told.append(bad("index", what, _FIX))
    return told


def _begun(patient: Patient) -> set[str]:
    """Runs whose maker has died before their row was there: the next tick finds them by what he left."""
    found = (run_of(name.partition(".")[2]) for name in intents(patient))
    return {run[0] for run in found if run is not None}


def _is_stale(patient: Patient, row: Row, seen: Seen) -> bool:
    """Whether a tick that goes by this row would leave the run alone although it has something to do, or the like."""
    if row.due_at == DUE_NOW or patient.held(seen.run) or patient.store.mailbox.has_mail(seen.run):
        return False  # it is looked at anew in any case
    if seen.problem is not None:
        return row.status not in (Status.CORRUPT.value, Status.NEWER.value)
    if seen.state is None:
        return False
    if row.open and in_line(patient.store, seen.state):
        return False  # the first of a line is due, and wakes the next
    right = row_of(seen.state, seen.link)
    return (right.due_at, right.open, right.tags) != (row.due_at, row.open, row.tags)


# -- what was left behind ---------------------------------------------------------------------------------------


def leftovers(patient: Patient) -> list[Finding]:
    """What killed processes left, and mail that did not count."""
    told = []
    if old := old_intents(patient):
        told.append(warn("leftovers", f"{several(len(old), 'start was', 'starts were')} cut off half way", _FIX))
    for path in left_over(patient.layout):
        if not path.endswith((".torn", ".torn.new")):
            told.append(warn("leftovers", f"{path} was damaged and set aside", f"rm -r {path}"))
    if count := patient.store.mailbox.count_bad():
        what = f"{several(count, 'file', 'files')} in the mailbox: no message, or one that may not count"
        told.append(warn("leftovers", what, f"dwf audit; ls {patient.layout.mail_bad}"))
    if late := patient.store.mailbox.count_late():
        what = f"{several(late, 'message', 'messages')} came after the end of what it was for"
        if late >= MOST:
            what += f"; of more than {MOST:,} the oldest are removed"
        told.append(warn("leftovers", what, f"dwf audit; ls {patient.layout.mail_late}"))
    return told


def intents(patient: Patient) -> list[str]:
    """Beginnings of runs, of living makers and of dead ones."""
    return sorted(listed(patient.layout.intents))


def old_intents(patient: Patient) -> list[str]:
    """Beginnings of runs whose maker would have been done long ago."""
    found = []
    for name in intents(patient):
        try:
            age = patient.now_us - os.stat(f"{patient.layout.intents}/{name}").st_mtime_ns // 1000  # noqa: PTH116
        except OSError:
            continue
        if age > patient.limits.old_intent_us:
            found.append(name)
    return found

"""What is safe to mend: only what a tick or a careful person would do, with all evidence kept.

A torn tail is cut by the run's own writer, under its lock, exactly as the next tick would: the cut bytes are kept, and
the repair is a record of the history. Nothing that is damaged before its end is touched.
"""

from __future__ import annotations

import os
import stat

from dwf.engine.doctor.files import index, is_torn, old_intents, shortened
from dwf.engine.doctor.finding import Grade, several
from dwf.engine.doctor.patient import Patient
from dwf.engine.doctor.place import loose
from dwf.errors import DwfError, NotPermitted
from dwf.store.creation import recover_intents
from dwf.store.history import History
from dwf.store.layout import open_home
from dwf.store.survey import Entry, entries, for_group, furnish, tighten


def mend(patient: Patient, *, rebuild: bool = False) -> list[str]:
    """Mend what is safe to mend; a line for each thing that was done, or could not be. Raises what `open_home` raises.

    rebuild: make the index anew, whether it needs it or not.
    """
    done = _modes(patient)
    # From here on things are written: only in a directory that is ours, and bound to this machine.
    open_home(patient.store.disk, patient.home)
    done += _directories(patient)
    done += _intents(patient)
    done += _tails(patient)
    done += _index(patient, rebuild)
    patient.forget()
    return done


def _modes(patient: Patient) -> list[str]:
    found = os.stat(patient.home)  # noqa: PTH116
    home = Entry(
        patient.home, found.st_uid, stat.S_IMODE(found.st_mode), True, for_group(patient.layout, patient.home, True)
    )
    if found.st_uid != os.geteuid():
        raise NotPermitted(
            what=f"{patient.home} belongs to uid {found.st_uid}: only its owner may mend it", hint="dwf whoami"
        )
    done = []
    for entry in loose([home, *entries(patient.layout)]):
        try:
            tighten(patient.store.disk, entry)
        except (FileNotFoundError, DwfError):
            continue  # it is found again by the check
        done.append(f"{entry.path}: mode {entry.mode:04o} is {entry.mode & ~entry.loose:04o} now")
    return done


def _directories(patient: Patient) -> list[str]:
    return [f"{path}: made" for path in furnish(patient.store.disk, patient.layout)]


def _intents(patient: Patient) -> list[str]:
    if not old_intents(patient):
        return []
    count = recover_intents(patient.store.disk, patient.layout, patient.store.index)
    return (
        [f"{several(count, 'start that was', 'starts that were')} cut off: finished or cleared away"] if count else []
    )


def _tails(patient: Patient) -> list[str]:
    done = []
    for seen in patient.histories:
        if not is_torn(patient, seen):
            continue
        lock = patient.store.locks.take(seen.run)
        if lock is None:
            continue  # whoever works on it mends it
        with lock:
            with History.open(patient.store.disk, seen.path, patient.now_us) as history:
                told = history.events[-1]
            patient.store.index.wake(seen.run)
        done.append(
            f"{seen.name}: its torn end was cut off and kept; recorded as event {told.id} ({type(told).__name__})"
        )
    return done


def _index(patient: Patient, rebuild: bool) -> list[str]:
    wrong = [finding for finding in index(patient) if finding.grade is not Grade.OK]
    if wrong and not rebuild and (cut := shortened(patient)):
        # The index is all that knows of it.
        return [f"index.sqlite: left as it is, for it has seen more of {cut[0].run} than is there: dwf help stuck"]
    if not wrong and not rebuild:
        return []
    known = patient.store.index
    last = known.last_tick_us()
    if known.rebuild(patient.progress, force=True):
        if last is not None:
            known.note_tick(last)  # the one thing in it that no history tells
        return ["index.sqlite: made anew from the histories; every open run is due once"]
    return ["index.sqlite: another process is making it anew just now"]

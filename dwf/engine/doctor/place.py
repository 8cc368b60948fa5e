"""The state directory itself: is it ours, whole, on a disk that keeps its promises, and with room left?"""

from __future__ import annotations

import os
import shlex
import stat
from itertools import islice

from dwf.engine.doctor.finding import Finding, bad, several, warn
from dwf.engine.doctor.patient import Patient
from dwf.engine.identity import login_of
from dwf.errors import BadConfiguration, CannotCreate, DwfError, NotPermitted
from dwf.store.files import WRITABLE_BY_OTHERS
from dwf.store.layout import open_home, refuse_network
from dwf.store.survey import FOR_OTHERS, Entry, entries, for_group, missing, room

# So many are looked at; a directory with more of them has told enough.
_MOST_TOLD = 10_000
_FIX = "dwf doctor --fix"
_PROBE = ".doctor"


def directory(patient: Patient) -> list[Finding]:
    """Whether dwf would work in it: ours, not open to others, made on this machine."""
    home = patient.home
    found = os.stat(home)  # noqa: PTH116
    if not stat.S_ISDIR(found.st_mode):
        return [bad("directory", f"{home} is not a directory", "name another place with --home or DWF_HOME")]
    if found.st_uid != os.geteuid():
        whose = login_of(found.st_uid) or f"#{found.st_uid}"
        what = f"{home} belongs to {whose}, not to you: you may look, and change nothing"
        return [bad("directory", what, f"sudo -u {shlex.quote(whose)} dwf doctor")]
    mode = stat.S_IMODE(found.st_mode)
    if mode & WRITABLE_BY_OTHERS:
        return [bad("directory", f"others may write to {home} (mode {mode:04o})", f"chmod go-rwx {shlex.quote(home)}")]
    try:
        open_home(patient.store.disk, home)
    except BadConfiguration as error:
        return [bad("directory", error.message, "dwf adopt" if "machine" in error.message else "")]
    except (CannotCreate, NotPermitted) as error:
        return [bad("directory", error.message, error.hint or "")]
    if mode & FOR_OTHERS & ~for_group(patient.layout, home, True):
        return [
            warn("directory", f"others may look into {home} (mode {mode:04o})", f"chmod go-rwx {shlex.quote(home)}")
        ]
    return []


def contents(patient: Patient) -> list[Finding]:
    """Whether what is in it is ours alone, and complete."""
    told = [
        bad("contents", f"the directory {path} is missing", f"{_FIX}   (or: mkdir -m 700 {shlex.quote(path)})")
        for path in missing(patient.layout)
    ]
    all_of_it = list(islice(entries(patient.layout), _MOST_TOLD))
    foreign = [entry for entry in all_of_it if entry.uid != patient.owner]
    if foreign:
        whose = login_of(patient.owner) or f"#{patient.owner}"
        what = _first(foreign, "belongs to another user", "belong to other users")
        told.append(bad("contents", what, f"chown -R -h {whose} {shlex.quote(patient.home)}   (as root)"))
    writable = [entry for entry in all_of_it if entry.loose & WRITABLE_BY_OTHERS]
    readable = [entry for entry in loose(all_of_it) if entry not in writable]
    if writable:
        told.append(bad("contents", _first(writable, "may be written by others", "may be written by others"), _FIX))
    if readable:
        told.append(warn("contents", _first(readable, "may be read by others", "may be read by others"), _FIX))
    return told


def loose(found: list[Entry]) -> list[Entry]:
    """What others may read, write or enter."""
    return [entry for entry in found if entry.loose]


def _first(found: list[Entry], one: str, many: str) -> str:
    if len(found) == 1:
        return f"{found[0].path} {one}"
    return f"{len(found)} files {many}, first {found[0].path}"


def file_system(patient: Patient) -> list[Finding]:
    """Whether locks and fsync can be relied on there."""
    try:
        refuse_network(patient.home)
    except BadConfiguration as error:
        return [bad("file-system", error.message, "move it to a local disk, and set DWF_HOME")]
    return []


def locks(patient: Patient) -> list[Finding]:
    """Whether a lock that is held keeps others out: tried."""
    try:
        first = patient.store.locks.take(_PROBE)
        if first is None:
            return []  # another doctor has it: that a lock is refused is what was to be shown
        with first:
            second = patient.store.locks.take(_PROBE)
    except DwfError as error:
        return [bad("locks", f"a lock cannot be taken: {error.message}", error.hint or "")]
    if second is None:
        return []
    second.release()
    what = "two holders got one lock: this file system does not lock"
    return [bad("locks", what, "move it to a local disk, and set DWF_HOME")]


def space(patient: Patient) -> list[Finding]:
    """Whether there is room to write."""
    found, limits = room(patient.home), patient.limits
    look = f"df -h {shlex.quote(patient.home)}; df -i {shlex.quote(patient.home)}"
    told = []
    if found.read_only:
        told.append(bad("space", "the file system is mounted read-only", "dmesg | tail"))
    if found.free < limits.low_bytes:
        grade = bad if found.free < limits.no_bytes else warn
        told.append(grade("space", f"{found.free // 1024**2} MiB are free", look))
    if 0 <= found.inodes < limits.low_inodes:
        grade = bad if found.inodes < limits.no_inodes else warn
        told.append(grade("space", f"{several(found.inodes, 'more file', 'more files')} can be made (inodes)", look))
    return told

"""What was found in the mailbox and is no message: moved to mail/bad, each with a reason beside it, and bounded.

What cannot be moved (a directory of another user) is marked instead, counted once, and passed over from then on.
Nothing in here is ever taken back into the mailbox, and nothing in here is needed by any run.
"""

# ruff: noqa: PTH116

from __future__ import annotations

import json
import os
import stat
import time
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from dwf.errors import DiskError, DwfError, NotPermitted
from dwf.store.files import Disk, listed, read_regular
from dwf.store.sharing import file_mode

if TYPE_CHECKING:
    from dwf.store.layout import Layout

REASON, STUCK = ".reason", ".stuck"
MOST = 1000
# With an ending it must stay under the 255 bytes of a file name.
_LONGEST_NAME = 200
_LONGEST_REASON_FILE = 16 * 1024
_TIDY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


class BadMail(msgspec.Struct, frozen=True):
    """One refused file. `kept` is its name in mail/bad; `uid` owned it; `stuck`: it still lies in mail/new."""

    name: str
    reason: str
    uid: int = -1
    at_us: int = 0
    kept: str = ""
    stuck: bool = False


class Refused:
    """The refused files of one state directory."""

    def __init__(self, disk: Disk, layout: Layout) -> None:
        self._disk, self._new, self._bad = disk, layout.mail_new, layout.mail_bad
        self._mode = file_mode(layout)

    def take(self, name: str, reason: str, uid: int, directory: str = "") -> None:
        """Move a file away, from mail/new or `directory`, and say why. What fails for want of space stays for now."""
        source, kept = f"{directory or self._new}/{name}", tidy(name)
        try:
            try:
                self._disk.rename_noreplace(source, f"{self._bad}/{kept}")
            except FileExistsError:
                kept = f"{kept}.{os.urandom(4).hex()}"
                self._disk.rename_noreplace(source, f"{self._bad}/{kept}")
        except NotPermitted as error:
            if len(self._marks()) >= 2 * MOST:
                return  # told often enough; it is looked at again each time, and stays where it is
            self._explain(tidy(name) + STUCK, BadMail(name, f"{reason}; it cannot be moved: {error}", uid, stuck=True))
        except (FileNotFoundError, DiskError):
            return
        else:
            self._explain(kept + REASON, BadMail(name, reason, uid, kept=kept))
            self._bound()

    def without_stuck(self, names: list[str]) -> list[str]:
        """The names, but not those that were refused before and could not be moved."""
        marks = {mark for mark in listed(self._bad) if mark.endswith(STUCK)}
        return [name for name in names if tidy(name) + STUCK not in marks or not self._still_stuck(name)]

    def newest(self, limit: int) -> list[BadMail]:
        """What was refused, the newest last."""
        marks = sorted(self._marks(), key=lambda mark: _changed(f"{self._bad}/{mark}"))
        return list(filter(None, map(self._read, marks[-limit:])))

    def count(self) -> int:
        """How many there are; one that cannot be moved counts once."""
        return len(self._marks())

    def holds(self, name: str) -> bool:
        """Whether a file of this name was refused."""
        return os.path.lexists(f"{self._bad}/{tidy(name)}")

    def _marks(self) -> list[str]:
        return [name for name in listed(self._bad) if name.endswith((REASON, STUCK))]

    def _read(self, mark: str) -> BadMail | None:
        try:
            return msgspec.json.decode(read_regular(f"{self._bad}/{mark}", _LONGEST_REASON_FILE), type=BadMail)
        except (FileNotFoundError, DwfError, msgspec.MsgspecError):
            return BadMail(mark.removesuffix(REASON).removesuffix(STUCK), "its reason cannot be read any more")

    def _explain(self, mark: str, bad: BadMail) -> None:
        """A reason is for people: where it cannot be written, the file is refused all the same."""
        facts = msgspec.structs.asdict(bad) | {"at_us": time.time_ns() // 1000}
        path = f"{self._bad}/{mark}"
        self._disk.discard(path)
        try:
            fd = self._disk.open_new(path, self._mode)
        except (FileExistsError, DwfError):
            return
        try:
            self._disk.write_all(fd, json.dumps(facts).encode("ascii") + b"\n", path)
        except DwfError:
            self._disk.discard(path)
        finally:
            os.close(fd)

    def _still_stuck(self, name: str) -> bool:
        # The mark is for what lay there then; a new file of the same name deserves a look.
        return _changed(f"{self._new}/{name}") <= _changed(f"{self._bad}/{tidy(name)}{STUCK}")

    def _bound(self) -> None:
        """Forget the oldest of whoever has most: nobody may fill the disk with what is refused, or push others out."""
        kept = [name for name in listed(self._bad) if not name.endswith((REASON, STUCK))]
        for name in surplus(self._bad, kept, MOST):
            self._remove(f"{self._bad}/{name}")
            self._disk.discard(f"{self._bad}/{name}{REASON}")

    def _remove(self, path: str) -> None:
        try:
            if not stat.S_ISDIR(os.stat(path, follow_symlinks=False).st_mode):
                self._disk.unlink(path)
                return
            for name in listed(path):
                self._remove(f"{path}/{name}")
            self._disk.rmdir(path)
        except (OSError, DwfError):
            return  # it stays, and counts


def surplus(directory: str, names: list[str], most: int) -> list[str]:
    """What is beyond `most` of the files: the oldest of whoever has most, so that nobody can push others out."""
    if len(names) <= most:
        return []
    by_owner: dict[int, list[str]] = {}
    for name in sorted(names, key=lambda name: _changed(f"{directory}/{name}")):
        by_owner.setdefault(_owner(f"{directory}/{name}"), []).append(name)
    return [max(by_owner.values(), key=len).pop(0) for _ in range(len(names) - most)]


def tidy(name: str) -> str:
    """A file name as it may stand in mail/bad: short and harmless in a terminal, different for different names."""
    clash = name.endswith((REASON, STUCK)) or name.startswith(".")
    if len(name) <= _LONGEST_NAME and _TIDY.issuperset(name) and not clash:
        return name
    return "odd-" + sha256(os.fsencode(name)).hexdigest()[:32]


def _owner(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_uid
    except OSError:
        return -1


def _changed(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_ctime_ns
    except OSError:
        return 0

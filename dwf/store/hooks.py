"""Hooks: the owner's programs that are told what becomes of runs, and the notes of what they were not told yet.

A program lies in hooks.d/ and its name says what it is told: `failed,blocked.page` is a hook for two moments, and
`page` is for people. It runs as the owner of the directory, so nobody else may be able to change it.

A note is a file in untold/ named <run>~<instance>.<line>: from that line of that history on, something was recorded
that is to be told. It is on disk before those lines are, locked by who tells them as long as he lives, and removed when
all is told; what a killed process leaves is told by the next tick. So hooks are told at least once, and without hooks
nothing of this costs anything.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from dwf.core.moments import moments_named
from dwf.errors import NotPermitted
from dwf.store.files import WRITABLE_BY_OTHERS, Disk, disk_error, listed, read_all, read_regular
from dwf.store.layout import HISTORY_SUFFIX, LINK_MARK, Layout, run_of
from dwf.store.locks import is_at, lock_now
from dwf.store.trust import refuse_for_root

# A context manager in Python, for around each step; see the engine's `around`.
AROUND = "around"
GIVEN_UP = ".failed"
_FRESH = ".new-"
_MOST_GIVEN_UP = 1000
_LONGEST_NOTE = 64 * 1024


@dataclass(frozen=True)
class Hook:
    """One program, and the moments that it is told of."""

    name: str
    path: str
    moments: frozenset[str]

    @property
    def is_around(self) -> bool:
        """Whether it is Python for around each step, and no program."""
        return AROUND in self.moments


@dataclass(frozen=True)
class Unfit:
    """A file in hooks.d/ that is not called. `cure`: what to type."""

    path: str
    why: str
    cure: str


class Progress(msgspec.Struct, omit_defaults=True):
    """How far a hook has come with a note. told: up to which line. tries: of the next one, why the last failed, and
    not_before which time (microseconds) there is another. given_up: of which lines, and why.
    """

    told: int = 0
    tries: int = 0
    why: str = ""
    not_before: int = 0
    given_up: dict[str, str] = {}

    def came_to(self, line: int) -> None:
        """Nothing more is to be done about the lines up to this one."""
        self.told, self.tries, self.why, self.not_before = line, 0, "", 0

    def begin_again(self) -> None:
        """From the first line that was given up."""
        if self.given_up:
            self.came_to(min(map(int, self.given_up)) - 1)
            self.given_up = {}


def hooks_of(layout: Layout) -> tuple[list[Hook], list[Unfit]]:
    """The hooks in order of their names, and what lies there and is none. Raises DiskError, NotPermitted."""
    names = [name for name in sorted(listed(layout.hooks)) if not name.startswith(".") and not name.endswith("~")]
    if not names:
        return [], []
    if (weak := _weakness(layout.hooks)) is not None:
        return [], [weak]
    hooks: list[Hook] = []
    unfit: list[Unfit] = []
    for name in names:
        found = _hook(f"{layout.hooks}/{name}", name)
        if isinstance(found, Hook):
            hooks.append(found)
        else:
            unfit.append(found)
    return hooks, unfit


def _hook(path: str, name: str) -> Hook | Unfit:
    words, dot, _ = name.partition(".")
    moments = frozenset((AROUND,)) if words == AROUND else moments_named(words.split(","))
    if moments is None or not dot:
        return Unfit(path, "its name does not begin with what it is to be told, and a dot", "dwf help telling")
    if (weak := _weakness(path)) is not None:
        return weak
    found = os.stat(path)  # noqa: PTH116
    if not stat.S_ISREG(found.st_mode):
        return Unfit(path, "it is no file", f"rm -r {path}")
    if words == AROUND and not name.endswith(".py"):
        return Unfit(path, "what goes around steps is Python, and its name ends in .py", "dwf help telling")
    if words != AROUND and not os.access(path, os.X_OK):
        return Unfit(path, "it may not be executed", f"chmod u+x {path}")
    return Hook(name, path, moments)


def _weakness(path: str) -> Unfit | None:
    """Why others than the owner and root could change what will be run, if they could."""
    try:
        found = os.stat(path)  # noqa: PTH116
        refuse_for_root(path)
    except FileNotFoundError:
        return Unfit(path, "it leads nowhere", f"rm {path}")
    except NotPermitted as error:
        return Unfit(path, str(error.facts.get("why", error.message)), error.hint or f"ls -ld {path}")
    except OSError as error:
        return Unfit(path, os.strerror(error.errno or 0), f"ls -ld {path}")
    if found.st_uid not in (0, os.geteuid()):
        return Unfit(path, f"it belongs to uid {found.st_uid}", f"chown {os.geteuid()} {path}")
    if found.st_mode & WRITABLE_BY_OTHERS:
        return Unfit(path, f"others may write to it (mode {stat.S_IMODE(found.st_mode):04o})", f"chmod go-w {path}")
    return None


# -- notes ------------------------------------------------------------------------------------------------------


class Note:
    """A note that this process holds. progress: by the name of the hook. broken: something of it was not told here."""

    def __init__(self, disk: Disk, path: str, fd: int) -> None:
        self._disk, self.path, self._fd = disk, path, fd
        self.name = path.rpartition("/")[2]
        self.run, self.link, self.line = parsed(self.name) or ("", 1, 0)
        self.progress: dict[str, Progress] = {}
        self.broken = False

    def read(self) -> None:
        """What a former holder has written of its progress. What cannot be read is told again."""
        self.progress = _progress(read_all(self._fd, self.path, _LONGEST_NOTE))

    def save(self) -> None:
        """Write down the progress; not synced, for what is told twice is told, too. Raises DiskError."""
        data = msgspec.json.encode(self.progress)
        self._disk.truncate(self._fd, 0, self.path)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._disk.write_all(self._fd, data, self.path)

    def drop(self) -> None:
        """All is told."""
        if is_at(self._fd, self.path):
            self._disk.discard(self.path)
        self.leave()

    def give_up(self) -> None:
        """Nobody tries it again; it is kept for people."""
        if is_at(self._fd, self.path):
            self._disk.rename(self.path, self.path + GIVEN_UP)
        self.leave()

    def leave(self) -> None:
        """Leave it to whoever comes next."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class Notes:
    """The notes of one state directory."""

    def __init__(self, disk: Disk, layout: Layout) -> None:
        self._disk, self._layout = disk, layout
        self._directory = layout.untold

    def make(self, run: str, link: int, line: int) -> Note:
        """A note, on disk and held: what is recorded from that line on is to be told.

        Raises DiskError, NotPermitted.
        """
        path = f"{self._directory}/{run}{LINK_MARK}{link}.{line}"
        while True:
            fresh = f"{self._directory}/{_FRESH}{os.urandom(8).hex()}"
            try:
                fd = self._disk.open_new(fresh)
            except FileNotFoundError:
                self._make_directory()
                continue
            try:
                # Locked before it has its name: else the next tick would take it for one of a dead process.
                lock_now(fd, fresh)
                self._disk.rename(fresh, path)
                self._disk.fsync_dir(self._directory)
            except FileNotFoundError:
                os.close(fd)  # tidied away in the moment before it was locked
                continue
            except BaseException:
                os.close(fd)
                self._disk.discard(fresh)
                raise
            return Note(self._disk, path, fd)

    def left_behind(self) -> list[str]:
        """The names of notes, the oldest lines of each run first; some may be held by processes that live."""
        names = listed(self._directory)
        for name in names:
            if name.startswith(_FRESH) and (note := self.take(name)) is not None:
                note.drop()
        return sorted((name for name in names if parsed(name)), key=lambda name: parsed(name) or ("", 0, 0))

    def take(self, name: str) -> Note | None:
        """Hold a note; None if somebody else does, or it is gone."""
        path = f"{self._directory}/{name}"
        try:
            fd = self._disk.open_regular(path, rewrite=True, owner=os.geteuid())
        except FileNotFoundError:
            return None
        note = Note(self._disk, path, fd)
        if not lock_now(fd, path) or not is_at(fd, path):
            note.leave()
            return None
        note.read()
        return note

    def waiting(self) -> list[dict[str, Progress]]:
        """The progress with each note that is there, as far as it was written down; holds none of them."""
        found = []
        for name in filter(parsed, listed(self._directory)):
            with suppress(FileNotFoundError):
                found.append(_progress(read_regular(f"{self._directory}/{name}", _LONGEST_NOTE)))
        return found

    def given_up(self) -> dict[str, dict[str, Progress]]:
        """Notes that nobody tries again, with who was not told of what, and why."""
        names = sorted(name for name in listed(self._directory) if name.endswith(GIVEN_UP))
        return {
            name.removesuffix(GIVEN_UP): _progress(read_regular(f"{self._directory}/{name}", _LONGEST_NOTE))
            for name in names
        }

    def try_again(self) -> int:
        """Let everything that was given up be told anew; how many notes. Raises DiskError, NotPermitted."""
        names = list(self.given_up())
        for name in names:
            self._disk.rename(f"{self._directory}/{name}{GIVEN_UP}", f"{self._directory}/{name}")
            if (note := self.take(name)) is not None:
                for progress in note.progress.values():
                    progress.begin_again()
                note.save()
                note.leave()
        return len(names)

    def bound(self) -> None:
        """Forget the oldest of what was given up: it may not fill the disk."""
        names = [name for name in listed(self._directory) if name.endswith(GIVEN_UP)]
        if len(names) <= _MOST_GIVEN_UP:
            return
        oldest = sorted(names, key=lambda name: os.stat(f"{self._directory}/{name}").st_mtime_ns)  # noqa: PTH116
        for name in oldest[: len(names) - _MOST_GIVEN_UP]:
            self._disk.discard(f"{self._directory}/{name}")

    def _make_directory(self) -> None:
        try:
            self._disk.mkdir(self._directory)
            self._disk.fsync_dir(self._layout.home)
        except FileExistsError:
            pass
        except FileNotFoundError as error:
            raise disk_error("create", self._directory, error) from error


def parsed(name: str) -> tuple[str, int, int] | None:
    """Run, instance and line from the name of a note; None if it is none."""
    head, _, line = name.rpartition(".")
    run, mark, link = head.rpartition(LINK_MARK)
    if not (mark and link.isdecimal() and line.isdecimal()) or run_of(f"{run}{HISTORY_SUFFIX}") is None:
        return None
    return run, int(link), int(line)


def _progress(data: bytes) -> dict[str, Progress]:
    try:
        return msgspec.json.decode(data, type=dict[str, Progress])
    except msgspec.MsgspecError:
        return {}

"""Looking over a whole state directory: who owns what is in it, who may write it, how much room there is.

Reads, and changes nothing but what `tighten` is asked to. Nothing in here looks into a file.
"""

# ruff: noqa: PTH116, PTH120, PTH208

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from dwf.store.files import Disk, disk_error
from dwf.store.layout import Layout
from dwf.store.sharing import READABLE, directory_mode, open_to_group

# Bits that no file of ours has.
FOR_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or directory. `mode` without the file type; `shared`: what of it is for the group of a shared one."""

    path: str
    uid: int
    mode: int
    is_directory: bool
    shared: int = 0

    @property
    def loose(self) -> int:
        """What others may do with it, and should not."""
        return self.mode & FOR_OTHERS & ~self.shared


@dataclass(frozen=True, slots=True)
class Room:
    """What is free on the file system, for users other than root. `inodes` is -1 where nobody counts them."""

    free: int
    size: int
    inodes: int
    read_only: bool


def entries(layout: Layout) -> Iterator[Entry]:
    """Everything in the state directory that is ours to keep, parents first.

    Not what lies in the mailbox, which anybody may have put there and which is judged letter by letter; no links, and
    no sockets and devices, which nothing of ours ever opens.
    """
    strangers = {layout.mail_new, layout.mail_tmp, layout.mail_bad}
    if layout.sharing is not None:
        strangers.add(layout.mail_late)  # there they are moved as they are
    waiting = [layout.home]
    while waiting:
        directory = waiting.pop()
        for path, found in _in(directory):
            is_directory = stat.S_ISDIR(found.st_mode)
            if is_directory or stat.S_ISREG(found.st_mode):
                shared = for_group(layout, path, is_directory)
                yield Entry(path, found.st_uid, stat.S_IMODE(found.st_mode), is_directory, shared)
            if is_directory and path not in strangers:
                waiting.append(path)


def for_group(layout: Layout, path: str, is_directory: bool) -> int:
    """What the group of a shared directory may do with something in it; nothing in a directory of one's own."""
    if layout.sharing is None:
        return 0
    if is_directory:
        return directory_mode(layout, path) & FOR_OTHERS
    of_group = path in (layout.shared, layout.policy, layout.machine) or os.path.dirname(path) == layout.runs
    of_group = of_group or path.startswith(f"{layout.archive}/")
    return READABLE & FOR_OTHERS if of_group else 0


def names_in(directory: str) -> list[str]:
    """What lies in a directory, in order; nothing if it is not there. Raises NotPermitted, DiskError."""
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise disk_error("list", directory, error) from error


def missing(layout: Layout) -> list[str]:
    """Directories that belong to a state directory and are not there."""
    return [path for path in layout.directories() if not os.path.lexists(path)]


def left_over(layout: Layout) -> list[str]:
    """Copies of damaged things that were set aside: the index, and torn tails whose repair was never recorded."""
    aside = [path for path, _ in _in(layout.home) if path.startswith(f"{layout.index}.broken")]
    return aside + [path for path, _ in _in(layout.runs) if path.endswith((".torn", ".torn.new"))]


def room(path: str) -> Room:
    """How much may still be written. Raises NotPermitted, DiskError."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        raise disk_error("look at", path, error) from error
    return Room(
        found.f_bavail * found.f_frsize,
        found.f_blocks * found.f_frsize,
        found.f_favail if found.f_files else -1,
        bool(found.f_flag & os.ST_RDONLY),
    )


def tighten(disk: Disk, entry: Entry) -> None:
    """Take from a file of ours what others may do with it. Raises NotPermitted, DiskError, FileNotFoundError."""
    disk.chmod(entry.path, entry.mode & ~entry.loose)


def furnish(disk: Disk, layout: Layout) -> list[str]:
    """Make the directories that are missing; which ones. Raises NotPermitted, DiskError."""
    made = missing(layout)
    for path in made:
        try:
            disk.mkdir(path)
        except FileExistsError:
            continue
        if layout.sharing is not None:
            open_to_group(disk, layout, layout.sharing, path)
        disk.fsync_dir(os.path.dirname(path))
    return made


def _in(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    for name in names_in(directory):
        path = f"{directory}/{name}"
        try:
            yield path, os.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            continue  # gone in this moment: a lock, a letter
        except OSError as error:
            raise disk_error("look at", path, error) from error

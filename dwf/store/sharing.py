"""A state directory that is shared: one user drives the runs, the members of a group only post and look.

The marker `shared`, a file of a few lines, says that it is so, which group, and where the workflows lie that members
may start by name. It belongs to the engine's user like everything else; only mail/new and mail/tmp can be written by
members, and there only what is their own (sticky), so that whose file a message is says who sent it.

Modes are set explicitly, whatever the umask. Directories whose files members read are setgid: what is made in them
gets their group.
"""

# Only cheap imports (see the room's rules).
# ruff: noqa: PTH116

from __future__ import annotations

import os
import stat

from dwf.store.files import DIR_MODE, FILE_MODE, WRITABLE_BY_OTHERS, Disk, disk_error, read_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dwf.store.layout import Layout

SCHEMA = "dwf.shared/1"
# What members may read.
READABLE = 0o640
# The group may enter: never so in a directory of one's own.
GROUP_ENTERS = 0o010
# Messages of one user that may wait at a time: nobody fills the disk, or keeps a tick busy.
QUOTA = 1000
_HOME, _LOOK, _HIDDEN, _POST = 0o750, 0o2750, 0o2700, 0o3770
_LONGEST = 8192


class Sharing:
    """engine: the uid that drives the runs. gid: of the group that may post. catalogue: a directory, or ""."""

    __slots__ = ("catalogue", "engine", "gid")

    def __init__(self, engine: int, gid: int, catalogue: str = "") -> None:
        self.engine, self.gid, self.catalogue = engine, gid, catalogue

    def admits(self) -> bool:
        """Whether the caller may post: the engine's user, root, and the members of the group."""
        uid = os.geteuid()
        return uid in (0, self.engine) or self.gid == os.getegid() or self.gid in os.getgroups()

    @property
    def is_operator(self) -> bool:
        """Whether the caller is not the user that drives the runs, and so can only post and look."""
        return os.geteuid() != self.engine


def file_mode(layout: Layout) -> int:
    """The mode of what members may read too: a history, a message, why it was refused."""
    return FILE_MODE if layout.sharing is None else READABLE


def directory_mode(layout: Layout, path: str) -> int:
    """The mode of one of the directories of a state directory."""
    if layout.sharing is None:
        return DIR_MODE
    if path in (layout.mail_tmp, layout.mail_new):
        return _POST
    if path == layout.intents:
        return _HIDDEN
    if path in (layout.runs, layout.mail, layout.mail_late, layout.mail_bad):
        return _LOOK
    if path == layout.archive or path.startswith(f"{layout.archive}/"):
        return _LOOK
    return _HOME if path == layout.home else DIR_MODE


def read_sharing(layout: Layout, home: os.stat_result) -> Sharing | None:
    """What the marker says; None if there is none. Raises NotPermitted, BadConfiguration."""
    try:
        found = os.stat(layout.shared, follow_symlinks=False)
        text = read_regular(layout.shared, _LONGEST).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except PermissionError:
        raise _not_a_member(layout, home.st_gid) from None
    except OSError as error:
        raise disk_error("look at", layout.shared, error) from error
    if found.st_uid != home.st_uid or found.st_mode & WRITABLE_BY_OTHERS:
        raise _damaged(layout, f"it belongs to uid {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o}")
    first, *lines = text.splitlines() or [""]
    said = dict(line.partition(" ")[::2] for line in lines if line)
    if first != SCHEMA or not said.get("group", "").isdecimal():
        raise _damaged(layout, f"its first line is not {SCHEMA}, or it names no group")
    return Sharing(home.st_uid, int(said["group"]), said.get("catalogue", ""))


def share_home(disk: Disk, layout: Layout, sharing: Sharing) -> None:
    """Make what was just made a shared directory: groups, modes, and last the marker. Raises NotPermitted."""
    for path in layout.directories():
        open_to_group(disk, layout, sharing, path)
    write_marker(disk, layout, sharing)
    open_to_group(disk, layout, sharing, layout.home)


def write_marker(disk: Disk, layout: Layout, sharing: Sharing) -> None:
    """Say that the directory is shared. Raises BadConfiguration for a path that does not fit into a line."""
    if "\n" in sharing.catalogue:
        raise _damaged(layout, "the name of the catalogue holds a newline")
    text = f"{SCHEMA}\ngroup {sharing.gid}\ncatalogue {sharing.catalogue}\n"
    fresh = f"{layout.shared}.new"
    disk.discard(fresh)
    disk.write_new(fresh, os.fsencode(text), READABLE)
    disk.chown_group(fresh, sharing.gid)
    disk.touch(fresh, 0)  # its time is that of the last tick, and there was none yet
    disk.rename(fresh, layout.shared)


def open_to_group(disk: Disk, layout: Layout, sharing: Sharing, path: str) -> None:
    """Give a directory its group and mode. Raises NotPermitted if the caller cannot give it to that group."""
    wanted = directory_mode(layout, path)
    disk.chown_group(path, sharing.gid)
    disk.chmod(path, wanted)
    # Who is not in the group can set the bit as much as he likes.
    if stat.S_IMODE(os.stat(path).st_mode) != wanted:
        from dwf.errors import NotPermitted

        raise NotPermitted(
            what=f"{path} cannot be given to group {sharing.gid}: its setgid bit does not stay",
            hint="the engine's user must be a member of the group",
        )


def refuse_stranger(layout: Layout, sharing: Sharing, post: bool) -> None:
    """Raise NotPermitted unless the caller, who is not the engine, may do what he is about to: post."""
    if post and sharing.admits():
        return
    from dwf.errors import NotPermitted

    uid = os.geteuid()
    if not post:
        raise NotPermitted(
            what=f"{layout.home} is shared: only its engine (uid {sharing.engine}) does that, not you (uid {uid})",
            hint="what you may do: start, signal, approve, reject, cancel; dwf help security",
        )
    raise _not_a_member(layout, sharing.gid)


def _not_a_member(layout: Layout, gid: int) -> Exception:
    from dwf.errors import NotPermitted

    name = _name_of(gid)
    return NotPermitted(
        what=f"{layout.home} is for the members of group {name}, and you (uid {os.geteuid()}) are not in it",
        hint=f"as root: usermod -aG {name} YOU; then log in anew",
    )


def _name_of(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _damaged(layout: Layout, why: str) -> Exception:
    from dwf.errors import BadConfiguration

    return BadConfiguration(what=f"{layout.shared} cannot be used: {why}", path=layout.shared, hint="dwf help security")

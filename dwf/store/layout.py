"""Where things lie in the state directory, where that directory is, and whether it may be used.

Every path of the store is built here, and only from run ids that were checked before. Nothing in here knows a content.

    runs/<id>.jsonl, runs/<id>~2.jsonl ...   the truth: a file per instance of a workflow id
    runs/.tmp/                               intents of creation
    mail/{tmp,new,late,bad}                  what anybody may post
    locks/                                   files that exist only while they are held
    archive/<year>-<month>/                  closed runs, out of the way; made when it is first needed
    claims/  limits/                         who holds what runs share, and who waits for it; see lines.py
    out/<id>/  blobs/  code/                 captured output, large payloads, stored scripts
    index.sqlite                             derived; may be deleted at any time
    audit.jsonl, audit.<time>.jsonl          commands that were refused
    shared                                   there if other users may post and look; see sharing.py
    callback.key  hooks.d/  untold/          see tokens.py, hooks.py
    routes/  held/  paused                   what operators have set: see routes.py, held.py
    policy.toml                              then: who of them may do what
    machine                                  the machine this directory is bound to; written last when it is made
"""

# On the path of an idle tick: only cheap imports (see the room's rules).
# ruff: noqa: PTH100, PTH114, PTH116, PTH118, PTH119, PTH120, PTH208

from __future__ import annotations

import os
import stat

from dwf import host
from dwf.store.files import WRITABLE_BY_OTHERS, Disk, disk_error
from dwf.store.mounts import file_system
from dwf.store.trust import refuse_for_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from dwf.store.sharing import Sharing

HISTORY_SUFFIX = ".jsonl"
# Between a workflow id and the number of its instance; not allowed in ids.
LINK_MARK = "~"
_PUNCTUATION = str.maketrans(dict.fromkeys("._-", "0"))
_ELSEWHERE = "name another place with --home or DWF_HOME; an empty directory becomes one by the first dwf start"
_SHARED_BY_ROOT = "/var/lib/dwf"
# Locks, rename and fsync do not keep their promises between two machines that share one of these.
_NETWORK = frozenset(
    "nfs nfs3 nfs4 cifs smb3 smbfs ncpfs 9p afs ceph coda lustre gfs2 ocfs2 pvfs2 orangefs beegfs davfs "
    "fuse fuseblk vboxsf vmhgfs prl_fs virtiofs".split()
)


class Layout:
    """The paths of one state directory, as text. Building it touches nothing."""

    def __init__(self, home: str | os.PathLike[str]) -> None:
        self.home: str = os.fspath(home)
        self.runs: str = f"{self.home}/runs"
        self.intents: str = f"{self.runs}/.tmp"
        self.mail: str = f"{self.home}/mail"
        self.mail_tmp: str = f"{self.mail}/tmp"
        self.mail_new: str = f"{self.mail}/new"
        self.mail_late: str = f"{self.mail}/late"
        self.mail_bad: str = f"{self.mail}/bad"
        self.archive: str = f"{self.home}/archive"
        self.locks: str = f"{self.home}/locks"
        self.claims: str = f"{self.home}/claims"
        self.limits: str = f"{self.home}/limits"
        self.out: str = f"{self.home}/out"
        self.blobs: str = f"{self.home}/blobs"
        self.code: str = f"{self.home}/code"
        self.index: str = f"{self.home}/index.sqlite"
        self.audit: str = f"{self.home}/audit.jsonl"
        self.machine: str = f"{self.home}/machine"
        self.shared: str = f"{self.home}/shared"
        self.policy: str = f"{self.home}/policy.toml"
        self.callback_key: str = f"{self.home}/callback.key"
        self.hooks: str = f"{self.home}/hooks.d"
        self.untold: str = f"{self.home}/untold"
        self.routes: str = f"{self.home}/routes"
        self.held: str = f"{self.home}/held"
        self.paused: str = f"{self.home}/paused"
        # None: it is its owner's alone. Known once it was opened.
        self.sharing: Sharing | None = None

    def __repr__(self) -> str:
        return f"Layout({self.home!r})"

    def history_path(self, run: str, link: int = 1) -> str:
        """The history of the link-th instance (from 1) of a workflow id."""
        mark = f"{LINK_MARK}{link}" if link > 1 else ""
        return f"{self.runs}/{run}{mark}{HISTORY_SUFFIX}"

    def directories(self) -> tuple[str, ...]:
        """All directories below home, parents first."""
        mail = (self.mail, self.mail_tmp, self.mail_new, self.mail_late, self.mail_bad)
        return (self.runs, self.intents, *mail, self.locks, self.out, self.blobs, self.code)


def run_of(name: str) -> tuple[str, int] | None:
    """The workflow id and the number of the instance from a file name in runs/; None if it is no history's name."""
    if not name.endswith(HISTORY_SUFFIX) or name.startswith("."):
        return None
    run, mark, link = name[: -len(HISTORY_SUFFIX)].partition(LINK_MARK)
    if not _could_be_run(run):
        return None
    if not mark:
        return run, 1
    return (run, int(link)) if link.isascii() and link.isdecimal() and int(link) > 1 else None


def _could_be_run(run: str) -> bool:
    """Whether a start would have taken it as an id; in step with `core.messages`, and without what that imports."""
    plain = run[:1] + run[1:].translate(_PUNCTUATION)
    return plain.isascii() and plain.isalnum() and len(run) <= 128


# -- where it is ------------------------------------------------------------------------------------------------


def home_path(environ: Mapping[str, str], uid: int) -> str:
    """The absolute path of the state directory: $DWF_HOME, $STATE_DIRECTORY, or the default place of this user.

    An empty variable counts as unset; a relative path is made absolute once. Raises BadConfiguration if there is
    neither a variable nor a home directory to go by, or if a relative path has nothing to be relative to.
    """
    # systemd separates several directories with ":"; the first is ours
    asked = environ.get("DWF_HOME") or environ.get("STATE_DIRECTORY", "").split(":")[0]
    return _absolute(asked) if asked else _default_place(environ, uid)


def is_default_place(environ: Mapping[str, str]) -> bool:
    """Whether `home_path` goes by its default, the one place whose missing parents are made too."""
    return not (environ.get("DWF_HOME") or environ.get("STATE_DIRECTORY"))


def _default_place(environ: Mapping[str, str], uid: int) -> str:
    if uid == 0:
        return _SHARED_BY_ROOT
    base = environ.get("XDG_STATE_HOME", "")
    # The XDG rules: a relative path is to be ignored.
    if base.startswith("/"):
        return os.path.join(base, "dwf")
    return os.path.join(_user_home(environ, uid), ".local", "state", "dwf")


def _user_home(environ: Mapping[str, str], uid: int) -> str:
    from dwf.errors import BadConfiguration

    home = environ.get("HOME", "")
    if home.startswith("/"):
        return home
    import pwd

    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        raise BadConfiguration(
            what=f"no state directory: HOME is not set and uid {uid} has no passwd entry",
            hint="set DWF_HOME to a directory of yours",
        ) from None


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        from dwf.errors import BadConfiguration

        raise BadConfiguration(
            what=f"{path} is relative, and the current directory is gone", hint="set DWF_HOME to an absolute path"
        ) from None


# -- whether it may be used -------------------------------------------------------------------------------------


def open_home(
    disk: Disk,
    path: str,
    create: bool = False,
    *,
    parents: bool = False,
    write: bool = True,
    post: bool = False,
    share: Sharing | None = None,
    allow_network: bool = False,
) -> Layout:
    """The state directory at `path`, checked, and made if it is missing and `create` is given.

    parents: make missing parents too (right for the default place only). write: the caller will write, so the
    directory must be its own and bound to this machine; readers may look at other people's. post: it will only post,
    which members may do in a shared directory. share: what is made is shared so. allow_network: do not look at the
    file system when creating.

    Raises CannotCreate (73): it is missing, incomplete, no directory, or cannot be made; NotPermitted (77): it is
    somebody else's or others may write to it; BadConfiguration (78): a network file system, a directory with other
    things in it, or one that is bound to another machine.
    """
    layout = Layout(path)
    found = _stat(path)
    if found is None:
        if not create:
            raise _cannot_create(path, "it is not there", "the first dwf start makes it")
        _make_home(disk, path, parents)
        found = _stat(path)
    if found is None or not stat.S_ISDIR(found.st_mode):
        raise _cannot_create(path, "it is not a directory", "choose another place with DWF_HOME")
    if found.st_mode & 0o010:  # its group may enter: never so in a directory that is not shared
        from dwf.store.sharing import read_sharing

        layout.sharing = read_sharing(layout, found)
    _require_ours(layout, found, write, post)
    bound_to = _bound_machine(layout)
    if bound_to is None:
        if not create:
            raise _cannot_create(path, "it is not a dwf state directory", _ELSEWHERE)
        _require_empty(layout)
        if not allow_network:
            refuse_network(path)
        layout.sharing = share
        _furnish(disk, layout)
    elif (write or post) and bound_to and bound_to != host.machine_id():
        raise _moved(path)
    return layout


def adopt_home(disk: Disk, layout: Layout) -> None:
    """Bind the state directory to this machine, knowingly: it was moved here and is not used elsewhere.

    Raises NotPermitted if it is not the caller's own.
    """
    _require_ours(layout, os.stat(layout.home), True, False)
    alone = _enter_alone(layout.home)
    try:
        fresh = f"{layout.machine}.new"
        try:
            disk.write_new(fresh, _machine_line())
        except FileExistsError:  # of one who was killed here; it may be half
            disk.unlink(fresh)
            disk.write_new(fresh, _machine_line())
        if layout.sharing is not None:
            disk.chown_group(fresh, layout.sharing.gid)
            disk.chmod(fresh, 0o640)
        disk.rename(fresh, layout.machine)
        disk.fsync_dir(layout.home)
    finally:
        os.close(alone)


def _enter_alone(home: str) -> int:
    """A descriptor that locks the directory: of two makers at once, neither may take the other's draft away."""
    import fcntl

    try:
        fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise disk_error("open", home, error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    except OSError as error:
        os.close(fd)
        raise disk_error("lock", home, error) from error
    return fd


def refuse_network(path: str) -> None:
    """Raise BadConfiguration if the directory lies on a network or user-space file system.

    Not asked on an idle tick: it reads the list of mounts. Writers ask once, when they open the store.
    """
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            kind = file_system(os.path.realpath(path), file)
    except OSError:
        return  # not Linux, or /proc is hidden: nothing is known, nothing is refused
    if kind in _NETWORK or kind.startswith("fuse."):
        from dwf.errors import BadConfiguration

        raise BadConfiguration(
            what=f"{path} is on a {kind} file system, where locks and fsync cannot be relied on",
            path=path,
            kind=kind,
            hint="name a directory on a local disk with --home or DWF_HOME",
        )


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        if os.path.islink(path):
            raise _cannot_create(path, "it is a symbolic link that leads nowhere") from None
        return None
    except NotADirectoryError:
        raise _cannot_create(path, "a part of the path is not a directory") from None
    except OSError as error:
        raise disk_error("look at", path, error) from error


def _make_home(disk: Disk, path: str, parents: bool) -> None:
    parent = os.path.dirname(path)
    if parents and _stat(parent) is None:
        _make_home(disk, parent, parents)
    refuse_for_root(parent)
    try:
        disk.mkdir(path)
        disk.fsync_dir(parent)
    except FileExistsError:
        return  # another process made it just now
    except FileNotFoundError:
        raise _cannot_create(path, f"there is no directory {parent}", f"make it with: mkdir -p {parent}") from None


def _require_ours(layout: Layout, found: os.stat_result, write: bool, post: bool) -> None:
    path, from_others, mine = layout.home, found.st_mode & WRITABLE_BY_OTHERS, found.st_uid == os.geteuid()
    if not from_others and mine and write:
        refuse_for_root(path)
    if not from_others and (mine or not (write or post)):
        return
    if not from_others and layout.sharing is not None:
        from dwf.store.sharing import refuse_stranger

        refuse_stranger(layout, layout.sharing, post)
        return
    write = write or post
    from dwf.errors import NotPermitted

    if write and not mine:
        why, hint = f"it belongs to uid {found.st_uid}, not to you (uid {os.geteuid()})", None
    else:
        why, hint = f"others may write to it (mode {found.st_mode & 0o7777:04o})", f"chmod go-w {path}"
    raise NotPermitted(what=f"{path} is refused: {why}", path=path, why=why, hint=hint)


def _bound_machine(layout: Layout) -> str | None:
    """The machine it is bound to; "" for none in particular; None if it was never made, or not completely."""
    try:
        fd = os.open(layout.machine, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk_error("open", layout.machine, error) from error
    try:
        return os.read(fd, 256).decode("ascii", "replace").strip()
    except OSError as error:
        raise disk_error("read", layout.machine, error) from error
    finally:
        os.close(fd)


def _require_empty(layout: Layout) -> None:
    """What a killed creation left is ours; anything else means that the path is a mistake (DWF_HOME=~)."""
    ours = {os.path.basename(path) for path in (*layout.directories(), layout.machine)}
    ours |= {"lost+found", "machine.new", "shared", "shared.new", "policy.toml", "hooks.d"}
    foreign = sorted(set(os.listdir(layout.home)) - ours)
    if foreign:
        from dwf.errors import BadConfiguration

        raise BadConfiguration(
            what=f"{layout.home} holds other things ({foreign[0]!r}) and is not a dwf state directory",
            path=layout.home,
            hint="choose a new or empty directory",
        )


def _furnish(disk: Disk, layout: Layout) -> None:
    for path in layout.directories():
        try:
            disk.mkdir(path)
        except FileExistsError:
            pass
    if layout.sharing is not None:
        from dwf.store.sharing import share_home

        share_home(disk, layout, layout.sharing)
    for path in (layout.runs, layout.mail, layout.home):
        disk.fsync_dir(path)
    # Last, by a rename: where it stands, all the rest does.
    adopt_home(disk, layout)


def _machine_line() -> bytes:
    return host.machine_id().encode("ascii", "replace") + b"\n"


def _moved(path: str) -> Exception:
    from dwf.errors import BadConfiguration

    return BadConfiguration(
        what=f"{path} was made on another machine (or is a copy or a restored backup)",
        path=path,
        hint="if nothing uses it there any more: dwf adopt",
    )


def _cannot_create(path: str, why: str, hint: str | None = None) -> Exception:
    from dwf.errors import CannotCreate

    return CannotCreate(path=path, why=why, hint=hint)

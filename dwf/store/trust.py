"""Whom a path can be trusted with: who could change a file, or put another one in its place.

Asked wherever one user runs what another may have written: root's tick, the engine of a shared directory, a reader who
replays a run. A file is as safe as the directories above it, so each of them is looked at, as sshd and sudo do.
"""

# On the path of an idle tick of root: only cheap imports (see the room's rules).
# ruff: noqa: PTH100, PTH115, PTH116, PTH120

from __future__ import annotations

import os
import stat

from dwf.store.files import WRITABLE_BY_OTHERS, disk_error

_MOST_LINKS = 40
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection


class Weakness:
    """path: what somebody else could change. why: in words. cure: what to type."""

    __slots__ = ("cure", "path", "why")

    def __init__(self, path: str, why: str, cure: str) -> None:
        self.path, self.why, self.cure = path, why, cure


def weakness(path: str, trusted: Collection[int] = (0,)) -> Weakness | None:
    """The first on the way to a path, from the root on, that others than `trusted` can change; None if there is none.

    Links are followed step by step, each with the directory it lies in. A sticky directory (as /tmp) is no weakness:
    only its owner, and the owners of what is in it, can take something away there. Raises FileNotFoundError,
    NotPermitted, DiskError.
    """
    place, links = "", 0
    todo = os.path.abspath(path).split("/")[::-1]
    if weak := _weak("/", _look("/"), trusted):
        return weak
    while todo:
        name = todo.pop()
        if name in ("", ".", ".."):
            place = os.path.dirname(place) if name == ".." else place
            continue
        step = f"{place.rstrip('/')}/{name}"
        found = _look(step)
        if weak := _weak(step, found, trusted):
            return weak
        if not stat.S_ISLNK(found.st_mode):
            place = step
            continue
        links += 1
        if links > _MOST_LINKS:
            return Weakness(step, "too many links lead to it", f"name the file itself, and not {path}")
        target = os.readlink(step)
        place = "" if target.startswith("/") else place
        todo += target.split("/")[::-1]
    return None


def _look(path: str) -> os.stat_result:
    try:
        return os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise disk_error("look at", path, error) from error


def require_trusted(path: str, trusted: Collection[int] = (0,), who: str = "root") -> None:
    """Raise NotPermitted, with what to type, if others could change what `who` is about to rely on."""
    weak = weakness(path, trusted)
    if weak is None:
        return
    from dwf.errors import NotPermitted

    at = "" if weak.path == path else f": {weak.path}"
    raise NotPermitted(
        what=f"{path} is refused, for {who} relies on it{at}: {weak.why}", path=weak.path, why=weak.why, hint=weak.cure
    )


def refuse_for_root(path: str) -> None:
    """What root runs must not be what others can put there, or exchange from above. Nobody else is asked."""
    if os.geteuid() == 0 and os.access(path, os.F_OK):
        require_trusted(path)


def _weak(path: str, found: os.stat_result, trusted: Collection[int]) -> Weakness | None:
    if found.st_uid not in trusted:
        owner = min(trusted)
        return Weakness(path, f"it belongs to uid {found.st_uid}", f"chown {owner} {_quoted(path)}")
    sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    # Everybody may write a link, says its mode, and nobody can.
    if found.st_mode & WRITABLE_BY_OTHERS and not sticky and not stat.S_ISLNK(found.st_mode):
        return Weakness(
            path, f"others may write to it (mode {stat.S_IMODE(found.st_mode):04o})", f"chmod go-w {_quoted(path)}"
        )
    return None


def _quoted(path: str) -> str:
    import shlex  # it brings `re`, which an idle tick does not pay for

    return shlex.quote(path)

"""The one seam through which the store changes the disk.

`Disk` has a method per state-changing system call and a few that compose them. Every one of them goes through
`Disk._call`, so a test that overrides that one method can fail, shorten or log each call, or stop the world before or
after it. No policy in here: what to write, and in which order, is for the modules above.

Errors: an OSError becomes NotPermitted (77) or DiskError (74) with operation, path and errno. Two are answers and not
failures, so they pass as they are: FileExistsError (somebody was first) and FileNotFoundError (it is not there).
"""

# This module is on the path of an idle tick: no pathlib, no typing, no dwf.errors at import (10 ms each).

from __future__ import annotations

import errno
import os
import stat
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dwf.errors import DwfError

FILE_MODE = 0o600
DIR_MODE = 0o700
WRITABLE_BY_OTHERS = 0o022
# The `kind` of a refusal: a directory, a pipe, a device.
NOT_REGULAR = "not-regular"
# O_NONBLOCK: opening a planted FIFO must not hang. It means nothing for a regular file.
_SAFE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NOT_PERMITTED = frozenset({errno.EACCES, errno.EPERM})
_RENAME_NOREPLACE = 1
_AT_FDCWD = -100


class Disk:
    """System calls that change the disk. Stateless; one instance is passed around so that tests can pass another."""

    __slots__ = ()

    def _call(self, operation: str, path: str, function: Callable[..., Any], *args: Any) -> Any:
        """Every system call of this class, with its name and the path it is about. Raises OSError only."""
        return function(*args)

    def _do(self, operation: str, path: str, function: Callable[..., Any], *args: Any) -> Any:
        try:
            return self._call(operation, path, function, *args)
        except (FileExistsError, FileNotFoundError):
            raise
        except OSError as error:
            raise disk_error(operation, path, error) from error

    # -- opening -----------------------------------------------------------------------------------------------

    def open_new(self, path: str, mode: int = FILE_MODE) -> int:
        """A descriptor of a new file, made with exactly `mode`. Raises FileExistsError if the name is taken."""
        fd: int = self._do("create", path, os.open, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE, mode)
        try:
            self._do("chmod", path, os.fchmod, fd, mode)
        except Exception:
            os.close(fd)
            self.discard(path)
            raise
        return fd

    def open_regular(self, path: str, *, append: bool = False, rewrite: bool = False, owner: int | None = None) -> int:
        """A descriptor of an existing regular file: for reading, for reading and appending, or for reading and writing.

        Links are not followed. `owner`: the uid that must own it. To be written, it may not be writable by others.
        Raises FileNotFoundError, NotPermitted, DiskError.
        """
        flags = os.O_RDWR | (os.O_APPEND if append else 0) if append or rewrite else os.O_RDONLY
        fd: int = self._do("open", path, os.open, path, flags | _SAFE)
        try:
            _require_regular(path, os.fstat(fd), owner, append or rewrite)
        except BaseException:
            os.close(fd)
            raise
        return fd

    # -- writing -----------------------------------------------------------------------------------------------

    def write_all(self, fd: int, data: bytes, path: str) -> None:
        """All of `data`, in as few writes as the kernel takes. Nothing is said about durability."""
        written = self._do("write", path, os.write, fd, data)
        while written < len(data):
            written += self._do("write", path, os.write, fd, memoryview(data)[written:])

    def fsync(self, fd: int, path: str) -> None:
        self._do("fsync", path, os.fsync, fd)

    def fdatasync(self, fd: int, path: str) -> None:
        self._do("fdatasync", path, os.fdatasync, fd)

    def truncate(self, fd: int, size: int, path: str) -> None:
        self._do("truncate", path, os.ftruncate, fd, size)

    def fsync_dir(self, path: str) -> None:
        """Make the names in a directory durable."""
        fd = self._do("open", path, os.open, path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._do("fsync", path, os.fsync, fd)
        finally:
            os.close(fd)

    def write_new(self, path: str, data: bytes, mode: int = FILE_MODE) -> None:
        """A new file with this content, on disk; its name is not yet (see `fsync_dir`). Nothing is left on failure."""
        fd = self.open_new(path, mode)
        try:
            self.write_all(fd, data, path)
            self.fsync(fd, path)
        except Exception:
            self.discard(path)
            raise
        finally:
            os.close(fd)

    # -- names -------------------------------------------------------------------------------------------------

    def link(self, source: str, target: str) -> None:
        """A second name for a file. Raises FileExistsError if `target` is taken."""
        self._do("link", target, os.link, source, target)

    def unlink(self, path: str) -> None:
        """Raises FileNotFoundError if it is gone already."""
        self._do("unlink", path, os.unlink, path)

    def discard(self, path: str) -> None:
        """Unlink if possible; for cleaning up after a failure that is being reported already."""
        from dwf.errors import DwfError

        try:
            self.unlink(path)
        except (FileNotFoundError, DwfError):
            pass

    def rename(self, source: str, target: str) -> None:
        """Move within one file system; what was at `target` is replaced in one step."""
        self._do("rename", target, os.rename, source, target)

    def rename_noreplace(self, source: str, target: str) -> None:
        """Move, but raise FileExistsError rather than replace what is at `target`.

        Without renameat2 (old kernels, some file systems) it is a link and an unlink: for a moment both names exist.
        """
        try:
            self._do("rename_noreplace", target, _renameat2, source, target)
        except _NoRenameat2:
            self.link(source, target)
            self.unlink(source)

    def mkdir(self, path: str, mode: int = DIR_MODE) -> None:
        """A new directory with exactly `mode`. Raises FileExistsError if the name is taken."""
        self._do("mkdir", path, os.mkdir, path, mode)
        self._do("chmod", path, os.chmod, path, mode)

    def chmod(self, path: str, mode: int) -> None:
        """Links are not followed into: only to be called for what is known to be none."""
        self._do("chmod", path, os.chmod, path, mode)

    def chown_group(self, path: str, gid: int) -> None:
        """Give it to a group; its owner stays. Links are not followed."""
        self._do("chgrp", path, _lchgrp, path, gid)

    def touch(self, path: str, at: int | None = None) -> None:
        """Set its time: to now, or to seconds since the epoch."""
        self._do("touch", path, os.utime, path, None if at is None else (at, at))

    def rmdir(self, path: str) -> None:
        self._do("rmdir", path, os.rmdir, path)


class Shared:
    """A sync that several threads ask for at once is made once, for all who asked before it began."""

    def __init__(self) -> None:
        self._turn = RLock()
        self._begun = self._done = 0

    def make(self, sync: Callable[[], None]) -> None:
        """Return when `sync` was called, here or in another thread, after this was. Raises what it raises here."""
        wanted = self._begun + 1
        with self._turn:
            if self._done >= wanted:
                return
            self._begun += 1
            number = self._begun
            sync()
            self._done = number


def _lchgrp(path: str, gid: int) -> None:
    os.chown(path, -1, gid, follow_symlinks=False)


class _NoRenameat2(Exception):
    """This kernel or file system cannot rename without replacing."""


def _renameat2(source: str, target: str) -> None:
    import ctypes  # 2 ms, and only who posts a message needs it

    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        raise _NoRenameat2
    paths = os.fsencode(source), os.fsencode(target)
    if function(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_NOREPLACE) == 0:
        return
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL):
        raise _NoRenameat2
    raise OSError(code, os.strerror(code), target)


def read_regular(path: str, limit: int | None = None) -> bytes:
    """The content of a regular file, `limit` bytes of it at most; never writes, never follows a link, never hangs.

    Raises FileNotFoundError, NotPermitted (also for what is no regular file), DiskError.
    """
    fd = open_to_read(path)
    try:
        return read_all(fd, path, limit)
    finally:
        os.close(fd)


def open_to_read(path: str) -> int:
    """A descriptor for a reader, who may be anybody. Raises like `read_regular`."""
    try:
        fd = os.open(path, os.O_RDONLY | _SAFE)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise disk_error("open", path, error) from error
    try:
        _require_regular(path, os.fstat(fd), None, False)
    except BaseException:
        os.close(fd)
        raise
    return fd


def listed(directory: str) -> list[str]:
    """What is in a directory; nothing if it is not there. Raises NotPermitted, DiskError."""
    try:
        return os.listdir(directory)  # noqa: PTH208 - on the path of an idle tick
    except FileNotFoundError:
        return []
    except OSError as error:
        raise disk_error("list", directory, error) from error


def read_all(fd: int, path: str, limit: int | None = None, likely: int | None = None) -> bytes:
    """What a file holds from byte 0 on, wherever the descriptor stands. Raises DiskError with the byte in question.

    likely: how much to ask for at a time if there is a limit, for a buffer of that size is made each time.
    """
    parts: list[bytes] = []
    size = 0
    try:
        # One byte more than there is, so that a file of any size takes two reads: all, and the end.
        wanted = os.fstat(fd).st_size + 1 if limit is None else limit
        while wanted > 0 and (part := os.pread(fd, wanted if likely is None else min(wanted, likely), size)):
            parts.append(part)
            size += len(part)
            wanted = max(wanted - len(part), 1) if limit is None else limit - size
    except OSError as error:
        raise disk_error(f"read byte {size} of", path, error) from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _require_regular(path: str, found: os.stat_result, owner: int | None, append: bool) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _refused(path, "it is not a regular file", kind=NOT_REGULAR)
    if owner is not None and found.st_uid != owner:
        raise _refused(path, f"it belongs to uid {found.st_uid}, not to you (uid {owner})")
    if append and found.st_mode & WRITABLE_BY_OTHERS:
        raise _refused(path, f"others may write to it (mode {found.st_mode & 0o7777:04o})", f"chmod go-w {path}")


def _refused(path: str, why: str, hint: str | None = None, kind: str = "") -> DwfError:
    from dwf.errors import NotPermitted

    return NotPermitted(what=f"{path} is refused: {why}", path=path, why=why, kind=kind, hint=hint)


def disk_error(operation: str, path: str, error: OSError) -> DwfError:
    """An OSError as the error of ours that says whose turn it is."""
    from dwf.errors import DiskError, NotPermitted

    code = error.errno or 0
    why = os.strerror(code) if code else str(error)
    if code == errno.ELOOP:
        return _refused(path, "it is a symbolic link")
    if code in _NOT_PERMITTED:
        return NotPermitted(
            what=f"{operation} {path}: {why.lower()}", operation=operation, path=path, why=why, errno=code
        )
    hint = _HINTS.get(code)
    return DiskError(operation=operation, path=path, why=why, errno=code, hint=hint)


_HINTS = {
    errno.ENOSPC: "the disk is full: make room (df -h, df -i); nothing was acknowledged, and it goes on by itself",
    errno.EDQUOT: "your quota is used up: make room; nothing was acknowledged, and it goes on by itself",
    errno.EROFS: "the file system is mounted read-only: look at dmesg for the reason",
    errno.EIO: "the disk reports an error: look at dmesg before anything else",
    errno.EMFILE: "this process may not open more files: raise `ulimit -n`",
    errno.EFBIG: "a file size limit was reached: look at `ulimit -f`",
}

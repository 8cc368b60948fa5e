"""The lock on a workflow id: at most one process works on a run, and a dead one never stands in the way.

A lock is a file in locks/ that exists only while it is held. The kernel frees it when its holder dies, however it dies;
nothing is ever decided by a file's age or by the pid written in it. Who has locked the file compares its inode with the
path: a file that was unlinked meanwhile locks nothing. The file is unlinked, or made a spare, while it is still locked.

The history itself is never locked: any reader could stop the engine. The lock belongs to the workflow id and not to one
instance of it, so the next instance is made under the same lock.

No decisions about runs in here. filelock is imported when the first lock is taken, for it imports asyncio.
"""

# On the path of an idle tick: only cheap imports (see the room's rules).
# ruff: noqa: PTH116, PTH208

from __future__ import annotations

import os
import time

from dwf import host
from dwf.store.files import Disk, disk_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dwf.store.layout import Layout
    from dwf.store.spares import Spares

# Locks of the store itself; a run id begins with a letter or digit, so these cannot clash with one.
INDEX = ".index"
_SUFFIX = ".lock"
_SPARE = ".spare-"
_LONGEST_SIGNATURE = 512


class Holder:
    """Who says that he holds a lock. For people: only the kernel knows whether a lock is held.

    pid, start (clock ticks after boot), boot: the process. since_us: when it took the lock, microseconds UTC.
    """

    __slots__ = ("boot", "namespace", "pid", "run", "since_us", "start")

    def __init__(self, run: str, pid: int, start: int, boot: str, namespace: str, since_us: int) -> None:
        self.run, self.pid, self.start, self.boot = run, pid, start, boot
        self.namespace, self.since_us = namespace, since_us

    def __repr__(self) -> str:
        return f"Holder(run={self.run!r}, pid={self.pid}, since_us={self.since_us})"


class RunLock:
    """A lock that is held. Leave it with `release`, or use it in a `with`.

    deaths: how many holders before this one, in this boot, died holding it, without one that gave it up or came further
    between them.
    """

    __slots__ = ("__weakref__", "_at", "_fd", "_is_ours", "_locks", "deaths", "path", "run")

    def __init__(self, locks: RunLocks, run: str, path: str, fd: int, is_ours: bool) -> None:
        # The reference to `locks` keeps alive what closes the copies of forked children.
        self._locks, self.run, self.path, self._fd = locks, run, path, fd
        self._is_ours = is_ours  # made by this process, and signed by no other
        self.deaths = 0
        self._at: int | None = None

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def intact(self) -> bool:
        """Whether it still keeps others out: held, and its file not removed by hand."""
        return self._fd >= 0 and is_at(self._fd, self.path)

    def come_to(self, progress: int) -> None:
        """Say how far the run is, if a holder died. Who came further than the last one has died of something else."""
        if not self.deaths:
            return
        if self._at is not None and progress > self._at:
            self.deaths = 1
        self._at = progress
        self._locks._sign(self)

    def forgive(self) -> None:
        """Forget the deaths: a person has let the run go on."""
        self.deaths = 0
        self._locks._sign(self)

    def release(self) -> None:
        """Give it up. Asking twice is harmless; nothing is raised, for a file left behind locks nobody out."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            # Not ours if somebody removed our file by hand and a stranger's stands there now.
            if is_at(fd, self.path):
                if self._locks._spare(fd, self):
                    fd = -1
                    return
                self._locks._disk.discard(self.path)
        finally:
            if fd >= 0:
                _unlock(fd)
                os.close(fd)

    def _seize(self) -> bool:
        try:
            if lock_now(self._fd, self.path):
                return True
        except BaseException:
            self._forget()
            raise
        self._forget()
        return False

    def _forget(self) -> None:
        """Close the file and change nothing: it locks nothing, or it is the copy of a forked child."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class RunLocks:
    """Takes and shows the locks of one state directory."""

    def __init__(self, disk: Disk, layout: Layout) -> None:
        from weakref import WeakMethod, WeakSet

        self._disk, self._directory = disk, layout.locks
        self._held: WeakSet[RunLock] = WeakSet()
        self._signature = (0, "")
        self._spares: Spares | None = None
        # A child made by a plain fork (multiprocessing, os.fork in a step) has copies of our descriptors, and a lock
        # lasts as long as the last copy. What is started by exec has none: they are closed on exec.
        forget = WeakMethod(self._forget_all)
        os.register_at_fork(after_in_child=lambda: (method := forget()) and method())

    def take(self, run: str) -> RunLock | None:
        """The lock of a workflow id (checked before), or None if somebody holds it: another process or thread.

        Never waits. Raises NotPermitted, DiskError.
        """
        path = self._path(run)
        lock = self._of_spare(run, path)
        was_spare = lock is not None
        while lock is None:
            lock = RunLock(self, run, path, *self._open(path))
            if not lock._seize():
                return None
            if lock.intact():
                break
            lock._forget()  # its last holder unlinked the file between our open and our lock
            lock = None
        self._held.add(lock)
        try:
            # Who has held it in peace has taken the file along: in a new one there is nothing to be read.
            used = os.fstat(lock._fd).st_size > 0 and not was_spare
            if used:
                lock.deaths, lock._at = self._deaths(path)
            self._sign(lock, used=used)
        except BaseException:
            lock.release()
            raise
        return lock

    def holder(self, run: str) -> Holder | None:
        """Who works on the run, for people; None if nobody does. Touches no lock, so it stands in nobody's way."""
        text = _read(self._path(run))
        fields = dict(word.partition("=")[::2] for word in text.split())
        try:
            holder = Holder(
                run,
                int(fields["pid"]),
                int(fields["start"]),
                fields["boot"],
                fields.get("ns", ""),
                int(fields["since"]),
            )
        except (KeyError, ValueError):
            return None
        return holder if _lives(holder) else None

    def holders(self) -> Iterator[Holder]:
        """Everybody who works on a run just now."""
        for run in self._names():
            if not run.startswith(".") and (found := self.holder(run)):
                yield found

    def left_by_dead(self) -> set[str]:
        """Runs whose last holder died holding the lock: the file he made is still there."""
        return {run for run in self._names() if not run.startswith(".") and self.holder(run) is None}

    def sweep(self, spare: Callable[[str], bool] = lambda _: False) -> int:
        """Remove the files that killed holders left; how many locks were free. Harmless at any time.

        spare: runs that will be taken up again, whose deaths are to be remembered until then.
        """
        free = 0
        for run in self._names():
            if not spare(run) and (lock := self.take(run)):
                lock.release()
                free += 1
        return free

    # -- spares ------------------------------------------------------------------------------------------------

    def keep_spares(self) -> None:
        """From now on, keep the files of locks that are given up for the next that are taken (see spares.py)."""
        from dwf.store.spares import Spares

        self._spares = self._spares or Spares(self._disk, f"{self._directory}/{_SPARE}", _SUFFIX)

    def drop_spares(self) -> None:
        """Keep none any more, and remove those that are there."""
        spares, self._spares = self._spares, None
        if spares is not None:
            spares.drop()

    def _spare(self, fd: int, lock: RunLock) -> bool:
        """Keep the file of a lock that is given up; False if it is to be removed."""
        return bool(self._spares and lock._is_ours and not lock.deaths and self._spares.keep(fd, lock.path))

    def _of_spare(self, run: str, path: str) -> RunLock | None:
        fd = None if self._spares is None else self._spares.take(path)
        if fd is None:
            return None
        lock = RunLock(self, run, path, fd, is_ours=True)
        if lock.intact():
            return lock
        lock._forget()
        return None

    # -- files -------------------------------------------------------------------------------------------------

    def _path(self, run: str) -> str:
        return f"{self._directory}/{run}{_SUFFIX}"

    def _names(self) -> list[str]:
        try:
            found = os.listdir(self._directory)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise disk_error("list", self._directory, error) from error
        return sorted(name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX))

    def _open(self, path: str) -> tuple[int, bool]:
        """A descriptor of the file, and whether it is new."""
        while True:
            try:
                return self._disk.open_new(path), True
            except FileExistsError:
                pass
            except FileNotFoundError:
                self._make_directory()
                continue
            try:
                return self._disk.open_regular(path, append=True, owner=os.geteuid()), False
            except FileNotFoundError:
                pass  # released in this very moment: it can be made new

    def _make_directory(self) -> None:
        # Locks hold nothing that lasts, so somebody may have tidied them away.
        try:
            self._disk.mkdir(self._directory)
        except FileExistsError:
            pass
        except FileNotFoundError as error:
            raise disk_error("create", self._directory, error) from error

    def _deaths(self, path: str) -> tuple[int, int | None]:
        """How many died in a row, in this boot, holding the lock: as many as the last wrote, and he. How far he was."""
        fields = dict(word.partition("=")[::2] for word in _read(path).split())
        if fields.get("boot") != host.boot_id():
            return 0, None
        told, at = (fields.get(name, "") for name in ("deaths", "at"))
        return 1 + (int(told) if _is_number(told) else 0), int(at) if _is_number(at) else None

    def _sign(self, lock: RunLock, *, used: bool = True) -> None:
        """Say who holds it. The lock holds without it, so a full disk is no reason to stop."""
        from dwf.errors import DwfError

        fd, path = lock._fd, lock.path
        deaths = f" deaths={lock.deaths}" if lock.deaths else ""
        deaths += f" at={lock._at}" if lock.deaths and lock._at is not None else ""
        text = f"{self._me()} since={time.time_ns() // 1000}{deaths}\n"
        try:
            # Only if a killed holder left something: ext4 flushes a file that was truncated to 0, which costs 0.2 ms.
            if used:
                self._disk.truncate(fd, 0, path)
            # A spare is signed by this very process and of no death: what is written now is as long.
            os.lseek(fd, 0, os.SEEK_SET)
            self._disk.write_all(fd, text.encode("ascii", "replace"), path)
        except DwfError:
            pass

    def _me(self) -> str:
        # Kept, for /proc is slow to read; asked anew after a fork.
        if self._signature[0] != os.getpid():
            me = host.this_process()
            words = f"pid={me.pid} start={me.start} boot={me.boot} ns={me.namespace}"
            self._signature = (me.pid, words)
        return self._signature[1]

    def _forget_all(self) -> None:
        for lock in list(self._held):
            lock._forget()
        if self._spares is not None:
            self._spares.forget()
            self._spares = None


def lock_now(fd: int, path: str) -> bool:
    """Lock an open file against everybody else who does so; False if it is locked. Never waits. Raises DiskError."""
    from filelock import lock_descriptor

    try:
        return lock_descriptor(fd, blocking=False)
    except OSError as error:
        raise disk_error("lock", path, error) from error


def _unlock(fd: int) -> None:
    # Explicitly: closing frees the lock only with the last copy of the descriptor, and a fork may have made one.
    import fcntl

    fcntl.flock(fd, fcntl.LOCK_UN)


def is_at(fd: int, path: str) -> bool:
    """Whether the open file is the one that the path names now."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    mine = os.fstat(fd)
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20


def _lives(holder: Holder) -> bool:
    # In another container pids mean something else: what it says cannot be checked from here, so it is believed.
    if holder.boot == host.boot_id() and holder.namespace != host.this_process().namespace:
        return True
    return host.same_process_alive(holder.pid, holder.start, holder.boot)


def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, _LONGEST_SIGNATURE).decode("ascii", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)

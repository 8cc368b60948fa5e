"""Rebuilding the index from the histories: after a reboot, when it is missing, damaged, or of another version.

One process at a time, under a lock of its own. A new, empty index is put in place first, which nobody trusts yet;
from then on everybody writes into it. Then every run gets a row, unless somebody was faster, and last, in one
transaction, the id of this boot. Killed anywhere, it leaves an index that nobody trusts.

A run is due unless its file says that it is closed. To tell more of it (until when does it wait?) takes a whole look
under its lock, or a step that begins meanwhile is missed: that is what `derive` may do. What is due costs one replay.
"""

# ruff: noqa: PTH116

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from dwf.core.duration import unstamp
from dwf.core.state import STANDING, fold
from dwf.core.tags import Noted, packed
from dwf.errors import DiskError, DwfError
from dwf.store import indexfile as sql
from dwf.store.files import Disk, disk_error
from dwf.store.history import Tail, tail
from dwf.store.indexfile import Unusable, inode_of, open_index
from dwf.store.layout import Layout, run_of
from dwf.store.locks import INDEX, RunLock, RunLocks
from dwf.store.row import DUE_NOW, Row

if TYPE_CHECKING:
    from _sqlite3 import Connection
    from collections.abc import Iterator

    from dwf.core.events import Event, WorkflowStarted

Progress = Callable[[int, int], None]
# derive(run, link, path of the history): the row, or None for "due". Called while the run's lock is held.
Derive = Callable[[str, int, str], Row | None]

_BATCH = 500
_READERS = 8
# Rows come in no order: what they are sorted into has to stay in memory, or each of a million is a walk to the disk.
_CACHE_KIB = 64 * 1024
_SIDES = ("-journal", "-wal", "-shm")
_POLL_SECONDS = 0.01


def rebuild(
    disk: Disk,
    layout: Layout,
    boot: str,
    needed: Callable[[], bool],
    progress: Progress | None = None,
    derive: Derive | None = None,
) -> bool:
    """Build the index anew if `needed()` still says so under the lock. False if another process is at it."""
    locks = RunLocks(disk, layout)
    lock = locks.take(INDEX)
    if lock is None:
        return False
    with lock:
        if not needed():
            return True
        put_empty(disk, layout)
        try:
            connection, inode = open_index(layout.index)
        except Unusable:
            return False  # deleted again in this moment: it is as untrusted as before
        try:
            _fill(disk, layout, connection, locks, progress, derive)
            connection.execute(sql.FINISH_META, (boot, inode[1]))
        except sql.faults() as error:
            return _gave_up(error, inode, layout.index)
        finally:
            connection.close()
        return True


def replace_unusable(disk: Disk, layout: Layout, damaged: tuple[int, int]) -> None:
    """Have an index in place that can be written, other than the file `damaged`. It is not trusted before a rebuild."""
    deadline = time.monotonic() + sql.BUSY_SECONDS
    while not _usable(layout.index, damaged):
        with _maybe(RunLocks(disk, layout).take(INDEX)) as held:
            if held and not _usable(layout.index, damaged):
                put_empty(disk, layout)
        if not held:
            # A rebuild by another process has the lock; putting the new file in place is the first thing it does.
            if time.monotonic() > deadline:
                raise DiskError(operation="replace", path=layout.index, why="another process is at it", errno=0)
            time.sleep(_POLL_SECONDS)


def put_empty(disk: Disk, layout: Layout) -> None:
    """A new index without rows at the path, not trusted. What was there is gone, or set aside if it was damaged."""
    fresh = f"{layout.index}.new"
    for path in (fresh, f"{fresh}-journal", f"{layout.index}.old"):
        _clear(disk, path)
    os.close(disk.open_new(fresh))
    _furnish(fresh)
    with _quiet(layout.index) as sound:
        _set_aside(disk, layout.index, f"{layout.index}.{'old' if sound else 'broken'}")
        # Side files are found by name: a journal of the old file must not be rolled back into the new one.
        for side in _SIDES:
            _clear(disk, layout.index + side)
        disk.rename(fresh, layout.index)
    _clear(disk, f"{layout.index}.old")


def _furnish(path: str) -> None:
    try:
        connection, _ = open_index(path)
        try:
            # Nobody sees the file yet, so it needs no journal.
            connection.execute("PRAGMA journal_mode = OFF").close()
            connection.execute("PRAGMA synchronous = OFF").close()
            connection.executescript(sql.CREATE)
            # Counted up from here by wakes; 2**62 and a long life of wakes still fit into 63 bits.
            base = int.from_bytes(os.urandom(8), "big") >> 2
            connection.execute(sql.BEGIN_META, (sql.SCHEMA, base))
        finally:
            connection.close()
    except sql.faults() as error:
        raise DiskError(operation="create", path=path, why=str(error), errno=0) from error


@contextmanager
def _quiet(path: str) -> Iterator[bool]:
    """Keep writers out of the old index while it is replaced. False if it is damaged, so that nobody can write it."""
    connection = _locked(path)
    try:
        yield connection is not None
    finally:
        if connection is not None:
            connection.close()


def _locked(path: str) -> Connection | None:
    try:
        connection, inode = open_index(path)
    except Unusable:
        return None
    try:
        sql.prepare_to_write(connection)
        connection.execute("BEGIN EXCLUSIVE")
        sql.answer(connection, "SELECT schema FROM meta")
    except sql.faults() as error:
        connection.close()
        _gave_up(error, inode, path)
        return None
    return connection


@contextmanager
def _maybe(lock: RunLock | None) -> Iterator[bool]:
    """Whether the lock was to be had; released at the end."""
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()


def _set_aside(disk: Disk, path: str, aside: str) -> None:
    try:
        try:
            disk.rename(path, aside)
        except DiskError:
            # A directory does not go where a file stands, nor the other way round.
            disk.rename(path, f"{aside}.{os.urandom(4).hex()}")
    except FileNotFoundError:
        return


def _clear(disk: Disk, path: str) -> None:
    try:
        found = os.stat(path, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            _set_aside(disk, path, f"{path}.broken")
        else:
            disk.unlink(path)
    except FileNotFoundError:
        return


def _usable(path: str, damaged: tuple[int, int]) -> bool:
    if inode_of(path) == damaged:
        return False
    try:
        connection, inode = open_index(path)
    except Unusable:
        return False
    try:
        return bool(sql.answer(connection, "SELECT base FROM meta"))
    except sql.faults() as error:
        return _gave_up(error, inode, path)
    finally:
        connection.close()


# -- rows -------------------------------------------------------------------------------------------------------


def _fill(
    disk: Disk,
    layout: Layout,
    connection: Connection,
    locks: RunLocks,
    progress: Progress | None,
    derive: Derive | None,
) -> None:
    from concurrent.futures import ThreadPoolExecutor  # 15 ms, and `list` imports this module, too

    total, later = _counted(layout)
    # A file whose maker died before his sync is believed from here on, and acted upon: its name must be on disk.
    disk.fsync_dir(layout.runs)
    newest, done = _newest_instances(layout, later), 0
    sql.prepare_to_write(connection)
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}").close()

    def values(found: tuple[str, int]) -> tuple[object, ...]:
        return sql.values_of(_row(layout, locks, *found, derive))

    # Side by side: after a reboot none of it is in memory, and a disk answers several at once.
    with ThreadPoolExecutor(_READERS if total > _BATCH else 1, "dwf-rebuild") as readers:
        while some := list(islice(newest, _BATCH)):
            # Reading the histories stays outside of the transactions, or every other writer would wait for it.
            batch = list(readers.map(values, some)) if len(some) > 1 else [values(one) for one in some]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(sql.INSERT_MISSING, batch)
            connection.execute("COMMIT")
            done += len(batch)
            if progress:
                progress(min(done, total), total)


def _gave_up(error: Exception, inode: tuple[int, int], path: str) -> bool:
    """False if the file was damaged or replaced while it was built: it is as untrusted as before. Else raises."""
    judged = sql.meaning(error, path)
    if isinstance(judged, Unusable) or sql.is_moved(error, inode, path):
        return False
    raise judged from error


def _counted(layout: Layout) -> tuple[int, dict[str, int]]:
    """How many histories there are; and of the few ids that have several, which is the newest."""
    total, later = 0, dict[str, int]()
    for run, link in _instances(layout):
        total += 1
        if link > 1:
            later[run] = max(link, later.get(run, 0))
    return total, later


def _newest_instances(layout: Layout, later: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Each run once, as the directory has them: of a million, none is kept in memory."""
    for run, link in _instances(layout):
        if link == 1 and run not in later:
            yield run, link
    yield from later.items()


def _instances(layout: Layout) -> Iterator[tuple[str, int]]:
    try:
        with os.scandir(layout.runs) as entries:
            for entry in entries:
                known = run_of(entry.name)
                if known is not None:
                    yield known
    except OSError as error:
        raise disk_error("list", layout.runs, error) from error


def _row(layout: Layout, locks: RunLocks, run: str, link: int, derive: Derive | None) -> Row:
    path = layout.history_path(run, link)
    row = glance(run, link, path)
    if derive is None or not row.open:
        return row
    with _maybe(locks.take(run)) as held:
        return (derive(run, link, path) or row) if held else row


def glance(run: str, link: int, path: str) -> Row:
    """What both ends of a history tell. Closed stays closed; everything else may change at any moment, so it is due."""
    try:
        ends = tail(path)
    except DwfError:
        return Row(run, link=link)  # unreadable: the tick that takes it says so
    if not isinstance(ends, Tail):
        return Row(run, link=link)
    begun = unstamp(ends.started.ts)
    last = ends.last[-1] if ends.last else ends.started
    standing = fold([ends.started, *(event for event in ends.last if isinstance(event, STANDING))])
    is_open = standing.ended is None or standing.continues
    # What an end leaves open may have to be told of it.
    done = not is_open and not getattr(standing.ended, "open", None)
    return Row(
        run,
        nonce=ends.started.nonce,
        link=link,
        workflow=ends.started.workflow,
        status="running" if is_open else standing.status.value,
        open=is_open,
        due_at=None if done else DUE_NOW,
        since_us=unstamp(last.ts),
        started_us=begun,
        updated_us=unstamp(last.ts),
        by=ends.started.by.login if ends.started.by else "",
        parent=ends.started.parent.mark if ends.started.parent else "",
        parent_run=ends.started.parent.run if ends.started.parent else "",
        tags=packed(_tags_at(standing.ended, ends.started)),
        priority=ends.started.priority,
    )


def _tags_at(ended: Event | None, started: WorkflowStarted) -> Noted:
    """As the end says, if it has anything to say; those of an open run its tick will tell."""
    at_the_end = getattr(ended, "tags", None)
    return started.tags if at_the_end is None else at_the_end

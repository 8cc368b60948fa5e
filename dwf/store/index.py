"""The index: what is due, and what `list` shows. Derived from the histories; it may be deleted or damaged at any time.

Rows of a run are written by the holder of its lock only. Everybody else may *wake* it: mark it due and count the wake.
The holder reads that count before his last look and writes "waits until T" only if it has not changed; else he looks
again. So nothing that comes while a run goes to sleep is missed.

An index is *trusted* if it was completed in this boot by a rebuild. One that is not trusted says the same as "every
run is due": who finds it so rebuilds it or, if he only reads, scans the histories. That is why damage changes no
answer, and why nothing in here is ever synced: what a power cut destroys belongs to another boot. (A killed process
leaves a journal, which the next one rolls back.) Who has to write and finds it damaged replaces it by an empty one that
nobody trusts.

Whoever writes compares the open file with the path afterwards, for a rebuild puts a new file in place; what went into
the old one is written again.
"""

# On the path of an idle tick: only cheap imports (see the room's rules).

from __future__ import annotations

import os
from _thread import RLock

from dwf import host
from dwf.store import indexfile as sql
from dwf.store.indexfile import NOTHING, Unusable, inode_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _sqlite3 import Connection
    from collections.abc import Callable, Collection
    from typing import Any, TypeVar

    from dwf.errors import DiskError
    from dwf.store.choice import Choice
    from dwf.store.files import Disk
    from dwf.store.layout import Layout
    from dwf.store.rebuild import Derive, Progress
    from dwf.store.row import Row
    from dwf.store.where import Expression

    T = TypeVar("T")

# How often a write is done again because the index was replaced: each time somebody else has begun a rebuild.
_TRIES = 8
_REPLACED = "it was replaced again and again"


class Index:
    """The index of one state directory. One object may be used by several threads, but not across a fork.

    DiskError comes from writes that fail, and when another process keeps the file locked for seconds. Damage is not an
    error: then `trusted` is False, `anything_due` is True, questions answer None, and writes mend what they need.
    """

    def __init__(self, disk: Disk, layout: Layout, boot: str | None = None) -> None:
        """`boot` is the id of this boot, asked of the kernel unless it is given."""
        self._guard = RLock()
        self._connection: Connection | None = None
        self._disk, self._layout, self._path = disk, layout, layout.index
        self._boot = host.boot_id() if boot is None else boot
        self._inode = self._damaged = NOTHING
        self._writes = False
        self.on_rebuild: Progress | None = None
        """Told how far a rebuild is, if whoever asks for it says nothing else."""

    def __del__(self) -> None:
        self.close()  # from Python 3.13 on, a connection that is only dropped is warned of

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._guard:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    # -- questions ---------------------------------------------------------------------------------------------

    def trusted(self) -> bool:
        """Whether its answers may be believed. If not: rebuild it, or scan the histories."""
        found = self._read_or_none(lambda connection: self._idle(connection, 0))
        return found is not None and found[0]

    def anything_due(self, now_us: int) -> bool:
        """Whether a tick has anything to do here: a run is due, or the index has to be rebuilt."""
        found = self._read_or_none(lambda connection: self._idle(connection, now_us))
        return found is None or not found[0] or found[1]

    def due(self, now_us: int, limit: int, skip: Collection[str] = ()) -> list[str] | None:
        """Runs that are due: by priority, those marked first, then by time, the longest untouched first.

        None: rebuild, and ask again.

        `skip`: runs that the caller cannot take just now; they do not count to the limit. Raises DiskError.
        """

        def ask(connection: Connection) -> list[str]:
            found: list[str] = []
            for question in sql.DUE:
                if len(found) < limit:
                    answer = sql.answer(connection, question, (now_us, limit + len(skip)))
                    found += [run for (run,) in answer if run not in skip]
            return found[:limit]

        try:
            return self._read(ask)
        except Unusable:
            return None

    def next_due_us(self) -> int | None:
        """When the next run is due, microseconds UTC (0: it is due now); None if none waits for a time."""
        return self._number(sql.NEXT_DUE, ())

    def last_tick_us(self) -> int | None:
        """When a tick last said that it was here, microseconds UTC; None if that is not known."""
        return self._number(sql.NOTED, (sql.LAST_TICK,))

    def row(self, run: str) -> Row | None:
        """What is known of one run; None if nothing is, or if the index is not trusted: then read its history."""
        question = f"{sql.SELECT} WHERE run = ?"
        found = self._believed(lambda connection: [*map(sql.row_of, sql.answer(connection, question, (run,)))])
        return found[0] if found else None

    def rows(
        self, choice: Choice | None = None, *, limit: int = -1, after: tuple[int, str] | None = None
    ) -> list[Row] | None:
        """Runs, the last started first; None if the index is not trusted: then scan.

        limit: -1 is all of them. after: `started_us` and id of the row behind which to go on.
        """
        choice = choice or _every()
        more = () if after is None else ((sql.BEHIND, (after[0], *after)),)
        where, values = choice.clause(*more)

        def ask(connection: Connection) -> list[Row]:
            way = sql.way_to(connection, choice)
            question = f"{sql.SELECT} {way} {where} {sql.NEWEST_FIRST} LIMIT {limit:d}"
            return [sql.row_of(fields) for fields in sql.answer(connection, question, values)]

        return self._chosen(choice, ask)

    def counts(self, choice: Choice | None = None) -> list[tuple[str, str, int]] | None:
        """How many runs there are of each workflow and status; None if the index is not trusted: then scan."""
        choice = choice or _every()
        where, values = choice.clause()
        question = sql.COUNTS.format(sql.short_way(choice), where)
        return self._chosen(choice, lambda connection: sql.answer(connection, question, values))

    def groups(self, choice: Choice, by: Expression) -> list[tuple[Any, int]] | None:
        """How many runs there are of each value of an expression; None if the index is not trusted: then scan."""
        where, values = choice.clause()
        question = sql.GROUPS.format(by.code, sql.short_way(choice), where)
        return self._chosen(choice, lambda connection: sql.answer(connection, question, values))

    def ids(self, prefix: str, limit: int) -> list[str] | None:
        """The first ids that begin so, in order; None if the index is not trusted. On the path of a TAB: no rows."""
        found = self._answer(sql.IDS, (prefix, prefix + "\x7f", limit))
        return None if found is None else [run for (run,) in found]

    def ids_near(self, run: str, limit: int) -> list[str] | None:
        """Ids that sort shortly before and behind this one, `limit` of each; None if the index is not trusted."""
        behind = self._answer(sql.IDS, (run, "\x7f", limit))
        before = self._answer(sql.BEFORE, (run, limit))
        return None if behind is None or before is None else [run for (run,) in (*before, *behind)]

    def children(self, nonce: str) -> dict[int, bool] | None:
        """Whether the runs that a run instance has made are open, by the command that made each.

        None if the index is not trusted.
        """
        found = self._answer(sql.CHILDREN, (f"{nonce}.", f"{nonce}/"))
        return None if found is None else {int(parent.rpartition(".")[2]): bool(is_open) for parent, is_open in found}

    # -- under the run's lock ----------------------------------------------------------------------------------

    def mark_due(self, run: str) -> int:
        """Say that work on the run begins; the count of `wakes_seen`. Raises DiskError; then no work may begin."""
        found = self._write_surely(lambda connection: sql.marked_due(connection, run))
        return -1 if found is None else found

    def wakes_seen(self, run: str) -> int:
        """The count to hand to `settle`. Read it before the last look at mailbox and clock; -1 fits nothing."""
        found = self._number(sql.WAKES, (run,))
        return -1 if found is None else found

    def settle(self, run: str, wakes_seen: int, row: Row, wake: str = "") -> bool:
        """Write what the run waits for, or that it is closed; its history is on disk already. Raises DiskError.

        wake: another run, woken in the same transaction.
        False: it was woken since `wakes_seen` was read, or the index was replaced. Mark it due and look again.
        """
        values = (*sql.values_of(row)[1:], run, wakes_seen, row.link)

        try:
            changed = self._write(lambda connection: sql.settled(connection, values, wake), again=False)
        except Unusable:
            # Damage may be where only this write comes by. Left in place, the caller would look again for ever.
            self._replace()
            return False
        return changed == 1

    def forget(self, run: str) -> None:
        """Drop the row of a run that has no history, if that is still so. Raises DiskError.

        Runs are created without the lock, and their row comes after their file: seen under the index's own write lock,
        either the file is there already, or its row is still to come.
        """
        path = self._layout.history_path(run)

        def drop(connection: Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            if not os.path.lexists(path):
                connection.execute(sql.FORGET, (run,))
            connection.execute("COMMIT")

        self._write_surely(drop)

    # -- by anybody --------------------------------------------------------------------------------------------

    def wake(self, run: str) -> bool:
        """Make the run due, because of something that was stored for it. Raises DiskError.

        False if there is no row. Nothing is lost then: the row will come as due, by the creation or by a rebuild.
        """
        return self.wake_each((run,)) == 1

    def wake_each(self, runs: Collection[str]) -> int:
        """The same for each of some runs, in one transaction; how many rows there were. Raises DiskError."""
        return self._write_surely(lambda connection: sql.woken(connection, runs)) or 0

    def insert_new(self, *rows: Row) -> None:
        """Rows of runs whose files are on disk, in one transaction. A row that is there already stays as it is.

        Only a later instance takes over the row of an earlier one. Raises DiskError.
        """
        values = [sql.values_of(row) for row in rows]

        def insert(connection: Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(sql.INSERT_NEW, values)
            connection.execute("COMMIT")

        self._write_surely(insert)

    def note_tick(self, now_us: int) -> None:
        """Remember that a tick was here, for people who wonder why nothing happens. Nothing depends on it."""
        from dwf.errors import DiskError

        try:
            self._write(lambda connection: connection.execute(sql.NOTE, (sql.LAST_TICK, now_us)).rowcount)
            if self._layout.sharing is not None:
                self._disk.touch(self._layout.shared)  # for those who may not look in here
        except (Unusable, DiskError, FileNotFoundError):
            return

    def rebuild(self, progress: Progress | None = None, derive: Derive | None = None, *, force: bool = False) -> bool:
        """Build it anew from the histories, if it is not trusted or was found damaged, or if `force` is given.

        False if another process is doing so: meanwhile the new index answers what it knows. progress(done, all) is
        called now and then. `derive`: see rebuild.py; without it every open run becomes due. Raises DiskError.
        """
        from dwf.store import rebuild

        def needed() -> bool:
            return force or self._damaged == inode_of(self._path) or not self.trusted()

        self.close()
        try:
            progress = progress or self.on_rebuild
            return rebuild.rebuild(self._disk, self._layout, self._boot, needed, progress, derive)
        finally:
            self.close()
            self._damaged = NOTHING

    # -- the file ----------------------------------------------------------------------------------------------

    def _idle(self, connection: Connection, now_us: int) -> tuple[bool, bool]:
        # Without a boot id (no /proc) a reboot could not be told, so nothing is trusted: NULL equals nothing.
        values = (sql.SCHEMA, self._boot or None, self._inode[1], now_us)
        found = sql.answer(connection, sql.IDLE, values)
        if not found:
            raise Unusable("it says nothing about itself")
        return bool(found[0][0]), bool(found[0][1])

    def _answer(self, question: str, values: tuple[object, ...]) -> list[tuple[Any, ...]] | None:
        """All rows of an answer; None if there is none that may be believed."""
        return self._believed(lambda connection: sql.answer(connection, question, values))

    def _believed(self, ask: Callable[[Connection], T]) -> T | None:
        return self._read_or_none(lambda connection: ask(connection) if self._idle(connection, 0)[0] else None)

    def _chosen(self, choice: Choice, ask: Callable[[Connection], list[T]]) -> list[T] | None:
        """The same, where an expression may be worked out on the way. Raises UsageError."""
        if choice.where is None:
            return self._believed(ask)
        from dwf.store.where import asked

        return self._believed(lambda connection: asked(connection, ask))

    def _number(self, question: str, values: tuple[object, ...]) -> int | None:
        found = self._read_or_none(lambda connection: sql.answer(connection, question, values))
        return found[0][0] if found and type(found[0][0]) is int else None

    def _read_or_none(self, ask: Callable[[Connection], T]) -> T | None:
        """The answer; None if there is none to be had, also because others keep it locked: a reader can scan."""
        from dwf.errors import DiskError

        try:
            return self._read(ask)
        except (Unusable, DiskError):
            return None

    def _read(self, ask: Callable[[Connection], T]) -> T:
        with self._guard:
            for _ in range(_TRIES):
                if self._connection is not None and self._inode != inode_of(self._path):
                    self.close()
                connection = self._connection or self._open()
                try:
                    return ask(connection)
                except sql.faults() as error:
                    if not sql.is_moved(error, self._inode, self._path):
                        raise self._judged(error) from error
        raise self._failed(_REPLACED)

    def _write(self, change: Callable[[Connection], T], *, again: bool = True) -> T | None:
        """One transaction in the file that is at the path, before and afterwards. Raises Unusable, DiskError.

        A write into a file that was replaced meanwhile is done again; or, if not `again`, None is returned.
        """
        for _ in range(_TRIES):
            with self._guard:
                result, counts = self._attempt(change)
            if counts:
                return result
            if not again:
                return None
        raise self._failed(_REPLACED)

    def _write_surely(self, change: Callable[[Connection], T]) -> T | None:
        """The same, and where no index can be used an empty one is put in place. Raises DiskError.

        A damaged index must not merely be passed over: others may still find it sound where they look, and trust it.
        """
        why = ""
        for _ in range(_TRIES):
            try:
                return self._write(change)
            except Unusable as error:
                why = str(error)
                self._replace()
        raise self._failed(why)

    def _attempt(self, change: Callable[[Connection], T]) -> tuple[T | None, bool]:
        connection = self._connection or self._open()
        try:
            if not self._writes:
                sql.prepare_to_write(connection)
                self._writes = True
            result = change(connection)
        except sql.faults() as error:
            if not sql.is_moved(error, self._inode, self._path):
                raise self._judged(error) from error
        else:
            if self._inode == inode_of(self._path):
                return result, True
        self.close()
        return None, False

    def _open(self) -> Connection:
        self.close()
        self._connection, self._inode = sql.open_index(self._path)
        self._writes = False
        return self._connection

    def _judged(self, error: Exception) -> Exception:
        """What to raise for an error in the file that is open now. Remembers which file was found damaged."""
        self.close()
        judged = sql.meaning(error, self._path)
        if isinstance(judged, Unusable):
            self._damaged = self._inode
        return judged

    def _replace(self) -> None:
        """Have an empty index in place that nobody trusts, so that due marks can be written."""
        from dwf.store import rebuild

        self.close()
        rebuild.replace_unusable(self._disk, self._layout, self._damaged)

    def _failed(self, why: str) -> DiskError:
        from dwf.errors import DiskError

        return DiskError(operation="write", path=self._path, why=why, errno=0)


def _every() -> Choice:
    from dwf.store.choice import EVERY

    return EVERY

"""The file of the index: its tables and statements, how it is opened, and what SQLite's errors mean.

Settings, measured on ext4 (100 000 rows; open + idle question / mark due / settle, in microseconds):
journal DELETE 97/100/95, TRUNCATE 98/61/58, PERSIST 120/49/47, WAL 310/23/19. WAL loses by its open, and its side files
are found by name, so they would be mixed up when a new index is renamed in place. MEMORY (96/24/22) does not survive
SIGKILL. So: PERSIST; synchronous=OFF, because what a power cut destroys belongs to another boot and is not trusted any
more; and a busy timeout, because other processes write too.
"""

# On the path of an idle tick: only cheap imports. `_sqlite3` is sqlite3 without datetime and collections (1.5 ms).
# ruff: noqa: PTH116

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _sqlite3 import Connection
    from collections.abc import Collection
    from typing import Any

    from dwf.store.choice import Choice
    from dwf.store.row import Row

SCHEMA = 4
BUSY_SECONDS = 5.0
LAST_TICK = "tick"
NOTHING = (0, 0)
_LONGEST_TEXT = 1000

COLUMNS = (
    *"run nonce link workflow status open due_at step waiting since_us started_us updated_us by needs parent".split(),
    *"parent_run tags priority".split(),
)
_TEXTS = frozenset("run nonce workflow status step waiting by parent parent_run tags".split())
_NUMBERS = frozenset(COLUMNS) - _TEXTS
# `base`: where the wake counts of this file start. A count of another file must never fit.
CREATE = """
CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK(one = 1), schema, boot, inode, base);
CREATE TABLE run(run TEXT PRIMARY KEY, nonce TEXT, link INTEGER, workflow TEXT, status TEXT, open INTEGER,
    due_at INTEGER, step TEXT, waiting TEXT, since_us INTEGER, started_us INTEGER, updated_us INTEGER, by TEXT,
    needs INTEGER, parent TEXT, parent_run TEXT, tags TEXT, priority INTEGER,
    wake INTEGER) WITHOUT ROWID;
CREATE TABLE mark(kind TEXT, key TEXT, at INTEGER, PRIMARY KEY(kind, key)) WITHOUT ROWID;
CREATE INDEX run_due ON run(due_at, updated_us, priority) WHERE due_at IS NOT NULL;
CREATE INDEX run_first ON run(priority, due_at) WHERE priority <> 0 AND due_at IS NOT NULL;
CREATE INDEX run_newest ON run(started_us DESC, run);
CREATE INDEX run_kind ON run(status, workflow);
CREATE INDEX run_needs ON run(started_us) WHERE needs;
CREATE INDEX run_parent ON run(parent) WHERE parent <> '';
"""
# No boot has an empty id: until a rebuild has finished and says in which boot it did, nobody trusts the file.
BEGIN_META = "INSERT INTO meta VALUES(1, ?, '', 0, ?)"
FINISH_META = "UPDATE meta SET boot = ?, inode = ?"
# Trusted (completed in this boot, in this very file: a restored copy is another one), and: is any run due.
IDLE = """SELECT schema = ? AND boot = ? AND inode = ?,
    EXISTS(SELECT 1 FROM run WHERE due_at <= ?) FROM meta"""
# In three steps, each by an index of its own: those of a priority are few, and all others are in order of time.
_FIRST = "SELECT run FROM run INDEXED BY run_first WHERE priority <> 0 AND due_at IS NOT NULL AND due_at <= ?"
DUE = (
    f"{_FIRST} AND priority > 0 ORDER BY priority DESC, due_at, updated_us LIMIT ?",
    "SELECT run FROM run WHERE due_at <= ? AND priority = 0 ORDER BY due_at, updated_us LIMIT ?",
    f"{_FIRST} AND priority < 0 ORDER BY priority DESC, due_at, updated_us LIMIT ?",
)
NEXT_DUE = "SELECT min(due_at) FROM run WHERE due_at IS NOT NULL"
SELECT = f"SELECT {', '.join(COLUMNS)} FROM run"
NEWEST_FIRST = "ORDER BY started_us DESC, run"
# What comes behind a row in that order. Written so that the index on it is entered where it goes on.
BEHIND = "started_us <= ? AND (started_us < ? OR run > ?)"
# By the index on both alone: no row is looked at.
COUNTS = "SELECT workflow, status, count(*) FROM run {} {} GROUP BY status, workflow"
GROUPS = "SELECT {}, count(*) FROM run {} {} GROUP BY 1"
FEW = 10_000
ARE_FEW = f"SELECT count(*) <= {FEW} FROM (SELECT 1 FROM run INDEXED BY run_kind {{}} LIMIT {FEW + 1})"
IDS = "SELECT run FROM run WHERE run >= ? AND run < ? ORDER BY run LIMIT ?"
BEFORE = "SELECT run FROM run WHERE run < ? ORDER BY run DESC LIMIT ?"
_INSERT = f"INSERT INTO run({', '.join(COLUMNS)}, wake) VALUES({'?, ' * len(COLUMNS)}(SELECT base FROM meta))"
INSERT_MISSING = _INSERT + " ON CONFLICT(run) DO NOTHING"
# The next instance of an id takes over the row of the one before.
INSERT_NEW = (
    _INSERT
    + " ON CONFLICT(run) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
    + " WHERE excluded.link > link"
)
MARK_DUE = _INSERT + " ON CONFLICT(run) DO UPDATE SET due_at = 0 WHERE due_at IS NOT 0"
WAKES_IF_DUE = "SELECT wake FROM run WHERE run = ? AND due_at = 0"
WAKE = "UPDATE run SET due_at = 0, wake = wake + 1 WHERE run = ?"
CHILDREN = "SELECT parent, open FROM run WHERE parent > ? AND parent < ?"
WAKES = "SELECT wake FROM run WHERE run = ?"
SETTLE = f"UPDATE run SET {', '.join(f'{name} = ?' for name in COLUMNS[1:])} WHERE run = ? AND wake = ? AND link <= ?"
FORGET = "DELETE FROM run WHERE run = ?"
NOTE = "INSERT INTO mark VALUES(?, '', ?) ON CONFLICT(kind, key) DO UPDATE SET at = excluded.at"
NOTED = "SELECT at FROM mark WHERE kind = ? AND key = ''"

# SQLite's result codes (sqlite.org/rescode.html); the low byte is the family.
_BUSY, _LOCKED, _NOMEM, _READONLY, _IOERR, _FULL = 5, 6, 7, 8, 10, 13
_DBMOVED, _SHORT_READ = 1032, 522
_WORDS = {
    _BUSY: "another process keeps it locked",
    _LOCKED: "another process keeps it locked",
    _NOMEM: "out of memory",
    _READONLY: "it may not be written",
    _IOERR: "disk I/O error",
    _FULL: "the disk is full",
}


class Unusable(Exception):
    """There is no index at the path, or it cannot be read as one. Does not leave the index and its rebuild."""


def faults() -> tuple[type[Exception], ...]:
    """What to catch around a use of SQLite: its errors, and for damaged text a failure to decode it."""
    from _sqlite3 import Error

    return Error, UnicodeError, Unusable


def open_index(path: str) -> tuple[Connection, tuple[int, int]]:
    """A connection in autocommit mode, and which file it is to. Looking at an index never makes one.

    Raises Unusable, DiskError.
    """
    from _sqlite3 import connect

    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    while True:
        inode = inode_of(path)
        if inode == NOTHING:
            raise Unusable("it is not there, or it is no file")
        try:
            connection = connect(
                f"file://{quoted}?mode=rw",
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                uri=True,
            )
        except faults() as error:
            if is_moved(error, inode, path):
                continue
            raise meaning(error, path) from error
        if inode == inode_of(path):
            return connection, inode
        connection.close()  # replaced in this moment: nobody can say which of the two was opened


def answer(connection: Connection, question: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
    """All rows. The statement is ended also when reading them fails: one left open would keep the file locked."""
    cursor = connection.execute(question, values)
    try:
        return cursor.fetchall()
    finally:
        cursor.close()


def marked_due(connection: Connection, run: str) -> int:
    """Mark a run due, with an empty row if it has none; its count of wakes. One that is due already is not written."""
    from dwf.store.row import Row

    found = answer(connection, WAKES_IF_DUE, (run,))
    if not found:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(MARK_DUE, values_of(Row(run)))
        found = answer(connection, WAKES, (run,))
        connection.execute("COMMIT")
    if not found or type(found[0][0]) is not int:
        raise Unusable("a row is damaged")
    return found[0][0]


def settled(connection: Connection, values: tuple[object, ...], wake: str) -> int:
    """Whether the row was written that `values` of SETTLE are for; if so, `wake` ("" is nobody) is woken with it."""
    if not wake:
        return connection.execute(SETTLE, values).rowcount
    connection.execute("BEGIN IMMEDIATE")
    changed = connection.execute(SETTLE, values).rowcount
    if changed:
        connection.execute(WAKE, (wake,))
    connection.execute("COMMIT")
    return changed


def woken(connection: Connection, runs: Collection[str]) -> int:
    """Wake each, in one transaction; how many rows there were."""
    if len(runs) == 1:
        return connection.execute(WAKE, (*runs,)).rowcount
    connection.execute("BEGIN IMMEDIATE")
    changed = connection.executemany(WAKE, [(run,) for run in runs]).rowcount
    connection.execute("COMMIT")
    return changed


def short_way(choice: Choice) -> str:
    """The index that holds just the rows in question, where there is one. SQLite keeps no statistics here to know."""
    return "INDEXED BY run_needs" if choice.needs else "INDEXED BY run_due" if choice.due_now else ""


def way_to(connection: Connection, choice: Choice) -> str:
    """How to come to rows, newest first: a few of some statuses and workflows are sought, many are met on the way.

    Either way may be a walk over a million rows for a handful.
    """
    kinds, values = choice.kinds()
    way = short_way(choice)
    if way or choice.prefix or not kinds:
        return way
    return f"INDEXED BY {'run_kind' if answer(connection, ARE_FEW.format(kinds), values)[0][0] else 'run_newest'}"


def prepare_to_write(connection: Connection) -> None:
    """The settings that only writers need; they belong to the connection, not to the file."""
    connection.execute("PRAGMA journal_mode = PERSIST").close()
    connection.execute("PRAGMA synchronous = OFF").close()


def inode_of(path: str) -> tuple[int, int]:
    """Which regular file the path names now. Not opened for it: closing any descriptor would drop SQLite's locks."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return NOTHING
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else NOTHING


def is_moved(error: Exception, inode: tuple[int, int], path: str) -> bool:
    """Whether SQLite failed because the file it has open is no longer the one at its path; whatever it says then."""
    return getattr(error, "sqlite_errorcode", None) == _DBMOVED or inode != inode_of(path)


def meaning(error: Exception, path: str) -> Exception:
    """What an error of SQLite says: the file is damaged, or (DiskError) it is sound and the system cannot do it now."""
    from _sqlite3 import InterfaceError, ProgrammingError

    from dwf.errors import DiskError

    if isinstance(error, Unusable | ProgrammingError | InterfaceError):
        return error  # it is said already, or it is a mistake in this room
    code = getattr(error, "sqlite_errorcode", None)
    family = -1 if code is None else code & 0xFF
    damaged = family not in _WORDS or code == _SHORT_READ
    if family == _IOERR:
        damaged = damaged or _is_odd(f"{path}-journal")
    elif family == _READONLY:
        # The header says so, and not the file system.
        damaged = os.access(path, os.W_OK)
    if damaged:
        return Unusable(str(error))
    return DiskError(operation="use", path=path, why=f"{_WORDS[family]} (SQLite {code})", errno=0)


def values_of(row: Row) -> tuple[object, ...]:
    """A row as the parameters of the statements above, in the order of COLUMNS."""
    return (
        row.run, row.nonce, row.link, _storable(row.workflow), row.status, row.open, row.due_at, _storable(row.step),
        _storable(row.waiting), row.since_us, row.started_us, row.updated_us, _storable(row.by),
        row.needs, row.parent, row.parent_run, row.tags, row.priority,
    )  # fmt: skip


def row_of(fields: tuple[object, ...]) -> Row:
    """The inverse. Raises Unusable for values that no writer of ours left there."""
    from dwf.store.row import Row

    named: dict[str, Any] = dict(zip(COLUMNS, fields, strict=True))
    texts = {type(named[name]) for name in _TEXTS}
    numbers = {type(named[name]) for name in _NUMBERS if name != "due_at" or named[name] is not None}
    if texts != {str} or numbers != {int}:
        raise Unusable("a row is damaged")
    return Row(**named | {"open": bool(named["open"]), "needs": bool(named["needs"])})


def _storable(text: str) -> str:
    # Texts of scripts may hold half characters, which SQLite refuses, and be of any length.
    return text[:_LONGEST_TEXT].encode("utf-8", "backslashreplace").decode()


def _is_odd(path: str) -> bool:
    return os.path.lexists(path) and inode_of(path) == NOTHING

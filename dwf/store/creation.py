"""Creation of a run: acknowledged means there for good, with a row in the index; killed means whole or not there.

The intent of it is a file `runs/.tmp/<nonce>.<history's name>`, locked by its maker while he lives:

    write and sync it, link it to its name in runs/, sync runs/, commit the index row, unlink it, acknowledge

The link decides who was first. A tick finds what dead makers left by listing runs/.tmp, which is normally empty: what
is linked gets the row that is missing, what is not linked goes. "The id is in use" is answered only when what is there
is on disk and has its row, for whoever hears it will believe in that run.

No events are made in here: the first line comes as bytes.
"""

# On the path of an idle tick: only cheap imports (see the room's rules).
# ruff: noqa: PTH116

from __future__ import annotations

import errno
import os
import stat

from dwf.store.files import Disk, disk_error, listed
from dwf.store.layout import run_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dwf.errors import Conflict
    from dwf.store.index import Index
    from dwf.store.layout import Layout
    from dwf.store.row import Row

    # A run to be made: its row (with run, nonce and link) and the first lines of its history.
    Wanted = tuple[Row, bytes]

# Each intent keeps a descriptor open until its batch is done.
_BATCH = 100


def intents_waiting(layout: Layout) -> bool:
    """Whether somebody is creating a run just now, or died doing so. The idle tick asks this."""
    return bool(listed(layout.intents))


def require_room(layout: Layout) -> None:
    """Raise NotPermitted or DiskError if no run can be made: before anything is stored that only a run needs."""
    for directory in (layout.intents, layout.runs):
        if not os.access(directory, os.W_OK | os.X_OK):
            code = errno.EROFS if os.statvfs(directory).f_flag & os.ST_RDONLY else errno.EACCES
            raise disk_error("create a run in", directory, OSError(code, os.strerror(code)))


def create_run(disk: Disk, layout: Layout, index: Index, row: Row, lines: bytes) -> str:
    """Make a run and give the path of its history. When this returns it is there for good.

    row: what the index will show of it, with `run`, `nonce` and `link`; a link above 1 is made under the run's lock.
    lines: the first lines of its history, encoded. Raises Conflict (facts: run, path) if there is a file of that name:
    it is on disk then and has a row. Raises NotPermitted, DiskError; then the run is whole or not there.
    """
    (failure,) = create_runs(disk, layout, index, [(row, lines)])
    if failure is not None:
        raise failure
    return layout.history_path(row.run, row.link)


def create_runs(disk: Disk, layout: Layout, index: Index, wanted: Sequence[Wanted]) -> list[Conflict | None]:
    """Make many runs, with one sync of the directory and one index transaction for each hundred.

    One answer each: None for made, or its Conflict. Nothing is acknowledged before this returns. Raises NotPermitted,
    DiskError: then each run is whole or not there.
    """
    answers: list[Conflict | None] = []
    for start in range(0, len(wanted), _BATCH):
        answers += _create_batch(disk, layout, index, wanted[start : start + _BATCH])
    return answers


def recover_intents(disk: Disk, layout: Layout, index: Index) -> int:
    """Finish or undo what dead makers left behind; how many intents. What a living maker works on is left to him.

    Harmless at any time, and for any number of processes at once. Raises NotPermitted, DiskError.
    """
    names = listed(layout.intents)
    found = 0
    for start in range(0, len(names), _BATCH):
        found += _recover_batch(disk, layout, index, names[start : start + _BATCH])
    return found


class Together:
    """All instances of one workflow id, made elsewhere: they appear together, or not at all.

    Their intents bear one nonce. The first instance's link decides; from there on whoever finds the intents finishes
    what is missing. Used under the run's lock, as a context: what was not committed goes.
    """

    def __init__(self, disk: Disk, layout: Layout, run: str) -> None:
        self._disk, self._layout, self._run = disk, layout, run
        self._nonce = os.urandom(8).hex()
        self._intents: dict[int, Intent] = {}

    def __enter__(self) -> Together:
        return self

    def __exit__(self, *_: object) -> None:
        from contextlib import ExitStack

        # Once the first is linked, the others are what is left to do.
        begun = 1 in self._intents and self._intents[1].linked
        with ExitStack() as stack:
            for intent in self._intents.values():
                stack.callback(intent.close if begun else intent.give_up)

    def add(self, link: int, pieces: Iterable[bytes]) -> None:
        """The history of one instance, in pieces; on disk when this returns. Raises DiskError, NotPermitted."""
        intent = self._intents[link] = Intent.begin(self._disk, self._layout, (self._run, link), self._nonce)
        intent.write(pieces)

    def commit(self, index: Index, row: Row) -> None:
        """Let them appear; when this returns they are there for good. `row` is the newest instance's.

        Raises Conflict if the id is in use; DiskError: then all of it is there with the next tick, or nothing is.
        """
        # Whoever sees the first history must be able to rely on finding the other intents.
        self._disk.fsync_dir(self._layout.intents)
        first, *others = (self._intents[link] for link in sorted(self._intents))
        if (taken := _linked(self._disk, self._layout, first)) is not None:
            raise taken
        if others:
            # Names survive a power cut in any order, and without the first the others are not to be finished.
            self._disk.fsync_dir(self._layout.runs)
        for intent in others:
            intent.link()
        self._disk.fsync_dir(self._layout.runs)
        index.insert_new(row)
        for intent in (*others, first):
            intent.remove()


def sync_if_new(disk: Disk, layout: Layout, run: str, link: int = 1) -> None:
    """Before a history is opened that was reached by its name (by mail) and not by its row: make its name durable.

    Its maker may be between link and sync, and what the run does from now on must not go with the name at a power cut.
    """
    name = layout.history_path(run, link).rpartition("/")[2]
    if any(intent.partition(".")[2] == name for intent in listed(layout.intents)):
        disk.fsync_dir(layout.runs)


class Intent:
    """One file in runs/.tmp, locked by this process."""

    __slots__ = ("_disk", "_fd", "path", "run", "target")

    def __init__(self, disk: Disk, path: str, fd: int, run: tuple[str, int], target: str) -> None:
        self._disk, self.path, self._fd = disk, path, fd
        self.run, self.target = run, target

    @classmethod
    def begin(cls, disk: Disk, layout: Layout, run: tuple[str, int], nonce: str = "") -> Intent:
        """A new one, empty. `nonce`: of others that belong to it."""
        from dwf.store.locks import is_at, lock_now
        from dwf.store.sharing import file_mode

        target = layout.history_path(*run)
        name = target.rpartition("/")[2]
        while True:
            path = f"{layout.intents}/{nonce or os.urandom(8).hex()}.{name}"
            try:
                intent = cls(disk, path, disk.open_new(path, file_mode(layout)), run, target)
            except FileNotFoundError as error:
                raise disk_error("create", path, error) from error
            try:
                # Before it is locked it looks like a dead maker's; if it was cleared away as such, begin again.
                if lock_now(intent._fd, path) and is_at(intent._fd, path):
                    return intent
            except BaseException:
                intent.give_up()
                raise
            intent.close()

    @classmethod
    def take_over(cls, disk: Disk, layout: Layout, name: str) -> Intent | None:
        """What a dead maker left; None if its maker lives, or if somebody else takes it over."""
        from dwf.store.locks import is_at, lock_now

        path = f"{layout.intents}/{name}"
        run = run_of(name.partition(".")[2])
        try:
            found = os.stat(path, follow_symlinks=False)
            if run is None or not stat.S_ISREG(found.st_mode):
                _clear_away(disk, layout, name, found.st_uid)
                return None
            intent = cls(disk, path, disk.open_regular(path), run, layout.history_path(*run))
        except FileNotFoundError:
            return None
        try:
            if lock_now(intent._fd, path) and is_at(intent._fd, path):
                return intent
        except BaseException:
            intent.close()
            raise
        intent.close()
        return None

    @property
    def linked(self) -> bool:
        from dwf.store.locks import is_at

        return self._fd >= 0 and is_at(self._fd, self.target)

    def write(self, pieces: Iterable[bytes]) -> None:
        self.fill(pieces)
        self.sync()

    def fill(self, pieces: Iterable[bytes]) -> None:
        """Write what it is to hold; nothing is said about durability."""
        for piece in pieces:
            self._disk.write_all(self._fd, piece, self.path)

    def sync(self) -> None:
        """Make durable what it holds; only then may it get its name."""
        self._disk.fsync(self._fd, self.path)

    def link(self) -> bool:
        """Give it its name in runs/; False if the name is taken."""
        try:
            self._disk.link(self.path, self.target)
        except FileExistsError:
            return False
        except FileNotFoundError as error:
            raise disk_error("link", self.path, error) from error
        return True

    def replace(self) -> None:
        """Let it take the place of what has its name in runs/, in one step."""
        self._disk.rename(self.path, self.target)

    def remove(self) -> None:
        # What it stood for is settled. If this fails the next tick removes it; no reason to deny what is there.
        self._disk.discard(self.path)
        self.close()

    def give_up(self) -> None:
        """After a failure: remove it, unless it is linked; then it says that its row is missing."""
        try:
            if self._fd >= 0 and not self.linked:
                self._disk.discard(self.path)
        finally:
            self.close()

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _create_batch(disk: Disk, layout: Layout, index: Index, wanted: Sequence[Wanted]) -> list[Conflict | None]:
    from contextlib import ExitStack

    from dwf.store.overlap import make_all

    intents: list[Intent] = []
    with ExitStack() as stack:
        for row, lines in wanted:
            intent = Intent.begin(disk, layout, (row.run, row.link))
            stack.callback(intent.give_up)
            intents.append(intent)
            intent.fill((lines,))
        make_all([intent.sync for intent in intents])
        answers = [_linked(disk, layout, intent) for intent in intents]
        disk.fsync_dir(layout.runs)
        pairs = zip(wanted, answers, strict=True)
        rows = ((row, _due(row.run, row.link), made) for (row, _), made in pairs)
        # What is archived has no row, and needs none.
        index.insert_new(*(row if made is None else due for row, due, made in rows if not _is_away(layout, made)))
        for intent in intents:
            intent.remove()
    return answers


def _recover_batch(disk: Disk, layout: Layout, index: Index, names: list[str]) -> int:
    from contextlib import ExitStack

    intents: list[Intent] = []
    with ExitStack() as stack:
        for name in names:
            if intent := Intent.take_over(disk, layout, name):
                stack.callback(intent.close)
                intents.append(intent)
        for intent in intents:
            if _belongs_to_linked(layout, intent):
                intent.link()
        linked = [intent.run for intent in intents if intent.linked]
        if linked:
            # From here on these runs are believed in. Their makers may have died before their sync.
            disk.fsync_dir(layout.runs)
            index.insert_new(*(_due(*run) for run in linked))
        for intent in intents:
            if not _is_needed(layout, intent, intents):
                intent.remove()
    return len(intents)


def _belongs_to_linked(layout: Layout, intent: Intent) -> bool:
    """Whether it is one of several instances that appear together, and the first of them has appeared."""
    run, link = intent.run
    first = f"{layout.intents}/{_nonce_of(intent.path)}.{layout.history_path(run).rpartition('/')[2]}"
    try:
        return link > 1 and os.path.samestat(os.stat(first), os.stat(layout.history_path(run)))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise disk_error("look at", first, error) from error


def _is_needed(layout: Layout, intent: Intent, mine: list[Intent]) -> bool:
    """Whether others go by this one: as long as it lies there, who finds the rest of its run knows what to do."""
    if intent.run[1] > 1 or not intent.linked:
        return False
    nonce, known = _nonce_of(intent.path), {one.path.rpartition("/")[2] for one in mine}
    return any(name.startswith(f"{nonce}.") and name not in known for name in listed(layout.intents))


def _nonce_of(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]


def _linked(disk: Disk, layout: Layout, intent: Intent) -> Conflict | None:
    """Give a run its name; or that the name is taken, also by one in the archive."""
    from dwf.store.archive import archived

    run, link = intent.run
    # The next instance is made under the lock, and after what is in the archive.
    away = archived(layout, run) if link == 1 else None
    if away is None and intent.link():
        return None
    return _conflict(disk, intent, away or intent.target)


def _is_away(layout: Layout, taken: Conflict | None) -> bool:
    return taken is not None and str(taken.facts["path"]).startswith(f"{layout.archive}/")


def _conflict(disk: Disk, intent: Intent, path: str) -> Conflict:
    """That the name is taken, after what has it is on disk (its directory is synced with the batch)."""
    from dwf.errors import Conflict

    try:
        fd = disk.open_regular(path)
    except FileNotFoundError as error:  # deleted in this moment; trying again will succeed
        raise disk_error("open", path, error) from error
    try:
        disk.fsync(fd, path)
    finally:
        os.close(fd)
    run, link = intent.run
    which = f" (instance {link})" if link > 1 else ""
    return Conflict(what=f"the run id {run} is in use{which}", run=run, link=link, path=path)


def _due(run: str, link: int) -> Row:
    """The row of a run that somebody else made: all that is known is that it has to be looked at."""
    from dwf.store.row import Row

    return Row(run, link=link)


def _clear_away(disk: Disk, layout: Layout, name: str, uid: int) -> None:
    from dwf.store.refused import Refused

    Refused(disk, layout).take(name, "it lay in runs/.tmp and is not the beginning of a run", uid, layout.intents)

"""The mailbox: what anybody may post to a run, without a lock and without waiting, durable when the call returns.

    mail/tmp    being written          mail/late   came after the end of its run; kept
    mail/new    posted                 mail/bad    refused, each with a reason beside it

Of what is late or bad the newest thousand are kept.

A message is a file `<time, 16 hex digits>.<nonce>.<run id>`; its id is its name, and its body names the same id and
run. Only the holder of the run's lock takes messages, and only he removes them: after the history that holds their ids
is on disk, and after the index row is written, so that a message is itself a due mark. Order is (time of arrival by
the kernel's clock, name), never the sender's clock.

A program that cannot call dwf may drop a file: write it in mail/tmp, mode 0600 (nobody else may be able to write it),
sync it, then `mv` it into mail/new. Its content is one JSON object, at the least
{"id": "<the file's name>", "run": "<run id>", "kind": "signal", "name": "<signal>", "payload": ...}.

Only moving and listing in here; what a message must look like is in letters.py, what it does is the engine's.
"""

# On the path of an idle tick: only cheap imports (see the room's rules).
# ruff: noqa: PTH116

from __future__ import annotations

import os
import time

from dwf.store.files import Disk, Shared, disk_error, listed
from dwf.store.sharing import QUOTA, file_mode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dwf.core.messages import Message
    from dwf.store.followed import Followed
    from dwf.store.layout import Layout
    from dwf.store.letters import Letter, Note
    from dwf.store.refused import BadMail, Refused

# Who writes a message needs milliseconds; what is older than a day was left by a dead process.
_ABANDONED_US = 24 * 3600 * 1_000_000


class Mailbox:
    """The mailbox of one state directory. Raises NotPermitted and DiskError wherever it touches the disk."""

    def __init__(self, disk: Disk, layout: Layout) -> None:
        self._disk, self._layout = disk, layout
        self._mode = file_mode(layout)
        self._is_operator = layout.sharing is not None and layout.sharing.is_operator
        self._last_us = 0
        self._followed: tuple[Followed, Followed] | None = None
        self._sync_of_new = Shared()

    # -- posting -----------------------------------------------------------------------------------------------

    def post(self, message: Message, name: str = "") -> str:
        """Store a message for good and give its id; the `id` of the message given is ignored.

        `name`: of its file, for a message that must not be two however often it is posted.

        After an exception it is either there or not. Raises ValueRefused if it is too large, Busy if too many messages
        of a member wait already.
        """
        import msgspec

        from dwf.errors import ValueRefused
        from dwf.store.letters import LARGEST, encoded, name_of

        if self._is_operator:
            self._refuse_too_many()
        while True:
            chosen = name or name_of(self._time_us(), os.urandom(8).hex(), message.run)
            data = encoded(msgspec.structs.replace(message, id=chosen))
            if len(data) > LARGEST:
                raise ValueRefused(what="message", why=f"it is {len(data):,} bytes; the limit is {LARGEST:,}")
            if name:
                self._disk.discard(f"{self._layout.mail_tmp}/{name}")  # of an earlier attempt, by a process that died
            if self._deliver(chosen, data):
                return chosen
            if name:
                self.sync_new()
                return name

    def post_note(self, data: bytes) -> None:
        """Tell the engine of a shared directory something that is for no run. Raises as `post` does."""
        from dwf.store.letters import note_name

        if self._is_operator:
            self._refuse_too_many()
        while not self._deliver(note_name(self._time_us(), os.urandom(8).hex()), data):
            pass

    def _deliver(self, name: str, data: bytes) -> bool:
        draft = f"{self._layout.mail_tmp}/{name}"
        try:
            self._disk.write_new(draft, data, self._mode)
        except FileExistsError:
            return False
        except FileNotFoundError as error:
            raise disk_error("create", draft, error) from error
        try:
            self._disk.rename_noreplace(draft, f"{self._layout.mail_new}/{name}")
        except FileExistsError:
            self._disk.discard(draft)
            return False
        except FileNotFoundError as error:  # swept away, for this process stood still for a day; or no mailbox
            self._disk.discard(draft)
            raise disk_error("deliver", draft, error) from error
        except Exception:
            self._disk.discard(draft)
            raise
        self.sync_new()
        return True

    def _refuse_too_many(self) -> None:
        mine = self._by_owner().get(os.geteuid(), [])
        if len(mine) >= QUOTA:
            from dwf.errors import TooMuchMail

            raise TooMuchMail(count=len(mine), hint="the next tick takes them up; try again then")

    def _by_owner(self) -> dict[int, list[str]]:
        """What lies in mail/new by who put it there, each oldest first; only looked at where there is much of it."""
        found: dict[int, list[str]] = {}
        names = listed(self._layout.mail_new)
        for name in sorted(names) if len(names) >= QUOTA else ():
            try:
                uid = os.stat(f"{self._layout.mail_new}/{name}", follow_symlinks=False).st_uid
            except OSError:
                continue
            found.setdefault(uid, []).append(name)
        return found

    def _time_us(self) -> int:
        # Two messages of one sender keep their order, also within one tick of the kernel's coarse file clock.
        self._last_us = max(time.time_ns() // 1000, self._last_us + 1)
        return self._last_us

    # -- looking -----------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Keep the names in memory from now on: for who looks at many runs, or again and again. Else they are listed.

        What is posted before a look is seen by it either way.
        """
        if self._followed is None:
            from dwf.store.followed import followed

            new, bad = followed(self._layout.mail_new, self.run_of), followed(self._layout.mail_bad, _is_stuck)
            self._followed = None if new is None or bad is None else (new, bad)

    def forget(self) -> None:
        """Follow no longer."""
        followed, self._followed = self._followed, None
        for directory in followed or ():
            directory.close()

    def names(self) -> list[str]:
        """What is posted, whatever it is, oldest first by name; nothing is opened. The idle tick asks this."""
        found = listed(self._layout.mail_new) if self._followed is None else self._followed[0].names()
        return self._passable(sorted(found))

    def run_of(self, name: str) -> str | None:
        """The run a message is for, from its name; None if it cannot be a message (`read` will refuse it)."""
        from dwf.store.letters import run_in

        return run_in(name)

    def read(self, name: str) -> Letter | None:
        """The message of that name; None if it is gone, or was refused just now and moved to mail/bad."""
        from dwf.store.letters import Refusal, read_letter

        twins = (self._layout.mail_tmp, self._layout.mail_late)
        found = read_letter(self._layout.mail_new, name, self._owner(), twins)
        if isinstance(found, Refusal):
            if not self._is_operator:  # else the engine does it
                self._refused().take(name, found.reason, found.uid)
            return None
        return found

    def read_note(self, name: str) -> Note | None:
        """The note of that name; None if it is gone, is none, or was refused just now and moved to mail/bad."""
        from dwf.store.letters import Refusal, is_note, read_note

        if self._layout.sharing is None or not is_note(name):
            self.read(name)
            return None
        found = read_note(self._layout.mail_new, name)
        if isinstance(found, Refusal):
            self._refused().take(name, found.reason, found.uid)
            return None
        return found

    def pending(self, run: str, names: Iterable[str] | None = None) -> list[Letter]:
        """The messages for a run in their order; `names` saves listing again. What is refused is moved away."""
        letters = filter(None, map(self.read, self._for(run, names)))
        return sorted(letters, key=lambda letter: (letter.posted_us, letter.name))

    def waiting(self, run: str) -> list[str]:
        """The names of what is posted for the run, in no order; nothing is opened."""
        return self._for(run, None)

    def has_mail(self, run: str) -> bool:
        """Whether anything is posted for the run; nothing is opened."""
        return bool(self._for(run, None))

    def count(self, run: str) -> int:
        """How much is posted for the run; nothing is opened."""
        return len(self._for(run, None))

    def fate(self, name: str) -> str:
        """What became of a message: "new", "late", "bad", or "taken" (the history has it). Ask after posting."""
        for word, directory in (("new", self._layout.mail_new), ("late", self._layout.mail_late)):
            if os.path.lexists(f"{directory}/{name}"):
                return word
        return "bad" if self._refused().holds(name) else "taken"

    def _owner(self) -> int | None:
        return os.geteuid() if self._layout.sharing is None else None

    def _for(self, run: str, names: Iterable[str] | None) -> list[str]:
        followed = self._followed
        if names is None and followed is not None:
            return self._passable(followed[0].of(run))
        # Thousands may be waiting for other runs: a look at the end of the name sorts out nearly all of them.
        ending = f".{run}"
        given = listed(self._layout.mail_new) if names is None else names
        return self._passable([name for name in given if name.endswith(ending) and self.run_of(name) == run])

    def _passable(self, names: list[str]) -> list[str]:
        """Without what was refused before and could not be moved."""
        return self._refused().without_stuck(names) if names and self._has_stuck() else names

    def _has_stuck(self) -> bool:
        followed = self._followed
        if followed is not None:
            return bool(followed[1].of(True))
        return any(map(_is_stuck, listed(self._layout.mail_bad)))

    # -- taking, by the holder of the run's lock ---------------------------------------------------------------

    def discard(self, names: Iterable[str]) -> None:
        """Remove messages whose ids are in a history that is on disk. What is gone already is no error."""
        for name in names:
            try:
                self._disk.unlink(f"{self._layout.mail_new}/{name}")
            except FileNotFoundError:
                pass

    def sync_new(self) -> None:
        """Make it durable what is in mail/new and what is not: before a run ends, after its mail was removed."""
        self._sync_of_new.make(lambda: self._disk.fsync_dir(self._layout.mail_new))

    def to_late(self, name: str) -> None:
        """Keep a message that came after the end of its run. It is in mail/late, on disk, before it leaves mail/new."""
        source, target = f"{self._layout.mail_new}/{name}", f"{self._layout.mail_late}/{name}"
        try:
            self._sync(source)
            self._keep(source, target)
        except FileNotFoundError:
            return
        except FileExistsError:
            # Either a process died between link and unlink, or somebody used a name twice.
            if not _same_file(source, target):
                self._refused().take(name, "another message of this name came late before", -1)
                return
        self._disk.fsync_dir(self._layout.mail_late)
        self.discard([name])

    def bound(self) -> int:
        """In a shared directory, refuse what any member has posted beyond his share, the newest first; how much."""
        if self._layout.sharing is None:
            return 0
        over = [(uid, name) for uid, names in self._by_owner().items() for name in names[QUOTA:] if uid != os.geteuid()]
        for uid, name in over:
            self._refused().take(name, f"more than {QUOTA:,} messages of uid {uid} were waiting", uid)
        return len(over)

    def bound_late(self, is_open: Callable[[str], bool]) -> list[str]:
        """Remove the oldest late messages beyond the most that are kept; their names.

        is_open: whether a run is not over. What came for such a run may still be asked for, so it stays, but for what
        one user has beyond that number alone.
        """
        from dwf.store.refused import MOST, surplus

        late = self._layout.mail_late
        names = listed(late)
        if len(names) <= MOST:
            return []
        known: dict[str, bool] = {}
        for run in filter(None, map(self.run_of, names)):
            if run not in known:
                known[run] = is_open(run)
        asked = [name for name in names if known.get(self.run_of(name) or "")]
        over = set(names).difference(asked)
        dropped = surplus(late, sorted(over), max(MOST - len(asked), 0))
        dropped += surplus(late, asked, MOST)
        for name in dropped:
            self._disk.discard(f"{late}/{name}")
        return dropped

    def count_late(self) -> int:
        """How many messages came late and are still there; nothing is opened."""
        return len(listed(self._layout.mail_late))

    def _keep(self, source: str, target: str) -> None:
        from dwf.errors import NotPermitted

        try:
            self._disk.link(source, target)
        except NotPermitted:
            # The kernel lets nobody link another user's file (fs.protected_hardlinks); moving it is one step as well.
            self._disk.rename_noreplace(source, target)

    def refuse(self, name: str, reason: str, uid: int) -> None:
        """Put a message aside that is in order but may not count; `reason` is for its sender. It goes to mail/bad."""
        self._refused().take(name, reason, uid)

    def _sync(self, path: str) -> None:
        # A sender has synced what he posted; who dropped a file by hand may have forgotten to.
        fd = self._disk.open_regular(path)
        try:
            self._disk.fsync(fd, path)
        finally:
            os.close(fd)

    # -- what was not delivered --------------------------------------------------------------------------------

    def late(self, run: str | None = None, limit: int = 100) -> list[Letter]:
        """Messages that came after the end, in the order of their names, the newest `limit` of them.

        Their `posted_us` is when the sender wrote them, as it stands in the name: moved files have lost their own time.
        """
        from msgspec.structs import replace

        from dwf.store.letters import Letter, read_letter, written_us

        names = sorted(name for name in listed(self._layout.mail_late) if run is None or self.run_of(name) == run)
        twins = (self._layout.mail_new, self._layout.mail_tmp)
        found = (read_letter(self._layout.mail_late, name, self._owner(), twins) for name in names[-limit:])
        letters = [letter for letter in found if isinstance(letter, Letter)]
        return [replace(one, posted_us=min(one.posted_us, written_us(one.name))) for one in letters]

    def bad(self, limit: int = 100) -> list[BadMail]:
        """What was refused, the newest last, the newest `limit` of it."""
        return self._refused().newest(limit)

    def count_bad(self) -> int:
        """How many files were refused and are still there."""
        return self._refused().count()

    def _refused(self) -> Refused:
        from dwf.store.refused import Refused

        return Refused(self._disk, self._layout)

    def sweep(self, now_us: int) -> int:
        """Remove what dead senders left in mail/tmp more than a day ago; how many. Nobody was told it was accepted."""
        from dwf.errors import DwfError

        removed = 0
        for name in listed(self._layout.mail_tmp):
            path = f"{self._layout.mail_tmp}/{name}"
            try:
                if now_us - os.stat(path, follow_symlinks=False).st_ctime_ns // 1000 > _ABANDONED_US:
                    self._disk.unlink(path)
                    removed += 1
            except (OSError, DwfError):
                continue  # delivered in this moment, or nothing that a sender of ours would leave
        return removed


def _is_stuck(name: str) -> bool:
    return name.endswith(".stuck")


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samestat(os.stat(one, follow_symlinks=False), os.stat(other, follow_symlinks=False))
    except OSError:
        return False

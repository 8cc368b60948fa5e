"""A step with a keeper: a small process in a session of its own that performs it, and writes down how it ended.

Whoever waits for it may die, and another may take its place: both wait for the keeper's end, then read the same file
beside the captured output. What a keeper does with an attempt (output within bounds, time limit, secrets, exit codes)
is what dwf does with one that it performs itself; it is the same code.

ActivityStarted names the keeper. The processes of the step are members of its session, in a group of their own, so
that they are found by its number even if the keeper itself was killed; there is no record of the end then, and the
step counts as one whose end nobody saw. The record is written under another name, synced and renamed: it is there
whole or not at all. It says which keeper wrote it, so that no other attempt's is ever believed.
"""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

from dwf import host
from dwf.activities.environment import variables
from dwf.activities.function import dropped, failure
from dwf.activities.gated import no_room
from dwf.activities.output import new_file
from dwf.activities.plan import MEBIBYTE, NO_PROCESS, Asked, Attempt, Kind, Outcome, Performance, ShellSpec, Target
from dwf.activities.pulse import put_asked
from dwf.activities.session import PROOF_NS, row, send
from dwf.activities.telling import cannot_start
from dwf.activities.waited import Waited
from dwf.errors import DwfError
from dwf.host import Process

_KEEPER = str(Path(__file__).with_name("keeper.py"))
_LARGEST = 32 * MEBIBYTE
# How long a keeper tries to write down the end on a disk that refuses.
_PATIENCE_SECONDS = 60.0


class Work(msgspec.Struct, frozen=True):
    """What a keeper performs: a command or a function. `path` is sys.path, each byte as one character."""

    path: list[str]
    attempt: Attempt
    work: ShellSpec | Target


class Record(msgspec.Struct, frozen=True):
    """What is in the file: who wrote it, and how the attempt ended."""

    keeper: tuple[int, int, str]
    outcome: Outcome


def record_path(out_prefix: str) -> str:
    """Where the keeper of an attempt writes down its end."""
    return f"{out_prefix}.end"


def recorded_end(out_prefix: str, keeper: Process) -> Outcome | None:
    """How an attempt ended, as its keeper wrote it down; None if it did not (yet)."""
    try:
        fd = os.open(record_path(out_prefix), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_size > _LARGEST:
            return None
        digest, _, body = file.read(_LARGEST).partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    try:
        record = msgspec.json.decode(body, type=Record)
    except msgspec.MsgspecError:
        return None
    return record.outcome if record.keeper == (keeper.pid, keeper.start, keeper.boot) else None


# -- the side of dwf --------------------------------------------------------------------------------------------


class Adopted(Waited):
    """A kept step as a Performance, for whoever did not start it.

    left_running: dwf is stopping, and the step goes on without it. still_runs: something of it lives on and cannot be
    ended; nothing may be begun in its place.
    """

    def __init__(self, keeper: Process, attempt: Attempt) -> None:
        """Its time limit is the keeper's to enforce: it is kept while no dwf is there."""
        super().__init__(keeper, attempt.key, attempt.grace_us, None)
        assert attempt.out_prefix is not None
        self._prefix = attempt.out_prefix

    def _told(self) -> Outcome:
        asked = self._asked
        if asked is not None and asked[0] is Kind.INTERRUPTED:
            self.left_running = True
            return dropped(*asked)
        if asked is not None:
            self._end_by_keeper()
        outcome = recorded_end(self._prefix, self._process)
        if outcome is None or asked is not None:
            self._end_rest()
        if outcome is None:
            why = f"its keeper (pid {self._process.pid}) was ended, and nobody saw how it went"
            return dropped(*(asked or (Kind.INTERRUPTED, why)))
        if asked is not None and outcome.kind is Kind.INTERRUPTED:
            error = msgspec.structs.replace(outcome.error, message=asked[1]) if outcome.error else None
            return msgspec.structs.replace(outcome, kind=asked[0], error=error)
        return outcome

    def _end_by_keeper(self) -> None:
        """Ask the keeper alone: many a program takes a second TERM for a hurry."""
        found = row(self._process.pid)
        if found is not None and self._lives():
            put_asked(self._prefix, Asked(*(self._asked or (Kind.CANCELLED, "it was told to end"))))
            send(found, signal.SIGTERM)
            until_ns = time.monotonic_ns() + self.grace_us * 1000 + 2 * PROOF_NS
            while self._lives() and time.monotonic_ns() < until_ns:
                time.sleep(0.01)


class Kept(Adopted):
    """The same, for the one who starts it."""

    def __init__(self, work: ShellSpec | Target, attempt: Attempt) -> None:
        path = [os.fsencode(entry).decode("latin-1") for entry in sys.path if os.path.isabs(entry)]  # noqa: PTH117
        inner = msgspec.structs.replace(attempt, kept=True)
        request = Work(path, inner, work)
        self._problem: Exception | None = None
        self._popen: subprocess.Popen[bytes] | None = None
        self._body = b""
        try:
            self._body = msgspec.json.encode(request)
            self._popen = _spawned()
        except (OSError, ValueError, TypeError, RecursionError, subprocess.SubprocessError) as error:
            if isinstance(error, OSError) and (short := no_room(attempt.name, error)) is not None:
                raise short from None
            self._problem = error
        pid = self._popen.pid if self._popen else 0
        keeper = NO_PROCESS if not pid else host.process(pid) or Process(pid, host.start_time(pid) or 0, host.boot_id())
        super().__init__(keeper, attempt)
        self.from_before = False
        self._begun = False

    def go(self) -> None:
        """Hand the keeper the whole request, which is its gate; not if asked to end meanwhile."""
        if self._popen is None or self._asked is not None:
            return
        self._begun = True
        assert self._popen.stdin is not None
        try:
            with self._popen.stdin as gate:
                view = memoryview(f"{len(self._body)}\n".encode() + self._body)
                while view:
                    view = view[gate.write(view) :]
        except OSError:
            pass  # it was killed: there will be no record

    def finish(self) -> Outcome:
        if self._popen is None:
            self._close_bell()
            return cannot_start(self._problem or OSError("nothing was started"), "")
        if not self._begun:
            return self._never_begun(self._popen)
        outcome = super().finish()
        # A keeper that lives on is somebody else's to wait for; nobody must be told that it was forgotten.
        self._popen.returncode = 0 if self.left_running else self._popen.wait()
        return outcome

    def _never_begun(self, popen: subprocess.Popen[bytes]) -> Outcome:
        assert popen.stdin is not None
        popen.stdin.close()
        popen.wait()
        self._close_bell()
        return dropped(*(self._asked or (Kind.CANCELLED, "it was never begun")))


def _spawned() -> subprocess.Popen[bytes]:
    # Its stdout and stderr are nobody's: who reads those of dwf must not wait for a step that outlives it.
    return subprocess.Popen(
        [sys.executable, "-I", "-u", _KEEPER],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=variables(os.environ).copy(),
        start_new_session=True,
    )


# -- the side of the keeper -------------------------------------------------------------------------------------


def keep(body: bytes) -> None:
    """Perform what was asked for, and write down how it ended. Called in the keeper's main thread, once."""
    given = msgspec.json.decode(body, type=Work)
    # Signals come to this thread, so the step has one of its own.
    told = _Told()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, told)
    outcomes: list[Outcome] = []
    try:
        performance = _performance(given)
    except DwfError as error:  # no room for a process: nothing was begun
        outcomes.append(dropped(Kind.INTERRUPTED, error.message))
    else:
        told.begins(performance)
        thread = threading.Thread(target=lambda: outcomes.append(_performed(performance)))
        thread.start()
        thread.join()
    assert given.attempt.out_prefix is not None
    write_end(given.attempt.out_prefix, outcomes[0])


class _Told:
    """Somebody wants the step to end: the dwf that waits for it, or whoever stops the whole service."""

    def __init__(self) -> None:
        self._asked = False
        self._performance: Performance | None = None

    def __call__(self, *_: object) -> None:
        self._asked = True
        if self._performance is not None:
            self._performance.interrupt("it was told to end")

    def begins(self, performance: Performance) -> None:
        self._performance = performance
        if self._asked:
            self()


def _performance(given: Work) -> Performance:
    from dwf.activities import prepare_isolated, prepare_shell

    if isinstance(given.work, ShellSpec):
        return prepare_shell(given.work, given.attempt)
    return prepare_isolated(given.work, given.attempt)


def _performed(performance: Performance) -> Outcome:
    try:
        performance.go()
        return performance.finish()
    except BaseException as error:
        return failure(error)


def write_end(out_prefix: str, outcome: Outcome) -> None:
    """Make it last, whole or not at all. A full disk is given a minute."""
    me = host.this_process()
    body = msgspec.json.encode(Record((me.pid, me.start, me.boot), outcome))
    data = hashlib.sha256(body).hexdigest().encode() + b"\n" + body
    until = time.monotonic() + _PATIENCE_SECONDS
    while not _written(record_path(out_prefix), data) and time.monotonic() < until:
        time.sleep(0.2)


def _written(path: str, data: bytes) -> bool:
    try:
        fd = new_file(f"{path}.part")
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(f"{path}.part", path)  # noqa: PTH104
        directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # noqa: PTH120
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError:
        return False
    return True

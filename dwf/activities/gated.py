"""A process that is spawned, held at its gate, let go, watched, and ended: what shell.py and isolated.py share.

The gate is the child's stdin, a pipe: it waits for its first line there. If dwf dies, the pipe ends without one, and
the child exits without having done anything. What follows the first line is what the step reads.

No preexec_fn: forking a process with threads and then running Python in the child can deadlock. No PR_SET_PDEATHSIG
either: it fires when the *thread* that spawned ends, and it would end the leader only, leaving a group without the one
process by which it can be recognised. What a killed tick leaves behind is ended by the next one (orphans.py).
"""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from dwf import host
from dwf.activities.output import Stream
from dwf.activities.plan import NO_PROCESS, Asked, Attempt, Kind
from dwf.activities.pulse import Silence, put_asked
from dwf.activities.session import Session
from dwf.activities.watch import Pipes, Watch
from dwf.errors import DiskError
from dwf.host import Process

# Too many files or processes, too little memory: the machine's trouble, and no attempt of the step.
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class Launch:
    """What to spawn. cwd: "" is dwf's own; umask: -1 is dwf's own."""

    argv: list[str]
    env: Mapping[Any, Any]
    cwd: str = ""
    umask: int = -1


@dataclass(frozen=True, slots=True)
class Ended:
    """How the process ended. status: its exit code, minus the number of the signal that killed it, or None.

    problem: why it could not be started. asked: why it was made to end. left: pids that could not be ended.
    """

    out: Stream
    err: Stream
    answer: bytes = b""
    status: int | None = None
    problem: Exception | None = None
    asked: Asked | None = None
    left: tuple[int, ...] = ()


class Gated:
    """One process group. `ask` may come from any thread.

    answers: give the child one more pipe to answer on; `answer_fd` is its number there, for `go` to tell.
    problem: it is known already that nothing can be started. Raises DiskError where there is no room for a process.
    """

    def __init__(
        self,
        launch: Launch,
        attempt: Attempt,
        max_file: int,
        *,
        answers: bool = False,
        problem: Exception | None = None,
    ) -> None:
        prefix = attempt.out_prefix
        self.out = Stream(None if prefix is None else f"{prefix}.out", max_file)
        self.err = Stream(None if prefix is None else f"{prefix}.err", max_file)
        self.process = NO_PROCESS
        self.answer_fd = -1
        self._attempt = attempt
        self._popen: subprocess.Popen[bytes] | None = None
        self._watch: Watch | None = None
        self._problem = problem
        self._asked: Asked | None = None
        self._lock = threading.Lock()
        if problem is not None:
            return
        try:
            self._spawn(launch, answers)
        except (OSError, ValueError, TypeError, OverflowError, subprocess.SubprocessError) as error:
            if isinstance(error, OSError) and (short := no_room(attempt.name, error)) is not None:
                raise short from None
            self._problem = error  # the attempt has failed; that is for `finish` to tell

    def _spawn(self, launch: Launch, answers: bool) -> None:
        with ExitStack() as undo, ExitStack() as theirs:
            stdin, gate = _pipe(theirs, undo)
            out, stdout = _pipe(undo, theirs)
            err, stderr = _pipe(undo, theirs)
            answer = -1
            if answers:
                answer, self.answer_fd = _pipe(undo, theirs)
            bell = _kept(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK), undo)
            self._popen = subprocess.Popen(
                launch.argv,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=launch.env,
                cwd=launch.cwd or None,
                umask=launch.umask,
                # A keeper's step stays in its session: so it is found by the keeper's number.
                start_new_session=not self._attempt.kept,
                process_group=0 if self._attempt.kept else None,
                pass_fds=(self.answer_fd,) if answers else (),
            )
            pid = self._popen.pid
            self.process = host.process(pid) or Process(pid, host.start_time(pid) or 0, host.boot_id())
            pipes = Pipes(gate, out, err, answer, bell)
            session = Session(pid, self.process.start, home=os.getsid(0) if self._attempt.kept else 0)
            silence = Silence(self._attempt.pulse, self._attempt.heartbeat_us)
            self._watch = Watch(self._popen, session, pipes, (self.out, self.err), silence)
            undo.pop_all()

    def go(self, gate: bytes) -> None:
        """Open the gate with its first line, and all that the child reads after it; not if asked to end meanwhile."""
        with self._lock:
            if self._watch is not None and self._asked is None:
                self._watch.begin(gate, self._attempt.timeout_us)

    def ask(self, kind: Kind, reason: str) -> None:
        """Let it be ended; the first who asks is the one who is told about."""
        with self._lock:
            self._asked = self._asked or Asked(kind, reason)
            if self._watch is not None:
                put_asked(self._attempt.pulse, self._asked)
                self._watch.ask(self._asked)

    def relimit(self, timeout_us: int, heartbeat_us: int) -> None:
        """Other limits for what runs, if it does."""
        with self._lock:
            if self._watch is not None and self._asked is None:
                self._watch.relimit(timeout_us, heartbeat_us)

    def finish(self) -> Ended:
        """Wait for the end, and leave nothing open."""
        if self._watch is None:
            return Ended(self.out, self.err, problem=self._problem)
        watch = self._watch
        try:
            watch.run(self._attempt.grace_us)
        finally:
            with self._lock:
                self._watch = None
                watch.close()
            self.out.close()
            self.err.close()
        return Ended(
            self.out,
            self.err,
            answer=bytes(watch.answer),
            status=watch.status,
            asked=watch.asked,
            left=watch.left,
        )


def no_room(name: str, error: OSError) -> DiskError | None:
    """What to raise if the machine is short of something; None if it is not that."""
    if error.errno not in _SHORT:
        return None
    return DiskError(
        operation="start a process for",
        path=name,
        why=os.strerror(error.errno or 0),
        errno=error.errno or 0,
        hint="look at `ulimit -n`, `ulimit -u` and free memory; nothing was begun, the next tick tries again",
    )


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """A pipe whose ends are closed by these two stacks."""
    read, write = os.pipe()
    return _kept(read, reader), _kept(write, writer)


def _kept(fd: int, stack: ExitStack) -> int:
    stack.callback(os.close, fd)
    return fd

"""Watches one process group from the opened gate to its end: output, input, clock, and who asks it to stop.

One loop over descriptors; it sleeps until something happens. The leader is reaped last, so that its pid, which is also
the number of its session, stays its own for as long as anything is signalled by it.

A background process that keeps the pipes open does not hold the step: when the leader has ended by itself, the rest of
the output is waited for only briefly, and what runs on in the background runs on.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from typing import NamedTuple

from dwf.activities.output import Stream
from dwf.activities.plan import MEBIBYTE, Asked, Kind
from dwf.activities.pulse import Silence
from dwf.activities.session import PROOF_NS, Session, next_look_ns
from dwf.core.duration import spoken
from dwf.core.steps import HEARTBEAT

_CHUNK = 64 * 1024
# Only where the kernel cannot tell the end of a process through a descriptor.
_LOOK_NS = 10_000_000
# For the end of output that comes through another process (a `| tee`, a process substitution).
_LINGER_NS = 100_000_000
_MAX_ANSWER = 16 * MEBIBYTE


class Pipes(NamedTuple):
    """dwf's ends: the gate to write; out, err and answer to read (answer: -1 if there is none); the bell wakes us."""

    gate: int
    out: int
    err: int
    answer: int
    bell: int


class Watch:
    """`begin` opens the gate, `run` watches until the end, `ask` may come from any thread until `close`."""

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        session: Session,
        pipes: Pipes,
        streams: tuple[Stream, Stream],
        silence: Silence,
    ) -> None:
        self.answer = bytearray()
        self.status: int | None = None
        self.asked: Asked | None = None
        self.left: tuple[int, ...] = ()
        self._popen = popen
        self._session = session
        self._silence = silence
        self._pipes = pipes
        self._streams = {pipes.out: streams[0], pipes.err: streams[1]}
        self._open = {fd for fd in pipes if fd >= 0}
        self._readers = {pipes.out, pipes.err} | ({pipes.answer} if pipes.answer >= 0 else set())
        self._poll = select.poll()
        self._pidfd = -1
        self._to_write = memoryview(b"")
        self._begun = False
        self._request: Asked | None = None
        self._timeout_us = 0
        self._begun_ns = self._deadline_ns = 0
        self._asked_ns = 0
        self._kill_at_ns = 0
        self._give_up_ns = 0
        self._linger_ns = 0

    # -- from outside -------------------------------------------------------------------------------------------

    def begin(self, gate: bytes, timeout_us: int) -> None:
        self._begun = True
        self._timeout_us = timeout_us
        self._begun_ns = time.monotonic_ns()
        self._deadline_ns = self._begun_ns + timeout_us * 1000 if timeout_us else 0
        self._silence.begin()
        self._to_write = memoryview(gate)
        os.set_blocking(self._pipes.gate, False)
        self._write()

    def ask(self, asked: Asked) -> None:
        self._request = asked
        os.eventfd_write(self._pipes.bell, 1)

    def relimit(self, timeout_us: int, heartbeat_us: int) -> None:
        """It may take so long, from its beginning, and be silent for so long, from now on; 0 is for ever."""
        self._timeout_us = timeout_us
        self._deadline_ns = self._begun_ns + timeout_us * 1000 if timeout_us else 0
        self._silence.relimit(heartbeat_us)
        os.eventfd_write(self._pipes.bell, 1)

    def close(self) -> None:
        for fd in self._open:
            os.close(fd)
        self._open.clear()

    def run(self, grace_us: int) -> None:
        """Until the process has ended, and, if it was made to end, everything that belongs to it."""
        try:
            self._loop(grace_us)
        except BaseException:
            # Whatever stopped us (a Ctrl-C, say), nobody else will watch this process.
            self._session.kill()
            raise
        finally:
            self._reap()

    # -- the loop -----------------------------------------------------------------------------------------------

    def _loop(self, grace_us: int) -> None:
        self._prepare()
        if not self._begun:
            self.asked = self._request or Asked(Kind.CANCELLED, "it was never begun")
            self._session.kill()
            self._close(self._pipes.gate)
        while not self._over(grace_us):
            for fd, _ in self._poll.poll(self._patience_ms()):
                self._serve(fd)

    def _prepare(self) -> None:
        for fd in self._readers:
            os.set_blocking(fd, False)
            self._poll.register(fd, select.POLLIN)
        self._poll.register(self._pipes.bell, select.POLLIN)
        if self._to_write:
            self._poll.register(self._pipes.gate, select.POLLOUT)
        self._watch_exit()

    def _watch_exit(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self._popen.pid)
        except OSError:
            return  # an old kernel or a strict container: look every now and then
        self._open.add(self._pidfd)
        self._poll.register(self._pidfd, select.POLLIN)

    def _over(self, grace_us: int) -> bool:
        """Whether there is nothing left to wait for; acts on clock and requests."""
        now = time.monotonic_ns()
        exited = self._has_exited()
        if not exited and self.asked is None:
            self._consider_ending(now, grace_us)
        if self._kill_at_ns:
            if not self._is_ended(now, exited):
                return False
        elif not exited:
            return False
        return self._output_is_over(now)

    def _has_exited(self) -> bool:
        # Looks without reaping.
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self._popen.pid, flags) is not None
        except ChildProcessError:  # somebody in this process reaps children that are not his
            return True

    def _consider_ending(self, now: int, grace_us: int) -> None:
        if self._request is not None:
            self.asked = self._request
        elif self._deadline_ns and now >= self._deadline_ns:
            self.asked = Asked(Kind.TIMED_OUT, f"it ran longer than {spoken(self._timeout_us)}")
        elif self._silence.passed(now):
            self.asked = Asked(Kind.TIMED_OUT, f"no heartbeat for {spoken(self._silence.limit_us)}", HEARTBEAT)
        else:
            return
        self._session.ask()
        self._asked_ns = now
        self._kill_at_ns = now + grace_us * 1000
        self._give_up_ns = self._kill_at_ns + PROOF_NS

    def _is_ended(self, now: int, exited: bool) -> bool:
        """Whether nothing of the step is left. After the grace, sees to it."""
        if now >= self._kill_at_ns:
            self._session.kill()
        elif not exited:
            return False
        members = self._session.members()
        if members and now >= self._give_up_ns:
            self.left = tuple(member.pid for member in members)
            return True
        return not members

    def _output_is_over(self, now: int) -> bool:
        if not self._readers:
            return True
        self._linger_ns = self._linger_ns or now + _LINGER_NS
        return now >= self._linger_ns

    def _patience_ms(self) -> float | None:
        """How long nothing needs to be looked at, unless a descriptor says so."""
        now = time.monotonic_ns()
        if self._linger_ns:
            due = self._linger_ns
        elif self._kill_at_ns:
            # Members other than the leader end without telling us.
            due = now + next_look_ns(now - self._asked_ns)
        elif self._pidfd < 0:
            due = now + _LOOK_NS
        else:
            dues = [due for due in (self._deadline_ns, self._silence.due_ns) if due]
            if not dues:
                return None
            due = min(dues)
        return max(due - now, 0) / 1e6

    # -- descriptors --------------------------------------------------------------------------------------------

    def _serve(self, fd: int) -> None:
        if fd in self._readers:
            self._read(fd)
        elif fd == self._pipes.gate:
            self._write()
        elif fd == self._pipes.bell:
            os.eventfd_read(fd)
        else:
            # The pidfd: it stays readable, once is enough. While somebody traces the process, it tells of an end that
            # cannot be waited for yet, so from here on we look.
            self._poll.unregister(fd)
            self._pidfd = -1

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._poll.unregister(fd)
            self._readers.discard(fd)
            self._close(fd)
        elif fd in self._streams:
            self._streams[fd].write(data)
        elif len(self.answer) < _MAX_ANSWER:
            self.answer += data

    def _write(self) -> None:
        try:
            while self._to_write:
                self._to_write = self._to_write[os.write(self._pipes.gate, self._to_write) :]
        except BlockingIOError:
            return
        except OSError:  # nobody reads any more: that is the step's own affair
            self._to_write = memoryview(b"")
        self._close(self._pipes.gate)

    def _close(self, fd: int) -> None:
        if fd in self._open:
            self._open.discard(fd)
            if fd == self._pipes.gate:
                self._forget(fd)
            os.close(fd)

    def _forget(self, fd: int) -> None:
        try:
            self._poll.unregister(fd)
        except KeyError:
            pass  # all of it was written at once

    def _reap(self) -> None:
        if self._has_exited():
            self.status = self._popen.wait()
        else:
            # It could not be ended (see `left`); a later wait would block, and __del__ would complain.
            self._popen.returncode = -9

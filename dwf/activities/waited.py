"""What a killed dwf left running, waited for: an attempt whose end is seen, and whose outcome nobody will know.

The process is not ours, so there is no exit status to be had. See orphans.py for how one is ended.
"""

from __future__ import annotations

import os
import select

from dwf import host
from dwf.activities.function import dropped, now_us
from dwf.activities.orphans import end_orphan
from dwf.activities.plan import Kind, Outcome
from dwf.core.steps import START_TO_CLOSE

# Only where the kernel cannot tell the end of a process through a descriptor.
_LOOK_MS = 200


class Waited:
    """A Performance.

    from_before: another dwf has begun it. left_running: waiting was given up because dwf is stopping, and the process
    goes on. still_runs: something of it lives on and cannot be ended; nothing may be begun in its place. grace_us:
    from being asked to being killed.
    """

    def __init__(
        self, process: host.Process, key: str, grace_us: int, until_us: int | None, limit: str = START_TO_CLOSE
    ) -> None:
        """`until_us`: when it must be over, microseconds since the epoch; None is without limit. limit: which of the
        step's timeouts that is.
        """
        self._limit = limit
        self._process, self._key, self.grace_us, self._until_us = process, key, grace_us, until_us
        self.from_before = True
        self.left_running = False
        self.still_runs = False
        self._asked: tuple[Kind, str] | None = None
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    @property
    def process(self) -> host.Process:
        return self._process

    def go(self) -> None:
        """It has been running all the while."""

    def finish(self) -> Outcome:
        try:
            self._wait()
        finally:
            self._close_bell()
        return self._told()

    def _told(self) -> Outcome:
        kind, reason = self._asked or (Kind.INTERRUPTED, "dwf was killed while it ran, and it ended unseen")
        if self._asked is not None and kind is Kind.INTERRUPTED:
            self.left_running = True
            return dropped(kind, reason)
        self._end_rest()
        return dropped(kind, reason, which=self._limit)

    def _end_rest(self) -> None:
        process = self._process
        self.still_runs = not end_orphan(process.pid, process.start, process.boot, self.grace_us, self._key)

    def _close_bell(self) -> None:
        bell, self._bell = self._bell, -1
        os.close(bell)

    def cancel(self, reason: str) -> None:
        self._ask(Kind.CANCELLED, reason)

    def interrupt(self, reason: str) -> None:
        self._ask(Kind.INTERRUPTED, reason)

    def _ask(self, kind: Kind, reason: str) -> None:
        self._asked = self._asked or (kind, reason)
        if self._bell >= 0:
            os.eventfd_write(self._bell, 1)

    def _wait(self) -> None:
        """Until the process has ended, its time is over, or somebody asks."""
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        try:
            pidfd = os.pidfd_open(self._process.pid)
            poll.register(pidfd, select.POLLIN)
        except OSError:
            pidfd = -1  # it has ended, or this kernel has none
        try:
            while self._asked is None and self._lives():
                poll.poll(self._patience_ms(pidfd))
                self._look_at_clock()
        finally:
            if pidfd >= 0:
                os.close(pidfd)

    def _lives(self) -> bool:
        return host.same_process_alive(self._process.pid, self._process.start, self._process.boot)

    def _patience_ms(self, pidfd: int) -> float | None:
        waits = [] if pidfd >= 0 else [float(_LOOK_MS)]
        if self._until_us is not None:
            waits.append(max(self._until_us - now_us(), 0) / 1000)
        return min(waits, default=None)

    def _look_at_clock(self) -> None:
        if self._until_us is not None and now_us() >= self._until_us and self._lives():
            self._asked = self._asked or (Kind.TIMED_OUT, "it ran longer than it may")

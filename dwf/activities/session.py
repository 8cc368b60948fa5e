"""Which processes belong to a step, and how they are ended, with proof.

A step's first process leads a session and a process group of its own. To the step belong: the members of both, and
every process whose chain of parents leads to one of them or to one seen earlier. A daemon that has left the session and
whose parent has ended does not belong any more; it made itself independent on purpose.

A pid alone names nobody: a signal goes through a pidfd, after the start time of what it refers to was compared. The
number of a session is not given out anew while its leader is unreaped or it has members.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

DEAD = ("Z", "X", "x")
# How long after KILL the kernel may take; longer means that it cannot (a hung disk, another user's process).
PROOF_NS = 2_000_000_000
_FIRST_LOOK_NS = 10_000_000


class Row(NamedTuple):
    """One process of /proc. `start` is in clock ticks after boot."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    start: int


def row(pid: int) -> Row | None:
    """One process; None if there is none. A zombie is one."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(fd, 4096)
    except OSError:  # it ended between open and read
        return None
    finally:
        os.close(fd)
    # The name in parentheses may hold anything, also spaces and parentheses; the last one ends it.
    fields = text[text.rfind(b")") + 2 :].split()
    if len(fields) < 20:
        return None
    return Row(pid, fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def everyone() -> list[Row]:
    """All processes that can be seen."""
    numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - on every look
    return [found for number in numbers if (found := row(number)) is not None]


def send(target: Row, number: int) -> None:
    """Signal exactly that process; nothing if it has ended or is not ours to signal."""
    try:
        fd = os.pidfd_open(target.pid)
    except OSError:
        return
    try:
        # From here on the descriptor means one process for good; the start time tells whether it is the one meant.
        now = row(target.pid)
        if now is not None and now.start == target.start:
            signal.pidfd_send_signal(fd, number)
    except OSError:
        pass
    finally:
        os.close(fd)


class Session:
    """The processes of one step.

    `is_ours(row)` decides whether a member of the session or group may be believed to be the step's: always, while the
    leader is known to be alive or unreaped; see orphans.py for the other case. home: the number of a session that is
    the step's but for its own leader, who keeps the step (kept.py).
    """

    def __init__(
        self, leader: int, start: int, is_ours: Callable[[Row], bool] = lambda _: True, *, home: int = 0
    ) -> None:
        self._leader = leader
        self._home = home or leader
        self._is_ours = is_ours
        self._seen = {leader: start}

    def members(self) -> list[Row]:
        """All that are alive. Remembers them, so that they are still known when their parents have ended."""
        alive = [found for found in everyone() if found.state not in DEAD]
        mine = {found.pid for found in alive if self._belongs(found)}
        while more := {found.pid for found in alive if found.parent in mine and found.pid not in mine}:
            mine |= more
        rows = [found for found in alive if found.pid in mine]
        self._seen.update((found.pid, found.start) for found in rows)
        return rows

    def _belongs(self, found: Row) -> bool:
        if self._seen.get(found.pid) == found.start:
            return True
        if found.session != self._home and self._leader not in (found.session, found.group):
            return False
        if found.pid in (self._leader, self._home):
            return False
        return self._is_ours(found)

    def ask(self) -> None:
        """TERM to all; CONT, because a stopped process would never see it."""
        targets = self.members()
        _to_all(targets, signal.SIGTERM)
        _to_all(targets, signal.SIGCONT)

    def kill(self) -> None:
        """KILL to all; to be called until there are no members, for they may be forking."""
        _to_all(self.members(), signal.SIGKILL)

    def end(self, grace_us: int) -> list[int]:
        """Ask, wait for at most `grace_us`, kill. Returns the pids that live on in spite of it, normally none."""
        self.ask()
        if self._gone_by(time.monotonic_ns() + grace_us * 1000, lambda: None):
            return []
        self._gone_by(time.monotonic_ns() + PROOF_NS, self.kill)
        return [member.pid for member in self.members()]

    def _gone_by(self, deadline_ns: int, push: Callable[[], None]) -> bool:
        began_ns = time.monotonic_ns()
        push()
        while self.members():
            now = time.monotonic_ns()
            if now >= deadline_ns:
                return False
            time.sleep(min(next_look_ns(now - began_ns), deadline_ns - now) / 1e9)
            push()
        return True


def next_look_ns(waited_ns: int) -> int:
    """When to look at all processes again: soon at first, then less and less often, for there may be thousands."""
    return max(_FIRST_LOOK_NS, waited_ns // 4)


def _to_all(targets: Iterable[Row], number: int) -> None:
    for target in targets:
        send(target, number)

"""Ends what a killed tick has left running of a step, before the same step is started again.

ActivityStarted names the step's first process by pid, start time and boot. If that very process lives, its session is
its own and is ended. If it is gone while others of its session live on, the number alone proves nothing (it may have
been given to another session since): then only those are ended that carry the step's idempotency key in their
environment.
"""

from __future__ import annotations

import os

from dwf import host
from dwf.activities.session import DEAD, Row, Session, everyone, row


def end_orphan(pid: int, pid_start: int, boot: str, grace_us: int, key: str = "") -> bool:
    """End the processes of an earlier attempt: TERM, after `grace_us` KILL. True if nothing of it is left.

    pid, pid_start, boot: as recorded in ActivityStarted; pid 0 (no process of its own) and another boot leave nothing.
    key: the step's idempotency key; without it nothing is ended once the first process is gone. False means that
    something is left which could not be ended, or cannot be told from a stranger: a person must look.
    """
    if pid <= 0 or boot != host.boot_id():
        return True
    found = row(pid)
    if pid_start <= 0:
        return found is None  # it was recorded without /proc: a living process cannot be told from a stranger
    if found is not None and found.start != pid_start:
        # The number was free to be given to somebody else: of the old session nobody is left.
        return True
    if os.getsid(0) == pid or os.getpid() == pid:
        return False  # that is ourselves; whatever was recorded, it is not for us to end
    if found is not None and found.state not in DEAD:
        return not Session(pid, pid_start).end(grace_us)
    return _end_rest(pid, pid_start, grace_us, key)


def _end_rest(pid: int, pid_start: int, grace_us: int, key: str) -> bool:
    """The first process has ended; members of its session may live on."""
    session = Session(pid, pid_start, lambda found: found.start >= pid_start and _carries(found, key))
    if session.members():
        session.end(grace_us)
    return not any(pid in (found.session, found.group) and found.state not in DEAD for found in everyone())


def _carries(found: Row, key: str) -> bool:
    """Whether a process was started with that idempotency key."""
    if not key:
        return False
    try:
        with open(f"/proc/{found.pid}/environ", "rb") as file:
            variables = file.read().split(b"\0")
    except OSError:
        return False
    return b"DWF_IDEMPOTENCY_KEY=" + os.fsencode(key) in variables

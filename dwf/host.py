"""Which machine this is, which boot of it, and which process: what a pid alone cannot say.

The floor just above core, used by the store and by activities. It reads /proc and /etc and changes nothing. It is on
the path of an idle tick, so it imports nothing but `os`.

A pid is used again after a while; a pid with its start time and the boot it lived in names one process for good.
"""

# ruff: noqa: PTH115

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MACHINE_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")
# proc(5): the 22nd field of /proc/PID/stat; the first two are cut off at the last ")", for a name may hold anything.
_STATE, _START = 0, 19
_DEAD = frozenset({"Z", "X", "x"})


class Process:
    """One process for good: `pid`, `start` (clock ticks after boot), `boot` (id), `namespace` (of pids)."""

    __slots__ = ("boot", "namespace", "pid", "start")

    def __init__(self, pid: int, start: int, boot: str, namespace: str = "") -> None:
        self.pid, self.start, self.boot, self.namespace = pid, start, boot, namespace

    def __repr__(self) -> str:
        return f"Process(pid={self.pid}, start={self.start}, boot={self.boot!r}, namespace={self.namespace!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Process) and self._names() == other._names()

    def __hash__(self) -> int:
        return hash(self._names())

    def _names(self) -> tuple[int, int, str, str]:
        return self.pid, self.start, self.boot, self.namespace


def boot_id() -> str:
    """The id of this boot, made anew by the kernel each time; "" where there is none."""
    return _read(_BOOT_ID)


def machine_id() -> str:
    """The id of this machine, kept over reboots; "" where there is none (some containers)."""
    for path in _MACHINE_IDS:
        found = _read(path)
        # systemd writes "uninitialized" before the first boot is complete
        if len(found) == 32 and found.isalnum():
            return found
    return ""


def process(pid: int) -> Process | None:
    """The process that has this pid now; None if there is none, or only its remains (a zombie)."""
    fields = _stat(pid)
    if fields is None or fields[_STATE] in _DEAD:
        return None
    return Process(pid, int(fields[_START]), boot_id(), _namespace(pid))


def this_process() -> Process:
    """The calling process. `start` is 0 where /proc is not mounted."""
    return process(os.getpid()) or Process(os.getpid(), 0, boot_id())


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks after boot; None if there is no such process."""
    fields = _stat(pid)
    return int(fields[_START]) if fields else None


def same_process_alive(pid: int, start: int, boot: str) -> bool:
    """Whether the very process recorded with these three still runs. A zombie does not."""
    if pid <= 0 or boot != boot_id():
        return False
    fields = _stat(pid)
    return fields is not None and fields[_STATE] not in _DEAD and int(fields[_START]) == start


def start_thread(name: str, target: Callable[..., object], *given: object) -> Thread:
    """A daemon thread, running. Raises DiskError where there is no room for one more: no script is at fault then."""
    import errno
    import threading

    thread = threading.Thread(target=target, args=given, name=name, daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError):
        from dwf.errors import DiskError

        why, hint = "no room for another thread", "look at `ulimit -u`, `ulimit -v` and free memory"
        raise DiskError(operation="start", path=name, why=why, errno=errno.EAGAIN, hint=hint) from None
    return thread


def _stat(pid: int) -> list[str] | None:
    text = _read(f"/proc/{pid}/stat")
    fields = text[text.rfind(")") + 2 :].split()
    return fields if len(fields) > _START else None


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def _read(path: str) -> str:
    # Not open(): its decoding layers cost more than the system calls, and names in /proc may be any bytes.
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, 4096).decode("utf-8", "replace").strip()
    except OSError:  # the process ended between open and read
        return ""
    finally:
        os.close(fd)

"""Locks: held by the kernel, never broken by age, never inherited, no file left behind."""

# ruff: noqa: PTH101, PTH102, PTH108, PTH110, PTH116, PTH208, PTH211

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dwf.errors import DiskError, NotPermitted
from dwf.store.files import Disk
from dwf.store.layout import Layout
from dwf.store.locks import RunLock, RunLocks
from tests.store.places import child, end, new_home

HOLDER = """
import sys, os
from dwf.store.files import Disk
from dwf.store.layout import Layout
from dwf.store.locks import RunLocks
lock = RunLocks(Disk(), Layout(sys.argv[1])).take("r1")
assert lock
if sys.argv[2] == "fork" and os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
if sys.argv[2] == "exec":
    import subprocess
    subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return new_home(tmp_path)


@pytest.fixture
def locks(layout: Layout) -> RunLocks:
    return RunLocks(Disk(), layout)


def take(locks: RunLocks, run: str = "r1") -> RunLock:
    lock = locks.take(run)
    assert lock is not None
    return lock


def until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_lock_is_a_private_file_that_exists_only_while_it_is_held(locks: RunLocks, layout: Layout) -> None:
    """Fails when a released lock leaves its file."""
    with take(locks) as lock:
        found = os.stat(lock.path)
        assert stat.S_IMODE(found.st_mode) == 0o600
        assert os.listdir(layout.locks) == ["r1.lock"]
    assert os.listdir(layout.locks) == []


def test_the_second_to_ask_gets_none_at_once_and_other_runs_are_free(locks: RunLocks, layout: Layout) -> None:
    """Fails when runs share locks."""
    with take(locks):
        assert locks.take("r1") is None
        assert RunLocks(Disk(), layout).take("r1") is None
        take(locks, "r2").release()
    take(locks).release()


def test_threads_of_one_process_exclude_each_other_too(locks: RunLocks) -> None:
    answers: list[RunLock | None] = []
    with take(locks):
        thread = threading.Thread(target=lambda: answers.append(locks.take("r1")))
        thread.start()
        thread.join()
    assert answers == [None]


def test_releasing_twice_does_not_release_the_lock_of_the_next_holder(locks: RunLocks) -> None:
    first = take(locks)
    first.release()
    second = take(locks)
    first.release()
    assert second.intact()
    assert locks.take("r1") is None


def test_a_file_unlinked_between_open_and_lock_locks_nothing(layout: Layout) -> None:
    """The race: B opens, A unlinks and releases, B locks the unlinked file, C makes a new one and locks that."""

    class Slow(Disk):
        __slots__ = ()

        def open_regular(self, path: str, **options: Any) -> int:
            fd = super().open_regular(path, **options)
            if held:
                held.pop().release()
            return fd

    held = [take(RunLocks(Disk(), layout))]
    mine = take(RunLocks(Slow(), layout))
    assert mine.intact()
    assert os.path.samestat(os.stat(mine.path), os.fstat(mine._fd))
    assert RunLocks(Disk(), layout).take("r1") is None


def test_a_killed_holder_frees_it_and_what_he_left_behind_is_used_again(locks: RunLocks, layout: Layout) -> None:
    """Fails when a lock file that is there counts as held."""
    process = child(HOLDER, layout.home, "")
    assert locks.take("r1") is None
    end(process)
    assert os.listdir(layout.locks) == ["r1.lock"]
    take(locks).release()
    assert os.listdir(layout.locks) == []


def test_a_stopped_holder_keeps_it_however_old_its_file_is(locks: RunLocks, layout: Layout) -> None:
    """Fails when a lock that is held is broken."""
    process = child(HOLDER, layout.home, "")
    os.kill(process.pid, signal.SIGSTOP)
    os.utime(f"{layout.locks}/r1.lock", (0, 0))
    assert locks.take("r1") is None
    assert locks.sweep() == 0
    os.kill(process.pid, signal.SIGCONT)
    assert locks.take("r1") is None
    end(process)


def test_a_program_started_by_the_holder_does_not_inherit_it(locks: RunLocks, layout: Layout) -> None:
    process = child(HOLDER, layout.home, "exec")
    sleeper = _child_of(process.pid)
    end(process)
    assert os.path.exists(f"/proc/{sleeper}")
    take(locks).release()
    os.kill(sleeper, signal.SIGKILL)


def test_a_plain_fork_of_the_holder_does_not_inherit_it(locks: RunLocks, layout: Layout) -> None:
    """Fails when a forked child keeps the descriptors of the locks."""
    process = child(HOLDER, layout.home, "fork")
    forked = _child_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert os.path.exists(f"/proc/{forked}")
    # the fork closes its copy on its own time
    until(lambda: (lock := locks.take("r1")) and (lock.release() or True))
    end(process)


def test_a_fork_that_ends_does_not_free_it(locks: RunLocks) -> None:
    with take(locks) as lock:
        pid = os.fork()
        if pid == 0:
            os._exit(0 if lock._fd == -1 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert lock.intact()
        assert locks.take("r1") is None


def test_a_reader_who_locks_the_history_stops_nobody(locks: RunLocks, layout: Layout) -> None:
    """Fails when the history is what is locked."""
    path = layout.history_path("r1")
    Path(path).write_bytes(b"")
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        take(locks).release()


def test_a_lock_file_removed_by_hand_is_noticed_and_the_next_holders_is_left_alone(locks: RunLocks) -> None:
    """Fails when whoever releases a lock removes what lies there, whose ever it is."""
    lock = take(locks)
    os.unlink(lock.path)
    assert not lock.intact()
    other = take(locks)
    lock.release()
    assert other.intact()


def test_the_holder_is_shown_while_it_lives_and_not_when_it_is_dead(locks: RunLocks, layout: Layout) -> None:
    assert locks.holder("r1") is None
    process = child(HOLDER, layout.home, "")
    found = locks.holder("r1")
    assert found is not None
    assert found.pid == process.pid
    assert abs(found.since_us / 1e6 - time.time()) < 60
    assert [holder.run for holder in locks.holders()] == ["r1"]
    end(process)
    assert locks.holder("r1") is None


def test_asking_who_holds_it_never_keeps_anybody_from_taking_it(
    locks: RunLocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    real = fcntl.flock
    with take(locks):
        monkeypatch.setattr(fcntl, "flock", lambda *args: calls.append(1) or real(*args))
        assert locks.holder("r1") is not None
    assert calls == [1]  # the release


def test_what_stands_in_a_lock_file_proves_nothing(locks: RunLocks, layout: Layout) -> None:
    Path(layout.locks, "r1.lock").write_bytes(b"pid=1 start=x\xff\x00 since=\n" * 1000)
    os.chmod(f"{layout.locks}/r1.lock", 0o600)
    assert locks.holder("r1") is None
    take(locks).release()


@pytest.mark.parametrize("plant", ["link", "directory", "fifo"])
def test_a_planted_lock_file_is_refused_without_hanging(locks: RunLocks, layout: Layout, plant: str) -> None:
    path = f"{layout.locks}/r1.lock"
    if plant == "link":
        os.symlink("/etc/passwd", path)
    elif plant == "directory":
        os.mkdir(path)
    else:
        os.mkfifo(path)
    with pytest.raises((NotPermitted, DiskError)):
        locks.take("r1")
    assert locks.holder("r1") is None


def test_a_full_disk_does_not_keep_a_lock_from_being_taken(layout: Layout) -> None:
    class Full(Disk):
        __slots__ = ()

        def _call(self, operation: str, path: str, function: Any, *args: Any) -> Any:
            if operation == "write":
                raise OSError(errno.ENOSPC, "full")
            return super()._call(operation, path, function, *args)

    locks = RunLocks(Full(), layout)
    with take(locks):
        assert locks.take("r1") is None


def test_sweeping_removes_what_killed_holders_left_and_nothing_that_is_held(locks: RunLocks, layout: Layout) -> None:
    """Fails when the files of dead holders stay."""
    end(child(HOLDER, layout.home, ""))
    with take(locks, "r2"):
        assert locks.sweep() == 1
        assert os.listdir(layout.locks) == ["r2.lock"]


def test_a_directory_that_was_tidied_away_is_made_again(locks: RunLocks, layout: Layout) -> None:
    os.rmdir(layout.locks)  # noqa: PTH106
    assert locks.sweep() == 0
    assert list(locks.holders()) == []
    with take(locks):
        assert stat.S_IMODE(os.stat(layout.locks).st_mode) == 0o700
        assert locks.take("r1") is None


def test_of_many_processes_exactly_one_is_inside_at_any_time(layout: Layout) -> None:
    """Fails when a locked file that was unlinked meanwhile counts as the lock."""
    code = """
import sys, os
from dwf.store.files import Disk
from dwf.store.layout import Layout
from dwf.store.locks import RunLocks
locks = RunLocks(Disk(), Layout(sys.argv[1]))
done = 0
while done < 60:
    if lock := locks.take("r1"):
        os.close(os.open(sys.argv[1] + "/inside", os.O_CREAT | os.O_EXCL))
        os.unlink(sys.argv[1] + "/inside")
        lock.release()
        done += 1
"""
    command = ["python", "-c", code, layout.home]
    import sys

    command[0] = sys.executable
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    assert os.listdir(layout.locks) == []


def _child_of(pid: int) -> int:
    found: list[int] = []
    until(lambda: found or found.extend(_children(pid)))
    return found[0]


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# -- spares ---------------------------------------------------------------------------------------------------------


def spares_of(layout: Layout) -> list[str]:
    return [name for name in os.listdir(layout.locks) if name.startswith(".spare-")]


def test_who_takes_many_in_a_row_makes_one_file(locks: RunLocks, layout: Layout) -> None:
    locks.keep_spares()
    first = take(locks, "r1")
    inode = os.stat(first.path).st_ino
    first.release()
    assert locks.holder("r1") is None and not os.path.exists(first.path)
    with take(locks, "r2") as second:
        assert os.stat(second.path).st_ino == inode and spares_of(layout) == []
        holder = locks.holder("r2")
        assert holder is not None and (holder.pid, second.deaths) == (os.getpid(), 0)
        assert RunLocks(Disk(), layout).take("r2") is None
    locks.drop_spares()
    assert os.listdir(layout.locks) == []


def test_a_spare_keeps_nobody_out_and_a_taken_name_is_left_alone(locks: RunLocks, layout: Layout) -> None:
    locks.keep_spares()
    take(locks, "r1").release()
    other = take(RunLocks(Disk(), layout), "r1")
    assert locks.take("r1") is None and len(spares_of(layout)) == 1
    assert other.intact()
    other.release()
    with take(locks, "r1") as again:
        assert again.intact()


def test_a_spare_that_somebody_has_tidied_away_is_forgotten(locks: RunLocks, layout: Layout) -> None:
    locks.keep_spares()
    take(locks, "r1").release()
    for name in os.listdir(layout.locks):
        os.unlink(f"{layout.locks}/{name}")
    with take(locks, "r1") as lock:
        assert lock.intact() and RunLocks(Disk(), layout).take("r1") is None


def test_a_lock_over_which_somebody_died_becomes_no_spare(locks: RunLocks, layout: Layout) -> None:
    holder = child(HOLDER, layout.home, "plain")
    end(holder)
    locks.keep_spares()
    lock = take(locks, "r1")
    assert lock.deaths == 1
    lock.release()
    assert os.listdir(layout.locks) == []


def test_the_spares_of_a_dead_process_are_swept_and_those_of_a_living_one_are_not(
    locks: RunLocks, layout: Layout
) -> None:
    locks.keep_spares()
    take(locks, "r1").release()
    others = RunLocks(Disk(), layout)
    assert others.left_by_dead() == set() and list(others.holders()) == []
    others.sweep()
    assert len(spares_of(layout)) == 1
    locks._forget_all()  # as when the process ends
    others.sweep()
    assert os.listdir(layout.locks) == []

"""What a killed tick has left running is recognised, ended and proven gone; a stranger is never touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dwf import host
from dwf.activities import end_orphan
from dwf.activities.session import row, send

from .processes import is_alive, pid_in, soon

GRACE = 300_000
Killed = Callable[..., tuple[int, int, str]]


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child, in a session of its own, that has nothing to do with any step."""
    script = ["sh", "-c", "sleep 1000 & echo $!; wait"]
    with subprocess.Popen(script, start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.children = [child]  # type: ignore[attr-defined]
        yield process
        process.kill()
        os.kill(child, signal.SIGKILL) if is_alive(child) else None


def test_the_step_of_a_killed_tick_is_ended_with_all_that_belongs_to_it(
    engine: Killed,
    tmp_path: Path,
) -> None:
    script = """
        trap '' TERM
        sh -c 'trap "" TERM; echo $$ >"$0"; while :; do sleep 1000; done' "$1" &
        echo $$ >"$2"
        while :; do sleep 1000; done
    """
    paths = [tmp_path / "child", tmp_path / "leader"]
    pid, start, boot = engine(script, "go", *map(str, paths), when=lambda: all(path.exists() for path in paths))
    child = pid_in(paths[0])
    assert is_alive(pid) and is_alive(child)
    assert end_orphan(pid, start, boot, GRACE)
    assert not is_alive(pid) and not is_alive(child)
    assert end_orphan(pid, start, boot, GRACE), "asked again: still nothing left"


def test_an_orphan_may_tidy_up_within_the_grace(engine: Killed, tmp_path: Path) -> None:
    # Its output has no reader any more, and the shell would tell there that `sleep` was terminated.
    script = """exec 2>/dev/null; trap 'echo tidy >"$2"; exit' TERM; echo $$ >"$1"; while :; do sleep 0.01; done"""
    paths = [tmp_path / "up", tmp_path / "tidy"]
    pid, start, boot = engine(script, "go", *map(str, paths), when=paths[0].exists)
    assert end_orphan(pid, start, boot, 3_000_000)
    assert paths[1].exists()


@pytest.mark.parametrize("changed", ["start", "boot"])
def test_another_process_with_the_same_pid_is_never_touched(stranger: Any, changed: str) -> None:
    """Fails when the start time is not compared."""
    start, boot = host.start_time(stranger.pid) or 0, host.boot_id()
    if changed == "start":
        assert end_orphan(stranger.pid, start - 1, boot, GRACE)
    else:
        assert end_orphan(stranger.pid, start, "another boot", GRACE)
    assert is_alive(stranger.pid) and is_alive(stranger.children[0])


def test_a_start_time_that_was_not_recorded_names_nobody(stranger: Any) -> None:
    assert not end_orphan(stranger.pid, 0, host.boot_id(), GRACE)
    assert is_alive(stranger.pid)


def test_work_without_a_process_leaves_nothing() -> None:
    assert end_orphan(0, 0, "", GRACE)
    assert end_orphan(0, 0, host.boot_id(), GRACE)


def test_a_process_that_is_gone_leaves_nothing(stranger: Any) -> None:
    start = host.start_time(stranger.pid) or 0
    os.kill(stranger.children[0], signal.SIGKILL)
    stranger.kill()
    assert soon(lambda: not is_alive(stranger.pid) and not is_alive(stranger.children[0]))
    assert end_orphan(stranger.pid, start, host.boot_id(), GRACE), "a zombie is gone"
    stranger.wait()
    assert end_orphan(stranger.pid, start, host.boot_id(), GRACE)


def test_dwf_does_not_end_itself() -> None:
    me = host.this_process()
    assert not end_orphan(me.pid, me.start, me.boot, GRACE)


@pytest.mark.parametrize(("key", "is_ended"), [("r1:3", True), ("r1:33", False), ("", False)])
def test_without_its_leader_a_process_is_known_by_the_key_it_carries(
    engine: Killed,
    tmp_path: Path,
    key: str,
    is_ended: bool,
) -> None:
    script = """sleep 1000 & echo $! >"$1"; exit 0"""
    pid, start, boot = engine(script, "go", str(tmp_path / "pid"), when=(tmp_path / "pid").exists)
    child = pid_in(tmp_path / "pid")
    assert soon(lambda: not is_alive(pid)) and is_alive(child)
    assert end_orphan(pid, start, boot, GRACE, key) is is_ended
    assert is_alive(child) is not is_ended
    os.kill(child, signal.SIGKILL) if is_alive(child) else None


def test_a_signal_goes_to_the_process_that_was_seen_and_not_to_its_number(
    stranger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when a signal goes to a number."""
    sent: list[int] = []
    really = signal.pidfd_send_signal
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda fd, number: (sent.append(number), really(fd, number))[1])
    seen = row(stranger.pid)
    assert seen is not None
    send(seen._replace(start=seen.start - 1), signal.SIGKILL)
    # A process that was killed lives on for a moment, so that it is alive would prove nothing.
    assert sent == [] and is_alive(stranger.pid)
    send(seen, signal.SIGKILL)
    assert sent == [signal.SIGKILL]
    assert soon(lambda: not is_alive(stranger.pid))
    stranger.wait()
    send(seen, signal.SIGKILL)


def test_a_process_may_have_any_name(tmp_path: Path) -> None:
    program = tmp_path / ") R 1 1 1 1 ("
    program.symlink_to(sys.executable)
    with subprocess.Popen([program, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as process:
        assert soon(lambda: (found := row(process.pid)) is not None and found.session == process.pid)
        found = row(process.pid)
        assert found is not None
        assert (found.parent, found.group) == (os.getpid(), process.pid)
        process.kill()

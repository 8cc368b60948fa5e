"""The gate: nothing of a step runs before it is opened, and never if dwf dies first."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from dwf import host
from dwf.activities import prepare_shell
from dwf.activities.plan import Kind, ShellSpec

from .processes import is_alive, soon
from .steps import Make, finished, message_of, result_of


def test_nothing_of_the_step_runs_before_go(attempt: Make, tmp_path: Path) -> None:
    """Fails when the command does not wait at its gate."""
    mark = tmp_path / "mark"
    performance = prepare_shell(ShellSpec(argv=("touch", str(mark))), attempt())
    assert is_alive(performance.process.pid)
    time.sleep(0.1)
    assert not mark.exists()
    assert finished(performance).kind is Kind.COMPLETED
    assert mark.exists()


def test_the_recorded_process_is_the_command_itself(attempt: Make) -> None:
    performance = prepare_shell(
        ShellSpec(script="echo $$; read _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ s _ </proc/$$/stat; echo $s"),
        attempt(),
    )
    process = performance.process
    found = result_of(finished(performance))["out"].split()
    assert found == [str(process.pid), str(process.start)]
    assert process.boot == host.boot_id()


def test_a_step_that_is_not_begun_never_runs(attempt: Make, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    performance = prepare_shell(ShellSpec(argv=("touch", str(mark))), attempt())
    assert performance.finish().kind is Kind.CANCELLED
    assert not mark.exists() and not is_alive(performance.process.pid)


def test_a_step_that_is_not_begun_is_over_even_if_a_copy_of_its_gate_is_open(attempt: Make) -> None:
    # A function that forked at the wrong moment has copies of everything.
    before = set(_descriptors())
    performance = prepare_shell(ShellSpec(argv=("true",)), attempt())
    copies = [os.dup(fd) for fd in set(_descriptors()) - before]
    assert performance.finish().kind is Kind.CANCELLED
    assert not is_alive(performance.process.pid)
    for copy in copies:
        os.close(copy)


def _descriptors() -> list[int]:
    found = [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    return [fd for fd in found if Path(f"/proc/self/fd/{fd}").exists()]


def test_a_step_cancelled_before_go_never_runs(attempt: Make, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    performance = prepare_shell(ShellSpec(argv=("touch", str(mark))), attempt())
    performance.cancel("changed my mind")
    outcome = finished(performance)
    assert (outcome.kind, message_of(outcome)) == (Kind.CANCELLED, "changed my mind")
    assert not mark.exists()


def test_the_step_does_not_run_if_dwf_is_killed_before_go(engine: Any, tmp_path: Path) -> None:
    """Fails when a gate that was never opened counts as open."""
    mark = tmp_path / "mark"
    pid, _, _ = engine('touch "$1"', "wait", str(mark))
    assert soon(lambda: not is_alive(pid))
    assert not mark.exists()

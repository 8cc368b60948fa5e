"""Shell steps really end: limits, cancelling, whole groups, background processes, proof."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dwf.activities import prepare_shell
from dwf.activities.plan import Kind, Outcome, Performance, ShellSpec
from dwf.activities.session import DEAD, everyone

from .processes import descriptors, is_alive, pid_in, soon
from .steps import Make, details_of, finished, message_of, result_of, run, sh


def test_a_background_process_does_not_hold_the_step(attempt: Make, tmp_path: Path) -> None:
    began = time.monotonic()
    outcome = sh(attempt(), '( sleep 1000 & echo $! >"$1" ); echo done', str(tmp_path / "pid"))
    assert time.monotonic() - began < 2
    assert result_of(outcome)["out"] == "done\n"
    pid = pid_in(tmp_path / "pid")
    assert is_alive(pid)  # it was started to stay
    os.kill(pid, signal.SIGKILL)


def test_output_through_another_process_is_waited_for_briefly(attempt: Make) -> None:
    assert result_of(sh(attempt(), "( sleep 0.03; echo late ) & echo soon"))["out"] == "soon\nlate\n"


def test_a_background_process_that_prints_for_ever_does_not_hold_the_step(attempt: Make, tmp_path: Path) -> None:
    """Fails when a step is over only when nobody holds its output any more."""
    began = time.monotonic()
    outcome = sh(attempt(), 'yes & echo $! >"$1"', str(tmp_path / "pid"))
    assert (outcome.kind, time.monotonic() - began < 2) == (Kind.COMPLETED, True)
    assert soon(lambda: not is_alive(pid_in(tmp_path / "pid")))  # nobody reads: SIGPIPE


def test_a_command_that_closes_its_output_is_waited_for(attempt: Make, tmp_path: Path) -> None:
    outcome = sh(attempt(), 'exec >&- 2>&-; sleep 0.1; touch "$1"; exit 4', str(tmp_path / "mark"))
    assert (outcome.exit_code, (tmp_path / "mark").exists()) == (4, True)


def test_a_command_that_daemonises_is_over_when_its_parent_is(attempt: Make, tmp_path: Path) -> None:
    script = 'setsid sh -c \'echo $$ >"$0"; exec sleep 1000\' "$1" & sleep 0.05; exit 0'
    assert sh(attempt(), script, str(tmp_path / "pid")).kind is Kind.COMPLETED
    pid = pid_in(tmp_path / "pid")
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)


def test_a_timeout_ends_a_step(attempt: Make) -> None:
    performance = prepare_shell(ShellSpec(argv=("sleep", "1000")), attempt(timeout_us=100_000))
    outcome = finished(performance)
    assert (outcome.kind, message_of(outcome)) == (Kind.TIMED_OUT, "it ran longer than 100ms")
    assert details_of(outcome) == {"exit_code": 143}
    assert not is_alive(performance.process.pid)


def test_the_timeout_counts_from_go(attempt: Make) -> None:
    performance = prepare_shell(ShellSpec(argv=("true",)), attempt(timeout_us=100_000))
    time.sleep(0.15)
    assert finished(performance).kind is Kind.COMPLETED


def timed_out(attempt: Make, spec: ShellSpec, paths: list[Path], grace_us: int) -> tuple[Performance, Outcome]:
    """Let a step time out after it has written all of these; on a busy machine that needs a longer time."""
    for timeout_us in (100_000, 400_000, 1_600_000, 6_400_000):
        performance = prepare_shell(spec, attempt(timeout_us=timeout_us, grace_us=grace_us))
        outcome = finished(performance)
        assert outcome.kind is Kind.TIMED_OUT
        if all(path.exists() and path.read_text().endswith("\n") for path in paths):
            return performance, outcome
    raise AssertionError("the step never got that far")


def test_a_timeout_ends_grandchildren_and_who_ignores_term(attempt: Make, tmp_path: Path) -> None:
    script = """
        trap '' TERM
        sh -c 'trap "" TERM; echo $$ >"$0"; while :; do sleep 1000; done' "$1" &
        ( sh -c 'echo $$ >"$0"; exec sleep 1000' "$2" & )
        echo ready
        while :; do sleep 1000; done
    """
    paths = [tmp_path / "stubborn", tmp_path / "grandchild"]
    performance, outcome = timed_out(attempt, ShellSpec(script=script, argv=tuple(map(str, paths))), paths, 100_000)
    assert details_of(outcome) == {"exit_code": 137}
    assert [is_alive(pid_in(path)) for path in paths] == [False, False]
    assert not is_alive(performance.process.pid)
    leader = performance.process.pid
    assert [row for row in everyone() if leader in (row.group, row.session) and row.state not in DEAD] == []


def test_a_timeout_ends_children_in_groups_and_sessions_of_their_own(attempt: Make, tmp_path: Path) -> None:
    # `timeout` makes a group of its own; `setsid -w` a session, but stays its parent.
    script = """
        timeout 1000 sh -c 'echo $$ >"$0"; sleep 1000' "$1" &
        setsid -w sh -c 'echo $$ >"$0"; sleep 1000' "$2" &
        wait
    """
    paths = [tmp_path / "group", tmp_path / "session"]
    timed_out(attempt, ShellSpec(script=script, argv=tuple(map(str, paths))), paths, 5_000_000)
    assert [is_alive(pid_in(path)) for path in paths] == [False, False]


def test_who_outlives_the_leader_gets_the_same_grace(attempt: Make, tmp_path: Path) -> None:
    path = tmp_path / "up"
    script = """
        sh -c 'trap "sleep 0.1; echo tidy; exit" TERM; echo up >"$0"; while :; do sleep 0.01; done' "$1" &
        sleep 1000
    """
    _, outcome = timed_out(attempt, ShellSpec(script=script, argv=(str(path),)), [path], 60_000_000)
    assert outcome.output is not None and outcome.output.tail == "tidy\n"


def test_a_step_that_stops_itself_is_ended_by_the_timeout(attempt: Make) -> None:
    performance = prepare_shell(ShellSpec(script="kill -STOP $$"), attempt(timeout_us=100_000, grace_us=60_000_000))
    outcome = finished(performance)
    assert outcome.kind is Kind.TIMED_OUT
    assert details_of(outcome) == {"exit_code": 143}, "TERM arrived, because CONT came with it"
    assert not is_alive(performance.process.pid)


@pytest.mark.parametrize(("ask", "kind"), [("cancel", Kind.CANCELLED), ("interrupt", Kind.INTERRUPTED)])
def test_a_running_step_can_be_asked_to_end_from_another_thread(
    attempt: Make, tmp_path: Path, ask: str, kind: Kind
) -> None:
    script = 'trap "echo bye; exit 7" TERM; echo $$ >"$1"; while :; do sleep 0.01; done'
    performance = prepare_shell(ShellSpec(script=script, argv=(str(tmp_path / "pid"),)), attempt())
    found: list[Outcome] = []
    performance.go()
    thread = threading.Thread(target=lambda: found.append(performance.finish()))
    thread.start()
    pid_in(tmp_path / "pid")
    getattr(performance, ask)("maintenance")
    performance.cancel("a second voice")
    thread.join(5)
    (outcome,) = found
    assert (outcome.kind, message_of(outcome), outcome.exit_code) == (kind, "maintenance", 7)
    assert outcome.output is not None and outcome.output.tail == "bye\n"
    performance.cancel("too late to matter")


def test_what_had_ended_before_it_was_cancelled_is_completed(attempt: Make) -> None:
    performance = prepare_shell(ShellSpec(argv=("true",)), attempt())
    performance.go()
    assert soon(lambda: not is_alive(performance.process.pid))
    performance.cancel("too late")
    assert performance.finish().kind is Kind.COMPLETED


def test_a_step_that_cannot_be_ended_is_named(attempt: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from dwf.activities import session, watch

    # Signals that do nothing stand for a process of another user, or one that hangs in the kernel.
    monkeypatch.setattr(session, "send", lambda target, number: None)
    monkeypatch.setattr(watch, "PROOF_NS", 50_000_000)
    performance = prepare_shell(ShellSpec(argv=("sleep", "1000")), attempt(timeout_us=20_000, grace_us=20_000))
    outcome = finished(performance)
    pid = performance.process.pid
    assert details_of(outcome)["left"] == [pid] and f"could not be ended: {pid}" in message_of(outcome)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_nothing_is_left_open_whatever_happens(attempt: Make) -> None:
    before = descriptors()
    run(attempt(), "true")
    sh(attempt(timeout_us=30_000), "sleep 1000")
    prepare_shell(ShellSpec(argv=("true",)), attempt()).finish()
    run(attempt(), "true", stdin="x" * 1_000_000)
    assert descriptors() == before


def test_when_watching_is_interrupted_the_step_does_not_run_on_unwatched(
    attempt: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dwf.activities.watch import Watch

    def interrupted(self: Watch, grace_us: int) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(Watch, "_over", interrupted)
    performance = prepare_shell(ShellSpec(argv=("sleep", "1000")), attempt())
    performance.go()
    with pytest.raises(KeyboardInterrupt):
        performance.finish()
    assert soon(lambda: not is_alive(performance.process.pid))


def test_steps_in_many_threads_do_not_disturb_each_other(attempt: Make) -> None:
    found: dict[int, Any] = {}

    def one(number: int) -> None:
        found[number] = result_of(sh(attempt(out_prefix=None), 'cat; echo "$1"', str(number), stdin=f"in {number}\n"))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: result["out"] for number, result in found.items()} == {n: f"in {n}\n{n}\n" for n in range(16)}


def test_without_pidfds_the_end_is_noticed_all_the_same(attempt: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(pid: int, flags: int = 0) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refused)
    assert sh(attempt(), "exec >&- 2>&-; sleep 0.05; exit 4").exit_code == 4

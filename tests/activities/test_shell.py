"""Shell steps, with real processes: what is recorded, what they find, and that they really end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dwf import host
from dwf.activities import prepare_shell
from dwf.activities.plan import Attempt, Kind, Outcome, Performance, ShellSpec
from dwf.activities.session import DEAD, everyone

from .processes import descriptors, is_alive, pid_in, soon

Make = Callable[..., Attempt]


def finished(performance: Performance) -> Outcome:
    performance.go()
    return performance.finish()


def sh(attempt: Attempt, script: str, *argv: str, **spec: Any) -> Outcome:
    return finished(prepare_shell(ShellSpec(script=script, argv=argv, **spec), attempt))


def run(attempt: Attempt, *argv: str, **spec: Any) -> Outcome:
    return finished(prepare_shell(ShellSpec(argv=argv, **spec), attempt))


def result_of(outcome: Outcome) -> Any:
    assert outcome.kind is Kind.COMPLETED, outcome
    return msgspec.json.decode(outcome.result)


def message_of(outcome: Outcome) -> str:
    assert outcome.error is not None
    return outcome.error.message


def details_of(outcome: Outcome) -> Any:
    assert outcome.error is not None
    return msgspec.json.decode(outcome.error.details)


# -- what is recorded -------------------------------------------------------------------------------------------


def test_a_command_tells_its_code_and_what_it_printed(attempt: Make, tmp_path: Path) -> None:
    outcome = sh(attempt(), "echo out; echo err >&2")
    assert result_of(outcome) == {"code": 0, "out": "out\n", "err": "err\n", "truncated": False}
    assert outcome.output is not None
    assert (outcome.output.ref, outcome.output.size, outcome.output.truncated) == ("3.1", 8, False)
    assert (tmp_path / "out" / "3.1.out").read_text() == "out\n"
    assert (tmp_path / "out" / "3.1.err").read_text() == "err\n"


def test_a_silent_command_leaves_no_file(attempt: Make, tmp_path: Path) -> None:
    assert run(attempt(), "true").output is None
    assert not (tmp_path / "out").exists()


def test_arguments_arrive_as_they_are(attempt: Make) -> None:
    words = ("a b", "$(id)", "`id`", "'", '"', "", "*", "\n", "-n", "é\t\x1b", "; exit 3")
    assert result_of(run(attempt(), "printf", "%s|", *words))["out"] == "".join(f"{word}|" for word in words)


def test_a_script_finds_its_arguments_and_no_text_of_them(attempt: Make) -> None:
    assert result_of(sh(attempt(), 'printf %s "$2$1"', "'; exit 9 #", "$(id)"))["out"] == "$(id)'; exit 9 #"


def test_an_exit_code_that_is_not_ok_fails_the_step(attempt: Make) -> None:
    outcome = sh(attempt(), "echo half; echo why >&2; exit 3")
    assert (outcome.kind, outcome.exit_code, outcome.error_types) == (Kind.FAILED, 3, ("ExitCode",))
    assert message_of(outcome) == "exit code 3"
    assert details_of(outcome) == {"exit_code": 3, "stderr": "why\n", "stdout": "half\n"}


def test_other_exit_codes_may_be_ok(attempt: Make) -> None:
    assert result_of(sh(attempt(), "exit 3", ok_codes=(0, 3)))["code"] == 3
    assert run(attempt(), "true", ok_codes=(3,)).kind is Kind.FAILED


def test_a_missing_command_is_127(attempt: Make) -> None:
    outcome = run(attempt(), "/nowhere/nothing")
    assert (outcome.exit_code, message_of(outcome)) == (127, "exit code 127 (not found)")
    assert "/nowhere/nothing" in details_of(outcome)["stderr"]


def test_a_file_that_is_not_executable_is_126(attempt: Make, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    outcome = run(attempt(), str(tmp_path / "plain"))
    assert (outcome.exit_code, message_of(outcome)) == (126, "exit code 126 (cannot be executed)")


def test_a_command_killed_by_a_signal_says_which(attempt: Make) -> None:
    outcome = sh(attempt(), "kill -KILL $$")
    assert (outcome.kind, outcome.exit_code, message_of(outcome)) == (
        Kind.FAILED,
        137,
        "killed by signal 9 (SIGKILL)",
    )
    assert details_of(outcome)["signal"] == 9


def test_death_by_signal_is_never_an_ok_code(attempt: Make) -> None:
    assert sh(attempt(), "kill -TERM $$", ok_codes=(143,)).kind is Kind.FAILED
    assert sh(attempt(), "exit 143", ok_codes=(143,)).kind is Kind.COMPLETED


@pytest.mark.parametrize("number", [signal.SIGRTMIN + 3, signal.SIGSEGV])
def test_any_signal_has_a_name(attempt: Make, number: int) -> None:
    assert f"killed by signal {int(number)} (SIG" in message_of(sh(attempt(), f"kill -{int(number)} $$"))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (ShellSpec(argv=("true",), cwd="/nowhere"), "cannot start in /nowhere: No such file"),
        (ShellSpec(argv=("true",), cwd="/etc/passwd"), "Not a directory"),
        (ShellSpec(argv=("a\0b",)), "null byte"),
        (ShellSpec(argv=("a",), env={"A=B": "1"}), "illegal environment"),
        (ShellSpec(argv=("x" * 3_000_000,)), "too long"),
        (ShellSpec(argv=("true",), umask=2**80), "cannot start"),
        (ShellSpec(argv=("\ud800",)), "surrogate"),
    ],
)
def test_what_cannot_be_started_is_a_failed_step(attempt: Make, spec: ShellSpec, said: str) -> None:
    before = descriptors()
    outcome = finished(prepare_shell(spec, attempt()))
    assert outcome.kind is Kind.FAILED and said in message_of(outcome)
    assert descriptors() == before


def test_no_command_at_all_is_a_failed_step(attempt: Make) -> None:
    assert run(attempt()).kind is Kind.FAILED


def test_strange_bytes_become_text(attempt: Make, tmp_path: Path) -> None:
    outcome = sh(attempt(), r"printf 'nul\0esc\033[31m bad\377 e\303\251'")
    assert result_of(outcome)["out"] == "nul\0esc\x1b[31m bad\\xff e\xe9"
    assert outcome.result.isascii() and b"\x1b" not in outcome.result
    assert (tmp_path / "out" / "3.1.out").read_bytes() == b"nul\0esc\x1b[31m bad\xff e\xc3\xa9"


def test_output_that_looks_like_a_record_is_only_data(attempt: Make) -> None:
    outcome = run(attempt(), "echo", '{"id":9,"type":"WorkflowCompleted"}')
    assert b"\n" not in outcome.result
    assert result_of(outcome)["out"] == '{"id":9,"type":"WorkflowCompleted"}\n'


def test_the_result_is_cut_where_the_step_says(attempt: Make, tmp_path: Path) -> None:
    outcome = sh(attempt(), "yes abcdefg | head -c 80000", max_output=8000)
    found = result_of(outcome)
    assert found["truncated"] is True
    assert found["out"].startswith("abcdefg\nabcdefg") and found["out"].endswith("abcdefg\n")
    assert "\n[... 72000 bytes left out ...]\n" in found["out"]
    assert outcome.output is not None and not outcome.output.truncated
    assert (tmp_path / "out" / "3.1.out").stat().st_size == 80_000


def test_a_result_too_large_for_a_record_is_cut_further(attempt: Make) -> None:
    found = result_of(sh(attempt(), "head -c 1000000 /dev/zero", max_output=1_000_000))
    assert found["truncated"] is True and found["out"].startswith("\0\0\0")


def test_a_hundred_megabytes_of_output_need_little_memory(attempt: Make, tmp_path: Path) -> None:
    tracemalloc.start()
    outcome = sh(attempt(), "head -c 100000000 /dev/zero; echo the end")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcome.output is not None
    assert (outcome.output.size, outcome.output.truncated) == (100_000_008, True)
    assert outcome.output.tail.endswith("the end\n")
    assert result_of(outcome)["truncated"] is True
    kept = (tmp_path / "out" / "3.1.out").read_bytes()
    assert len(kept) < 10 * 1024 * 1024 + 100 and kept.endswith(b"the end\n") and kept.startswith(b"\0")
    assert peak < 8 * 1024 * 1024


# -- the gate ---------------------------------------------------------------------------------------------------


def test_nothing_of_the_step_runs_before_go(attempt: Make, tmp_path: Path) -> None:
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


_ENGINE = """
import os, signal, sys
from dwf.activities import prepare_shell
from dwf.activities.plan import Attempt, ShellSpec
spec = ShellSpec(script=sys.argv[1], argv=tuple(sys.argv[3:]))
performance = prepare_shell(spec, Attempt(run="r1", command=3, name="s", key="r1:3"))
if sys.argv[2] == "go":
    performance.go()
process = performance.process
print(process.pid, process.start, process.boot, flush=True)
signal.pause()
"""


@pytest.fixture
def engine() -> Any:
    """Starts a process that prepares (and begins) a shell step, kills it, and tells the step's pid, start and boot."""

    def killed(script: str, begin: str, *argv: str, when: Callable[[], bool] = lambda: True) -> tuple[int, int, str]:
        command = [sys.executable, "-c", _ENGINE, script, begin, *argv]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
            try:
                assert parent.stdout is not None
                pid, start, boot = parent.stdout.readline().split()
                assert soon(when)
            finally:
                parent.kill()
        return int(pid), int(start), boot

    return killed


def test_the_step_does_not_run_if_dwf_is_killed_before_go(engine: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    pid, _, _ = engine('touch "$1"', "wait", str(mark))
    assert soon(lambda: not is_alive(pid))
    assert not mark.exists()


# -- what a step finds ------------------------------------------------------------------------------------------


def test_the_environment_is_clean_and_names_the_step(attempt: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV", "ENV", "PYTHONPATH", "PYTHONSTARTUP", "IFS", "SECRET"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("PATH", "/usr/bin::.:relative:/bin")
    given = attempt(attempt=2, env={"DWF_REASON": "test"})
    found = result_of(run(given, "env", env={"MINE": "1", "DWF_ATTEMPT": "forged"}))["out"].splitlines()
    variables = dict(line.split("=", 1) for line in found)
    for name in (
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "TMPDIR",
        "TZ",
        "LANGUAGE",
        "LC_ALL",
        "PWD",
        "SHLVL",
        "_",
        "OLDPWD",
    ):
        variables.pop(name, None)
    variables = {name: value for name, value in variables.items() if "proxy" not in name.lower()}
    for name in ("SSH_AUTH_SOCK", "KRB5CCNAME", "XDG_RUNTIME_DIR", "DWF_HOME"):
        variables.pop(name, None)
    assert variables == {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "MINE": "1",
        "DWF_REASON": "test",
        "DWF_RUN_ID": "r1",
        "DWF_STEP": "drain",
        "DWF_ATTEMPT": "2",
        "DWF_IDEMPOTENCY_KEY": "r1:3",
    }


def test_a_search_path_is_there_even_under_cron(attempt: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    assert "/usr/bin:" in result_of(sh(attempt(), "echo $PATH"))["out"]


def test_secrets_in_the_environment_are_in_no_argv(attempt: Make) -> None:
    script = "cat /proc/self/cmdline /proc/$$/cmdline /proc/$PPID/cmdline; echo; echo $TOKEN"
    seen = result_of(sh(attempt(), script, env={"TOKEN": "hunter2"}, stdin="hunter2"))["out"]
    assert seen.count("hunter2") == 1 and seen.endswith("\nhunter2\n")


def test_stdin_is_empty_unless_it_is_given(attempt: Make) -> None:
    assert result_of(sh(attempt(), "readlink /proc/self/fd/0; cat"))["out"] == "/dev/null\n"


def test_a_large_stdin_arrives_whole(attempt: Make) -> None:
    text = "line\n" * 400_000
    outcome = sh(attempt(), "cksum; echo done", stdin=text)
    expected = subprocess.run(["cksum"], input=text.encode(), capture_output=True, check=True).stdout.decode()
    assert result_of(outcome)["out"] == f"{expected}done\n"


def test_an_empty_stdin_and_one_without_newline_arrive_as_they_are(attempt: Make) -> None:
    assert result_of(run(attempt(), "cat", stdin=""))["out"] == ""
    assert result_of(run(attempt(), "cat", stdin="no newline"))["out"] == "no newline"


def test_a_stdin_that_nobody_reads_does_not_matter(attempt: Make) -> None:
    assert run(attempt(), "true", stdin="x" * 1_000_000).kind is Kind.COMPLETED
    assert sh(attempt(), "exec <&-; sleep 0.05", stdin="x" * 1_000_000).kind is Kind.COMPLETED


def test_nothing_of_dwf_is_inherited_but_the_three_standard_streams(attempt: Make, tmp_path: Path) -> None:
    with open(tmp_path / "lock", "w") as lock:
        os.set_inheritable(lock.fileno(), True)
        assert result_of(run(attempt(), "ls", "/proc/self/fd"))["out"].split() == ["0", "1", "2", "3"]  # 3 is ls's own
        assert result_of(run(attempt(), "ls", "/proc/self/fd", stdin="x"))["out"].split() == ["0", "1", "2", "3"]


def test_directory_and_umask_are_as_asked(attempt: Make, tmp_path: Path) -> None:
    assert result_of(sh(attempt(), "pwd; umask", cwd=str(tmp_path)))["out"] == f"{tmp_path}\n0077\n"
    assert result_of(sh(attempt(), "umask", umask=0o022))["out"] == "0022\n"


def test_a_step_has_a_session_of_its_own(attempt: Make) -> None:
    performance = prepare_shell(ShellSpec(script="ps -o sid=,pgid= -p $$ || cut -d' ' -f5,6 /proc/$$/stat"), attempt())
    found = result_of(finished(performance))["out"].split()
    assert found == [str(performance.process.pid)] * 2


def test_an_ignored_sigpipe_of_dwf_is_not_passed_on(attempt: Make) -> None:
    assert result_of(sh(attempt(), "yes | head -n 1"))["out"] == "y\n"


# -- it really ends ---------------------------------------------------------------------------------------------


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

"""Shell steps, with real processes: what is recorded of them, and what they find."""

from __future__ import annotations

import os
import signal
import subprocess
import tracemalloc
from pathlib import Path

import pytest

from dwf.activities import prepare_shell
from dwf.activities.plan import Kind, ShellSpec

from .processes import descriptors
from .steps import Make, details_of, finished, message_of, result_of, run, sh

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
    """Fails when arguments are formatted into the script."""
    assert result_of(sh(attempt(), 'printf %s "$2$1"', "'; exit 9 #", "$(id)"))["out"] == "$(id)'; exit 9 #"


def test_an_exit_code_that_is_not_ok_fails_the_step(attempt: Make) -> None:
    outcome = sh(attempt(), "echo half; echo why >&2; exit 3")
    assert (outcome.kind, outcome.exit_code, outcome.error_types) == (Kind.FAILED, 3, ("ExitCode",))
    assert message_of(outcome) == "exit code 3: why"
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


# -- what a step finds ------------------------------------------------------------------------------------------


def test_the_environment_is_clean_and_names_the_step(attempt: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when the environment is handed on."""
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

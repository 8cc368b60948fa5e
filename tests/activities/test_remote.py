"""Commands on another host, over a real sshd: they end as they end there, once, whatever becomes of the connection."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dwf.activities import prepare_shell
from dwf.activities.plan import Attempt, Kind, Outcome, Remote, ShellSpec
from tests.activities.processes import is_alive, pid_in, soon
from tests.activities.steps import finished, message_of, result_of
from tests.sshd import Sshd, is_there

Make = Callable[..., Attempt]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if not is_there():
        pytest.skip("it needs sshd and ssh (Debian: apt-get install openssh-server)")
    server = Sshd(tmp_path_factory.mktemp("ssh") / "place")
    server.build()
    yield server
    server.stop()


@pytest.fixture
def far(server: Sshd) -> Path:
    return server.home("web1")


def spec(server: Sshd, *argv: str, host: str = "web1", **more: object) -> ShellSpec:
    remote = Remote(host=host, config=str(server.config), lost_us=20_000_000)
    return ShellSpec(argv=argv, remote=remote, **more)  # type: ignore[arg-type]


def ssh(server: Sshd, attempt: Attempt, *argv: str, **more: object) -> Outcome:
    return finished(prepare_shell(spec(server, *argv, **more), attempt))


def left(far: Path) -> list[str]:
    """What steps have left on the far host."""
    return [path.name for path in (far / ".local/state/dwf-steps").glob("*")]


def test_exit_code_and_output_are_those_of_the_command_there(server: Sshd, attempt: Make, far: Path) -> None:
    outcome = ssh(server, attempt(), "sh", "-c", "pwd; echo oops >&2; exit 3", ok_codes=(3,))
    assert outcome.kind is Kind.COMPLETED
    assert result_of(outcome) == {"code": 3, "out": f"{far}\n", "err": "oops\n", "truncated": False}
    failed = ssh(server, attempt(), "sh", "-c", "echo oops >&2; exit 3")
    assert (failed.kind, failed.exit_code, message_of(failed)) == (Kind.FAILED, 3, "exit code 3: oops")
    assert left(far) == []


def test_words_environment_directory_mask_and_stdin_arrive_as_they_are(
    server: Sshd, attempt: Make, far: Path, tmp_path: Path
) -> None:
    """Fails when a value is read by a shell on its way."""
    words = ["a b", "$HOME", "'q'", '"', "`id`", "\\", "*", "é\n-", "", "~"]
    said = ssh(server, attempt(), "printf", "%s|", *words)
    assert result_of(said)["out"] == "".join(f"{word}|" for word in words)
    odd = "x'\"$(id)\n y"
    script = 'printf "%s|" "$ODD" "$1" "$DWF_RUN_ID" "$DWF_ATTEMPT" "$(umask)" "$PWD"; cat'
    more = {"env": {"ODD": odd}, "cwd": str(tmp_path), "umask": 0o027, "stdin": "in'put\n"}
    said = ssh(server, attempt(run="r9", attempt=2), "one", script=script, **more)
    assert result_of(said)["out"] == f"{odd}|one|r9|2|0027|{tmp_path}|in'put\n"


def test_much_output_arrives_whole_and_in_order(server: Sshd, attempt: Make) -> None:
    outcome = ssh(server, attempt(), "sh", "-c", "seq 1 60000; seq 1 9 >&2", max_output=2_000_000)
    assert result_of(outcome)["out"] == "".join(f"{n}\n" for n in range(1, 60_001))
    assert result_of(outcome)["err"] == "".join(f"{n}\n" for n in range(1, 10))


def test_what_a_login_prints_is_not_taken_for_output(server: Sshd, attempt: Make, far: Path) -> None:
    (far / ".noise").write_text("Welcome!\no 5\nx 0\n")
    try:
        assert result_of(ssh(server, attempt(), "echo", "hi"))["out"] == "hi\n"
    finally:
        (far / ".noise").unlink()


def test_secrets_stand_in_no_file_and_no_command_line_there(server: Sshd, attempt: Make, far: Path) -> None:
    """Fails when environment or stdin of a step is written to a file of the far host."""
    look = (
        f'grep -r -l hidden "{far}" || :; grep -l -a hidden /proc/[0-9]*/cmdline 2>/dev/null || :; printf %s "$T"; cat'
    )
    outcome = ssh(
        server, attempt(), "sh", "-c", look.replace("hidden", "hid''den"), env={"T": "hidden"}, stdin="hidden2"
    )
    assert result_of(outcome)["out"] == "hiddenhidden2"


def test_a_host_that_cannot_be_reached_is_a_failure_in_the_words_of_ssh(server: Sshd, attempt: Make) -> None:
    (server.place / "closed").write_text(server.config.read_text().replace(f"Port {server._port}", "Port 1"))
    remote = Remote(host="web1", config=str(server.place / "closed"))
    outcome = finished(prepare_shell(ShellSpec(argv=("true",), remote=remote), attempt()))
    assert (outcome.kind, outcome.exit_code) == (Kind.FAILED, 255)
    assert "Connection refused" in message_of(outcome)


def test_a_command_that_is_not_there_is_told_like_one_here(server: Sshd, attempt: Make) -> None:
    outcome = ssh(server, attempt(), "no-such-program")
    assert outcome.exit_code == 127


SLOW = 'echo $$ > pid; (sh -m -c "sleep 1000 & wait") & echo $! > child; echo begun; wait'


@pytest.mark.parametrize("how", ["timeout", "cancel"])
def test_timeout_and_cancel_end_everything_of_it_there(server: Sshd, attempt: Make, far: Path, how: str) -> None:
    """Fails when only the near side is ended."""
    for name in ("pid", "child"):
        (far / name).unlink(missing_ok=True)
    given = attempt(timeout_us=2_000_000 if how == "timeout" else 0, grace_us=10_000_000)
    performance = prepare_shell(spec(server, "sh", "-c", SLOW), given)
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(finished(performance)))
    thread.start()
    assert soon(lambda: (far / "child").exists() and (far / "child").read_text().strip() != "", 20)
    pids = [pid_in(far / "pid"), pid_in(far / "child")]
    if how == "cancel":
        performance.cancel("enough")
    thread.join(30)

    assert outcomes[0].kind is (Kind.CANCELLED if how == "cancel" else Kind.TIMED_OUT)
    assert not any(map(is_alive, pids))
    assert left(far) == []


def test_a_connection_that_is_lost_costs_nothing(server: Sshd, attempt: Make, far: Path) -> None:
    """Fails when the command is begun anew, ends with its connection, or its output has a gap or comes twice."""
    script = """echo run >> runs
        for n in 1 2 3 4 5 6; do echo "$n"; echo "$n" >> at; while ! [ -e "go$n" ]; do sleep 0.05; done; done"""
    for path in [*far.glob("go*"), far / "runs", far / "at"]:
        path.unlink(missing_ok=True)
    performance = prepare_shell(spec(server, "sh", "-c", script), attempt())
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(finished(performance)))
    thread.start()
    for n in range(1, 7):
        assert soon(lambda n=n: (far / "at").exists() and f"{n}\n" in (far / "at").read_text(), 20)  # type: ignore[misc]
        if n in (2, 4):
            server.stop()
            (far / f"go{n}").touch()
            server.start()
        (far / f"go{n}").touch()
    thread.join(60)

    assert result_of(outcomes[0])["out"] == "1\n2\n3\n4\n5\n6\n"
    assert (far / "runs").read_text() == "run\n"
    assert left(far) == []


def test_what_runs_there_when_all_here_was_killed_is_taken_up_and_not_begun_again(
    server: Sshd, attempt: Make, far: Path
) -> None:
    """Fails when the next attempt begins beside what the last one left running, as after a reboot of this machine."""
    script = "echo run >> twice; echo begun; while ! [ -e over ]; do sleep 0.05; done; exit 7"
    for name in ("twice", "over"):
        (far / name).unlink(missing_ok=True)
    first = prepare_shell(spec(server, "sh", "-c", script), attempt(attempt=1))
    first.go()
    assert soon(lambda: (far / "twice").exists(), 20)
    os.killpg(first.process.pid, 9)
    first.finish()
    (far / "over").touch()
    outcome = ssh(server, attempt(attempt=2), "sh", "-c", script)

    assert (outcome.exit_code, (far / "twice").read_text()) == (7, "run\n")
    assert outcome.output is not None and outcome.output.tail == "begun\n"
    again = ssh(server, attempt(attempt=3), "sh", "-c", script)
    assert (again.exit_code, (far / "twice").read_text()) == (7, "run\nrun\n"), "a failure that was seen is over"


def test_what_was_killed_there_unseen_is_a_failure_that_says_so(server: Sshd, attempt: Make, far: Path) -> None:
    (far / "pid").unlink(missing_ok=True)
    outcomes: list[Outcome] = []
    performance = prepare_shell(spec(server, "sh", "-c", "echo $PPID > pid.new; mv pid.new pid; sleep 1000"), attempt())
    thread = threading.Thread(target=lambda: outcomes.append(finished(performance)))
    thread.start()
    assert soon((far / "pid").exists, 20)
    leader = pid_in(far / "pid")
    subprocess.run(["pkill", "-9", "-s", str(os.getsid(leader))], check=True)
    thread.join(30)

    assert outcomes[0].exit_code == 255
    assert "it was ended on web1, and nobody saw how it went" in message_of(outcomes[0])
    assert left(far) == []


def test_a_sign_of_life_there_is_one_here(server: Sshd, attempt: Make, tmp_path: Path) -> None:
    """Fails when a heartbeat, or what a command keeps for its next attempt, does not cross the connection."""
    given = attempt(pulse=str(tmp_path / "r" / "1.1"), details=b'"half"', heartbeat_us=3_000_000)
    script = """cat "$DWF_CHECKPOINT_FILE"
        for n in 1 2 3 4 5; do sleep 1; touch "$DWF_HEARTBEAT_FILE"; done; echo two > "$DWF_CHECKPOINT_FILE" """
    outcome = ssh(server, given, script=script)
    assert (outcome.kind, outcome.output and outcome.output.tail) == (Kind.COMPLETED, "half")
    assert (tmp_path / "r" / "1.1.checkpoint").read_text() == "two\n"


def test_what_was_ended_there_is_not_begun_again_by_who_still_follows_it(
    server: Sshd, attempt: Make, far: Path, tmp_path: Path
) -> None:
    """Fails when a connection that outlives the end of its step takes the missing directory for a new step."""
    (far / "begun").unlink(missing_ok=True)
    command = spec(server, "sh", "-c", "echo begun; echo begun >> begun; sleep 1000")
    given = [attempt(attempt=n, out_prefix=str(tmp_path / f"{n}")) for n in (1, 2)]
    followed, other = (prepare_shell(command, one) for one in given)
    outcomes: list[Outcome] = []
    threads = [threading.Thread(target=lambda p=p: outcomes.append(finished(p))) for p in (followed, other)]  # type: ignore[misc]
    for thread, one in zip(threads, given, strict=True):
        thread.start()
        assert soon(Path(f"{one.out_prefix}.out").exists, 20)
    other.cancel("enough")
    threads[1].join(30)
    assert soon(lambda: left(far) == [], 10)
    followed.cancel("enough")
    threads[0].join(30)
    assert (far / "begun").read_text() == "begun\n"
    assert left(far) == []


def test_what_does_not_heed_term_there_is_killed_before_the_step_is_over(
    server: Sshd, attempt: Make, far: Path
) -> None:
    """Fails when the step ends here while its command goes on there, or its directory stays."""
    (far / "beats").unlink(missing_ok=True)
    script = 'trap "" TERM; while :; do date >> beats; sleep 0.05; done'
    performance = prepare_shell(spec(server, "sh", "-c", script), attempt(grace_us=12_000_000))
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(finished(performance)))
    thread.start()
    assert soon((far / "beats").exists, 20)
    performance.cancel("enough")
    thread.join(30)
    there = (far / "beats").stat().st_size
    assert outcomes[0].kind is Kind.CANCELLED and left(far) == []
    assert not soon(lambda: (far / "beats").stat().st_size != there, 0.5)


def test_that_a_host_could_not_be_told_to_end_it_is_said_in_the_end_of_the_step(
    server: Sshd, attempt: Make, far: Path
) -> None:
    """Fails when a cancelled step looks as if nothing of it were left, and its host was not reached."""
    (far / "begun").unlink(missing_ok=True)
    performance = prepare_shell(spec(server, "sh", "-c", "touch begun; sleep 20"), attempt(grace_us=2_000_000))
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(finished(performance)))
    thread.start()
    assert soon((far / "begun").exists, 20)
    server.stop()
    performance.cancel("enough")
    thread.join(30)
    server.start()
    assert "web1 could not be told to end it" in message_of(outcomes[0])
    assert "it may go on there" in message_of(outcomes[0])

"""Functions in a process of their own: they can crash, they can be ended, and dwf says what happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dwf.activities import end_orphan, prepare_isolated
from dwf.activities.gated import Ended
from dwf.activities.plan import Attempt, Kind, Outcome, Target
from dwf.activities.watch import Asked

from .processes import descriptors, is_alive, pid_in, soon
from .scripts import LOADER

Make = Callable[..., Attempt]


def target(activity: str, *args: Any, **changes: Any) -> Target:
    return Target(
        **{"loader": LOADER, "source": None, "activity": activity, **changes}, input=msgspec.json.encode(args)
    )


def perform(attempt: Attempt, activity: str, *args: Any, **changes: Any) -> Outcome:
    performance = prepare_isolated(target(activity, *args, **changes), attempt)
    performance.go()
    return performance.finish()


def message_of(outcome: Outcome) -> str:
    assert outcome.error is not None
    return outcome.error.message


def test_a_result_comes_back(attempt: Make) -> None:
    outcome = perform(attempt(), "add", 1, 2)
    assert (outcome.kind, outcome.result, outcome.output) == (Kind.COMPLETED, b"3", None)
    assert perform(attempt(), "give", "text").result == rb'"\u00e9"'


def test_a_coroutine_function_runs_too(attempt: Make) -> None:
    assert perform(attempt(), "later", "word").result == b'"word"'


def test_an_exception_comes_back_with_what_it_knows(attempt: Make) -> None:
    outcome = perform(attempt(), "fail", "failure")
    assert outcome.error is not None and outcome.kind is Kind.FAILED
    assert (outcome.error.type, outcome.error.message, bytes(outcome.error.details)) == (
        "Failure",
        "no",
        b'{"host":"h"}',
    )
    assert "scripts.py" in outcome.error.traceback and "child.py" not in outcome.error.traceback
    assert perform(attempt(), "fail", "key").error_types[:2] == ("KeyError", "LookupError")
    assert perform(attempt(), "fail", "exit").error_types[0] == "SystemExit"
    assert perform(attempt(), "fail", "later").retry_after_us == 30_000_000


def test_code_that_cannot_be_loaded_fails_the_step(attempt: Make) -> None:
    assert message_of(perform(attempt(), "add", source="broken")) == "cannot load this"
    assert perform(attempt(), "add", loader="nowhere:load").error_types[0] == "ModuleNotFoundError"


@pytest.mark.parametrize("what", ["nan", "object", "large"])
def test_a_result_that_cannot_be_stored_fails_the_step(attempt: Make, what: str) -> None:
    assert perform(attempt(), "give", what).error_types[0] == "ValueRefused"


def test_what_it_prints_is_captured(attempt: Make, tmp_path: Path) -> None:
    outcome = perform(attempt(), "talk")
    assert outcome.output is not None
    assert (outcome.output.tail, outcome.output.err_tail) == ("to out\nraw\n", "to err\n")
    assert (tmp_path / "out" / "3.1.out").read_text() == "to out\nraw\n"


def test_leaving_by_the_back_door_is_a_failed_step(attempt: Make) -> None:
    outcome = perform(attempt(), "talk_and_go")
    assert (outcome.kind, outcome.exit_code, outcome.error_types) == (Kind.FAILED, 3, ("ProcessEnded",))
    assert message_of(outcome) == "the step's process ended without a result: exit code 3"
    assert outcome.output is not None and outcome.output.tail == "last words\n"


def test_a_kill_is_a_failed_step_and_memory_is_suspected(attempt: Make) -> None:
    outcome = perform(attempt(), "kill_me")
    assert (outcome.kind, outcome.exit_code) == (Kind.FAILED, 137)
    assert "killed by signal 9 (SIGKILL), perhaps because memory ran out" in message_of(outcome)


def test_a_segfault_is_a_failed_step_that_says_where(attempt: Make) -> None:
    outcome = perform(attempt(), "crash")
    assert (outcome.kind, "SIGSEGV" in message_of(outcome)) == (Kind.FAILED, True)
    assert outcome.output is not None and "in crash" in outcome.output.err_tail


def test_an_endless_loop_is_really_ended_with_its_children(attempt: Make, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    for timeout_us in (500_000, 2_000_000, 8_000_000):  # on a busy machine Python needs a longer time to start
        performance = prepare_isolated(target("spin", str(path)), attempt(timeout_us=timeout_us, grace_us=100_000))
        performance.go()
        assert performance.finish().kind is Kind.TIMED_OUT
        if path.exists():
            break
    assert not is_alive(performance.process.pid) and not is_alive(pid_in(path))


def test_it_can_be_cancelled(attempt: Make, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    performance = prepare_isolated(target("spin", str(path)), attempt(grace_us=50_000))
    performance.go()
    found: list[Outcome] = []
    thread = threading.Thread(target=lambda: found.append(performance.finish()))
    thread.start()
    child = pid_in(path)
    performance.cancel("enough")
    thread.join(5)
    assert (found[0].kind, message_of(found[0])) == (Kind.CANCELLED, "enough")
    assert not is_alive(performance.process.pid) and not is_alive(child)


def test_nothing_runs_before_go(attempt: Make, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    performance = prepare_isolated(target("touch", str(mark)), attempt())
    time.sleep(0.1)
    assert is_alive(performance.process.pid) and not mark.exists()
    assert performance.finish().kind is Kind.CANCELLED
    assert not mark.exists() and not is_alive(performance.process.pid)


_ENGINE = """
import os, signal, sys
from dwf.activities import prepare_isolated
from dwf.activities.gated import Ended
from dwf.activities.plan import Attempt, Target
loader, activity, given, begin, *sys.path = sys.argv[1:]
target = Target(loader=loader, source=None, activity=activity, input=given.encode())
performance = prepare_isolated(target, Attempt(run="r1", command=3, name="s", key="r1:3"))
if begin == "go":
    performance.go()
process = performance.process
print(process.pid, process.start, process.boot, flush=True)
signal.pause()
"""


def killed_engine(activity: str, path: Path, begin: str, when: Callable[[], bool]) -> tuple[int, int, str]:
    command = [sys.executable, "-c", _ENGINE, LOADER, activity, f'["{path}"]', begin, *sys.path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            pid, start, boot = parent.stdout.readline().split()
            assert soon(when)
        finally:
            parent.kill()
    return int(pid), int(start), boot


def test_it_does_not_run_if_dwf_is_killed_before_go(tmp_path: Path) -> None:
    pid, _, _ = killed_engine("touch", tmp_path / "mark", "wait", lambda: True)
    assert soon(lambda: not is_alive(pid))
    assert not (tmp_path / "mark").exists()


def test_what_a_killed_dwf_leaves_is_an_orphan_that_can_be_ended(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    pid, start, boot = killed_engine("spin", path, "go", path.exists)
    child = pid_in(path)
    assert end_orphan(pid, start, boot, 50_000)
    assert not is_alive(pid) and not is_alive(child)


def test_it_knows_itself_and_inherits_nothing(attempt: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "1")
    with open("/dev/null") as lock:
        os.set_inheritable(lock.fileno(), True)
        info, environ, stdin, fds, leads, where, fds_of_child = msgspec.json.decode(
            perform(attempt(attempt=2), "facts").result
        )
    assert info == ["r1", "drain", 2, "r1:3:x"]
    assert environ == ["r1", "drain", "2", "r1:3", "1"]
    assert (stdin, where, leads) == ("", "/dev/null", True)
    assert len(fds) == 5, "three streams, the pipe of the answer, and the directory being listed"
    assert len(fds_of_child) == 4, "three streams, and the directory being listed"


def test_half_a_request_is_none(attempt: Make, tmp_path: Path) -> None:
    performance: Any = prepare_isolated(target("touch", str(tmp_path / "mark")), attempt())
    performance._request = performance._request[:-1]
    performance.go()
    assert performance.finish().kind is Kind.FAILED
    assert not (tmp_path / "mark").exists()


def test_a_thread_left_behind_does_not_hold_the_step(attempt: Make) -> None:
    performance = prepare_isolated(target("leave_a_thread"), attempt())
    performance.go()
    assert performance.finish().result == b'"done"'
    assert not is_alive(performance.process.pid)


def test_a_child_left_behind_does_not_hold_the_step(attempt: Make, tmp_path: Path) -> None:
    began = time.monotonic()
    assert perform(attempt(), "leave_a_child", str(tmp_path / "pid")).result == b'"done"'
    assert time.monotonic() - began < 3
    os.kill(pid_in(tmp_path / "pid"), signal.SIGKILL)


def test_closed_streams_do_not_lose_the_result(attempt: Make) -> None:
    assert perform(attempt(), "close_everything").result == b'"done"'


def test_what_came_to_its_end_while_it_was_cancelled_is_completed(attempt: Make) -> None:
    performance: Any = prepare_isolated(target("add", 1, 2), attempt())
    performance.go()
    gated = performance._gated
    ended = gated.finish()

    class CancelledTooLate:
        def finish(self) -> Ended:
            return replace(ended, asked=Asked(Kind.CANCELLED, "enough"))

    performance._gated = CancelledTooLate()
    assert performance.finish().result == b"3"


def test_an_answer_that_is_none_is_not_believed(attempt: Make) -> None:
    outcome = perform(attempt(), "scribble")
    assert (outcome.kind, outcome.error_types) == (Kind.FAILED, ("ProcessEnded",))
    assert "answered with something unusable" in message_of(outcome)


def test_a_request_that_cannot_be_told_is_a_failed_step(attempt: Make) -> None:
    before = descriptors()
    assert "cannot start" in message_of(perform(attempt(), "add", 1, 2, source=object()))
    assert descriptors() == before


def test_nothing_is_left_open(attempt: Make) -> None:
    before = descriptors()
    perform(attempt(), "add", 1, 2)
    perform(attempt(), "kill_me")
    assert descriptors() == before

"""A function in the calling thread: whatever it does is an outcome, and the next one starts clean."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dwf.activities import prepare_function
from dwf.activities.function import perform
from dwf.activities.info import activity_info
from dwf.activities.plan import NO_PROCESS, Attempt, Kind, Outcome
from dwf.activities.prints import Printed, capturing
from dwf.errors import Failure, InternalError, NotInWorkflow, RetryAfter

from .calls import call_of, call_of_input

Make = Callable[..., Attempt]


def outcome_of(attempt: Attempt, function: Callable[..., Any], *args: Any) -> Outcome:
    return perform(call_of(function, *args), attempt)


def raising(error: BaseException) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


def test_a_result_comes_back_as_json(attempt: Make) -> None:
    outcome = outcome_of(attempt(), lambda a, b: {"sum": a + b}, 1, 2)
    assert (outcome.kind, outcome.result, outcome.error, outcome.output) == (Kind.COMPLETED, b'{"sum":3}', None, None)
    assert outcome.ended_us > 1_600_000_000_000_000


def test_the_recorded_input_is_what_the_function_is_given(attempt: Make) -> None:
    call = call_of_input(lambda given: given.decode(), b'{"args":[1]}')
    assert perform(call, attempt()).result == rb'"{\"args\":[1]}"'


def test_a_call_without_a_function_is_our_own_mistake(attempt: Make) -> None:
    with pytest.raises(InternalError, match="has no function"):
        perform(call_of_input(None, b"null"), attempt())


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError()])
def test_any_exception_is_a_failed_step_and_nothing_more(attempt: Make, error: BaseException) -> None:
    outcome = outcome_of(attempt(), raising(error))
    assert outcome.kind is Kind.FAILED and outcome.error is not None
    assert outcome.error.type == type(error).__name__
    assert outcome.error_types[-1] == "BaseException"


def test_sys_exit_does_not_end_dwf(attempt: Make) -> None:
    outcome = outcome_of(attempt(), sys.exit, "enough")
    assert outcome.error is not None and (outcome.error.type, outcome.error.message) == ("SystemExit", "enough")


def test_the_bases_of_an_exception_are_named_for_the_retry_policy(attempt: Make) -> None:
    outcome = outcome_of(attempt(), raising(FileNotFoundError(2, "gone")))
    assert outcome.error_types == ("FileNotFoundError", "OSError", "Exception", "BaseException")


def test_an_exception_whose_str_raises_is_still_told(attempt: Make) -> None:
    class Sly(Exception):
        def __str__(self) -> str:
            raise SystemExit(9)

    outcome = outcome_of(attempt(), raising(Sly()))
    assert outcome.error is not None and outcome.error.type == "Sly"
    assert "SystemExit" in outcome.error.message


def test_an_exception_that_cannot_be_described_is_still_told(attempt: Make) -> None:
    class Sly(Failure):
        @property
        def details(self) -> Any:
            raise SystemExit(9)

        @details.setter
        def details(self, value: Any) -> None: ...

    outcome = outcome_of(attempt(), raising(Sly("x")))
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("Sly", "(describing it raised SystemExit)")


def test_the_facts_of_a_failure_are_kept(attempt: Make) -> None:
    outcome = outcome_of(attempt(), raising(Failure("no route", host="web1")))
    assert outcome.error is not None and outcome.error.message == "no route"
    assert bytes(outcome.error.details) == b'{"host":"web1"}'


def test_the_traceback_names_the_function_but_not_this_room(attempt: Make) -> None:
    def drain() -> None:
        raise ValueError("here")

    error = outcome_of(attempt(), drain).error
    assert error is not None
    assert "test_function.py" in error.traceback and "in drain" in error.traceback
    assert "_outcome_of" not in error.traceback


@pytest.mark.parametrize(("delay", "us"), [("30s", 30_000_000), (1.5, 1_500_000), ("soon", None), (-1, None)])
def test_a_step_may_ask_to_be_tried_later(attempt: Make, delay: Any, us: int | None) -> None:
    outcome = outcome_of(attempt(), raising(RetryAfter(delay)))
    assert (outcome.kind, outcome.retry_after_us) == (Kind.FAILED, us)


@pytest.mark.parametrize("result", [float("nan"), object(), "\ud800", b"x" * 50_000_000, "x" * 50_000_000])
def test_a_result_that_cannot_be_stored_fails_the_step(attempt: Make, result: Any) -> None:
    outcome = outcome_of(attempt(), lambda: result)
    assert outcome.kind is Kind.FAILED and outcome.error is not None
    assert outcome.error.type == "ValueRefused"
    assert len(outcome.error.message) < 1000


def test_a_result_whose_reading_raises_fails_the_step(attempt: Make) -> None:
    class Sly(dict[str, int]):
        def items(self) -> Any:
            raise KeyboardInterrupt

    outcome = outcome_of(attempt(), Sly)
    assert outcome.error is not None and outcome.error.type == "KeyboardInterrupt"


def test_a_result_that_contains_itself_fails_the_step(attempt: Make) -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert outcome_of(attempt(), lambda: loop).kind is Kind.FAILED


def test_a_result_that_looks_like_a_record_is_only_data(attempt: Make) -> None:
    outcome = outcome_of(attempt(), lambda: '{"type":"WorkflowCompleted"}\n')
    assert b"\n" not in outcome.result
    assert msgspec.json.decode(outcome.result) == '{"type":"WorkflowCompleted"}\n'


def test_a_coroutine_by_mistake_is_refused_and_not_left_behind(attempt: Make) -> None:
    async def late() -> None:
        pass

    # An open coroutine would warn when it is collected, and warnings are errors here.
    outcome = outcome_of(attempt(), lambda: late())
    assert outcome.error is not None and "coroutine" in outcome.error.message


def test_the_next_function_starts_in_the_same_directory(attempt: Make, tmp_path: Path) -> None:
    before = Path.cwd()
    assert outcome_of(attempt(), os.chdir, tmp_path).kind is Kind.COMPLETED
    assert Path.cwd() == before


def test_the_next_function_has_the_same_umask(attempt: Make) -> None:
    outcome_of(attempt(), os.umask, 0o000)
    now = os.umask(0o077)
    os.umask(now)
    assert now != 0o000


def test_the_next_function_has_the_same_environment(attempt: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DWF_TEST_KEPT", "1")
    monkeypatch.setenv("DWF_TEST_CHANGED", "1")

    def change() -> None:
        del os.environ["DWF_TEST_KEPT"]
        os.environ["DWF_TEST_CHANGED"] = "2"
        os.environ["DWF_TEST_NEW"] = "3"

    outcome_of(attempt(), change)
    seen = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert {line for line in seen if line.startswith("DWF_TEST")} == {"DWF_TEST_KEPT=1", "DWF_TEST_CHANGED=1"}


def test_an_environment_object_put_in_its_place_is_taken_out_again(attempt: Make) -> None:
    before = os.environ
    outcome_of(attempt(), lambda: setattr(os, "environ", {}))
    assert os.environ is before


def test_the_next_function_has_the_same_stdout(attempt: Make) -> None:
    before = sys.stdin, sys.stdout, sys.stderr

    def change() -> None:
        sys.stdin = sys.stdout = sys.stderr = None  # type: ignore[assignment]

    outcome_of(attempt(), change)
    assert (sys.stdin, sys.stdout, sys.stderr) == before


def test_the_next_function_has_the_same_signal_handlers_and_no_alarm_is_left(attempt: Make) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGALRM)

    def change() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.alarm(1000)

    outcome_of(attempt(), change)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGALRM)) == before
    assert signal.alarm(0) == 0


def test_a_change_is_undone_even_while_another_function_runs(attempt: Make, tmp_path: Path) -> None:
    before, inside, done = Path.cwd(), threading.Event(), threading.Event()

    def long() -> None:
        inside.set()
        done.wait(5)

    thread = threading.Thread(target=outcome_of, args=(attempt(), long))
    thread.start()
    inside.wait(5)
    outcome_of(attempt(), os.chdir, tmp_path)
    assert Path.cwd() == before
    done.set()
    thread.join()


def test_what_another_function_is_changing_is_not_taken_for_how_it_was(attempt: Make, tmp_path: Path) -> None:
    before, inside, done = Path.cwd(), threading.Event(), threading.Event()

    def long() -> None:
        os.chdir(tmp_path)
        inside.set()
        done.wait(5)

    thread = threading.Thread(target=outcome_of, args=(attempt(), long))
    thread.start()
    inside.wait(5)
    outcome_of(attempt(), lambda: None)
    done.set()
    thread.join()
    assert Path.cwd() == before


def test_a_deleted_directory_is_no_reason_to_fail(
    attempt: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert outcome_of(attempt(), lambda: 1).kind is Kind.COMPLETED
    assert outcome_of(attempt(), os.chdir, tmp_path).kind is Kind.COMPLETED
    assert Path.cwd() == Path("/")


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_that_comes_back_is_no_second_engine(attempt: Make, tmp_path: Path, raises: bool) -> None:
    mark = tmp_path / "second"

    def fork() -> int:
        child = os.fork()
        if child == 0 and raises:
            raise ValueError
        return child

    parent = os.getpid()
    outcome = outcome_of(attempt(), fork)
    if os.getpid() != parent:  # only reached if the rule is broken
        mark.touch()
        os._exit(7)
    code = os.waitstatus_to_exitcode(os.waitpid(int(outcome.result), 0)[1])
    assert (code, mark.exists()) == (int(raises), False)


def test_a_function_knows_its_attempt_and_nobody_else_does(attempt: Make) -> None:
    def look() -> list[Any]:
        info = activity_info()
        return [info.run, info.step, info.attempt]

    assert outcome_of(attempt(attempt=2), look).result == b'["r1","drain",2]'
    with pytest.raises(NotInWorkflow, match="activity_info"):
        activity_info()


def test_the_idempotency_key_is_the_same_for_every_attempt(attempt: Make) -> None:
    def keys() -> list[str]:
        return [activity_info().idempotency_key(), activity_info().idempotency_key("charge")]

    first, second = (outcome_of(attempt(attempt=n), keys).result for n in (1, 2))
    assert first == second == b'["r1:3","r1:3:charge"]'


def test_prints_go_to_the_files_of_the_attempt(attempt: Make, tmp_path: Path, capsys: Any) -> None:
    def say() -> None:
        print("to out")
        print("to err \ud800\x1b", file=sys.stderr)
        sys.stdout.buffer.write(b"\xff\n")
        sys.stdout.flush()
        sys.stdout.close()

    with capturing():
        print("before")
        outcome = outcome_of(attempt(), say)
        print("after")
    assert capsys.readouterr().out == "before\nafter\n"
    assert (tmp_path / "out" / "3.1.out").read_bytes() == b"to out\n\xff\n"
    assert outcome.output is not None
    assert (outcome.output.ref, outcome.output.size) == ("3.1", 9 + 15)
    assert outcome.output.tail == "to out\n\\xff\n"
    assert outcome.output.err_tail == "to err \\ud800\x1b\n"


def test_no_file_is_made_unless_something_is_printed(attempt: Make, tmp_path: Path) -> None:
    with capturing():
        outcome = outcome_of(attempt(), lambda: print(end=""))
    assert outcome.output is None
    assert not (tmp_path / "out").exists()


def test_prints_of_a_failed_function_are_kept(attempt: Make) -> None:
    def say() -> None:
        print("so far")
        raise ValueError

    with capturing():
        outcome = outcome_of(attempt(), say)
    assert outcome.output is not None and outcome.output.tail == "so far\n"


def test_functions_in_several_threads_keep_their_prints_apart(attempt: Make) -> None:
    barrier = threading.Barrier(4)

    def say(word: str) -> None:
        for _ in range(200):
            barrier.wait(5)
            print(word)

    found: dict[str, Outcome] = {}

    def one(word: str) -> None:
        found[word] = outcome_of(attempt(out_prefix=None), say, word)

    with capturing():
        threads = [threading.Thread(target=one, args=(word,)) for word in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for word, outcome in found.items():
        assert outcome.output is not None and outcome.output.tail == f"{word}\n" * 200


def test_threads_of_one_function_print_into_the_same_streams() -> None:
    class Slow(Printed):
        def _made(self) -> Any:
            time.sleep(0.05)  # long enough for the other thread to want one too
            return super()._made()

    printed = Slow(None)
    threads = [threading.Thread(target=printed.write, args=(0, b"x")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    output = printed.output()
    assert output is not None and output.tail == "xxxx"


def test_a_prepared_function_runs_in_finish_and_records_no_process(attempt: Make) -> None:
    ran: list[int] = []
    performance = prepare_function(call_of(ran.append, 1), attempt())
    assert performance.process == NO_PROCESS
    performance.go()
    assert ran == []
    assert (performance.finish().kind, ran) == (Kind.COMPLETED, [1])


def test_a_function_that_was_never_begun_does_not_run(attempt: Make) -> None:
    ran: list[int] = []
    assert prepare_function(call_of(ran.append, 1), attempt()).finish().kind is Kind.CANCELLED
    assert ran == []


@pytest.mark.parametrize(("ask", "kind"), [("cancel", Kind.CANCELLED), ("interrupt", Kind.INTERRUPTED)])
def test_a_function_asked_to_end_before_it_runs_does_not_run(attempt: Make, ask: str, kind: Kind) -> None:
    ran: list[int] = []
    performance = prepare_function(call_of(ran.append, 1), attempt())
    performance.go()
    getattr(performance, ask)("the operator said so")
    outcome = performance.finish()
    assert (outcome.kind, ran) == (kind, [])
    assert outcome.error is not None and outcome.error.message == "the operator said so"

"""Steps that misbehave: commands that are not there, print for ever, will not end; functions that break things."""

from __future__ import annotations

import json
import os
import signal
import textwrap
import time
from pathlib import Path

import pytest

from tests.test_bad_inputs.terminal import Terminal


def shell_book(call: str) -> str:
    """A script with one shell step; its result is code, out, err, truncated, or the error as type and reason."""
    return f"""
        import dwf

        @dwf.workflow
        async def book(where: str) -> object:
            try:
                done = await {call}
            except dwf.ActivityError as error:
                return [error.type, error.reason, error.details]
            return [done.code, done.out, done.err, done.truncated]
    """


def step_book(body: str, decorator: str = "@dwf.activity(retry=dwf.Retry(max_attempts=1))") -> str:
    """A script with a function as its only step, and a second step after it that tells how it finds its process."""
    return (
        textwrap.dedent("""
            import asyncio, os, signal, sys, dwf

            class Odd(Exception):
                def __str__(self): raise ValueError("no words")

            def note(where: str) -> None:
                with open(where + "/ran", "a") as file:
                    file.write("x")

            DECORATOR
            def step(where: str) -> object:
            BODY

            @dwf.activity
            def after() -> list[object]:
                mask = os.umask(0o22)
                os.umask(mask)
                print("after")
                return [os.getcwd(), mask, "DWF_BAD" in os.environ, signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL]

            @dwf.workflow
            async def book(where: str) -> object:
                try:
                    first = await step(where)
                except dwf.ActivityError as error:
                    first = [error.type, error.reason]
                return [first, await after()]
        """)
        .replace("DECORATOR", decorator)
        .replace("BODY", textwrap.indent(textwrap.dedent(body), "    "))
    )


def result_of(dwf: Terminal, text: str) -> list[object]:
    """Start it, tick in this process; its result."""
    dwf.driven(text, "one", f"where={dwf.where}")
    answer = dwf.typed("result", "one")
    assert answer.code == 0, (answer, dwf.events("one"))
    found = json.loads(answer.out)
    assert isinstance(found, list)
    for words in [("show", "one"), ("history", "one", "--detailed"), ("list",)]:
        assert dwf.typed(*words).is_clean().code == 0
    return found


# -- commands ---------------------------------------------------------------------------------------------------

COMMANDS = [
    ("missing", 'dwf.sh("no-such-command-anywhere")', "exit code 127"),
    ("a path that is missing", 'dwf.sh("/no/such/command")', "127"),
    ("not executable", 'dwf.sh("/etc/passwd")', "126"),
    ("a directory", 'dwf.sh("/etc")', "126"),
    ("a broken script", 'dwf.sh(script="if then (")', "exit code 2"),
    ("exit 1", 'dwf.sh("false")', "exit code 1"),
    ("exit 255", 'dwf.sh(script="exit 255")', "exit code 255"),
    ("exit 126", 'dwf.sh(script="exit 126")', "126"),
    ("exit 127", 'dwf.sh(script="exit 127")', "127"),
    ("killed", 'dwf.sh(script="kill -KILL $$")', "SIGKILL"),
    ("terminated", 'dwf.sh(script="kill -TERM $$")', "SIGTERM"),
    ("segfault", 'dwf.sh(script="kill -SEGV $$")', "SIGSEGV"),
    ("a real-time signal", 'dwf.sh(script="kill -40 $$")', "40"),
    ("kills its group", 'dwf.sh(script="kill -KILL 0")', "SIGKILL"),
    ("stops itself", 'dwf.sh(script="kill -STOP $$; exit 3", timeout=0.3, grace=0.1)', "300ms"),
    ("runs for ever", 'dwf.sh("sleep", "600", timeout=0.2, grace=0.1)', "200ms"),
    ("is deaf", 'dwf.sh(script="trap \'\' TERM INT HUP; sleep 600; sleep 600", timeout=0.2, grace=0.1)', "200ms"),
    ("no such directory", 'dwf.sh("true", cwd="/no/such/directory")', "/no/such/directory"),
    ("a file as directory", 'dwf.sh("true", cwd="/etc/passwd")', "/etc/passwd"),
    ("a word too long", 'dwf.sh("true", "x" * 200_000)', ""),
    ("a variable with NUL", 'dwf.sh("true", env={"A": "a\\0b"})', ""),
    ("a variable with =", 'dwf.sh("true", env={"A=B": "c"})', ""),
]  # fmt: skip


@pytest.mark.parametrize(("call", "said"), [case[1:] for case in COMMANDS], ids=[case[0] for case in COMMANDS])
def test_a_command_that_fails_is_recorded_as_what_it_was(dwf: Terminal, call: str, said: str) -> None:
    began = time.monotonic()
    kind, reason, _ = result_of(dwf, shell_book(call))
    assert said in str(reason), (kind, reason)
    assert kind in ("ExitCode", "TimeoutError", "OSError", "ValueError", "FileNotFoundError", "NotADirectoryError")
    assert time.monotonic() - began < 10
    assert not list((dwf.home / "locks").iterdir())


NO_COMMANDS = [
    ("nothing", "dwf.sh()", "no command"),
    ("an empty word", 'dwf.sh("")', "no command"),
    ("a negative umask", 'dwf.sh("true", umask=-5)', "umask"),
    ("a umask in decimal", 'dwf.sh("true", umask=777)', "umask"),
    ("a line as a word", 'dwf.sh("systemctl reload nginx")', "spaces"),
    ("NUL", 'dwf.sh("true", "a\\0b")', "NUL"),
    ("NUL in a script", 'dwf.sh(script="true\\0")', "NUL"),
    ("a lone surrogate", 'dwf.sh("true", "\\udcff")', ""),
    ("no timeout that makes sense", 'dwf.sh("true", timeout=-1)', "duration"),
    ("NaN as timeout", 'dwf.sh("true", timeout=float("nan"))', "duration"),
    ("a timeout without unit", 'dwf.sh("true", timeout="10")', "10"),
    ("3 MB of words", 'dwf.sh("true", "x" * 3_000_000)', "limit"),
]


@pytest.mark.parametrize(("call", "said"), [case[1:] for case in NO_COMMANDS], ids=[case[0] for case in NO_COMMANDS])
def test_what_can_be_no_command_blocks_the_run_before_it_is_recorded(dwf: Terminal, call: str, said: str) -> None:
    why = dwf.blocked(shell_book(call), "one", "where=x")
    assert said in why
    assert not dwf.events("one", "ActivityScheduled")


def test_a_command_that_reads_finds_nothing_to_read(dwf: Terminal) -> None:
    assert result_of(dwf, shell_book("dwf.sh('cat')"))[:2] == [0, ""]


def test_a_command_that_closes_its_output_goes_on(dwf: Terminal) -> None:
    code, out, *_ = result_of(dwf, shell_book("dwf.sh(script='echo before; exec >&- 2>&-; sleep 0.1; true')"))
    assert (code, out) == (0, "before\n")


@pytest.mark.parametrize(
    "script",
    [
        'sleep 600 & echo $! > "$1/pid"',
        '(sleep 600 & echo $! > "$1/pid")',
        'setsid sleep 600 & echo $! > "$1/pid"',
        'setsid sh -c "sleep 600 & echo \\$! > $1/pid; wait" & while [ ! -s "$1/pid" ]; do sleep 0.01; done',
        'nohup sleep 600 >/dev/null 2>&1 & echo $! > "$1/pid"',
    ],
)
def test_a_background_process_does_not_hold_the_run(dwf: Terminal, script: str) -> None:
    began = time.monotonic()
    assert result_of(dwf, shell_book(f"dwf.sh(where, script={script!r})"))[0] == 0
    assert time.monotonic() - began < 5
    pid = int((dwf.where / "pid").read_text())
    if Path(f"/proc/{pid}").exists():
        os.kill(pid, signal.SIGKILL)


def test_a_time_limit_ends_the_whole_group(dwf: Terminal) -> None:
    script = 'sh -c "sleep 600 & echo \\$! > $1/pid; wait" & while [ ! -s "$1/pid" ]; do sleep 0.01; done; wait'
    result_of(dwf, shell_book(f"dwf.sh(where, script={script!r}, timeout=1, grace=0.2)"))
    pid = int((dwf.where / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()


def test_values_never_become_part_of_a_shell_text(dwf: Terminal) -> None:
    evil = '\'; touch "$1"; $(touch x) `touch y` \n\\ * ~ -n'
    assert result_of(dwf, shell_book(f"dwf.sh('printf', '%s', {evil!r})"))[1] == evil


# -- output -----------------------------------------------------------------------------------------------------


def test_endless_output_is_kept_in_bounds_and_flagged(dwf: Terminal) -> None:
    code, out, _, truncated = result_of(dwf, shell_book("dwf.sh(script='yes | head -c 60000000; echo end')"))
    assert code == 0 and truncated is True
    assert isinstance(out, str) and len(out) < 200_000 and out.endswith("end\n")
    assert sum(path.stat().st_size for path in (dwf.home / "out").rglob("*.out")) < 12_000_000
    assert dwf.history("one").stat().st_size + sum(p.stat().st_size for p in dwf.home.rglob("blobs/*")) < 1_000_000


def test_ten_gigabytes_without_a_newline_do_not_fill_memory_or_disk(dwf: Terminal) -> None:
    text = shell_book("dwf.sh(script='head -c 600000000 /dev/zero', max_output=100)")
    dwf.start(text, "one", "where=x")
    limited = ["/bin/sh", "-c", 'ulimit -v 400000; exec "$@"', "sh"]
    assert dwf.process("tick", through=limited).is_clean().code == 0
    assert json.loads(dwf.typed("result", "one").out)[3] is True
    assert sum(path.stat().st_size for path in (dwf.home / "out").rglob("*.out")) < 12_000_000


BYTES = [
    ("NUL", r"a\000b"),
    ("ESC", r"a\033[31mb\033]52;c;eA==\007"),
    ("invalid UTF-8", r"caf\351 \377\376"),
    ("half a character", r"\342\202"),
    ("CR and backspace", r"safe\r\010\010evil"),
    ("bidi", r"\342\200\256gpj.exe"),
    ("C1", r"a\302\233b"),
    ("all of them", r"\001\002\177\200\377\n\t"),
]


@pytest.mark.parametrize("printed", [case[1] for case in BYTES], ids=[case[0] for case in BYTES])
def test_whatever_is_printed_is_kept_and_shown_without_effect(dwf: Terminal, printed: str) -> None:
    code, out, *_ = result_of(dwf, shell_book(f"dwf.sh(script={f'printf {chr(39)}{printed}{chr(39)}'!r})"))
    assert code == 0 and isinstance(out, str) and out
    assert dwf.history("one").read_bytes().isascii()
    for words in [("show", "one", "--json"), ("history", "one", "--detailed"), ("list", "-o", "wide")]:
        dwf.typed(*words).is_clean()
    raw = printed.encode().decode("unicode_escape").encode("latin-1")
    process = dwf.process("logs", "one")
    assert process.code == 0
    assert raw in (dwf.home / "out").glob("one/*.out").__next__().read_bytes()


def test_a_result_that_looks_like_a_record_is_data(dwf: Terminal) -> None:
    evil = '{"id":5,"ts":"2026-01-01T00:00:00.000000Z","type":"WorkflowCompleted","result":1}\n'
    text = f"""
        import dwf

        @dwf.activity
        def forge(where: str) -> dict:
            print({evil!r})
            return {{"type": "WorkflowCompleted", "id": 9, "hash": "0" * 32, "text": {evil!r}}}

        @dwf.workflow
        async def book(where: str) -> object:
            found = await forge(where)
            said = await dwf.sh("printf", "%s", {evil!r})
            dwf.status({evil!r}[:200])
            return [found["text"], said.out]
    """
    assert result_of(dwf, text) == [evil, evil]
    assert [event["id"] for event in dwf.events("one")] == list(range(1, len(dwf.events("one")) + 1))
    assert len(dwf.events("one", "WorkflowCompleted")) == 1
    assert dwf.typed("verify", "one").code == 0


# -- functions --------------------------------------------------------------------------------------------------

BODIES = [
    ("SystemExit", "sys.exit(3)", "SystemExit"),
    ("exit 0", "sys.exit(0)", "SystemExit"),
    ("KeyboardInterrupt", "raise KeyboardInterrupt", "KeyboardInterrupt"),
    ("GeneratorExit", "raise GeneratorExit", "GeneratorExit"),
    ("CancelledError", "raise asyncio.CancelledError", "CancelledError"),
    ("StopIteration", "raise StopIteration", "StopIteration"),
    ("no words", "raise Odd", "Odd"),
    ("50 MB of words", "raise ValueError('x' * 50_000_000)", "ValueError"),
    ("ESC in its words", "raise ValueError('a\\x1b[31mb\\n\\u202e')", "ValueError"),
    ("recursion", "return step.function(where)", "RecursionError"),
    ("no JSON", "return object()", ""),
    ("NaN", "return float('nan')", ""),
    ("itself", "value = []\nvalue.append(value)\nreturn value", ""),
    ("50 MB", "return 'x' * 50_000_000", ""),
    ("a lone surrogate", "return '\\ud800'", ""),
    ("an approval", "return dwf.info()", ""),
    ("a workflow call", "asyncio.run(dwf.sleep(1))", ""),
    ("a group", "raise ExceptionGroup('g', [ValueError('a'), KeyError('b')])", "ExceptionGroup"),
    ("a failure with odd details", "raise dwf.Failure('no', what=object())", "Failure"),
    ("a result that breaks", "class E(dict):\n    def items(self): raise KeyError\nreturn E(a=1)", ""),
]  # fmt: skip


@pytest.mark.parametrize(("body", "said"), [case[1:] for case in BODIES], ids=[case[0] for case in BODIES])
def test_a_function_that_fails_in_any_way_is_recorded_and_the_run_goes_on(dwf: Terminal, body: str, said: str) -> None:
    (kind, reason), (_, _, _, _) = result_of(dwf, step_book(body))  # type: ignore[misc]
    assert kind == said or not said, (kind, reason)
    assert len(reason) < 20_000
    assert dwf.history("one").stat().st_size < 300_000


CHANGES = [
    ("cwd", "os.chdir('/')"),
    ("a cwd that is gone", "os.mkdir(where + '/gone'); os.chdir(where + '/gone'); os.rmdir(where + '/gone')"),
    ("umask", "os.umask(0o777)"),
    ("environ", "os.environ['DWF_BAD'] = '1'; os.environ.clear()"),
    ("stdout", "sys.stdout = None; sys.stderr = None"),
    ("closed stdout", "sys.stdout.close(); sys.stderr.close()"),
    ("stdin", "sys.stdin = None"),
    ("a handler of its own", "signal.signal(signal.SIGUSR1, print)"),
    ("a thread", "import threading; threading.Thread(target=os.getpid).start()"),
    ("recursion limit", "sys.setrecursionlimit(100_000)"),
    ("an event loop", "asyncio.run(asyncio.sleep(0)); asyncio.set_event_loop(None)"),
    ("prints", "print('x' * 30_000_000)"),
]


@pytest.mark.parametrize("body", [case[1] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_what_a_function_changes_in_its_process_the_next_one_does_not_find(dwf: Terminal, body: str) -> None:
    here, umask = os.getcwd(), os.umask(0o22)  # noqa: PTH109
    os.umask(umask)
    limit = __import__("sys").getrecursionlimit()
    _, (cwd, mask, bad, _) = result_of(dwf, step_book(body))  # type: ignore[misc]
    assert (cwd, mask, bad) == (here, umask, False)
    assert os.getcwd() == here  # noqa: PTH109
    __import__("sys").setrecursionlimit(limit)
    assert "after" in dwf.process("logs", "one", "after").out


CRASHES = [
    ("os._exit", "os._exit(3)", "exit code 3"),
    ("os._exit(0)", "os._exit(0)", "ended without a result"),
    ("SIGKILL", "os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    ("a segfault", "import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    ("abort", "os.abort()", "SIGABRT"),
    ("closes everything", "os.closerange(0, 100); os._exit(0)", "without a result"),
    ("forks and both return", "os.fork(); return 1", ""),
    ("never ends", "while True: pass", "700ms"),
    ("is deaf", "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))\nwhile True: pass", "700ms"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "said"), [case[1:] for case in CRASHES], ids=[case[0] for case in CRASHES])
def test_a_function_that_ends_its_process_ends_only_its_own(dwf: Terminal, body: str, said: str) -> None:
    limit = "0.7s" if "while True" in body else "30s"
    decorator = f"@dwf.activity(retry=dwf.Retry(max_attempts=1), start_to_close={limit!r}, grace=0.1)"
    first, _ = result_of(dwf, step_book(body, decorator))
    assert first == 1 or said in str(first), first


def test_a_function_in_dwfs_own_process_that_ends_it_is_counted_and_does_not_run_for_ever(dwf: Terminal) -> None:
    body = "note(where)\nos._exit(3)"
    dwf.start(step_book(body, "@dwf.activity(retry=dwf.Retry(max_attempts=2))"), "one", f"where={dwf.where}")
    dwf.start("import dwf\n@dwf.workflow\nasync def fine() -> int:\n    return 1\n", "two")
    codes = [dwf.process("tick").code for _ in range(4)]
    assert codes[:2] == [3, 3] and codes[2:] == [0, 0], codes
    assert (dwf.where / "ran").read_text() == "xx"
    assert dwf.status("one") == "completed"
    assert dwf.status("two") == "completed"


def test_a_function_that_forks_in_dwfs_own_process_does_not_double_the_tick(dwf: Terminal) -> None:
    body = "pid = os.fork()\nif pid: os.waitpid(pid, 0)\nreturn 1"
    dwf.start(step_book(body), "one", f"where={dwf.where}")
    dwf.process("tick").is_clean()
    dwf.process("tick").is_clean()
    assert dwf.typed("verify", "one").code == 0
    assert dwf.status("one") == "completed"
    assert len(dwf.events("one", "WorkflowCompleted")) == 1
    assert len(dwf.events("one", "ActivityStarted")) <= 3


# -- policies ---------------------------------------------------------------------------------------------------

POLICIES = [
    "max_attempts=0", "max_attempts=-1", "max_attempts=1.5", "max_attempts=True", "max_attempts='3'",
    "initial=-1", "initial=float('nan')", "initial=float('inf')", "initial='soon'", "initial=''", "initial=None",
    "initial=1e308", "max_interval=-1", "max_interval=float('nan')", "max_interval=1e308",
    "backoff=0", "backoff=-1", "backoff=float('nan')", "backoff=float('inf')", "backoff=1e308", "backoff='2'",
    "jitter='some'", "jitter=None", "retry_on_output='('",
]  # fmt: skip


@pytest.mark.parametrize("policy", POLICIES)
def test_a_retry_policy_that_makes_no_sense_is_refused_where_it_is_written(dwf: Terminal, policy: str) -> None:
    declared = f"import dwf\nRETRY = dwf.Retry({policy})\n@dwf.workflow\nasync def book() -> None: ...\n"
    answer = dwf.refuses(2, "start", dwf.script(declared))
    assert "book.py:2" in answer.error or "book.py" in answer.error
    called = shell_book(f"dwf.sh('true', retry=dwf.Retry({policy}))")
    dwf.blocked(called, "one", "where=x")
    assert not dwf.events("one", "ActivityScheduled")


@pytest.mark.parametrize("delay", ["0", "-1", "float('nan')", "1e308", "'soon'", "None", "'9999w'"])
def test_an_odd_retry_after_is_no_way_to_run_for_ever_or_to_break(dwf: Terminal, delay: str) -> None:
    body = f"note(where)\nraise dwf.RetryAfter({delay})"
    dwf.start(step_book(body, "@dwf.activity(retry=dwf.Retry(max_attempts=2))"), "one", f"where={dwf.where}")
    dwf.tick()
    assert dwf.status("one") in ("completed", "waiting")
    assert len((dwf.where / "ran").read_text()) <= 2
    assert dwf.typed("show", "one").is_clean().code == 0


@pytest.mark.parametrize("attempts", ["max_attempts=3, initial=0", "max_attempts=3, initial='0s', jitter='none'"])
def test_a_delay_of_zero_tries_again_at_once_and_only_so_often(dwf: Terminal, attempts: str) -> None:
    body = "note(where)\nraise ValueError('again')"
    result_of(dwf, step_book(body, f"@dwf.activity(retry=dwf.Retry({attempts}))"))
    assert (dwf.where / "ran").read_text() == "xxx"

"""Workflow code that does what it may not: it blocks the run with the line and the cure, and never the tick."""

from __future__ import annotations

import textwrap
import time

import pytest

from dwf.engine.context import Codes, Engine, wall_clock_us
from dwf.engine.drive import drive
from dwf.engine.hooks import Hooks
from dwf.engine.lanes import Lanes
from dwf.engine.watchdog import Watchdog
from dwf.store.room import Store
from tests.test_bad_inputs.terminal import PLAIN, Terminal, until

REACHES_OUT = [
    ("time.time", "import time", "time.time()", "dwf.now"),
    ("time_ns", "import time", "time.time_ns()", "dwf.now"),
    ("monotonic", "from time import monotonic", "monotonic()", "dwf.now"),
    ("time.time by name", "from time import time as clock", "clock()", "dwf.now"),
    ("datetime.now", "import datetime", "datetime.datetime.now()", "dwf.now"),
    ("datetime.utcnow", "from datetime import datetime", "datetime.utcnow()", "dwf.now"),
    ("date.today", "from datetime import date", "date.today()", "dwf.now"),
    ("time.sleep", "import time", "time.sleep(10)", "dwf.sleep"),
    ("sleep by name", "from time import sleep", "sleep(10)", "dwf.sleep"),
    ("random", "import random", "random.random()", "dwf.random"),
    ("randint", "from random import randint", "randint(1, 6)", "dwf.random"),
    ("shuffle", "import random", "random.shuffle([1, 2, 3])", "dwf.random"),
    ("SystemRandom", "import random", "random.SystemRandom().random()", "dwf.random"),
    ("uuid4", "import uuid", "uuid.uuid4()", "dwf.uuid4"),
    ("secrets", "import secrets", "secrets.token_hex()", "dwf.random"),
    ("urandom", "import os", "os.urandom(8)", "dwf.random"),
    ("environ", "import os", "os.environ['PATH']", "parameter"),
    ("environ.get", "from os import environ", "environ.get('PATH')", "parameter"),
    ("getenv", "import os", "os.getenv('PATH')", "parameter"),
    ("getcwd", "import os", "os.getcwd()", "parameter"),
    ("open", "", "open('/etc/hostname').read()", "activity"),
    ("Path.read_text", "from pathlib import Path", "Path('/etc/hostname').read_text()", "activity"),
    ("os.listdir", "import os", "os.listdir('/')", "activity"),
    ("os.remove", "import os", "os.remove('/nonexistent')", "activity"),
    ("tempfile", "import tempfile", "tempfile.NamedTemporaryFile()", "activity"),
    ("subprocess", "import subprocess", "subprocess.run(['true'])", "activity"),
    ("os.system", "import os", "os.system('true')", "activity"),
    ("popen", "import os", "os.popen('true')", "activity"),
    ("fork", "import os", "os.fork()", "activity"),
    ("socket", "import socket", "socket.socket()", "activity"),
    ("create_connection", "import socket", "socket.create_connection(('127.0.0.1', 9))", "activity"),
    ("urlopen", "import urllib.request", "urllib.request.urlopen('http://127.0.0.1:9')", "activity"),
    ("getaddrinfo", "import socket", "socket.getaddrinfo('localhost', 80)", "activity"),
    ("sqlite", "import sqlite3", "sqlite3.connect(':memory:')", "activity"),
    ("a thread", "import threading", "threading.Thread(target=print).start()", "gather"),
    ("a pool", "from concurrent.futures import ThreadPoolExecutor", "ThreadPoolExecutor().submit(print)", "gather"),
    ("to_thread", "", "await asyncio.to_thread(print)", "activity"),
    ("run_in_executor", "", "await asyncio.get_running_loop().run_in_executor(None, print)", "activity"),
    ("open_connection", "", "await asyncio.open_connection('127.0.0.1', 9)", "activity"),
    ("subprocess_exec", "", "await asyncio.create_subprocess_exec('true')", "dwf.sh"),
    ("asyncio.run", "", "asyncio.run(dwf.sleep(1))", ""),
    ("input", "", "input('sure? ')", "dwf.approve"),
    ("a bare Future", "", "await asyncio.Future()", ""),
]


def book(code: str, top: str = "") -> str:
    """A script whose workflow has that code, from line 6 on."""
    body = textwrap.indent(textwrap.dedent(code), "    ")
    return f"import asyncio, dwf\n{top}\n\n@dwf.workflow\nasync def book() -> object:\n{body}\n"


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize(("top", "code", "cure"), [c[1:] for c in REACHES_OUT], ids=[c[0] for c in REACHES_OUT])
def test_workflow_code_that_reaches_out_is_blocked_with_the_line_and_the_cure(
    dwf: Terminal, top: str, code: str, cure: str
) -> None:
    why = dwf.blocked(book(code, top), "one")
    assert "one.py:6" in why, why
    assert cure in why, why
    shown = dwf.typed("show", "one").is_clean()
    assert "one.py:6" in shown.out and "dwf upgrade" in shown.out
    assert dwf.typed("show", "one", "--exit-status").code == 5
    assert "one" in dwf.typed("inbox").out


@pytest.mark.parametrize("code", ["open('/etc/hostname')", "import time; time.time()", "import os; os.environ['X']"])
def test_what_catches_everything_cannot_hide_it(dwf: Terminal, code: str) -> None:
    why = dwf.blocked(book(f"try:\n    {code}\nexcept BaseException:\n    pass\nawait dwf.sh('true')\nreturn 1"), "one")
    assert "one.py:7" in why
    assert not dwf.events("one", "ActivityScheduled")


def test_the_same_calls_are_free_where_a_script_is_loaded_and_in_steps(dwf: Terminal) -> None:
    status = dwf.driven("""
        import os, random, time, dwf

        LOADED = time.time()
        random.random()
        os.environ.get("PATH")

        @dwf.activity
        def act() -> float:
            time.sleep(0.001)
            random.random()
            open("/dev/null").close()
            os.environ.get("PATH")
            return time.time()

        @dwf.workflow
        async def free() -> float:
            return await act()
    """, "one")  # fmt: skip
    assert status == "completed"


# -- order that is left to chance -------------------------------------------------------------------------------


def test_the_order_of_a_set_does_not_change_what_a_run_does(dwf: Terminal) -> None:
    text = """
        import dwf

        @dwf.activity
        def touch(host: str) -> str:
            return host

        @dwf.workflow
        async def fleet() -> list[str]:
            done = [await touch(host) for host in {"web1", "web2", "web3", "db1", "db2", "lb1", "lb2"}]
            await dwf.wait_signal("go")
            return done
    """
    dwf.start(text, "one")
    assert dwf.process("tick", env=dwf.process_environ(PYTHONHASHSEED="1")).code == 0
    dwf.typed("signal", "one", "go")
    second = dwf.process("tick", env=dwf.process_environ(PYTHONHASHSEED="2")).is_clean()
    assert second.code == 1
    assert dwf.status("one") == "blocked"
    why = dwf.events("one", "RunBlocked")[-1]["message"]
    assert "one.py:10" in why and "touch" in why, why
    assert dwf.typed("show", "one").is_clean().out.count("touch") >= 2, "what was recorded and what is asked now"


def test_asyncio_wait_gives_the_same_order_in_every_replay(dwf: Terminal) -> None:
    text = """
        import asyncio, dwf

        @dwf.activity
        def touch(n: int) -> int:
            return n

        @dwf.workflow
        async def waits() -> list[int]:
            tasks = [asyncio.ensure_future(touch(n)) for n in range(8)]
            done, _ = await asyncio.wait(tasks)
            order = [task.result() for task in done]
            for n in order:
                await touch(n)
            await dwf.wait_signal("go")
            return order
    """
    dwf.start(text, "one")
    assert dwf.process("tick", env=dwf.process_environ(PYTHONHASHSEED="1")).code == 0
    dwf.typed("signal", "one", "go")
    assert dwf.process("tick", env=dwf.process_environ(PYTHONHASHSEED="2")).code == 0
    assert dwf.status("one") == "completed"


# -- what never comes to a wait ---------------------------------------------------------------------------------

LOOPS = [
    ("while True: pass", "while True:\n    pass"),
    ("that catches", "while True:\n    try:\n        pass\n    except BaseException:\n        pass"),
    ("that catches in a loop", "def poll():\n    while True:\n        pass\n"
     "while True:\n    try:\n        poll()\n    except:\n        pass"),
    ("that tries again", "while True:\n    try:\n        return open('/none').read()\n    except:\n        pass"),
    ("sleep(0)", "while True:\n    await asyncio.sleep(0)"),
    ("sleep(-1)", "while True:\n    await dwf.sleep(0)"),
    ("tasks without end", "async def more():\n    asyncio.create_task(more())\n"
     "await more()\nawait asyncio.Event().wait()"),
    ("callbacks without end", "loop = asyncio.get_running_loop()\ndef again():\n    loop.call_soon(again)\n"
     "again()\nawait asyncio.Event().wait()"),
    ("status for ever", "while True:\n    dwf.status('x')"),
    ("in finally", "try:\n    raise KeyError\nfinally:\n    while True:\n        pass"),
    ("at its import", "import time as t\nwhile True:\n    dwf.now()"),
]  # fmt: skip


def driven_with_a_short_limit(dwf: Terminal, run: str, seconds: float = 0.3) -> str:
    """Drive a run with a watchdog of less patience; the news of it."""
    store = Store.open(str(dwf.home))
    engine = Engine(store, Lanes(2), Codes(store), Hooks(store, wall_clock_us), watchdog=Watchdog(seconds))
    try:
        return drive(engine, run).news
    finally:
        engine.close()


@pytest.mark.parametrize("code", [loop[1] for loop in LOOPS], ids=[loop[0] for loop in LOOPS])
def test_workflow_code_that_never_waits_is_cut_off_and_the_run_blocked(dwf: Terminal, code: str) -> None:
    dwf.start(book(code), "one")
    began = time.monotonic()
    news = driven_with_a_short_limit(dwf, "one")
    assert time.monotonic() - began < 15
    assert "is blocked" in news and "one.py:" in news, news
    assert dwf.status("one") == "blocked"
    assert [event["type"] for event in dwf.events("one")] == ["WorkflowStarted", "RunBlocked"]
    assert dwf.typed("cancel", "one", "-m", "why").code == 0
    assert dwf.typed("terminate", "one", "-y", "-m", "mended elsewhere").code == 0
    driven_with_a_short_limit(dwf, "one")
    assert dwf.status("one") == "terminated"


def test_a_loop_that_never_waits_does_not_hold_up_the_other_runs_of_a_tick(dwf: Terminal) -> None:
    dwf.start(book("while True:\n    pass"), "bad")
    dwf.start(PLAIN, "good")
    tick = dwf.spawn("tick")
    try:
        until(lambda: dwf.status("good") == "completed", 8)
        assert tick.poll() is None
    finally:
        tick.kill()
        tick.communicate()
    driven_with_a_short_limit(dwf, "bad")
    assert dwf.status("bad") == "blocked"


# -- what it awaits and how it ends -----------------------------------------------------------------------------

AWAITS = [
    ("nothing that can happen", "await asyncio.Event().wait()", "waits for nothing"),
    ("a lock nobody frees", "lock = asyncio.Lock()\nawait lock.acquire()\nawait lock.acquire()", "waits for nothing"),
    ("itself", "await asyncio.current_task()", "one.py:6"),
    ("what is no awaitable", "await 3", "TypeError"),
    ("an odd awaitable", "class Odd:\n    def __await__(self):\n        yield 3\nawait Odd()", "one.py:"),
    ("an endless awaitable", "class Odd:\n    def __await__(self):\n        while True:\n            yield\n"
     "await Odd()", "one.py:"),
    ("a future of nobody", "import concurrent.futures\nawait asyncio.wrap_future(concurrent.futures.Future())", ""),
]  # fmt: skip


@pytest.mark.parametrize(("code", "said"), [case[1:] for case in AWAITS], ids=[case[0] for case in AWAITS])
def test_a_workflow_that_awaits_what_never_comes_is_blocked(dwf: Terminal, code: str, said: str) -> None:
    dwf.start(book(code), "one")
    news = driven_with_a_short_limit(dwf, "one")
    assert "is blocked" in news and said in news, news
    assert dwf.status("one") == "blocked"
    assert "one.py:" in dwf.events("one", "RunBlocked")[0]["message"]


def test_a_workflow_that_never_awaits_is_simply_done(dwf: Terminal) -> None:
    assert dwf.driven(book("return 42"), "one") == "completed"
    assert dwf.typed("result", "one").out == "42\n"


SWALLOWS = [
    ("a cancel once", "try:\n    await dwf.sleep('1h')\nexcept asyncio.CancelledError:\n    pass\nreturn 'went on'"),
    ("everything once", "try:\n    await dwf.sleep('1h')\nexcept BaseException:\n    pass\nreturn 'went on'"),
]


@pytest.mark.parametrize("code", [case[1] for case in SWALLOWS], ids=[case[0] for case in SWALLOWS])
def test_a_workflow_that_swallows_its_cancellation_ends_as_it_says(dwf: Terminal, code: str) -> None:
    dwf.driven(book(code), "one")
    dwf.typed("cancel", "one", "-m", "why")
    dwf.tick()
    assert dwf.status("one") == "completed"
    assert dwf.typed("result", "one").out == '"went on"\n'
    assert "cancel" in dwf.typed("history", "one").out.lower()


def test_a_workflow_that_swallows_everything_for_ever_holds_up_nobody(dwf: Terminal) -> None:
    code = "while True:\n    try:\n        await dwf.sleep('1h')\n    except BaseException:\n        pass"
    assert dwf.driven(book(code), "one") == "waiting"
    dwf.typed("cancel", "one", "-m", "why")
    began = time.monotonic()
    assert dwf.tick(code=None).err.count("\n") <= 1
    assert dwf.tick(code=None).err == ""
    assert time.monotonic() - began < 5
    assert dwf.status("one") in ("waiting", "blocked")
    assert len(dwf.events("one")) < 12
    dwf.typed("terminate", "one", "-y", "-m", "it will not go")
    dwf.tick()
    assert dwf.status("one") == "terminated"


def test_a_workflow_that_awaits_while_it_is_closed_leaves_no_trace(dwf: Terminal) -> None:
    code = "try:\n    await dwf.wait_signal('go')\nfinally:\n    await dwf.sh('true')\n    print('closed')"
    dwf.start(book(code), "one")
    assert dwf.process("tick").err == ""
    assert dwf.process("tick").err == ""
    assert [event["type"] for event in dwf.events("one")] == ["WorkflowStarted", "SignalWaitOpened"]


# -- what it returns and raises ---------------------------------------------------------------------------------

RETURNS = [
    ("an object", "return object()", "return value"),
    ("a lambda", "return lambda: 1", "return value"),
    ("NaN", "return float('nan')", "return value"),
    ("infinity inside", "return {'a': [float('inf')]}", "return value"),
    ("itself", "value = []\nvalue.append(value)\nreturn value", "return value"),
    ("a dict of itself", "value = {}\nvalue['self'] = value\nreturn value", "return value"),
    ("200 levels", "value = []\nfor _ in range(200):\n    value = [value]\nreturn value", "return value"),
    ("100 000 levels", "value = []\nfor _ in range(100_000):\n    value = [value]\nreturn value", "return value"),
    ("50 MB", "return 'x' * 50_000_000", "return value"),
    ("a lone surrogate", "return '\\ud800'", "return value"),
    ("odd keys", "return {(1, 2): 3}", "return value"),
    ("two keys of one text", "return {1: 'a', '1': 'b'}", "return value"),
    ("a coroutine", "return asyncio.sleep(1)", "return value"),
    ("an exception", "return ValueError('x')", "return value"),
    ("what breaks when it is asked", "class E(dict):\n    def items(self): raise KeyError('x')\nreturn E(a=1)",
     "raised KeyError"),
    ("5 000 digits", "return 10 ** 5000", "return value"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize(("code", "said"), [case[1:] for case in RETURNS], ids=[case[0] for case in RETURNS])
def test_a_result_that_cannot_be_stored_blocks_the_run(dwf: Terminal, code: str, said: str) -> None:
    why = dwf.blocked(book(code), "one")
    assert said in why
    assert len(why) < 20_000
    assert dwf.typed("show", "one").is_clean().code == 0


RAISES = [
    ("a bug", "{}['typo']", "KeyError"),
    ("sys.exit", "import sys\nsys.exit(3)", "SystemExit"),
    ("Ctrl-C", "raise KeyboardInterrupt", "KeyboardInterrupt"),
    ("a BaseException", "class E(BaseException): pass\nraise E('so')", "E: so"),
    ("GeneratorExit", "raise GeneratorExit", "GeneratorExit"),
    ("StopIteration", "raise StopIteration(3)", "StopIteration"),
    ("a cancellation of nobody", "raise asyncio.CancelledError", "CancelledError"),
    ("a broken __str__", "class E(Exception):\n    def __str__(self): raise ValueError\nraise E", "E"),
    ("a __str__ that is no text", "class E(Exception):\n    def __str__(self): return 3\nraise E", "E"),
    ("a __str__ that exits", "class E(Exception):\n    def __str__(self): raise SystemExit\nraise E", "E"),
    ("50 MB of words", "raise ValueError('x' * 50_000_000)", "ValueError"),
    ("ESC in its words", "raise ValueError('a\\x1b[31mb\\nc')", "ValueError"),
    ("a lone surrogate in its words", "raise ValueError('\\ud800')", "ValueError"),
    ("recursion", "def f(): f()\nf()", "RecursionError"),
    ("no memory", "raise MemoryError", "MemoryError"),
    ("a cause that is itself", "e = ValueError('x')\ne.__cause__ = e\nraise e", "ValueError"),
    ("a group of bugs", "raise BaseExceptionGroup('g', [KeyError('a'), SystemExit()])", ""),
    ("a class with an odd name", "raise type('E\\x1b[31m\\n', (Exception,), {})('x')", ""),
]  # fmt: skip


@pytest.mark.parametrize(("code", "said"), [case[1:] for case in RAISES], ids=[case[0] for case in RAISES])
def test_an_exception_that_is_no_failure_blocks_the_run_and_ends_nothing(dwf: Terminal, code: str, said: str) -> None:
    why = dwf.blocked(book(code), "one")
    assert said in why
    assert len(why) < 20_000
    for words in [("show", "one"), ("list",), ("history", "one", "--detailed"), ("inbox",)]:
        assert dwf.typed(*words).is_clean().code == 0


FAILS = [
    ("objects as details", "raise dwf.Failure('no', what=object(), fine=1)", "object object"),
    ("NaN as details", "raise dwf.Failure('no', value=float('nan'))", "nan"),
    ("itself as details", "value = []\nvalue.append(value)\nraise dwf.Failure('no', value=value)", "[...]"),
    ("details that break", "class E:\n    def __repr__(self): raise ValueError\n"
     "raise dwf.Failure('no', value=E())", "E"),
    ("50 MB of details", "raise dwf.Failure('no', value='x' * 50_000_000)", "x"),
    ("50 MB of words", "raise dwf.Failure('no' * 25_000_000)", "no"),
    ("no words", "raise dwf.Failure('')", ""),
    ("words that are no text", "raise dwf.Failure(object())", "object"),
    ("ESC in its words", "raise dwf.Failure('no\\x1b[31m')", "no"),
    ("a hint that is no text", "raise dwf.Failure('no', hint=3)", "no"),
    ("braces in its words", "raise dwf.Failure('no {what} {0} {')", "no {what} {0} {"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "said"), [case[1:] for case in FAILS], ids=[case[0] for case in FAILS])
def test_a_failure_is_recorded_whatever_it_carries(dwf: Terminal, code: str, said: str) -> None:
    assert dwf.driven(book(code), "one", code=1) == "failed"
    (event,) = dwf.events("one", "WorkflowFailed")
    assert said in str(event["error"])
    assert dwf.history("one").stat().st_size < 300_000
    for words in [("show", "one"), ("list",), ("history", "one", "--detailed")]:
        assert dwf.typed(*words).is_clean().code == 0
    assert dwf.refuses(1, "result", "one")

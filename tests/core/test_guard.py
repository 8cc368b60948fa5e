"""The guard: what a workflow may not reach is refused with line and cure, and nothing else is in anybody's way."""

# What a linter would have done otherwise is what is tried here.
# ruff: noqa: PTH100, PTH110, PTH111, PTH116, PTH118, PTH119, PTH208, SIM115, E721

from __future__ import annotations

import _thread
import asyncio
import datetime as dt
import email.utils
import getpass
import json
import logging
import os
import pathlib
import platform
import queue
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from os import environ, getenv
from pathlib import Path
from random import Random, randint
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import dwf
from dwf.core import guard, standins
from dwf.core.loop import Loop
from dwf.errors import BusyLoop, GuardError
from tests.core.driver import Fake, act, blocked

HERE = Path(__file__).name


def as_runbook(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it would be in a runbook's module: the names it reads stand behind proxies."""
    namespace = {
        name: globals()[name] for name in function.__code__.co_names + _inner_names(function) if name in globals()
    }
    namespace["__builtins__"] = __builtins__
    namespace["__name__"] = "runbook"
    standins.protect(namespace)
    clone = type(function)(function.__code__, namespace, function.__name__, function.__defaults__, function.__closure__)
    clone.__kwdefaults__ = function.__kwdefaults__
    return clone


def _inner_names(function: Callable[..., Any]) -> tuple[str, ...]:
    inner = [c for c in function.__code__.co_consts if hasattr(c, "co_names")]
    return tuple(name for code in inner for name in code.co_names)


def workflow_of(body: Callable[[], Any]) -> Callable[..., Any]:
    reach = as_runbook(body)

    async def main() -> Any:
        result = reach()
        return repr(await result if asyncio.iscoroutine(result) else result)[:200]

    return main


# -- what is refused ------------------------------------------------------------------------------------------------


async def _stream() -> None:
    await asyncio.open_connection("localhost", 1)


async def _server() -> None:
    await asyncio.start_server(print, "localhost", 0)


async def _process() -> None:
    await asyncio.create_subprocess_exec("true")


async def _shell() -> None:
    await asyncio.create_subprocess_shell("true")


async def _to_thread() -> None:
    await asyncio.to_thread(time.sleep, 0)


def _full() -> queue.Queue[int]:
    full: queue.Queue[int] = queue.Queue(1)
    full.put(1)
    return full


ELSEWHERE = threading.Thread(target=print)
LOCK = threading.Lock()
LOCK.acquire()
FREE = threading.Lock()
REFUSED: list[tuple[Callable[[], Any], str, str]] = [
    (lambda: time.time(), "time.time", "dwf.now()"),
    (lambda: time.monotonic(), "time.monotonic", "dwf.now()"),
    (lambda: time.localtime(), "time.localtime", "dwf.now()"),
    (lambda: time.strftime("%Y"), "time.strftime", "dwf.now()"),
    (lambda: time.sleep(0), "time.sleep", "await dwf.sleep"),
    (lambda: datetime.now(), "datetime.now", "dwf.now()"),
    (lambda: dt.datetime.now(dt.UTC), "datetime.now", "dwf.now()"),
    (lambda: datetime.utcnow(), "datetime.utcnow", "dwf.now()"),
    (lambda: datetime.today(), "datetime.today", "dwf.now()"),
    (lambda: date.today(), "date.today", "dwf.now()"),
    (lambda: dt.date.today(), "date.today", "dwf.now()"),
    (lambda: random.random(), "random.random", "dwf.random()"),
    (lambda: random.choice("ab"), "random.choice", "dwf.random()"),
    (lambda: randint(1, 6), "random.randint", "dwf.random()"),
    (lambda: Random(), "Random() without a seed", "dwf.random()"),
    (lambda: random.SystemRandom(), "SystemRandom()", "dwf.random()"),
    (lambda: uuid.uuid4(), "uuid.uuid4", "dwf.uuid4()"),
    (lambda: uuid.uuid1(), "uuid.uuid1", "dwf.uuid4()"),
    (lambda: os.environ["HOME"], "os.environ", "parameter of the workflow"),
    (lambda: environ.get("HOME"), "os.environ", "parameter of the workflow"),
    (lambda: len(environ), "os.environ", "parameter of the workflow"),
    (lambda: "HOME" in os.environ, "os.environ", "parameter of the workflow"),
    (lambda: os.getenv("HOME"), "os.getenv", "parameter of the workflow"),
    (lambda: getenv("HOME"), "os.getenv", "parameter of the workflow"),
    (lambda: os.urandom(4), "os.urandom", "dwf.random()"),
    (lambda: os.getpid(), "os.getpid", "activity"),
    (lambda: os.path.exists("/"), "os.path.exists", "activity"),
    (lambda: os.listdir("/"), "os.listdir", "activity"),
    (lambda: os.system("true"), "os.system", "activity"),
    (lambda: open("/etc/hostname"), "open('/etc/hostname')", "activity"),
    (lambda: Path("/etc/hostname").read_text(), "open('/etc/hostname')", "activity"),
    (lambda: Path("/tmp/x").write_text("x"), "open('/tmp/x')", "activity"),
    (lambda: list(Path("/").iterdir()), "os.", "activity"),
    (lambda: Path("/tmp/no such").unlink(), "os.remove", "activity"),
    (lambda: socket.socket(), "socket.__new__", "activity"),
    (lambda: socket.gethostbyname("localhost"), "socket.gethostbyname", "activity"),
    (lambda: subprocess.run(["true"]), "subprocess.Popen('true')", "activity"),
    (lambda: subprocess.check_output("true", shell=True), "subprocess.Popen", "activity"),
    (lambda: tempfile.mkdtemp(), "", "activity"),
    (lambda: tempfile.NamedTemporaryFile(), "", "activity"),
    (lambda: threading.Thread(target=print).start(), "starting a thread", "asyncio.gather over activities"),
    (lambda: __import__("sqlite3").connect(":memory:"), "sqlite3.connect", "activity"),
    (lambda: __import__("shutil").rmtree("/tmp/no such"), "shutil.rmtree", "activity"),
    (lambda: input(), "builtins.input", "wait_signal"),
    (lambda: Path("/etc").exists(), "Path.exists", "activity"),
    (lambda: Path("/etc").is_file(), "Path.is_file", "activity"),
    (lambda: Path("/etc").is_dir(), "Path.is_dir", "activity"),
    (lambda: Path("/etc").is_symlink(), "Path.is_symlink", "activity"),
    (lambda: Path("/etc").is_mount(), "Path.is_mount", "activity"),
    (lambda: Path("/etc").stat(), "Path.stat", "activity"),
    (lambda: Path("/etc").lstat(), "Path.lstat", "activity"),
    (lambda: Path("/etc").owner(), "Path.owner", "activity"),
    (lambda: Path("/etc").samefile("/"), "Path.samefile", "activity"),
    (lambda: Path("/etc").resolve(), "Path.resolve", "activity"),
    (lambda: Path("a").absolute(), "Path.absolute", "parameter of the workflow"),
    (lambda: Path.cwd(), "Path.cwd", "parameter of the workflow"),
    (lambda: Path.home(), "Path.", "activity"),
    (lambda: Path("~/a").expanduser(), "Path.expanduser", "activity"),
    (lambda: list(Path("/etc").glob("*")), "", "activity"),
    (lambda: list(Path("/etc").rglob("*")), "", "activity"),
    (lambda: Path("/tmp/x").open("w"), "open('/tmp/x')", "activity"),
    (lambda: Path("/etc/hostname").read_bytes(), "open('/etc/hostname')", "activity"),
    (lambda: Path("/tmp/x").write_bytes(b"x"), "open('/tmp/x')", "activity"),
    (lambda: Path("/no such/x").mkdir(), "os.mkdir", "activity"),
    (lambda: Path("/no such/x").touch(), "", "activity"),
    (lambda: Path("/no such/x").rename("/no such/y"), "os.rename", "activity"),
    (lambda: Path("/no such/x").rmdir(), "os.rmdir", "activity"),
    (lambda: Path("/no such/x").chmod(0o600), "os.chmod", "activity"),
    (lambda: Path("/no such/x").symlink_to("y"), "os.symlink", "activity"),
    (lambda: os.path.abspath("a"), "os.path.abspath", "parameter of the workflow"),
    (lambda: os.stat("/"), "os.stat", "activity"),
    (lambda: os.write(1, b""), "os.write", "activity"),
    (lambda: os._exit(3), "os._exit", "dwf.Failure"),
    (lambda: os.waitpid(-1, 0), "os.waitpid", "dwf.wait_signal"),
    (lambda: shutil.which("ls"), "shutil.which", "activity"),
    (lambda: __import__("configparser").__dict__["os"].stat("/"), "os.stat", "activity"),
    (lambda: shutil.disk_usage("/"), "shutil.disk_usage", "activity"),
    (lambda: getpass.getuser(), "getpass.getuser", "parameter of the workflow"),
    (lambda: platform.node(), "platform.node", "parameter of the workflow"),
    (lambda: platform.uname(), "platform.uname", "parameter of the workflow"),
    (lambda: sys.stdin.readline(), "sys.stdin", "wait_signal"),
    (lambda: list(sys.stdin), "sys.stdin", "wait_signal"),
    (lambda: _thread.start_new_thread(print, ()), "_thread.start_new_thread", "asyncio.gather"),
    (lambda: email.utils.formatdate(), "email.utils.formatdate", "dwf.now()"),
    (lambda: email.utils.make_msgid(), "email.utils.make_msgid", "dwf.uuid4()"),
    (lambda: signal.alarm(1), "signal.alarm", "asyncio.timeout"),
    (lambda: signal.pause(), "signal.pause", "dwf.wait_signal"),
    (lambda: signal.sigwait([signal.SIGUSR1]), "signal.sigwait", "dwf.wait_signal"),
    (lambda: select.select([], [], [], 1), "select.select", "dwf.wait_signal"),
    (lambda: queue.Queue().get(), "stops the thread", "asyncio.Queue"),
    (lambda: _full().put(1), "stops the thread", "asyncio.Queue"),
    (lambda: threading.Event().wait(2), "stops the thread", "asyncio.Event"),
    (lambda: threading.Semaphore(0).acquire(), "stops the thread", "asyncio.Lock"),
    (lambda: threading.Barrier(2).wait(), "stops the thread", "asyncio.Event"),
    (lambda: Future().result(), "stops the thread", "asyncio.Event"),
    (lambda: ELSEWHERE.join(), "waiting for a thread", "asyncio.Event"),
    (lambda: [lock.acquire() for lock in [threading.Lock()] * 2], "a lock that is taken", "asyncio.Lock"),
    (lambda: LOCK.acquire(), "a lock that is taken", "asyncio.Lock"),
    (lambda: LOCK.acquire(timeout=3), "a lock that is taken", "asyncio.Lock"),
    (_stream, "a network stream of asyncio", "activity"),
    (_server, "asyncio's", "activity"),
    (_process, "asyncio's subprocess_exec", "activity"),
    (_shell, "asyncio's subprocess_shell", "activity"),
    (_to_thread, "asyncio's run_in_executor", "activity"),
]


@pytest.mark.parametrize(("reach", "what", "cure"), REFUSED, ids=lambda v: v if isinstance(v, str) else "")
def test_it_is_refused_with_its_line_and_the_cure(reach: Callable[[], Any], what: str, cure: str) -> None:
    error = blocked(workflow_of(reach))
    assert isinstance(error, GuardError)
    line = reach.__code__.co_firstlineno
    assert f"({HERE}:{line}" in str(error) or f"({HERE}:{line + 1})" in str(error)
    assert what in error.what and cure in error.cure


LOOP_METHODS = [
    name
    for name in dir(Loop)
    if getattr(getattr(Loop, name), "__qualname__", "").startswith("_refused.") and not name.startswith("_")
]


def test_all_methods_that_lead_outside_are_refused() -> None:
    theirs = {name for name in dir(asyncio.AbstractEventLoop) if not name.startswith("_")}
    ours = {"time", "is_running", "is_closed", "get_debug", "call_soon", "call_later", "call_at", "create_future"}
    ours |= {"create_task", "get_task_factory", "get_exception_handler", "call_exception_handler"}
    assert theirs - ours == set(LOOP_METHODS)


@pytest.mark.parametrize("name", LOOP_METHODS)
def test_a_method_of_the_loop_is_refused_by_name(name: str) -> None:
    async def main() -> None:
        getattr(asyncio.get_running_loop(), name)(print)

    error = blocked(main)
    assert isinstance(error, GuardError)
    assert error.what == f"asyncio's {name}" and HERE in error.where and error.cure


def test_tasks_that_start_at_once_are_refused() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_task(act("a"), eager_start=True)  # type: ignore[call-arg]

    assert isinstance(blocked(main), GuardError)


# -- sticky ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["body", "task", "later"])
def test_swallowing_the_error_does_not_help(where: str) -> None:
    async def reach() -> None:
        try:
            open("/etc/hostname")
        except BaseException:
            pass
        await act("as if nothing had happened")

    async def main() -> Any:
        if where == "later":
            await act("first")
        await (asyncio.create_task(reach()) if where == "task" else reach())
        return "done"

    with Fake(main) if where == "later" else _unstarted(main) as run:
        with pytest.raises(GuardError, match="/etc/hostname"):
            if where == "later":
                run.complete("first")
            else:
                run.start()
        assert "act as if nothing had happened" not in run.asked
        with pytest.raises(GuardError):
            run.replay.apply([])


class _unstarted(Fake):  # noqa: N801
    def __enter__(self) -> Fake:
        return self


def test_nothing_more_of_a_void_activation_is_run() -> None:
    turns: list[int] = []

    async def main() -> None:
        while True:
            try:
                time.sleep(0)
            except Exception:
                turns.append(1)
            await asyncio.sleep(0)

    error = blocked(main)
    assert isinstance(error, GuardError) and not isinstance(error, BusyLoop)
    assert turns == [1]


# -- what passes ----------------------------------------------------------------------------------------------------


@dataclass
class Window:
    begin: datetime
    end: datetime | None = None
    names: list[str] = field(default_factory=list)


def _with(lock: Any) -> bool:
    with lock:
        return True


def annotated(when: datetime, day: date | None = None) -> datetime:
    return when


def _imports() -> Any:
    import colorsys
    import email.message
    from xml.dom import minidom

    return colorsys, email.message, minidom


def _logs() -> None:
    logging.getLogger("runbook").warning("hello")


def _warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.warn("hm", stacklevel=1)


def _match() -> str:
    match dt.datetime(2026, 1, 1):
        case datetime(year=2026):
            return "matched"
    return "not"


def _derived() -> Any:
    class Mine(datetime):
        pass

    return isinstance(Mine(2026, 1, 1), Mine), Mine(2026, 1, 1).year


PASSES: list[Callable[[], Any]] = [
    _imports,
    _logs,
    _warns,
    lambda: Window(datetime(2026, 1, 1)),
    lambda: json.dumps({"a": json.loads("[1]")}),
    lambda: __import__("re").sub("a+", "b", "caat"),
    lambda: Path("/etc") / "nginx" / "x.conf",
    lambda: pathlib.PurePosixPath("/a/b").with_suffix(".c").parent,
    lambda: os.path.join("a", "b") + os.sep + os.path.basename("/x/y"),
    lambda: datetime(2026, 1, 1) + timedelta(days=1),
    lambda: datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
    lambda: datetime.strptime("2026", "%Y"),
    lambda: datetime.combine(date(2026, 1, 1), dt.time(1)),
    lambda: date(2026, 1, 1).isoformat(),
    lambda: annotated(datetime(2026, 1, 1)),
    lambda: time.gmtime(0),
    lambda: time.strftime("%Y", time.gmtime(0)),
    lambda: Random(5).random(),
    lambda: random.Random("seed").choice("abc"),
    lambda: uuid.uuid5(uuid.NAMESPACE_DNS, "web1"),
    lambda: str(uuid.UUID(int=5)),
    lambda: ZoneInfo("Europe/Berlin").utcoffset(datetime(2026, 7, 1)),
    lambda: datetime(2026, 3, 29, 1, 30, tzinfo=ZoneInfo("Europe/Berlin")).isoformat(),
    lambda: __import__("traceback").format_stack(),
    lambda: sys.version_info,
    lambda: threading.Lock().acquire(blocking=False),
    lambda: LOCK.acquire(blocking=False) or LOCK.locked(),
    lambda: _with(FREE),
    lambda: _with(threading.RLock()),
    lambda: threading.Condition(threading.Lock()).notify,
    lambda: threading.Event().wait(0),
    lambda: (_full().get(), queue.Queue().qsize()),
    lambda: Path("/etc/a.b").absolute().relative_to("/etc").stem,
    lambda: Path("/etc").joinpath("x").expanduser().as_posix(),
    lambda: os.path.abspath("/etc/../x"),
    lambda: email.utils.formatdate(0) + email.utils.formatdate(timeval=0),
    lambda: email.utils.parseaddr("a <a@b>"),
    lambda: platform.python_version(),
    lambda: sys.maxsize + len(sys.argv),
    lambda: shutil.ignore_patterns("*.pyc"),
    lambda: signal.SIGTERM.name + signal.Signals(2).name,
    lambda: __import__("argparse").ArgumentParser("x").parse_args([]),
    lambda: __import__("inspect").getsource(_full),
]
TRUE: list[Callable[[], Any]] = [
    lambda: isinstance(datetime(2026, 1, 1), datetime),
    lambda: isinstance(datetime(2026, 1, 1), dt.datetime),
    lambda: isinstance(datetime(2026, 1, 1), date),
    lambda: isinstance(date(2026, 1, 1), date | datetime),
    lambda: not isinstance(5, datetime),
    lambda: issubclass(datetime, date),
    lambda: not issubclass(int, date),
    lambda: datetime == type(datetime(2026, 1, 1)),
    lambda: dt.datetime is dt.datetime,
    lambda: {datetime: 1}[type(datetime(2026, 1, 1))] == 1,
    lambda: type(datetime(2026, 1, 1)).__name__ == datetime.__name__,
    lambda: datetime.min < datetime.max,
    lambda: isinstance(Random(1), Random),
    lambda: _match() == "matched",
    lambda: _derived() == (True, 2026),
    lambda: isinstance(environ, __import__("collections").abc.MutableMapping),
]


@pytest.mark.parametrize("innocent", PASSES)
def test_what_is_innocent_passes(innocent: Callable[[], Any]) -> None:
    with Fake(workflow_of(innocent)) as run:
        assert run.outcome is not None


@pytest.mark.parametrize("claim", TRUE)
def test_the_stand_ins_are_what_they_stand_for(claim: Callable[[], Any]) -> None:
    with Fake(workflow_of(claim)) as run:
        assert run.result == "True"


def test_logging_to_a_file_that_is_opened_late_passes(tmp_path: Path) -> None:
    handler = logging.FileHandler(tmp_path / "log", delay=True)
    logger = logging.getLogger("late")
    logger.addHandler(handler)

    async def main() -> None:
        logger.warning("hello")

    try:
        with Fake(main) as run:
            assert run.outcome is not None
    finally:
        handler.close()
        logger.removeHandler(handler)


# -- where it is not active -----------------------------------------------------------------------------------------


def reach_out() -> list[Any]:
    time.sleep(0)
    with open(__file__) as file:
        file.readline()
    seen = [time.time(), datetime.now(), date.today(), random.random(), uuid.uuid4(), os.getenv("HOME"), getenv("PATH")]
    seen += [
        environ["PATH"],
        dict(os.environ)["PATH"],
        {**environ}["PATH"],
        os.environ.copy()["PATH"],
        Random().random(),
    ]
    seen += [Path(__file__).exists(), Path.home(), Path.cwd(), shutil.which("sh"), os.path.expanduser("~")]
    seen += [getpass.getuser(), platform.node(), email.utils.formatdate(), sys.stdin is not None, _with(FREE)]
    seen += [threading.Event().wait(0.001), threading.Lock().acquire(timeout=1), os.stat(__file__)]
    environ["DWF_TEST"] = "1"
    del environ["DWF_TEST"]
    return seen


def test_outside_of_workflows_the_stand_ins_do_what_the_originals_do() -> None:
    assert all(value is not None for value in as_runbook(reach_out)())


def test_other_threads_are_not_watched_while_a_workflow_runs() -> None:
    seen: list[Any] = []
    go, done = threading.Event(), threading.Event()

    def elsewhere() -> None:
        go.wait(10)
        seen.extend(as_runbook(reach_out)())
        done.set()

    thread = threading.Thread(target=elsewhere)
    thread.start()

    async def main() -> str:
        go.set()
        with guard.suspended():
            done.wait(10)
        return "done"

    with Fake(main) as run:
        assert run.result == "done"
    thread.join()
    assert seen


def test_two_threads_can_be_inside_workflows_at_once() -> None:
    inside, together = [], threading.Barrier(2)

    def one(number: int) -> None:
        async def main() -> int:
            with guard.suspended():
                together.wait(10)
            try:
                open("/etc/hostname")
            except GuardError:
                pass
            with guard.suspended():
                together.wait(10)
            return number

        inside.append(type(blocked(main)))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == [GuardError, GuardError]
    assert __import__("gc").isenabled()


def test_dwf_once_may_reach_out() -> None:
    async def main() -> bool:
        once = as_runbook(reach_out)
        return bool(dwf.once(lambda: len(once()), name="reach"))

    with Fake(main) as run:
        assert run.result is True


def test_after_a_workflow_the_guard_is_off_again() -> None:
    blocked(workflow_of(lambda: time.time()))
    assert not guard.active()
    assert as_runbook(reach_out)()


def test_the_originals_are_kept_for_annotations_and_a_second_protection_changes_nothing() -> None:
    namespace: dict[str, Any] = {"datetime": datetime, "time": time, "x": 5}
    standins.protect(namespace)
    before = dict(namespace)
    standins.protect(namespace)
    assert namespace["datetime"] is before["datetime"]
    assert namespace["__dwf_real__"] == {"datetime": datetime, "time": time}
    assert namespace["__dwf_real__"]["datetime"] is datetime


def test_a_function_of_the_same_name_from_elsewhere_is_left_alone() -> None:
    def choice() -> None: ...

    mine = Random(5)
    namespace: dict[str, Any] = {"choice": choice, "random": mine.random, "sample": mine.sample}
    standins.protect(namespace)
    assert namespace["choice"] is choice and namespace["sample"] == mine.sample
    assert namespace["random"] == mine.random


def test_the_time_of_the_loop_is_the_runs_own() -> None:
    async def main() -> float:
        await dwf.sleep("10s")
        return asyncio.get_running_loop().time()

    with Fake(main) as run:
        run.fire()
        assert 10 <= run.result < 10.1


def test_what_is_set_in_a_module_is_set_there_and_not_in_its_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    namespace: dict[str, Any] = {"sys": sys}
    standins.protect(namespace)
    monkeypatch.setattr(sys, "ps1", "before", raising=False)
    namespace["sys"].ps1 = "after"
    assert sys.ps1 == "after" == namespace["sys"].ps1


def test_what_a_function_of_the_system_can_do_is_still_known() -> None:
    """Fails when shutil.copystat or rmtree fall back to less careful ways because os.stat is another one."""
    guard.install()
    assert os.stat in os.supports_fd and os.stat in os.supports_dir_fd and os.stat in os.supports_follow_symlinks
    assert os.access in os.supports_effective_ids or not os.supports_effective_ids

"""The deterministic event loop: asyncio's own tools, driven by events instead of a clock and sockets.

A workflow's coroutine runs on this loop, so `gather`, `timeout`, `TaskGroup`, `Queue`, `Lock` and `shield` are the
standard library's. What makes them durable: time is the time of the last event, a timer is a command, and everything
that could bring chance in (hashes of futures, task names, the order of ready callbacks) is a count. Whatever reaches
the outside raises GuardError with the cure.

Nothing in here knows events or histories; it asks its `TimerHost` to start and cancel timers.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Protocol

from dwf.core import guard, waiting
from dwf.core.duration import SECOND
from dwf.errors import BusyLoop, ScriptError, ValueRefused

# More callbacks than any real activation needs; `while True: await sleep(0)` reaches it in a fraction of a second.
CALLBACK_BUDGET = 1_000_000


class Closed(BaseException):
    """Private. Raised at every door while a run is being closed, so that no `except Exception` can catch it."""


class TimerHost(Protocol):
    """What the loop asks of the replay it belongs to."""

    closing: bool

    def seconds(self) -> float:
        """Time of the last event delivered, in seconds since the run started."""

    def start_timer(self, fire_at_us: int, purpose: str, fire: Callable[[], None]) -> int:
        """Issue a timer command for that many microseconds after the start; its number."""

    def cancel_timer(self, number: int) -> None:
        """Issue the command that cancels it."""

    def where(self) -> str:
        """The line of the script that is running now."""

    def refuse(self, error: ScriptError) -> None:
        """Make this activation void."""


class WorkflowFuture(asyncio.Future[Any]):
    """A future whose hash is its birth number, so that sets of futures have one order in every process."""

    def __init__(self, *, loop: Loop) -> None:
        self.birth = loop.next_birth()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.birth


class WorkflowTask(asyncio.Task[Any]):
    """A task whose hash and default name are its birth number."""

    def __init__(self, coro: Any, *, loop: Loop, name: str | None, context: contextvars.Context | None) -> None:
        self.birth = loop.next_birth()
        super().__init__(coro, loop=loop, name=name or f"t{self.birth}", context=context)

    def __hash__(self) -> int:
        return self.birth


class WorkflowTimer(asyncio.TimerHandle):
    """A durable timer: started by a command, fired by an event."""

    number = 0


class Loop(asyncio.AbstractEventLoop):
    """An event loop that runs until every task is blocked, and then returns."""

    def __init__(self, host: TimerHost, runtime: object) -> None:
        self.dwf_runtime = runtime
        self._host = host
        self._ready: deque[asyncio.Handle] = deque()
        self._births = 0
        self._tasks: list[WorkflowTask] = []
        self._generators: list[AsyncGenerator[Any, Any]] = []
        self.callback_error: BaseException | None = None

    # -- what asyncio asks of a loop ----------------------------------------------------------------------------

    def time(self) -> float:
        return self._host.seconds()

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> WorkflowTimer:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> WorkflowTimer:
        if math.isnan(when):
            raise ValueRefused(what="a delay", why="it is NaN")
        self._refuse_when_closing()
        timer = WorkflowTimer(when, callback, args, self, context)
        if when <= self.time():
            self._ready.append(timer)
        elif when != math.inf:
            timer.number = self._host.start_timer(
                rounded_up(when), _purpose(callback), lambda: self._ready.append(timer)
            )
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        number = getattr(handle, "number", 0)
        if number and not self._host.closing:
            self._host.cancel_timer(number)

    def create_future(self) -> WorkflowFuture:
        self._refuse_when_closing()
        return WorkflowFuture(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, Any] | Any,
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **more: Any,
    ) -> WorkflowTask:
        if self._host.closing:
            coro.close()
            raise Closed
        if more.get("eager_start"):
            raise guard.refusal(self._host, "eager_start", "leave it out")
        task = WorkflowTask(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        if len(self._tasks) > 256:
            self._tasks = [t for t in self._tasks if not t.done() or t._log_traceback]  # type: ignore[attr-defined]
        return task

    def get_task_factory(self) -> None:
        return None

    def get_exception_handler(self) -> None:
        return None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if "handle" in context and isinstance(error, BaseException):
            self.callback_error = self.callback_error or error

    def next_birth(self) -> int:
        self._births += 1
        return self._births

    def _refuse_when_closing(self) -> None:
        if self._host.closing:
            raise Closed

    # -- what the replay asks of it -----------------------------------------------------------------------------

    def run_until_blocked(self, main: asyncio.Task[Any]) -> None:
        """Run everything that is ready, and stop at the moment `main` is done. Raises BusyLoop over the budget."""
        ready = self._ready
        budget = CALLBACK_BUDGET
        while ready:
            handle = ready.popleft()
            if handle._cancelled:  # type: ignore[attr-defined]
                continue
            budget -= 1
            if not budget:
                raise BusyLoop(what=f"{CALLBACK_BUDGET:,} callbacks in one go", where=self._host.where())
            try:
                handle._run()  # type: ignore[attr-defined]
            except (SystemExit, KeyboardInterrupt):
                # asyncio lets these two out of the loop, which would end all other runs; the task holds them too.
                pass
            if main.done():
                ready.clear()
                return

    def enter(self) -> Any:
        """Make this the running loop of the thread; the result is for `leave`."""
        before = asyncio._get_running_loop(), sys.get_asyncgen_hooks()
        asyncio._set_running_loop(self)
        # Generators are kept alive with the run: the collector must not decide when their `finally` runs.
        sys.set_asyncgen_hooks(firstiter=self._generators.append, finalizer=_ignore)
        return before

    @staticmethod
    def leave(before: Any) -> None:
        loop, hooks = before
        asyncio._set_running_loop(loop)
        sys.set_asyncgen_hooks(*hooks)

    def unawaited_errors(self) -> list[BaseException]:
        """Exceptions of finished background tasks that nobody has looked at."""
        found = []
        for task in self._tasks:
            if task.done() and task._log_traceback and not task.cancelled():  # type: ignore[attr-defined]
                error = task.exception()
                if error is not None:
                    found.append(error)
        return found

    def live_tasks(self) -> list[WorkflowTask]:
        return [task for task in self._tasks if not task.done()]

    def close_all(self) -> None:
        """Throw Closed's cousin GeneratorExit into whatever still waits, last born first, bounded rounds.

        Without this a blocked coroutine is a reference cycle, and the collector would run its `finally:` whenever it
        likes, inside another run's activation.
        """
        for _ in range(10):
            waiting_tasks = self.live_tasks()
            for task in reversed(waiting_tasks):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _close_quietly(task.get_coro().close)  # type: ignore[union-attr]
            for generator in reversed(self._generators):
                _close_quietly(generator.aclose().send, None)
            self._generators.clear()
            self._ready.clear()
            if len(self.live_tasks()) == len(waiting_tasks):
                break
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.exception()  # marks it as looked at
        self._tasks.clear()


def rounded_up(seconds: float) -> int:
    """Seconds as microseconds, never earlier than asked: else `while time() < d: await sleep(d - time())` hangs."""
    result = math.ceil(seconds * SECOND)
    while result / SECOND < seconds:
        result += 1
    return result


def _purpose(callback: Callable[..., Any]) -> str:
    name = getattr(callback, "__name__", "")
    return {"_set_result_unless_cancelled": "sleep", "_on_timeout": "timeout"}.get(name, "timer")


def _ignore(_: object) -> None:
    pass


def _close_quietly(close: Callable[..., Any], *args: Any) -> None:
    try:
        close(*args)
    except BaseException:  # noqa: S110 - closing: whatever the script still says is of no consequence
        pass


# -- what the loop refuses ----------------------------------------------------------------------------------------

_ACTIVITY = "do it in an activity: @dwf.activity, dwf.step(...) or dwf.sh(...)"
_OWN = "the loop belongs to dwf; leave this out"
_REFUSED = {
    **dict.fromkeys(
        (
            "run_in_executor create_connection create_datagram_endpoint create_unix_connection create_server "
            "create_unix_server connect_accepted_socket start_tls sendfile getaddrinfo getnameinfo subprocess_exec "
            "subprocess_shell connect_read_pipe connect_write_pipe sock_recv sock_recv_into sock_recvfrom "
            "sock_recvfrom_into sock_sendall sock_sendto sock_sendfile sock_connect sock_accept add_reader "
            "remove_reader add_writer remove_writer"
        ).split(),
        _ACTIVITY,
    ),
    "call_soon_threadsafe": "threads cannot talk to a workflow; send it a signal: dwf signal RUN NAME",
    "add_signal_handler": "wait for a signal of dwf: await dwf.wait_signal(name)",
    "remove_signal_handler": "wait for a signal of dwf: await dwf.wait_signal(name)",
    **dict.fromkeys(
        (
            "run_forever run_until_complete stop close set_debug set_exception_handler default_exception_handler "
            "set_task_factory set_default_executor shutdown_asyncgens shutdown_default_executor"
        ).split(),
        _OWN,
    ),
}


def _refusal(name: str, cure: str) -> Callable[..., Any]:
    def refuse(self: Loop, *args: Any, **kwargs: Any) -> Any:
        raise guard.refusal(self._host, f"asyncio's {name}", cure)

    refuse.__name__ = name
    return refuse


for _name, _cure in _REFUSED.items():
    setattr(Loop, _name, _refusal(_name, _cure))
Loop.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]

waiting.install(Loop)

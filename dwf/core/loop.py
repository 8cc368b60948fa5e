"""The deterministic event loop: asyncio's own tools, driven by events instead of a clock and sockets.

A workflow's coroutine runs on this loop, so `timeout`, `TaskGroup`, `Queue`, `Lock` and `shield` are the standard
library's. What makes them durable: time is the time of the last event, a timer is a command, and everything that could
bring chance in (hashes of futures, task names, the order of ready callbacks) is a count. Whatever reaches the outside
raises GuardError with the cure (refused.py); what differs between releases of Python is replaced (waiting.py, sync.py).

Nothing in here knows events or histories; it asks its `TimerHost` to start and cancel timers.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from types import FrameType
from typing import Any, Protocol, TypeVarTuple

from dwf.core import guard
from dwf.core.banned import IN_ACTIVITY
from dwf.core.closing import Detached, Doors, close, suspended
from dwf.core.duration import rounded_up
from dwf.core.refused import NoOutside
from dwf.core.tasks import Ready, WorkflowFuture, WorkflowTask
from dwf.errors import BusyLoop, DwfError, InternalError, ValueRefused

_Ts = TypeVarTuple("_Ts")
# More callbacks than any real activation needs; `while True: await sleep(0)` reaches it in a fraction of a second.
CALLBACK_BUDGET = 1_000_000


class TimerHost(guard.Guarded, Protocol):
    """What the loop asks of the replay it belongs to."""

    closing: bool
    reader: str
    """Not empty while code runs that may only look."""
    void: DwfError | None
    """Set once the activation counts for nothing."""

    def seconds(self) -> float:
        """Time of the last event delivered, in seconds since the run started."""

    def start_timer(self, fire_at_us: int, purpose: str, fire: Callable[[], None]) -> int:
        """Issue a timer command for that many microseconds after the start; its number."""

    def cancel_timer(self, number: int) -> None:
        """Issue the command that cancels it."""

    def check_usable(self) -> None:
        """Raise what ends this activation, if anything does."""

    def is_script(self, filename: str) -> bool:
        """Whether code of that file is the script's own."""

    def waiting_at(self, tasks: Sequence[WorkflowTask]) -> str:
        """Where the first of those tasks waits, in the script's own lines."""

    def stop_at_bug(self, error: BaseException) -> None:
        """Make the activation void if that exception is a bug by its nature."""


class WorkflowTimer(asyncio.TimerHandle):
    """A durable timer: started by a command, fired by an event."""

    number = 0


class Loop(NoOutside):
    """An event loop that runs until every task is blocked, and then returns."""

    host: TimerHost

    def __init__(self, host: TimerHost, runtime: object) -> None:
        super().__init__(host)
        self.dwf_runtime = runtime
        self.expects_birth = False
        self.callback_error: BaseException | None = None
        self.doors = Doors()
        self._ready: deque[asyncio.Handle] = deque()
        self._births = self._hashes = 0
        self._tasks: list[WorkflowTask] = []
        self._gatherings: list[WorkflowFuture] = []
        self._generators: list[AsyncGenerator[Any, Any]] = []
        self._tasks_limit = self._gatherings_limit = self._generators_limit = 256

    # -- what asyncio asks of a loop ----------------------------------------------------------------------------

    def time(self) -> float:
        return self.host.seconds()

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def get_debug(self) -> bool:
        # Every future and task asks its loop this when it is born, of whatever class: so one that this loop has not
        # made is seen here. Its hash would be an address, which is chance.
        if self.expects_birth:
            self.expects_birth = False
        else:
            self._refuse_by_hand(sys._getframe(1))
        return False

    def _refuse_by_hand(self, maker: FrameType | None) -> None:
        what = "asyncio.Future() or asyncio.Task() made by hand"
        cure = "use asyncio.get_running_loop().create_future() or asyncio.create_task()"
        while maker is not None and maker.f_globals.get("__name__", "").startswith("asyncio."):
            if maker.f_globals["__name__"] == "asyncio.events":
                return  # a handle
            if maker.f_globals["__name__"] == "asyncio.streams":
                what, cure = "a network stream of asyncio", IN_ACTIVITY
            maker = maker.f_back
        if maker is not None and self.host.is_script(maker.f_code.co_filename):
            raise guard.refusal(self.host, what, cure)

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = Ready(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        if math.isnan(when):
            raise ValueRefused(what="a delay", why="it is NaN")
        self._refuse_when_closing()
        timer = WorkflowTimer(when, callback, args, self, context)
        if when <= self.time() or self.host.closing:
            self._ready.append(timer)
        elif when != math.inf:
            due = rounded_up(when)
            timer.number = self.host.start_timer(due, _purpose(callback), lambda: self._ready.append(timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        number = getattr(handle, "number", 0)
        if number and not self.host.closing:
            self.host.cancel_timer(number)

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
        if self.host.closing:
            coro.close()
            self.doors.knock()
            return self.create_future()  # type: ignore[return-value]  # never done
        if self.host.reader:
            coro.close()
            self.host.check_usable()
        if more.get("eager_start"):
            coro.close()
            raise guard.refusal(self.host, "eager_start", "leave it out")
        task = WorkflowTask(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        if len(self._tasks) > self._tasks_limit:
            self._tasks = [t for t in self._tasks if not t.done() or _unseen(t)]
            self._tasks_limit = 2 * len(self._tasks) + 256
        return task

    def get_task_factory(self) -> None:
        return None

    def get_exception_handler(self) -> None:
        return None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Exceptions that nobody awaited are looked for when the script is done, not when they are collected."""

    def _refuse_when_closing(self) -> None:
        if self.host.closing:
            self.doors.knock()
        elif self.host.reader:
            self.host.check_usable()

    # -- counts ---------------------------------------------------------------------------------------------------

    def next_birth(self) -> int:
        """The number of the next task."""
        self._births += 1
        return self._births

    def next_hash(self) -> int:
        """A hash for a future that is not a task. Negative, so that it is no task's."""
        self._hashes += 1
        return -1 - self._hashes

    # -- what the replay asks of it -----------------------------------------------------------------------------

    def run_until_blocked(self, main: asyncio.Task[Any]) -> None:
        """Run everything that is ready; stop at the moment `main` is done or the activation void. Raises BusyLoop."""
        ready, host = self._ready, self.host
        budget = CALLBACK_BUDGET
        while ready:
            handle = ready.popleft()
            if handle._cancelled:
                continue
            budget -= 1
            if not budget:
                where = host.waiting_at(self.live_tasks())
                raise BusyLoop(what=f"{CALLBACK_BUDGET:,} callbacks in one go", where=where)
            try:
                handle._context.run(handle._callback, *handle._args)  # type: ignore[attr-defined]
            except BaseException as error:
                # A task lets SystemExit and KeyboardInterrupt out, which would end all other runs; it holds them too.
                if not any(task.done() and task._exception is error for task in self._tasks):
                    self.callback_error = self.callback_error or error
            if main.done() or host.void is not None:
                ready.clear()
                return

    def enter(self) -> Any:
        """Make this the running loop of the thread; the result is for `leave`."""
        before = asyncio._get_running_loop(), sys.get_asyncgen_hooks()
        if before[0] is not None:
            # From 3.14 on a thread has one current task: a workflow's would be taken for the caller's.
            raise InternalError(what="a workflow was to run inside another event loop; call this from plain code")
        asyncio._set_running_loop(self)
        # Generators are kept alive with the run: the collector must not decide when their `finally` runs.
        sys.set_asyncgen_hooks(firstiter=self._keep_generator, finalizer=_ignore)
        return before

    @staticmethod
    def leave(before: Any) -> None:
        loop, hooks = before
        asyncio._set_running_loop(loop)
        sys.set_asyncgen_hooks(*hooks)

    def step_out(self) -> None:
        """No workflow is running for a moment: what looks for one finds none."""
        asyncio._set_running_loop(None)

    def step_in(self) -> None:
        asyncio._set_running_loop(self)

    def _keep_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._generators.append(generator)
        if len(self._generators) > self._generators_limit:
            self._generators = [g for g in self._generators if suspended(g)]
            self._generators_limit = 2 * len(self._generators) + 256

    def keep_gathering(self, gathering: WorkflowFuture) -> None:
        """Remember a future that takes over the exceptions of its children, so that it is asked for them in the end."""
        self._gatherings.append(gathering)
        if len(self._gatherings) > self._gatherings_limit:
            self._gatherings = [g for g in self._gatherings if not g.done() or _unseen(g)]
            self._gatherings_limit = 2 * len(self._gatherings) + 256

    def unawaited_errors(self) -> list[BaseException]:
        """Exceptions of finished background tasks that nobody has looked at."""
        done = [f for f in (*self._tasks, *self._gatherings) if f.done() and not f.cancelled() and _unseen(f)]
        return [error for future in done if (error := future.exception()) is not None]

    def live_tasks(self) -> list[WorkflowTask]:
        """The tasks that are not done, first born first."""
        return [task for task in self._tasks if not task.done()]

    def close_all(self) -> None:
        """End whatever still waits, last born first: tasks, then generators."""
        self.dwf_runtime = Detached(self)
        for task in reversed(self._tasks):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            if not task.done():
                asyncio.tasks._enter_task(self, task)  # asyncio.timeout and TaskGroup ask who is running
                close(task.get_coro())
                asyncio.tasks._leave_task(self, task)
        for generator in reversed(self._generators):
            close(generator)
        self._ready.clear()
        self.unawaited_errors()  # looked at, so that nobody complains of them later
        self._tasks, self._gatherings, self._generators = [], [], []


def _unseen(future: asyncio.Future[Any]) -> bool:
    """Whether the future holds an exception that nobody has looked at."""
    return bool(future._log_traceback)


def _purpose(callback: Callable[..., Any]) -> str:
    name = getattr(callback, "__name__", "")
    return {"_set_result_unless_cancelled": "sleep"}.get(name, "timeout" if "timeout" in name else "timer")


def _ignore(_: object) -> None:
    pass

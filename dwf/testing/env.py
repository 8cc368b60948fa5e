"""The environment of a test: a state directory, a clock that skips time, stubs, and what happens at which time."""

from __future__ import annotations

import asyncio
import dataclasses
import heapq
import itertools
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from dwf.activities.info import CURRENT, ActivityInfo
from dwf.activities.plan import Attempt
from dwf.authoring.activity import Activity
from dwf.authoring.workflow import Workflow
from dwf.core.duration import micros, moment
from dwf.core.events import Payload
from dwf.core.retry import Duration
from dwf.core.runtime import ActivityCall
from dwf.core.values import decode, encode
from dwf.engine import post
from dwf.engine.asking import query
from dwf.engine.context import Engine, Watch
from dwf.engine.identity import sender
from dwf.engine.kept import MOST_PARENTS, Kept
from dwf.engine.runs import all_ids
from dwf.engine.start import StartRequest, start
from dwf.engine.tick import tick_with
from dwf.errors import UsageError
from dwf.store.files import Disk
from dwf.store.layout import open_home
from dwf.testing.children import CodesWithStubs
from dwf.testing.clock import Clock, VirtualStore
from dwf.testing.fitting import fitting
from dwf.testing.modes import Deadly, Died, Mode, replay_all, wait_for_the_dead
from dwf.testing.run import Run
from dwf.testing.stubs import NOTHING_GIVEN, StandIns, Stub, stub_of

_MOST_LEAPS = 100_000


class Quick(Disk):
    """A disk that need not survive a power cut."""

    def fsync(self, fd: int, path: str) -> None:
        return None

    def fdatasync(self, fd: int, path: str) -> None:
        return None

    def fsync_dir(self, path: str) -> None:
        return None


class Env:
    """One test's world. `home`: where its state directory is made, an empty or missing directory.

    mode: normal, paranoid (every run is replayed from the top after each tick) or dying (the process dies whenever
    something was written, and another one goes on): what a runbook comes to must be the same. `deaths`: how many.
    several: questions may need more than one person, who are not told apart here.
    """

    def __init__(self, home: str | Path, mode: str = "normal", *, several: bool = False) -> None:
        self.clock = Clock()
        self.me = sender(os.environ)
        self.deaths = 0
        self._mode = Mode(mode)
        self._home, self._several = str(home), several
        self.store = self._opened()
        self._stand_ins = StandIns()
        self.watch: Watch | None = None
        """Who looks on."""
        self._plans: list[tuple[int, int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    def _opened(self) -> VirtualStore:
        """As a new process would have it: nothing is kept in memory."""
        disk = Quick()
        layout = open_home(disk, self._home, True, parents=True, allow_network=True)
        store = VirtualStore(disk, layout, self.clock)
        store.has_several_people = self._several
        return store

    # -- what stands in -----------------------------------------------------------------------------------------

    def stub(
        self,
        step: str | Callable[..., Any] | Workflow,
        value: Any = NOTHING_GIVEN,
        *,
        raises: BaseException | None = None,
        sequence: Sequence[Any] | None = None,
        call: Callable[..., Any] | None = None,
    ) -> Stub:
        """Let something stand in for a step: an activity by its function or name, a command by its name or title.

        Or for children that are runs of a workflow, by that or its name; an exception is what the child fails with.

        One of: a value; `raises` an exception each time; `sequence` of values and exceptions, one an attempt, the last
        for ever; `call` a function with the step's arguments. Text for a command is what it prints. Retries, timeouts
        and everything else are as they would be. The stub's `calls` are the attempts. Raises UsageError.
        """
        name = step if isinstance(step, str) else step.name if isinstance(step, Workflow) else step.__name__
        stub = self._stand_ins.stubs[name] = stub_of(name, value, raises, sequence, call)
        return stub

    def stub_rest(self, call: Callable[[ActivityCall], Any] = lambda call: fitting(call.result_type)) -> None:
        """Let every step that has no stub give a value that fits its annotation: nothing is really done any more."""
        self._stand_ins.rest = call

    def at(self, after: Duration, act: Callable[[], object]) -> None:
        """Do something when so much time has passed from now: `env.at("3h", lambda: run.approve("fine"))`."""
        heapq.heappush(self._plans, (self.clock() + micros(after), next(self._numbers), act))

    def perform(self, activity: Activity[..., Any], *args: Any, attempt: int = 1, **kwargs: Any) -> Any:
        """One attempt of an activity, alone: what it returns, or raises. dwf.activity_info() is there for it."""
        call = activity.call(args, kwargs)
        assert call.perform is not None
        about = Attempt(run="test", command=1, attempt=attempt, name=call.title or call.name, key="test:1")
        told = CURRENT.set(ActivityInfo(about))
        try:
            done = call.perform(bytes(call.input))
            return asyncio.run(done) if call.is_async else done
        finally:
            CURRENT.reset(told)

    # -- runs ---------------------------------------------------------------------------------------------------

    def start(self, script: str | Path | Workflow, run: str | None = None, **given: Any) -> Run:
        """What `dwf start` does: a script (`path.py`, `path.py:workflow`), or a workflow that the test has imported."""
        request = StartRequest(_script(script), self.me, run=run, json_input=given)
        return Run(self, start(self.store, request, self.clock).run)

    def run(self, script: str | Path | Workflow, run: str | None = None, **given: Any) -> Run:
        """Start it, and let time pass until nothing moves any more."""
        started = self.start(script, run, **given)
        self.skip()
        return started

    def skip(self, duration: Duration | None = None) -> None:
        """Let time pass: until nothing is due any more and nothing planned, or for that long."""
        until = None if duration is None else self.clock() + micros(duration)
        for _ in range(_MOST_LEAPS):
            self.tick()
            at_us = self._next_us()
            if at_us is None or (until is not None and at_us > until):
                break
            self.clock.leap_to(at_us)
            self._act()
        else:
            raise AssertionError(f"time passed {_MOST_LEAPS:,} times, and it still does not come to rest")
        if until is not None:
            self.clock.leap_to(until)
            self.tick()

    def tick(self) -> None:
        """What `dwf tick` does, without a leap of the clock. Raises what would have been an error of it."""
        if self._mode is Mode.DYING:
            # One by one: a run that dies of itself should not take the step of another with it each time.
            # By the names of the histories: before its first tick a directory has no index to be believed.
            for run in all_ids(self.store):
                self._die_through({run})
        self._tick(watch=self.watch)
        if self._mode is Mode.PARANOID:
            replay_all(self.store)

    def _die_through(self, only: set[str]) -> None:
        while True:
            try:
                return self._tick(only, Deadly())
            except Died:
                self.deaths += 1
                wait_for_the_dead()
                self.store.index.close()
                self.store = self._opened()

    def _tick(self, only: set[str] | None = None, watch: Watch | None = None) -> None:
        kept = Kept(MOST_PARENTS, parents=True)
        engine = Engine.open(self.store, clock=self.clock, kept=kept, watch=watch, stand_in=self._stand_ins)
        codes = CodesWithStubs(self.store, self._stand_ins.stubs)
        report = tick_with(dataclasses.replace(engine, codes=codes), only)
        for error in report.errors:
            raise error

    def leap(self) -> bool:
        """Let time pass to what is due next, without a tick; False if nothing ever is."""
        at_us = self._next_us()
        if at_us is not None:
            self.clock.leap_to(at_us)
            self._act()
        return at_us is not None

    @property
    def now(self) -> datetime:
        """The time of the test."""
        return moment(self.clock())

    # -- what others do -----------------------------------------------------------------------------------------

    def signal(self, run: str, name: str, payload: Any = None) -> None:
        """What `dwf signal` does."""
        post.signal(self.store, run, name, encode(payload, "the payload"), self.me)

    def answer(self, run: str, yes: bool, comment: str = "", step: str | None = None) -> None:
        """What `dwf approve` and `dwf reject` do."""
        post.answer(self.store, run, yes, self.me, comment, step=step)

    def cancel(self, run: str, reason: str) -> None:
        """What `dwf cancel` does."""
        post.cancel(self.store, run, self.me, reason)

    def query(self, run: str, name: str, arguments: dict[str, Any]) -> Any:
        """What `dwf query` prints."""
        return decode(Payload(query(self.store, run, name, self.me.uid or 0, {}, arguments)))

    # -- time ---------------------------------------------------------------------------------------------------

    def _next_us(self) -> int | None:
        planned = self._plans[0][0] if self._plans else None
        due = self.store.index.next_due_us()
        times = [at for at in (planned, due) if at is not None]
        return min(times) if times else None

    def _act(self) -> None:
        now = self.clock()
        while self._plans and self._plans[0][0] <= now:
            heapq.heappop(self._plans)[2]()


def _script(script: str | Path | Workflow) -> str:
    if isinstance(script, Workflow):
        return f"{script.function.__code__.co_filename}:{script.name}"
    if not str(script):
        raise UsageError(what="which script?", hint="env.run('rotate.py', host='web1')")
    return str(script)

"""Random programs: a grammar of what runbooks do, as data, and a workflow that interprets it.

A program is nested lists. `Chance` draws with `random()` alone, which gives the same numbers on every Python.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from random import Random
from typing import Any

import dwf
from tests.core.driver import act

Node = list[Any]
SIGNALS = ("go", "stop")


class Chance:
    """Draws that are the same on every release of Python."""

    def __init__(self, seed: object) -> None:
        self._random = Random(str(seed)).random

    def below(self, limit: int) -> int:
        return int(self._random() * limit)

    def pick(self, items: Any) -> Any:
        return items[self.below(len(items))]

    def happens(self, share: float) -> bool:
        return self._random() < share

    def shuffled(self, items: list[Any]) -> list[Any]:
        left, result = list(items), []
        while left:
            result.append(left.pop(self.below(len(left))))
        return result


# -- making -------------------------------------------------------------------------------------------------------


Grammar = tuple[tuple[Callable[["Maker"], Node], ...], tuple[Callable[["Maker", int], Node], ...]]


def make(seed: object, grammar: Grammar | None = None) -> Node:
    """A program. Seeds are any text."""
    return Maker(Chance(f"program {seed}"), grammar or PLAIN).whole()


class Maker:
    def __init__(self, chance: Chance, grammar: Grammar) -> None:
        self.chance = chance
        self.leaves, self.branches = grammar
        self.left = 60
        self.names = 0

    def whole(self) -> Node:
        """Most programs survive what their parts come to, so that there is something behind it."""
        what = self.chance.pick(("group", "cancel"))
        parts = [self.node(4) for _ in range(3 + self.chance.below(7))]
        handler = ["status", "a part failed"]
        return ["seq", *[["catch", part, handler, what] if self.chance.happens(0.9) else part for part in parts]]

    def body(self, depth: int) -> Node:
        return ["seq", *[self.node(depth) for _ in range(1 + self.chance.below(3))]]

    def several(self, depth: int) -> list[Node]:
        return [self.node(depth) for _ in range(1 + self.chance.below(3))]

    def node(self, depth: int) -> Node:
        self.left -= 1
        if depth <= 0 or self.left <= 0:
            return self.leaf()
        return self.chance.pick(self.branches)(self, depth - 1) if self.chance.happens(0.55) else self.leaf()

    def leaf(self) -> Node:
        made: Node = self.chance.pick(self.leaves)(self)
        return made

    def act(self) -> Node:
        self.names += 1
        return ["act", f"a{self.names}"]

    def seconds(self) -> float:
        return float(self.chance.pick((0, 0.25, 1, 2, 5, 60, -1)))


_LEAVES: tuple[Callable[[Maker], Node], ...] = (
    *([Maker.act] * 10),
    lambda m: ["sleep", m.seconds()],
    lambda m: ["sleep", m.seconds()],
    lambda m: ["dwf_sleep", m.seconds()],
    lambda m: ["cancel", m.chance.below(3)],
    lambda m: ["join", m.chance.below(3)],
    lambda m: ["put", m.chance.below(2)],
    lambda m: ["get", m.chance.below(2)],
    lambda m: ["wait_condition", m.chance.below(2)],
    lambda m: ["notify", m.chance.below(2), m.chance.pick((1, 2, 99))],
    lambda m: ["barrier"],
    lambda m: ["wait_event", m.chance.below(2)],
    lambda m: ["set_event", m.chance.below(2), m.chance.happens(0.7)],
    lambda m: ["signal", m.chance.pick(SIGNALS), m.chance.pick((None, 0, 1, 30))],
    lambda m: ["signal", m.chance.pick(SIGNALS), None],
    lambda m: ["once", m.chance.below(9)],
    lambda m: ["status", f"s{m.chance.below(3)}"],
    lambda m: ["chance"],
    lambda m: ["now"],
    lambda m: ["approve"],
    lambda m: ["tasks"],
    lambda m: ["uncancel"] if m.chance.happens(0.3) else m.act(),
    lambda m: ["cancel_self"] if m.chance.happens(0.3) else m.act(),
    lambda m: (
        ["raise", m.chance.pick(("Failure", "KeyError", "TypeError", "CancelledError", "SystemExit"))]
        if m.chance.happens(0.25)
        else m.act()
    ),
)
_BRANCHES: tuple[Callable[[Maker, int], Node], ...] = (
    lambda m, d: ["gather", m.several(d), m.chance.happens(0.5)],
    lambda m, d: ["gather", m.several(d), m.chance.happens(0.5)],
    lambda m, d: ["group", m.several(d), m.body(d)],
    lambda m, d: ["group", m.several(d), m.body(d)],
    lambda m, d: ["timeout", m.seconds(), m.body(d)],
    lambda m, d: ["timeout", m.seconds(), m.body(d)],
    lambda m, d: ["reschedule", m.seconds(), m.body(d), m.seconds(), m.body(d)],
    lambda m, d: ["wait_for", m.seconds(), m.body(d)],
    lambda m, d: ["wait_for", m.seconds(), m.body(d)],
    lambda m, d: ["shield", m.body(d)],
    lambda m, d: ["spawn", m.body(d)],
    lambda m, d: ["spawn", m.body(d)],
    lambda m, d: ["lock", m.chance.below(2), m.body(d)],
    lambda m, d: ["semaphore", m.body(d)],
    lambda m, d: ["semaphore", m.body(d)],
    lambda m, d: ["finally", m.body(d), m.body(d)],
    lambda m, d: ["finally", m.body(d), m.body(d)],
    lambda m, d: ["catch", m.body(d), m.body(d), m.chance.pick(("failures", "failures", "cancel", "group"))],
    lambda m, d: ["catch", m.body(d), m.body(d), "failures"],
    lambda m, d: ["wait", m.several(d), m.chance.pick(_RETURN_WHEN), m.chance.pick((None, 0, 1, 5))],
    lambda m, d: ["as_completed", m.several(d), m.chance.pick((None, None, 1, 5)), m.chance.happens(0.5)],
    lambda m, d: ["patched", m.chance.pick("pq"), m.body(d), m.body(d)],
    lambda m, d: ["generator", m.several(d), m.chance.happens(0.5)],
    lambda m, d: ["set_of_tasks", m.several(d)],
    lambda m, d: ["set_of_futures", m.several(d)],
    lambda m, d: ["loop", 2, m.body(d)],
)
_RETURN_WHEN = (asyncio.ALL_COMPLETED, asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION)
PLAIN: Grammar = (_LEAVES, _BRANCHES)


# -- running ------------------------------------------------------------------------------------------------------


class Machine:
    """Interprets one program, once. What it saw is in `trace`."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.trace: list[str] = []

    async def main(self) -> int:
        self.spawned: list[asyncio.Task[Any]] = []
        self.queues = [asyncio.Queue[int](1), asyncio.Queue[int]()]
        self.locks = [asyncio.Lock(), asyncio.Lock()]
        self.semaphore = asyncio.Semaphore(2)
        self.conditions = [asyncio.Condition(), asyncio.Condition()]
        self.events = [asyncio.Event(), asyncio.Event()]
        self.barrier = asyncio.Barrier(2)
        self.generators: list[Any] = []
        await self.run(self.node)
        return len(self.trace)

    def saw(self, what: str, value: object = "") -> None:
        self.trace.append(f"{what} {value}")

    async def run(self, node: Node) -> Any:
        try:
            return await getattr(self, "do_" + node[0])(*node[1:])
        except BaseException as error:
            self.saw(f"{node[0]} raised", named(error))
            raise

    async def all_of(self, nodes: list[Node]) -> None:
        for node in nodes:
            await self.run(node)

    async def do_seq(self, *nodes: Node) -> str:
        await self.all_of(list(nodes))
        return f"seq{len(nodes)}"

    async def do_loop(self, times: int, body: Node) -> None:
        for _ in range(times):
            await self.run(body)

    # -- waits ----------------------------------------------------------------------------------------------------

    async def do_act(self, name: str) -> Any:
        result = await act(name, len(self.trace))
        self.saw(name, result)
        return result

    async def do_sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.saw("slept", round(asyncio.get_running_loop().time() * 1e6))

    async def do_dwf_sleep(self, seconds: float) -> None:
        await dwf.sleep(seconds)
        self.saw("slept", dwf.now())

    async def do_signal(self, name: str, timeout: float | None) -> None:
        self.saw(name, await dwf.wait_signal(name, timeout=timeout, default="none"))

    async def do_approve(self) -> None:
        self.saw("approved", (await dwf.approve("go on?", timeout=60, on_timeout="approve")).timed_out)

    # -- together -------------------------------------------------------------------------------------------------

    async def do_gather(self, nodes: list[Node], return_exceptions: bool) -> None:
        results = await asyncio.gather(*map(self.run, nodes), return_exceptions=return_exceptions)
        self.saw("gathered", list(map(named, results)))

    async def do_group(self, nodes: list[Node], body: Node) -> None:
        async with asyncio.TaskGroup() as group:
            for node in nodes:
                group.create_task(self.run(node))
            await self.run(body)

    async def do_timeout(self, seconds: float, body: Node) -> None:
        async with asyncio.timeout(seconds) as limit:
            await self.run(body)
        self.saw("in time", limit.expired())

    async def do_reschedule(self, first: float, body: Node, second: float, more: Node) -> None:
        async with asyncio.timeout(first) as limit:
            await self.run(body)
            limit.reschedule(asyncio.get_running_loop().time() + second)
            await self.run(more)

    async def do_wait_for(self, seconds: float, body: Node) -> None:
        self.saw("waited for", await asyncio.wait_for(self.run(body), seconds))

    async def do_shield(self, body: Node) -> None:
        self.saw("shielded", await asyncio.shield(self.run(body)))

    async def do_spawn(self, body: Node) -> None:
        task = asyncio.create_task(self.run(body))
        self.spawned.append(task)
        self.saw("spawned", task.get_name())

    async def do_cancel(self, index: int) -> None:
        if self.spawned:
            self.saw("cancel", self.spawned[index % len(self.spawned)].cancel())

    async def do_cancel_self(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        self.saw("cancelling", task.cancelling())

    async def do_uncancel(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.saw("uncancel", task.uncancel())

    async def do_join(self, index: int) -> None:
        task = self.spawned[index % len(self.spawned)] if self.spawned else None
        if task is not None and task is not asyncio.current_task():
            self.saw("joined", await task)

    async def do_wait(self, nodes: list[Node], when: str, timeout: float | None) -> None:
        tasks = [asyncio.create_task(self.run(node)) for node in nodes]
        self.spawned += tasks
        done, pending = await asyncio.wait(tasks, timeout=timeout, return_when=when)
        self.saw("done", [task.get_name() for task in done])
        self.saw("pending", [task.get_name() for task in pending])

    async def do_as_completed(self, nodes: list[Node], timeout: float | None, asynchronous: bool) -> None:
        if asynchronous:
            async for task in asyncio.as_completed([self.run(n) for n in nodes], timeout=timeout):  # type: ignore[attr-defined]
                self.saw("completed", named(await task))
            return
        for result in asyncio.as_completed([self.run(n) for n in nodes], timeout=timeout):
            self.saw("completed", named(await result))

    async def do_set_of_tasks(self, nodes: list[Node]) -> None:
        for task in {asyncio.create_task(self.run(node)) for node in nodes}:
            self.saw("from a set", named(await task))

    async def do_set_of_futures(self, nodes: list[Node]) -> None:
        loop = asyncio.get_running_loop()
        futures = {asyncio.gather(self.run(nodes[0])), *[loop.create_future() for _ in nodes]}
        for future in futures:
            if not future.done() and type(future).__name__ == "WorkflowFuture":
                future.set_result(len(self.trace))
        for future in futures:
            self.saw("from a set", named(await future))

    async def do_tasks(self) -> None:
        self.saw("tasks", [task.get_name() for task in asyncio.all_tasks()])

    # -- between tasks ----------------------------------------------------------------------------------------------

    async def do_put(self, queue: int) -> None:
        await self.queues[queue].put(len(self.trace))
        self.saw("put")

    async def do_get(self, queue: int) -> None:
        self.saw("got", await self.queues[queue].get())

    async def do_lock(self, lock: int, body: Node) -> None:
        async with self.locks[lock]:
            self.saw("locked")
            await self.run(body)

    async def do_semaphore(self, body: Node) -> None:
        async with self.semaphore:
            self.saw("acquired", self.semaphore.locked())
            await self.run(body)

    async def do_wait_condition(self, condition: int) -> None:
        async with self.conditions[condition]:
            self.saw("notified", await self.conditions[condition].wait())

    async def do_notify(self, condition: int, count: int) -> None:
        async with self.conditions[condition]:
            self.conditions[condition].notify(count)

    async def do_barrier(self) -> None:
        self.saw("barrier", await self.barrier.wait())

    async def do_wait_event(self, event: int) -> None:
        self.saw("event", await self.events[event].wait())

    async def do_set_event(self, event: int, on: bool) -> None:
        (self.events[event].set if on else self.events[event].clear)()

    # -- flow -------------------------------------------------------------------------------------------------------

    async def do_finally(self, body: Node, last: Node) -> None:
        try:
            await self.run(body)
        finally:
            await self.run(last)

    failures: tuple[type[BaseException], ...] = (dwf.ActivityError, dwf.Failure, TimeoutError)

    async def do_catch(self, body: Node, handler: Node, what: str) -> None:
        caught = self.failures
        if what == "cancel":
            caught = (*caught, asyncio.CancelledError)
        if what in ("group", "cancel"):
            caught = (*caught, BaseExceptionGroup)
        try:
            await self.run(body)
        except caught as error:
            self.saw("caught", named(error))
            await self.run(handler)

    async def do_generator(self, nodes: list[Node], to_the_end: bool) -> None:
        generator = self.generate(nodes)
        self.generators.append(generator)
        async for value in generator:
            self.saw("generated", value)
            if not to_the_end:
                break

    async def generate(self, nodes: list[Node]) -> Any:
        try:
            for node in nodes:
                await self.run(node)
                yield len(self.trace)
        finally:
            await act("after the generator")

    async def do_raise(self, name: str) -> None:
        error = {"Failure": dwf.Failure("asked to fail"), "CancelledError": asyncio.CancelledError()}.get(name)
        raise error or {"KeyError": KeyError, "TypeError": TypeError, "SystemExit": SystemExit}[name](name)

    # -- values -----------------------------------------------------------------------------------------------------

    async def do_once(self, value: int) -> None:
        self.saw("once", dwf.once(lambda: value, name="value"))

    async def do_patched(self, patch: str, new: Node, old: Node) -> None:
        await self.run(new if dwf.patched(patch) else old)

    async def do_status(self, text: str) -> None:
        dwf.status(text)

    async def do_chance(self) -> None:
        self.saw("chance", math.floor(dwf.random().random() * 1e9))
        self.saw("uuid", dwf.uuid4())

    async def do_now(self) -> None:
        self.saw("now", dwf.now())


def named(value: Any) -> str:
    """A value or exception in a way that is the same on every Python."""
    if isinstance(value, BaseExceptionGroup):
        return f"{type(value).__name__}({', '.join(map(named, value.exceptions))})"
    if isinstance(value, asyncio.CancelledError):
        return f"CancelledError({value.args[0] if value.args else ''!r})"
    return type(value).__name__ if isinstance(value, BaseException) else repr(value)

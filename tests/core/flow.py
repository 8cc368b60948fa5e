"""Random programs, continued: what dwf has beyond asyncio. A richer grammar, and the machine that knows it.

The corpus was made with the plain grammar, which therefore stays as it is; what is new comes in here.
"""

from __future__ import annotations

import asyncio
from typing import Any

import dwf
from tests.core import kin, programs, scopes
from tests.core.programs import SIGNALS, Grammar, Node

UPDATES = ("set", "move")
_LEAVES = (
    lambda m: ["until", 1 + m.chance.below(12), m.chance.pick((None, 0, 1, 30))],
    lambda m: ["until", 1 + m.chance.below(4), None],
    lambda m: ["add", 1 + m.chance.below(3)],
    lambda m: ["signals", m.chance.pick(SIGNALS), m.chance.pick((None, 0, 1))],
    lambda m: ["on_plain_signal", m.chance.pick(SIGNALS)],
    lambda m: ["callback"],
    lambda m: ["tag", m.chance.pick("ab"), m.chance.pick((1, 2, None))],
    lambda m: ["memo", m.chance.pick("ab"), m.chance.pick(([1], "x", None))],
    lambda m: ["handlers_finished", m.chance.pick((None, 1, 30))],
)
_BRANCHES = (
    lambda m, d: ["race_until", 1 + m.chance.below(6), m.body(d)],
    lambda m, d: ["on_signal", m.chance.pick(SIGNALS), m.body(d)],
    lambda m, d: ["on_signal", m.chance.pick(SIGNALS), m.body(d)],
    lambda m, d: ["on_unknown_signal", m.body(d)],
    lambda m, d: ["run_lock", m.chance.pick("xy"), m.chance.pick((None, None, 1, 30)), m.body(d)],
    lambda m, d: ["on_update", m.chance.pick(UPDATES), m.body(d)],
    lambda m, d: ["on_update", m.chance.pick(UPDATES), m.body(d)],
)
GRAMMAR: Grammar = (
    programs.PLAIN[0] + _LEAVES * 2 + kin.LEAVES * 2 + scopes.LEAVES,
    programs.PLAIN[1] + _BRANCHES + scopes.BRANCHES * 2,
)


class Flow(scopes.Scopes, kin.Kin):
    """A machine whose parts add to a common count, and wait for it."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.count = 0

    async def do_add(self, number: int) -> None:
        self.count += number

    async def do_run_lock(self, name: str, timeout: float | None, body: Node) -> None:
        async with dwf.lock(name, timeout=timeout):
            self.saw("holds", name)
            await self.run(body)

    async def do_tag(self, name: str, value: int | None) -> None:
        dwf.tag(**{name: value})
        self.saw("tags", sorted(dwf.info().tags.items()))

    async def do_memo(self, name: str, value: Any) -> None:
        dwf.memo(**{name: value})
        self.saw("memo", sorted(dwf.info().memo))

    async def do_until(self, count: int, timeout: float | None) -> None:
        await dwf.wait_until(lambda: self.count >= count, timeout=timeout)
        self.saw("count", self.count)

    async def do_signals(self, name: str, timeout: float | None) -> None:
        self.saw(name, await dwf.wait_signals(name, timeout=timeout, default=["none"]))

    async def do_on_plain_signal(self, name: str) -> None:
        def add(payload: int) -> None:
            self.count += 1
            self.saw(f"{name} taken", payload)

        dwf.on_signal(name, add)

    async def do_on_signal(self, name: str, body: Node) -> None:
        async def react(payload: int) -> None:
            self.saw(f"{name} came", payload)
            async with self.locks[0]:
                await self.run(body)

        dwf.on_signal(name, react)

    async def do_on_unknown_signal(self, body: Node) -> None:
        async def react(name: str, payload: int) -> None:
            self.saw(f"{name} came by chance", payload)
            await self.run(body)

        dwf.on_unknown_signal(react)

    async def do_on_update(self, name: str, body: Node) -> None:
        async def react(number: int) -> int:
            self.saw(f"{name} asked", number)
            await self.run(body)
            return self.count

        dwf.on_update(name, react)
        dwf.on_query(name, lambda: self.count)

    async def do_callback(self) -> None:
        self.saw("called back", await dwf.callback("job", timeout=60))

    async def do_handlers_finished(self, timeout: float | None) -> None:
        await dwf.handlers_finished(timeout=timeout)
        self.saw("all handlers finished")

    async def do_race_until(self, more: int, body: Node) -> None:
        """Several that wait for the same, of which each takes something away when it comes to its turn."""

        async def take(name: str) -> Any:
            await dwf.wait_until(lambda: self.count >= more)
            self.count -= more
            self.saw(name, self.count)

        await asyncio.gather(take("first"), take("second"), self.run(body))

"""Random programs, continued: what dwf has beyond asyncio. A richer grammar, and the machine that knows it.

The corpus was made with the plain grammar, which therefore stays as it is; what is new comes in here.
"""

from __future__ import annotations

import asyncio
from typing import Any

import dwf
from tests.core import programs
from tests.core.programs import Grammar, Machine, Node

_LEAVES = (
    lambda m: ["until", 1 + m.chance.below(12), m.chance.pick((None, 0, 1, 30))],
    lambda m: ["until", 1 + m.chance.below(4), None],
    lambda m: ["add", 1 + m.chance.below(3)],
    lambda m: ["add", 1 + m.chance.below(3)],
)
_BRANCHES = (lambda m, d: ["race_until", 1 + m.chance.below(6), m.body(d)],)
GRAMMAR: Grammar = (programs.PLAIN[0] + _LEAVES * 2, programs.PLAIN[1] + _BRANCHES)


class Flow(Machine):
    """A machine whose parts add to a common count, and wait for it."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.count = 0

    async def do_add(self, number: int) -> None:
        self.count += number

    async def do_until(self, count: int, timeout: float | None) -> None:
        await dwf.wait_until(lambda: self.count >= count, timeout=timeout)
        self.saw("count", self.count)

    async def do_race_until(self, more: int, body: Node) -> None:
        """Several that wait for the same, of which each takes something away when it comes to its turn."""

        async def take(name: str) -> Any:
            await dwf.wait_until(lambda: self.count >= more)
            self.count -= more
            self.saw(name, self.count)

        await asyncio.gather(take("first"), take("second"), self.run(body))

"""Random programs, continued: children, and what runs say to each other."""

from __future__ import annotations

import asyncio
from typing import Any

import dwf
from tests.core.programs import Machine, Node

CANCELS = ("wait", "requested", "try", "abandon")
LEAVES = (
    lambda m: ["child", m.chance.pick(CANCELS), m.chance.pick((None, 0, 1, 30))],
    lambda m: ["child", m.chance.pick(CANCELS), None],
    lambda m: ["start_child", m.chance.pick(CANCELS), m.chance.pick(("terminate", "cancel", "abandon"))],
    lambda m: ["await_child", m.chance.below(3)],
    lambda m: ["cancel_child", m.chance.below(3)],
    lambda m: ["tell_child", m.chance.below(3)],
    lambda m: ["tell", m.chance.pick(("go", "stop"))],
)


@dwf.workflow
async def drain(number: int = 0) -> int:
    """What the children would run, if anybody ran them."""
    return number


class Kin(Machine):
    """A machine that starts others, waits for them, calls them off and talks to them."""

    failures = (*Machine.failures, dwf.ChildError, dwf.NotDelivered)

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.children: list[Any] = []

    async def do_child(self, cancel: Any, timeout: float | None) -> None:
        waits = drain.options(cancel=cancel)(len(self.trace))
        self.saw("child", await (waits if timeout is None else asyncio.wait_for(waits, timeout)))

    async def do_start_child(self, cancel: Any, on_close: Any) -> None:
        self.children.append(dwf.start_child(drain.options(cancel=cancel, on_close=on_close), len(self.trace)))
        self.saw("started", self.children[-1].run)

    async def do_await_child(self, index: int) -> None:
        if self.children:
            self.saw("awaited", await self.children[index % len(self.children)])

    async def do_cancel_child(self, index: int) -> None:
        if self.children:
            self.children[index % len(self.children)].cancel("no more")

    async def do_tell_child(self, index: int) -> None:
        if self.children:
            await self.children[index % len(self.children)].signal("go", len(self.trace))

    async def do_tell(self, name: str) -> None:
        await dwf.send_signal("another", name, len(self.trace))

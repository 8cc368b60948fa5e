"""Random programs, continued: what holds several steps together. Sagas, fan-outs, polls, cleanups."""

from __future__ import annotations

import asyncio
from typing import Any

import dwf
from tests.core.programs import Machine, Node, named

LEAVES = (
    lambda m: ["saga_step", m.act()[1], m.chance.happens(0.3)],
    lambda m: ["saga_step", m.act()[1], m.chance.happens(0.3)],
    lambda m: ["poll", m.act()[1], m.chance.pick((None, 1, 30)), m.chance.pick((None, 2))],
    lambda m: ["optional", m.act()[1]],
)
BRANCHES = (
    lambda m, d: ["saga", m.several(d), m.chance.happens(0.3)],
    lambda m, d: ["saga", m.several(d), m.chance.happens(0.3)],
    lambda m, d: ["map", m.several(d), 1 + m.chance.below(3), m.chance.below(3), m.chance.happens(0.5)],
    lambda m, d: ["map_steps", 1 + m.chance.below(5), 1 + m.chance.below(3), m.chance.below(3)],
    lambda m, d: ["cleanup", m.body(d), m.chance.pick((None, 1, 60))],
)


@dwf.activity
def work(name: str) -> Any:
    raise AssertionError(f"nobody performs {name}")


@dwf.activity(critical=False, default="none")
def optional(name: str) -> Any:
    raise AssertionError(f"nobody performs {name}")


class Scopes(Machine):
    """A machine with sagas: a step belongs to the one that was entered last, wherever it runs."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.sagas: list[Any] = []

    async def do_saga(self, nodes: list[Node], if_unknown: bool) -> None:
        async with dwf.saga(undo_if_unknown=if_unknown) as saga:
            self.sagas.append(saga)
            try:
                for number, node in enumerate(nodes):
                    await saga.step(self.run(node), undo=work(f"undo part {number}"))
            finally:
                self.sagas.remove(saga)

    async def do_saga_step(self, name: str, twice: bool) -> None:
        if not self.sagas:
            await work(name)
            return
        undo = [work(f"undo {name}"), dwf.sh("undo", name)] if twice else work(f"undo {name}")
        self.saw("saga", await self.sagas[-1].step(work(name), undo=undo))

    async def do_map(self, nodes: list[Node], width: int, tolerate: int, in_stages: bool) -> None:
        async def gate(stage: Any) -> None:
            await dwf.sleep(1, f"after stage {stage.number}")

        more: dict[str, Any] = {"ramp": [1, "60%"], "gate": gate} if in_stages else {}
        found = await dwf.map(self.run, nodes, max_concurrent=width, tolerate=tolerate, **more)
        self.saw("mapped", [named(item.error) for item in found.failed])

    async def do_map_steps(self, count: int, width: int, tolerate: int) -> None:
        found = await dwf.map(work, [f"item {n}" for n in range(count)], max_concurrent=width, tolerate=tolerate)
        self.saw("mapped", found.values)

    async def do_poll(self, name: str, timeout: float | None, tries: int | None) -> None:
        found = await dwf.poll(
            lambda: work(name), every=2, until=lambda found: found > 30, timeout=timeout, max_tries=tries, backoff=2
        )
        self.saw("polled", found)

    async def do_optional(self, name: str) -> None:
        self.saw(name, await optional(name))

    async def do_cleanup(self, body: Node, timeout: float | None) -> None:
        try:
            await dwf.cleanup(self.run(body), timeout=timeout)
        except asyncio.CancelledError:
            self.saw("cancelled after its cleanup")
            raise

"""Fan-out: the same step for many items, some at a time, as many failures as are tolerated, in stages if need be.

    await dwf.map(patch, hosts, max_concurrent=10, tolerate="10%", ramp=[1, 5, "25%", "100%"], gate=looks_good)

Items begin in their order. When more have failed than are tolerated none begins any more, and those that run are
waited for.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from dwf.authoring.calls import call_of
from dwf.core.futures import in_short
from dwf.core.outcome import said
from dwf.core.runtime import current
from dwf.core.scopes import MOST_ITEMS
from dwf.core.values import text
from dwf.errors import ActivityError, Failure, MapFailed, ValueRefused

MOST_CONCURRENT = 1_000
_NAMED = 10
Share = int | str
"""A number of items, also as text, or a share of them such as "10%"."""


@dataclass(frozen=True)
class Item:
    """What came of one item: `value`, or `error` if it failed."""

    index: int
    item: Any
    value: Any = None
    error: BaseException | None = None

    @property
    def ok(self) -> bool:
        return self.error is None


@dataclass(frozen=True)
class Mapped:
    """What came of all items, in their order."""

    items: tuple[Item, ...]

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def values(self) -> list[Any]:
        """One value for each item; None for those that failed."""
        return [item.value for item in self.items]

    @property
    def failed(self) -> list[Item]:
        return [item for item in self.items if not item.ok]


@dataclass(frozen=True)
class Stage:
    """What a gate is told: stage `number` of `of` is over, `done` items have succeeded, `next` more would begin."""

    number: int
    of: int
    done: int
    failed: int
    total: int
    next: int


async def map(  # noqa: A001 - what everybody calls it
    function: Callable[[Any], Awaitable[Any]],
    items: Iterable[Any],
    /,
    *,
    max_concurrent: int = 10,
    tolerate: Share | None = None,
    min_ok: Share | None = None,
    ramp: Sequence[Share] = (),
    gate: Callable[[Stage], Awaitable[Any]] | None = None,
    title: str = "",
) -> Mapped:
    """Run a step for each item: `await dwf.map(patch, hosts, tolerate="10%")`.

    function: called with one item, gives what is awaited: an activity, or `lambda host: dwf.sh("patch", host)`.
    max_concurrent: how many run at a time. tolerate: how many may fail, or which share ("10%", rounded down); none by
    default. min_ok: how many must succeed; the others may fail if `tolerate` says nothing else. Failures that were
    tolerated mark the run as degraded.
    ramp: how many items have begun when each stage is over, `[1, 5, "25%", "100%"]`; the next stage begins when all of
    the last have ended, and after `gate`, an async function that is told the Stage. It holds the map up as long as it
    waits (for an approval, say), and stops it by raising, or by returning False.
    Raises MapFailed, ValueRefused.
    """
    wanted = _wanted(items)
    name = text(title, "the title of dwf.map()") or str(getattr(function, "name", getattr(function, "__name__", "map")))
    failures = _tolerated(tolerate, min_ok, len(wanted))
    if type(max_concurrent) is not int or not 1 <= max_concurrent <= MOST_CONCURRENT:
        raise _refused(f"max_concurrent={max_concurrent!r} is not a whole number from 1 to {MOST_CONCURRENT:,}")
    stages = _stages(ramp, len(wanted))
    if gate is not None and (not ramp or not callable(gate)):
        raise _refused("gate= is an async function for what is between the stages of ramp=")
    number = current("map").scopes.fan_out(name.replace("<lambda>", "map"), len(wanted), failures, stages)
    return await _FanOut(function, wanted, number, name, max_concurrent, failures).through(stages, gate)


class _FanOut:
    """One map on its way. results: by index, for those that have ended."""

    def __init__(
        self, function: Any, items: list[Any], number: int, name: str, max_concurrent: int, tolerated: int
    ) -> None:
        self._function, self._items, self._number, self._name = function, items, number, name
        self._max_concurrent, self._tolerated = max_concurrent, tolerated
        self._runtime = current("map")
        self._results: dict[int, Item] = {}
        self._next = self._failed = 0

    async def through(self, stages: list[int], gate: Callable[[Stage], Awaitable[Any]] | None) -> Mapped:
        for number, target in enumerate(stages, 1):
            width = min(self._max_concurrent, target - self._next)
            await asyncio.gather(*(self._work(target) for _ in range(width)))
            if self._exceeded:
                raise self._failure()
            if gate is not None and number < len(stages):
                done = len(self._results) - self._failed
                more = stages[number] - target
                stage = Stage(number, len(stages), done, self._failed, len(self._items), more)
                if await gate(stage) is False:
                    raise Failure(f"{self._name}: the gate after stage {number} of {len(stages)} said no")
        found = Mapped(tuple(self._results[index] for index in range(len(self._items))))
        if found.failed:
            self._runtime.degrade(in_short(f"{self._counted()}: {_named(found.failed)}"))
        return found

    @property
    def _exceeded(self) -> bool:
        return self._failed > self._tolerated

    async def _work(self, target: int) -> None:
        """One of those that take the next item as soon as they are done with the last."""
        while self._next < target and not self._exceeded:
            index = self._next
            self._next += 1
            self._results[index] = result = await self._one(index, self._items[index])
            self._failed += not result.ok

    async def _one(self, index: int, item: Any) -> Item:
        try:
            return Item(index, item, await self._done(item))
        except ActivityError as error:
            return Item(index, item, error=error)
        except Exception as error:
            # Of more than a step: a failure of another kind. What is none is a bug, and no item's matter.
            if not self._runtime.scopes.is_failure(error):
                raise
            return Item(index, item, error=error)

    async def _done(self, item: Any) -> Any:
        work = self._function(item)
        call = call_of(work)
        if call is None:
            return await _awaitable(work)
        before = self._runtime.scopes.carried(self._number, call)
        if before is not None:
            return before.value
        return await self._runtime.activity(replace(call, part_of=self._number))

    def _counted(self) -> str:
        return f"{self._failed} of {len(self._items)} of {self._name} failed"

    def _failure(self) -> MapFailed:
        failed = [item for item in self._results.values() if not item.ok]
        failed.sort(key=lambda item: item.index)
        skipped = self._items[self._next :]
        tolerated = f", {self._tolerated} tolerated" if self._tolerated else ""
        left = f"; not begun: {_listed(skipped)}" if skipped else ""
        message = f"{self._counted()}{tolerated}: {_named(failed)}{left}"
        return MapFailed(message, failed, skipped, len(self._results) - len(failed))


# -- what is asked for --------------------------------------------------------------------------------------------


def _wanted(items: Iterable[Any]) -> list[Any]:
    if isinstance(items, set | frozenset):
        raise _refused("a set has no order, and each replay must see the same", "sorted(...)")
    if isinstance(items, str | bytes) or not isinstance(items, Iterable):
        raise _refused(f"{items!r:.60} is no list of items")
    found = list(items)
    if len(found) > MOST_ITEMS:
        why = f"{len(found):,} items are more than {MOST_ITEMS:,}"
        raise _refused(why, "give each item more to do, or divide them over several runs")
    return found


def _tolerated(tolerate: Share | None, min_ok: Share | None, total: int) -> int:
    """How many items may fail."""
    most = total if tolerate is None and min_ok is not None else _count(tolerate or 0, total, math.floor, "tolerate", 0)
    if min_ok is None:
        return most
    return min(most, total - _count(min_ok, total, math.ceil, "min_ok", 0))


def _stages(ramp: Sequence[Share], total: int) -> list[int]:
    """How many items have begun when each stage is over; the last is all. Stages that add none are left out."""
    if isinstance(ramp, str) or not isinstance(ramp, Sequence):
        raise _refused(f"ramp={ramp!r:.60} is not a list such as [1, 5, '25%', '100%']")
    found: list[int] = []
    for share in [*ramp, total or 1]:
        target = min(_count(share, total, math.ceil, "ramp", 1), total)
        if target > (found[-1] if found else 0):
            found.append(target)
    return found


def _count(share: Any, total: int, rounded: Callable[[float], int], name: str, least: int) -> int:
    if isinstance(share, str) and share.isascii() and share.isdecimal():
        share = int(share)  # as a parameter of the command line comes
    if type(share) is int and share >= least:
        return share
    if isinstance(share, str) and share.endswith("%"):
        try:
            per_cent = float(share[:-1])
        except ValueError:
            per_cent = math.nan
        if 0 <= per_cent <= 100 and per_cent >= least:
            return max(least, rounded(round(total * per_cent / 100, 6)))
    raise _refused(f"{name}={share!r:.60} is neither a whole number from {least} nor a share such as '10%'")


def _awaitable(work: Any) -> Awaitable[Any]:
    if isinstance(work, Awaitable):
        return work
    raise _refused(
        f"its function gives {work!r:.60}, which cannot be awaited", "an activity, dwf.sh(...), or async def"
    )


def _refused(why: str, hint: str | None = None) -> ValueRefused:
    return ValueRefused(what="dwf.map()", why=why, hint=hint)


# -- words --------------------------------------------------------------------------------------------------------


def _named(failed: Sequence[Item]) -> str:
    words = [f"{_short(item.item)} ({in_short(said(item.error))[:100]})" for item in failed[:_NAMED] if item.error]
    return ", ".join(words) + _more(len(failed))


def _listed(items: Sequence[Any]) -> str:
    return ", ".join(_short(item) for item in items[:_NAMED]) + _more(len(items))


def _more(count: int) -> str:
    return f" and {count - _NAMED:,} more" if count > _NAMED else ""


def _short(item: Any) -> str:
    return in_short(item if isinstance(item, str) else repr(item))[:60]

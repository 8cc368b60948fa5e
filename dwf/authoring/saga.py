"""Sagas: each step with the way back, and the way back taken when something fails.

    async with dwf.saga() as saga:
        await saga.step(balancer_remove(host), undo=balancer_add(host))
        await saga.step(patch(host), undo=rollback(host))

The way back of a step is on disk before the step begins. When the block is left by a failure or a cancellation, what
has succeeded is taken back in reverse order, each by its own retry policy, and one that cannot be taken back holds up
none of the others. A bug takes nothing back: the run is blocked where it is, and goes on when the script is mended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from dwf.authoring.calls import call_of, name_of
from dwf.authoring.cleanup import drop, to_its_end
from dwf.core.closing import Closed
from dwf.core.futures import in_short
from dwf.core.outcome import said
from dwf.core.runtime import ActivityCall, Runtime, current
from dwf.core.values import text
from dwf.errors import ActivityError, CompensationFailed, ValueRefused

T = TypeVar("T")
Undo = Awaitable[Any] | Sequence[Awaitable[Any]]
_UNKNOWN = "it was cut off, and what it has done is not known"
_HINT = "give an activity, dwf.sh(...), or a list of these: undo=restore(host)"


@dataclass
class _Entry:
    number: int
    of: str
    call: ActivityCall
    due: bool = False
    unknown: bool = False
    """Its step was cut off: whether there is anything to take back is not known."""


class Saga:
    """Made by `dwf.saga()`, used in `async with`."""

    def __init__(self, undo_if_unknown: bool) -> None:
        self._undo_if_unknown = undo_if_unknown
        self._entries: list[_Entry] = []
        self._steps: list[asyncio.Task[Any]] = []
        self._state = "new"

    async def __aenter__(self) -> Saga:
        if self._state != "new":
            raise ValueRefused(what="dwf.saga()", why="it was entered before", hint="make a new one for each block")
        self._state = "open"
        self._runtime: Runtime = current("saga")
        return self

    async def step(self, do: Awaitable[T], /, *, undo: Undo, undo_if_unknown: bool | None = None) -> T:
        """Do something that can be taken back: `await saga.step(switch(host), undo=switch_back(host))`.

        do: a step, or anything else that can be awaited. undo: the step that takes it back, or several, in the order
        in which they are to run; recorded before `do` begins, so their arguments cannot depend on its result (choose
        names and ids beforehand: dwf.uuid4()). They must be safe to repeat.
        undo_if_unknown: take it back also if `do` ended without success (it failed, ran out of time, was cancelled),
        for it may have taken effect in part; the undo must then be safe for a step that never ran. Default: as the
        saga has it, which is False. Raises what `do` raises, ValueRefused.
        """
        try:
            self._check_open()
            call = call_of(do)
            entries = self._record(undo, name_of(do, call))
        except BaseException:
            drop(do, *_listed(undo))
            raise
        if_unknown = self._undo_if_unknown if undo_if_unknown is None else undo_if_unknown
        result: T = await self._do(do, call, entries, if_unknown)
        return result

    def add(self, *, undo: Undo, of: str) -> None:
        """Add a way back by itself, due from now on, for something that is done already. `of`: what it takes back.

        If dwf dies between what was done and this, nobody knows of the way back: `step` is better where it fits.
        """
        try:
            self._check_open()
            entries = self._record(undo, text(of, "of= of saga.add()"))
        except BaseException:
            drop(*_listed(undo))
            raise
        for entry in entries:
            self._settle(entry, due=True)

    def keep(self) -> None:
        """Past the point of no return: what was done so far stays, and is not undone by `dwf undo` either."""
        self._check_open()
        for entry in self._entries:
            if entry.due:
                self._settle(entry, due=False)

    def _owe(self, calls: Sequence[tuple[ActivityCall, str]]) -> None:
        """Put the ways back of another run into this ledger, due from now on."""
        for call, of in calls:
            entry = _Entry(self._runtime.scopes.record_undo(call, of), of, call)
            self._entries.append(entry)
            self._settle(entry, due=True)

    # -- doing --------------------------------------------------------------------------------------------------

    async def _do(self, do: Awaitable[Any], call: ActivityCall | None, entries: list[_Entry], if_unknown: bool) -> Any:
        task = asyncio.current_task()
        assert task is not None
        self._steps.append(task)
        future: Any = None
        try:
            future = None if call is None else self._runtime.activity(call)
            result = await (do if future is None else future)
        except (GeneratorExit, Closed):
            raise
        except BaseException as error:
            if not self._runtime.scopes.is_failure(error):
                raise
            self._settle_all(entries, future, if_unknown, done=False)
            raise
        finally:
            self._steps.remove(task)
        self._settle_all(entries, future, if_unknown, done=True)
        return result

    def _settle_all(self, entries: list[_Entry], future: Any, if_unknown: bool, done: bool) -> None:
        """A step that was not critical may have failed without having raised anything; one that raised, have succeeded.

        Of one that was cut off the entries stay open: `dwf undo --unknown` has them.
        """
        for entry in entries:
            entry.unknown = not if_unknown and future is not None and future.cut_off
            if not entry.unknown:
                self._settle(entry, due=if_unknown or (done if future is None else future.completed))

    def _record(self, undo: Undo, of: str) -> list[_Entry]:
        """Write the way back down. Of several the last is recorded first: they are taken in reverse."""
        calls = [_undo_call(one) for one in _listed(undo)]
        if not calls:
            raise ValueRefused(what="undo= of a saga's step", why="it is empty", hint=_HINT)
        found = []
        for call in reversed(calls):
            found.append(_Entry(self._runtime.scopes.record_undo(call, of), in_short(of), call))
        self._entries += found
        return found

    def _settle(self, entry: _Entry, due: bool) -> None:
        entry.due = due
        self._runtime.scopes.settle_undo(entry.number, due)

    def _check_open(self) -> None:
        if self._state == "undoing":
            # A branch that nobody waits for goes on after the block was left; it must not do what nobody takes back.
            raise asyncio.CancelledError("the saga was left, and what it did is taken back")
        if self._state != "open":
            raise ValueRefused(
                what="a step of a saga",
                why="the saga is not open" if self._state == "new" else "the saga is over",
                hint="async with dwf.saga() as saga: await saga.step(...)",
            )

    # -- taking back --------------------------------------------------------------------------------------------

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state = "over" if error is None else "undoing"
        if error is None or isinstance(error, GeneratorExit | Closed):
            return
        if not self._runtime.scopes.is_failure(error):
            return
        undone, left = await self._work_off(_why(error, self._runtime))
        if left:
            raise CompensationFailed(in_short(said(error) or type(error).__name__), undone, left) from error

    async def _work_off(self, why: str) -> tuple[list[str], list[str]]:
        """Work through the ledger whatever is cancelled meanwhile; the names of what was undone, and what was not."""
        ended = await to_its_end(self._take_back(why))
        ended.cancel_again()
        undone, left = ended.task.result()
        self._runtime.scopes.undone += undone
        unknown = [f"{entry.of} ({_UNKNOWN})" for entry in reversed(self._entries) if entry.unknown]
        self._runtime.scopes.not_undone += left + unknown
        return undone, left

    async def _take_back(self, why: str) -> tuple[list[str], list[str]]:
        """The newest first; what was not undone with the reason."""
        await self._end_steps()
        due = [entry for entry in reversed(self._entries) if entry.due]
        undone: list[str] = []
        left: list[str] = []
        if due:
            self._runtime.scopes.compensate(why, [entry.number for entry in due])
        for entry in due:
            try:
                await self._runtime.scopes.undo(entry.number, entry.call)
            except ActivityError as problem:
                left.append(f"{entry.of} ({in_short(problem.message)})")
            else:
                undone.append(entry.of)
        return undone, left

    async def _end_steps(self) -> None:
        """Steps of this saga that run in other tasks are asked to end: nothing is undone beside what it undoes."""
        running = list(dict.fromkeys(self._steps))
        for task in running:
            task.cancel("the saga was left")
        if running:
            await asyncio.wait(running)


async def take_back(calls: Sequence[tuple[ActivityCall, str]], why: str) -> list[str]:
    """Take back what another run has done: `calls` with what each takes back, the oldest first.

    The names of what was undone. Raises CompensationFailed if something was not.
    """
    async with Saga(False) as ledger:
        ledger._owe(calls)
        undone, left = await ledger._work_off("it was asked for")
    if left:
        raise CompensationFailed(why, undone, left)
    return undone


def saga(*, undo_if_unknown: bool = False) -> Saga:
    """Steps that are taken back when something fails: `async with dwf.saga() as saga: ...` (dwf help cleanup).

    undo_if_unknown: also take back a step that ended without success, and may have taken effect in part.
    When all is undone the error goes on as it was; if something is not, CompensationFailed is raised in its place.
    """
    if type(undo_if_unknown) is not bool:
        raise ValueRefused(what="undo_if_unknown", why=f"it must be True or False, not {undo_if_unknown!r:.60}")
    return Saga(undo_if_unknown)


def _undo_call(undo: Any) -> ActivityCall:
    call = call_of(undo)
    if call is None:
        raise ValueRefused(what="undo= of a saga's step", why=f"{undo!r:.60} is no step", hint=_HINT)
    if call.kind == "step":
        # `dwf undo` has to find it again by its name.
        raise ValueRefused(what="undo= of a saga's step", why="dwf.step(...) has no declared function", hint=_HINT)
    return call


def _why(error: BaseException, runtime: Runtime) -> str:
    if not isinstance(error, asyncio.CancelledError):
        return said(error) or type(error).__name__
    by = runtime.info().cancelled
    if by is None:
        return "it was cancelled by the script, or by a time limit"
    return f"cancelled by {by.by}" + (f": {by.reason}" if by.reason else "")


def _listed(undo: Any) -> list[Any]:
    return list(undo) if isinstance(undo, list | tuple) else [undo]

"""Conditions: what `dwf.wait_until` waits for. They are looked at after each delivered event, and at no other time.

An event is delivered, everything runs until it is blocked, and then the predicates are asked in the order in which
their waits began. The first that holds is let go on, alone, and everything runs until it is blocked again: so what a
predicate said still holds where its `await` comes back. No command is needed; the order follows from the events.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dwf.core.outcome import bug_of
from dwf.errors import BusyLoop, ValueRefused

if TYPE_CHECKING:
    from dwf.core.commands import Commands

Predicate = Callable[[], Any]
# More looks than any real activation takes: two conditions that undo each other for ever are cut here.
_LOOKS = 1_000_000
_READ_ONLY = "a condition of dwf.wait_until()"


class Conditions:
    """The conditions that a run waits for."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._looks = 0
        self.waiting: list[tuple[Predicate, Future[Any]]] = []

    def begin(self) -> None:
        """Another event is delivered: the budget of looks is full again."""
        self._looks = 0

    def wait(self, predicate: Predicate) -> Future[Any]:
        """A future that is done when the predicate is seen to hold."""
        self._commands.check_usable()
        future = self._commands.loop.create_future()
        self.waiting.append((predicate, future))
        return future

    def wake(self) -> bool:
        """Let the first go on whose predicate holds. False if there is none."""
        self.waiting = [one for one in self.waiting if not one[1].done()]
        for predicate, future in self.waiting:
            if self.holds(predicate):
                future.set_result(None)
                return True
        return False

    def holds(self, predicate: Predicate) -> bool:
        """Ask it once. What it raises is a bug, whoever would catch it."""
        commands = self._commands
        commands.check_usable()
        self._looks += 1
        if self._looks > _LOOKS:
            raise commands.voided(BusyLoop(what=f"{_LOOKS:,} looks at conditions in one go", where=commands.where()))
        with commands.only_looking(_READ_ONLY):
            try:
                found = predicate()
                if hasattr(found, "__await__"):
                    getattr(found, "close", lambda: None)()
                    raise ValueRefused(what=_READ_ONLY, why="it is to be awaited; a plain function can be asked")
                return bool(found)
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                raise commands.voided(bug_of(error, commands.is_script)) from error

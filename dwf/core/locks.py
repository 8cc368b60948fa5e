"""Locks between runs, as the script asks for them. Who gets one, and when, is no matter of core.

A lock belongs to the run, not to a process: it is held from one event of its history to another, for days if need be.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from dwf.core.events import Closing, LockAcquired, LockReleased, LockRequested
from dwf.core.tasks import WorkflowFuture
from dwf.core.values import text
from dwf.errors import InternalError, ScriptBug

if TYPE_CHECKING:
    from dwf.core.commands import Commands

LONGEST_NAME = 100


class LockFuture(WorkflowFuture):
    """That the lock is held: `number` names it then. Cancelling it leaves the line."""

    def __init__(self, number: int, name: str, commands: Commands) -> None:
        super().__init__(loop=commands.loop)
        self.number, self.name = number, name
        self.task = asyncio.current_task(commands.loop)
        self.held = False
        self._commands = commands

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        self._commands.locks.release(self.number)
        return super().cancel(msg)

    def settle(self, event: Closing) -> None:
        if not isinstance(event, LockAcquired):
            raise InternalError(what=f"the wait for a lock was ended by {type(event).__name__}")
        self.held = True
        if not self.done():
            self.set_result(self.number)


class Locks:
    """What one run has asked for and not given up, by number."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._open: dict[int, LockFuture] = {}

    def request(self, name: str, slots: int) -> LockFuture:
        """Stand in line for a lock. A task that holds it already would wait for itself."""
        commands = self._commands
        commands.check_usable()
        task = asyncio.current_task(commands.loop)
        if any(lock.held and lock.name == name and lock.task is task for lock in self._open.values()):
            raise commands.voided(
                ScriptBug(
                    type="LockHeld",
                    reason=f"dwf.lock({name!r}) in a block that holds it already would wait for itself",
                    where=commands.where(),
                    hint="take it once, around both; another task of the run may wait for it",
                )
            )
        name = text(name, "the name of a lock", LONGEST_NAME)
        number = commands.issue(LockRequested(command=commands.issued + 1, name=name, slots=slots))
        future = self._open[number] = LockFuture(number, name, commands)
        commands.wait_for_closing(number, future.settle)
        return future

    def release(self, number: int) -> None:
        """Give it up, or leave the line. Asking twice is harmless."""
        if number in self._open:
            self._commands.issue(LockReleased(command=self._commands.issued + 1, lock=number))
            self._commands.wait_no_more(number)
            del self._open[number]

    def words(self) -> list[str]:
        """What may not be left behind, in words."""
        return [f"lock {lock.name}" for lock in self._open.values()]

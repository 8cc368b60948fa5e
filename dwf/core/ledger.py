"""The ledger: the script's commands are numbered here, and each must be the one that the history recorded.

Every command goes through `issue`: it gets the next number, must equal the recorded opening of that number if there is
one, and is new otherwise. An error in here is sticky (`void`): whatever the script's `except` does with it, the
activation counts for nothing and the run is blocked.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from dwf.core.closing import Closed
from dwf.core.events import Opening
from dwf.core.matching import described, matches, waiting_lines
from dwf.core.outcome import bug_of, leaves_of, place, raised_at, said
from dwf.core.tasks import WorkflowTask
from dwf.errors import BusyLoop, DwfError, GuardError, NondeterminismError, ScriptBug, ScriptError

if TYPE_CHECKING:
    from dwf.core.replay import Replay

DIVERGED = "put the script back, guard the change with dwf.patched(), or start a new run"
# While one of these is being handled, the script is not handling a failure but stumbling over itself.
_BUGS = (NameError, TypeError, AttributeError, ImportError, AssertionError, GuardError)
# More commands than any real activation issues: a loop that asks for ever and never waits is cut here.
COMMAND_BUDGET = 250_000
_NOWHERE = "the script"


class Ledger:
    """What a script has asked for so far, and whether that still counts.

    recorded: every opening of the whole file. issued: how many commands there were. void: why this activation counts
    for nothing, if it does. closing: the run is being closed, and nothing may be asked for any more. reader: what is
    running that may only look, in words; "" if nothing is.
    """

    def __init__(self, replay: Replay, recorded: Sequence[Opening]) -> None:
        self.replay = replay
        self.recorded = list(recorded)
        self.issued = 0
        self.closing = False
        self.reader = ""
        self.void: DwfError | None = None
        self.handled_outside: BaseException | None = None
        """The exception that the engine itself was handling when it called: none of the script's."""
        self._fresh: list[Opening] = []
        self._places: dict[int, str] = {}

    def issue(self, opening: Opening) -> int:
        """Ask for something; its number."""
        self.check_usable()
        handled = sys.exc_info()[1]
        if handled is not None and handled is not self.handled_outside:
            self._refuse_in_a_bug(opening, handled)
        number = opening.command
        self.issued = number
        if number <= len(self.recorded):
            record = self.recorded[number - 1]
            if not matches(record, opening):
                raise self.voided(self._diverged(record, opening))
            return number
        self._fresh.append(opening)
        if len(self._fresh) > COMMAND_BUDGET:
            raise self.voided(BusyLoop(what=f"{COMMAND_BUDGET:,} commands in one go", where=self.where()))
        if not self.replay.live:
            self._places[number] = self.where()
        return number

    def check_usable(self) -> None:
        """Raises what ends this activation, if anything does."""
        if self.closing:
            raise Closed
        if self.void is not None:
            raise self.void
        if self.reader:
            why = f"{self.reader} may only look, and asks for something to be done"
            raise self.voided(ScriptBug(type="ReadOnly", reason=why, where=self.where()))

    @contextlib.contextmanager
    def only_looking(self, reader: str) -> Iterator[None]:
        """In the block whatever is asked for makes the activation void. `reader`: who is it that may only look."""
        before, self.reader = self.reader, reader
        try:
            yield
        finally:
            self.reader = before

    def take_new(self) -> list[Opening]:
        """The openings asked for and not recorded yet, in order; they count as recorded from now on."""
        fresh, self._fresh = self._fresh, []
        self._places.clear()
        return fresh

    def asked_at(self, number: int) -> tuple[str, str]:
        """A command that is asked for too early, in words, with the line that asks for it."""
        where = self._or_waiting(self._places.get(number, _NOWHERE))
        if number <= len(self.recorded):
            early = self.recorded[number - 1]  # the very command, but what it was asked for after has not happened yet
            return f"{described(early)} already, which is recorded later, in line {early.id}", where
        return described(next(opening for opening in self._fresh if opening.command == number)), where

    def voided(self, error: DwfError) -> DwfError:
        """From here on the activation counts for nothing. The first reason stays, and is returned to be raised."""
        self.void = self.void or error
        return self.void

    def _diverged(self, record: Opening, asked: Opening) -> NondeterminismError:
        return NondeterminismError(
            line=record.id,
            recorded=described(record),
            where=self._or_waiting(self.where()),
            asked=described(asked),
            hint=DIVERGED,
        )

    # -- bugs ---------------------------------------------------------------------------------------------------

    def _refuse_in_a_bug(self, opening: Opening, handled: BaseException) -> None:
        bug = self._bug_in(handled)
        if bug is None:
            return
        raise self.voided(
            ScriptBug(
                type=type(bug).__name__,
                reason=f"{said(bug)}; while handling that, the script went on to {described(opening)}",
                where=raised_at(bug, self.is_script, handled),
                hint="a bug must not start a cleanup: catch dwf.ActivityError, not Exception",
            )
        )

    def _bug_in(self, error: BaseException) -> BaseException | None:
        if self.replay.program.bug_fails:
            return None
        return next((leaf for leaf in leaves_of(error) if isinstance(leaf, _BUGS)), None)

    def stop_at_bug(self, error: BaseException) -> None:
        """Make the activation void if that exception is a bug by its nature."""
        if self._bug_in(error) is not None:
            self.voided(bug_of(error, self.is_script))

    def is_script(self, filename: str) -> bool:
        """Whether code of that file is the script's own."""
        return self.replay.program.is_script(filename)

    # -- places -------------------------------------------------------------------------------------------------

    def where(self) -> str:
        """The innermost line of the script that is running now."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if self.is_script(frame.f_code.co_filename):
                return place(frame.f_code.co_filename, frame.f_lineno)
            frame = frame.f_back
        return _NOWHERE

    def _or_waiting(self, where: str) -> str:
        """A step in a gather is begun by the loop, with no line of the script above it: then where that is awaited."""
        if where != _NOWHERE:
            return where
        return self.waiting_at(self.replay.loop.live_tasks()).partition(" in ")[0]

    def waiting_at(self, tasks: Sequence[WorkflowTask]) -> str:
        """Where the first of those tasks waits, in the script's own lines."""
        for task in tasks:
            lines = waiting_lines(task, self.is_script)
            if lines:
                return lines[-1]
        return "the end of the script"

    def refuse(self, error: ScriptError) -> None:
        """Make this activation void without raising into the script."""
        self.voided(error)

"""The undo ledger: what a run could take back, what it has taken back, and what it could not.

Part of the fold of a history. An entry is there before its step begins, so that whoever dies in the middle leaves word
of it; it is due once the step has succeeded. Entries stay when the run has ended: `dwf undo` works through them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from dwf.core import events as ev


class Stand(Enum):
    """How it stands with one entry."""

    OPEN = "open"  # its step has not ended: whether there is anything to take back is not known
    DUE = "due"
    DROPPED = "dropped"  # its step did not succeed
    BEGUN = "begun"
    UNDONE = "undone"
    FAILED = "failed"


@dataclass(slots=True)
class Undo:
    """One entry. `why`: what kept it from being undone."""

    recorded: ev.UndoRecorded
    stand: Stand = Stand.OPEN
    why: str = ""

    @property
    def of(self) -> str:
        """What it takes back, for people."""
        return self.recorded.of

    @property
    def told(self) -> str:
        """The same, with what went wrong."""
        return f"{self.of} ({self.why})" if self.why else self.of


@dataclass(slots=True)
class Undos:
    """All entries of a run, by the number of the command that recorded them, oldest first."""

    entries: dict[int, Undo] = field(default_factory=dict)
    compensation: ev.CompensationStarted | None = None
    """The last one that began."""

    # -- changes ------------------------------------------------------------------------------------------------

    def record(self, event: ev.UndoRecorded) -> None:
        self.entries[event.command] = Undo(event)

    def settle(self, event: ev.UndoSettled) -> None:
        self.entries[event.undo].stand = Stand.DUE if event.due else Stand.DROPPED

    def compensate(self, event: ev.CompensationStarted) -> None:
        self.compensation = event

    def begin(self, number: int) -> None:
        """A step was scheduled that belongs to command `number`, which need not be an entry."""
        if (entry := self.entries.get(number)) is not None:
            entry.stand = Stand.BEGUN

    def end(self, number: int, closing: ev.Closing) -> None:
        """That step is over."""
        entry = self.entries.get(number)
        if entry is None:
            return
        done = isinstance(closing, ev.ActivityCompleted)
        entry.stand = Stand.UNDONE if done else Stand.FAILED
        entry.why = "" if done else _why(closing)

    # -- questions ----------------------------------------------------------------------------------------------

    def that_are(self, *stands: Stand) -> list[Undo]:
        """The entries that stand so, oldest first."""
        return [entry for entry in self.entries.values() if entry.stand in stands]

    def compensated(self) -> list[Undo]:
        """The entries of the compensation that began last, in its order."""
        if self.compensation is None:
            return []
        return [self.entries[number] for number in self.compensation.undos]

    def left(self) -> list[Undo]:
        """What is still to be taken back, or may be: the newest first."""
        return self.that_are(Stand.OPEN, Stand.DUE, Stand.BEGUN, Stand.FAILED)[::-1]


def _why(closing: ev.Closing) -> str:
    if isinstance(closing, ev.ActivityFailed):
        return " ".join(closing.error.message.split())[:300]
    return "it timed out" if isinstance(closing, ev.ActivityTimedOut) else "it was cancelled"

"""What holds several steps together, as commands: sagas with their undo ledger, and fan-outs."""

from __future__ import annotations

import hashlib
from asyncio import Future
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from dwf.core.events import CompensationStarted, FanOutStarted, ItemCarried, UndoRecorded, UndoSettled
from dwf.core.futures import in_short
from dwf.core.outcome import bug_of, only_failures
from dwf.core.runtime import ActivityCall
from dwf.core.values import canonical, convert, decode
from dwf.errors import ValueRefused

if TYPE_CHECKING:
    from dwf.core.commands import Commands
    from dwf.core.replay import Replay

MOST_ITEMS = 10_000
"""Of all fan-outs of a run: each is three lines of its history, which every tick that takes it up reads."""


class Carried(NamedTuple):
    """The result of an item that an earlier run has done."""

    value: Any


def fingerprint(given: bytes) -> str:
    """What tells the calls of one step from each other, whatever the order of keys."""
    return hashlib.sha256(canonical(given)).hexdigest()[:32]


class Scopes:
    """The part of the runtime that sagas and fan-outs ask. `undone`, `not_undone`: for the record of the end."""

    def __init__(self, commands: Commands, replay: Replay) -> None:
        self._commands, self._replay = commands, replay
        self.undone: list[str] = []
        self.not_undone: list[str] = []
        self._items = 0
        self._carried: dict[tuple[str, str], deque[Any]] | None = None

    def record_undo(self, call: ActivityCall, of: str) -> int:
        """Write down how a step can be taken back, before it begins; the number of the entry."""
        return self._commands.issue(
            UndoRecorded(
                command=self._commands.issued + 1,
                of=in_short(of),
                name=call.name,
                kind=call.kind,
                input=call.input,
                title=call.title,
                timeout=call.timeout_us,
                max_attempts=call.retry.max_attempts or 0,
            )
        )

    def settle_undo(self, number: int, due: bool) -> None:
        """The step of that entry has ended; `due`: it would have to be taken back."""
        self._commands.issue(UndoSettled(command=self._commands.issued + 1, undo=number, due=due))

    def compensate(self, why: str, undos: Sequence[int]) -> None:
        """From here on those entries are worked through, in that order."""
        command = CompensationStarted(command=self._commands.issued + 1, why=in_short(why), undos=list(undos))
        self._commands.issue(command)

    def undo(self, number: int, call: ActivityCall) -> Future[Any]:
        """Begin to take back an entry. A failure is always told: what was not undone must not pass for undone."""
        return self._commands.activity(replace(call, part_of=number, instead=None))

    def fan_out(self, name: str, items: int, tolerated: int, stages: Sequence[int]) -> int:
        """From here on a step is run for each of many items; the number of this. Raises ValueRefused for too many."""
        self._items += items
        if self._items > MOST_ITEMS:
            raise ValueRefused(
                what="dwf.map()",
                why=f"with these {items:,} there are {self._items:,} items in one run; the limit is {MOST_ITEMS:,}",
                hint="give each item more to do, or divide them over several runs",
            )
        command = FanOutStarted(
            command=self._commands.issued + 1, name=name, items=items, tolerated=tolerated, stages=list(stages)
        )
        return self._commands.issue(command)

    def carried(self, number: int, call: ActivityCall) -> Any:
        """The result of an item that was done before this run began, as Carried; None if it was not."""
        if self._carried is None:
            self._carried = self._read_carried()
        key = call.name, fingerprint(bytes(call.input))
        results = self._carried.get(key)
        if not results:
            return None
        self._commands.issue(
            ItemCarried(command=self._commands.issued + 1, part_of=number, name=key[0], fingerprint=key[1])
        )
        return Carried(convert(results.popleft(), call.result_type))

    def _read_carried(self) -> dict[tuple[str, str], deque[Any]]:
        found: dict[tuple[str, str], deque[Any]] = {}
        for name, print_, result in decode(self._commands.read(self._replay.started.carried)) or []:
            found.setdefault((name, print_), deque()).append(result)
        return found

    def is_failure(self, error: BaseException) -> bool:
        """Whether that is a failure or a cancellation. A bug is neither: it makes the activation void."""
        if only_failures(error, self._replay):
            return True
        self._commands.voided(bug_of(error, self._commands.is_script))
        return False

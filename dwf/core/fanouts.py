"""Fan-outs: how far a run has come with many items. Part of the fold of a history; counts, and the first failures."""

from __future__ import annotations

from dataclasses import dataclass, field

from dwf.core import events as ev

_KEPT = 20


@dataclass(slots=True)
class FanOut:
    """One `dwf.map`. `failures`: the first steps that failed, by command number; `carried`: items done elsewhere."""

    started: ev.FanOutStarted
    begun: int = 0
    done: int = 0
    failed: int = 0
    carried: int = 0
    failures: list[int] = field(default_factory=list)

    def begin(self, number: int) -> None:
        self.begun += 1

    def end(self, number: int, closing: ev.Closing) -> None:
        """A step of it is over."""
        if isinstance(closing, ev.ActivityCompleted):
            self.done += 1
            return
        self.failed += 1
        if len(self.failures) < _KEPT:
            self.failures.append(closing.command)

    @property
    def open(self) -> int:
        """How many of its steps have no outcome yet."""
        return self.begun - self.done - self.failed

    @property
    def stage(self) -> int:
        """The stage it is in, from 1."""
        return 1 + sum(self.begun > target for target in self.started.stages[:-1])

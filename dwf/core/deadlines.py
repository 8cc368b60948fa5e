"""Deadlines: how long a run may take, as its workflow says, and as line 1 of its history has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dwf.core.duration import LAST_MICROS, stamp
from dwf.core.events import DeadlinePassed, WorkflowStarted

ON_DEADLINE = ("cancel", "terminate")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a run may take, in microseconds; 0 is without a limit.

    deadline_us: from its start to its end, however often it goes on in a new instance. run_timeout_us: one instance.
    on_deadline: what becomes of it then, "cancel" (its script cleans up) or "terminate" (it ends at once).
    """

    deadline_us: int = 0
    run_timeout_us: int = 0
    on_deadline: str = "cancel"

    def at_start(self, begins_us: int) -> dict[str, Any]:
        """The fields of WorkflowStarted for a run that begins then."""
        if not self.deadline_us and not self.run_timeout_us:
            return {}
        found = within(begins_us, self.run_timeout_us) | {"on_deadline": self.on_deadline}
        return found | ({"deadline": _after(begins_us, self.deadline_us)} if self.deadline_us else {})


UNLIMITED = Limits()


def within(begins_us: int, run_timeout_us: int) -> dict[str, Any]:
    """The fields of WorkflowStarted for an instance that begins then and may take so long."""
    if not run_timeout_us:
        return {}
    return {"run_timeout": run_timeout_us, "run_deadline": _after(begins_us, run_timeout_us)}


def _after(begins_us: int, length_us: int) -> str:
    return stamp(min(begins_us + length_us, LAST_MICROS))


def earliest(head: WorkflowStarted) -> str:
    """When an instance has to be over; "" if it may take for ever."""
    return min(filter(None, (head.deadline, head.run_deadline)), default="")


def passed(head: WorkflowStarted) -> DeadlinePassed:
    """What is delivered to the script then."""
    due = earliest(head)
    whole = due == head.deadline
    return DeadlinePassed(due=due, whole=whole, reason="its deadline has passed" if whole else "its run timeout is up")

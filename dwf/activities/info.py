"""What an activity may know about itself while it runs."""

from __future__ import annotations

from contextvars import ContextVar

from dwf.activities.plan import Attempt
from dwf.errors import NotInWorkflow


class ActivityInfo:
    """The attempt that is running: `run`, `step` (its name), `attempt` (from 1)."""

    __slots__ = ("_attempt",)

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    @property
    def run(self) -> str:
        return self._attempt.run

    @property
    def step(self) -> str:
        return self._attempt.name

    @property
    def attempt(self) -> int:
        return self._attempt.attempt

    def idempotency_key(self, operation: str = "") -> str:
        """The same for every attempt of this step, on every host; `operation` tells several effects of it apart.

        Shell steps find it, without operation, in $DWF_IDEMPOTENCY_KEY.
        """
        return f"{self._attempt.key}:{operation}" if operation else self._attempt.key


# A context variable, because one thread runs many async activities.
CURRENT: ContextVar[ActivityInfo | None] = ContextVar("dwf_activity", default=None)


def activity_info() -> ActivityInfo:
    """The activity that is running here. Raises NotInWorkflow outside of one."""
    info = CURRENT.get()
    if info is None:
        raise NotInWorkflow(what="activity_info()", hint="call it inside a function decorated with @dwf.activity")
    return info

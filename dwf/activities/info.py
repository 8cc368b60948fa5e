"""What an activity may know about itself while it runs, and how it says that it is alive."""

from __future__ import annotations

import signal
import threading
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from msgspec.structs import replace

from dwf.activities.plan import Asked, Attempt, Kind, Outcome
from dwf.core.values import decode, encode
from dwf.errors import ActivityCancelled, NotInWorkflow, ValueRefused

if TYPE_CHECKING:
    from dwf.activities.pulse import Pulse


class Caller(Protocol):
    """Who performs an attempt, as the attempt may ask it."""

    def asked(self) -> Asked | None:
        """Whether it is to end, and why."""
        ...

    def listen(self) -> None:
        """From here on it asks, now and then."""
        ...


class ActivityInfo:
    """The attempt that is running: `run`, `step` (its name), `attempt` (from 1)."""

    def __init__(self, attempt: Attempt, caller: Caller | None = None) -> None:
        self._attempt, self._caller = attempt, caller

    @property
    def run(self) -> str:
        return self._attempt.run

    @property
    def step(self) -> str:
        return self._attempt.name

    @property
    def attempt(self) -> int:
        return self._attempt.attempt

    @property
    def heartbeat_details(self) -> Any:
        """The details of the last heartbeat of an earlier attempt that had any, as JSON data; None without."""
        return decode(self._attempt.details)

    @property
    def shutdown_requested(self) -> bool:
        """Whether dwf is stopping: it waits a little for this attempt; what is cut off then is made again."""
        asked = self._asked()
        return asked is not None and asked.kind is Kind.INTERRUPTED

    @property
    def cancel_reason(self) -> str | None:
        """Why it was asked to end, and by whom; None if it was not. dwf.heartbeat() raises then."""
        asked = self._asked()
        return asked.reason if asked is not None and asked.kind is not Kind.INTERRUPTED else None

    def _asked(self) -> Asked | None:
        if self._caller is None:
            return None
        self._caller.listen()
        return self._caller.asked()

    def idempotency_key(self, operation: str = "") -> str:
        """The same for every attempt of this step, on every host; `operation` tells several effects of it apart.

        Shell steps find it, without operation, in $DWF_IDEMPOTENCY_KEY.
        """
        return f"{self._attempt.key}:{operation}" if operation else self._attempt.key

    # -- heartbeats, by way of heartbeat() ----------------------------------------------------------------------

    @cached_property
    def pulse(self) -> Pulse:
        """Made with the first heartbeat; most activities have none."""
        from dwf.activities.pulse import Pulse

        return Pulse(self._attempt.pulse)

    def beat(self, details: bytes | None) -> None:
        """Raises ActivityCancelled if it was asked to end."""
        self.pulse.beat(details)
        if (reason := self.cancel_reason) is not None:
            raise ActivityCancelled(self.step, "Cancelled", reason)

    def with_heartbeat(self, outcome: Outcome) -> Outcome:
        """What is told of its end: the last details go along."""
        pulse = self.__dict__.get("pulse")
        if pulse is None:
            return outcome
        pulse.flush()
        return replace(outcome, heartbeat=pulse.last or b"null")


class Listening:
    """A process of its own, which is told to end by SIGTERM, and why by a file.

    It is ended by that at once, until it has asked once, or beaten, which asks: from then on the grace is its own.
    """

    def __init__(self, path: str) -> None:
        self._path, self._told, self._listens = path, False, False

    def asked(self) -> Asked | None:
        from dwf.activities.pulse import asked_of

        return asked_of(self._path) or Asked(Kind.CANCELLED, "it was told to end") if self._told else None

    def listen(self) -> None:
        if not self._listens and threading.current_thread() is threading.main_thread():
            self._listens = True
            signal.signal(signal.SIGTERM, self._hear)

    def _hear(self, *_: object) -> None:
        self._told = True


# A context variable, because one thread runs many async activities.
CURRENT: ContextVar[ActivityInfo | None] = ContextVar("dwf_activity", default=None)


def activity_info() -> ActivityInfo:
    """The activity that is running here. Raises NotInWorkflow outside of one."""
    info = CURRENT.get()
    if info is None:
        raise NotInWorkflow(what="activity_info()", hint="call it inside a function decorated with @dwf.activity")
    return info


def heartbeat(details: Any = None) -> None:
    """Say that this activity is alive, and how far it is: `details` (JSON, 64 KiB) are what the next attempt finds.

    Without details those of the heartbeat before stay. It costs no sync: however often it is called, at most four times
    a second something is written, and the last always is. Outside of dwf, where an activity is just its function, it
    does nothing. Raises ActivityCancelled if the activity was asked to end; ValueRefused for details that are no JSON.
    """
    info = CURRENT.get()
    if info is None:
        return
    data = None if details is None else encode(details, "the details of a heartbeat")
    if data is not None and len(data) > LARGEST_DETAILS:
        why = f"they have {len(data):,} bytes; the limit is {LARGEST_DETAILS:,}"
        raise ValueRefused(what="the details of a heartbeat", why=why, hint="keep them elsewhere, and name the place")
    info.beat(data)


LARGEST_DETAILS = 64 * 1024

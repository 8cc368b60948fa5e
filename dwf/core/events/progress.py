"""Progress events: news for people and for the engine. The script never sees them."""

# ruff: noqa: RUF012 - msgspec gives each record its own copy of a mutable default

from __future__ import annotations

from dwf.core.events.base import Event, Role
from dwf.core.parts import NOTHING, Decision, Divergence, ErrorInfo, Identity, Output, Payload


class Progress(Event, frozen=True, kw_only=True):
    role = Role.PROGRESS


class ActivityStarted(Progress, frozen=True, kw_only=True):
    """On disk before the attempt acts. `pid`, its start time (clock ticks) and the boot name one process for good."""

    command: int
    attempt: int
    pid: int = 0
    pid_start: int = 0
    boot: str = ""


class ActivityAttemptFailed(Progress, frozen=True, kw_only=True):
    """An attempt ended badly and another will be made at `retry_at`. `heartbeat`: the details of its last.

    `spared`: dwf was told to stop, so it does not count.
    """

    command: int
    ended: str = ""
    attempt: int
    error: ErrorInfo
    retry_at: str
    output: Output | None = None
    heartbeat: Payload = NOTHING
    spared: bool = False


class ActivityUnknown(Progress, frozen=True, kw_only=True):
    """Nobody saw how an attempt ended, so it may have taken effect. `probed`: its probe could not tell either."""

    command: int
    attempt: int
    why: str
    probed: bool = False
    heartbeat: Payload = NOTHING


class ActivityRetryRequested(Progress, frozen=True, kw_only=True):
    """A person has decided that a step is to be tried again, now."""

    command: int
    decided: Decision


class ActivityOverruled(Progress, frozen=True, kw_only=True):
    """A person has decided what becomes of a step while an attempt runs: that is ended, and its result dropped.

    `act`: complete, skip, fail or retry.
    """

    command: int
    act: str
    result: Payload = NOTHING
    decided: Decision


class ActivityPaused(Progress, frozen=True, kw_only=True):
    """No attempt of the step begins until it is unpaused."""

    command: int
    decided: Decision


class ActivityUnpaused(Progress, frozen=True, kw_only=True):
    command: int
    decided: Decision


class ActivityReset(Progress, frozen=True, kw_only=True):
    """Its attempts are counted anew, and the next begins now. `keep`: it finds the details of the last heartbeat."""

    command: int
    keep: bool = False
    decided: Decision


class ActivityOptionsChanged(Progress, frozen=True, kw_only=True):
    """`options`: those that are others now, by the names that ActivityScheduled has for them."""

    command: int
    options: dict[str, int]
    decided: Decision


class TimerMoved(Progress, frozen=True, kw_only=True):
    """A person has decided that a timer is to fire at another time."""

    command: int
    fire_at: str
    decided: Decision


class ApprovalAnswered(Progress, frozen=True, kw_only=True):
    """One person's answer. Enough of them resolve the approval."""

    command: int
    answer: str
    message: str = ""
    by: Identity | None = None
    comment: str = ""
    posted: str = ""


class CallbackHeartbeat(Progress, frozen=True, kw_only=True):
    """Whoever works on a callback is still there."""

    command: int
    decided: Decision


class RunBlocked(Progress, frozen=True, kw_only=True):
    """The script cannot go on until somebody acts. Recorded once per distinct reason."""

    code: str
    message: str
    hint: str = ""
    where: str = ""
    code_hash: str = ""
    diverged: Divergence | None = None


class RunUnblocked(Progress, frozen=True, kw_only=True):
    """`decided`: a person let it go on; else it goes on because what was in its way is gone."""

    decided: Decision | None = None


class RunPaused(Progress, frozen=True, kw_only=True):
    """A person has said that nothing of it begins and its script is told nothing; facts are recorded all the same."""

    decided: Decision


class RunResumed(Progress, frozen=True, kw_only=True):
    """It goes on; its script is told what has happened meanwhile."""

    decided: Decision


class LineLeftOut(Progress, frozen=True, kw_only=True):
    """Stands where a line of the run that this one goes on from said something that does not hold here."""

    was: str


class CodeUpgraded(Progress, frozen=True, kw_only=True):
    code: str
    script: str
    code_owner: int = -1
    code_permissions: str = ""
    packages: dict[str, str] = {}
    """what the new code imports, as in WorkflowStarted"""
    by: Identity | None = None
    reason: str = ""


class CodeRefused(Progress, frozen=True, kw_only=True):
    """A run that follows its file stays on its code: what the file holds now does not fit. Once per content.

    `code`: of the file, empty if it cannot be told. `line`: of the history, where they part.
    """

    code: str = ""
    script: str
    message: str
    where: str = ""
    line: int = 0


class HandlersRegistered(Progress, frozen=True, kw_only=True):
    """What the run takes by handlers of its script, each time that has changed. `any_signal`: those of any name."""

    signals: list[str] = []
    any_signal: bool = False
    updates: list[str] = []
    queries: list[str] = []

    @property
    def wakes(self) -> bool:
        """Whether anything that is sent to the run would be taken."""
        return bool(self.signals or self.any_signal or self.updates)


class HistoryRepaired(Progress, frozen=True, kw_only=True):
    """A torn tail was cut off, or what a person has given up (`decided`); the bytes are kept beside the histories."""

    dropped_bytes: int
    sha256: str
    decided: Decision | None = None


class _Moving(Progress, frozen=True, kw_only=True):
    by: Identity | None = None
    reason: str = ""
    machine: str = ""  # derived from the machine's id


class RunMoved(_Moving, frozen=True, kw_only=True):
    """This copy goes no further; the run goes on where the bundle `to` is taken up."""

    to: str = ""


class RunAdopted(_Moving, frozen=True, kw_only=True):
    """A moved run goes on in this copy."""


class RunImported(_Moving, frozen=True, kw_only=True):
    """This is a copy for inspection: nothing is done with it."""

"""What events are made of: who did something, what went wrong, what was printed, what a person decided.

Persisted like the events themselves (events.py): names and fields are added to, never renamed.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

Payload = msgspec.Raw
NOTHING = msgspec.Raw(b"null")


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all persisted records share: immutable, named fields, defaults left out."""


class CodeFrom(StrEnum):
    """Why a run was started on the code that it began on."""

    FILE = "file"
    """that is what its file held"""
    KEPT = "kept"
    """a route keeps it for new starts"""
    RAMP = "ramp"
    """that is what its file held, of which a route lets some take it"""
    NAMED = "named"
    """it was asked for by its hash"""


class Flow(Part, frozen=True, kw_only=True):
    """What a step shares with steps of other runs; core/flow.py says more.

    queue: which ticks begin it; "" is any. limit: a name, of which `at_once` may run and `rate` may begin in `window`
    microseconds. key: one step at a time has it. priority: who is higher goes first.
    """

    queue: str = ""
    limit: str = ""
    at_once: int = 0
    rate: int = 0
    window: int = 0
    key: str = ""
    priority: int = 0


class Identity(Part, frozen=True, kw_only=True):
    """Who did something. `uid` comes from the kernel; the rest are claims of the sender's environment."""

    uid: int
    login: str = ""
    sudo_user: str = ""
    tty: str = ""
    ssh_client: str = ""
    host: str = ""
    pid: int = 0


class Origin(Part, frozen=True, kw_only=True):
    """Which run made another, and by which of its commands. `nonce`: of the instance of it that did.

    `alone`: nobody waits for how it ends.
    """

    run: str
    nonce: str
    command: int
    alone: bool = False

    @property
    def mark(self) -> str:
        """What the index knows the child by."""
        return f"{self.nonce}.{self.command}"


class ErrorInfo(Part, frozen=True, kw_only=True):
    """An exception as data: `type` is its class name, `details` are facts a script may act on."""

    type: str
    message: str
    details: Payload = NOTHING
    traceback: str = ""


class Output(Part, frozen=True, kw_only=True):
    """What a step printed. `tail` and `err_tail` are the last part, decoded; all of it is in the file named `ref`."""

    ref: str = ""
    size: int = 0
    sha256: str = ""
    tail: str = ""
    err_tail: str = ""
    truncated: bool = False


class RetryPolicy(Part, frozen=True, kw_only=True):
    """How a run is tried again, as it was said where it was asked for. Microseconds; max_attempts: 0 is without limit.

    non_retryable: names of exception classes.
    """

    max_attempts: int = 0
    initial: int = 0
    backoff: float = 1.0
    max_interval: int = 0
    jitter: str = "none"
    non_retryable: list[str] = []


class Divergence(Part, frozen=True, kw_only=True):
    """The two sides of a script that no longer fits its history: what line `line` recorded, and what is asked now."""

    line: int
    recorded: str
    asked: str


class Evidence(Part, frozen=True, kw_only=True):
    """A file that shows what a person says: its name, its size, its sha256, and what was in it, decoded."""

    name: str
    size: int
    sha256: str
    text: str = ""


class Decision(Part, frozen=True, kw_only=True):
    """A person's word on a step, in place of what the step itself would have said. `message`: the letter's id."""

    by: Identity | None = None
    reason: str = ""
    message: str = ""
    posted: str = ""
    evidence: Evidence | None = None


class Named(Part, frozen=True, kw_only=True):
    """What the children of a run are called after, up to that command."""

    upto: int
    name: str


class Follows(Part, frozen=True, kw_only=True):
    """The instance of a run that another one goes back to. `how`: "undo", it takes back what that one did; "retry", it
    does the items that failed there, or goes on from the step that failed last; "reset" or "fork", it goes on from
    any line of it.

    For who goes on from a line: the first `lines` lines are that one's, and the first `commands` commands. `seed`: of
    what is drawn by chance. `named`: what children are called after, each up to so many commands. `at`: when it was
    made.
    """

    run: str
    nonce: str
    how: str
    lines: int = 0
    commands: int = 0
    seed: str = ""
    named: list[Named] = []
    at: str = ""

"""What one attempt of a step is given, and what comes back. Data only: nothing in here acts.

An attempt goes: prepare (a process is spawned, but gated) -> the engine puts ActivityStarted on disk -> `go()` ->
`finish()` -> an Outcome, which the engine writes down as an event. Whether another attempt is made is decided there.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec

from dwf.core.events import ErrorInfo, Output
from dwf.core.steps import START_TO_CLOSE
from dwf.host import Process

MEBIBYTE = 1024 * 1024
MAX_FILE = 10 * MEBIBYTE
MAX_RESULT = 64 * 1024
GRACE_US = 5_000_000
# What a step writes may hold secrets; a step that wants others to read it says so.
UMASK = 0o077
# Recorded for work that has no process of its own: there is nothing that could be found or ended later.
NO_PROCESS = Process(0, 0, "")


class Kind(Enum):
    """How an attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class Asked(NamedTuple):
    """Why a step is made to end. which: of the timeouts, if it is another than the attempt's own limit."""

    kind: Kind
    reason: str
    which: str = ""


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """Another host, as ssh takes it. config: ssh's configuration file, "" for the usual ones. lost_us: for how long a
    lost connection is tried to be made anew.
    """

    host: str
    config: str = ""
    lost_us: int = 600_000_000


class ShellSpec(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", tag="shell"):
    """A command line: `argv` alone, or `script` for /bin/sh with `argv` as its $1, $2, ...

    The fields are those of a shell step's recorded input. cwd: "" is the directory of dwf. env: added to the clean
    environment. stdin: None is /dev/null. ok_codes: exit codes that count as done. max_output: bytes of each of stdout
    and stderr in the result; max_file: bytes of each that are kept on disk. expect: a regular expression that must be
    found in the output, or the attempt has failed. secret_env, secret_stdin: where secrets are kept, which are looked
    up when the attempt begins. remote: where it is run, if not here.
    """

    argv: tuple[str, ...] = ()
    script: str = ""
    cwd: str = ""
    env: dict[str, str] = {}
    stdin: str | None = None
    umask: int = UMASK
    ok_codes: tuple[int, ...] = (0,)
    expect: str = ""
    secret_env: dict[str, str] = {}
    secret_stdin: str = ""
    remote: Remote | None = None
    max_output: int = MAX_RESULT
    max_file: int = MAX_FILE


class Target(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", tag="function"):
    """A Python function as another process can find it.

    `loader` is "package.module:function", chosen by dwf and never read from a history. In the new process it is called
    as `loader(source, activity, input)` and returns what performs the step: a callable without arguments.
    `source` is any JSON value (which script), `input` the recorded input as JSON.
    """

    loader: str
    source: Any
    activity: str
    input: bytes = b"null"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of one step of one run.

    command: the step's number in the script. key: the idempotency key, the same for every attempt. timeout_us: start
    to close, 0 is none. grace_us: from asking a process to end (TERM) to ending it (KILL). out_prefix: where captured
    output goes (".out" and ".err" are appended); None keeps only the tail. env: for the step's environment. kept: it is
    performed by a keeper, in the keeper's session. limit: which of the step's timeouts `timeout_us` is.
    pulse: where its heartbeats go, without a suffix; "" nowhere. heartbeat_us: how long it may be silent, 0 for ever.
    details: JSON, those of the last heartbeat of the attempt before.
    """

    run: str
    nonce: str = ""
    command: int
    attempt: int = 1
    name: str
    key: str
    timeout_us: int = 0
    grace_us: int = GRACE_US
    out_prefix: str | None = None
    env: dict[str, str] = {}
    kept: bool = False
    limit: str = START_TO_CLOSE
    pulse: str = ""
    heartbeat_us: int = 0
    details: bytes = b"null"


class Request(msgspec.Struct, frozen=True):
    """What the process of an isolated function is told. `path` is sys.path, each byte as one character.

    secret: values that no heartbeat may tell.
    """

    path: list[str]
    target: Target
    attempt: Attempt
    secret: list[str] = []


class Outcome(msgspec.Struct, frozen=True):
    """How an attempt ended: data for an event.

    result: JSON. error_types: class names of the exception and its bases, or ("ExitCode",). exit_code: of a process,
    128 + n for signal n. retry_after_us: the step asked for this delay. ended_us: wall clock, microseconds.
    which: of its timeouts, the one that was passed. heartbeat: JSON, the details of its last heartbeat that
    had any; None if it had none.
    """

    kind: Kind
    ended_us: int
    result: bytes = b"null"
    error: ErrorInfo | None = None
    error_types: tuple[str, ...] = ()
    exit_code: int | None = None
    retry_after_us: int | None = None
    output: Output | None = None
    which: str = START_TO_CLOSE
    heartbeat: bytes | None = None


@runtime_checkable
class Limited(Protocol):
    """A performance whose limits can be changed while it runs."""

    def relimit(self, limit: str, timeout_us: int, heartbeat_us: int) -> None:
        """From its beginning it may take so long, by that timeout of the step, and be silent for so long."""
        ...


class Performance(Protocol):
    """One attempt, whatever its kind. Preparing it never fails: what cannot be started comes out of `finish`."""

    @property
    def process(self) -> Process:
        """What ActivityStarted records; NO_PROCESS (pid 0) if the work has no process of its own."""
        ...

    def go(self) -> None:
        """Let the step begin. Before this nothing of it runs, and nothing ever does if dwf dies first."""
        ...

    def finish(self) -> Outcome:
        """Wait for the end and tell it; called once. Without `go` before it, the step is dropped: CANCELLED."""
        ...

    def cancel(self, reason: str) -> None:
        """Ask the step to end; from any thread, also before `finish`. What cannot be ended ends by itself."""
        ...

    def interrupt(self, reason: str) -> None:
        """The same, because dwf is stopping: the outcome is INTERRUPTED."""
        ...

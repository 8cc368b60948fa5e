"""A Python function in a process of its own: the only way to end one that does not end, or to survive one that crashes.

The request goes to the new process over its stdin once the gate is opened, the outcome comes back over a pipe, and what
is printed is captured as that of a shell step. Whatever else the process does (os._exit, a segfault, running out of
memory) is a failed attempt with a message that says so.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from dwf.activities.environment import own, variables
from dwf.activities.function import gave_in, now_us
from dwf.activities.gated import Ended, Gated, Launch
from dwf.activities.output import summary
from dwf.activities.plan import MAX_FILE, Attempt, Kind, Outcome, Performance, Request, Target
from dwf.activities.pulse import details_left
from dwf.activities.telling import cannot_start, details, exit_code, made_to_end, told
from dwf.core.events import ErrorInfo
from dwf.host import Process

_CHILD = str(Path(__file__).with_name("child.py"))
# -I: no PYTHON* variables, no current directory and no user's site on the path; the path comes with the request.
# -u: what was printed is there even if the process ends by os._exit. faulthandler: a segfault says where.
_PYTHON = ("-I", "-u", "-X", "faulthandler")


def with_secrets(target: Target, attempt: Attempt) -> Performance:
    """A function whose input names secrets: they are looked up here, go to it over its stdin, and are masked here."""
    from dwf.activities.secrets import Unprepared, opened, prepared
    from dwf.errors import SecretUnavailable

    try:
        given, mask = opened(target.input)
    except SecretUnavailable as error:
        return Unprepared(error)
    if mask is None:
        return Isolated(target, attempt)
    filled = msgspec.structs.replace(target, input=given)
    return prepared(mask, lambda: Isolated(filled, attempt, mask.values))


class Isolated:
    """A function in a process of its own, as a Performance."""

    def __init__(self, target: Target, attempt: Attempt, secret: Sequence[str] = ()) -> None:
        self._attempt = attempt
        self._request, problem = _encoded(target, attempt, secret)
        launch = Launch([sys.executable, *_PYTHON, _CHILD], _environment(attempt))
        self._gated = Gated(launch, attempt, MAX_FILE, answers=True, problem=problem)

    @property
    def process(self) -> Process:
        return self._gated.process

    def go(self) -> None:
        header = f"{len(self._request)} {self._gated.answer_fd}\n".encode()
        self._gated.go(header + self._request)

    def cancel(self, reason: str) -> None:
        self._gated.ask(Kind.CANCELLED, reason)

    def interrupt(self, reason: str) -> None:
        self._gated.ask(Kind.INTERRUPTED, reason)

    def relimit(self, limit: str, timeout_us: int, heartbeat_us: int) -> None:
        self._attempt = msgspec.structs.replace(self._attempt, limit=limit)
        self._gated.relimit(timeout_us, heartbeat_us)

    def finish(self) -> Outcome:
        ended = self._gated.finish()
        if ended.problem is not None:
            return cannot_start(ended.problem, "")
        answer = _answer(ended.answer)
        if answer is not None and not (ended.asked is not None and gave_in(answer)):
            # It came to its end, even if it was being ended at that moment.
            output = summary(self._attempt.out_prefix, ended.out, ended.err)
            return msgspec.structs.replace(answer, output=output)
        if ended.asked is not None:
            return made_to_end(ended, self._attempt, self._heartbeat())
        return self._crashed(ended)

    def _heartbeat(self) -> bytes | None:
        return details_left(self._attempt.pulse, "function")

    def _crashed(self, ended: Ended) -> Outcome:
        what = "answered with something unusable" if ended.answer else "ended without a result"
        hint = ", perhaps because memory ran out" if ended.status == -signal.SIGKILL else ""
        return Outcome(
            Kind.FAILED,
            now_us(),
            error=ErrorInfo(
                type="ProcessEnded",
                message=f"the step's process {what}: {told(ended.status)}{hint}",
                details=details(ended),
            ),
            error_types=("ProcessEnded",),
            exit_code=exit_code(ended.status),
            output=summary(self._attempt.out_prefix, ended.out, ended.err),
            heartbeat=self._heartbeat(),
        )


def _encoded(target: Target, attempt: Attempt, secret: Sequence[str]) -> tuple[bytes, Exception | None]:
    path = [os.fsencode(entry).decode("latin-1") for entry in sys.path if os.path.isabs(entry)]  # noqa: PTH117
    # Output is captured on this side.
    request = Request(path, target, msgspec.structs.replace(attempt, out_prefix=None), list(secret))
    try:
        return msgspec.json.encode(request), None
    except (TypeError, ValueError, NotImplementedError, RecursionError) as error:
        return b"", error


def _environment(attempt: Attempt) -> dict[bytes, bytes]:
    """That of dwf, as for a function in its own process, and the names of the step."""
    mine = {**attempt.env, **own(attempt)}
    named = {os.fsencode(name): os.fsencode(value) for name, value in mine.items()}
    return {**variables(os.environ).copy(), **named}


def _answer(raw: bytes) -> Outcome | None:
    """The outcome, if it is one: half of it is no JSON, and what others wrote behind it is not looked at."""
    size = int.from_bytes(raw[:8], "big")
    try:
        return msgspec.json.decode(raw[8 : 8 + size], type=Outcome)
    except msgspec.MsgspecError:
        return None

"""A command line as a step.

It is started by a shell that waits for a line on its stdin and then turns into the command, so that pid and start time
are known, and on disk, before anything of the step runs. Arguments are handed over as they are: nothing is ever
formatted into the text of a shell.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from dwf.activities.environment import clean
from dwf.activities.function import now_us
from dwf.activities.gated import Ended, Gated, Launch
from dwf.activities.output import summary
from dwf.activities.plan import Attempt, Kind, Outcome, ShellSpec
from dwf.core.events import ErrorInfo, Payload
from dwf.core.values import PAYLOAD_LIMIT, encode
from dwf.errors import ValueRefused
from dwf.host import Process

# 125: the gate was never opened. `read` takes no more than its line, so the rest of the pipe is the command's stdin.
_GATE = 'read -r _ || exit 125; exec "$@"'
_MEANINGS = {126: "cannot be executed", 127: "not found"}


class Shell:
    """A command line as a Performance."""

    def __init__(self, spec: ShellSpec, attempt: Attempt) -> None:
        self._spec, self._attempt = spec, attempt
        launch = Launch(_gated(spec), clean(os.environ, spec.env, attempt), spec.cwd, spec.umask)
        self._gated = Gated(launch, attempt, spec.max_file)

    @property
    def process(self) -> Process:
        return self._gated.process

    def go(self) -> None:
        stdin = self._spec.stdin
        self._gated.go(b"\n" + (stdin or "").encode("utf-8", "surrogatepass"))

    def cancel(self, reason: str) -> None:
        self._gated.ask(Kind.CANCELLED, reason)

    def interrupt(self, reason: str) -> None:
        self._gated.ask(Kind.INTERRUPTED, reason)

    def finish(self) -> Outcome:
        ended = self._gated.finish()
        if ended.problem is not None:
            return cannot_start(ended.problem, self._spec.cwd)
        if ended.asked is not None:
            return made_to_end(ended, self._attempt)
        return self._exited(ended)

    def _exited(self, ended: Ended) -> Outcome:
        output = summary(self._attempt.out_prefix, ended.out, ended.err)
        code = exit_code(ended.status)
        if code in self._spec.ok_codes and not is_signal(ended.status):
            result = _result(code, ended, self._spec.max_output)
            return Outcome(Kind.COMPLETED, now_us(), result, exit_code=code, output=output)
        return Outcome(
            Kind.FAILED,
            now_us(),
            error=ErrorInfo(type="ExitCode", message=told(ended.status), details=_details(ended)),
            error_types=("ExitCode",),
            exit_code=code,
            output=output,
        )


def _gated(spec: ShellSpec) -> list[str]:
    # `exec` without a word would succeed; an empty name is a command that is not found.
    command = ["/bin/sh", "-c", spec.script, "dwf", *spec.argv] if spec.script else list(spec.argv or ("",))
    gate = _GATE if spec.stdin is not None else f"{_GATE} </dev/null"
    return ["/bin/sh", "-c", gate, "dwf", *command]


def _result(code: int, ended: Ended, limit: int) -> bytes:
    """The result as JSON. Control characters take six bytes each there, so what fits is only known afterwards."""
    while True:
        out, out_cut = ended.out.text(limit)
        err, err_cut = ended.err.text(limit)
        try:
            return encode({"code": code, "out": out, "err": err, "truncated": out_cut or err_cut})
        except ValueRefused:
            limit = min(limit, PAYLOAD_LIMIT) // 2


def _details(ended: Ended) -> Payload:
    facts: dict[str, Any] = {"exit_code": exit_code(ended.status)}
    if is_signal(ended.status):
        facts["signal"] = -(ended.status or 0)
    return Payload(encode({**facts, "stderr": ended.err.tail(), "stdout": ended.out.tail()}))


def is_signal(status: int | None) -> bool:
    return status is not None and status < 0


def exit_code(status: int | None) -> int:
    """As a shell tells it: 128 + n for signal n."""
    return 128 - status if status is not None and status < 0 else status or 0


def told(status: int | None) -> str:
    """How a process ended, for people."""
    if status is not None and status < 0:
        return f"killed by signal {-status} ({_signal_name(-status)})"
    meaning = _MEANINGS.get(status or 0)
    return f"exit code {status} ({meaning})" if meaning else f"exit code {status}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"  # a real-time signal


def cannot_start(problem: Exception, cwd: str) -> Outcome:
    """The process could not be made at all."""
    where = f" in {cwd}" if cwd else ""
    why = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
    return Outcome(
        Kind.FAILED,
        now_us(),
        error=ErrorInfo(type=type(problem).__name__, message=f"cannot start{where}: {why}"),
        error_types=tuple(cls.__name__ for cls in type(problem).__mro__ if cls is not object),
    )


def made_to_end(ended: Ended, attempt: Attempt) -> Outcome:
    """Timed out, cancelled or interrupted."""
    assert ended.asked is not None
    kind, reason = ended.asked
    facts: dict[str, Any] = {"exit_code": exit_code(ended.status)} if ended.status is not None else {}
    if ended.left:
        facts["left"] = list(ended.left)
        reason += f"; could not be ended: {', '.join(map(str, ended.left))}"
    return Outcome(
        kind,
        now_us(),
        error=ErrorInfo(type=kind.name.title().replace("_", ""), message=reason, details=Payload(encode(facts))),
        exit_code=facts.get("exit_code"),
        output=summary(attempt.out_prefix, ended.out, ended.err),
    )

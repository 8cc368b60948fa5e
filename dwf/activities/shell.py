"""A command line as a step.

It is started by a shell that waits for a line on its stdin and then turns into the command, so that pid and start time
are known, and on disk, before anything of the step runs. Arguments are handed over as they are: nothing is ever
formatted into the text of a shell.
"""

from __future__ import annotations

import dataclasses
import os
import re

from msgspec.structs import replace

from dwf.activities.environment import clean
from dwf.activities.function import now_us
from dwf.activities.gated import Ended, Gated, Launch
from dwf.activities.output import summary
from dwf.activities.plan import Attempt, Kind, Outcome, Performance, ShellSpec
from dwf.activities.pulse import details_left, directory_of, put_checkpoint
from dwf.activities.remote import through_ssh
from dwf.activities.telling import cannot_start, details, exit_code, is_signal, made_to_end, told
from dwf.core.events import ErrorInfo, Output
from dwf.core.values import PAYLOAD_LIMIT, encode
from dwf.errors import ValueRefused
from dwf.host import Process

# 125: the gate was never opened. `read` takes no more than its line, so the rest of the pipe is the command's stdin.
# What goes into the reason of a failure: programs often say last that they failed, and just before that why.
_COMPLAINT_LINES, _COMPLAINT_CHARACTERS = 2, 200
_GATE = 'read -r _ || exit 125; exec "$@"'


def with_secrets(spec: ShellSpec, attempt: Attempt) -> Performance:
    """A command that gets secrets, by environment or stdin, and in no other way."""
    from dwf.activities.secrets import Unprepared, looked_up, prepared
    from dwf.errors import SecretUnavailable

    stdin = {"": spec.secret_stdin} if spec.secret_stdin else {}
    try:
        found, mask = looked_up({**spec.secret_env, **stdin})
    except SecretUnavailable as error:
        return Unprepared(error)
    given = found.pop("", spec.stdin)
    return prepared(mask, lambda: Shell(replace(spec, env={**spec.env, **found}, stdin=given), attempt))


class Shell:
    """A command line as a Performance."""

    def __init__(self, spec: ShellSpec, attempt: Attempt) -> None:
        self._is_far = spec.remote is not None
        if self._is_far:
            spec = through_ssh(spec, attempt)
        self._spec, self._attempt = spec, attempt
        directory_of(attempt)
        if attempt.details != b"null" and attempt.pulse:
            put_checkpoint(attempt.pulse, attempt.details)
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

    def relimit(self, limit: str, timeout_us: int, heartbeat_us: int) -> None:
        self._attempt = replace(self._attempt, limit=limit)
        self._gated.relimit(timeout_us, heartbeat_us)

    def finish(self) -> Outcome:
        ended = self._gated.finish()
        if ended.problem is not None:
            return cannot_start(ended.problem, self._spec.cwd)
        if self._is_far:
            ended = _with_word(ended)
        if ended.asked is not None:
            return made_to_end(ended, self._attempt, details_left(self._attempt.pulse, "shell"))
        return self._exited(ended)

    def _exited(self, ended: Ended) -> Outcome:
        output = summary(self._attempt.out_prefix, ended.out, ended.err)
        code = exit_code(ended.status)
        if code in self._spec.ok_codes and not is_signal(ended.status):
            if not self._is_expected(ended):
                why = f"nothing in its output matches {self._spec.expect!r:.200}"
                return self._failed("Unexpected", why, ended, code, output)
            result = _result(code, ended, self._spec.max_output)
            return Outcome(Kind.COMPLETED, now_us(), result, exit_code=code, output=output)
        return self._failed("ExitCode", _why(ended), ended, code, output)

    def _is_expected(self, ended: Ended) -> bool:
        wanted = self._spec.expect
        return not wanted or re.search(wanted, ended.out.text(self._spec.max_file)[0], re.MULTILINE) is not None

    def _failed(self, kind: str, why: str, ended: Ended, code: int, output: Output | None) -> Outcome:
        error = ErrorInfo(type=kind, message=why, details=details(ended))
        return Outcome(
            Kind.FAILED,
            now_us(),
            error=error,
            error_types=(kind,),
            exit_code=code,
            output=output,
            heartbeat=details_left(self._attempt.pulse, "shell"),
        )


def _why(ended: Ended) -> str:
    """The exit code, and the last that it complained about: what a person wants to know first."""
    if ended.status in (126, 127):
        return told(ended.status)  # what the shell adds to these is about itself
    lines = [line.strip() for line in ended.err.tail().splitlines() if line.strip()]
    last = "; ".join(line[:_COMPLAINT_CHARACTERS] for line in lines[-_COMPLAINT_LINES:])
    return f"{told(ended.status)}: {last}" if last else told(ended.status)


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


def _with_word(ended: Ended) -> Ended:
    """Made to end on another host: with what is not certain about that, if anything."""
    word = next((line for line in reversed(ended.err.tail().splitlines()) if line.startswith("dwf: ")), "")
    if ended.asked is None or not word:
        return ended
    asked = ended.asked._replace(reason=f"{ended.asked.reason}; {word.removeprefix('dwf: ')}")
    return dataclasses.replace(ended, asked=asked)

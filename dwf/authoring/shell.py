"""Shell steps: `await dwf.sh("systemctl", "reload", "nginx")`, and what comes back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, cast

import msgspec
from msgspec.structs import replace as replace_fields

from dwf.authoring.crash import OnCrash, Orphan, recorded, shell_probe
from dwf.authoring.limits import Cancellation, limits
from dwf.authoring.references import Secret
from dwf.core.duration import micros
from dwf.core.events import Payload
from dwf.core.flow import Limit, flow_of
from dwf.core.retry import AFTER_CRASH, Duration, Retry
from dwf.core.runtime import ActivityCall, current
from dwf.core.values import encode, text
from dwf.errors import ActivityError, ValueRefused


class Shell(msgspec.Struct, frozen=True):
    """What a command left behind: exit code, output and error output as text.

    `truncated`: more was printed than is kept in the history; `dwf logs` has more of it.
    """

    code: int
    out: str = ""
    err: str = ""
    truncated: bool = False

    def lines(self) -> list[str]:
        """The output's lines, without the empty one at the end."""
        return self._whole().splitlines()

    def json(self) -> Any:
        """The output as JSON. Raises ActivityError if it is none, or was cut."""
        try:
            return json.loads(self._whole())
        except ValueError as error:
            raise ActivityError("shell output", "ValueError", f"it is not JSON: {error}") from None

    def kv(self, separator: str = "=") -> dict[str, str]:
        """Lines such as `notAfter=Nov 22 2026` as a dict; lines without the separator are left out."""
        pairs = (line.split(separator, 1) for line in self.lines() if separator in line)
        return {key.strip(): value.strip() for key, value in pairs}

    def find(self, pattern: str) -> str:
        """The first group (or all) of the first match of a regular expression. Raises ActivityError if none."""
        found = re.search(pattern, self._whole(), re.MULTILINE)
        if found is None:
            raise ActivityError("shell output", "LookupError", f"nothing in it matches {pattern!r}")
        return found.group(1) if found.groups() else found.group(0)

    def _whole(self) -> str:
        if self.truncated:
            raise ActivityError("shell output", "ValueError", "it was too long to be kept whole; raise max_output=")
        return self.out


async def sh(
    *argv: object,
    script: str | None = None,
    timeout: Duration | None = None,
    cwd: str | PurePath | None = None,
    env: Mapping[str, object] | None = None,
    stdin: str | Secret | None = None,
    umask: int | None = None,
    ok_codes: Sequence[int] = (0,),
    expect: str | None = None,
    retry: Retry = AFTER_CRASH,
    grace: Duration = "5s",
    max_output: int = 64 * 1024,
    title: str = "",
    on_crash: OnCrash | None = None,
    verify: str | Sequence[object] | None = None,
    orphan: Orphan = "kill",
    critical: bool = True,
    schedule_to_start: Duration | None = None,
    schedule_to_close: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
    cancellation_type: Cancellation = "wait",
    queue: str = "",
    limit: Limit | None = None,
    key: str = "",
    priority: int = 0,
    _far: tuple[str, Mapping[str, Any]] | None = None,
) -> Shell:
    """Run a command as a durable step.

    argv: program and arguments, one by one; never joined, never seen by a shell. With `script=` a text for /bin/sh is
    run instead and argv are its "$1", "$2", ...: values never become part of the text.
    timeout: limit of one attempt, enforced on the whole process group (TERM, after `grace` KILL). cwd, env (added to a
    clean environment), stdin (text), umask: as for any process; a dwf.secret(...) may be stdin, or a value of env.
    ok_codes: exit codes that are no failure. expect: a regular expression that must be found in a line of its output,
    or the attempt has failed. max_output: bytes of output and of error output kept in the result.
    By default a failure is final, and only what dwf or the machine died in is run again. For a command that must not
    run twice: on_crash="ask" asks a person whether it took effect, and `verify` a command (its words, or a text for
    /bin/sh with the same "$1", "$2", ...): exit code 0, it did; 1, it did not; else a person is asked. orphan: what a
    killed dwf left running of it is ended first ("kill"), or waited for ("wait"), or it goes on and the next tick takes
    up how it ended ("adopt"). critical: False lets the run go on when it has failed, marked as degraded; the Shell then
    has the code that the command ended with, or -1. schedule_to_start and what follows: as of @dwf.activity; a
    heartbeat is `touch "$DWF_HEARTBEAT_FILE"`. Raises ActivityError.
    """
    words = _checked(argv, script, umask, expect)
    optional: dict[str, Any] = {"script": script, "cwd": cwd, "stdin": stdin, "umask": umask, "expect": expect}
    given = _recorded(words, {**optional, "remote": _far and _far[1]}, env, ok_codes, max_output)
    name = _name(words, script, _far[0] if _far else "")
    crash, left = recorded(on_crash, verify, orphan, name)
    call = replace_fields(
        _call(name, given, verify, critical),
        title=text(title, "the title of a step"),
        retry=retry,
        **limits("dwf.sh()", timeout, schedule_to_start, schedule_to_close, heartbeat_timeout, cancellation_type),
        flow=flow_of(queue, limit, key, priority),
        grace_us=micros(grace),
        on_crash=crash,
        orphan=left,
    )
    return cast(Shell, await current("sh").activity(call))


def _call(name: str, given: dict[str, Any], verify: str | Sequence[object] | None, critical: bool) -> ActivityCall:
    """The step without its options."""
    return ActivityCall(
        name=name,
        kind="shell",
        input=Payload(encode(given, f"an argument of {name}")),
        result_type=Shell,
        probe=None if verify is None else shell_probe(verify, given, name),
        instead=None if critical else _left_behind,
    )


def _left_behind(error: ActivityError) -> Shell:
    """What a command leaves that has failed and was not critical."""
    code = error.details.get("exit_code")
    return Shell(code if isinstance(code, int) else -1, err=str(error.details.get("stderr", "")))


def _word(value: object) -> str:
    """A number or path as text; what has no one text form is a mistake."""
    if isinstance(value, Secret):
        hint = 'give it as env={"NAME": dwf.secret(...)} or stdin=dwf.secret(...)'
        raise ValueRefused(what="an argument of dwf.sh()", why="every user sees the arguments of processes", hint=hint)
    if isinstance(value, str | int | float | PurePath) and not isinstance(value, bool):
        return str(value)
    raise ValueRefused(what="an argument of dwf.sh()", why=f"{value!r:.60} is not text, a number or a path")


def _recorded(
    words: list[str],
    optional: dict[str, Any],
    env: Mapping[str, object] | None,
    ok_codes: Sequence[int],
    max_output: int,
) -> dict[str, Any]:
    """The step's input. What is as usual is left out: it would be in every line of a history."""
    secret = {_word(name): value.reference for name, value in (env or {}).items() if isinstance(value, Secret)}
    plain = {_word(name): _word(value) for name, value in (env or {}).items() if not isinstance(value, Secret)}
    optional["env"], optional["secret_env"] = None if env is None else plain, secret or None
    if isinstance(optional["stdin"], Secret):
        optional["stdin"], optional["secret_stdin"] = None, optional["stdin"].reference
    optional["ok_codes"] = None if tuple(ok_codes) == (0,) else list(ok_codes)
    optional["max_output"] = None if max_output == 64 * 1024 else max_output
    return {"argv": words, **{key: value for key, value in optional.items() if value is not None}}


def _checked(argv: Sequence[object], script: str | None, umask: int | None, expect: str | None) -> list[str]:
    """The words of a command. Raises ValueRefused."""
    words = [_word(word) for word in argv]
    _check_words(words, script)
    _check_umask(umask)
    _check_pattern(expect)
    return words


def _check_umask(umask: int | None) -> None:
    if umask is not None and not (type(umask) is int and 0 <= umask <= 0o777):
        raise ValueRefused(what=f"dwf.sh(umask={umask!r})", why="it is none of 0o000 to 0o777")


def _check_pattern(expect: str | None) -> None:
    try:
        re.compile(text(expect or "", "expect= of dwf.sh()"))
    except re.error as error:
        raise ValueRefused(what="expect= of dwf.sh()", why=f"it is no regular expression: {error}") from None


def _name(words: list[str], script: str | None, host: str) -> str:
    """What a step is called that was given no title: the command, or the first line of a script that does something."""
    if host:
        return f"{host}: {_name(words, script, '')}"
    if not script:
        return " ".join(words)[:60].strip()
    lines = [line.strip() for line in script.splitlines()]
    telling = [line for line in lines if line and not line.startswith(("#", "set "))]
    return (telling or [line for line in lines if line] or ["script"])[0][:60].strip()


def _check_words(words: list[str], script: str | None) -> None:
    if script is None and not (words and words[0]):
        raise ValueRefused(what="dwf.sh()", why="there is no command")
    if script is not None and not script.strip():
        raise ValueRefused(what="dwf.sh()", why="the script is empty")
    if script is None and len(words) == 1 and re.search(r"\s", words[0]):
        raise ValueRefused(
            what=f"dwf.sh({words[0]!r})",
            why="that is one word with spaces in it, not a command with arguments",
            hint=f'write dwf.sh({", ".join(map(repr, words[0].split()))}), or dwf.sh(script="...") for a shell line',
        )
    if any("\0" in word for word in [*words, script or ""]):
        raise ValueRefused(what="an argument of dwf.sh()", why="it contains a NUL character")

"""Secrets in a step: looked up when an attempt begins, and masked in all that is ever told of it.

What is recorded of the step's input names only where they are kept. The value is in this process and in the step's;
never in argv, a file, or a history. Masked are the value itself and what it looks like in JSON, in Python's repr, in
base64 and in a URL. A step that changes it in another way (reverses it, prints it letter by letter) is not outwitted.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import stat
import subprocess
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec

from dwf.activities.output import MASKING
from dwf.activities.plan import NO_PROCESS, Limited, Outcome, Performance
from dwf.core.events import ErrorInfo, Output
from dwf.core.values import decode, encode
from dwf.errors import SecretUnavailable
from dwf.host import Process

# What recorded input with references looks like; a cheap question, and `opened` looks closely.
MARK = b'"secrets":['
MASKED = "***"
SHORTEST = 4
_LARGEST = 64 * 1024
_COMMAND_SECONDS = 30
_LONG_LINE = 8


class Mask:
    """Replaces known values by `***`. The longest is looked for first."""

    def __init__(self, values: list[str]) -> None:
        self.values = values
        self._looks = sorted({look for value in values for look in _looks(value)}, key=lambda look: (-len(look), look))
        self._bytes = [look.encode("utf-8", "surrogatepass") for look in self._looks]
        self._in_text = re.compile("|".join(map(re.escape, self._looks)))
        self._in_bytes = re.compile(b"|".join(map(re.escape, self._bytes)))

    def text(self, text: str) -> str:
        return self._in_text.sub(MASKED, text)

    def stream(self, data: bytes) -> tuple[bytes, bytes]:
        """What may be passed on of a stream, and its end that may be the beginning of a secret."""
        done = self._in_bytes.sub(MASKED.encode(), data)
        for size in range(min(len(done), len(self._bytes[0]) - 1), 0, -1):
            if any(look.startswith(done[-size:]) for look in self._bytes if len(look) > size):
                return done[:-size], done[-size:]
        return done, b""

    def data(self, value: Any) -> Any:
        """JSON data with every text in it masked, and numbers that say the same."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.data(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.data(item) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return MASKED if str(value) in self._looks else value
        return value

    def outcome(self, outcome: Outcome) -> Outcome:
        """What is told of an attempt. What it printed was masked on its way."""
        changed: dict[str, Any] = {"result": encode(self.data(decode(outcome.result)))}
        if outcome.error is not None:
            changed["error"] = self._struct(outcome.error, ErrorInfo)
        if outcome.heartbeat is not None:
            changed["heartbeat"] = encode(self.data(decode(outcome.heartbeat)))
        if outcome.output is not None:
            changed["output"] = self._struct(outcome.output, Output)
        return msgspec.structs.replace(outcome, **changed)

    def _struct(self, value: msgspec.Struct, kind: type[msgspec.Struct]) -> msgspec.Struct:
        plain = msgspec.json.decode(msgspec.json.encode(value))
        return msgspec.json.decode(msgspec.json.encode(self.data(plain)), type=kind)


class Masked:
    """A Performance whose outcome is masked."""

    def __init__(self, inner: Performance, mask: Mask) -> None:
        self._inner, self._mask = inner, mask
        self.go, self.cancel, self.interrupt = inner.go, inner.cancel, inner.interrupt

    @property
    def process(self) -> Process:
        return self._inner.process

    def relimit(self, limit: str, timeout_us: int, heartbeat_us: int) -> None:
        if isinstance(self._inner, Limited):
            self._inner.relimit(limit, timeout_us, heartbeat_us)

    def finish(self) -> Outcome:
        return self._mask.outcome(self._inner.finish())


class Unprepared:
    """A Performance that cannot begin: a secret is not to be had."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    @property
    def process(self) -> Process:
        return NO_PROCESS

    def go(self) -> None:
        return None

    def cancel(self, reason: str) -> None:
        return None

    def interrupt(self, reason: str) -> None:
        return None

    def finish(self) -> Outcome:
        from dwf.activities.function import failure

        return failure(self._error)


def prepared(mask: Mask, prepare: Callable[[], Performance]) -> Performance:
    """Prepare an attempt whose streams and outcome are masked."""
    token = MASKING.set(mask)
    try:
        return Masked(prepare(), mask)
    finally:
        MASKING.reset(token)


def opened(given: bytes) -> tuple[bytes, Mask | None]:
    """Recorded input with its secrets in their places, and what masks them; None if there are none.

    Raises SecretUnavailable.
    """
    values = decode(given)
    references = values.pop("secrets", None) if isinstance(values, dict) else None
    if not references:
        return given, None
    found = []
    for reference in references:
        *way, last = reference["at"]
        place = values
        for step in way:
            place = place[step]
        place[last] = look_up(reference["from"])
        found.append(place[last])
    return encode(values), Mask(found)


def looked_up(references: Mapping[str, str]) -> tuple[dict[str, str], Mask]:
    """Values by name, from references by name. Raises SecretUnavailable."""
    found = {name: look_up(reference) for name, reference in references.items()}
    return found, Mask(list(found.values()))


def look_up(reference: str) -> str:
    """The value that a reference names. Raises SecretUnavailable; its words never hold the value."""
    kind, _, rest = reference.partition(":")
    value = _LOOK[kind](rest)
    if value is None:
        raise SecretUnavailable(reference=reference, why=_MISSING[kind])
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise SecretUnavailable(reference=reference, why="it is no text") from None
    if len(text) < SHORTEST or "\0" in text:
        raise SecretUnavailable(reference=reference, why=f"it has fewer than {SHORTEST} characters, or a NUL in it")
    return text


_MISSING = {
    "lost": "the callback was opened under another key of the state directory",
    "env": "the tick has no such variable",
    "file": "it is not there, cannot be read, is no regular file or larger than 64 KiB",
    "cmd": "the command cannot be run, failed, took longer than 30s or printed more than 64 KiB",
}


def _from_environment(name: str) -> bytes | None:
    value = os.environ.get(name)
    return None if value is None else os.fsencode(value)


def _from_file(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        with open(fd, "rb", closefd=False) as file:
            return _usable(file.read(_LARGEST + 1))
    except OSError:
        return None
    finally:
        os.close(fd)


def _from_command(text: str) -> bytes | None:
    from dwf.activities.environment import inherited

    try:
        done = subprocess.run(
            shlex.split(text),
            env=inherited(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return _usable(done.stdout) if done.returncode == 0 else None


_LOOK: dict[str, Callable[[str], bytes | None]] = {
    "env": _from_environment,
    "file": _from_file,
    "cmd": _from_command,
    # Put there by the engine, in memory, for what only it can look up; no script can name these.
    "given": str.encode,
    "lost": lambda _: None,
}


def _usable(data: bytes) -> bytes | None:
    return data.removesuffix(b"\n") if len(data) <= _LARGEST else None


def _looks(value: str) -> set[str]:
    """What a value looks like where it may turn up."""
    raw = value.encode()
    encoded = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    looks = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    looks |= {quote(value, safe=""), quote(value), quote_plus(value), *encoded, *(one.rstrip("=") for one in encoded)}
    lines = value.splitlines()
    if len(lines) > 1:
        looks |= {line for line in lines if len(line) >= _LONG_LINE}
    return {look for look in looks if len(look) >= SHORTEST}

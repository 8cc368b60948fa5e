"""Secrets by reference: a script says where a value is kept, and only the step that needs it ever has it.

A reference is an object, and recorded beside the arguments, by its place among them. Plain data that looks like one
(from a signal, a parameter, the result of a step) is data: nobody outside the script can have a secret looked up.
"""

from __future__ import annotations

import re
from typing import Any

from dwf.errors import ValueRefused

_ENV = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
_LONGEST = 4096
# What a placeholder is until the step begins.
_NOTHING = None


class Secret:
    """Where a secret is kept. It can be given to a step, and nowhere else."""

    __slots__ = ("reference",)

    def __init__(self, reference: str) -> None:
        self.reference = reference

    def __repr__(self) -> str:
        return f"dwf.secret({self.reference!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reference == self.reference

    def __hash__(self) -> int:
        return hash(self.reference)


def secret(reference: str) -> Secret:
    """A secret that is looked up by the step it is given to, on every attempt, and recorded nowhere.

    reference: "env:NAME", a variable in the environment of the tick; "file:/path", the content of a file without its
    last newline; "cmd:pass show db/admin", what a command prints (words as in a shell, but no shell). In what the step
    prints, returns and raises the value is replaced by "***". Raises ValueRefused for anything else.
    """
    if not isinstance(reference, str):
        raise ValueRefused(what="dwf.secret()", why=f"it takes text, not {type(reference).__name__}")
    kind, _, rest = reference.partition(":")
    fits = {"env": bool(_ENV.fullmatch(reference)), "file": rest.startswith("/"), "cmd": bool(rest.strip())}
    if not fits.get(kind, False) or len(reference) > _LONGEST or not reference.isprintable():
        raise ValueRefused(
            what=f"dwf.secret({reference!r:.80})",
            why="it names no place",
            hint='"env:NAME", "file:/absolute/path" or "cmd:program argument ..."',
        )
    return Secret(reference)


def taken_out(given: dict[str, Any]) -> dict[str, Any] | None:
    """Arguments without their references, and these beside them under "secrets"; None if there are none."""
    found: list[dict[str, Any]] = []
    plain = _without(given, [], found)
    return {**plain, "secrets": found} if found else None


def _without(value: Any, at: list[str | int], found: list[dict[str, Any]]) -> Any:
    if isinstance(value, Secret):
        found.append({"at": at, "from": value.reference})
        return _NOTHING
    if type(value) is dict:
        return {key: _without(item, [*at, key], found) for key, item in value.items()}
    if type(value) in (list, tuple):
        return [_without(item, [*at, place], found) for place, item in enumerate(value)]
    return value

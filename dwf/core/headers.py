"""Headers: words that a run is started with and that go along wherever it leads, such as the number of a change."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dwf.core.messages import quoted
from dwf.errors import UsageError

MOST = 32
LONGEST = 1000
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises UsageError for what could not be handed to a step as a variable, or for too many."""
    if len(headers) > MOST:
        raise UsageError(what=f"{len(headers)} headers are too many", hint=f"{MOST} at most")
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            hint = "letters, digits, '_', '.' and '-', beginning with a letter, 64 characters at most"
            raise UsageError(what=f"{quoted(name)} is not the name of a header", hint=hint)
        if len(value) > LONGEST or not all(c.isprintable() for c in value):
            hint = f"one line of text, {LONGEST:,} characters at most"
            raise UsageError(what=f"the header {name} cannot be {quoted(value)}", hint=hint)
    names = [variable(name) for name in headers]
    if len(set(names)) < len(names):
        what = "two headers have the same name for a step: " + ", ".join(sorted(headers))
        raise UsageError(what=what, hint="a step knows a header as DWF_HEADER_NAME, with '_' for '-' and '.'")


def variable(name: str) -> str:
    """The environment variable in which a step finds a header."""
    return "DWF_HEADER_" + re.sub(r"[.-]", "_", name).upper()

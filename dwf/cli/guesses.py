"""What was probably meant by an option that there is not: on the line of a start, often a parameter of the script.

Loaded only when something was typed wrong. It guesses; what it cannot find out it leaves alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from dwf.errors import DwfError


def parameter_meant(words: Sequence[str], option: str) -> str | None:
    """`host=web1` for `--host web1`, if the script has such a parameter. Loads the script, as a start does."""
    name = option.lstrip("-").replace("-", "_")
    known = _parameters(words)
    if name in known:
        value = _value(words, option)
        return f"{name}={shlex.quote(value)}" if value else f"{name}=..."
    if name.removeprefix("no_") in known:
        return f"{name.removeprefix('no_')}=no"
    return None


def _parameters(words: Sequence[str]) -> set[str]:
    from dwf.engine.start import describe

    for word in words:
        if not word.startswith("-") and (word.endswith(".py") or ".py:" in word):
            try:
                return {parameter.name for workflow in describe(word) for parameter in workflow.parameters}
            except DwfError:
                return set()
    return set()


def _value(words: Sequence[str], option: str) -> str:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
        if word == option:
            plain = following.startswith("-") or "=" in following or ".py" in following
            return "" if plain else following
    return ""

"""The one place where foreign text becomes text that may be shown: no control, bidi or zero-width character survives.

Ids, errors, payloads and output come from scripts and strangers. An ESC in them could recolour, retitle or rewrite a
terminal, a CR could hide what stands before it. They are shown as `\\x1b` and the like, in a pipe too.
"""

from __future__ import annotations


def shown(text: str) -> str:
    """The text with every character that is not to be seen as an escape; one line, whatever it was."""
    if text.isprintable():
        return text
    from dwf.core.messages import quoted

    return quoted(text, len(text))[1:-1]


def block(text: str) -> str:
    """The same, but lines stay lines and tabs stay tabs: for output of steps."""
    return "\n".join("\t".join(shown(word) for word in line.split("\t")) for line in text.split("\n"))


def one_line(text: str) -> str:
    """A message of several lines as one, to be read, not to be lost."""
    return shown("; ".join(line.strip() for line in text.splitlines() if line.strip()))


def cut(text: str, limit: int, mark: str = "...") -> str:
    """At most `limit` characters, the last of them `mark` if something is left out."""
    if len(text) <= limit:
        return text
    return text[: max(limit - len(mark), 0)] + mark

"""What `dwf help TOPIC` shows: a Markdown file per topic, shipped in the package (a bastion host has no internet)."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent
# Made from the table in exits.py, so that it cannot say anything else.
GENERATED = "exit-codes"


def names() -> list[str]:
    """All topics."""
    return sorted([*(path.stem for path in _HERE.glob("*.md")), GENERATED])


def text_of(topic: str) -> str:
    """A topic as Markdown; it must be one of `names()`."""
    if topic == GENERATED:
        return _exit_codes()
    return (_HERE / f"{topic}.md").read_text(encoding="utf-8")


def _exit_codes() -> str:
    from dwf.cli.exits import MEANINGS, SIGNAL_MEANING
    from dwf.cli.table import wrapped

    table = [(f"{int(code):>5}", words) for code, words in MEANINGS.items()] + [("128+n", SIGNAL_MEANING)]
    rows = [f"{code if i == 0 else '':5}  {line}" for code, words in table for i, line in enumerate(wrapped(words, 72))]
    return "\n".join(
        ["# Exit codes", "", "The same for every verb; a number never changes its meaning.", "", *rows, ""]
    )

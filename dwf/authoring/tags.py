"""What a run is found by, and what is noted of it."""

from __future__ import annotations

from typing import Any

from dwf.core.runtime import current
from dwf.core.tags import Tag, memo_changes, tag_changes


def tag(**tags: Tag | None) -> None:
    """Mark the run, for those who look for it: `dwf.tag(env="prod", hosts=12)`, and `dwf list --tag env=prod`.

    Text, numbers, True and False, or aware datetimes; None takes a tag away. A tag keeps its type. They go on to the
    next instance of the run, and not to its children. Raises ValueRefused for too many, too long, or another type.
    """
    current("tag").tagging.tag(tag_changes(tags))


def memo(**notes: Any) -> None:
    """Note something of the run that people see in `dwf show`, and nobody looks for: `dwf.memo(plan=plan)`.

    Anything that is JSON; None takes a note away. Notes go on to the next instance of the run. Raises ValueRefused for
    too much.
    """
    current("memo").tagging.memo(memo_changes(notes))

"""In a process of its own: from a script's files to the step that is to be performed there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from dwf.authoring.activity import Activity
from dwf.errors import ScriptRefused
from dwf.scripts.collect import Sources
from dwf.scripts.load import load

PERFORMER = "dwf.scripts.perform:performer"


def packed(sources: Sources, content: str) -> dict[str, Any]:
    """A script as JSON for `performer`. Latin-1 carries any bytes unchanged."""
    files = {name: source.decode("latin-1") for name, source in sources.files.items()}
    return {"files": files, "main": sources.main, "content": content, "origin": sources.origin}


def performer(source: dict[str, Any], activity: str, given: bytes) -> Callable[[], Any]:
    """The call that performs the activity `module:qualified.name` of a script with its recorded input.

    Raises ScriptRefused.
    """
    files = {name: text.encode("latin-1") for name, text in source["files"].items()}
    load(files, source["main"], source["content"], source["origin"])
    module, _, name = activity.rpartition(":")
    try:
        found = attrgetter(name)(sys.modules[module])
    except (KeyError, AttributeError):
        raise ScriptRefused(path=module, why=f"there is no activity {name} in it") from None
    if not isinstance(found, Activity):
        raise ScriptRefused(path=module, why=f"{name} is not an activity any more")
    return lambda: found.perform(given)

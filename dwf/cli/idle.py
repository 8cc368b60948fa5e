"""The idle tick: is there anything to do? One readdir of the mailbox, one of the intents, one indexed question.

On the path of every `dwf tick` that cron starts, so it imports nothing that costs: no typer, asyncio, msgspec,
json, re, pathlib, dataclasses or typing. Whatever is unusual (an option it does not know, a directory that is
refused, an index that is not trusted) is left to the whole program, which says it properly.
"""

from __future__ import annotations

import os
import time

# Options that change nothing about whether there is something to do. What is not here goes the long way.
_FLAGS = frozenset({"-q", "--quiet", "--utc", "--no-input"})
_NUMBERS = frozenset({"--jobs"})
_TEXTS = frozenset({"--home", "--witness", "--queue"})
_OF_TICK = frozenset({"--jobs", "--witness", "--queue"})


class Plain:
    """A plain `dwf tick`: `home` is what --home says, None without it."""

    __slots__ = ("home",)

    def __init__(self, home: str | None) -> None:
        self.home = home


def plain_tick(words: list[str]) -> Plain | None:
    """What a command line says, if it is a plain tick; None for everything else. Must agree with the whole parser."""
    verbs, home = 0, None
    rest = iter(words)
    for word in rest:
        if word == "tick":
            verbs += 1
        elif word not in _FLAGS:
            name, equals, value = word.partition("=")
            if name not in _NUMBERS and name not in _TEXTS:
                return None
            if not equals:
                value = next(rest, "")
            if not value:
                return None
            if name in _OF_TICK and verbs == 0:
                return None
            if name == "--witness" and _is_new_witness(value):
                return None
            if name == "--home":
                home = value
            elif name in _NUMBERS and not (value.isascii() and value.isdecimal() and int(value) > 0):
                return None
    return Plain(home) if verbs == 1 else None


def _is_new_witness(value: str) -> bool:
    """Whether it is a file that is to be written for the first time, with all there is."""
    return value[0] != "|" and value != "syslog:" and not os.path.exists(value)  # noqa: PTH110 - pathlib costs too much here


def nothing_to_do(words: list[str]) -> bool:
    """Whether this is a tick, and an idle one; then it is also noted that a tick was here."""
    plain = plain_tick(words)
    if plain is None:
        return False
    try:
        return _is_idle(plain.home)
    except Exception:
        # Not swallowed: the whole program meets the same trouble, and says what it is.
        return False


def _is_idle(asked: str | None) -> bool:
    from dwf.store.layout import home_path

    home = home_path({"DWF_HOME": asked} if asked else os.environ, os.geteuid())
    if not os.path.lexists(home):
        return True  # nothing was ever started here
    from dwf.store.creation import intents_waiting
    from dwf.store.files import Disk, listed
    from dwf.store.index import Index
    from dwf.store.layout import open_home
    from dwf.store.mailbox import Mailbox

    disk = Disk()
    layout = open_home(disk, home)
    index = Index(disk, layout)
    now_us = time.time_ns() // 1000
    if os.path.lexists(layout.paused):  # then nothing is driven, whatever there is
        if os.isatty(2):
            return False  # a person is told why
    else:
        if Mailbox(disk, layout).names() or intents_waiting(layout):
            return False
        if any(not name.endswith(".failed") for name in listed(layout.untold)):
            return False  # hooks are to be told something, or were killed while they were
        if index.anything_due(now_us):
            return False
    index.note_tick(now_us)
    index.close()
    return True

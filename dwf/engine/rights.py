"""Rights: what the members of a shared state directory may do, from its policy file. In one's own there is no question.

    [allow]                    # user names, "@group" names, "#uid" numbers; "*" is every member, [] nobody
    signal    = ["*"]
    update    = ["*"]
    callback  = ["*"]          # with its token
    approve   = ["@oncall"]    # and reject
    cancel    = ["*"]
    unblock   = ["@oncall"]
    terminate = []
    step      = []
    timer     = []
    hold      = []             # pause and resume

    [start]                    # workflows of the catalogue: "file.py", "file.py:workflow", or "*" for the others
    "rotate.py" = ["@oncall"]
    "*" = ["@admin"]

What is not named: every member may do it, but for `step`, `timer`, `hold` and `terminate`, which then nobody may but
the engine's user.
Root and the engine's user may do everything but answer: with sudo one person would be two.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from dwf.core import messages as mail
from dwf.engine.identity import is_one_of, login_of
from dwf.errors import BadConfiguration, NotPermitted, UsageError
from dwf.store.files import WRITABLE_BY_OTHERS, read_regular
from dwf.store.room import Store

ACTS = (
    mail.SIGNAL,
    mail.UPDATE,
    mail.CALLBACK,
    mail.APPROVE,
    mail.CANCEL,
    mail.UNBLOCK,
    mail.TERMINATE,
    mail.STEP,
    mail.TIMER,
    mail.HOLD,
)
ANYBODY = "*"
_FOR_ENGINE = (mail.STEP, mail.TERMINATE, mail.TIMER, mail.HOLD)
_ANSWERS = (mail.APPROVE, mail.REJECT)
_LARGEST = 64 * 1024


@dataclass(frozen=True)
class Policy:
    """Who may: by act, and by workflow for starts."""

    allow: dict[str, list[str]]
    start: dict[str, list[str]]

    def may(self, act: str, name: str = "") -> list[str]:
        """Who may do it. name: the workflow of a start."""
        if act == mail.START:
            file = name.partition(":")[0]
            return next((self.start[key] for key in (name, file, ANYBODY) if key in self.start), [ANYBODY])
        act = mail.APPROVE if act in _ANSWERS else act
        return self.allow.get(act, [] if act in _FOR_ENGINE else [ANYBODY])


def forbidden(store: Store, uid: int, act: str, name: str = "") -> str | None:
    """Why that user may not do that in this directory, in words; None if he may. Raises BadConfiguration."""
    sharing = store.layout.sharing
    if sharing is None:
        return None
    if uid in (0, sharing.engine):
        if act not in _ANSWERS:
            return None
        who = "root" if uid == 0 else "the user that drives the runs"
        return f"{who} answers no question in a shared directory: that must be a person of his own"
    try:
        may = policy_of(store).may(act, name)
    except NotPermitted:
        if not store.is_operator:
            raise
        return None  # he may not read it; the engine does, and decides
    if ANYBODY in may or is_one_of(uid, may):
        return None
    who, what = login_of(uid) or f"uid {uid}", f"start {name}" if act == mail.START else act
    return f"{who} may not {what} here; who may: {', '.join(may) or 'only the user that drives the runs'}"


def policy_of(store: Store) -> Policy:
    """The policy of a shared directory, the default one if it has none. Raises BadConfiguration."""
    path = store.layout.policy
    try:
        found = os.stat(path, follow_symlinks=False)  # noqa: PTH116
        raw = read_regular(path, _LARGEST + 1)
    except FileNotFoundError:
        return Policy({}, {})
    assert store.layout.sharing is not None
    if found.st_uid not in (0, store.layout.sharing.engine) or found.st_mode & WRITABLE_BY_OTHERS:
        raise _bad(path, "others can write it", f"chown {store.layout.sharing.engine} {path}; chmod 640 {path}")
    if len(raw) > _LARGEST:
        raise _bad(path, f"it is larger than {_LARGEST:,} bytes")
    return _parsed(path, raw)


def _parsed(path: str, raw: bytes) -> Policy:
    import tomllib  # 29 ms, and most directories are not shared

    try:
        said = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _bad(path, str(error)) from None
    _known(path, said, ("allow", "start"))
    allow, start = said.get("allow", {}), said.get("start", {})
    if not isinstance(allow, dict) or not isinstance(start, dict):
        raise _bad(path, "[allow] and [start] are tables")
    _known(path, allow, ACTS)
    try:
        for name in start:
            if name != ANYBODY:
                mail.check_catalogued(name)
    except UsageError as error:
        raise _bad(path, error.message) from None
    return Policy(*({key: _people(path, key, value) for key, value in table.items()} for table in (allow, start)))


def _known(path: str, table: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            meant = get_close_matches(key, known, 1)
            raise _bad(path, f"there is no {key!r}; " + (f"did you mean {meant[0]}?" if meant else ", ".join(known)))


def _people(path: str, key: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise _bad(path, f'{key} must be a list of names, as ["alice", "@oncall"]')
    return value


def _bad(
    path: str, why: str, hint: str = "nothing that it decides on is taken up until it is mended"
) -> BadConfiguration:
    return BadConfiguration(what=f"{path} cannot be used: {why}", path=path, hint=hint)

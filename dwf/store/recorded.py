"""Recorded histories that lie anywhere: a file as in runs/, or a bundle that was exported. Only read, into memory."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from dwf.core.events import Event
from dwf.errors import BundleRefused, NotFound
from dwf.store import record
from dwf.store.code import bundled
from dwf.store.history import read_history
from dwf.store.unbundle import contents, look

BUNDLE = ".dwf"
_SUFFIXES = (".jsonl", BUNDLE)


@dataclass(frozen=True)
class Recorded:
    """path: where it was found. content: what the bundle has with it, by hash: code and large values."""

    path: str
    events: list[Event]
    content: dict[str, bytes] = field(default_factory=dict)

    def code(self, hash: str) -> dict[str, bytes]:  # noqa: A002 - the word of the field it comes from
        """The files of a stored script; none if it is not there."""
        try:
            return bundled(self.content, hash)
        except KeyError:
            return {}


def recorded(path: str) -> Recorded:
    """The newest history in a file. Raises NotFound (4), HistoryCorrupt (65), BundleRefused (2), DiskError."""
    if not path.endswith(BUNDLE):
        found = read_history(path)
        if found.problem is not None:
            raise found.problem
        return Recorded(path, found.events)
    whole = look(os.path.realpath(path))
    newest, content = contents(whole)
    try:
        return Recorded(path, record.decode_lines(newest), content)
    except record.UNREADABLE as error:
        raise BundleRefused(path=path, why=str(error), hint="a bundle is what dwf export makes") from None


def histories_in(path: str) -> list[str]:
    """The file itself, or what a directory has of histories and bundles, by name. Raises NotFound."""
    if not os.path.isdir(path):  # noqa: PTH112 - paths of the store are text
        return [path]
    found = sorted(name for name in os.listdir(path) if name.endswith(_SUFFIXES))  # noqa: PTH208
    if not found:
        raise NotFound(
            what=f"there is no history in {path}", hint="*.jsonl as in runs/, or what dwf export has written"
        )
    return [f"{path}/{name}" for name in found]

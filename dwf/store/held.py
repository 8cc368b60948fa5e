"""What is held: everything, or all runs of a workflow that begin; and who wants that.

Everything is held by a file whose being there keeps ticks and workers from driving anything.
"""

from __future__ import annotations

import msgspec

from dwf.core.parts import Identity
from dwf.errors import DwfError
from dwf.store.files import Disk, read_regular
from dwf.store.layout import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dwf.store.shelf import Shelf

_LARGEST = 16 * 1024


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds everything, or one workflow, since when (RFC 3339), and why."""

    at: str
    by: Identity
    reason: str = ""
    workflow: str = ""


_UNREADABLE = Held(at="", by=Identity(uid=-1, login="somebody"), reason="its file cannot be read")


def held(layout: Layout) -> Held | None:
    """Who holds everything; None if nobody does. What cannot be read holds all the same, and names nobody."""
    try:
        return msgspec.json.decode(read_regular(layout.paused, _LARGEST), type=Held)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, DwfError):
        return _UNREADABLE


def held_workflow(shelf: Shelf[Held], workflow: str) -> Held | None:
    """The same for one workflow."""
    try:
        return shelf.of(workflow)
    except DwfError:
        return _UNREADABLE


def hold(disk: Disk, layout: Layout, wish: Held) -> None:
    """From now on, for good. Raises FileExistsError if it is so already; NotPermitted, DiskError."""
    disk.write_new(layout.paused, msgspec.json.encode(wish))
    disk.fsync_dir(layout.home)


def let_go(disk: Disk, layout: Layout) -> None:
    """It goes on. Raises FileNotFoundError if nothing is held; NotPermitted, DiskError."""
    disk.unlink(layout.paused)
    disk.fsync_dir(layout.home)

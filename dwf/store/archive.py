"""The archive: closed runs out of the way of the open ones. Read like any other, and never written again.

    archive/<year>-<month>/<name of the history>     by the month in which the run ended

All instances of a run id go together, under its lock, and only when the last is closed. A history has one name or two
on the way, never none: link here, sync; unlink in runs/, sync. The first instance leaves runs/ first, so whose first
instance is there has nothing in the archive, and the open runs pay nothing for it.

An id stays taken. Runs are made without the lock, so maker and archivist both say what they are about to do before they
look at the other: the maker's intent is there before he looks in here, the history's name is in here before the intents
are looked at. Whoever is second sees the first, and gives way.
"""

# On the path of whoever looks for a run: only cheap imports.
# ruff: noqa: PTH208

from __future__ import annotations

import os

from dwf.store.layout import run_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dwf.store.files import Disk
    from dwf.store.layout import Layout


def months(layout: Layout) -> list[str]:
    """The directories of the archive, the newest first; none if nothing was ever archived. Raises DiskError."""
    try:
        found = os.listdir(layout.archive)
    except FileNotFoundError:
        return []
    except OSError as error:
        from dwf.store.files import disk_error

        raise disk_error("list", layout.archive, error) from error
    return sorted((name for name in found if _is_month(name)), reverse=True)


def archived(layout: Layout, run: str, link: int = 1) -> str | None:
    """The path of an instance in the archive; None if it is not in there."""
    name = layout.history_path(run, link).rpartition("/")[2]
    paths = (f"{layout.archive}/{month}/{name}" for month in months(layout))
    return next((path for path in paths if os.path.lexists(path)), None)


def find(layout: Layout, run: str, link: int = 1) -> str:
    """The path of a history, wherever it lies; where it would lie, if there is none."""
    path = layout.history_path(run, link)
    if os.path.lexists(path):
        return path
    return archived(layout, run, link) or path


def latest(layout: Layout, run: str) -> int:
    """The number of the newest instance of a workflow id, 1 if there is none yet."""
    link = 1
    if not os.path.lexists(layout.history_path(run)):
        while archived(layout, run, link):
            link += 1
        if link > 1 and not os.path.lexists(layout.history_path(run, link)):
            return link - 1
    while os.path.lexists(layout.history_path(run, link + 1)):
        link += 1
    return link


def entries(layout: Layout, month: str) -> Iterator[tuple[str, int, str]]:
    """Run, number of the instance and path of what was archived in that month, in no order.

    What still has its name in runs/, because its archivist was killed, is counted there.
    """
    try:
        found = os.scandir(f"{layout.archive}/{month}")
    except FileNotFoundError:
        return
    with found:
        for entry in found:
            known = run_of(entry.name)
            if known is not None and not os.path.lexists(f"{layout.runs}/{entry.name}"):
                yield (*known, entry.path)


class Volume:
    """A closed run that is to be archived: its instances that are in runs/, and the month in which it ended."""

    __slots__ = ("links", "month", "run")

    def __init__(self, run: str, links: tuple[int, ...], month: str) -> None:
        self.run, self.links, self.month = run, links, month


def put_away(disk: Disk, layout: Layout, volumes: list[Volume], say: Callable[[list[Volume]], None]) -> list[Volume]:
    """Move them; which of them, for one whose id somebody wants to start anew just now stays. Each lock must be held.

    say: called with what will be moved, before anything leaves runs/. Raises DiskError: then each is here or there.
    """
    for month in dict.fromkeys(volume.month for volume in volumes):
        _make(disk, layout, month)
    fresh: dict[str, list[str]] = {volume.run: [] for volume in volumes}
    places = dict.fromkeys(_link(disk, layout, volume, link, fresh) for volume in volumes for link in volume.links)
    for place in places:
        disk.fsync_dir(place)
    wanted = _being_made(layout)
    for run in wanted & set(fresh):
        for path in fresh[run]:
            disk.discard(path)
    moved = [volume for volume in volumes if volume.run not in wanted]
    say(moved)
    _unlink(disk, layout, [(volume.run, min(volume.links)) for volume in moved])
    _unlink(disk, layout, [(v.run, link) for v in moved for link in v.links if link != min(v.links)])
    return moved


def _link(disk: Disk, layout: Layout, volume: Volume, link: int, fresh: dict[str, list[str]]) -> str:
    """Give it its name, unless a killed archivist has; the directory in which that is."""
    source = layout.history_path(volume.run, link)
    target = archived(layout, volume.run, link)
    if target is None:
        target = f"{layout.archive}/{volume.month}/{source.rpartition('/')[2]}"
        disk.link(source, target)
        fresh[volume.run].append(target)
    return target.rpartition("/")[0]


def _unlink(disk: Disk, layout: Layout, wanted: list[tuple[str, int]]) -> None:
    for run, link in wanted:
        disk.unlink(layout.history_path(run, link))
    if wanted:
        disk.fsync_dir(layout.runs)


def _being_made(layout: Layout) -> set[str]:
    names = (run_of(name.partition(".")[2]) for name in os.listdir(layout.intents))
    return {known[0] for known in names if known is not None}


def _make(disk: Disk, layout: Layout, month: str) -> None:
    from dwf.store.sharing import open_to_group

    for path in (layout.archive, f"{layout.archive}/{month}"):
        try:
            disk.mkdir(path)
        except FileExistsError:
            pass  # its maker may have been killed before all of this
        if layout.sharing is not None:
            open_to_group(disk, layout, layout.sharing, path)
        disk.fsync_dir(path.rpartition("/")[0])


def _is_month(name: str) -> bool:
    year, _, month = name.partition("-")
    return len(year) == 4 and len(month) == 2 and year.isdecimal() and month.isdecimal()

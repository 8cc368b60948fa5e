"""Verifying many histories: one after the other, or, where there are many, by several processes. Changes nothing.

Of a million histories only a few names and what is wrong are in memory.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from dwf.errors import DwfError
from dwf.store.archive import find, latest, months
from dwf.store.files import disk_error
from dwf.store.history import verify_history
from dwf.store.layout import HISTORY_SUFFIX, Layout, run_of
from dwf.store.verify import Finding

# From so many on, a second process is worth its start.
_MANY = 5000
_PART = 250


def paths_of(layout: Layout, run: str) -> list[str]:
    """The histories of one run, all instances; none if there is no such run."""
    paths = (find(layout, run, link) for link in range(1, latest(layout, run) + 1))
    return [path for path in paths if os.path.lexists(path)]


def all_paths(layout: Layout) -> Iterator[str]:
    """Every file that bears the suffix of a history, in runs/ and in the archive, in no order. Raises DiskError."""
    for directory in (layout.runs, *(f"{layout.archive}/{month}" for month in months(layout))):
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.name.endswith(HISTORY_SUFFIX):
                        yield entry.path
        except FileNotFoundError:
            continue
        except OSError as error:
            raise disk_error("list", directory, error) from error


def examined(paths: Iterable[str], processes: int | None = None) -> Iterator[tuple[int, list[Finding]]]:
    """How many histories were looked at, and what is wrong with them, part by part."""
    coming = iter(paths)
    first = list(islice(coming, _MANY))
    processes = processes or len(os.sched_getaffinity(0))
    if len(first) < _MANY or processes == 1:
        yield from ((1, _findings(path)) for path in chain(first, coming))
    else:
        yield from _side_by_side(chain(first, coming), processes)


def _side_by_side(coming: Iterator[str], processes: int) -> Iterator[tuple[int, list[Finding]]]:
    import multiprocessing
    from concurrent.futures import Future, ProcessPoolExecutor

    under_way: deque[Future[tuple[int, list[Finding]]]] = deque()
    # Forked: nothing else runs in this process, and each part is only names.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
        while part := list(islice(coming, _PART)):
            under_way.append(pool.submit(_part, part))
            if len(under_way) > 2 * processes:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _part(paths: list[str]) -> tuple[int, list[Finding]]:
    return len(paths), [finding for path in paths for finding in _findings(path)]


def _findings(path: str) -> list[Finding]:
    if run_of(path.rpartition("/")[2]) is None:
        return [Finding(path, 0, 0, "foreign", "no run can have this name")]
    try:
        return verify_history(path)
    except DwfError as error:
        return [Finding(path, 0, 0, "unreadable", error.message)]

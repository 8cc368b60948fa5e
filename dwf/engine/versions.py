"""Versions: which code runs are on, and what nobody needs any more. Executes no script and writes nothing.

Each run counts once, on the code that it is on now, or ended on. What is in the archive is not looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from dwf.core.duration import unstamp
from dwf.core.state import RunState
from dwf.engine.runs import all_ids, standing
from dwf.errors import DwfError
from dwf.scripts.collect import collect
from dwf.store.choice import Choice
from dwf.store.code import bundle_hash
from dwf.store.room import Store
from dwf.store.routes import Route

Progress = Callable[[int, int], None]
ALL = 100
LIVE = "live"
"""In place of a hash: runs that load the file anew each time are on no version."""


@dataclass
class Version:
    """One content of one script. first_us, last_us: when the first and the last of its runs was started.

    current: the file has this content now; None if that cannot be told. starts: so many of 100 new starts take it.
    open: run ids. python, dwf: with which its runs were started; packages: of each, the versions with which they came
    onto it.
    """

    script: str
    code: str
    first_us: int
    last_us: int
    current: bool | None = None
    starts: int = 0
    open: list[str] = field(default_factory=list)
    closed: int = 0
    python: set[str] = field(default_factory=set)
    dwf: set[str] = field(default_factory=set)
    packages: dict[str, set[str]] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        """Whether nothing goes on with it: no open run is on it, and a new start would take another."""
        return not self.open and not self.starts and self.current is False

    def count(self, run: str, state: RunState) -> None:
        """One run more."""
        at_us = unstamp(state.head.ts)
        self.first_us, self.last_us = min(self.first_us, at_us), max(self.last_us, at_us)
        self.python.add(state.head.python)
        self.dwf.add(state.head.dwf)
        for name, version in state.packages.items():
            self.packages.setdefault(name, set()).add(version)
        if state.ended is None or state.continues:
            self.open.append(run)
        else:
            self.closed += 1


def versions(
    store: Store, script: str = "", *, open_only: bool = False, progress: Progress | None = None
) -> list[Version]:
    """By script, and of each script the one that was started last first.

    script: only those of that path, or of that file name. open_only: count open runs only, which the index knows, so
    that no closed history is read.
    """
    found: dict[tuple[str, str], Version] = {}
    runs = open_ids(store) if open_only else all_ids(store)
    for number, run in enumerate(runs):
        if progress is not None:
            progress(number, len(runs))
        state = _state_of(store, run)
        if state is None or not is_of(state.script, script) or (open_only and state.ended is not None):
            continue
        code = LIVE if state.head.code_mode == LIVE else state.code
        at_us = unstamp(state.head.ts)
        found.setdefault((state.script, code), Version(state.script, code, at_us, at_us)).count(run, state)
    if progress is not None:
        progress(len(runs), len(runs))
    now = {path: (content_of(path), _route(store, path)) for path, _ in found}
    for version in found.values():
        there, route = now[version.script]
        version.current = True if version.code == LIVE else None if there is None else version.code == there
        of_file = ALL if route is None else route.ramp
        version.starts = of_file if version.current and version.code != LIVE else 0
        version.starts += ALL - of_file if route is not None and route.code == version.code else 0
    return sorted(found.values(), key=lambda version: (version.script, -version.last_us, version.code))


def _route(store: Store, script: str) -> Route | None:
    with suppress(DwfError):  # a member of a shared directory may not see it
        return store.routes.of(script)
    return None


def is_of(path: str, script: str) -> bool:
    """Whether a recorded script is the one that is asked for, by its path or its file name; "" is any."""
    return not script or path == os.path.abspath(script) or path.rpartition("/")[2] == script  # noqa: PTH100


def content_of(path: str) -> str | None:
    """The hash of a script and its modules as they are on disk; "" if it is gone, None if it cannot be told."""
    if not os.path.lexists(path):
        return ""
    with suppress(DwfError):
        sources = collect(path)
        return bundle_hash(sources.files, sources.main)
    return None


def open_ids(store: Store) -> list[str]:
    """The ids of open runs; of all, if the index cannot be believed."""
    rows = store.index.rows(Choice(open_only=True))
    return all_ids(store) if rows is None else sorted(row.run for row in rows)


def _state_of(store: Store, run: str) -> RunState | None:
    with suppress(DwfError):
        view = standing(store, run)
        return view.state if view.problem is None else None
    return None

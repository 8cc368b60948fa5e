"""A directory for what a command makes up and throws away: below this user's cache, one for each process."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from dwf.errors import CannotCreate


@contextlib.contextmanager
def scratch(environ: Mapping[str, str]) -> Iterator[Path]:
    """An empty directory, gone afterwards; and with it those of processes that were killed. Raises CannotCreate."""
    cache = environ.get("XDG_CACHE_HOME") or f"{environ.get('HOME') or os.path.expanduser('~')}/.cache"  # noqa: PTH111
    place = Path(cache) / "dwf" / "scratch"
    mine = place / str(os.getpid())
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(place)
        shutil.rmtree(mine, ignore_errors=True)
        mine.mkdir(mode=0o700)
    except OSError as error:
        raise CannotCreate(path=str(mine), why=os.strerror(error.errno or 0), hint="XDG_CACHE_HOME=DIR") from error
    try:
        yield mine
    finally:
        shutil.rmtree(mine, ignore_errors=True)


def _sweep(place: Path) -> None:
    for left in place.iterdir():
        if left.name.isdecimal() and not Path(f"/proc/{left.name}").exists():
            shutil.rmtree(left, ignore_errors=True)

"""What steps and scripts print: files in out/<run id>/, made when the first byte is to be kept.

    <command>.<attempt>.out, .err    what one attempt of a step printed
    <command>.<attempt>.beat, .checkpoint, .asked   the heartbeat of an attempt that runs (activities/pulse.py)
    script.log                       what the script itself logged and printed

They are news, not truth: histories refer to them by hash, and a run goes on without them. So nothing here is synced.
"""

# ruff: noqa: PTH208

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress

from dwf.errors import NotFound
from dwf.store.files import Disk, disk_error, read_regular
from dwf.store.layout import LINK_MARK, Layout

SCRIPT_LOG = "script.log"
# What a script prints in an endless loop must not fill the disk.
SCRIPT_LOG_LIMIT = 10 * 1024 * 1024
_NAME = re.compile(r"[0-9]{1,12}\.[0-9]{1,12}\.(out|err)|script\.log")


def is_output_name(name: str) -> bool:
    """Whether a file of that name can be among the output of a run."""
    return _NAME.fullmatch(name) is not None


class Outputs:
    """The captured output of one state directory. `link` is the number of the instance of the run id, from 1."""

    def __init__(self, disk: Disk, layout: Layout) -> None:
        self._disk, self._out = disk, layout.out

    def directory(self, run: str, link: int = 1) -> str:
        """Where the output of a run lies. It need not be there."""
        return f"{self._out}/{run}{f'{LINK_MARK}{link}' if link > 1 else ''}"

    def prefix(self, run: str, command: int, attempt: int, link: int = 1) -> str:
        """The path of an attempt's output; ".out" and ".err" are added to it. Touches nothing."""
        return f"{self.directory(run, link)}/{command}.{attempt}"

    def make(self, run: str, link: int = 1) -> str:
        """The directory, made if it is missing. Raises NotPermitted, DiskError."""
        path = self.directory(run, link)
        try:
            self._make_one(path)
        except FileNotFoundError:
            # All output was deleted to make room, out/ included.
            self._make_one(self._out)
            self._make_one(path)
        return path

    def _make_one(self, path: str) -> None:
        try:
            self._disk.mkdir(path)
        except FileExistsError:
            pass

    def names(self, run: str, link: int = 1) -> list[str]:
        """The files there are for a run, in the order of commands and attempts, script.log last."""
        try:
            found = os.listdir(self.directory(run, link))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise disk_error("list", self.directory(run, link), error) from error
        return sorted(filter(_NAME.fullmatch, found), key=_order)

    def read(self, run: str, name: str, link: int = 1, limit: int | None = None) -> bytes:
        """The bytes of one file as they are, at most `limit`. Raises NotFound, NotPermitted, DiskError."""
        path = f"{self.directory(run, link)}/{name}"
        if not _NAME.fullmatch(name):
            raise NotFound(what=f"{name!r} is not the name of an output file", run=run)
        try:
            return read_regular(path, limit)
        except FileNotFoundError:
            raise NotFound(what=f"run {run} has no output file {name}", run=run, path=path) from None

    def discard(self, paths: Iterable[str]) -> None:
        """Remove files that nobody needs any more; what is not there, or cannot be removed, does not matter."""
        for path in paths:
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108

    def log(self, run: str, data: bytes, link: int = 1) -> None:
        """Add to script.log; what goes beyond its limit is dropped. Raises NotPermitted, DiskError."""
        path = f"{self.make(run, link)}/{SCRIPT_LOG}"
        fd = self._open_log(path)
        try:
            room = SCRIPT_LOG_LIMIT - os.fstat(fd).st_size
            if room > 0:
                self._disk.write_all(fd, data[:room], path)
        finally:
            os.close(fd)

    def _open_log(self, path: str) -> int:
        # Only the holder of the run's lock writes here: nobody else makes it between the two calls.
        try:
            return self._disk.open_regular(path, append=True, owner=os.geteuid())
        except FileNotFoundError:
            return self._disk.open_new(path)


def _order(name: str) -> tuple[int, int, str]:
    command, attempt, *rest = name.split(".") if name != SCRIPT_LOG else ("0", "0", name)
    return (int(command) or 1 << 60, int(attempt), rest[0])

"""What was refused: a file beside the histories, appended to and never rewritten, for what no history can hold.

One line a write, so that processes need no lock; a line that a killed writer left half is passed over by readers, and
ended by the next writer. A file that has grown large is renamed, whole, and a new one is begun. Nothing depends on any
of it.
"""

# ruff: noqa: PTH208

from __future__ import annotations

import os
from collections.abc import Iterator

from dwf.errors import DwfError
from dwf.store.files import Disk, disk_error, open_to_read
from dwf.store.layout import Layout
from dwf.store.locks import is_at

LONGEST_LINE = 4096
LARGEST = 4 * 1024 * 1024
_NAME, _ENDING = "audit.", ".jsonl"


class AuditLog:
    """The refusals of one state directory. Raises NotPermitted and DiskError wherever it touches the disk."""

    def __init__(self, disk: Disk, layout: Layout) -> None:
        self._disk, self._home, self._path = disk, layout.home, layout.audit

    def append(self, line: bytes, now_us: int) -> None:
        """One line, on disk when this returns. Longer ones than LONGEST_LINE are the caller's mistake."""
        assert len(line) <= LONGEST_LINE and b"\n" not in line
        fd, is_new = self._open()
        try:
            if not is_new and self._is_full(fd):
                self._rotate(fd, now_us)
                full, (fd, is_new) = fd, self._open()
                os.close(full)
            self._disk.write_all(fd, self._after_half_line(fd) + line + b"\n", self._path)
            self._disk.fsync(fd, self._path)
        finally:
            os.close(fd)
        if is_new:
            self._disk.fsync_dir(self._home)

    def lines(self) -> Iterator[bytes]:
        """Every line, oldest file first, half ones too; without their newlines, and none that is empty."""
        for name in self._names():
            path = f"{self._home}/{name}"
            try:
                fd = open_to_read(path)
            except FileNotFoundError:
                continue  # renamed in this moment
            with os.fdopen(fd, "rb") as file:
                for line in file:
                    # An empty one: a writer took another's line, half of which he saw, for one that was cut off.
                    if whole := line.rstrip(b"\n"):
                        yield whole

    def _names(self) -> list[str]:
        try:
            found = os.listdir(self._home)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise disk_error("list", self._home, error) from error
        # The time in a name of 16 hex digits sorts; the newest has none, and comes last.
        old = sorted(
            name for name in found if name.startswith(_NAME) and name.endswith(_ENDING) and name.count(".") == 2
        )
        return [*old, *(name for name in found if f"{self._home}/{name}" == self._path)]

    def _open(self) -> tuple[int, bool]:
        while True:
            try:
                return self._disk.open_regular(self._path, append=True, owner=os.geteuid()), False
            except FileNotFoundError:
                pass
            try:
                os.close(self._disk.open_new(self._path))
                return self._disk.open_regular(self._path, append=True, owner=os.geteuid()), True
            except (FileExistsError, FileNotFoundError):
                continue  # somebody else has made it, or has put it aside already

    def _is_full(self, fd: int) -> bool:
        return os.fstat(fd).st_size >= LARGEST and is_at(fd, self._path)

    def _rotate(self, fd: int, now_us: int) -> None:
        try:
            self._disk.rename_noreplace(self._path, f"{self._home}/{_NAME}{now_us:016x}{_ENDING}")
        except (FileExistsError, FileNotFoundError, DwfError):
            pass  # somebody was faster, or it goes on in the old one

    def _after_half_line(self, fd: int) -> bytes:
        size = os.fstat(fd).st_size
        return b"\n" if size and os.pread(fd, 1, size - 1) != b"\n" else b""

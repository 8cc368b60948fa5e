"""Which file system a path lies on, from the kernel's list of mounts."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def file_system(path: str, mounts: Iterable[str]) -> str:
    """The type of the file system that an absolute path without links lies on, from the lines of mountinfo."""
    best, kind = "", ""
    for line in mounts:
        fields, _, after = line.partition(" - ")
        words = fields.split(" ")
        if len(words) < 5:
            continue
        point = _unescaped(words[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        # of two mounts on one place the later one hides the earlier
        if inside and len(point) >= len(best):
            best, kind = point, after.split(" ", 1)[0]
    return kind


def _unescaped(point: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, char)
    return point

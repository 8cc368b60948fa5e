"""A bundle: one run in one file, a gzipped tar that needs nothing else. Its form, and how it is made.

    manifest.json           what is in it: name, size and sha256 of each member, in their order; whose run, made by whom
    history/1.jsonl ...     every instance of the run id, whole lines only
    code/<sha256>           the stored scripts that the histories name, and their files
    blobs/<sha256>          the large values
    out/1/<name> ...        what steps and scripts printed

A file is read twice: to say in the manifest what it is, and to copy it, which must give the same bytes. So a run that
goes on meanwhile is copied as it was at the first look, for a history is only added to. Order and metadata are fixed:
the same run gives the same bytes, but for who made the bundle and when. Nothing is written to the state directory.
"""

# ruff: noqa: PTH118, PTH119, PTH120

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from dwf.core.events import Identity
from dwf.core.messages import check_run_id
from dwf.errors import CannotCreate, Conflict, DiskError, HistoryCorrupt, NotFound, UsageError
from dwf.store.files import Disk, disk_error, open_to_read
from dwf.store.outputs import is_output_name
from dwf.store.room import Store
from dwf.store.walk import Walk, Walked

SCHEMA = "dwf.bundle/1"
MANIFEST = "manifest.json"
# What an archive may claim, and so what it may cost to look into one.
MANIFEST_LIMIT = 16 * 1024 * 1024
LARGEST = {"history": 1 << 30, "code": 16 << 20, "blobs": 16 << 20, "out": 1 << 30}
TOTAL_LIMIT = 8 << 30
BLOCK, RECORD = tarfile.BLOCKSIZE, tarfile.RECORDSIZE
_PIECE = 1 << 20
_NAME = re.compile(r"(?:history/([1-9][0-9]{0,5})\.jsonl|(code|blobs)/[0-9a-f]{64}|out/([1-9][0-9]{0,5})/([^/]+))")
Sink = Callable[[bytes], None]


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a bundle."""

    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a bundle says of itself. head: the hash of the last line of the newest history; made: a timestamp."""

    schema: str = SCHEMA
    run: str
    nonce: str
    head: str
    moved: bool
    made: str
    by: Identity
    reason: str = ""
    machine: str = ""
    dwf: str = ""
    members: list[Member] = []


@dataclass(frozen=True, slots=True)
class Place:
    """What a member's name says. kind: history, code, blobs or out; link: of which instance; name: its last part."""

    kind: str
    link: int
    name: str


def place_of(name: str) -> Place | None:
    """The place of a member's name; None for a name that no member can have."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    last = name.rpartition("/")[2]
    if found[1]:
        return Place("history", int(found[1]), last)
    if found[2]:
        return Place(found[2], 0, last)
    return Place("out", int(found[3]), last) if is_output_name(last) else None


# -- looking ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Survey:
    """What goes into a bundle. instances: the histories as they were found, by link; sources: path of each member."""

    run: str
    instances: dict[int, Walked]
    sources: list[tuple[Member, str]]

    @property
    def newest(self) -> Walked:
        return self.instances[max(self.instances)]


def survey(store: Store, run: str) -> Survey:
    """Read all of a run. Raises NotFound, HistoryCorrupt, NewerFormat, CodeMissing, UsageError if it is too large."""
    check_run_id(run)
    layout, found = store.layout, Survey(run, {}, [])
    for link in range(1, store.latest_link(run) + 1):
        path = store.history(run, link)
        member, walked = _history(path, run, link)
        found.instances[link] = walked
        found.sources.append((member, path))
    codes = {code for walked in found.instances.values() for code in walked.codes}
    for name in sorted(_files_of(store, codes, run)):
        found.sources.append(_looked_at(f"code/{name}", f"{layout.code}/{name}", name))
    for name in sorted({blob for walked in found.instances.values() for blob in walked.blobs}):
        found.sources.append(_looked_at(f"blobs/{name}", f"{layout.blobs}/{name}", name))
    for link in found.instances:
        for name in store.outputs.names(run, link):
            path = f"{store.outputs.directory(run, link)}/{name}"
            found.sources.append(_looked_at(f"out/{link}/{name}", path))
    _require_small(found)
    return found


def surveyed_anew(store: Store, found: Survey) -> Survey:
    """The same after its newest history has grown by something that refers to nothing."""
    link = max(found.instances)
    path = store.history(found.run, link)
    member, walked = _history(path, found.run, link)
    sources = [(member, path) if there == path else (other, there) for other, there in found.sources]
    return Survey(found.run, {**found.instances, link: walked}, sources)


def _history(path: str, run: str, link: int) -> tuple[Member, Walked]:
    walk = Walk(path)
    try:
        for piece in _pieces(path, None):
            walk.feed(piece)
    except FileNotFoundError:
        raise NotFound(what=f"there is no run {run}", hint="dwf list") from None
    walked = walk.end()
    if walked.run != run:
        raise HistoryCorrupt(path=path, line=1, offset=0, why=f"it is of the run {walked.run}", kind="foreign")
    return Member(f"history/{link}.jsonl", walked.size, walked.sha256), walked


def _files_of(store: Store, codes: set[str], run: str) -> set[str]:
    names = set(codes)
    for code in codes:
        names |= {sha256(data).hexdigest() for data in store.code.load(code, run).files.values()}
    return names


def _looked_at(name: str, path: str, must_be: str | None = None) -> tuple[Member, str]:
    digest, size = sha256(), 0
    try:
        for piece in _pieces(path, None):
            digest.update(piece)
            size += len(piece)
    except FileNotFoundError:
        raise _lost(path, "there is no such file") from None
    if must_be not in (None, digest.hexdigest()):
        raise _lost(path, "it is not what its name says")
    return Member(name, size, digest.hexdigest()), path


def _lost(path: str, why: str) -> HistoryCorrupt:
    hint = "restore it from a backup; its name is the sha256 of its content"
    return HistoryCorrupt(path=path, line=1, offset=0, kind="corrupt", why=why, hint=hint)


def _require_small(found: Survey) -> None:
    for member, path in found.sources:
        limit = LARGEST[member.name.partition("/")[0]]
        if member.size > limit:
            raise UsageError(what=f"{path} has {member.size:,} bytes; a bundle takes files up to {limit:,}")
    total = sum(member.size for member, _ in found.sources)
    if total > TOTAL_LIMIT:
        raise UsageError(what=f"run {found.run} has {total:,} bytes; a bundle takes up to {TOTAL_LIMIT:,}")


def _pieces(path: str, size: int | None) -> Iterator[bytes]:
    """The first `size` bytes of a file, all that it has now if None. Raises FileNotFoundError, DiskError."""
    fd = open_to_read(path)
    try:
        # Not beyond what was there at the first look: somebody may be writing as fast as we read.
        left = os.fstat(fd).st_size if size is None else size
        while left > 0 and (piece := os.read(fd, min(left, _PIECE))):
            left -= len(piece)
            yield piece
    except OSError as error:
        raise disk_error("read", path, error) from error
    finally:
        os.close(fd)


# -- making -----------------------------------------------------------------------------------------------------


def write(found: Survey, manifest: Manifest, sink: Sink) -> None:
    """The bundle, in pieces. Raises DiskError if a file is not any more what it was at the survey."""
    pack = zlib.compressobj(wbits=31)
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    archive = 0
    for piece in _archived(data, found.sources):
        archive += len(piece)
        sink(pack.compress(piece))
    sink(pack.compress(bytes(2 * BLOCK + -(archive + 2 * BLOCK) % RECORD)))
    sink(pack.flush())


def _archived(manifest: bytes, sources: list[tuple[Member, str]]) -> Iterator[bytes]:
    yield _header(MANIFEST, len(manifest)) + manifest + _padding(len(manifest))
    for member, path in sources:
        yield _header(member.name, member.size)
        digest = sha256()
        try:
            for piece in _pieces(path, member.size):
                digest.update(piece)
                yield piece
        except FileNotFoundError:
            raise _changed(path) from None
        if digest.hexdigest() != member.sha256:
            raise _changed(path)
        yield _padding(member.size)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def _changed(path: str) -> DiskError:
    return DiskError(
        operation="copy", path=path, why="it was changed while it was copied", errno=0, hint="type the same again"
    )


@contextmanager
def new_file(disk: Disk, path: str) -> Iterator[Sink]:
    """A file that appears under its name when the block has ended well, whole and on disk; else nothing is left.

    Raises Conflict (9) if the name is taken, CannotCreate (73) if its directory is not there; DiskError, NotPermitted.
    """
    if os.path.lexists(path):
        raise _taken(path)
    directory, name = os.path.dirname(path) or ".", os.path.basename(path)
    draft = os.path.join(directory, f".{name[:200]}.{os.urandom(4).hex()}.part")
    try:
        fd = disk.open_new(draft)
    except FileNotFoundError:
        raise CannotCreate(path=path, why=f"there is no directory {directory}", hint="name another place") from None
    try:
        yield lambda data: disk.write_all(fd, data, draft) if data else None
        disk.fsync(fd, draft)
        disk.rename_noreplace(draft, path)
    except FileExistsError:
        disk.discard(draft)
        raise _taken(path) from None
    except BaseException:
        disk.discard(draft)
        raise
    finally:
        os.close(fd)
    disk.fsync_dir(directory)


def _taken(path: str) -> Conflict:
    return Conflict(what=f"{path} is there already", path=path, hint="name a file that is not there yet")

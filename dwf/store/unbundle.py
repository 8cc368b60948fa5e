"""Taking a bundle apart: first a look at all of it that writes nothing, then everything into its place.

Nothing in an archive is believed. Only plain files are taken, in the order and with the sizes that the manifest gives;
their names are ours, never paths of theirs; what is read at once is bounded whatever the archive says of itself. Of
tarfile only the reader of a single header is used: the rest takes names and metadata of any size into memory.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain

import msgspec

from dwf.core.messages import check_run_id, quoted
from dwf.errors import BundleRefused, DiskError, HistoryCorrupt, NewerFormat, NotPermitted, UsageError
from dwf.store.bundle import (
    BLOCK,
    LARGEST,
    MANIFEST,
    MANIFEST_LIMIT,
    RECORD,
    SCHEMA,
    TOTAL_LIMIT,
    Manifest,
    Member,
    Place,
    place_of,
)
from dwf.store.code import files_of
from dwf.store.content import Content
from dwf.store.creation import Together
from dwf.store.files import disk_error, open_to_read
from dwf.store.longer import Longer
from dwf.store.record import UNREADABLE
from dwf.store.room import Store
from dwf.store.row import Row
from dwf.store.walk import Walk, Walked

_PIECE = 1 << 20
_MANIFESTS_OF_CODE = 1 << 20


class _Bad(Exception):
    """Why a file is refused."""


@dataclass(frozen=True, slots=True)
class Found:
    """A bundle that is whole and fits together. instances: the histories in it, by link."""

    path: str
    manifest: Manifest
    instances: dict[int, Walked]

    @property
    def newest(self) -> Walked:
        return self.instances[max(self.instances)]


def look(path: str) -> Found:
    """Read all of a bundle and check it; writes nothing. Raises BundleRefused (2), FileNotFoundError, DiskError."""
    with _opened(path) as archive:
        instances: dict[int, Walked] = {}
        code: dict[str, bytes] = {}
        for member, place, pieces in archive.members():
            if place.kind == "history":
                instances[place.link] = _walked(archive.manifest, member, pieces)
            elif place.kind == "code" and member.size <= _MANIFESTS_OF_CODE:
                data = b"".join(pieces)
                if any(place.name in walked.codes for walked in instances.values()):
                    code[place.name] = data
            else:
                for _ in pieces:
                    pass
        _require_whole(archive.manifest, instances, code)
        return Found(path, archive.manifest, instances)


def contents(found: Found) -> tuple[bytes, dict[str, bytes]]:
    """The newest history of a bundle that was looked at, as it is, and its code and large values by hash."""
    newest, content = b"", dict[str, bytes]()
    with _opened(found.path) as archive:
        if archive.manifest != found.manifest:
            raise _Bad("it was changed while it was read")
        for _, place, pieces in archive.members():
            data = b"".join(pieces) if place.kind != "out" else b"".join(b"" for _ in pieces)
            if place.kind == "history" and place.link == max(found.instances):
                newest = data
            elif place.kind in ("code", "blobs"):
                content[place.name] = data
    return newest, content


def store_all(store: Store, found: Found, line: bytes, row: Row, *, comes_back: bool = False) -> None:
    """Put everything into its place; the histories appear last, together. Under the run's lock.

    line: what the newest history goes on with. row: for the index. comes_back: the run is here as moved, and grows.
    Raises Conflict (9), BundleRefused if the file was changed since the look, DiskError, NotPermitted; then nothing of
    the run is there, or it is as it was.
    """
    run, newest = found.manifest.run, max(found.instances)
    content = {"code": Content(store.disk, store.layout.code), "blobs": Content(store.disk, store.layout.blobs)}
    with (
        _opened(found.path) as archive,
        _histories(store, run, newest if comes_back else 0) as together,
        _Outputs(store, run, comes_back) as out,
    ):
        if archive.manifest != found.manifest:
            raise _Bad("it was changed while it was read")
        for _, place, pieces in archive.members():
            if place.kind == "history":
                together.add(place.link, chain(pieces, (line,)) if place.link == newest else pieces)
            elif place.kind == "out":
                out.add(place, pieces)
            else:
                content[place.kind].put(b"".join(pieces))
        out.sync()
        together.commit(store.index, row)
        out.keep()


def _histories(store: Store, run: str, newest_here: int) -> Together | Longer:
    if newest_here:
        return Longer(store.disk, store.layout, run, newest_here)
    return Together(store.disk, store.layout, run)


# -- what must hold ---------------------------------------------------------------------------------------------


def _walked(manifest: Manifest, member: Member, pieces: Iterator[bytes]) -> Walked:
    walk = Walk(member.name)
    try:
        for piece in pieces:
            walk.feed(piece)
        walked = walk.end()
    except (HistoryCorrupt, NewerFormat) as error:
        raise _Bad(error.message) from None
    if walk.torn_bytes:
        raise _Bad(f"{member.name} ends within a line")
    if walked.run != manifest.run:
        raise _Bad(f"{member.name} is not of the run {manifest.run}")
    return walked


def _require_whole(manifest: Manifest, instances: dict[int, Walked], code: dict[str, bytes]) -> None:
    """Everything that the histories refer to is there, and nothing else."""
    if not instances or sorted(instances) != list(range(1, len(instances) + 1)):
        raise _Bad("the histories in it are not 1, 2, 3 and so on")
    newest = instances[len(instances)]
    if (newest.nonce, newest.head) != (manifest.nonce, manifest.head):
        raise _Bad("its newest history is not the one that the manifest names")
    if any(walked.state.ended is None for link, walked in instances.items() if link < len(instances)):
        raise _Bad("an instance before the newest has not ended")
    codes = {name for walked in instances.values() for name in walked.codes}
    needed = {f"blobs/{name}" for walked in instances.values() for name in walked.blobs}
    try:
        needed |= {f"code/{name}" for name in codes}
        needed |= {f"code/{name}" for hash_ in codes for name in files_of(code[hash_])}
    except (KeyError, *UNREADABLE):
        raise _Bad("the code that a history names is not in it") from None
    there = {member.name for member in manifest.members if member.name.startswith(("code/", "blobs/"))}
    if there != needed:
        which = sorted(there ^ needed)[0]
        raise _Bad(f"{which} is {'of no use to the run' if which in there else 'missing'}")
    links = {place.link for member in manifest.members if (place := place_of(member.name)) and place.kind == "out"}
    if not links <= set(instances):
        raise _Bad("there is output of an instance that is not in it")


# -- reading ----------------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: str) -> Iterator[_Archive]:
    """The archive at a path. What is wrong with it becomes BundleRefused; its path is the file's."""
    fd = open_to_read(path)
    try:
        with os.fdopen(fd, "rb") as file:
            yield _Archive(file)
    except _Bad as bad:
        raise BundleRefused(path=path, why=str(bad), hint="a bundle is what dwf export makes") from None


class _Archive:
    """A bundle, read from its beginning to its end, once."""

    def __init__(self, file: object) -> None:
        self._zip = gzip.GzipFile(fileobj=file)  # type: ignore[call-overload]
        self._read = 0
        first = self._header()
        if first is None or first.name != MANIFEST:
            raise _Bad("it does not begin with a manifest")
        if first.size > MANIFEST_LIMIT:
            raise _Bad(f"its manifest has {first.size:,} bytes")
        self.manifest = _manifest(b"".join(self._content(first.size)))

    def members(self) -> Iterator[tuple[Member, Place, Iterator[bytes]]]:
        """Each member with what its name says and its content, which must be read to its end before the next."""
        for member in self.manifest.members:
            header = self._header()
            if header is None or (header.name, header.size) != (member.name, member.size):
                raise _Bad(f"{quoted(header.name) if header else 'its end'} is where {member.name} belongs")
            place = place_of(member.name)
            assert place is not None  # or the manifest would have been refused
            yield member, place, self._checked(member)
        if self._header() is not None:
            raise _Bad("there is more in it than its manifest says")
        self._require_end()

    def _checked(self, member: Member) -> Iterator[bytes]:
        digest = sha256()
        for piece in self._content(member.size):
            digest.update(piece)
            yield piece
        if digest.hexdigest() != member.sha256:
            raise _Bad(f"{member.name} is not what the manifest says: its sha256 is another")

    def _header(self) -> tarfile.TarInfo | None:
        """The next header; None at the end."""
        block = self._exactly(BLOCK)
        if not any(block):
            return None
        try:
            info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.HeaderError, ValueError):
            raise _Bad("it is not a tar archive" if self._read == BLOCK else "a header in it is damaged") from None
        if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.linkname:
            raise _Bad(f"{quoted(info.name)} in it is not a plain file")
        if info.size < 0:
            raise _Bad(f"{quoted(info.name)} in it has a negative size")
        return info

    def _content(self, size: int) -> Iterator[bytes]:
        left = size
        while left > 0:
            piece = self._exactly(min(left, _PIECE))
            left -= len(piece)
            yield piece
        if any(self._exactly(-size % BLOCK)):
            raise _Bad("there is something between its members")

    def _require_end(self) -> None:
        rest = self._some(2 * RECORD)
        if any(rest) or len(rest) > RECORD:
            raise _Bad("there is more behind its end")
        if len(rest) < BLOCK or self._read % RECORD:
            raise _Bad("it is cut short")

    def _exactly(self, size: int) -> bytes:
        data = self._some(size)
        if len(data) < size:
            raise _Bad("it is cut short")
        return data

    def _some(self, size: int) -> bytes:
        """At most that many bytes, fewer only at the end."""
        parts = []
        left = size
        try:
            while left > 0 and (part := self._zip.read(left)):
                parts.append(part)
                left -= len(part)
        except EOFError:
            raise _Bad("it is cut short") from None
        except (gzip.BadGzipFile, zlib.error):
            raise _Bad("it is not gzipped" if not self._read else "it is damaged") from None
        except OSError as error:
            raise disk_error("read", "the bundle", error) from error
        self._read += size - left
        return b"".join(parts)


def _manifest(data: bytes) -> Manifest:
    try:
        schema = msgspec.json.decode(data, type=dict[str, msgspec.Raw]).get("schema")
        said = "" if schema is None else msgspec.json.decode(schema, type=str)
        if said != SCHEMA:
            raise _Bad(f"it is of the form {quoted(said)}; expected is {SCHEMA}")
        manifest = msgspec.json.decode(data, type=Manifest)
        check_run_id(manifest.run)
    except UNREADABLE as error:
        raise _Bad(f"its manifest cannot be read: {error}") from None
    except UsageError as error:
        raise _Bad(error.message) from None
    names = [member.name for member in manifest.members]
    if len(set(names)) < len(names):
        raise _Bad("a name stands twice in its manifest")
    for member in manifest.members:
        place = place_of(member.name)
        if place is None:
            raise _Bad(f"{quoted(member.name)} is no name of a file in a bundle")
        if not 0 <= member.size <= LARGEST[place.kind]:
            raise _Bad(f"{member.name} would have {member.size:,} bytes")
        if place.kind in ("code", "blobs") and place.name != member.sha256:
            raise _Bad(f"{member.name} is not named by its sha256")
    if sum(member.size for member in manifest.members) > TOTAL_LIMIT:
        raise _Bad(f"it would unpack to more than {TOTAL_LIMIT:,} bytes")
    if names != sorted(names, key=_order):
        raise _Bad("its members are not in order")
    return manifest


def _order(name: str) -> int:
    """Histories come first: what else is needed follows from them."""
    return list(LARGEST).index(name.partition("/")[0]) if name.partition("/")[0] in LARGEST else -1


# -- output -----------------------------------------------------------------------------------------------------


class _Outputs:
    """Captured output on its way into its place; a context: what was not kept at its end goes.

    What a killed import has left there is replaced: the run is locked and has no history, so it is nobody's. If the run
    comes back, what is there is its own and stays.
    """

    def __init__(self, store: Store, run: str, comes_back: bool) -> None:
        self._store, self._run, self._stays = store, run, comes_back
        self._made: list[str] = []
        self._links: set[int] = set()

    def __enter__(self) -> _Outputs:
        return self

    def __exit__(self, *_: object) -> None:
        for path in self._made:
            self._store.disk.discard(path)
        for link in self._links:
            with suppress(DiskError, NotPermitted, FileNotFoundError):
                self._store.disk.rmdir(self._store.outputs.directory(self._run, link))

    def sync(self) -> None:
        """Make the names durable as well: what is moved here is nowhere else."""
        outputs = self._store.outputs
        paths = [outputs.directory(self._run, link) for link in self._links]
        for path in (*paths, *[self._store.layout.out] * bool(paths)):
            self._store.disk.fsync_dir(path)

    def keep(self) -> None:
        """It is the run's now."""
        self._made, self._links = [], set()

    def add(self, place: Place, pieces: Iterator[bytes]) -> None:
        disk = self._store.disk
        path = f"{self._store.outputs.make(self._run, place.link)}/{place.name}"
        self._links.add(place.link)
        try:
            fd = disk.open_new(path)
        except FileExistsError:
            if self._stays:
                for _ in pieces:
                    pass
                return
            disk.unlink(path)
            fd = disk.open_new(path)
        self._made.append(path)
        try:
            for piece in pieces:
                disk.write_all(fd, piece, path)
            disk.fsync(fd, path)
        finally:
            os.close(fd)

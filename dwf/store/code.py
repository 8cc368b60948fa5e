"""Stored scripts: the bytes a run was started with, kept by their hash, so that a deploy never changes an open run.

A bundle is a manifest (which module name has which bytes, and which is the script) and the files it names. The hash of
the manifest names the bundle. What is loaded was checked byte by byte a moment before; nothing compiled is kept here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from dwf.errors import CodeMissing, InternalError
from dwf.store.content import Content, Missing
from dwf.store.files import Disk
from dwf.store.layout import Layout
from dwf.store.record import UNREADABLE

_SCHEMA = "dwf.code/1"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A script and the local modules that it imports. `files`: source bytes by name; `main` is the script's name."""

    main: str
    files: dict[str, bytes]


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: str
    main: str
    files: dict[str, str]


class CodeStore:
    """The stored scripts of one state directory."""

    __slots__ = ("_content",)

    def __init__(self, disk: Disk, layout: Layout) -> None:
        self._content = Content(disk, layout.code)

    def save(self, files: dict[str, bytes], main: str) -> str:
        """Store a bundle; its content hash. On disk when this returns; the same bundle twice is one.

        Raises DiskError, NotPermitted.
        """
        *_, name = self._content.put(*files.values(), _manifest(files, main))
        return name

    def load(self, hash: str, run: str = "") -> Bundle:  # noqa: A002 - the word of the field it comes from
        """The bundle, every byte checked. `run` is for the words. Raises CodeMissing, NotPermitted, DiskError."""
        try:
            manifest = msgspec.json.decode(self._content.fetch(hash), type=_Manifest)
            if manifest.schema != _SCHEMA:
                raise Missing(hash, f"bundle {hash[:12]} is of the form {manifest.schema}, of another dwf")
            files = {name: self._content.fetch(content) for name, content in manifest.files.items()}
        except Missing as missing:
            raise _gone(run, hash, missing.why) from None
        except UNREADABLE:
            raise _gone(run, hash, f"{hash[:12]} names no bundle") from None
        return Bundle(manifest.main, files)

    def beginning_with(self, prefix: str) -> dict[str, str]:
        """The bundles whose hash begins so: the name of the script of each. Raises NotPermitted, DiskError."""
        found: dict[str, str] = {}
        for name in self._content.names():
            if name.startswith(prefix):
                try:
                    manifest = msgspec.json.decode(self._content.fetch(name), type=_Manifest)
                except (Missing, *UNREADABLE):
                    continue  # a file of a bundle, or damaged
                found[name] = manifest.main
        return found


def bundled(content: dict[str, bytes], name: str) -> dict[str, bytes]:
    """The files of a bundle whose parts are in memory, by hash. Raises KeyError for what is not there."""
    try:
        manifest = msgspec.json.decode(content[name], type=_Manifest)
    except UNREADABLE:
        raise KeyError(name) from None
    return {file: content[part] for file, part in manifest.files.items()}


def files_of(manifest: bytes) -> set[str]:
    """The names of the files that a stored manifest refers to. Raises one of UNREADABLE for what is no manifest."""
    return set(msgspec.json.decode(manifest, type=_Manifest).files.values())


def bundle_hash(files: dict[str, bytes], main: str) -> str:
    """The hash that `CodeStore.save` would answer; stores nothing."""
    return sha256(_manifest(files, main)).hexdigest()


def _manifest(files: dict[str, bytes], main: str) -> bytes:
    if main not in files:
        raise InternalError(what=f"a bundle without its own script {main!r}")
    named = {name: sha256(data).hexdigest() for name, data in files.items()}
    return json.dumps(
        {"files": named, "main": main, "schema": _SCHEMA}, sort_keys=True, separators=(",", ":"), ensure_ascii=True
    ).encode("ascii")


def _gone(run: str, hash: str, why: str) -> CodeMissing:  # noqa: A002
    return CodeMissing(
        run=run or f"(code {hash[:12]})", why=why, hint="restore code/ from a backup, or move the run: dwf upgrade"
    )

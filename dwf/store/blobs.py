"""Large payloads: each in a file of its own, named by its hash; the history holds only a reference.

A history is read as a whole on every replay, so what is over INLINE_LIMIT stays out of it. The file is on disk before
the event that refers to it can be.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from types import MappingProxyType

import msgspec

from dwf.core.events import EVENT_TYPES, Event, Payload
from dwf.core.values import INLINE_LIMIT, BlobRef, as_blob, blob_ref, same
from dwf.errors import HistoryCorrupt
from dwf.store.content import Content, Missing
from dwf.store.files import Disk
from dwf.store.layout import Layout

_PREVIEW = 120


class Blobs:
    """The blobs of one state directory."""

    __slots__ = ("_content",)

    def __init__(self, disk: Disk, layout: Layout) -> None:
        self._content = Content(disk, layout.blobs)

    def put(self, data: bytes) -> BlobRef:
        """Store a payload (JSON); it is on disk when this returns. Raises DiskError, NotPermitted."""
        (name,) = self._content.put(data)
        return BlobRef(sha256=name, size=len(data), preview=data[:_PREVIEW].decode("ascii", "replace"))

    def fetch(self, sha256: str) -> bytes:
        """The payload with this hash, every byte checked. Raises HistoryCorrupt if it is missing or changed."""
        try:
            return self._content.fetch(sha256)
        except Missing as missing:
            raise HistoryCorrupt(
                path=missing.path,
                line=1,
                offset=0,
                kind="corrupt",
                why=f"a payload of a history is lost: {missing.why}",
                hint="restore the file from a backup; its name is the sha256 of its content",
            ) from None

    def resolve(self, payload: msgspec.Raw) -> msgspec.Raw:
        """The payload itself, fetched if it is a reference. Raises like `fetch`."""
        reference = as_blob(payload)
        return payload if reference is None else msgspec.Raw(self.fetch(reference.sha256))

    def pack(self, event: Event) -> Event:
        """The event as it may be staged: each payload over INLINE_LIMIT stored and replaced by a reference.

        Raises DiskError, NotPermitted.
        """
        kind = type(event)
        if kind in _NO_VALUES:
            return event
        large = {}
        for name in _PAYLOADS[kind]:
            payload = getattr(event, name)
            if memoryview(payload).nbytes > INLINE_LIMIT:
                large[name] = self._reference(payload)
        return msgspec.structs.replace(event, **large) if large else self._pack_error(event)

    def _pack_error(self, event: Event) -> Event:
        error = getattr(event, "error", None)
        if error is None or memoryview(error.details).nbytes <= INLINE_LIMIT:
            return event
        details = self._reference(error.details)
        return msgspec.structs.replace(event, error=msgspec.structs.replace(error, details=details))

    def _reference(self, payload: msgspec.Raw) -> msgspec.Raw:
        made = self.put(bytes(payload))
        return blob_ref(made.sha256, made.size, made.preview)


def same_payload(recorded: msgspec.Raw, given: msgspec.Raw) -> bool:
    """Whether a payload as it stands in a history, perhaps as a reference, is the value that is given."""
    reference = as_blob(recorded)
    return same(recorded, given) if reference is None else reference.sha256 == sha256(bytes(given)).hexdigest()


def references(event: Event) -> Iterator[BlobRef]:
    """The blobs that an event stands for values with."""
    payloads = [getattr(event, name) for name in _PAYLOADS[type(event)]]
    payloads += [signal.payload for name in ("signals", "keyed") for signal in getattr(event, name, ())]
    error = getattr(event, "error", None)
    for payload in payloads if error is None else [*payloads, error.details]:
        reference = as_blob(payload)
        if reference is not None:
            yield reference


# Which fields of an event hold values of scripts; the details of an error are the one that lies deeper.
_PAYLOADS = MappingProxyType(
    {
        kind: tuple(field.name for field in msgspec.structs.fields(kind) if field.type is Payload)
        for kind in EVENT_TYPES.values()
    }
)
_NO_VALUES = frozenset(kind for kind, names in _PAYLOADS.items() if not names and "error" not in kind.__struct_fields__)

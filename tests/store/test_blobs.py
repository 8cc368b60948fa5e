"""Large payloads: out of the history, on disk before it refers to them, and every byte checked."""

from __future__ import annotations

import stat
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dwf.core import events as ev
from dwf.core.values import INLINE_LIMIT, as_blob, decode, encode
from dwf.errors import HistoryCorrupt
from dwf.store.blobs import Blobs
from dwf.store.files import Disk
from dwf.store.layout import Layout
from dwf.store.record import Chain
from tests.faults import Crash, FaultyDisk, PowerCut, points
from tests.store.histories import NONCE, NOW, RUN
from tests.store.places import new_home

LARGE = encode("x" * INLINE_LIMIT)
SMALL = encode("x" * (INLINE_LIMIT - 2))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return new_home(tmp_path)


def raw(data: bytes) -> msgspec.Raw:
    return msgspec.Raw(data)


def test_what_is_put_is_fetched(layout: Layout) -> None:
    blobs = Blobs(Disk(), layout)
    reference = blobs.put(LARGE)
    assert (reference.sha256, reference.size) == (sha256(LARGE).hexdigest(), len(LARGE))
    assert LARGE.startswith(reference.preview.encode())
    assert blobs.fetch(reference.sha256) == LARGE
    (path,) = Path(layout.blobs).iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_only_what_is_over_the_limit_is_put_into_a_file(layout: Layout) -> None:
    blobs = Blobs(Disk(), layout)
    assert len(SMALL) == INLINE_LIMIT
    small = ev.ActivityCompleted(command=1, result=raw(SMALL))
    assert blobs.pack(small) is small
    large = blobs.pack(ev.ActivityCompleted(command=1, result=raw(SMALL + b" ")))
    assert isinstance(large, ev.ActivityCompleted)
    reference = as_blob(large.result)
    assert reference is not None
    assert reference.size == INLINE_LIMIT + 1


def payload_fields() -> list[tuple[str, str]]:
    """Every payload of every event, found anew, so that a new event is tested without a word here."""
    return [
        (name, field.name)
        for name, kind in ev.EVENT_TYPES.items()
        for field in msgspec.structs.fields(kind)
        if field.type in (ev.Payload, ev.ErrorInfo)
    ]


@pytest.mark.parametrize(("name", "field"), payload_fields())
def test_every_payload_of_every_event_is_packed_and_comes_back(layout: Layout, name: str, field: str) -> None:
    kind = ev.EVENT_TYPES[name]
    given = {str: "x", int: 1, ev.ErrorInfo: ev.ErrorInfo(type="E", message="m"), ev.Decision: ev.Decision()}
    filled: dict[str, Any] = {each.name: given.get(each.type) for each in msgspec.structs.fields(kind) if each.required}
    is_error = field == "error"
    filled[field] = ev.ErrorInfo(type="E", message="m", details=raw(LARGE)) if is_error else raw(LARGE)
    blobs = Blobs(Disk(), layout)
    packed = blobs.pack(kind(**filled))
    recorded, line = Chain.begin(RUN, NONCE).append(packed, NOW)
    assert len(line) < 2000
    payload = getattr(recorded, field).details if is_error else getattr(recorded, field)
    assert decode(blobs.resolve(payload)) == "x" * INLINE_LIMIT


def test_a_payload_that_is_no_reference_is_itself(layout: Layout) -> None:
    payload = raw(b'{"a":1}')
    assert Blobs(Disk(), layout).resolve(payload) is payload


def test_a_missing_or_changed_payload_is_corruption_that_names_the_file(layout: Layout) -> None:
    blobs = Blobs(Disk(), layout)
    name = blobs.put(LARGE).sha256
    path = Path(layout.blobs) / name
    path.write_bytes(LARGE[:-2] + b'y"')
    for _ in range(2):
        with pytest.raises(HistoryCorrupt) as lost:
            blobs.fetch(name)
        assert lost.value.exit_code == 65
        assert str(path) in str(lost.value)
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["", "../machine", "/etc/passwd", "0" * 63])
def test_what_is_no_hash_never_becomes_a_path(layout: Layout, name: str) -> None:
    with pytest.raises(HistoryCorrupt, match="is not a sha256"):
        Blobs(Disk(), layout).fetch(name)


def test_a_payload_is_on_disk_before_anything_can_refer_to_it(tmp_path: Path) -> None:
    calls = points(lambda disk: Blobs(disk, new_home(tmp_path)).put(LARGE))
    for number in range(1, calls + 2):
        (tmp_path / str(number)).mkdir()
        layout = new_home(tmp_path / str(number))
        power = PowerCut(layout.home)
        disk = FaultyDisk(power)
        disk.crash_at(number)
        try:
            Blobs(disk, layout).put(LARGE)
        except Crash:
            assert number <= calls
            # a process that finds it half done, or done but not durable, may refer to it only after its own put
            Blobs(FaultyDisk(power), layout).put(LARGE)
        power.cut()
        power.close()
        assert Blobs(Disk(), layout).fetch(sha256(LARGE).hexdigest()) == LARGE

"""A run goes through a bundle and comes out as it went in, whatever is in it."""

from __future__ import annotations

import tempfile
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dwf.core import events as ev
from dwf.core.values import encode
from dwf.errors import BundleRefused, HistoryCorrupt
from dwf.store.bundle import Manifest, Survey, new_file, place_of, survey, write
from dwf.store.files import Disk
from dwf.store.history import verify_history
from dwf.store.layout import open_home
from dwf.store.record import Chain
from dwf.store.room import Store
from dwf.store.row import Row
from dwf.store.unbundle import look, store_all
from dwf.store.walk import Walk
from tests.store import histories

ME = ev.Identity(uid=0, login="me")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
SIGNALS = st.lists(st.one_of(TEXTS, st.integers(0, 3).map(lambda n: "x" * 100_000 * n)), max_size=6)


def opened(path: Path) -> Store:
    disk = Disk()
    path.mkdir()
    return Store(disk, open_home(disk, str(path / "home"), create=True, allow_network=True))


def furnished(store: Store, instances: list[list[str]], printed: bytes) -> None:
    """A run with these signals in each instance; all but the last have ended."""
    code = store.code.save({"book.py": b"print(1)\n", "more.py": printed}, "book.py")
    for link, texts in enumerate(instances, 1):
        chain = Chain.begin("r1", f"n{link}")
        first = ev.WorkflowStarted(run="r1", nonce=f"n{link}", workflow="w", script="s", code=code)
        events = [first, *(ev.SignalReceived(name="go", payload=ev.Payload(encode(text))) for text in texts)]
        if link < len(instances):
            events.append(ev.WorkflowCompleted())
        lines = [chain.append(store.blobs.pack(event), histories.NOW)[1] for event in events]
        Path(store.layout.history_path("r1", link)).write_bytes(b"".join(lines))
        if printed:
            store.outputs.log("r1", printed, link)


def manifest_of(found: Survey) -> Manifest:
    newest, members = found.newest, [member for member, _ in found.sources]
    return Manifest(run="r1", nonce=newest.nonce, head=newest.head, moved=False, made="", by=ME, members=members)


def contents(store: Store) -> dict[str, bytes]:
    """All files that a run has, by where they lie."""
    layout = store.layout
    roots = [Path(path) for path in (layout.runs, layout.out, layout.code, layout.blobs)]
    return {
        f"{root.name}/{path.relative_to(root)}": path.read_bytes()
        for root in roots
        for path in root.rglob("*")
        if path.is_file()
    }


@settings(max_examples=25, deadline=None)
@given(st.lists(SIGNALS, min_size=1, max_size=3), st.binary(max_size=3000))
def test_what_went_in_comes_out(instances: list[list[str]], printed: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        here, there = opened(Path(name) / "here"), opened(Path(name) / "there")
        furnished(here, instances, printed)
        found = survey(here, "r1")
        with new_file(here.disk, f"{name}/r1.dwf") as sink:
            write(found, manifest_of(found), sink)

        bundle = look(f"{name}/r1.dwf")
        newest = bundle.newest
        _, line = Chain(newest.length, newest.hash, newest.last_us).append(ev.RunImported(), histories.LATER)
        store_all(there, bundle, line, Row("r1", link=len(instances)))

        given_, taken = contents(here), contents(there)
        grown = Path(there.layout.history_path("r1", len(instances))).name
        assert taken.pop(f"runs/{grown}") == given_.pop(f"runs/{grown}") + line
        assert taken == given_
        for link in range(1, len(instances) + 1):
            assert verify_history(there.layout.history_path("r1", link)) == []
        here.index.close()
        there.index.close()


def ten_lines() -> bytes:
    chain = Chain.begin("r1", "n1")
    first = ev.WorkflowStarted(run="r1", nonce="n1", workflow="w", script="s", code="c0de")
    events = [first, *(ev.SignalReceived(name="go", message=f"m{n}") for n in range(9))]
    return b"".join(chain.append(event, histories.NOW)[1] for event in events)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=40))
def test_a_walk_finds_the_same_however_the_file_is_cut_into_pieces(sizes: list[int]) -> None:
    data = ten_lines() + histories.TORN
    whole, walk = Walk("x"), Walk("x")
    whole.feed(data)
    rest = data
    for size in sizes:
        walk.feed(rest[:size])
        rest = rest[size:]
    walk.feed(rest)

    assert walk.torn_bytes == len(histories.TORN)
    assert walk.end().sha256 == whole.end().sha256 == sha256(data[: -len(histories.TORN)]).hexdigest()
    assert (walk.end().head, walk.end().length) == (whole.end().head, 10)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2000), st.integers(1, 255))
def test_a_walk_stops_at_a_changed_byte(at: int, by: int) -> None:
    data = bytearray(ten_lines())
    at %= len(data)
    data[at] ^= by
    walk = Walk("x")
    try:
        walk.feed(bytes(data))
    except Exception as error:
        assert type(error).__name__ in ("HistoryCorrupt", "NewerFormat")
    else:
        assert walk.torn_bytes or at == len(data) - 1


NOT_OURS = [
    *("", "/", "x", "manifest.json", "history/0.jsonl", "history/01.jsonl", "history/1.jsonl\n", "history/1.jsonl/"),
    *("./history/1.jsonl", "code/..", "blobs/" + "A" * 64, "out/1/", "out/0/1.1.out", "out/1/../1.1.out"),
    "out/1/1.1.out.gz",
]


@pytest.mark.parametrize("name", NOT_OURS)
def test_a_name_that_is_not_ours_has_no_place(name: str) -> None:
    """Fails when the name of a member may be anything."""
    assert place_of(name) is None


def test_a_history_that_grows_while_it_is_copied_is_copied_as_it_was(tmp_path: Path) -> None:
    here = opened(tmp_path / "here")
    furnished(here, [["a"]], b"")
    found = survey(here, "r1")
    with Path(here.layout.history_path("r1")).open("ab") as file:
        file.write(b'{"id":3,')

    with new_file(here.disk, str(tmp_path / "r1.dwf")) as sink:
        write(found, manifest_of(found), sink)

    assert look(str(tmp_path / "r1.dwf")).newest.length == 2


def test_a_damaged_history_is_not_copied(tmp_path: Path) -> None:
    here = opened(tmp_path / "here")
    furnished(here, [["a"]], b"")
    path = Path(here.layout.history_path("r1"))
    path.write_bytes(path.read_bytes().replace(b'"go"', b'"no"'))

    with pytest.raises(HistoryCorrupt):
        survey(here, "r1")


def test_nothing_is_left_of_a_bundle_that_could_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused), new_file(Disk(), str(tmp_path / "r1.dwf")) as sink:
        sink(b"x")
        raise BundleRefused(path="x", why="y")

    assert list(tmp_path.iterdir()) == []

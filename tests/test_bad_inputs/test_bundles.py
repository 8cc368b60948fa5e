"""Files that are given out for bundles: refused with one line, and nothing of them is anywhere afterwards."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import resource
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.test_bad_inputs.terminal import WAITS, Terminal

Members = list[tuple[tarfile.TarInfo, bytes]]
LARGE = """
    import dwf

    @dwf.workflow
    async def waits(text: str = "x" * 400_000) -> object:
        print("waiting")
        return await dwf.wait_signal("go")
"""


@pytest.fixture
def bundle(dwf: Terminal, tmp_path: Path) -> Path:
    """A moved run in a file; the state directory knows nothing of it any more."""
    return made(dwf, tmp_path, WAITS)


def made(dwf: Terminal, where: Path, text: str, *options: str) -> Path:
    path = where / "good.dwf"
    home, dwf.environ["DWF_HOME"] = dwf.environ["DWF_HOME"], str(where / "source")
    dwf.home = where / "source"
    dwf.start(text, "one", *options)
    dwf.tick()
    assert dwf.typed("export", "one", path, "--move", "-m", "why").code == 0
    dwf.environ["DWF_HOME"], dwf.home = home, Path(home)
    dwf.start(WAITS, "bystander")
    return path


def members_of(path: Path) -> Members:
    with tarfile.open(path) as archive:
        found = []
        for info in archive:
            file = archive.extractfile(info)
            found.append((info, file.read() if file else b""))
        return found


def packed(path: Path, members: Members, form: int = tarfile.USTAR_FORMAT) -> Path:
    bad = path.with_name("bad.dwf")
    with tarfile.open(bad, "w:gz", format=form) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return bad


def manifest(members: Members) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(members[0][1])
    return found


def with_manifest(members: Members, change: Callable[[dict[str, Any]], object]) -> Members:
    document = manifest(members)
    change(document)
    return [plain("manifest.json", json.dumps(document).encode()), *members[1:]]


def plain(name: str, data: bytes = b"") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, data


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def disguised(info: tarfile.TarInfo, kind: bytes) -> tarfile.TarInfo:
    """The same header, of another kind, with all its content behind it."""
    other = tarfile.TarInfo(info.name)
    other.size, other.type, other.linkname = info.size, kind, "/etc/passwd"
    return other


def listed(name: str, data: bytes = b"") -> Callable[[Members], Members]:
    """A member that the manifest names too."""

    def change(members: Members) -> Members:
        entry = {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        return [*with_manifest(members, lambda m: m["members"].append(entry)), plain(name, data)]

    return change


def rewritten(name: str, change: Callable[[bytes], bytes]) -> Callable[[Members], Members]:
    """A member with another content, of which the manifest knows."""

    def changed(members: Members) -> Members:
        found = [(i, change(d)) if i.name == name else (i, d) for i, d in members]
        found = [plain(info.name, data) for info, data in found]
        (data,) = [data for info, data in found if info.name == name]

        def told(document: dict[str, Any]) -> None:
            for entry in document["members"]:
                if entry["name"] == name:
                    entry.update(size=len(data), sha256=hashlib.sha256(data).hexdigest())

        return with_manifest(found, told)

    return changed


def claimed(name: str, size: int) -> Callable[[Members], Members]:
    entry = {"name": name, "size": size, "sha256": "0" * 64}
    return lambda members: with_manifest(members, lambda m: m["members"].append(entry))


HISTORY = "history/1.jsonl"
BAD: dict[str, Callable[[Members], Members]] = {
    "a name that climbs": listed("../../../tmp/evil"),
    "a name that climbs from within": listed("out/1/../../../evil.out"),
    "an absolute name": listed("/etc/cron.d/evil"),
    "a name of no kind": listed("runs/one.jsonl"),
    "output of no such name": listed("out/1/evil.sh"),
    "output of no such instance": listed("out/7/1.1.out"),
    "a hidden extra member": lambda m: [*m, plain("out/1/9.9.out", b"x")],
    "a symbolic link": lambda m: [*m, special("out/1/9.9.out", tarfile.SYMTYPE, "/etc/passwd")],
    "a symbolic link for the history": lambda m: [m[0], special(HISTORY, tarfile.SYMTYPE, "/etc/passwd"), *m[2:]],
    "a hard link": lambda m: [m[0], special(HISTORY, tarfile.LNKTYPE, "manifest.json"), *m[2:]],
    "a link with content": lambda m: [m[0], (disguised(m[1][0], tarfile.SYMTYPE), m[1][1]), *m[2:]],
    "a sparse file": lambda m: [m[0], (disguised(m[1][0], tarfile.CONTTYPE), m[1][1]), *m[2:]],
    "a device": lambda m: [special("manifest.json", tarfile.CHRTYPE), *m[1:]],
    "a pipe": lambda m: [m[0], special(HISTORY, tarfile.FIFOTYPE), *m[2:]],
    "a directory": lambda m: [m[0], special("history", tarfile.DIRTYPE), *m[1:]],
    "a member twice": lambda m: [m[0], m[1], m[1], *m[2:]],
    "a name twice in the manifest": lambda m: with_manifest(m, lambda d: d["members"].append(d["members"][0])),
    "no manifest": lambda m: m[1:],
    "nothing at all": lambda m: [],
    "a member missing": lambda m: m[:-1],
    "members in another order": lambda m: [m[0], *reversed(m[1:])],
    "another content": lambda m: [m[0], (m[1][0], m[1][1][:-2] + b"]\n"), *m[2:]],
    "another form": lambda m: with_manifest(m, lambda d: d.update(schema="dwf.bundle/2")),
    "no form": lambda m: with_manifest(m, lambda d: d.pop("schema")),
    "a form that is a number": lambda m: with_manifest(m, lambda d: d.update(schema=1)),
    "a manifest that is no object": lambda m: [plain("manifest.json", b"[]"), *m[1:]],
    "a manifest that is no JSON": lambda m: [plain("manifest.json", b"\xff{"), *m[1:]],
    "a manifest nested deeply": lambda m: [plain("manifest.json", b"[" * 100_000), *m[1:]],
    "an unknown field": lambda m: with_manifest(m, lambda d: d.update(exec="rm")),
    "an id that is a path": lambda m: with_manifest(m, lambda d: d.update(run="../evil")),
    "an id with escapes": lambda m: with_manifest(m, lambda d: d.update(run="a\x1b[31mb")),
    "the id of another run": lambda m: with_manifest(m, lambda d: d.update(run="other")),
    "another head": lambda m: with_manifest(m, lambda d: d.update(head="0" * 32)),
    "another nonce": lambda m: with_manifest(m, lambda d: d.update(nonce="00")),
    "a name with escapes": listed("out/1/\x1b[31m"),
    "terabytes": claimed("out/1/9.9.out", 1 << 50),
    "less than nothing": claimed("out/1/9.9.out", -1),
    "a history of many gigabytes": claimed("history/2.jsonl", 10 << 30),
    "an instance too many": listed("history/3.jsonl", b"{}\n"),
    "code that nobody needs": listed("code/" + hashlib.sha256(b"x").hexdigest(), b"x"),
    "a blob that nobody needs": listed("blobs/" + hashlib.sha256(b"x").hexdigest(), b"x"),
    "code that is not named by its hash": listed("code/" + "0" * 64, b"x"),
    "a changed history": rewritten(HISTORY, lambda data: data.replace(b"waits", b"wails", 1)),
    "a history cut within a line": rewritten(HISTORY, lambda data: data[:-5]),
    "a history with a line more": rewritten(HISTORY, lambda data: data + data.splitlines(keepends=True)[-1]),
    "an empty history": rewritten(HISTORY, lambda data: b""),
    "a history without an end of line": rewritten(HISTORY, lambda data: b"x" * 5_000_000),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("how", [(), ("--resume",)], ids=["copy", "resume"])
def test_what_is_no_bundle_is_refused(dwf: Terminal, bundle: Path, bad: str, how: tuple[str, ...]) -> None:
    path = packed(bundle, BAD[bad](members_of(bundle)))

    answer = dwf.refuses(2, "import", path, *how)

    assert answer.error.startswith(f"{path} is refused: ")
    assert not (bundle.parent / "evil").exists() and not Path("/tmp/evil").exists()


@pytest.mark.parametrize("bad", ["terabytes", "less than nothing", "a history of many gigabytes"])
def test_a_size_beyond_measure_is_refused_as_that(dwf: Terminal, bundle: Path, bad: str) -> None:
    path = packed(bundle, BAD[bad](members_of(bundle)))

    assert "would have" in dwf.refuses(2, "import", path).error


def test_the_good_one_is_taken(dwf: Terminal, bundle: Path) -> None:
    """Or all the others would be refused for nothing."""
    path = packed(bundle, members_of(bundle))

    assert dwf.typed("import", path, "--resume").out == "one\n"
    assert dwf.status("one") == "waiting"
    history = dwf.history("one").read_bytes()
    for words in (("import", path), ("import", bundle, "--resume")):
        dwf.refuses(9, *words)
    assert dwf.history("one").read_bytes() == history


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
def test_metadata_of_any_length_is_not_read(dwf: Terminal, bundle: Path, form: int) -> None:
    """Long names and extended headers are what makes other readers take gigabytes into memory."""
    dwf.refuses(2, "import", packed(bundle, [plain("x" * 5_000_000), *members_of(bundle)], form))


@pytest.mark.parametrize("cut", range(12))
def test_a_file_that_is_cut_short_is_refused(dwf: Terminal, bundle: Path, cut: int) -> None:
    data = bundle.read_bytes()
    bad = bundle.with_name("bad.dwf")
    bad.write_bytes(data[: len(data) * cut // 12])

    dwf.refuses(2, "import", bad)
    whole = gzip.decompress(data)
    bad.write_bytes(gzip.compress(whole[: len(whole) * cut // 12]))
    dwf.refuses(2, "import", bad)


@pytest.mark.parametrize("seed", range(25))
def test_a_file_with_a_changed_byte_is_refused(dwf: Terminal, bundle: Path, seed: int) -> None:
    data = bytearray(gzip.decompress(bundle.read_bytes()))
    chance = random.Random(seed)
    before = bytes(data)
    while bytes(data) == before:
        data[chance.randrange(len(before.rstrip(b"\0")))] = chance.choice(b"\0 a9\xff")
    bad = bundle.with_name("bad.dwf")
    bad.write_bytes(gzip.compress(bytes(data)))

    before = dwf.state()
    answer = dwf.typed("import", bad).is_clean()

    if answer.code == 0:  # a byte that means nothing: a mode, an owner
        (first,), (now,) = ([m[0][1]] for m in (members_of(bundle), members_of(bad)))
        assert first == now or json.loads(first) | {"made": "", "by": "", "machine": "", "dwf": ""} == json.loads(
            now
        ) | {"made": "", "by": "", "machine": "", "dwf": ""}
    else:
        answer.is_refusal(2)
        assert dwf.state() == before


@pytest.mark.parametrize(
    ("what", "code"),
    [("nowhere.dwf", 4), (".", 2), ("/dev/zero", 2), ("/dev/null", 2), ("fifo", 2), ("empty", 2), ("text", 2)],
)
def test_what_is_no_file_of_ours_is_refused_at_once(dwf: Terminal, bundle: Path, what: str, code: int) -> None:
    os.mkfifo(bundle.with_name("fifo"))
    bundle.with_name("empty").touch()
    bundle.with_name("text").write_text("hello " * 1000)

    dwf.refuses(code, "import", bundle.parent / what)


def test_what_follows_the_end_is_refused(dwf: Terminal, bundle: Path) -> None:
    bad = bundle.with_name("bad.dwf")
    for more in (gzip.compress(bytes(40_000)), gzip.compress(b"x"), b"x"):
        bad.write_bytes(bundle.read_bytes() + more)
        dwf.refuses(2, "import", bad)


def test_ten_gigabytes_of_zeros_cost_neither_memory_nor_disk(dwf: Terminal, bundle: Path) -> None:
    """At the place of the first member, of the manifest, and behind the end."""
    zeros = gzip.compress(bytes(1 << 20), 9) * 1024 * 10
    bad = bundle.with_name("bad.dwf")
    big = tarfile.TarInfo("manifest.json")
    big.size = 10 << 30
    for lead in (b"", gzip.compress(big.tobuf(tarfile.GNU_FORMAT)), bundle.read_bytes()):
        bad.write_bytes(lead + zeros)
        limit = 1 << 30
        dwf.refuses_process(
            2,
            "import",
            bad,
            timeout=20,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),  # noqa: B023
        )
        assert not list((dwf.home / "runs").glob("one*"))


def test_values_and_output_come_along_and_rotten_ones_do_not(dwf: Terminal, tmp_path: Path) -> None:
    bundle = made(dwf, tmp_path, LARGE, "--input", json.dumps({"text": "y" * 400_000}))
    members = members_of(bundle)
    (blob,) = [info.name for info, _ in members if info.name.startswith("blobs/")]
    assert "out/1/script.log" in {info.name for info, _ in members}
    without = [m for m in members if m[0].name != blob]

    dwf.refuses(2, "import", packed(bundle, without))
    forgot = with_manifest(
        without, lambda d: d.update(members=[entry for entry in d["members"] if entry["name"] != blob])
    )
    assert "is missing" in dwf.refuses(2, "import", packed(bundle, forgot)).error
    for name in (blob, "out/1/script.log"):
        rotten = [(i, d[:-1] + b"?") if i.name == name else (i, d) for i, d in members]
        assert f"{name} is not what the manifest says" in dwf.refuses(2, "import", packed(bundle, rotten)).error
    assert dwf.typed("import", bundle).code == 0
    assert dwf.show("one")["input"] is not None


def test_export_is_refused_where_it_cannot_be_right(dwf: Terminal, tmp_path: Path) -> None:
    dwf.start(WAITS, "one")
    dwf.tick()
    there = tmp_path / "there"
    there.write_text("mine")
    for code, words in (
        (9, ("one", there)),
        (9, ("one", tmp_path)),
        (73, ("one", tmp_path / "no" / "where")),
        (2, ("one", "")),
        (4, ("nobody", tmp_path / "x")),
        (2, ("../one", tmp_path / "x")),
        (2, ("one", tmp_path / "x", "--move")),
        (2, ("one", "-", "--move", "-m", "why")),
        (2, ("on", tmp_path / "x", "--move", "-m", "why")),
        (9, ("one", there, "--move", "-m", "why")),
    ):
        dwf.refuses(code, "export", *words)
    assert there.read_text() == "mine"
    assert dwf.status("one") == "waiting" and not (tmp_path / "x").exists()

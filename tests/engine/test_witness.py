"""The witness: what was rewritten, shortened or removed is found by what was kept elsewhere, and by that alone."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from dwf.core.duration import unstamp
from dwf.engine.witness import Changed, compare, hand_over, keeper, parse_kept, read_kept
from dwf.errors import DiskError, DwfError, NotFound, UsageError
from dwf.store import record
from dwf.store.history import read_history, verify_history
from dwf.store.record import Chain
from tests.engine.house import House

WAITS = """
    @dwf.workflow
    async def w():
        await dwf.wait_signal("go")
        return 1
"""


def witnessed_tick(house: House, where: str) -> int:
    changed = Changed()
    house.tick(watch=changed)
    return hand_over(house.store, keeper(where), changed.runs, house.clock())


@pytest.fixture
def kept(house: House) -> Path:
    """Where two runs were witnessed: one that waits, one that is done."""
    path = house.path / "witness"
    script = house.script(WAITS)
    house.start(script, "r1")
    house.start(script, "r2")
    witnessed_tick(house, str(path))
    house.signal("go", run="r2")
    witnessed_tick(house, str(path))
    return path


def history(house: House, run: str = "r2") -> Path:
    return Path(house.store.layout.history_path(run))


def classes(house: House, path: Path, run: str | None = None) -> list[tuple[str, str]]:
    found = compare(house.store.layout, read_kept(str(path)), run)
    return [(Path(finding.path).name, finding.kind) for finding in found]


def rewrite(path: Path, old: str, new: str) -> None:
    """A new history with a chain that holds, as somebody would write it who knows how."""
    events = read_history(str(path)).events
    head = events[0]
    chain = Chain.begin(head.run, head.nonce)  # type: ignore[attr-defined]
    lines = []
    for event in events:
        line = path.read_bytes().splitlines()[event.id - 1].decode().replace(old, new)
        changed = record.decode_line(line.encode())
        lines.append(chain.append(changed, unstamp(event.ts))[1])
    path.write_bytes(b"".join(lines))
    assert verify_history(str(path)) == []


def test_a_line_says_run_instance_length_hash_and_time(house: House, kept: Path) -> None:
    lines = [json.loads(line) for line in kept.read_text().splitlines()]

    last = lines[-1]
    reading = read_history(str(history(house)))
    assert {key: last[key] for key in ("schema", "run", "link", "length", "head")} == {
        "schema": "dwf.witness/1",
        "run": "r2",
        "link": 1,
        "length": len(reading.events),
        "head": reading.head_hash,
    }
    assert unstamp(last["time"]) <= house.clock()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_histories_as_they_were_seen_fit(house: House, kept: Path) -> None:
    assert classes(house, kept) == []


def test_a_history_that_has_grown_fits(house: House, kept: Path) -> None:
    house.signal("go")
    house.tick()

    assert classes(house, kept) == []


def test_a_history_that_was_shortened_is_found(house: House, kept: Path) -> None:
    """Fails when a history may be shorter than a witness has seen it."""
    path = history(house)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert verify_history(str(path)) == []

    assert classes(house, kept) == [("r2.jsonl", "truncated")]


def test_a_history_that_was_rewritten_with_a_good_chain_is_found(house: House, kept: Path) -> None:
    """Fails when the hashes are not compared with what the witness has."""
    rewrite(history(house), '"name":"go"', '"name":"no"')

    assert classes(house, kept) == [("r2.jsonl", "rewritten")]


def test_a_history_that_was_rewritten_and_has_grown_since_is_found(house: House, kept: Path) -> None:
    rewrite(history(house, "r1"), '"name":"go"', '"name":"no"')
    house.signal("no")
    witnessed_tick(house, str(kept))

    assert ("r1.jsonl", "rewritten") in classes(house, kept)


def test_a_history_that_is_gone_is_found(house: House, kept: Path) -> None:
    history(house, "r1").unlink()

    assert classes(house, kept) == [("r1.jsonl", "missing")]
    assert classes(house, kept, "r2") == []


def test_another_run_under_the_same_id_is_found(house: House, kept: Path) -> None:
    """Fails when the hashes are not compared with what the witness has."""
    history(house, "r1").unlink()
    house.start(house.script(WAITS), "r1")
    house.store.index.wake("r1")
    house.tick()

    assert classes(house, kept) == [("r1.jsonl", "rewritten")]


def test_what_did_not_change_is_not_said_again(house: House, kept: Path) -> None:
    before = kept.read_bytes()

    witnessed_tick(house, str(kept))

    assert kept.read_bytes() == before


def test_what_was_driven_without_a_witness_is_told_to_a_file_by_the_next_tick(house: House, kept: Path) -> None:
    """Fails when a witness hears only of what was driven beside him."""
    house.start(house.script(WAITS), "r3")
    house.tick()
    assert b'"r3"' not in kept.read_bytes()

    witnessed_tick(house, str(kept))

    assert b'"r3"' in kept.read_bytes()


def test_what_was_said_is_never_changed(house: House, kept: Path) -> None:
    before = kept.read_bytes()
    house.signal("go")

    witnessed_tick(house, str(kept))

    assert kept.read_bytes().startswith(before) and len(kept.read_bytes()) > len(before)


def test_a_command_gets_the_lines(house: House) -> None:
    house.start(house.script(WAITS))

    assert witnessed_tick(house, f"|cat > {house.path}/copy") == 1

    assert classes(house, house.path / "copy") == []
    assert '"run":"r1"' in (house.path / "copy").read_text()


@pytest.mark.parametrize("command", ["exit 3", "echo no >&2; exit 1", "kill -9 $$"])
def test_a_command_that_fails_is_an_error_and_the_run_goes_on(house: House, command: str) -> None:
    house.start(house.script(WAITS))

    with pytest.raises(DiskError, match="tell the witness"):
        witnessed_tick(house, f"|{command}")

    house.signal("go")
    house.tick()
    assert house.result() == 1


def test_syslog_gets_a_line_for_each(house: House) -> None:
    house.start(house.script(WAITS))
    where = str(house.path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(where)
        log.settimeout(5)
        witnessed_tick(house, f"syslog:{where}")
        line = log.recv(8192)

    assert line.startswith(b"<85>") and b" dwf[" in line
    kept = parse_kept([line])
    assert (kept.count, kept.strange) == (1, 0)
    assert list(compare(house.store.layout, kept)) == []


def test_a_syslog_that_is_not_there_is_an_error(house: House) -> None:
    house.start(house.script(WAITS))

    with pytest.raises(DiskError):
        witnessed_tick(house, f"syslog:{house.path}/nothing")


@pytest.mark.parametrize("where", ["missing/witness", "."])
def test_a_file_that_cannot_be_written_is_an_error(house: House, where: str) -> None:
    house.start(house.script(WAITS))

    with pytest.raises(DwfError):
        witnessed_tick(house, str(house.path / where))


def test_a_link_is_not_followed(house: House) -> None:
    house.start(house.script(WAITS))
    (house.path / "precious").write_text("")
    (house.path / "link").symlink_to(house.path / "precious")

    with pytest.raises(DwfError):
        witnessed_tick(house, str(house.path / "link"))

    assert (house.path / "precious").read_text() == ""


@pytest.mark.parametrize("text", ["", "|", "| "], ids=["nothing", "no-command", "blank-command"])
def test_a_witness_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        keeper(text)


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b'{"schema":"dwf.witness/1"}',
        b'{"schema":"dwf.witness/1","run":"../../etc/passwd","link":1,"length":1,"head":"00"}',
        b'{"schema":"dwf.witness/1","run":"r1","link":0,"length":1,"head":"00"}',
        b'{"schema":"dwf.witness/1","run":"r1","link":1,"length":0,"head":"00"}',
        b'{"schema":"dwf.witness/2","run":"r1","link":1,"length":1,"head":"00"}',
        b'{"schema":"dwf.witness/1","run":"r1","link":1,"length":1,"head":"\xff"}',
    ],
    ids=["text", "empty", "path", "link", "length", "schema", "bytes"],
)
def test_a_line_of_something_else_is_counted_and_passed_over(line: bytes) -> None:
    kept = parse_kept([line + b"\n", b"\n"])

    assert (kept.marks, kept.strange) == ({}, 1)


def test_a_witness_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_kept(str(tmp_path / "none"))


def test_a_head_is_read_from_the_end_of_a_long_history(house: House) -> None:
    """A last record longer than a block."""
    house.start(house.script(WAITS))
    house.signal("other", "x" * 200_000)
    house.tick()
    assert os.path.getsize(history(house, "r1")) > 200_000  # noqa: PTH202

    path = house.path / "w"
    hand_over(house.store, keeper(str(path)), {"r1"}, house.clock())

    assert json.loads(path.read_text())["head"] == read_history(str(history(house, "r1"))).head_hash

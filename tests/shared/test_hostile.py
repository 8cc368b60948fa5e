"""What a hostile member cannot do: write a history, speak as somebody else, run his own code, or stop the engine."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.shared.people import ALICE, BOB, ENGINE, GROUP, Place

# Posts a message as `dwf approve` would, with changes: a file of its own, or one that is made in a strange way.
FORGE = """
import json, os, sys
home, run, claims, trick = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4]
events = [json.loads(line) for line in open(f"{home}/runs/{run}.jsonl")]
asked = next(e for e in events if e["type"] == "ApprovalRequested")
name = f"{'0' * 15}1.{trick}.{run}"
body = {"schema": "dwf.mail/1", "id": name, "run": run, "kind": "approve", "nonce": events[0]["nonce"],
        "question": asked["id"], "fingerprint": asked["fingerprint"], "by": {"uid": os.getuid()}, **claims}
draft, target = f"{home}/mail/tmp/{name}", f"{home}/mail/new/{name}"
fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
os.write(fd, json.dumps(body).encode())
os.fchmod(fd, 0o660 if trick == "writable" else 0o640)
if trick == "symlink":
    os.symlink(draft, target)
elif trick == "hardlink":
    os.link(draft, target)
    os.link(draft, f"{home}/mail/tmp/other")
else:
    os.rename(draft, target)
"""


def forge(place: Place, uid: int, trick: str = "plain", **claims: Any) -> None:
    import json

    said = place.python(uid, FORGE, place.home, "r1", json.dumps(claims), trick)
    assert said.code == 0, said.err


def test_a_file_that_is_dropped_as_documented_counts(place: Place) -> None:
    """The control of the tests below: they fail by what they change, and by nothing else."""
    place.start("asks", "r1")
    forge(place, BOB)
    place.tick()
    assert place.status("r1") == "completed", place.reasons()


def test_who_claims_to_be_somebody_else_is_recorded_as_himself(place: Place) -> None:
    """Fails when the sender's word is taken for who he is."""
    place.start("two", "r1")
    forge(place, BOB, by={"uid": ALICE, "login": "alice"})
    forge(place, BOB, "again", by={"uid": ALICE, "login": "alice"})
    place.tick()
    assert place.status("r1") == "waiting"
    assert [a["by"]["uid"] for a in place.events("r1", "ApprovalAnswered")] == [BOB]
    assert all("login" not in a["by"] for a in place.events("r1", "ApprovalAnswered"))
    assert place.reasons() == ["the same person has answered before"]


@pytest.mark.parametrize(
    ("trick", "claims", "reason"),
    [
        ("writable", {}, "others may write it"),
        ("symlink", {}, "it is a symbolic link"),
        ("hardlink", {}, "names"),
        ("plain", {"id": "0000000000000002.x.r1"}, "is not the name of its file"),
        ("plain", {"run": "r2"}, "is not the run in its name"),
        ("plain", {"nonce": ""}, "must name the instance"),
        ("plain", {"fingerprint": "0" * 64}, "not the one that was shown"),
        ("plain", {"surely": True}, "it is not a message"),
    ],
    ids=["writable", "symlink", "hardlink", "id", "run", "nonce", "fingerprint", "extra"],
)
def test_a_forged_answer_does_not_count_and_is_kept_with_the_reason(
    place: Place, trick: str, claims: dict[str, Any], reason: str
) -> None:
    """Fails when a file that others can write counts as its owner's."""
    place.start("asks", "r1")
    forge(place, BOB, trick, **claims)
    place.tick()
    assert place.status("r1") == "waiting"
    (told,) = place.reasons()
    assert reason in told


def test_an_answer_to_another_instance_is_late(place: Place) -> None:
    """Fails when it is not asked for which instance a message is."""
    place.start("asks", "r1")
    forge(place, BOB, nonce="0123456789abcdef")
    place.tick()
    assert place.status("r1") == "waiting"
    assert len(list((place.home / "mail/late").iterdir())) == 1, "moved although it belongs to somebody else"
    assert "late" in place.do(ALICE, "show", "r1").out


@pytest.mark.parametrize(
    "program",
    [
        "open(H + '/runs/r1.jsonl', 'a').write('x')",
        "os.rename(H + '/runs/r1.jsonl', H + '/mail/tmp/x')",
        "os.unlink(H + '/runs/r1.jsonl')",
        "open(H + '/runs/r9.jsonl', 'w')",
        "open(H + '/runs/.tmp/x', 'w')",
        "os.listdir(H + '/runs/.tmp')",
        "open(H + '/locks/r1.lock', 'w')",
        "open(H + '/index.sqlite')",
        "os.listdir(H + '/code')",
        "os.listdir(H + '/out')",
        "open(H + '/policy.toml', 'w')",
        "open(H + '/shared', 'a')",
        "os.rename(H + '/mail', H + '/mail2')",
        "os.rename(H + '/mail/new', H + '/mail/x')",
        "open(H + '/mail/late/x', 'w')",
        "open(H + '/mail/bad/x', 'w')",
        "os.chmod(H + '/mail/new', 0o777)",
        "[os.unlink(H + '/mail/new/' + n) for n in os.listdir(H + '/mail/new')]",
        "[os.rename(H + '/mail/new/' + n, H + '/mail/tmp/x') for n in os.listdir(H + '/mail/new')]",
        "[open(H + '/mail/new/' + n, 'a') for n in os.listdir(H + '/mail/new')]",
    ],
)
def test_what_is_not_his_a_member_can_neither_write_nor_replace_nor_remove(place: Place, program: str) -> None:
    """Fails when the mailbox is not sticky."""
    place.start("asks", "r1")
    place.do(BOB, "signal", "r1", "later", "1")
    before = (place.home / "runs/r1.jsonl").read_bytes()
    said = place.python(ALICE, f"import os, sys; H = sys.argv[1]; {program}", place.home)
    assert said.code != 0 and "PermissionError" in said.err, said
    assert (place.home / "runs/r1.jsonl").read_bytes() == before
    assert len(place.new()) == 1


def test_a_member_brings_no_code(place: Place) -> None:
    evil = "import os, sys; open(sys.argv[1] + '/mail/tmp/evil.py', 'w').write('import os')"
    place.python(ALICE, evil, place.home)
    for script in (f"{place.home}/mail/tmp/evil.py", "../catalogue/../srv/x", f"{place.base}/srv/book.py", "../book"):
        said = place.do(ALICE, "start", script)
        assert said.code == 2, (script, said)
    for words in (["--live"], ["--code", "live"], ["--if-exists", "terminate"]):
        assert place.do(ALICE, "start", "book:asks", *words).code == 2
    assert place.new() == []


@pytest.mark.parametrize("name", ["../book.py", "/etc/passwd", "book.py:a:b", "book", "", "book.py:__import__('os')"])
def test_a_start_that_names_anything_but_a_workflow_of_the_catalogue_is_no_message(place: Place, name: str) -> None:
    """Fails when a start may name any path."""
    place.start("asks", "r1")
    forge(place, ALICE, kind="start", name=name, nonce="", question=0, fingerprint="")
    place.tick()
    (told,) = place.reasons()
    assert "is not the name of a workflow" in told


@pytest.mark.parametrize("spoiled", ["file", "directory", "parent", "link"])
def test_a_catalogue_that_others_can_write_starts_nothing(place: Place, spoiled: str) -> None:
    """Fails when it is not asked who can write the catalogue."""
    book = place.catalogue / "book.py"
    if spoiled == "file":
        os.chown(book, ALICE, GROUP)
    elif spoiled == "directory":
        place.catalogue.chmod(0o777)
    elif spoiled == "parent":
        place.base.chmod(0o777)
    else:
        book.rename(place.parent / "book.py")
        book.symlink_to(place.parent / "book.py")
        os.lchown(book, BOB, GROUP)
    assert place.do(ALICE, "start", "book:quick", "--id", "r1").code == 3
    place.tick()
    (told,) = place.reasons()
    assert "is refused, for the engine relies on it" in told
    assert not (place.home / "runs/r1.jsonl").exists()


OBSTACLES = """
import os, sys
new = sys.argv[1] + "/mail/new"
for name in ("directory", "%015x1.n.r1" % 0):
    os.mkdir(f"{new}/{name}")
    open(f"{new}/{name}/inside", "w")
os.mkfifo(f"{new}/fifo")
os.mkfifo(f"{new}/{'0' * 16}.fifo.r1")
open(f"{new}/{'0' * 16}.huge.r1", "w").truncate(1 << 40)
open(f"{new}/{'0' * 16}.half.r1", "w").write('{"id":')
os.symlink("/dev/zero", f"{new}/{'0' * 16}.zero.r1")
open(f"{new}/{'0' * 16}.closed.r1", "w").close(); os.chmod(f"{new}/{'0' * 16}.closed.r1", 0)
for name in ("\\x1b]0;x\\x07", "new\\nline", ".hidden", "x" * 255):
    open(f"{new}/{name}", "w")
"""


def test_nothing_in_the_mailbox_stalls_the_engine(place: Place) -> None:
    """Fails when a pipe in the mailbox is waited for."""
    place.start("waits", "r1")
    place.start("waits", "r2")
    assert place.python(ALICE, OBSTACLES, place.home).code == 0
    assert place.do(BOB, "signal", "r1", "go", "1").code == 0
    assert place.do(BOB, "signal", "r2", "go", "2").code == 0
    place.tick()
    assert place.status("r1") == place.status("r2") == "completed"
    place.tick()
    # A directory of another user cannot be moved away by who is not root: it is told once and passed over.
    assert place.new() == [f"{'0' * 15}1.n.r1", "directory"]
    counted = len(place.reasons())
    place.tick()
    assert len(place.reasons()) == counted


FLOOD = """
import json, os, sys
home, run, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
for i in range(count):
    name = f"{i:016x}.flood.{run}"
    with open(f"{home}/mail/new/{name}", "w") as file:
        json.dump({"id": name, "run": run, "kind": "signal", "name": "noise", "payload": i}, file)
    os.chmod(file.name, 0o640)
"""


def test_a_flood_of_one_member_is_bounded_and_does_not_shut_out_the_others(place: Place) -> None:
    """Fails when what a member has posted is not counted."""
    place.start("waits", "r1")
    place.start("waits", "r2")
    assert place.python(ALICE, FLOOD, place.home, "r2", 1500).code == 0
    full = place.do(ALICE, "signal", "r1", "go", "1")
    assert full.code == 75 and "are waiting" in full.error
    assert place.do(BOB, "signal", "r1", "go", "2").code == 0
    place.tick()
    assert place.do(BOB, "result", "r1").out == "2\n"
    assert place.new() == []
    assert len(place.events("r2", "SignalReceived")) == 1000
    assert set(place.reasons()) == {f"more than 1,000 messages of uid {ALICE} were waiting"}
    kept = [path for path in (place.home / "mail/bad").iterdir() if path.suffix != ".reason"]
    assert len(kept) <= 1000


def test_what_was_refused_to_one_is_not_pushed_out_by_the_flood_of_another(place: Place) -> None:
    place.start("waits", "r1")
    place.do(BOB, "start", "book:nothing", "--id", "r2")
    place.tick()
    place.python(ALICE, FLOOD, place.home, "nothing", 1200)
    place.tick()
    assert [need["run"] for need in place.do(BOB, "inbox", "--json").json["needs"]] == ["r2"]


def test_a_lock_or_an_index_cannot_be_held_by_a_reader(place: Place) -> None:
    """Fails when the locks of a shared directory are open to its group."""
    place.start("waits", "r1")
    hold = "import fcntl, sys; fcntl.flock(open(sys.argv[1] + '/runs/r1.jsonl'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    assert place.python(ALICE, hold, place.home).code == 0, "a history can be locked, and it means nothing"
    for name in ("locks", "index.sqlite"):
        look = "import os, sys; os.open(sys.argv[1], os.O_RDONLY)"
        assert place.python(ALICE, look, place.home / name).code != 0


def test_the_engine_of_a_shared_directory_is_its_owner_and_nobody_else(place: Place) -> None:
    place.start("asks", "r1")
    for uid in (0, ALICE):
        said = place.do(uid, "tick")
        assert said.code == 77 and f"engine (uid {ENGINE})" in said.error

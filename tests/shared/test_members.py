"""What members of a shared directory can do: everything by messages, and the kernel says whose they are."""

from __future__ import annotations

import stat
from typing import Any

import pytest

from tests.shared.people import ALICE, BOB, ENGINE, GROUP, STRANGER, Place

POLICY = """
[allow]
approve = ["#{bob}"]
step = ["#{bob}"]

[start]
"book.py:quick" = []
"book.py" = ["#{alice}"]
"""


def modes(place: Place) -> dict[str, int]:
    found = [place.home, *place.home.rglob("*")]
    return {str(p.relative_to(place.home)): stat.S_IMODE(p.lstat().st_mode) for p in found}


def test_a_member_starts_looks_answers_and_gets_the_result(place: Place) -> None:
    place.start("asks", "r1")
    assert place.status("r1") == "waiting"
    said = place.do(BOB, "approve", "r1", "-m", "looks good")
    assert (said.code, said.out) == (0, 'yes to "Switch web1?"\n'), said.err
    place.tick()
    assert place.do(ALICE, "result", "r1").out == '"looks good"\n'
    (started,), (answered,) = place.events("r1", "WorkflowStarted"), place.events("r1", "ApprovalAnswered")
    assert (started["by"]["uid"], answered["by"]["uid"]) == (ALICE, BOB)
    assert place.new() == []


def test_a_member_signals_and_cancels(place: Place) -> None:
    for run in ("r1", "r2"):
        place.start("waits", run)
    assert place.do(ALICE, "signal", "r1", "go", "7").code == 0
    assert place.do(ALICE, "cancel", "r2", "-m", "enough").code == 0
    place.tick()
    assert place.do(ALICE, "result", "r1").out == "7\n"
    assert place.status("r2") == "cancelled"


def test_a_member_updates_asks_and_calls_back(place: Place) -> None:
    file = place.home.parent / "token"
    assert place.do(ALICE, "start", "book:listens", f"where={file}", "--id", "r1").code == 3
    place.tick()
    said = place.while_ticking(ALICE, "update", "r1", "limit", "to=5")
    assert (said.code, said.out) == (0, "2\n"), said.err
    refused = place.while_ticking(BOB, "update", "r1", "limit", "to=-1")
    assert refused.code == 7 and "must not be negative" in refused.error
    asked = place.do(BOB, "query", "r1", "limit")
    assert asked.out == "5\n", asked.err
    assert "book.py:" in place.do(BOB, "stack", "r1").out
    key = place.home / "callback.key"
    assert (key.stat().st_uid, stat.S_IMODE(key.stat().st_mode)) == (ENGINE, 0o600)
    assert place.do(BOB, "complete", file.read_text(), "--result", "7").code == 0
    place.tick()
    assert place.do(ALICE, "result", "r1").out == "7\n"
    (accepted,), (called,) = place.events("r1", "UpdateAccepted"), place.events("r1", "CallbackCompleted")
    assert (accepted["by"]["uid"], called["decided"]["by"]["uid"]) == (ALICE, BOB)
    assert place.do(STRANGER, "complete", file.read_text()).code == 77
    (place.catalogue / "book.py").write_text("# another one")
    asked = place.do(BOB, "query", "r1", "limit")
    assert asked.code == 77 and "not for members to read" in asked.error


def test_a_start_that_the_engine_answers_at_once_prints_the_id_alone(place: Place) -> None:
    place.do(ALICE, "start", "book:quick", "--id", "r1", "n=4")
    place.tick()
    again = place.do(ALICE, "start", "book.py:quick", "--id", "r1", "n=4")
    assert again.code == 9 and "in use" in again.error
    assert place.do(ALICE, "result", "r1").out == "8\n"


def test_a_wish_that_cannot_be_fulfilled_is_kept_with_its_reason_and_reaches_its_sender(place: Place) -> None:
    for run, words in {"r1": ["book:nothing"], "r2": ["book:quick", "n=x"], "r3": ["book:quick", "m=1"]}.items():
        assert place.do(ALICE, "start", *words, "--id", run).code == 3
    place.tick()
    inbox = sorted(place.do(ALICE, "inbox", "--json").json["needs"], key=lambda need: need["run"])
    assert [(need["kind"], need["run"]) for need in inbox] == [("refused", run) for run in ("r1", "r2", "r3")]
    assert "nothing" in inbox[0]["what"]
    shown = place.do(ALICE, "show", "r1")
    assert shown.code == 4 and "has no workflow nothing" in shown.error
    assert place.do(BOB, "inbox", "--json").json["needs"] == []


def test_what_was_asked_for_is_said_to_be_asked_for_until_a_tick_comes(place: Place) -> None:
    assert place.do(ALICE, "start", "book:asks", "--id", "r1").code == 3
    shown = place.do(ALICE, "show", "r1")
    assert shown.code == 4 and "it was asked for" in shown.error


def test_a_request_that_is_read_twice_makes_one_run(place: Place) -> None:
    place.do(ALICE, "start", "book:asks", "--id", "r1")
    (name,) = place.new()
    letter = (place.home / "mail/new" / name).read_bytes()
    place.tick()
    write = "import os, sys; os.write(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o640), sys.argv[2].encode())"
    assert place.python(ALICE, write, place.home / "mail/new" / name, letter.decode()).code == 0
    place.tick()
    assert place.new() == [] and place.reasons() == []
    assert sorted(p.name for p in (place.home / "runs").glob("*.jsonl")) == ["r1.jsonl"]


def test_two_people_are_needed_where_two_are_asked_for(place: Place) -> None:
    """Fails when answers are counted, and not people."""
    place.start("two", "r1")
    assert place.do(ALICE, "approve", "r1").code == 0
    again = place.do(ALICE, "approve", "r1")
    assert again.code == 7 and "answered this already" in again.error
    place.tick()
    assert place.status("r1") == "waiting"
    assert place.do(BOB, "approve", "r1").out == 'yes to "Really?" (2 of 2)\n'
    place.tick()
    assert place.do(BOB, "result", "r1").out == f'"uid {ALICE},uid {BOB}"\n'


@pytest.mark.parametrize("uid", [0, ENGINE], ids=["root", "engine"])
def test_root_and_the_engine_answer_no_question(place: Place, uid: int) -> None:
    """Fails when root and the engine may do everything."""
    place.start("asks", "r1")
    said = place.do(uid, "approve", "r1")
    assert said.code == 77 and "answers no question" in said.error
    # Root, who is not the engine, has told it so: that is a note, and no answer.
    assert all(name.endswith(".~refused") for name in place.new())
    place.tick()
    assert place.new() == [] and place.events("r1", "ApprovalAnswered") == []


@pytest.mark.parametrize("uid", [0, ENGINE], ids=["root", "engine"])
def test_nor_does_it_count_if_they_drop_a_file(place: Place, uid: int) -> None:
    place.start("asks", "r1")
    assert place.do(ALICE, "approve", "r1").code == 0
    (name,) = place.new()
    path = place.home / "mail/new" / name
    copy = (
        "import os, sys; p = sys.argv[1]; d = open(p).read(); os.unlink(p); open(p, 'x').write(d); os.chmod(p, 0o640)"
    )
    assert place.python(uid, copy, path).code == 0
    place.tick()
    assert place.status("r1") == "waiting"
    assert "answers no question" in place.reasons()[0]


def test_who_is_not_in_the_group_can_do_nothing(place: Place) -> None:
    place.start("asks", "r1")
    for words in (["list"], ["show", "r1"], ["approve", "r1"], ["start", "book:asks"], ["tick"]):
        said = place.do(STRANGER, *words)
        assert said.code == 77, (words, said)


@pytest.mark.parametrize("words", [["tick"], ["adopt", "-y"], ["upgrade", "r1", "--to", "x.py"]], ids=" ".join)
def test_a_member_does_not_do_the_work_of_the_engine(place: Place, words: list[str]) -> None:
    """Fails when members may do what the engine does."""
    place.start("asks", "r1")
    said = place.do(ALICE, *words)
    assert said.code in (4, 77), said
    # Said by dwf, with what a member may do, before the kernel has to say it.
    assert said.code == 4 or "only its engine" in said.error, said
    assert place.status("r1") == "waiting"


def test_the_policy_says_who_may_start_and_answer(place: Place) -> None:
    """Fails when nobody asks the policy."""
    policy = place.home / "policy.toml"
    write = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
    assert place.python(ENGINE, write, policy, POLICY.format(alice=ALICE, bob=BOB)).code == 0
    place.start("asks", "r1")
    for uid, words in [
        (ALICE, ["approve", "r1"]),
        (ALICE, ["reject", "r1"]),
        (ALICE, ["terminate", "r1", "-y", "-m", "x"]),
        (BOB, ["start", "book:asks"]),
        (ALICE, ["start", "book:quick"]),
    ]:
        said = place.do(uid, *words)
        assert said.code == 77, (words, said)
    assert place.do(BOB, "approve", "r1").code == 0
    place.tick()
    assert place.status("r1") == "completed"


def test_the_policy_says_who_may_say_how_a_step_goes_on(place: Place) -> None:
    """Fails when a word on a step is anybody's, and none of those that end it is."""
    place.start("rests", "r1")
    assert place.do(BOB, "step", "pause", "r1", "-m", "x").code == 77, "nobody's by default"
    write = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
    policy = POLICY.format(alice=ALICE, bob=BOB)
    assert place.python(ENGINE, write, place.home / "policy.toml", policy).code == 0
    for words in (["pause"], ["reset"], ["set", "max_attempts=9"], ["skip", "--result", "7"]):
        said = place.do(ALICE, "step", words[0], "r1", *words[1:], "-m", "x")
        assert said.code == 77, (words, said)
    assert place.do(BOB, "step", "pause", "r1", "-m", "the disk is full").code == 0
    place.tick()
    (paused,) = place.events("r1", "ActivityPaused")
    assert (paused["decided"]["by"]["uid"], paused["decided"]["reason"]) == (BOB, "the disk is full")
    assert place.do(BOB, "step", "skip", "r1", "--result", "7", "-m", "x").code == 0
    place.tick()
    assert place.do(ALICE, "result", "r1").out == "7\n"


def test_a_policy_is_held_against_what_was_posted_before_it(place: Place) -> None:
    """Fails when the policy is asked by the sender only."""
    place.start("asks", "r1")
    assert place.do(ALICE, "approve", "r1").code == 0
    assert place.do(ALICE, "start", "book:quick", "--id", "r2").code == 3
    write = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
    nobody = "[allow]\napprove = []\n[start]\n'*' = []\n"
    assert place.python(ENGINE, write, place.home / "policy.toml", nobody).code == 0
    place.tick()
    assert place.status("r1") == "waiting"
    assert sorted(reason.split()[4] for reason in place.reasons()) == ["approve", "start"]


def test_by_default_nobody_but_the_engine_terminates_not_even_a_run_that_has_not_begun(place: Place) -> None:
    place.do(ALICE, "start", "book:asks", "--id", "r1", "--in", "1h")
    place.tick()
    assert place.do(ALICE, "terminate", "r1", "-y", "-m", "x").code == 77
    assert place.do(ENGINE, "terminate", "r1", "-y", "-m", "x").code == 0
    place.tick()
    assert place.status("r1") == "terminated"


@pytest.mark.parametrize(
    "text", ["[alow]\n", "[allow]\nsing = []\n", "[allow]\nsignal = 'bob'\n", "x = [", "[start]\n'../x' = []\n"]
)
def test_a_policy_that_cannot_be_read_stops_what_it_decides_on_and_says_so(place: Place, text: str) -> None:
    place.start("waits", "r1")
    assert place.do(ALICE, "signal", "r1", "go", "1").code == 0
    write = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
    place.python(ENGINE, write, place.home / "policy.toml", text)
    said = place.do(ENGINE, "tick")
    assert said.code == 78 and "policy.toml" in said.err
    assert len(place.new()) == 1, "nothing is lost"
    place.python(ENGINE, "import os, sys; os.unlink(sys.argv[1])", place.home / "policy.toml")
    place.tick()
    assert place.status("r1") == "completed"


@pytest.mark.parametrize("umask", [0o000, 0o777], ids=oct)
def test_the_modes_are_the_same_whatever_the_umask(actor: Any, umask: int) -> None:
    place = Place(actor, umask)
    try:
        place.umask = umask
        place.start("asks", "r1")
        place.do(ALICE, "signal", "r1", "later", "1")
        found = modes(place)
        assert found["."] == 0o750
        assert found["runs"] == found["mail"] == found["mail/late"] == found["mail/bad"] == 0o2750
        assert found["mail/new"] == found["mail/tmp"] == 0o3770
        assert found["runs/.tmp"] == 0o2700
        assert found["runs/r1.jsonl"] == found["shared"] == found["machine"] == 0o640
        assert found[f"mail/new/{place.new()[0]}"] == 0o640
        assert {found[name] for name in ("locks", "out", "blobs", "code")} == {0o700}
        assert found["index.sqlite"] == 0o600
        assert (place.home / "runs/r1.jsonl").stat().st_gid == GROUP
    finally:
        place.remove()


def test_a_directory_of_ones_own_is_not_made_shared_afterwards(place: Place) -> None:
    own = place.base / "srv" / "own"
    assert place.do(ENGINE, "--home", str(own), "init").code == 0
    said = place.do(ENGINE, "--home", str(own), "init", "--shared", "--group", str(GROUP))
    assert said.code == 7 and "not shared" in said.error
    again = place.do(ENGINE, "init", "--shared", "--group", str(GROUP), "--catalogue", str(place.catalogue))
    assert again.code == 0 and "there already" in again.err


def test_a_member_sees_when_the_last_tick_was(place: Place) -> None:
    said = place.do(ALICE, "start", "book:asks", "--id", "r1")
    assert "no tick" in said.err or "never" in said.err
    place.tick()
    assert "last tick" in place.do(ALICE, "approve", "r1").err


def test_the_doctor_knows_what_is_for_the_group_and_mends_what_is_not(place: Place) -> None:
    place.start("asks", "r1")
    place.do(ALICE, "signal", "r1", "later", "1")
    before = modes(place)
    for words in (["doctor", "--fix"], ["doctor"]):
        said = place.do(ENGINE, *words)
        assert "may be read by others" not in said.out and "look into" not in said.out, said
    after = modes(place)
    assert {name: mode for name, mode in after.items() if before.get(name) != mode and name in before} == {}
    (place.home / "runs/r1.jsonl").chmod(0o664)
    (place.home / "locks").chmod(0o755)
    (place.home / "mail/late").rmdir()
    said = place.do(ENGINE, "doctor", "--fix")
    assert {**modes(place), "index.sqlite": 0} == {**after, "index.sqlite": 0}, said


def test_a_policy_that_members_cannot_read_holds_all_the_same(place: Place) -> None:
    place.start("asks", "r1")
    write = "import os, sys; open(sys.argv[1], 'w').write('[allow]\\napprove = []\\n'); os.chmod(sys.argv[1], 0o600)"
    assert place.python(ENGINE, write, place.home / "policy.toml").code == 0
    assert place.do(ALICE, "approve", "r1").code == 0
    place.tick()
    assert place.status("r1") == "waiting"
    assert "may not approve here" in place.reasons()[0]
    assert "refused" in {need["kind"] for need in place.do(ALICE, "inbox", "--json").json["needs"]}


@pytest.mark.parametrize(
    ("words", "code", "out"),
    [
        (["run", "book:quick", "n=4", "--id", "r1"], 0, "r1\n8\n"),
        (["run", "book:asks", "--id", "r1", "--no-input"], 5, "r1\n"),
        (["start", "book:asks", "--id", "r1", "--tick"], 0, "r1\n"),
        (["start", "book:quick", "--id", "r1", "--wait"], 0, "r1\n"),
        (["start", "book:nothing", "--id", "r1", "--wait"], 7, ""),
    ],
    ids=["run", "run that asks", "start --tick", "start --wait", "refused"],
)
def test_a_member_looks_on_while_the_engine_drives(place: Place, words: list[str], code: int, out: str) -> None:
    said = place.while_ticking(ALICE, *words)
    assert (said.code, said.out) == (code, out), said
    if code == 7:
        assert "has no workflow nothing" in said.error


def test_an_answer_with_tick_waits_for_what_comes_of_it(place: Place) -> None:
    place.start("asks", "r1")
    said = place.while_ticking(ALICE, "approve", "r1", "-m", "yes", "--tick")
    assert said.code == 0 and place.status("r1") == "completed"


def test_a_member_sees_the_parameters_of_what_is_in_the_catalogue(place: Place) -> None:
    said = place.do(ALICE, "start", "book:quick", "--help")
    assert said.code == 0 and "n  int" in said.out
    assert place.do(ALICE, "start", "/etc/passwd", "--help").code == 2


def test_a_signal_of_a_member_starts_its_run_by_one_message_or_the_next_one_of_that_id(place: Place) -> None:
    """Fails when what asks for a run is late mail for the one that has just ended."""
    said = place.do(ALICE, "signal", "r1", "go", "7", "--start", "book:waits")
    assert (said.code, said.out) == (3, "requested r1\n"), said
    # Before the engine has made it, another one is on its way; by then the first run is over, and it starts its own.
    assert place.do(BOB, "signal", "r1", "go", "8", "--start", "book:twice").code == 3
    place.tick()
    (started,) = place.events("r1", "WorkflowStarted")
    assert started["signals"][0]["by"]["uid"] == ALICE and started["by"]["uid"] == ALICE
    assert place.show("r1")["workflow"] == "twice" and place.status("r1") == "waiting"
    assert place.do(BOB, "signal", "r1", "go", "9", "--start", "book:twice").out == "signal go 9\n"
    place.tick()
    assert place.do(ALICE, "result", "r1").out == "[8, 9]\n" and place.new() == place.reasons() == []


def test_a_signal_with_start_that_finds_another_workflow_at_work_is_refused(place: Place) -> None:
    assert place.do(ALICE, "start", "book:asks", "--id", "r1").code == 3
    assert place.do(BOB, "signal", "r1", "go", "--start", "book:waits").code == 3
    place.tick()
    assert place.status("r1") == "waiting" and place.new() == []
    assert place.reasons() == ["the id r1 is in use"]
    late = place.do(BOB, "signal", "r1", "go", "--start", "book:waits")
    assert late.code == 9 and "another workflow: asks" in late.error


def test_of_two_members_signals_with_start_one_makes_the_run_and_the_other_is_delivered_to_it(place: Place) -> None:
    """Fails when a start finds its run there and is refused, signal and all."""
    for uid, word in ((ALICE, "1"), (BOB, "2")):
        assert place.do(uid, "signal", "r1", "go", word, "--start", "book:twice").code == 3
    place.tick()
    assert place.do(ALICE, "result", "r1").out == "[1, 2]\n"
    (received,) = place.events("r1", "SignalReceived")
    assert received["by"]["uid"] == BOB and place.new() == []


def test_a_signal_with_start_needs_the_right_to_do_both(place: Place) -> None:
    policy = f'[allow]\nsignal = ["#{BOB}"]\n[start]\n"book.py" = ["#{ALICE}"]\n'
    write = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
    assert place.python(ENGINE, write, place.home / "policy.toml", policy).code == 0
    for uid in (ALICE, BOB):
        said = place.do(uid, "signal", "r1", "go", "--start", "book:waits")
        assert said.code == 77 and "may not" in said.error, said
    place.tick()  # takes up that they were refused, and nothing else
    assert place.new() == [] and not list((place.home / "runs").glob("*.jsonl"))

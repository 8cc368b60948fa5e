"""Signals: to runs that are closed, by names that are none, for nobody, and what else may lie in a mailbox."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dwf.core.messages import Message
from dwf.store.room import Store
from tests.test_bad_inputs.terminal import PLAIN, WAITS, Answer, Terminal, powerless

ENDS = [
    ("completed", PLAIN, (), 0),
    ("failed", "import dwf\n@dwf.workflow\nasync def f():\n    raise dwf.Failure('no')\n", (), 1),
    ("cancelled", WAITS, ("cancel", "-m", "why"), 0),
    ("terminated", WAITS, ("terminate", "-y", "-m", "why"), 0),
]


@pytest.mark.parametrize(("status", "text", "by", "code"), ENDS, ids=[end[0] for end in ENDS])
def test_nothing_reaches_a_run_that_is_closed(
    dwf: Terminal, status: str, text: str, by: tuple[str, ...], code: int
) -> None:
    dwf.driven(text, "one", code=code)
    if by:
        dwf.typed(by[0], "one", *by[1:])
        dwf.tick()
    assert dwf.status("one") == status
    for words in [
        ("signal", "one", "go"),
        ("signal", "one", "go", "--key", "k"),
        ("cancel", "one", "-m", "why"),
        ("terminate", "one", "-y", "-m", "why"),
        ("approve", "one"),
        ("reject", "one"),
    ]:
        answer = dwf.refuses(7, *words)
        assert status in answer.error and "dwf show one" in answer.hint
    assert not list((dwf.home / "mail" / "new").iterdir())


def test_nothing_reaches_a_run_that_there_is_not(dwf: Terminal) -> None:
    dwf.start(WAITS, "rotate-web1")
    for words in [("signal", "other", "go"), ("cancel", "other"), ("approve", "other"), ("show", "other")]:
        dwf.refuses(4, *words)
    assert "rotate-web1" in dwf.refuses(4, "signal", "rotate-web2", "go").hint


def test_a_signal_that_may_start_a_run_starts_none_that_is_wrong(dwf: Terminal) -> None:
    """Fails when anything is made before all of it is known to fit."""
    script = dwf.script(WAITS)
    for code, words in [
        (2, ("../r1", "go", "--start", script)),
        (2, ("r1", "", "--start", script)),
        (2, ("-l", "go", "--start", script)),
        (4, ("r1", "go", "--start", f"{script}.not")),
        (2, ("r1", "go", "--start", script, "--arg", "nothing=1")),
        (2, ("r1", "go", "--start", script, "--input", "[]")),
        (2, ("r1", "go", "--start", script, "--input", "{")),
        (2, ("r1", "go", "--arg", "a=1")),
    ]:
        dwf.refuses(code, "signal", *words)
    assert dwf.typed("list", "--json").out.count('"run"') == 0


def test_a_change_takes_no_beginning_of_an_id_where_nobody_can_confirm_it(dwf: Terminal) -> None:
    dwf.start(WAITS, "rotate-web1")
    for words in [("signal", "rotate", "go"), ("cancel", "rot"), ("terminate", "rotate-web", "-y", "-m", "x")]:
        assert "rotate-web1" in dwf.refuses(2, *words).hint
    dwf.start(WAITS, "rotate-web2")
    answer = dwf.refuses(2, "show", "rotate")
    assert "rotate-web1" in answer.hint and "rotate-web2" in answer.hint


# -- ids and names ----------------------------------------------------------------------------------------------


def test_a_message_gets_an_id_that_is_the_last_thing_printed(dwf: Terminal) -> None:
    dwf.start(WAITS, "one")
    answer = dwf.typed("signal", "one", "go", "-o", "name")
    (posted,) = (dwf.home / "mail" / "new").iterdir()
    assert answer.out == f"{posted.name}\n"
    document = json.loads(dwf.typed("signal", "one", "go", "--json").out)
    assert (dwf.home / "mail" / "new" / document["message"]).is_file()
    assert dwf.typed("signal", "one", "go").out.count("\n") == 1


def test_the_mailbox_is_on_disk_before_anything_is_said(dwf: Terminal) -> None:
    strace = "/usr/bin/strace"
    if not Path(strace).exists():
        pytest.skip("it needs strace")
    dwf.start(WAITS, "one")
    log = dwf.where / "trace"
    calls = "trace=fsync,fdatasync,write,rename,renameat,renameat2,link,linkat"
    answer = dwf.process("signal", "one", "go", through=[strace, "-f", "-y", "-o", str(log), "-e", calls])
    assert answer.code == 0, answer
    lines = log.read_text("utf-8", "replace").splitlines()
    moved = next(n for n, line in enumerate(lines) if ("mail/new/" in line and "rename" in line) or "link(" in line)
    synced = next(n for n, line in enumerate(lines) if n > moved and "sync(" in line and "/mail/new>" in line)
    said = next(n for n, line in enumerate(lines) if "write(1<" in line)
    written = next(n for n, line in enumerate(lines) if "sync(" in line and "/mail/tmp/" in line)
    assert written < moved < synced < said


NAMES = [
    "", "x" * 65, "x" * 10_000, "__init__", "__class__", "a/b", "../x", ".", "..", "1st", "-go", "a b", "a\nb", "a\0b",
    "a\x1b[31m", "ä", "a\u202eb", "a:b", "*", "a=b",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[:20])
def test_a_signal_name_that_is_none_is_refused(dwf: Terminal, name: str) -> None:
    dwf.start(WAITS, "one")
    answer = dwf.refuses(2, "signal", "--", "one", name)
    assert "is not a signal name" in answer.error and "letters" in answer.hint
    assert len(answer.error) < 200


@pytest.mark.parametrize("name", ["go", "_go", "Go.now-2", "x" * 64, "get", "keys", "self", "format", "send"])
def test_a_signal_name_that_fits_the_rule_is_never_more_than_a_name(dwf: Terminal, name: str) -> None:
    dwf.driven(WAITS, "one", f"name={name}")
    assert dwf.typed("signal", "one", name, "7").code == 0
    dwf.tick()
    assert dwf.typed("result", "one").out == "7\n"


def test_a_script_that_waits_for_a_name_that_is_none_is_blocked(dwf: Terminal) -> None:
    for number, name in enumerate(["", "__init__", "a/b", "a\nb"]):
        text = f"import dwf\n@dwf.workflow\nasync def w():\n    await dwf.wait_signal({name!r})\n"
        dwf.blocked(text, f"run{number}")


# -- for nobody -------------------------------------------------------------------------------------------------


def test_a_signal_that_nobody_waits_for_is_kept_and_shown(dwf: Terminal) -> None:
    dwf.driven(WAITS, "one")
    assert dwf.typed("signal", "one", "nobody", "1").code == 0
    assert "signal nobody" in dwf.typed("show", "one").out
    dwf.tick()
    page = dwf.typed("show", "one").is_clean().out
    assert "not taken" in page and "nobody" in page
    assert "nobody" in json.dumps(dwf.show("one"))
    dwf.typed("signal", "one", "go", "2")
    dwf.tick()
    assert dwf.typed("result", "one").out == "2\n"
    assert len(dwf.events("one", "SignalReceived")) == 2


def test_a_signal_that_came_before_anybody_waited_is_taken(dwf: Terminal) -> None:
    dwf.start(WAITS, "one")
    dwf.typed("signal", "one", "go", "1")
    dwf.typed("signal", "one", "go", "2")
    dwf.tick()
    assert dwf.typed("result", "one").out == "1\n"


def test_a_signal_left_over_at_the_end_is_told(dwf: Terminal) -> None:
    dwf.driven(WAITS, "one")
    dwf.typed("signal", "one", "nobody", "1")
    dwf.typed("signal", "one", "go", "1")
    dwf.tick()
    assert dwf.status("one") == "completed"
    assert "never taken by the script: nobody" in dwf.typed("show", "one").out


def test_a_message_that_comes_after_the_end_is_kept_and_shown_with_its_sender(dwf: Terminal) -> None:
    dwf.driven(WAITS, "one")
    dwf.typed("signal", "one", "go", "1")
    store = Store.open(str(dwf.home))
    dwf.tick()
    store.mailbox.post(Message(id="", run="one", kind="signal", name="again", reason="too late"))
    dwf.tick()
    assert dwf.typed("result", "one").out == "1\n"
    page = dwf.typed("show", "one").is_clean().out
    assert "late" in page and "signal again" in page and "too late" in page
    assert dwf.show("one")["late"][0]["what"].startswith("signal again")
    assert len(dwf.events("one", "SignalReceived")) == 1


# -- keys -------------------------------------------------------------------------------------------------------


def test_odd_keys_and_reasons_are_bounded_and_harmless(dwf: Terminal) -> None:
    dwf.driven(WAITS, "one")
    for text in ["x" * 5000, "x" * 100_000, "\udcff" * 2000]:
        assert "4,096" in dwf.refuses(2, "signal", "one", "other", "--key", text).error
        assert "4,096" in dwf.refuses(2, "signal", "one", "other", "-m", text).error
        assert "4,096" in dwf.refuses(2, "cancel", "one", "-m", text).error
    assert dwf.typed("signal", "one", "other", "-m", "x" * 4096).code == 0
    for text in ["a\x1b[31mb", "a\nb", "\u202e", "caf\udce9"]:
        assert dwf.typed("signal", "one", "other", "-m", text, "--key", text).is_clean().code == 0
    dwf.tick()
    assert not list((dwf.home / "mail" / "bad").iterdir()), "what was accepted was refused later"
    for words in [("show", "one"), ("history", "one", "--detailed"), ("history", "one", "--json")]:
        assert dwf.typed(*words).is_clean().code == 0
    assert dwf.history("one").read_bytes().isascii()


# -- what may lie in a mailbox ----------------------------------------------------------------------------------

GOOD_NAME = "0000000000000001.abcdef.one"


def _message(**changes: object) -> bytes:
    body = {"schema": "dwf.mail/1", "id": GOOD_NAME, "run": "one", "kind": "signal", "name": "go", "payload": 1}
    return json.dumps({name: value for name, value in {**body, **changes}.items() if value is not None}).encode()


def _huge(path: Path) -> None:
    path.write_bytes(b"")
    os.truncate(path, 1 << 40)


def _foreign(path: Path) -> None:
    path.write_bytes(_message())
    os.chown(path, 54321, 54321)


ODD: list[tuple[str, str, Callable[[Path], object]]] = [
    ("a FIFO", GOOD_NAME, os.mkfifo),
    ("a directory", GOOD_NAME, lambda path: path.mkdir()),
    ("a full directory", GOOD_NAME, lambda path: (path.mkdir(), (path / "x").write_text("x"))),
    ("a symlink", GOOD_NAME, lambda path: path.symlink_to("/etc/passwd")),
    ("a dangling symlink", GOOD_NAME, lambda path: path.symlink_to("/nonexistent")),
    ("a link to a device", GOOD_NAME, lambda path: path.symlink_to("/dev/zero")),
    ("a terabyte", GOOD_NAME, _huge),
    ("nothing in it", GOOD_NAME, lambda path: path.write_bytes(b"")),
    ("half of it", GOOD_NAME, lambda path: path.write_bytes(_message()[:40])),
    ("no JSON", GOOD_NAME, lambda path: path.write_bytes(b"go on\n")),
    ("a list", GOOD_NAME, lambda path: path.write_bytes(b"[]")),
    ("a deep list", GOOD_NAME, lambda path: path.write_bytes(b"[" * 100_000)),
    ("a deep payload", GOOD_NAME, lambda path: path.write_bytes(
        _message().replace(b'"payload": 1', b'"payload": ' + b"[" * 5000 + b"]" * 5000))),
    ("no UTF-8", GOOD_NAME, lambda path: path.write_bytes(b'\xff\xfe{"')),
    ("another run", GOOD_NAME, lambda path: path.write_bytes(_message(run="two"))),
    ("another id", GOOD_NAME, lambda path: path.write_bytes(_message(id="0000000000000002.abcdef.one"))),
    ("another kind", GOOD_NAME, lambda path: path.write_bytes(_message(kind="obey"))),
    ("another schema", GOOD_NAME, lambda path: path.write_bytes(_message(schema="dwf.mail/9"))),
    ("a bad signal name", GOOD_NAME, lambda path: path.write_bytes(_message(name="__init__"))),
    ("more fields", GOOD_NAME, lambda path: path.write_bytes(_message(extra=1))),
    ("NaN", GOOD_NAME, lambda path: path.write_bytes(_message().replace(b'"payload": 1', b'"payload": NaN'))),
    ("writable by others", GOOD_NAME, lambda path: (path.write_bytes(_message()), path.chmod(0o666))),
    ("an odd name", "readme.txt", lambda path: path.write_bytes(b"x")),
    ("an editor's copy", f"{GOOD_NAME}~", lambda path: path.write_bytes(_message())),
    ("a hidden name", ".hidden", lambda path: path.write_bytes(b"x")),
    ("a long name", "x" * 255, lambda path: path.write_bytes(b"x")),
    ("ESC in its name", "a\x1b[31m\nb", lambda path: path.write_bytes(b"x")),
    ("bytes in its name", "caf\udce9", lambda path: path.write_bytes(b"x")),
    ("a run that is none", "0000000000000001.abcdef...", lambda path: path.write_bytes(b"x")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "make"), [case[1:] for case in ODD], ids=[case[0] for case in ODD])
def test_what_is_no_message_is_moved_away_with_a_reason_and_the_others_are_taken(
    dwf: Terminal, name: str, make: Callable[[Path], object]
) -> None:
    dwf.driven(WAITS, "one")
    make(dwf.home / "mail" / "new" / name)
    assert dwf.typed("show", "one").is_clean().code == 0
    assert dwf.typed("signal", "one", "go", "2").code == 0
    began = time.monotonic()
    dwf.tick()
    assert time.monotonic() - began < 5
    assert dwf.typed("result", "one").out == "2\n"
    assert not list((dwf.home / "mail" / "new").iterdir())
    (reason,) = (dwf.home / "mail" / "bad").glob("*.reason")
    assert json.loads(reason.read_text())["reason"]
    assert dwf.tick() == Answer(0, "", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_message_of_another_user_is_moved_away(dwf: Terminal) -> None:
    dwf.driven(WAITS, "one")
    _foreign(dwf.home / "mail" / "new" / GOOD_NAME)
    dwf.tick()
    assert dwf.status("one") == "waiting"
    (reason,) = (dwf.home / "mail" / "bad").glob("*.reason")
    assert "54321" in reason.read_text()


def test_a_message_for_a_run_that_there_is_not_does_not_keep_a_tick_busy(dwf: Terminal) -> None:
    dwf.start(WAITS, "other")
    name = GOOD_NAME.replace(".one", ".none")
    path = dwf.home / "mail" / "new" / name
    path.write_bytes(_message(id=name, run="none"))
    path.chmod(0o600)
    began = time.monotonic()
    dwf.tick(code=None)
    assert dwf.tick(code=None) == Answer(0, "", ""), "each tick tells it again"
    assert time.monotonic() - began < 5
    assert dwf.status("other") == "waiting"
    for directory in ("late", "bad", "new"):
        for found in (dwf.home / "mail" / directory).iterdir():
            assert "none" in found.name


def test_what_was_refused_is_counted_where_people_look(dwf: Terminal) -> None:
    dwf.driven(WAITS, "one")
    (dwf.home / "mail" / "new" / "readme.txt").write_text("x")
    (dwf.home / "mail" / "new" / GOOD_NAME).write_text("x")
    dwf.tick()
    assert "2 files were refused" in dwf.typed("inbox").err
    page = dwf.typed("show", "one").is_clean().out
    assert "refused  a message, by " in page
    assert dwf.show("one")["refused"] == 1


def test_who_may_not_write_to_the_mailbox_is_told_so(dwf: Terminal) -> None:
    dwf.driven(WAITS, "one")
    for name in ("mail/tmp", "mail/new"):
        (dwf.home / name).chmod(0o500)
        for words in [("signal", "one", "go"), ("cancel", "one", "-m", "why")]:
            answer = dwf.refuses_process(77, *words, **powerless())
            assert str(dwf.home / "mail") in answer.error and "permission denied" in answer.error.lower()
        (dwf.home / name).chmod(0o700)
    assert not list((dwf.home / "mail" / "new").iterdir()) and not list((dwf.home / "mail" / "tmp").iterdir())

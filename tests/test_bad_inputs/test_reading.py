"""Reading what is damaged, half written or hostile: the others are shown, this one says so, nothing is obeyed."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dwf.store.room import Store
from tests.test_bad_inputs.terminal import PLAIN, WAITS, Terminal, tree

# Five records: started, two steps' ends and beginnings, and a wait at last, so that there is a middle to damage.
FIVE = """
    import dwf

    @dwf.activity
    def double(n: int) -> int:
        return 2 * n

    @dwf.workflow
    async def waits() -> object:
        await double(1)
        await double(2)
        return await dwf.wait_signal("go")
"""
DAMAGE: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("empty", lambda data: b""),
    ("no history", lambda data: b"dear mother\n"),
    ("binary", lambda data: b"\x7fELF\0\1\2" * 100),
    ("a byte flipped", lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:]),
    ("a line lost", lambda data: b"".join(data.splitlines(True)[:1] + data.splitlines(True)[2:])),
    ("two lines swapped", lambda data: b"".join(data.splitlines(True)[at] for at in (0, 2, 1, 3, 4))),
    ("NULs in the middle", lambda data: data[:300] + b"\0" * 50 + data[350:]),
    ("a line of another run", lambda data: data.replace(b'"id":2,', b'"id":2,"x":1,', 1)),
    ("a half first line", lambda data: data[:60]),
    ("ESC in it", lambda data: data[:100] + b"\x1b[31m" + data[105:]),
]  # fmt: skip


@pytest.mark.parametrize("damage", [case[1] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
def test_a_damaged_run_is_shown_as_such_and_keeps_nobody_from_the_others(
    dwf: Terminal, damage: Callable[[bytes], bytes]
) -> None:
    dwf.driven(PLAIN, "good")
    dwf.driven(FIVE, "bad")
    path = dwf.history("bad")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    before = path.read_bytes()
    assert before != whole
    (dwf.home / "index.sqlite").unlink()
    for _ in range(2):
        listed = dwf.typed("list").is_clean()
        assert listed.code == 1, listed
        assert re.search(r"^bad .*corrupt", listed.out, re.M) and re.search(r"^good .*completed", listed.out, re.M)
        dwf.tick(code=None)
    shown = dwf.typed("show", "bad").is_clean()
    assert shown.code == 65 and "corrupt" in shown.out and "line " in shown.out
    history = dwf.typed("history", "bad").is_clean()
    assert history.code == 65 and str(path) in history.error
    assert dwf.typed("show", "good").code == 0 and dwf.typed("result", "good").out == "42\n"
    for words in [("result", "bad"), ("signal", "bad", "go"), ("cancel", "bad"), ("approve", "bad"), ("wait", "bad")]:
        assert dwf.typed(*words).is_clean().code == 65, words
    assert dwf.typed("start", dwf.scripts / "good.py", "--id", "bad", "--if-exists", "use").is_clean().code in (9, 65)
    assert "bad" in dwf.typed("inbox").is_clean().out
    assert dwf.tick().err == "", "the same news at every tick"
    assert path.read_bytes() == before, "it was changed"


def test_a_damaged_run_is_news_once(dwf: Terminal) -> None:
    """Fails when it is not remembered that the damage was told."""
    dwf.driven(WAITS, "bad")
    path = dwf.history("bad")
    path.write_bytes(path.read_bytes().replace(b"waits", b"waitz", 1))
    dwf.typed("signal", "bad", "go")
    (dwf.home / "index.sqlite").unlink(missing_ok=True)
    said = [dwf.tick(code=None)]
    for _ in range(2):
        with closing(Store.open(str(dwf.home)).index) as index:  # so that it is looked at again
            assert index.wake("bad")
        said.append(dwf.tick(code=None))
    assert said[0].code == 1 and str(path) in said[0].err and said[0].err.count("\n") == 1
    assert [answer.err for answer in said[1:]] == ["", ""]


def test_what_is_no_history_in_its_directory_hurts_nobody(dwf: Terminal) -> None:
    dwf.driven(PLAIN, "good")
    runs = dwf.home / "runs"
    (runs / "notes.txt").write_text("x")
    (runs / "dir.jsonl").mkdir()
    os.mkfifo(runs / "fifo.jsonl")
    (runs / "link.jsonl").symlink_to(dwf.history("good"))
    (runs / "a\x1b[31mb.jsonl").write_text("x")
    (runs / "good~x.jsonl").write_text("x")
    (runs / ".hidden.jsonl").write_text("x")
    (runs / "caf\udce9.jsonl").write_text("x")
    for words in [
        ("list",),
        ("list", "--json"),
        ("verify",),
        ("inbox",),
        ("show", "good"),
        ("show", "fifo"),
        ("tick",),
    ]:
        dwf.typed(*words).is_clean()
    (dwf.home / "index.sqlite").unlink()
    for words in [("list",), ("tick",), ("show", "dir"), ("history", "link"), ("verify", "fifo")]:
        dwf.typed(*words).is_clean()
    assert dwf.typed("result", "good").out == "42\n"


# -- a torn tail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_torn_last_line_is_left_out_and_told(dwf: Terminal, cut: int) -> None:
    dwf.driven(WAITS, "one")
    path = dwf.history("one")
    whole = path.read_bytes()
    last = whole.rsplit(b"\n", 2)[1]
    path.write_bytes(whole + last[: min(cut, len(last) - 1)])
    before = tree(dwf.home)
    shown, told = dwf.typed("show", "one").is_clean(), dwf.typed("history", "one").is_clean()
    assert (shown.code, told.code) == (0, 0)
    assert "1 incomplete record" in shown.out and "1 incomplete record" in told.err
    assert dwf.typed("list").is_clean().code == 0
    verified = dwf.typed("verify").is_clean()
    assert verified.code == 0 and "torn" in verified.out
    assert tree(dwf.home) == before
    dwf.typed("signal", "one", "go", "1")
    dwf.tick()
    assert dwf.typed("result", "one").out == "1\n"
    assert dwf.typed("verify", "one").code == 0
    assert path.read_bytes().startswith(whole), "what was whole was changed"


# -- for programs -----------------------------------------------------------------------------------------------

EVIL = "\x1b[31mred\x1b]52;c;ZXZpbA==\x07\x1b]8;;http://x\x07\r\x08\x0b\x7f\x9b\u202e\u200b\ufeff\n\U0001f600ä"
HOSTILE = f"""
    import dwf

    @dwf.activity(title={EVIL!r}, retry=dwf.Retry(max_attempts=1))
    def act(text: str) -> str:
        print(text)
        return text

    @dwf.activity(retry=dwf.Retry(max_attempts=1))
    def fail(text: str) -> str:
        raise ValueError(text)

    @dwf.workflow
    async def book(text: str) -> object:
        dwf.status(text)
        dwf.log.info(text)
        print(text)
        await act(text)
        await dwf.sh("printf", "%s", text, title=text[:20])
        try:
            await fail(text)
        except dwf.ActivityError:
            pass
        await dwf.approve(text, show={{text: text}})
        raise dwf.Failure(text, **{{"detail": text}})
"""
PAGES = [("list",), ("list", "-o", "wide"), ("show", "one"), ("history", "one"), ("history", "one", "--detailed"),
         ("inbox",), ("stack", "one"), ("logs", "one")]  # fmt: skip


def _hostile(dwf: Terminal) -> None:
    words = ("--input", json.dumps({"text": EVIL}), "--tag", f"k={EVIL}", "-m", EVIL)
    dwf.driven(HOSTILE, "one", *words)
    assert dwf.status("one") == "waiting"
    dwf.typed("signal", "one", "other", json.dumps(EVIL), "-m", EVIL, "--key", EVIL)


def test_what_is_hostile_is_shown_escaped_in_a_pipe(dwf: Terminal) -> None:
    _hostile(dwf)
    for number in range(2):
        for words in PAGES if number == 0 else PAGES[:-2]:
            # What a step printed goes into a pipe as it was.
            answer = dwf.typed(*words) if words[0] == "logs" else dwf.typed(*words).is_clean()
            assert answer.out or (words[0] == "inbox" and number == 1), words
        dwf.typed("approve", "one", "-m", EVIL).is_clean()
        news = dwf.tick(code=1 if number == 0 else 0)
        assert news.err.count("\n") == (1 if number == 0 else 0)
    assert dwf.history("one").read_bytes().isascii()
    assert b"\x1b" not in dwf.history("one").read_bytes() and b"\x7f" not in dwf.history("one").read_bytes()


def test_what_is_hostile_is_shown_escaped_on_a_terminal(dwf: Terminal) -> None:
    _hostile(dwf)
    for words in PAGES:
        text = _on_terminal(dwf, *words)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\ufeff]", plain), (
            words,
            plain,
        )
        assert "\r" not in plain.replace("\r\n", "\n"), words
        colours = set(re.findall(r"\x1b\[([0-9;]*)m", text))
        assert colours <= {"0", "1", "2", "31", "32", "33", "34", "36", "1;31"}, (words, colours)
        assert "31mred" not in text.replace(r"\x1b[31mred", "").replace(r"\u001b[31mred", ""), words


def _on_terminal(dwf: Terminal, *words: str) -> str:
    master, slave = pty.openpty()
    environ = dwf.process_environ(TERM="xterm-256color", LANG="C.UTF-8", COLUMNS="100")
    process = subprocess.Popen(dwf.line(*words), stdin=slave, stdout=slave, stderr=slave, env=environ, cwd="/")
    os.close(slave)
    data = b""
    try:
        while chunk := os.read(master, 65536):
            data += chunk
    except OSError:
        pass
    finally:
        os.close(master)
    process.wait(timeout=30)
    return data.decode("utf-8", "backslashreplace")


DOCUMENTS = [("list", "--json"), ("show", "one", "--json"), ("history", "one", "--json"), ("inbox", "--json"),
             ("verify", "--json"), ("stack", "one", "--json"), ("whoami", "--json"), ("version", "--json")]  # fmt: skip


def test_json_is_one_document_of_plain_ascii_without_colour(dwf: Terminal) -> None:
    _hostile(dwf)
    for words in DOCUMENTS:
        answer = dwf.typed(*words, "--color", "always").is_clean()
        assert answer.out.isascii() and "\x1b" not in answer.out, words
        document = json.loads(answer.out)
        assert isinstance(document, dict) and str(document["schema"]).startswith("dwf."), words
        assert answer.code == 0, (words, answer)
    for words in [("list", "-o", "jsonl"), ("history", "one", "-o", "jsonl"), ("inbox", "-o", "jsonl")]:
        lines = dwf.typed(*words).is_clean().out.splitlines()
        assert lines and all(isinstance(json.loads(line), dict) for line in lines)


def test_json_is_whole_and_has_the_same_keys_when_a_run_is_damaged(dwf: Terminal) -> None:
    dwf.driven(PLAIN, "good")
    dwf.driven(PLAIN, "one")
    keys = {words: set(json.loads(dwf.typed(*words).out)) for words in DOCUMENTS if words[0] != "stack"}
    path = dwf.history("one")
    path.write_bytes(path.read_bytes().replace(b'"plain"', b'"plane"', 1))
    for words, expected in keys.items():
        answer = dwf.typed(*words).is_clean()
        assert set(json.loads(answer.out)) == expected, words
    runs = json.loads(dwf.typed("list", "--json").out)["runs"]
    assert len({tuple(sorted(run)) for run in runs}) == 1, "a damaged run has other keys than a sound one"


def test_an_error_is_json_too_when_json_is_asked_for(dwf: Terminal) -> None:
    dwf.start(PLAIN, "one")
    for words, code in [
        (("show", "none", "--json"), 4), (("show", "", "-o", "json"), 2), (("--json", "nonsense"), 2),
        (("start", "none.py", "--json"), 4), (("list", "--json", "--limit", "x"), 2), (("show", "--output=json"), 2),
        (("signal", "one", "a/b", "--json"), 2), (("list", "--jsonn", "--json"), 2),
    ]:  # fmt: skip
        answer = dwf.typed(*words).is_clean()
        assert (answer.code, answer.out) == (code, ""), (words, answer)
        document = json.loads(answer.err)
        assert document["schema"] == "dwf.error/1" and document["exit"] == code
        assert document["message"] and "hint" in document and document["code"]


def test_logs_in_a_pipe_are_the_bytes_as_they_were(dwf: Terminal) -> None:
    dwf.driven(r"""
        import dwf

        @dwf.workflow
        async def book() -> None:
            await dwf.sh(script=r"printf '\033[31m\377\000\r'")
    """, "one")  # fmt: skip
    out = dwf.where / "out"
    with out.open("wb") as file:
        assert dwf.spawn("logs", "one", stdout=file, stderr=subprocess.DEVNULL).wait(timeout=30) == 0
    assert out.read_bytes() == b"\x1b[31m\xff\0\r"
    assert "\x1b" not in _on_terminal(dwf, "logs", "one").replace("\x1b[1m", "").replace("\x1b[0m", "")


def test_a_file_in_a_state_directory_that_may_not_be_read_is_named(dwf: Terminal) -> None:
    from tests.test_bad_inputs.terminal import powerless

    dwf.driven(PLAIN, "good")
    dwf.driven(WAITS, "one")
    path: Path = dwf.history("one")
    path.chmod(0)
    listed = dwf.process("list", **powerless()).is_clean()
    assert "good" in listed.out
    shown = dwf.process("show", "one", **powerless()).is_clean()
    assert shown.code in (65, 74, 77) and str(path) in shown.err + shown.out
    path.chmod(0o600)

"""Values from outside: what is not JSON, what only Python takes for JSON, what is empty, and what is too large."""

from __future__ import annotations

import json
import os
import pty
import time

import pytest

from tests.test_bad_inputs.terminal import WAITS, Terminal, powerless

ANY = """
    import dwf

    @dwf.workflow
    async def any(value: object = None) -> object:
        return value
"""
KIB = 1024
LIMIT = 2 * KIB * KIB

NOT_JSON = [
    ("a word", "web1"),
    ("half an object", '{"value": 1'),
    ("more behind it", '{"value": 1} x'),
    ("two values", '{"value": 1} {"value": 2}'),
    ("NaN", '{"value": NaN}'),
    ("Infinity", '{"value": Infinity}'),
    ("-Infinity", '{"value": [-Infinity]}'),
    ("a number beyond all floats", '{"value": 1e999}'),
    ("duplicate keys", '{"value": 1, "value": 2}'),
    ("duplicate keys inside", '{"value": [{"a": 1, "a": 2}]}'),
    ("100 000 brackets", '{"value": ' + "[" * 100_000),
    ("100 000 brackets, closed", '{"value": ' + "[" * 100_000 + "]" * 100_000 + "}"),
    ("100 000 objects", '{"value": ' + '{"a":' * 100_000),
    ("101 levels", '{"value": ' + "[" * 101 + "]" * 101 + "}"),
    ("5 000 digits", '{"value": ' + "7" * 5000 + "}"),
    ("-5 000 digits", '{"value": -' + "7" * 5000 + "}"),
    ("a byte order mark", '\ufeff{"value": 1}'),
    ("a lone surrogate", '{"value": "\\ud800"}'),
    ("a lone surrogate as a key", '{"value": {"\\udfff": 1}}'),
    ("single quotes", "{'value': 1}"),
    ("a comma too much", '{"value": [1,]}'),
    ("a comment", '{"value": 1} // one'),
    ("a real newline in text", '{"value": "a\nb"}'),
    ("a control character in text", '{"value": "\x1b[31m"}'),
]
NOT_BYTES = [
    ("no UTF-8", b'{"value": "caf\xe9"}'),
    ("UTF-16", '{"value": 1}'.encode("utf-16")),
    ("UTF-16 without a mark", '{"value": 1}'.encode("utf-16-le")),
    ("UTF-8 with a mark", b'\xef\xbb\xbf{"value": 1}'),
    ("NUL", b'{"value": 1}\0'),
]


@pytest.mark.parametrize("text", [case[1] for case in NOT_JSON], ids=[case[0] for case in NOT_JSON])
def test_what_is_not_json_is_refused_wherever_it_is_typed(dwf: Terminal, text: str) -> None:
    script = dwf.script(ANY)
    answer = dwf.refuses(2, "start", script, "--input", text)
    assert "--input" in answer.error
    assert len(answer.error) < 1000
    dwf.refuses(2, "start", script, "--input", "-", stdin=text.encode("utf-8", "surrogatepass"))
    assert not dwf.home.exists()
    dwf.start(WAITS, "one")
    dwf.refuses(2, "signal", "one", "go", text if text[0] in "{[" else f"{text}", stdin=b"")
    dwf.refuses(2, "signal", "one", "go", "-", stdin=text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("data", [case[1] for case in NOT_BYTES], ids=[case[0] for case in NOT_BYTES])
def test_bytes_that_are_no_json_text_are_refused_from_stdin_and_file(dwf: Terminal, data: bytes) -> None:
    script, file = dwf.script(ANY), dwf.where / "input.json"
    file.write_bytes(data)
    dwf.start(WAITS, "one")
    for source, stdin in (("-", data), (f"@{file}", b"")):
        dwf.refuses(2, "start", script, "--input", source, stdin=stdin)
        dwf.refuses(2, "signal", "one", "go", source, stdin=stdin)


def test_json_that_is_no_object_is_no_input(dwf: Terminal) -> None:
    script = dwf.script(ANY)
    for text in ["1", "[]", '"value"', "null", "true"]:
        assert "object" in dwf.refuses(2, "start", script, "--input", text).error
    dwf.refuses(2, "start", script, "--input", '{"walue": 1}')
    dwf.refuses(2, "start", script, "--input", '{"": 1}')


def test_what_json_can_hold_comes_back_as_it_was(dwf: Terminal) -> None:
    value = {
        "": [],
        "deep": json.loads("[" * 90 + "]" * 90),
        "big": 10**300,
        "small": -(2**63) - 1,
        "float": 0.1,
        "text": "ä\u2028\0\x1b[31m\U0001f600\x7f",
        "$blob": {"sha256": "x"},
    }
    text = json.dumps({"value": value})
    assert dwf.typed("start", dwf.script(ANY), "--id", "one", "--input", text).code == 0
    dwf.tick()
    assert json.loads(dwf.typed("result", "one").out) == value
    assert dwf.history("one").read_bytes().isascii()
    assert dwf.typed("show", "one").is_clean().code == 0


@pytest.mark.parametrize("verb", ["start", "signal"])
def test_empty_stdin_or_file_is_refused(dwf: Terminal, verb: str) -> None:
    dwf.start(WAITS, "one")
    empty = dwf.where / "empty.json"
    empty.write_text("")
    blank = dwf.where / "blank.json"
    blank.write_text(" \n\t\n")
    words = ["start", dwf.script(ANY), "--input"] if verb == "start" else ["signal", "one", "go"]
    for source, stdin in [("-", b""), ("-", b" \n"), (f"@{empty}", b""), (f"@{blank}", b"")]:
        assert "empty" in dwf.refuses(2, *words, source, stdin=stdin).error


@pytest.mark.parametrize("verb", ["start", "signal"])
def test_a_file_of_input_that_cannot_be_used_is_refused_at_once(dwf: Terminal, verb: str) -> None:
    dwf.start(WAITS, "one")
    words = ["start", dwf.script(ANY), "--input"] if verb == "start" else ["signal", "one", "go"]
    fifo = dwf.where / "fifo"
    os.mkfifo(fifo)
    began = time.monotonic()
    dwf.refuses(4, *words, f"@{dwf.where}/none.json")
    for path in [fifo, dwf.where, "/dev/zero"]:
        answer = dwf.typed(*words, f"@{path}").is_clean()
        assert answer.code in (2, 77), answer
        assert str(path) in answer.error
    assert dwf.typed(*words, "@").is_clean().code in (2, 4)
    assert time.monotonic() - began < 5


def test_a_file_of_input_that_may_not_be_read_is_refused(dwf: Terminal) -> None:
    secret = dwf.where / "secret.json"
    secret.write_text("{}")
    secret.chmod(0)
    answer = dwf.refuses_process(77, "start", dwf.script(ANY), "--input", f"@{secret}", **powerless())
    assert str(secret) in answer.error


@pytest.mark.parametrize("verb", ["start", "signal"])
def test_stdin_that_is_a_terminal_is_refused_and_not_waited_for(dwf: Terminal, verb: str) -> None:
    dwf.start(WAITS, "one")
    words = ["start", dwf.script(ANY), "--input", "-"] if verb == "start" else ["signal", "one", "go", "-"]
    master, slave = pty.openpty()
    try:
        process = dwf.spawn(*words, stdin=slave)
        out, err = process.communicate(timeout=20)
    finally:
        os.close(master)
        os.close(slave)
    assert (process.returncode, out) == (2, b"")
    assert b"terminal" in err and err.startswith(b"error: ") and err.count(b"\n") == 2


@pytest.mark.parametrize("verb", ["start", "signal"])
def test_a_payload_over_the_limit_is_refused_with_limit_size_and_advice(dwf: Terminal, verb: str) -> None:
    """Fails when the size of a value is not looked at."""
    dwf.start(WAITS, "one")
    words = ["start", dwf.script(ANY), "--input"] if verb == "start" else ["signal", "one", "go"]
    large = json.dumps({"value": "x" * LIMIT}).encode()
    file = dwf.where / "large.json"
    file.write_bytes(large)
    for source, stdin in [("-", large), (f"@{file}", b""), (large.decode(), b"")]:
        answer = dwf.refuses(2, *words, source, stdin=stdin)
        assert f"{LIMIT:,}" in answer.error
        assert "path" in answer.hint
        assert len(answer.error) < 1000
    # Fits as it is typed, but not as it is stored: every letter becomes six.
    swollen = json.dumps({"value": "\x7f" * (LIMIT // 3)}, ensure_ascii=False).encode()
    assert f"{LIMIT:,}" in dwf.refuses(2, *words, "-", stdin=swollen).error


def test_endless_stdin_is_refused_and_not_read_to_its_end(dwf: Terminal) -> None:
    dwf.start(WAITS, "one")
    with open("/dev/zero", "rb") as zeros:
        process = dwf.spawn("signal", "one", "go", "-", stdin=zeros)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (2, b"")
    assert err.startswith(b"error: ")


def test_a_payload_just_under_the_limit_is_taken_and_comes_back(dwf: Terminal) -> None:
    value = "x" * (LIMIT - 100)
    dwf.start(WAITS, "one")
    assert dwf.typed("signal", "one", "go", "-", stdin=json.dumps(value).encode()).code == 0
    started = dwf.typed(
        "start", dwf.script(ANY), "--id", "two", "--input", "-", stdin=json.dumps({"value": value}).encode()
    )
    assert started.code == 0
    dwf.tick()
    for run in ("one", "two"):
        assert json.loads(dwf.typed("result", run).out) == value
        assert dwf.history(run).stat().st_size < 10 * KIB, "a large payload lies in the history"
        assert len(dwf.typed("show", run).out) < 10 * KIB
        assert dwf.typed("verify", run).code == 0


def test_signal_words_that_are_no_payload_are_refused(dwf: Terminal) -> None:
    dwf.start(WAITS, "one")
    for words in [["a", "b"], ["a=1", "a=2"], ["a=1", "b"], ["=1", "b=2"], ["a b=1", "c=2"], ["\x1b=1", "c=2"], [""]]:
        dwf.refuses(2, "signal", "one", "go", *words)

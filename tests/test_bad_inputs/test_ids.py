"""Run ids: one rule, asked before any path is built, by every verb that takes one."""

from __future__ import annotations

import subprocess

import pytest

from tests.test_bad_inputs.terminal import PLAIN, WAITS, Terminal

VERBS = [
    ("show",),
    ("history",),
    ("logs",),
    ("stack",),
    ("wait",),
    ("result",),
    ("verify",),
    ("signal", "go"),
    ("approve",),
    ("reject",),
    ("cancel", "-m", "why"),
    ("terminate", "-y", "-m", "why"),
    ("upgrade", "--to", "book.py"),
]
PATHS = [".", "..", "a/b", "../x", "../../etc/passwd", "/etc/x", "a\\b", "runs/x.jsonl", "x~2", "%2e%2e", "a b", "ä"]
UNSEEN = [
    "a\0b",
    "a\nb",
    "a\n",
    "\ta",
    "a\x1b[31mb",
    "a\x1b]52;c;eA==\x07",
    "\u202eabc",
    "a\u200bb",
    "\ufeffa",
    "a\udcffb",
]
LONGEST = "x" * 128


def say(verb: tuple[str, ...], run: str) -> list[str]:
    """`dwf VERB -- RUN ...`: the id is an argument whatever it begins with."""
    options = [word for word in verb[1:] if word != "go"]
    return [verb[0], *options, "--", run, *(["go"] if "go" in verb else [])]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_every_verb_refuses_an_id_that_is_none(dwf: Terminal, verb: tuple[str, ...]) -> None:
    dwf.start(WAITS, "other")
    for run in ["", *PATHS, *UNSEEN, "-x", "--", "-", ".hidden", "_x", "x" * 129, "x" * 10_000]:
        answer = dwf.refuses(2, *say(verb, run))
        assert "is not a run id" in answer.error
        assert "letters" in answer.hint
        assert len(answer.error) < 300


def test_start_refuses_an_id_that_is_none_and_makes_nothing(dwf: Terminal) -> None:
    script = dwf.script(PLAIN)
    for run in ["", *PATHS, *UNSEEN, "-x", "--", "-", ".hidden", "_x", "x" * 129, "x" * 10_000]:
        answer = dwf.refuses(2, "start", script, f"--id={run}")
        assert "is not a run id" in answer.error
    assert not dwf.home.exists() or not list((dwf.home / "runs").glob("*.jsonl"))
    for run in ["", ".", "../x", "a\nb", "x" * 129]:
        dwf.refuses(2, "run", script, f"--id={run}")


def test_what_cannot_be_seen_in_an_id_is_shown_escaped(dwf: Terminal) -> None:
    shown = dwf.refuses(2, "show", "a\x1b[31m\u202eb\u200bc\r\n").error
    assert r"a\x1b[31m\u202eb\u200bc\r\n" in shown


def test_the_bytes_of_an_id_that_are_no_text_are_shown_escaped(dwf: Terminal) -> None:
    answer = dwf.refuses_process(2, "show", b"caf\xe9")
    assert r"caf\udce9" in answer.error or r"caf\xe9" in answer.error


def test_an_id_that_looks_like_an_option_is_refused_with_a_hint(dwf: Terminal) -> None:
    script = dwf.script(PLAIN)
    for words in [("show", "-x"), ("signal", "--go", "name"), ("cancel", "-4711"), ("start", script, "--id", "-x")]:
        assert dwf.refuses(2, *words).hint


def test_an_id_of_128_characters_works_for_everything(dwf: Terminal) -> None:
    dwf.start(WAITS, LONGEST)
    dwf.tick()
    assert dwf.typed("show", LONGEST).code == 0
    assert dwf.typed("signal", LONGEST, "go", "1").code == 0
    dwf.tick()
    assert dwf.status(LONGEST) == "completed"
    again = dwf.typed("start", dwf.script(PLAIN), "--id", LONGEST, "--if-exists", "new")
    assert (again.code, again.out) == (0, LONGEST + "\n")
    dwf.tick()
    assert dwf.typed("result", LONGEST).out == "42\n"
    assert dwf.typed("logs", LONGEST).code == 0
    assert dwf.typed("verify").code == 0


def test_an_id_that_is_in_use_is_refused_unless_that_run_is_wanted(dwf: Terminal) -> None:
    script = dwf.script(PLAIN)
    first = dwf.typed("start", script, "n=1", "--id", "one")
    assert "in use" in dwf.refuses(9, "start", script, "n=1", "--id", "one").error
    again = dwf.typed("start", script, "n=1", "--id", "one", "--if-exists", "use")
    assert (again.code, again.out) == (0, first.out)
    assert len(dwf.events("one")) == 1


def test_the_same_input_in_another_order_is_the_same_input(dwf: Terminal) -> None:
    script = dwf.script("import dwf\n@dwf.workflow\nasync def two(a: int, b: int) -> int:\n    return a + b\n")
    dwf.typed("start", script, "a=1", "b=2", "--id", "one")
    again = dwf.typed("start", script, "b=2", "a=1", "--id", "one", "--if-exists", "use")
    assert (again.code, again.out) == (0, "one\n")


@pytest.mark.parametrize("more", [(), ("--if-exists", "use")], ids=["fail", "use"])
def test_an_id_that_is_in_use_for_something_else_is_refused_and_the_difference_told(
    dwf: Terminal, more: tuple[str, ...]
) -> None:
    script = dwf.script(PLAIN)
    dwf.typed("start", script, "n=1", "--id", "one")
    assert "input" in dwf.refuses(9, "start", script, "n=2", "--id", "one", *more).error
    other = dwf.script(WAITS, "other.py")
    assert "workflow (plain)" in dwf.refuses(9, "start", other, "--id", "one", *more).error


def test_of_many_starts_at_once_with_one_id_exactly_one_makes_the_run(dwf: Terminal) -> None:
    script = dwf.script(PLAIN)
    starts = [dwf.spawn("start", script, f"n={n}", "--id", "one") for n in range(6)]
    ends = [(start.communicate(timeout=60), start.returncode) for start in starts]
    assert sorted(code for _, code in ends) == [0, 9, 9, 9, 9, 9]
    assert all(out == (b"one\n" if code == 0 else b"") for (out, _), code in ends)
    assert len(dwf.events("one")) == 1
    winner = next(n for n, (_, code) in enumerate(ends) if code == 0)
    assert dwf.events("one")[0]["input"] == {"n": winner}


def test_of_many_starts_at_once_that_would_use_it_all_get_the_same_run(dwf: Terminal) -> None:
    script = dwf.script(PLAIN)
    words = ("start", script, "n=1", "--id", "one", "--if-exists", "use", "--json")
    starts = [dwf.spawn(*words, stderr=subprocess.DEVNULL) for _ in range(4)]
    outs = [start.communicate(timeout=60)[0] for start in starts]
    assert [start.returncode for start in starts] == [0] * 4
    import json

    documents = [json.loads(out) for out in outs]
    assert len({document["nonce"] for document in documents}) == 1
    assert sorted(document["created"] for document in documents) == [False, False, False, True]


def test_an_id_whose_name_is_another_run_s_is_in_use(dwf: Terminal) -> None:
    """As on a file system that does not tell A from a: the file is there, and it is not of this run."""
    dwf.driven(PLAIN, "ABC")
    dwf.history("abc").write_bytes(dwf.history("ABC").read_bytes())
    before = dwf.history("ABC").read_bytes()
    there = dwf.state()
    answer = dwf.typed("start", dwf.script(PLAIN), "--id", "abc").is_refusal(9)
    # The index may now hold a row for whatever has that name, so that a tick looks at it.
    changed = {path for path, seen in dwf.state().items() if there.get(path) != seen}
    assert all(path.startswith("index.sqlite") for path in changed)
    assert "in use, by another run" in answer.error and dwf.history("ABC").read_bytes() == before
    dwf.history("abc").unlink()

"""Hints: what is said to somebody who typed something wrong names what he probably meant."""

from __future__ import annotations

import pytest

from tests.cli.terminal import Terminal

BOOK = """
import dwf

@dwf.workflow
async def rotate(host: str, days: int = 30, share: float = 0.5, canary: bool = True) -> None:
    await dwf.wait_signal("go")
"""


@pytest.fixture
def book(dwf: Terminal) -> str:
    dwf.script.write_text(BOOK)
    return str(dwf.script)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--host", "web1"], "host=web1"),
        (["--host=web 1"], "host='web 1'"),
        (["--host"], "host=..."),
        (["--host", "--utc"], "host=..."),
        (["--no-canary"], "canary=no"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
@pytest.mark.parametrize("verb", ["start", "run"])
def test_an_option_that_is_a_parameter_is_told_as_one(
    dwf: Terminal, book: str, verb: str, words: list[str], meant: str
) -> None:
    for line in ([book, *words], [f"{book}:rotate", *words], [*words, "days=3", book]):
        said = dwf(verb, *line)
        assert said.code == 2 and f"without dashes: {meant}" in said.hint


def test_an_option_that_is_no_parameter_is_guessed_among_the_options(dwf: Terminal, book: str) -> None:
    assert dwf("start", book, "--tik").hint == "did you mean --tick?"
    assert dwf("start", "nowhere.py", "--host", "web1").code == 2
    assert dwf("list", book, "--days", "3").hint == "dwf list --help shows what it takes"


@pytest.mark.parametrize("word", ["HOST=web1", "hosts=web1", "Host="])
def test_a_parameter_that_is_nearly_right_is_named(dwf: Terminal, book: str, word: str) -> None:
    said = dwf("start", book, word)
    assert said.code == 2 and said.hint.startswith("did you mean host=? parameters: ")


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("days=", "days= is empty, and not an int"),
        ("share=", "share= is empty, and not a float"),
        ("days=soon", "days='soon' is not an int"),
        ("share=half", "share='half' is not a float"),
        ("share=1.5e400", "share='1.5e400' is not a float: Number out of range"),
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_is_told_once(dwf: Terminal, book: str, word: str, error: str) -> None:
    assert dwf("start", book, "host=web1", word).error == error


@pytest.mark.parametrize("words", [["serial"], ["{serial"], ["two", "words"], ["a=1", "b"]], ids=" ".join)
def test_a_payload_that_cannot_be_read_is_answered_with_how_signal_takes_it(
    dwf: Terminal, book: str, words: list[str]
) -> None:
    dwf("start", book, "host=web1", "--id", "r")
    said = dwf("signal", "r", "go", *words)
    assert said.code == 2 and said.error
    assert said.hint.startswith("dwf signal r go serial=3A:91, or ") and "host" not in said.hint


@pytest.mark.parametrize("words", [[], ["-y"], ["-m", "lost"], ["-y", "-m", "lost"]], ids=" ".join)
def test_what_is_over_cannot_be_terminated(dwf: Terminal, book: str, words: list[str]) -> None:
    dwf("start", book, "host=web1", "--id", "r")
    assert dwf("terminate", "r", "-y", "-m", "host is gone", "--tick").code == 0
    said = dwf("terminate", "r", *words)
    assert said.code == 7 and "terminated already" in said.error and "dwf show r" in said.hint


def test_a_blocked_run_is_told_with_its_id(dwf: Terminal, book: str) -> None:
    dwf.script.write_text(BOOK.replace('await dwf.wait_signal("go")', "{}['host']"))
    dwf("start", book, "host=web1", "--id", "r", "--tick")
    said = dwf("show", "r").out
    assert "dwf upgrade r --to" in said and "RUN" not in said


def test_a_place_that_is_named_and_not_there_is_no_empty_place(dwf: Terminal, book: str) -> None:
    """The default place may not be there yet; a name on the command line was meant."""
    elsewhere = str(dwf.directory / "hoem")
    for words in (["list"], ["inbox"], ["verify"], ["show", "r"], ["list", "--json"]):
        said = dwf(*words, "--home", elsewhere)
        assert said.code == 4 and elsewhere in said.err, words
    assert dwf("list").code == dwf("inbox").code == dwf("verify").code == 0
    assert dwf("tick", "--home", elsewhere).code == dwf("tick", "--home", elsewhere, "-v").code == 0

"""-l: the run that one has started last, wherever a run is expected."""

from __future__ import annotations

import pytest

from dwf.cli.app import load
from dwf.cli.catalog import VERBS
from tests.cli.terminal import Terminal


@pytest.mark.parametrize("option", ["-l", "--last"])
def test_it_is_the_run_that_was_started_last(dwf: Terminal, option: str) -> None:
    for run in ("b", "c", "a"):
        dwf.driven("quick", "--id", run, "n=4")
    assert dwf("show", option, "-o", "name").out == dwf("show", "-o", "name", option).out == "a\n"
    assert dwf("result", option).out == "8\n"
    assert dwf("wait", option).out == "a completed\n"
    assert dwf("verify", option).out.startswith("1 history checked")


def test_the_words_after_it_keep_their_meaning(dwf: Terminal) -> None:
    dwf.driven("shell", "--id", "a")
    assert "to stdout" in dwf("logs", "-l", "say something").out
    assert dwf("logs", "say something", "-l").out == dwf("logs", "a", "say something").out
    assert dwf("logs", "-l", "no such step").code == 4
    assert dwf("wait", "b", "-l").code == 4
    assert dwf("show", "a", "-l").code == 2, "one run is asked for, and two are given"


def test_what_others_have_started_is_not_meant(dwf: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    dwf.driven("quick", "--id", "mine")
    for number in range(7):
        dwf("start", f"{dwf.script}:quick", "--id", f"theirs-{number}", SUDO_USER="bela")
    assert dwf("show", "-l", "-o", "name").out == "mine\n"
    said = dwf("show", "-l", SUDO_USER="anna")
    assert said.code == 4 and "anna" in said.error and "started no run here" in said.error


def test_without_an_index_the_histories_say_it(dwf: Terminal) -> None:
    dwf.driven("quick", "--id", "b")
    dwf.driven("quick", "--id", "a")
    (dwf.home / "index.sqlite").unlink()
    assert dwf("show", "-l", "-o", "name").out == "a\n"


def test_where_nothing_was_started_there_is_no_last(dwf: Terminal) -> None:
    said = dwf("show", "-l")
    assert said.code == 4 and "there is no last run" in said.error


@pytest.mark.parametrize(
    "words",
    [
        ("cancel", "-l"),
        ("terminate", "-l", "-m", "lost", "-y"),
        ("approve", "-l"),
        ("signal", "-l", "go", "1"),
        ("step", "-l", "retry"),
        ("step", "retry", "-l"),
        ("upgrade", "-l", "--to", "x.py"),
    ],
    ids=" ".join,
)
def test_a_verb_that_changes_something_asks_first_and_needs_somebody_to_ask(
    dwf: Terminal, words: tuple[str, ...]
) -> None:
    dwf.driven("asks", "--id", "a")
    before = dwf.history("a").read_bytes()
    said = dwf(*words)
    assert said.code == 2 and "you started last is a, and there is nobody to ask" in said.error
    assert "whole id: a" in said.hint and dwf.history("a").read_bytes() == before


def test_every_verb_that_takes_a_run_takes_it_and_no_other() -> None:
    for verb in VERBS:
        command = load(verb)
        takes = any("RUN" in (p.metavar or "") and p.param_type_name == "argument" for p in command.params)
        if verb.name == "archive":
            continue  # what was started last is not what is put away
        assert ("--last" in {name for p in command.params for name in p.opts}) is takes, verb.name

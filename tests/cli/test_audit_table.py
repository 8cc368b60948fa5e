"""Verb by verb: what a person does is an event with who and why, and what he is refused is in the log of refusals.

A verb that changes something and stands in no table fails here: it has to say where its traces are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dwf.cli.catalog import VERBS
from dwf.cli.refusals import changes
from tests.cli.terminal import Terminal

WHY = "because of 4711"
# Verbs of which no run's history can tell.
OF_NO_RUN = {
    "worker": "it does what a tick does: people are behind neither",
    "adopt": "it binds the directory, and touches no run",
    "doctor": "what it mends is the engine's: a cut tail is HistoryRepaired, without a person",
}
# `export` only with --move, which ends a run here.
CHANGING = {verb.name for verb in VERBS if changes(verb)} - set(OF_NO_RUN) | {"export"}
Words = tuple[str, ...]
BOOK = """
import dwf

@dwf.activity(retry=dwf.Retry(initial="1h", jitter="none"))
def flaky() -> None:
    raise ValueError("not yet")

@dwf.workflow
async def rests() -> None:
    await flaky()

@dwf.activity
def off() -> None: ...

@dwf.workflow
async def sagas() -> None:
    async with dwf.saga() as saga:
        await saga.step(off(), undo=off())

@dwf.activity
def hand_out(token: str, where: str) -> None:
    with open(where, "w") as file:
        file.write(token)

@dwf.workflow
async def calls(where: str) -> None:
    job = dwf.callback("job")
    await hand_out(job.token, where)
    await job

@dwf.workflow
async def listens() -> None:
    dwf.on_update("limit", lambda to=0: to)
    await dwf.wait_signal("go")
"""


@pytest.fixture
def book(dwf: Terminal) -> Terminal:
    dwf.script.write_text(dwf.script.read_text() + BOOK)
    return dwf


def damaged(dwf: Terminal) -> str:
    run = dwf.driven("asks")
    dwf.damage(run)
    dwf("tick")
    return run


def bundle(dwf: Terminal, run: str) -> str:
    """A file with that run, moved; it is not here any more."""
    file = str(dwf.directory / "run.dwf")
    assert dwf("export", run, file, "--move", "-m", "x").code == 0
    return file


def elsewhere(dwf: Terminal, run: str) -> str:
    file = bundle(dwf, run)
    dwf.home.rename(dwf.directory / "old")
    return file


def stumbled(dwf: Terminal, *, mended: bool) -> Words:
    """A blocked run and the way to move it to a script that fits, or to one that does not."""
    run, other = dwf.driven("stumbles" if mended else "asks"), Path(dwf.directory / "other.py")
    text = dwf.script.read_text()
    text = text.replace('{}["host"]', "pass") if mended else text.replace('dwf.approve(f"Switch', 'dwf.approve(f"Do')
    other.write_text(text)
    return run, "--to", str(other)


# verb -> what to type, given a terminal, and what the audit calls it
DONE: dict[str, Callable[[Terminal], tuple[Words, str]]] = {
    "start": lambda dwf: ((f"{dwf.script}:waits", "--tick"), "start"),
    "run": lambda dwf: ((f"{dwf.script}:quick",), "start"),
    "approve": lambda dwf: ((dwf.driven("asks"), "--tick"), "approve"),
    "reject": lambda dwf: ((dwf.driven("asks"), "--tick"), "reject"),
    "signal": lambda dwf: ((dwf.driven("waits"), "go", "--tick"), "signal go"),
    "cancel": lambda dwf: ((dwf.driven("waits"), "--tick"), "cancel"),
    "terminate": lambda dwf: ((dwf.driven("waits"), "-y", "--tick"), "terminate"),
    "step": lambda dwf: (("complete", dwf.driven("rests"), "--tick"), "step complete"),
    "unblock": lambda dwf: ((dwf.driven("stumbles"), "--tick"), "unblock"),
    "pause": lambda dwf: ((dwf.driven("waits"), "--tick"), "pause"),
    "resume": lambda dwf: ((paused(dwf), "--tick"), "resume"),
    "repair": lambda dwf: ((damaged(dwf), "--truncate-at", "2", "--i-know"), "repair"),
    "upgrade": lambda dwf: (stumbled(dwf, mended=True), "upgrade"),
    "export": lambda dwf: ((dwf.driven("waits"), str(dwf.directory / "run.dwf"), "--move"), "export --move"),
    "import": lambda dwf: ((elsewhere(dwf, dwf.driven("waits")), "--resume"), "import --resume"),
    "archive": lambda dwf: ((dwf.driven("quick"), "-y"), "archive"),
    "undo": lambda dwf: ((dwf.driven("sagas"), "-y"), "undo"),
    "reset": lambda dwf: ((dwf.driven("fails"), "--from", "first"), "reset"),
    "fork": lambda dwf: ((dwf.driven("waits"), "--id", "beside"), "fork"),
    "timer": lambda dwf: (("fire", dwf.driven("sleeps"), "--tick"), "timer fire"),
}
# What can be said of a step, each with what it takes.
STEP_WORDS: dict[str, Words] = {
    "complete": (),
    "skip": ("--result", "null"),
    "fail": (),
    "retry": (),
    "pause": (),
    "reset": ("--keep",),
    "set": ("timeout=2h", "max_attempts=7"),
}
# verb -> what to type to be refused, and the exit code
REFUSED: dict[str, Callable[[Terminal], tuple[Words, int]]] = {
    "start": lambda dwf: ((f"{dwf.script}:quick", "--id", dwf.driven("waits")), 9),
    "run": lambda dwf: ((f"{dwf.script}:quick", "--id", dwf.driven("waits")), 9),
    "approve": lambda dwf: ((dwf.driven("quick"),), 7),
    "reject": lambda dwf: ((dwf.driven("quick"),), 7),
    "signal": lambda dwf: ((dwf.driven("quick"), "go"), 7),
    "cancel": lambda dwf: ((dwf.driven("quick"),), 7),
    "terminate": lambda dwf: ((dwf.driven("quick"), "-y"), 7),
    "step": lambda dwf: (("complete", dwf.driven("quick")), 7),
    "unblock": lambda dwf: ((dwf.driven("waits"),), 7),
    "pause": lambda dwf: ((paused(dwf),), 7),
    "resume": lambda dwf: ((dwf.driven("waits"),), 7),
    "repair": lambda dwf: ((dwf.driven("waits"), "--truncate-at", "2", "--i-know"), 7),
    "upgrade": lambda dwf: (stumbled(dwf, mended=False), 65),
    "update": lambda dwf: ((dwf.driven("quick"), "limit", "to=1"), 7),
    "complete": lambda dwf: ((used_token(dwf),), 7),
    "export": lambda dwf: ((dwf.driven("quick"), str(dwf.directory / "run.dwf"), "--move"), 7),
    "import": lambda dwf: ((copied(dwf, dwf.driven("waits")),), 9),
    "archive": lambda dwf: ((dwf.driven("waits"), "-y"), 7),
    "undo": lambda dwf: ((dwf.driven("waits"), "-y"), 7),
    "reset": lambda dwf: ((dwf.driven("waits"), "--from", "first"), 7),
    "fork": lambda dwf: ((dwf.driven("waits"), "--id", dwf.driven("waits")), 9),
    "timer": lambda dwf: (("fire", dwf.driven("waits")), 7),
    "retry": lambda dwf: ((dwf.driven("waits"), "--failed-items"), 7),
}
# An update is answered by a tick beside it: tests/engine/test_updates.py. What completes a callback is a token, which
# is known to a step only: tests/engine/test_callbacks.py. A retry starts a run, with who and why: test_again.py there.
DONE_ELSEWHERE = {"update", "complete", "retry"}


def used_token(dwf: Terminal) -> str:
    """The token of a callback that is over; the run has told it to a file."""
    run, file = "calls", dwf.directory / "token"
    assert dwf("start", f"{dwf.script}:calls", f"where={file}", "--id", run, "--tick").code == 0
    assert dwf("cancel", run, "--tick", "-m", "why").code == 0
    return file.read_text()


def paused(dwf: Terminal) -> str:
    run = dwf.driven("waits")
    assert dwf("pause", run, "--tick", "-m", "why").code == 0
    return run


def copied(dwf: Terminal, run: str) -> str:
    file = str(dwf.directory / "copy.dwf")
    assert dwf("export", run, file).code == 0
    return file


def acts(dwf: Terminal) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(dwf("audit", "--json").out)["acts"]
    return found


def test_every_verb_that_changes_something_is_in_the_tables() -> None:
    assert set(DONE) | DONE_ELSEWHERE == CHANGING
    assert set(REFUSED) == CHANGING
    assert not set(OF_NO_RUN) - {verb.name for verb in VERBS}


@pytest.mark.parametrize("verb", sorted(DONE))
def test_what_was_done_is_recorded_with_who_and_why(book: Terminal, verb: str) -> None:
    words, what = DONE[verb](book)
    said = book(verb, *words, "-m", WHY)
    assert said.code in (0, 1, 3, 5, 6), said.err  # what became of the run is another question
    (act,) = [act for act in acts(book) if act["reason"] == WHY]
    assert (act["what"], act["outcome"], act["by"]["uid"]) == (what, "done", os.geteuid())


@pytest.mark.parametrize("act", STEP_WORDS)
def test_each_word_on_a_step_is_recorded_as_that(book: Terminal, act: str) -> None:
    said = book("step", act, book.driven("rests"), *STEP_WORDS[act], "-m", WHY, "--tick")
    assert said.code in (0, 1, 3, 5, 6), said.err
    (found,) = [found for found in acts(book) if found["reason"] == WHY]
    assert (found["what"], found["outcome"], found["by"]["uid"]) == (f"step {act}", "done", os.geteuid())


def test_a_paused_step_says_what_to_type_and_goes_on_by_it(book: Terminal) -> None:
    run = book.driven("rests")
    assert book("step", "pause", run, "-m", "disk full", "--tick").code == 0
    assert "PAUSED" in book("inbox").out
    shown = book("show", run).out
    assert "paused by" in shown and f"dwf step unpause {run} 1" in shown and "disk full" in shown
    assert book("step", "unpause", run, "1", "-m", WHY).code == 0
    assert book("tick").code == 0
    (found,) = [found for found in acts(book) if found["reason"] == WHY]
    assert found["what"] == "step unpause"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("pause", "RUN", "timeout=2h"), 2, "does not go with pause"),
        (("set", "RUN"), 2, "what is to be set?"),
        (("set", "RUN", "timeout=never"), 2, "timeout"),
        (("set", "RUN", "args=1"), 2, "is no option that can be set"),
        (("unpause", "RUN"), 7, "no open step that is paused"),
        (("reset", "RUN", "other"), 2, "other"),
        (("retry", "RUN", "--keep"), 2, "--keep does not go with retry"),
        (("fail", "RUN", "--result", "1"), 2, "only complete and skip"),
        (("stop", "RUN"), 2, "there is no decision"),
    ],
)
def test_what_cannot_be_said_of_a_step_gets_one_clear_line(book: Terminal, words: Words, code: int, says: str) -> None:
    run = book.driven("rests")
    told = book("step", *(run if word == "RUN" else word for word in words), "-m", WHY)
    assert told.code == code and says in told.err, told.err
    assert book("tick").code == 0


@pytest.mark.parametrize("verb", sorted(REFUSED))
def test_what_was_refused_is_written_down_with_who_and_why(book: Terminal, verb: str) -> None:
    words, code = REFUSED[verb](book)
    told = book(verb, *words, *(("-m", WHY) if verb not in DONE_ELSEWHERE else ()))
    assert told.code == code, told.err
    (act,) = [act for act in acts(book) if act["outcome"] == "refused"]
    assert (act["what"], act["by"]["uid"]) == (verb, os.geteuid()) and f"({code})" in act["why"]
    assert act["reason"] == (WHY if verb not in DONE_ELSEWHERE else "")


def test_a_copy_of_a_run_that_is_refused_is_nobody_s_business(book: Terminal) -> None:
    run = book.driven("waits")
    assert book("export", run, copied(book, run)).code == 9
    assert not [act for act in acts(book) if act["outcome"] == "refused"]


def test_of_several_each_that_is_refused_is_written_down(book: Terminal) -> None:
    """The others go on, and the exit code is of all: the log says which."""
    one, other = book.driven("quick"), book.driven("waits")
    mended = Path(book.directory / "other.py")
    mended.write_text(book.script.read_text() + "# more")
    assert book("upgrade", one, other, "--to", str(mended), "-m", WHY).code == 7
    (act,) = [act for act in acts(book) if act["outcome"] == "refused"]
    assert act["what"] == "upgrade" and one in act["why"] and act["reason"] == WHY

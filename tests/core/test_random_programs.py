"""Random programs under random events: a history cut anywhere goes on as if nothing had happened.

DWF_SEED=... repeats a search; without it each run looks in a new place. What fails is named by its seed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from multiprocessing import get_context
from random import SystemRandom

import pytest

from tests.core import make_corpus
from tests.core.gambler import Game

BASE = os.environ.get("DWF_SEED") or str(SystemRandom().randrange(10**9))
_SECONDS = 3
_FEWEST = 40
# Seeds of programs in which several signals of a name are kept: they notice when these are handed out otherwise.
_KEPT = ("kept:7", "kept:9", "kept:22", "kept:62")


def prove(seed: str) -> str:
    """Play one program and prove every prefix of its history. What is wrong, in words; empty if nothing."""
    game = Game(seed)
    try:
        game.play().prove()
        game.prove_block()
    except BaseException as error:
        return f"DWF_SEED={seed.split(':')[0]}, program {seed!r}: {type(error).__name__}: {error}"[:2000]
    return ""


def test_every_prefix_of_a_random_history_goes_on_the_same(record_property: pytest.Function) -> None:
    """Fails when kept signals are handed out in another order in a replay than live."""
    record_property("seed", BASE)  # type: ignore[operator]
    print(f"DWF_SEED={BASE}")
    for seed in _KEPT:
        wrong = prove(seed)
        assert not wrong, wrong
    until, number = time.monotonic() + _SECONDS, 0
    while number < _FEWEST or time.monotonic() < until:
        wrong = prove(f"{BASE}:{number}")
        assert not wrong, wrong
        number += 1


@pytest.mark.long
def test_ten_thousand_programs() -> None:
    print(f"DWF_SEED={BASE}")
    # Each fifty in a process of their own: what will not end when it is closed is kept for good, and slows the rest.
    with get_context("fork").Pool(maxtasksperchild=1) as pool:
        found = [w for w in pool.imap_unordered(prove, (f"{BASE}:{n}" for n in range(10_000)), chunksize=50) if w]
    assert not found, "\n".join(found[:10])


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("programs", [150, pytest.param(2_000, marks=pytest.mark.long)], ids=["some", "many"])
def test_an_edited_program_fits_or_it_is_said_where_it_does_not(programs: int) -> None:
    """Fails when a history and a script part in a way that nobody has thought of: an internal error, or a hang."""
    print(f"DWF_SEED={BASE}")
    for number in range(programs):
        game = Game(f"{BASE}:edit:{number}").play()
        for _ in range(4):
            game.prove_edit()


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)], ids=["some", "all"])
def test_programs_of_the_corpus_do_what_they_did_on_the_oldest_python(every: int) -> None:
    digests = json.loads(make_corpus.FILE.read_text(encoding="ascii"))["digests"]
    assert len(digests) == make_corpus.SIZE
    numbers = range(0, make_corpus.SIZE, every)
    assert [number for number in numbers if make_corpus.digest(number) != digests[number]] == []


@pytest.mark.parametrize("hash_seed", ["0", "1", "4294967295", "random"])
def test_the_hash_seed_of_the_process_changes_nothing(hash_seed: str) -> None:
    digests = json.loads(make_corpus.FILE.read_text(encoding="ascii"))["digests"]
    command = [sys.executable, "-m", "tests.core.make_corpus", "0", "60"]
    environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
    printed = subprocess.run(command, env=environ, check=True, capture_output=True, timeout=120).stdout
    assert json.loads(printed) == digests[:60]

"""The kit has teeth: each sync and each rule is taken out of dwf, and the simulation must notice.

Seeds that are known to notice are tried first; when code moves and they do not any more, others are searched. What two
faults in a row are needed for is told as a scenario of its own, so that it need not be found by chance.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dwf.core import messages as mail
from dwf.core.events import Payload
from dwf.core.messages import Message
from dwf.errors import DwfError
from dwf.store.room import Store
from tests.faults.rules import RULES
from tests.faults.simulation import FATES, Simulation
from tests.faults.sites import sites
from tests.faults.tally import Tally
from tests.faults.world import SimDisk
from tests.promises.syncs import MISSED_BY

_MOST_SEEDS = 150

# A sync, by the function that asks for it -> a seed that notices when it is left out.
BITTEN_BY = {
    "content.Content.put": 2,
    "content.Content._put": 0,
    "creation.Intent.sync": 0,
    "creation._create_batch": 0,
    "history.History.commit": 0,
    "mailbox.Mailbox._deliver": 0,
    "mailbox.Mailbox.sync_new": 0,
    "mailbox.Mailbox.to_late": 2,
}
# Two faults in a row: see `two_faults`.
BITTEN_BY_SCENARIO = {"history.History._make_durable"}
_TWICE = "a second sync of the same thing follows before anybody acts on it or is answered: "
_FOR_PEOPLE = "it protects a copy of bytes that nobody was ever told of; people may want to look at them"
# Of these the simulation does not notice that one is left out, and why not. Tests of their own do: tests/promises.
HARMLESS = {
    "creation._recover_batch": _TWICE + "the drive that follows syncs the directory of a history that has only begun",
    "history.History._make_name_durable": _TWICE
    + "whoever leads a drive to a new run (an intent, a rebuild) has synced before",
    "reading.believe_history": _TWICE + "a message stays in the mailbox until the history that holds it was synced",
    "reading.believe_history/2": _TWICE + "a start that finds its id in use has synced the directory",
    "creation._conflict": _TWICE + "believe_history syncs what was found, before `start` answers",
    "creation.sync_if_new": _TWICE + "a drive syncs the directory of a history that has only begun",
    "rebuild._fill": _TWICE + "rows speak of this boot only, and a drive syncs what it believes",
    "mailbox.Mailbox._sync": "who posts through dwf has synced; it is for files that a person has dropped",
    "mend.Mend.keep": _FOR_PEOPLE,
    "mend.Mend._write": _FOR_PEOPLE,
    "mend.Mend._write/2": _FOR_PEOPLE,
}
# A rule -> a seed that notices when it is broken, and what goes wrong in it.
RULES_BITTEN_BY: dict[str, tuple[int, Sequence[str]]] = {
    "a torn tail is cut off before anything is appended": (0, ("tear",)),
    "a message that the history has is not taken up again": (6, FATES),
    "that a step begins is on disk before it acts": (0, FATES),
    "a message stays in the mailbox until the history has it": (4, FATES),
    "what came after the end is kept": (2, FATES),
}
# Whoever wakes a run has posted something first, and a message in the mailbox makes its run due by itself.
RULES_HARMLESS = {"who was woken meanwhile looks again"}
RULES_BITTEN_BY_SCENARIO = {"a run is marked as due before it is worked on"}


def noticed(play: Callable[[int], None], first: int) -> int | None:
    """The seed that notices; None if none does."""
    for seed in [first, *(seed for seed in range(_MOST_SEEDS) if seed != first)]:
        try:
            play(seed)
        except (AssertionError, DwfError):
            return seed
    return None


def play(ram: Path, seed: int, *, without: str = "", fates: Sequence[str] = FATES) -> None:
    Simulation(ram / f"{seed}-{len(os.listdir(ram))}", seed, without=without, fates=fates).play()  # noqa: PTH208


def two_faults(ram: Path, tally: Tally | None = None, *, without: str = "") -> None:
    """A sender dies after posting, and so does the tick that takes the message up, at each of its calls in turn.

    A second tick goes on; then no power cut may take anything, and the run comes to rest and to its end.
    """
    for waits in (1, 2):
        for number in range(1, 45):
            counted = tally.trying("scenario: two faults in a row") if tally else nullcontext()
            with counted:
                _two_faults(ram / f"{waits}-{number}", waits, number, without)


def _two_faults(path: Path, waits: int, number: int, without: str) -> None:
    simulation = Simulation(path, number, without=without)
    with simulation.world.entered():
        plain = partial(simulation._do, faulty=False)
        then: list[object] = ["work", "r0.1", 0] if waits == 1 else ["signal", "b"]
        parts = [["signal", "a"], then]
        plain("start", simulation._start("r0", parts, "fail"))
        plain("tick", simulation._tick)
        plain("post", lambda store: _post_and_die(simulation, store))
        disk = SimDisk(simulation.world)
        disk.crash_at(number)
        simulation._process(simulation._tick, disk, allowed=False)
        plain("tick", simulation._tick)
        simulation._check_at_rest()
        simulation._come_to_an_end()


def _post_and_die(simulation: Simulation, store: Store) -> None:
    message = store.mailbox.post(Message(id="", run="r0", kind=mail.SIGNAL, name="a", payload=Payload(b"1")))
    simulation.invariants.accepted(message, "r0")


def test_two_faults_in_a_row_are_survived(ram: Path, tally: Tally) -> None:
    """Fails when the record of it is acted upon and not synced: a power cut takes it, and the step runs again."""
    two_faults(ram, tally)


@pytest.mark.parametrize("site", BITTEN_BY)
def test_a_sync_that_is_left_out_is_noticed(ram: Path, site: str, tally: Tally) -> None:
    with tally.trying("teeth: syncs left out, and noticed"):
        assert noticed(lambda seed: play(ram, seed, without=site), BITTEN_BY[site]) is not None


@pytest.mark.parametrize("site", sorted(BITTEN_BY_SCENARIO))
def test_a_sync_that_is_left_out_is_noticed_by_the_scenario(ram: Path, site: str, tally: Tally) -> None:
    with tally.trying("teeth: syncs left out, and noticed"), pytest.raises((AssertionError, DwfError)):
        two_faults(ram, without=site)


@pytest.mark.parametrize("rule", RULES_BITTEN_BY)
def test_a_rule_that_is_broken_is_noticed(ram: Path, rule: str, tally: Tally) -> None:
    first, fates = RULES_BITTEN_BY[rule]
    with tally.trying("teeth: rules broken, and noticed"), broken(rule):
        assert noticed(lambda seed: play(ram, seed, fates=fates), first) is not None


@pytest.mark.parametrize("rule", sorted(RULES_BITTEN_BY_SCENARIO))
def test_a_rule_that_is_broken_is_noticed_by_the_scenario(ram: Path, rule: str, tally: Tally) -> None:
    with tally.trying("teeth: rules broken, and noticed"), broken(rule), pytest.raises((AssertionError, DwfError)):
        two_faults(ram)


def broken(rule: str) -> AbstractContextManager[Any]:
    found: AbstractContextManager[Any] = RULES[rule]()
    return found


def test_every_sync_of_the_store_is_in_one_of_the_tables() -> None:
    known = {*BITTEN_BY, *BITTEN_BY_SCENARIO, *MISSED_BY}
    there = set(sites().values())
    assert there - known == set(), "if it is left out a seed has to notice, or a test of its own"
    assert known - there == set(), "these are there no more"
    assert set(HARMLESS) <= set(MISSED_BY)
    assert set(RULES) == {*RULES_BITTEN_BY, *RULES_BITTEN_BY_SCENARIO, *RULES_HARMLESS}


@pytest.mark.long
@pytest.mark.parametrize("site", HARMLESS)
def test_a_sync_that_is_said_to_be_harmless_is(ram: Path, site: str, tally: Tally) -> None:
    with tally.trying("teeth: harmless syncs left out, seeds", _MOST_SEEDS):
        assert noticed(lambda seed: play(ram, seed, without=site), 0) is None


@pytest.mark.long
@pytest.mark.parametrize("rule", sorted(RULES_HARMLESS))
def test_a_rule_that_is_said_to_be_made_sure_of_twice_is(ram: Path, rule: str) -> None:
    with broken(rule):
        assert noticed(lambda seed: play(ram, seed, fates=("meet",)), 0) is None

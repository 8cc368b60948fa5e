"""Real processes once more: `dwf step` and `dwf cancel` killed at their calls, and every command with calls that fail.

What fails says so in one line and with the right exit code, and what it has not said to be done is done by the next.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from tests.engine.house import House
from tests.faults.killing import Ended, Point, command, failing_at, killed_at, points, why_not
from tests.faults.tally import Tally
from tests.faults.test_kills import ACTS, KilledStory

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
_SAMPLE_SECONDS = 3.0
_CODES = ("ENOSPC", "EIO", "EROFS", "EMFILE", "EACCES", "EDQUOT")
# Failing for ever, these would keep Python itself from its modules.
_ALSO_PYTHONS = ("openat", "flock", "clone", "clone3", "vfork")
# The disk (74), permission (77), could not be made (73), and a state that says no by then (7).
_EXITS = (0, 7, 73, 74, 77)
RESTS = """
@dwf.activity(retry=dwf.Retry(initial="1h"))
def work() -> str:
    note("tried")
    raise OSError("not yet")

@dwf.workflow
async def main():
    return await work()
"""


class Decided:
    """A run that rests, and a word from a person that ends it."""

    def __init__(self, path: Path, verb: str) -> None:
        path.mkdir(parents=True)
        self.house = House(path)
        self.house.go(RESTS)
        self.house.store.index.close()
        self.verb = verb
        step = ["step", "complete", "r1", "--result", '"by hand"', "-m", "seen to"]
        self.words = command(*step) if verb == "step" else command("cancel", "r1", "-m", "enough")

    def end(self, ended: Ended) -> None:
        """Whatever became of the command: by its word, or once more, the run comes to its end, once."""
        assert "Traceback" not in ended.err, ended
        self.house.reopen()
        accepted = ended.code == 0 or bool(ended.out.strip())
        assert not accepted or len(self.house.mail()) == 1, f"it was accepted, and is not there: {ended}"
        self.house.tick()
        if self.house.state().ended is None:
            assert not accepted
            again = killed_at(self.words, self.house.store.layout.home, Point("write", 60_000))
            assert again.code == 0, again
            self.house.reopen()
            self.house.tick()
        if self.verb == "step":
            assert self.house.status() is Status.COMPLETED and self.house.result() == "by hand"
            assert len(self.house.all(ev.ActivityCompleted)) == 1
        else:
            assert self.house.status() is Status.CANCELLED and len(self.house.all(ev.CancelRequested)) == 1
        assert self.house.counted()["tried"] == 1 and self.house.mail() == []
        self.house.clock.advance("2d")
        self.house.tick()
        self.house.check()


def chosen(known: list[Point], seed: str, seconds: float | None) -> list[Point]:
    """All points in some order; the caller stops when its time is up."""
    found = known[:]
    random.Random(seed).shuffle(found)
    return found


@pytest.mark.parametrize("seconds", [_SAMPLE_SECONDS, pytest.param(None, marks=pytest.mark.long)], ids=["some", "all"])
@pytest.mark.parametrize("verb", ["step", "cancel"])
def test_a_word_from_a_person_is_killed_at_its_calls(ram: Path, verb: str, seconds: float | None, tally: Tally) -> None:
    whole = Decided(ram / "whole", verb)
    known = points(whole.words, whole.house.store.layout.home)
    until = time.monotonic() + (seconds or 3600)
    for number, point in enumerate(chosen(known, verb, seconds)):
        if time.monotonic() > until:
            break
        with tally.trying("processes: SIGKILL at a call to the kernel"):
            one = Decided(ram / str(number), verb)
            ended = killed_at(one.words, one.house.store.layout.home, point, tree=True)
            try:
                assert ended.killed or ended.code == 0, ended
                one.end(ended)
            except BaseException as error:
                error.add_note(f"killed at {point}: {ended}")
                raise


@pytest.mark.parametrize("seconds", [_SAMPLE_SECONDS, pytest.param(None, marks=pytest.mark.long)], ids=["some", "all"])
@pytest.mark.parametrize("act", ACTS)
def test_a_call_of_a_command_fails(ram: Path, act: str, seconds: float | None, tally: Tally) -> None:
    whole = KilledStory(ram / "whole")
    whole.play_until(ACTS[act])
    known = points(whole.words(ACTS[act]), whole.house.store.layout.home)
    known = [point for point in known if point.call not in ("flock", "clone", "clone3", "vfork")]
    until = time.monotonic() + (seconds or 3600)
    chance = random.Random(act)
    for number, point in enumerate(chosen(known, act, seconds)):
        if time.monotonic() > until:
            break
        code, forever = chance.choice(_CODES), point.call not in _ALSO_PYTHONS and chance.random() < 0.5
        with tally.trying("processes: errno at a call to the kernel"):
            fail_once(ram / str(number), ACTS[act], point, code, forever)


def fail_once(path: Path, act: int, point: Point, code: str, forever: bool) -> None:
    story = KilledStory(path)
    story.play_until(act)
    ended = failing_at(story.words(act), story.house.store.layout.home, point, code, forever=forever)
    try:
        assert ended.code in _EXITS and "Traceback" not in ended.err, ended
        story.acknowledged(act, ended)
        story.play_after(act)
    except BaseException as error:
        error.add_note(f"{code} {'from' if forever else 'at'} {point}: {ended}; see {path}")
        raise

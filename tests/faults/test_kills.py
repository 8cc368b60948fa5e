"""Real processes, really killed: `dwf start`, `tick`, `signal` and `approve` by SIGKILL at their calls to the kernel.

After each kill plain ticks put things right: nothing that was acknowledged is lost, no step that is recorded runs
again, histories are whole, and the run comes to the same end, once. All points with `-m long`, a sample otherwise.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.errors import NotFound
from tests.engine.house import House
from tests.engine.story import Story
from tests.faults.killing import Ended, Point, command, killed_at, points, why_not
from tests.faults.tally import Tally

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
_SAMPLE_SECONDS = 3.0
# Which act of the story is done by a real command. Before it come the acts before it.
START, TICK_STEPS, SIGNAL, TICK_SIGNAL, APPROVE, TICK_END = range(6)


class KilledStory(Story):
    """The story, with one of its acts done by a command that is killed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, real_clock=True)

    def words(self, act: int) -> list[str]:
        given = str(self.house.path / "input.json")
        Path(given).write_text('{"text": "' + "x" * 300_000 + '"}')
        return {
            START: command("start", str(self.house.path / "book.py"), "--id", "r1", "--input", f"@{given}"),
            TICK_STEPS: command("tick"),
            SIGNAL: command("signal", "r1", "go", '{"n":1}', "--key", "once"),
            TICK_SIGNAL: command("tick"),
            APPROVE: command("approve", "r1", "-m", "fine"),
            TICK_END: command("tick"),
        }[act]

    def play_until(self, act: int) -> None:
        for before in self.acts[:act]:
            before()
        self.house.store.index.close()

    def acknowledged(self, act: int, ended: Ended) -> None:
        """What the killed command had told somebody must be there: at once, not only after a tick."""
        told = ended.out.strip()
        if act == START and told:
            assert told == "r1" and self.house.kinds()[0] == "WorkflowStarted"
        elif told and act in (SIGNAL, APPROVE):
            assert len(self.house.mail()) == 1
            self._told.add("SignalReceived" if act == SIGNAL else "ApprovalAnswered")

    def play_after(self, act: int) -> None:
        self.house.reopen()
        self.note_recorded()
        self.settle()
        self.note_recorded()
        for rest in self.acts[act:]:
            rest()
            self.note_recorded()
        self.settle()
        self.check()

    def settle(self) -> None:
        """Plain ticks, until there is nothing to do."""
        for _ in range(20):
            if not self.house.tick().driven and not self._naps():
                return
        raise AssertionError("it does not come to rest")

    def _naps(self) -> bool:
        try:
            due = self.house.state().next_due_us()
        except NotFound:
            return False
        soon = due is not None and due < self.house.clock() + 1_000_000
        if soon:
            time.sleep(0.02)
        return soon


def kill_all(ram: Path, act: int, seconds: float | None, tally: Tally) -> tuple[int, int]:
    """Kill the act's command at every point, or at some for that long; how many kills there were, and points in all."""
    undisturbed = KilledStory(ram / "whole")
    undisturbed.play_until(act)
    known = points(undisturbed.words(act), undisturbed.house.store.layout.home)
    undisturbed.play_after(act + 1)
    chosen = known[:]
    random.Random(act).shuffle(chosen)
    until = None if seconds is None else time.monotonic() + seconds
    kills = 0
    for number, point in enumerate(chosen):
        if until is not None and time.monotonic() > until:
            break
        with tally.trying("processes: SIGKILL at a call to the kernel"):
            kills += kill_once(ram / str(number), act, point)
    return kills, len(known)


def kill_once(path: Path, act: int, point: Point) -> bool:
    story = KilledStory(path)
    story.play_until(act)
    # Of a step, the process may live on, or die as well.
    tree = bool(point.number % 2)
    ended = killed_at(story.words(act), story.house.store.layout.home, point, tree=tree)
    try:
        assert ended.killed or ended.code == 0, ended
        story.acknowledged(act, ended)
        story.play_after(act)
    except BaseException as error:
        error.add_note(f"killed at {point}: {ended}; see {path}")
        raise
    return ended.killed


ACTS = {
    "start": START,
    "tick through the steps": TICK_STEPS,
    "signal": SIGNAL,
    "tick that takes up a signal": TICK_SIGNAL,
    "approve": APPROVE,
    "tick to the end": TICK_END,
}


@pytest.mark.parametrize("act", ACTS)
def test_a_command_that_is_killed_at_any_of_its_calls(ram: Path, act: str, tally: Tally) -> None:
    kills, _ = kill_all(ram, ACTS[act], _SAMPLE_SECONDS, tally)
    assert kills


@pytest.mark.long
@pytest.mark.parametrize("act", ACTS)
def test_a_command_that_is_killed_at_each_of_its_calls(ram: Path, act: str, tally: Tally) -> None:
    kills, known = kill_all(ram, ACTS[act], None, tally)
    assert kills > known * 0.8


def test_a_start_that_is_killed_between_its_file_and_its_row_is_finished_by_the_next_tick(ram: Path) -> None:
    house = House(ram)
    path = house.script("@dwf.workflow\nasync def main():\n    return await dwf.wait_signal('go')\n")
    house.start(path, "other")
    house.tick()
    assert house.store.index.trusted()
    house.store.index.close()
    words = command("start", path, "--id", "r1")
    # The first write into the index, or into its journal, is the row's.
    ended = killed_at(words, house.store.layout.home, Point("pwrite64", 1))
    assert ended.killed and not ended.out
    house.reopen()
    assert house.kinds() == ["WorkflowStarted"] and house.store.index.row("r1") is None
    assert os.listdir(house.store.layout.intents)  # noqa: PTH208
    assert house.tick().driven == 1
    assert house.kinds()[-1] == "SignalWaitOpened" and house.store.index.row("r1") is not None
    house.check()


def test_the_story_is_the_same_when_real_commands_tell_it(ram: Path) -> None:
    story = KilledStory(ram)
    for act in range(len(story.acts)):
        ended = killed_at(story.words(act), story.house.store.layout.home, Point("write", 60_000))
        assert ended.code == 0 and not ended.killed, ended
        story.house.reopen()
    story.play_after(len(story.acts))
    assert all(event.attempt <= 2 for event in story.house.all(ev.ActivityStarted))

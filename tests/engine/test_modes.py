"""The same stories in three modes: as they are, replayed from the top after every batch, and dying after every batch.

What a run comes to must not depend on how often its process died, nor on how often it was replayed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dwf.core import events as ev
from dwf.core.replay import Replay
from dwf.engine.journal import Journal
from dwf.store.history import read_history
from tests.engine.dying import Died
from tests.engine.house import House, until

MODES = ("normal", "paranoid", "dying")
_COMMIT = Journal.commit
_BEGINNING = """
@dwf.activity(retry=dwf.Retry(max_attempts=20, initial=0))
def step(n: int) -> int:
    return n

@dwf.activity(retry=dwf.Retry(non_retryable=(ValueError,)))
def breaks() -> None:
    raise ValueError("no")

@dwf.workflow
async def child(n: int) -> int:
    return await step(n) + 1
"""


@dataclass(frozen=True)
class Story:
    """A workflow's body, what is done to it whenever nothing moves any more, and what it comes to."""

    body: str
    result: Any
    acts: tuple[tuple[Any, ...], ...] = ()


STORIES = {
    "steps": Story("return [await step(n) for n in range(4)]", [0, 1, 2, 3]),
    "gather": Story("return await asyncio.gather(*(step(n) for n in range(5)))", [0, 1, 2, 3, 4]),
    "timer": Story('await dwf.sleep("1h")\nreturn await step(1)', 1, (("advance", "2h"),)),
    "timeout": Story(
        'try:\n    async with asyncio.timeout(60):\n        await dwf.wait_signal("never")\n'
        "except TimeoutError:\n    return await step(7)",
        7,
        (("advance", "5m"),),
    ),
    "signals": Story(
        'return [await dwf.wait_signal("go"), await step(2), await dwf.wait_signal("go")]',
        ["a", 2, "b"],
        (("signal", "go", "a"), ("signal", "go", "b")),
    ),
    "handler": Story(
        'seen = []\ndwf.on_signal("add", seen.append)\nawait dwf.wait_until(lambda: len(seen) == 2)\nreturn seen',
        [1, 2],
        (("signal", "add", 1), ("signal", "add", 2)),
    ),
    "approval": Story('return [(await dwf.approve("Go?")).comment, await step(1)]', ["fine", 1], (("answer", True),)),
    "failure": Story(
        "try:\n    await breaks()\nexcept dwf.ActivityError as e:\n    return [e.reason, await step(3)]", ["no", 3]
    ),
    "child": Story("return [await child(1), await child(5)]", [2, 6]),
    "children": Story("return await asyncio.gather(*(child(n) for n in range(4)))", [1, 2, 3, 4]),
    "message": Story(
        'c = dwf.start_child(listens)\nawait c.signal("go", "hello")\nreturn await c',
        "hello",
    ),
    "once": Story('a = dwf.once(lambda: 5)\nb = await step(a)\nreturn [a, b, str(dwf.uuid4()) != ""]', [5, 5, True]),
    "saga": Story(
        "try:\n    async with dwf.saga() as saga:\n        await saga.step(step(1), undo=step(-1))\n"
        "        await saga.step(step(2), undo=step(-2))\n        await breaks()\n"
        "except dwf.ActivityError as e:\n    return e.reason",
        "no",
    ),
    "map": Story("return [r.value for r in await dwf.map(step, range(6), max_concurrent=2)]", [0, 1, 2, 3, 4, 5]),
    "chain": Story("await step(n)\nif n < 3:\n    return dwf.continue_as_new(n=n + 1)\nreturn n", 3),
    "cancelled": Story(
        't = asyncio.create_task(dwf.wait_signal("never"))\nawait dwf.wait_signal("stop")\nt.cancel()\n'
        "try:\n    await t\nexcept asyncio.CancelledError:\n    return await step(9)",
        9,
        (("signal", "stop", None),),
    ),
}


def script_of(story: Story) -> str:
    body = "\n".join("    " + line for line in story.body.splitlines())
    listens = '@dwf.workflow\nasync def listens() -> str:\n    return await dwf.wait_signal("go")\n'
    return f"{_BEGINNING}\n{listens}\n@dwf.workflow\nasync def main(n: int = 0):\n{body}\n"


@pytest.fixture
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    chosen: str = request.param
    commits: dict[str, Callable[[Journal], None]] = {"paranoid": _replayed_again, "dying": _deadly}
    if chosen in commits:
        monkeypatch.setattr(Journal, "commit", commits[chosen])
    yield chosen


def _replayed_again(journal: Journal) -> None:
    """After the batch: the whole history from the top asks for nothing else than it did."""
    _COMMIT(journal)
    if journal.blocked or journal.loaded is None or journal.state.ended is not None:
        return
    events = read_history(journal.history.path).events
    started = events[0]
    assert isinstance(started, ev.WorkflowStarted)
    openings = [event for event in events if isinstance(event, ev.Opening)]
    again = Replay(
        journal.loaded.script.program(started.workflow), started, openings, journal._engine.store.blobs.fetch
    )
    try:
        assert again.apply(events) == []
        assert again.outcome == journal.replay.outcome
        assert sorted(again.commands.open_numbers()) == sorted(journal.replay.commands.open_numbers())
    finally:
        again.close()


def _deadly(journal: Journal) -> None:
    """After the batch the process dies; but not over a second attempt, or no step would ever come to its end."""
    batch = list(journal._staged)
    _COMMIT(journal)
    if batch and not any(isinstance(event, ev.ActivityStarted) and event.attempt > 1 for event in batch):
        raise Died


def play(house: House) -> int:
    """Tick until nothing moves; how often the process died."""
    deaths = 0
    while True:
        try:
            if not house.tick(jobs=2).driven:
                return deaths
        except Died:
            deaths += 1
            until(lambda: not any(t.name.startswith("dwf-run-") for t in threading.enumerate()))
            house.reopen()


@pytest.mark.parametrize("mode", MODES, indirect=True)
@pytest.mark.parametrize("name", STORIES)
def test_a_story_comes_to_the_same_end_in_every_mode(ram: Path, name: str, mode: str) -> None:
    house, story = House(ram), STORIES[name]
    house.start(house.script(script_of(story)) + ":main")
    deaths = play(house)
    for what, *given in story.acts:
        if what == "advance":
            house.clock.advance(given[0])
        elif what == "signal":
            house.signal(*given)
        else:
            house.answer(given[0], comment="fine")
        deaths += play(house)
    assert house.result() == story.result
    assert house.mail() == []
    house.check()
    assert (deaths > 0) == (mode == "dying")

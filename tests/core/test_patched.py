"""patched(), once(), chance and time: what a script may read is a function of the events alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

import dwf
from dwf.core import events as ev
from dwf.core.duration import SECOND, moment, stamp, unstamp
from dwf.core.events import Event
from dwf.core.replay import Replay
from dwf.errors import NondeterminismError, NotInWorkflow, ScriptBug, ValueRefused
from tests.core.driver import BEGIN_US, Fake, act, blocked, program, replayed, started

# -- patched --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def taken_up(before: Fake, main: Callable[..., Any]) -> Iterator[Fake]:
    """A run goes on with other code."""
    run = Fake(main)
    for event in before.events:
        run.events.append(event)
        run.state().apply(event)
    run.now_us = before.now_us
    run.replay = replayed(run.program, run.events)
    with contextlib.closing(run.replay):
        run.replay.live = True
        for opening in run.replay.fresh:  # type: ignore[attr-defined]
            run.note(opening)
        yield run


async def old_loop() -> None:
    while True:
        await act("old", await dwf.wait_signal("s"))


async def patched_loop() -> None:
    while True:
        value = await dwf.wait_signal("s")
        await act("new" if dwf.patched("p") else "old", value)


async def deprecated_loop() -> None:
    while True:
        value = await dwf.wait_signal("s")
        dwf.deprecate_patch("p")
        await act("new", value)


def test_a_deploy_between_two_rounds_of_a_loop_keeps_old_rounds_old() -> None:
    """A set of markers read with the file would take the new branch in all rounds, and block the run for ever."""
    with Fake(old_loop) as before:
        before.signal("s", 1)
        before.complete("old")
        before.signal("s", 2)
    with taken_up(before, patched_loop) as run:
        run.complete("old")
        run.signal("s", 3)
        assert run.asked[-3:] == ["wait s", "patch p", "act new"]
        run.complete("new")
        run.signal("s", 4)
        assert run.asked[-2:] == ["wait s", "act new"]
        run.prove(range(len(before.events), len(run.events) + 1))


def test_once_true_it_stays_true_and_costs_one_marker() -> None:
    async def main() -> list[bool]:
        return [dwf.patched("p"), dwf.patched("p"), dwf.patched("q")]

    with Fake(main) as run:
        assert run.result == [True, True, True] and run.asked == ["patch p", "patch q"]
        run.prove()


def test_at_the_live_edge_of_an_old_run_the_new_branch_is_taken() -> None:
    async def old() -> None:
        await act("a")
        await act("b")

    async def new() -> None:
        await act("a")
        await act("b2" if dwf.patched("p") else "b")

    with Fake(old) as run:
        pass
    with taken_up(run, new) as goes_on:
        goes_on.complete("a")
        assert goes_on.asked == ["act a", "patch p", "act b2"]
        goes_on.prove()
    with Fake(old) as run:
        run.complete("a")
    with taken_up(run, new) as goes_on:
        assert goes_on.asked == ["act a", "act b"]


def test_the_answer_is_that_of_the_whole_file_also_for_a_part_of_it() -> None:
    """`--stop-at` and queries look at a part of a history; the branch is the one that the run took."""

    async def new() -> None:
        await act("b2" if dwf.patched("p") else "b")

    async def old() -> None:
        await act("b")

    with Fake(old) as run:
        recorded = run.openings
    with contextlib.closing(Replay(program(new), started(), recorded)) as replay:
        assert replay.apply([started()]) == []


def test_a_deprecated_patch_swallows_the_marker_and_writes_none() -> None:
    with Fake(patched_loop) as before:
        before.signal("s", 1)
    with taken_up(before, deprecated_loop) as run:
        run.complete("new")
        run.signal("s", 2)
        assert run.asked == ["wait s", "patch p", "act new", "wait s", "act new"]
    with Fake(deprecated_loop) as fresh:
        fresh.signal("s", 1)
        assert fresh.asked == ["wait s", "act new"]


def test_taking_the_patch_out_too_early_is_noticed() -> None:
    async def without() -> None:
        while True:
            await act("new", await dwf.wait_signal("s"))

    with Fake(patched_loop) as before:
        before.signal("s", 1)
    with pytest.raises(NondeterminismError, match="VersionMarkerRecorded p"):
        replayed(program(without), before.events)


# -- once -----------------------------------------------------------------------------------------------------------


def test_once_computes_once_and_keeps_the_value() -> None:
    computed: list[int] = []

    def read() -> int:
        computed.append(1)
        return len(computed)

    async def main() -> list[int]:
        first = dwf.once(read)
        await act("a")
        return [first, dwf.once(read, name="again")]

    with Fake(main) as run:
        run.complete("a")
        assert run.result == [1, 2] and run.asked == ["once read", "act a", "once again"]
        with contextlib.closing(replayed(run.program, run.events)):
            assert computed == [1, 1]


def test_what_once_raises_blocks_for_a_replay_would_not_raise_it() -> None:
    async def main() -> Any:
        try:
            return dwf.once(lambda: {}["typo"])
        except Exception:
            return await act("fallback")

    error = blocked(main)
    assert isinstance(error, ScriptBug) and "KeyError" in str(error) and "dwf.once('<lambda>')" in str(error)


@pytest.mark.parametrize(
    "inside", [lambda: dwf.status("x"), dwf.uuid4, dwf.now, lambda: asyncio.get_running_loop().time()]
)
def test_inside_once_there_is_no_workflow(inside: Any) -> None:
    """What it issued or drew would be missing in a replay."""

    async def main() -> None:
        dwf.once(inside)

    assert isinstance(blocked(main), NotInWorkflow | ScriptBug)


def test_a_generator_drawn_from_inside_once_is_put_back() -> None:
    async def main() -> list[int]:
        chance = dwf.random()
        dwf.once(lambda: chance.randrange(100))
        await act("a")
        return [chance.randrange(10**9)]

    with Fake(main) as run:
        run.complete("a")
        run.prove()


def test_once_may_read_files(tmp_path: Any) -> None:
    (tmp_path / "plan").write_text("now")

    async def main() -> str:
        return dwf.once(lambda: (tmp_path / "plan").read_text(), name="plan")

    with Fake(main) as run:
        assert run.result == "now"


def test_once_with_what_cannot_be_stored_blocks() -> None:
    async def main() -> Any:
        return dwf.once(object, name="x")

    assert isinstance(blocked(main), ValueRefused)


# -- chance ---------------------------------------------------------------------------------------------------------


def test_chance_is_the_same_in_every_replay_and_another_in_every_run() -> None:
    async def main() -> list[Any]:
        drawn: list[Any] = [str(dwf.uuid4()), dwf.random().random()]
        await act("a")
        return [*drawn, str(dwf.uuid4()), dwf.random().random()]

    results = []
    for run_id in ("r1", "r2"):
        run = Fake(main)
        run.first = msgspec.structs.replace(run.first, run=run_id)
        run.replay = Replay(run.program, run.first)
        with run:
            run.complete("a")
            results.append(run.result)
            run.prove()
    assert len({json for result in results for json in map(str, result)}) == 8


def test_uuids_do_not_shift_other_draws() -> None:
    async def with_uuid() -> float:
        dwf.uuid4()
        return dwf.random().random()

    async def without() -> float:
        return dwf.random().random()

    with Fake(with_uuid) as one, Fake(without) as other:
        assert one.result == other.result


# -- time -----------------------------------------------------------------------------------------------------------


def test_now_is_the_time_of_the_event_reacted_to() -> None:
    async def main() -> list[Any]:
        seen = [dwf.now()]
        await act("a")
        return [*seen, dwf.now()]

    with Fake(main) as run:
        run.now_us += 3600 * SECOND
        run.complete("a")
        assert run.result == [moment(BEGIN_US).isoformat().replace("+00:00", "Z"), _told(run.events[2])]
        run.prove()


def _told(event: Event) -> str:
    return moment(unstamp(event.ts)).isoformat().replace("+00:00", "Z")


def test_the_loops_clock_is_seconds_since_the_start() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(90)
        return [before, loop.time()]

    with Fake(main) as run:
        run.fire()
        before, after = run.result
        assert before == 0 and 90 <= after < 90.001
        run.prove()


def test_a_delayed_start_begins_at_its_time_and_not_before() -> None:
    later = stamp(BEGIN_US + 600 * SECOND)

    async def main() -> float:
        assert dwf.now() == moment(unstamp(later))
        await asyncio.sleep(5)
        return asyncio.get_running_loop().time()

    run = Fake(main)
    run.first = msgspec.structs.replace(run.first, start_at=later)
    run.replay = Replay(run.program, run.first)
    with run:
        assert run.asked == ["timer 605"]


@pytest.mark.parametrize("seconds", [0.1, 0.3, 1 / 3, 16.1, 1e-7, 12345.678901])
def test_a_timer_is_never_early_so_that_waiting_for_a_moment_ends(seconds: float) -> None:
    """Rounded to nearest, `while time() < d: await sleep(d - time())` would spin for ever."""

    async def main() -> str:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while loop.time() < deadline:
            await asyncio.sleep(deadline - loop.time())
        return "there"

    with Fake(main) as run:
        for _ in range(3):
            if run.outcome is None:
                timer = run.state().timers.popitem()[1].started
                run.now_us = unstamp(timer.fire_at) - 1
                run.deliver(ev.TimerFired(command=timer.command))
        assert run.result == "there"


@pytest.mark.parametrize("duration", [0, -5, -0.5, "0s", timedelta(0), timedelta(seconds=-9)])
def test_no_time_or_less_needs_no_timer(duration: Any) -> None:
    async def main() -> str:
        await dwf.sleep(duration)
        return "on"

    with Fake(main) as run:
        assert run.result == "on" and run.asked == []


@pytest.mark.parametrize("duration", [float("nan"), "soon", "5", True, None, 1e18, [1]])
def test_what_is_no_duration_is_refused(duration: Any) -> None:
    async def main() -> None:
        await dwf.sleep(duration)

    assert isinstance(blocked(main), ValueRefused | ScriptBug)


def test_a_moment_can_be_waited_for_if_it_says_where() -> None:
    async def main() -> str:
        await dwf.sleep_until(dwf.now() - timedelta(days=1))
        await dwf.sleep_until(dwf.now() + timedelta(hours=1), "the window")
        return "there"

    async def naive() -> None:
        await dwf.sleep_until(datetime(2030, 1, 1))

    with Fake(main) as run:
        assert run.asked == ["timer 3600"]
        assert run.openings[0].purpose == "the window"  # type: ignore[attr-defined]
        run.fire()
        assert run.result == "there"
    error = blocked(naive)
    assert isinstance(error, ValueRefused) and "time zone" in str(error)


def test_a_timer_behind_the_year_9999_is_refused() -> None:
    async def main() -> None:
        await asyncio.sleep(1e12)

    async def farther() -> None:
        await asyncio.sleep(1e308)

    async def far() -> None:
        await dwf.sleep_until(datetime(9999, 12, 31, 23, 59, tzinfo=UTC))

    assert isinstance(blocked(main), ValueRefused) and isinstance(blocked(farther), ValueRefused)
    with Fake(far) as run:
        assert run.openings[0].fire_at.startswith("9999")  # type: ignore[attr-defined]


def test_infinity_waits_until_it_is_cancelled() -> None:
    async def main() -> None:
        await dwf.sleep(float("inf"))

    with Fake(main) as run:
        assert run.asked == [] and run.outcome is None
        run.cancel()
        assert isinstance(run.outcome, ev.WorkflowCancelled)

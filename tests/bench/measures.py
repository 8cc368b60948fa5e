"""The benchmarks: what dwf does, beside the limit that it is held against. Each takes seconds; none tunes anything.

Work is done the way `dwf tick` does it, on a state directory below `where`, which must lie on the disk that counts.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from dwf.engine.context import Engine
from dwf.engine.journal import Journal
from tests.bench.cold import COLD
from tests.bench.figures import Figure, Goal, at_least, in_turns
from tests.bench.limits import APPENDS, DECODES, appends_per_second, decodes_per_second
from tests.bench.place import Place
from tests.bench.scale import SCALE


def sequential_steps(place: Place) -> Figure:
    """Steps that do nothing, one after the other, against bare appends of as many bytes, each synced."""
    steps = place.count(2000)
    size = 0

    def value() -> float:
        nonlocal size
        seconds, history = place.seconds_to_the_end("sequence", steps)
        size = history.stat().st_size // steps
        return steps / seconds

    def limit() -> float:
        return appends_per_second(place.where, size, steps)

    return in_turns("sequential steps", "steps/s", value, "fdatasync appends/s", limit, at_least(ratio=0.7))


def cost_of_length(place: Place) -> Figure:
    """Ten times as many steps must cost ten times as much: no work is done per step *and* line."""
    few, many = place.count(1000), place.count(10_000)

    def value() -> float:
        return place.seconds_to_the_end("sequence", many)[0]

    def limit() -> float:
        return place.seconds_to_the_end("sequence", few)[0]

    name = f"{many} steps to {few}"
    goal = Goal("8 to 12 times as long", ratio=(8, 12), more_is_better=False)
    return in_turns(name, "s", value, f"s for {few}", limit, goal, 3)


def parallel_activities(place: Place) -> Figure:
    """One run that asks for a thousand steps at once, against as many appends, each synced."""
    steps = place.count(1000)

    def value() -> float:
        return steps / place.seconds_to_the_end("fan_out", steps)[0]

    def limit() -> float:
        return appends_per_second(place.where, 500, steps)

    goal = at_least(10_000, base=APPENDS, unit="/s")
    return in_turns("parallel steps", "steps/s", value, "fdatasync appends/s", limit, goal)


def replay(place: Place) -> Figure:
    """A finished run taken up from its file: read, chain, decode, fold, replay; against decoding its lines.

    Both in CPU seconds: nothing in it waits, so that is what it costs, whoever else uses the machine.
    """
    _, history = place.seconds_to_the_end("sequence", place.count(10_000))
    run, engine = history.name.removesuffix(".jsonl"), Engine.open(place.store)

    def value() -> float:
        gc.collect()
        gc.disable()  # as a tick does
        try:
            began = time.thread_time()
            journal = Journal(engine, run, 1)
            journal.replay_all(engine.codes.of(journal.state))
            rate = len(journal.history.events) / (time.thread_time() - began)
        finally:
            gc.enable()
        assert journal.replay.outcome is not None
        journal.close()
        return rate

    value()  # loads the script
    try:
        return in_turns(
            "replay",
            "events/CPU s",
            value,
            "bare decodes/CPU s",
            lambda: decodes_per_second(history),
            at_least(150_000, base=DECODES, unit="/s"),
        )
    finally:
        engine.close()


MEASURES: dict[str, Callable[[Place], Figure]] = {
    "sequential": sequential_steps,
    "length": cost_of_length,
    "parallel": parallel_activities,
    "replay": replay,
    **COLD,
    **SCALE,
}

"""The benchmarks: what dwf does, beside the limit that it is held against. Each takes seconds; none tunes anything.

Work is done the way `dwf tick` does it, on a state directory below `where`, which must lie on the disk that counts.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from dwf.engine.context import Engine
from dwf.engine.journal import Journal
from dwf.store.row import Row
from tests.bench.figures import Figure, in_turns
from tests.bench.limits import appends_per_second, decodes_per_second, python_seconds, seconds_of
from tests.bench.place import Place
from tests.bench.scale import SCALE
from tests.examples.command import dwf_command

_FAR_US = 4_000_000_000_000_000


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

    return in_turns(
        "sequential steps", "steps/s", value, "fdatasync appends/s", limit, ">= 0.60", lambda _, r: r >= 0.6
    )


def cost_of_length(place: Place) -> Figure:
    """Ten times as many steps must cost ten times as much: no work is done per step *and* line."""
    few, many = place.count(1000), place.count(10_000)

    def value() -> float:
        return place.seconds_to_the_end("sequence", many)[0]

    def limit() -> float:
        return place.seconds_to_the_end("sequence", few)[0]

    name = f"{many} steps to {few}"
    return in_turns(name, "s", value, f"s for {few}", limit, "8 to 12", lambda _, r: 8 <= r <= 12, 3, min)


def parallel_activities(place: Place) -> Figure:
    """One run that asks for a thousand steps at once, against as many appends, each synced."""
    steps = place.count(1000)

    def value() -> float:
        return steps / place.seconds_to_the_end("fan_out", steps)[0]

    def limit() -> float:
        return appends_per_second(place.where, 500, steps)

    target = ">= 5 000/s"
    return in_turns("parallel steps", "steps/s", value, "fdatasync appends/s", limit, target, lambda v, _: v >= 5000)


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
            began = time.process_time()
            journal = Journal(engine, run, 1)
            journal.replay_all(engine.codes.of(journal.state))
            rate = len(journal.history.events) / (time.process_time() - began)
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
            ">= 150 000/s",
            lambda v, _: v >= 150_000,
        )
    finally:
        engine.close()


def idle_tick(place: Place) -> Figure:
    """What cron starts every minute when nothing is due, with 100 000 runs that wait: in all but ten only their row."""
    for _ in range(10):
        place.start("waiting")
    command = [dwf_command(place.where), "--home", str(place.home), "tick"]
    for _ in range(2):
        seconds_of(command)
    rows = place.count(100_000)
    place.store.index.insert_new(
        *(
            Row(f"row-{n}", "0" * 16, 1, "waiting", due_at=_FAR_US, since_us=1, started_us=1, updated_us=1)
            for n in range(rows)
        )
    )
    seconds_of(command)

    def value() -> float:
        return seconds_of(command) * 1000

    def limit() -> float:
        return python_seconds() * 1000

    return in_turns(
        "idle tick",
        "ms",
        value,
        "ms for python -c pass",
        limit,
        "<= 2.5",
        lambda _, r: r <= 2.5,
        rounds=place.count(40),
        best=min,
    )


def cold_run(place: Place) -> Figure:
    """`dwf run` of three steps, from the start of Python to its end, in a state directory that is not there yet."""
    homes = iter(range(1000))

    def value() -> float:
        home = place.where / f"cold-{next(homes)}"
        return seconds_of([dwf_command(place.where), "--home", str(home), "run", f"{place.script}:sequence"])

    return in_turns(
        "cold run of 3 steps",
        "s",
        value,
        "s for python -c pass",
        python_seconds,
        "<= 0.2 s",
        lambda v, _: v <= 0.2,
        rounds=place.count(15),
        best=min,
    )


MEASURES: dict[str, Callable[[Place], Figure]] = {
    "sequential": sequential_steps,
    "length": cost_of_length,
    "parallel": parallel_activities,
    "replay": replay,
    "idle": idle_tick,
    "cold": cold_run,
    **SCALE,
}

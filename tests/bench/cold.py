"""Commands from the start of Python to their end: what a person, or cron, waits for each time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dwf.engine.tick import tick
from dwf.store.room import Store
from dwf.store.row import Row
from tests.bench.figures import NO_GOAL, Figure, Goal, at_most, in_turns
from tests.bench.limits import PYTHON_MS, PYTHON_SECONDS, cpu_seconds_of, python_seconds, seconds_of
from tests.bench.place import Place
from tests.examples.command import dwf_command

_FAR_US = 4_000_000_000_000_000
_WAITING = 100_000


def _with_many(place: Place) -> list[str]:
    """`dwf tick` where 100 000 runs wait and nothing is due: all but ten are only a row."""
    for _ in range(10):
        place.start("waiting")
    tick(place.store)
    rows = (
        Row(f"row-{n}", "0" * 16, 1, "waiting", status="waiting", due_at=_FAR_US, since_us=1, started_us=n)
        for n in range(place.count(_WAITING))
    )
    place.store.index.insert_new(*rows)
    return _warm(place, place.home)


def _warm(place: Place, home: Path) -> list[str]:
    command = [dwf_command(place.where), "--home", str(home), "tick"]
    for _ in range(3):
        seconds_of(command)
    return command


def idle_tick(place: Place) -> Figure:
    """What cron starts every minute when nothing is due, with 100 000 waiting runs, against Python alone."""
    command = _with_many(place)
    return in_turns(
        "idle tick",
        "ms",
        lambda: seconds_of(command) * 1000,
        "ms for python -c pass",
        lambda: python_seconds() * 1000,
        at_most(ratio=2),
        rounds=place.count(40),
    )


def idle_tick_of_many(place: Place) -> Figure:
    """The same against an idle tick of a directory with one run; in CPU time, which a busy machine changes less."""
    many, few = _with_many(place), place.where / "few"
    home = Store.open(str(few), create=True)
    home.index.rebuild()
    command = _warm(place, few)
    return in_turns(
        "idle tick with 100 000 waiting",
        "CPU ms",
        lambda: cpu_seconds_of(many) * 1000,
        "CPU ms with none",
        lambda: cpu_seconds_of(command) * 1000,
        at_most(ratio=1.1),
        rounds=place.count(40),
    )


def cold_run(place: Place) -> Figure:
    """`dwf run` of three steps, in a state directory that is not there yet."""
    homes = iter(range(1000))

    def value() -> float:
        home = place.where / f"cold-{next(homes)}"
        return seconds_of([dwf_command(place.where), "--home", str(home), "run", f"{place.script}:sequence"])

    return _beside_python("cold run of 3 steps", value, at_most(0.2, base=PYTHON_SECONDS, unit=" s"), place.count(15))


def completion(place: Place) -> Figure:
    """A TAB behind the beginning of a run id, with ten thousand runs."""
    tick(place.store)
    place.store.index.insert_new(*(Row(f"row-{n}", "0" * 16, 1, "waiting") for n in range(place.count(10_000))))
    command = [dwf_command(place.where), "__complete", "runs", "row-99"]
    environ = {"DWF_HOME": str(place.home)}

    return in_turns(
        "TAB with 10 000 runs",
        "ms",
        lambda: seconds_of(command, environ) * 1000,
        "ms for python -c pass",
        lambda: python_seconds() * 1000,
        at_most(30, base=PYTHON_MS, unit=" ms"),
        rounds=place.count(20),
    )


def _verb(name: str, *words: str) -> Callable[[Place], Figure]:
    """A verb that a person types, with one run that waits. No target of its own: to compare two commits by."""

    def measured(place: Place) -> Figure:
        run = place.start("echo", n=1)
        tick(place.store)
        command = [dwf_command(place.where), "--home", str(place.home), name]
        command += [word.format(run=run, script=f"{place.script}:sequence") for word in words]
        return _beside_python(f"dwf {name}, cold", lambda: seconds_of(command), NO_GOAL, place.count(10))

    return measured


def _beside_python(name: str, value: Callable[[], float], goal: Goal, rounds: int) -> Figure:
    return in_turns(name, "s", value, "s for python -c pass", python_seconds, goal, rounds)


COLD: dict[str, Callable[[Place], Figure]] = {
    "idle": idle_tick,
    "idle-many": idle_tick_of_many,
    "cold": cold_run,
    "tab": completion,
    "cold-start": _verb("start", "{script}"),
    "cold-signal": _verb("signal", "{run}", "go", "1"),
    "cold-show": _verb("show", "{run}"),
    "cold-list": _verb("list"),
}

"""Many of everything: runs, signals, lines, shells. What it costs, what limit it is held against, and how it grows."""

from __future__ import annotations

import math
import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from dwf.engine import post
from dwf.engine.bulk import prepare_each, start_each
from dwf.engine.context import Engine
from dwf.engine.identity import sender
from dwf.engine.journal import Journal
from dwf.engine.start import StartRequest
from dwf.engine.tick import tick
from dwf.engine.worker import work
from dwf.store.row import Row
from tests.bench.figures import NO_GOAL, Figure, at_least, at_most, in_turns
from tests.bench.limits import FILES, PYTHON_MS, PYTHON_SECONDS, files_per_second, python_seconds, seconds_of
from tests.bench.place import Place
from tests.examples.command import dwf_command

_ME = sender(os.environ)
_LINES = 20


def _each(place: Place, workflow: str, number: int, prefix: str) -> list[str]:
    """That many new runs, made in bulk; their ids."""
    request = StartRequest(f"{place.script}:{workflow}", _ME, run=prefix + "-{n}")
    inputs = ({"n": n} for n in range(number))
    return [
        answer.run
        for answer in start_each(place.store, prepare_each(request, inputs, place.store))
        if not _is_error(answer)
    ]


def _is_error(answer: object) -> bool:
    return isinstance(answer, Exception)


def _is_done(place: Place, run: str) -> bool:
    return b'"WorkflowCompleted"' in Path(place.store.layout.history_path(run)).read_bytes()[-2000:]


def bulk_creation(place: Place) -> Figure:
    """Runs made by `start --each`, against bare files that are synced as often."""
    number, rounds = place.count(2000), iter(range(1000))

    def value() -> float:
        began = time.perf_counter()
        assert len(_each(place, "numbered", number, f"b{next(rounds)}")) == number
        return number / (time.perf_counter() - began)

    def limit() -> float:
        return files_per_second(place.where, 500, number)

    goal = at_least(1000, base=FILES, unit="/s")
    return in_turns("runs made in bulk", "runs/s", value, "synced files/s", limit, goal, 3)


def signals(place: Place) -> Figure:
    """A signal for each of a thousand waiting runs, handled by one tick, against as many synced files."""
    number, rounds = place.count(1000), iter(range(1000))

    def value() -> float:
        runs = _each(place, "listening", number, f"s{next(rounds)}")
        tick(place.store)
        for run in runs:
            post.signal(place.store, run, "go", b"1", _ME)
        began = time.perf_counter()
        report = tick(place.store)
        seconds = time.perf_counter() - began
        assert not report.errors and all(_is_done(place, run) for run in runs), report
        return number / seconds

    def limit() -> float:
        return files_per_second(place.where, 500, number)

    goal = at_least(1000, base=FILES, unit="/s")
    return in_turns("signals to waiting runs", "signals/s", value, "synced files/s", limit, goal, 3)


def signal_and_tick(place: Place) -> Figure:
    """`dwf signal --tick`, from the start of Python to the next step done."""
    runs = iter(_each(place, "listening", place.count(40) + 2, "t"))
    tick(place.store)
    command = [dwf_command(place.where), "--home", str(place.home), "signal"]

    def value() -> float:
        return seconds_of([*command, next(runs), "go", "1", "--tick"]) * 1000

    def limit() -> float:
        return python_seconds() * 1000

    return in_turns(
        "signal --tick to the step done",
        "ms",
        value,
        "ms for python -c pass",
        limit,
        at_most(150, base=PYTHON_MS, unit=" ms"),
        rounds=place.count(20),
    )


def worker(share: float, target_ms: float) -> Callable[[Place], Figure]:
    """From the end of a post to the next step having run, under a worker: the slowest of that share of a thousand."""

    def measured(place: Place) -> Figure:
        seen = place.where / "seen"
        os.environ["DWF_BENCH_SEEN"] = str(seen)
        (run,) = _each(place, "echo", 1, "w")
        stop = threading.Event()
        thread = threading.Thread(target=lambda: work(place.store, stop=stop), daemon=True)
        thread.start()
        name = f"worker: signal to step (p{share:.0%})".replace("%", "")
        try:
            return in_turns(
                name,
                "ms",
                lambda: _at(share, [_until_seen(place, run, n, seen) for n in range(place.count(1000))]) * 1000,
                "ms a synced file",
                lambda: 1000 / files_per_second(place.where, 500, 200),
                at_most(target_ms, base=1000 / FILES, unit=" ms") if target_ms else NO_GOAL,
                1,
            )
        finally:
            stop.set()
            thread.join(20)

    return measured


def _until_seen(place: Place, run: str, number: int, seen: Path) -> float:
    seen.unlink(missing_ok=True)
    post.signal(place.store, run, "go", str(number).encode(), _ME)
    began = time.perf_counter()
    while not seen.exists():
        time.sleep(0.0002)
    return time.perf_counter() - began


def _at(share: float, times: list[float]) -> float:
    return sorted(times)[min(int(len(times) * share), len(times) - 1)]


def listing(place: Place) -> Figure:
    """`dwf list` of ten thousand runs."""
    _each(place, "numbered", place.count(10_000), "l")
    place.store.index.rebuild(force=True)
    tick(place.store, max_seconds=600)
    command = [dwf_command(place.where), "--home", str(place.home), "list", "--limit", "20000"]
    return _half_a_second("list of 10 000 runs", command)


def long_history(place: Place) -> Figure:
    """`dwf history` of a run with ten thousand events."""
    run = place.start("sequence", steps=place.count(3_400))
    tick(place.store)
    command = [dwf_command(place.where), "--home", str(place.home), "history", run]
    return _half_a_second("history of 10 000 events", command)


def _half_a_second(name: str, command: list[str]) -> Figure:
    """A command that a person waits for."""
    return in_turns(
        name,
        "s",
        lambda: seconds_of(command),
        "s for python -c pass",
        python_seconds,
        at_most(0.5, base=PYTHON_SECONDS, unit=" s"),
        3,
    )


def shell_steps(place: Place) -> Figure:
    """Twenty shell steps: milliseconds a step on top of the same lines in one shell script, taken just after."""
    script = "\n".join(["/bin/true"] * _LINES)

    def value() -> float:
        run = place.start("shells", lines=_LINES)
        began = time.perf_counter()
        tick(place.store)
        seconds = time.perf_counter() - began
        assert _is_done(place, run)
        return max((seconds - bash()) / _LINES * 1000, 0.001)

    def bash() -> float:
        began = time.perf_counter()
        subprocess.run(["bash", "-c", script], check=True)
        return time.perf_counter() - began

    return in_turns(
        "shell steps on top of bash",
        "ms a step",
        value,
        "ms for python -c pass",
        lambda: python_seconds() * 1000,
        at_most(2, base=PYTHON_MS, unit=" ms"),
        5,
    )


def bytes_a_step(place: Place) -> Figure:
    """What a step that does nothing leaves in the history."""
    steps = place.count(1000)
    _, history = place.seconds_to_the_end("sequence", steps)
    size = history.stat().st_size / steps
    return in_turns("history of a step", "bytes", lambda: size, "bytes allowed", lambda: 800.0, at_most(800), 1)


def bytes_a_run(place: Place) -> Figure:
    """What a waiting run takes up on disk, all files of it, in blocks."""
    number = place.count(1000)
    before = _blocks(place.home)
    _each(place, "listening", number, "d")
    tick(place.store)
    size = (_blocks(place.home) - before) / number
    return in_turns("a waiting run on disk", "bytes", lambda: size, "bytes allowed", lambda: 4500.0, at_most(4500), 1)


def _blocks(root: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in root.rglob("*"))


def growth(
    name: str,
    sizes: tuple[int, int, int],
    seconds: Callable[[Place, int], float],
    rule: str = "linear",
    most: float = 1.15,
) -> Callable[[Place], Figure]:
    """How cost grows with size: the exponent of the power that fits three sizes. 1 is linear, 0 is not at all."""

    def measured(place: Place) -> Figure:
        scaled = [max(2, place.count(size)) for size in sizes]
        taken = [min(seconds(place, size) for _ in range(2)) for size in scaled]
        xs, ys = [math.log(size) for size in scaled], [math.log(each) for each in taken]
        middle_x, middle_y = sum(xs) / 3, sum(ys) / 3
        spread = sum((x - middle_x) ** 2 for x in xs) or 1.0
        slope = sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True)) / spread
        exponent = max(slope, 0.01)
        return in_turns(f"growth with {name}", "exponent", lambda: exponent, rule, lambda: 1.0, at_most(most), 1)

    return measured


def _signals_seconds(place: Place, number: int) -> float:
    runs = _each(place, "listening", 1, f"g{number}-{time.monotonic_ns()}")
    tick(place.store)
    for n in range(number):
        post.signal(place.store, runs[0], "other", str(n).encode(), _ME)
    began = time.perf_counter()
    tick(place.store)
    return time.perf_counter() - began


def _runs_seconds(place: Place, number: int) -> float:
    _each(place, "numbered", number, f"r{number}-{time.monotonic_ns()}")
    began = time.perf_counter()
    tick(place.store)
    return time.perf_counter() - began


def _steps_seconds(place: Place, number: int) -> float:
    return place.seconds_to_the_end("sequence", number)[0]


def _history_seconds(place: Place, number: int) -> float:
    """Taking up a run with so many steps in its history, in CPU seconds: read, checked, replayed."""
    _, history = place.seconds_to_the_end("sequence", number)
    engine = Engine.open(place.store)
    try:
        began = time.process_time()
        journal = Journal(engine, history.name.removesuffix(".jsonl"), 1)
        journal.replay_all(engine.codes.of(journal.state))
        journal.close()
        return time.process_time() - began
    finally:
        engine.close()


def _waiting_seconds(place: Place, number: int) -> float:
    """A tick for one signal among so many runs that wait, in CPU seconds: it must not grow at all."""
    (run,) = _each(place, "listening", 1, f"one{number}-{time.monotonic_ns()}")
    rows = (Row(f"row-{n}", "0" * 16, 1, "waiting", status="waiting", due_at=None, started_us=n) for n in range(number))
    place.store.index.insert_new(*rows)
    tick(place.store)
    post.signal(place.store, run, "go", b"1", _ME)
    began = time.process_time()
    tick(place.store)
    return time.process_time() - began


SCALE: dict[str, Callable[[Place], Figure]] = {
    "bulk": bulk_creation,
    "signals": signals,
    "signal-tick": signal_and_tick,
    "worker": worker(0.50, 10),
    "worker-p99": worker(0.99, 0),
    "list": listing,
    "history": long_history,
    "shell": shell_steps,
    "step-bytes": bytes_a_step,
    "run-bytes": bytes_a_run,
    "grow-steps": growth("steps", (1000, 3000, 9000), _steps_seconds),
    "grow-runs": growth("runs", (300, 900, 2700), _runs_seconds),
    "grow-signals": growth("signals", (300, 900, 2700), _signals_seconds),
    "grow-history": growth("history length", (1000, 3000, 9000), _history_seconds),
    "grow-waiting": growth("waiting runs", (3000, 30_000, 300_000), _waiting_seconds, "flat", 0.15),
}

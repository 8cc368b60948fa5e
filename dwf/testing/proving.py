"""Proving a runbook: it is played on each way that can be assumed, and on harder ones; what it comes to is compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dwf.core.events import (
    ActivityScheduled,
    CallbackOpened,
    ChildWorkflowRequested,
    HandlersRegistered,
    Identity,
    SignalsTaken,
    SignalWaitOpened,
    WorkflowCompleted,
    WorkflowFailed,
)
from dwf.engine.routing import split_name
from dwf.engine.start import StartRequest, start
from dwf.errors import DwfError
from dwf.scripts.collect import collect
from dwf.testing.coverage import Coverage, steps_in
from dwf.testing.env import Env
from dwf.testing.playing import Choice, Played, Player
from dwf.testing.run import Run
from dwf.testing.stubs import names_of


@dataclass(frozen=True)
class Way:
    """One play. came_to: its end in words. why: what is wrong with it, "" if nothing."""

    choice: str
    mode: str
    came_to: str
    why: str = ""
    deaths: int = 0

    @property
    def holds(self) -> bool:
        return not self.why


@dataclass
class Proof:
    """All plays. unheard: for what something was given, and none came to it.

    missed: what none came to, `file.py:12` and what stands there.

    lines: how many there are; branches: likewise, and how many were gone.
    """

    ways: list[Way] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)
    lines: int = 0
    branches: tuple[int, int] = 0, 0
    missed_lines: list[tuple[str, str]] = field(default_factory=list)
    missed_branches: list[tuple[str, str]] = field(default_factory=list)
    missed_undos: list[tuple[str, str]] = field(default_factory=list)
    missed_steps: list[tuple[str, str]] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return all(way.holds for way in self.ways)

    @property
    def missed(self) -> list[tuple[str, str]]:
        """In the order of their lines, the branch before the lines in it; then undos and steps."""
        told = [*((*one, 0) for one in self.missed_branches), *((*one, 1) for one in self.missed_lines)]
        told.sort(key=lambda one: (one[0].rpartition(":")[0], int(one[0].rpartition(":")[2]), one[2]))
        return [*((at, what) for at, what, _ in told), *self.missed_undos, *self.missed_steps]

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "holds": self.holds,
            "ways": [
                {"assume": w.choice, "mode": w.mode, "came_to": w.came_to, "why": w.why or None, "deaths": w.deaths}
                for w in self.ways
            ],
            "lines": self.lines,
            "missed_lines": [{"at": at, "source": source} for at, source in self.missed_lines],
            "branches": self.branches[0],
            "branches_taken": self.branches[1],
            "missed_branches": [{"at": at, "branch": branch} for at, branch in self.missed_branches],
            "missed_undos": [{"at": at, "undo": undo} for at, undo in self.missed_undos],
            "missed_steps": [{"at": at, "step": step} for at, step in self.missed_steps],
        }


def prove(
    place: Path,
    script: str,
    values: Mapping[str, str],
    given: Mapping[str, Any],
    me: Identity,
    harder: Sequence[str] = (),
    coverage: bool = False,
) -> Proof:
    """Play the script. place: an empty directory. harder: modes of Env. Raises what `start` raises."""
    proof = Proof()
    plays: list[Played] = []

    def play(home: str, script: str, choice: Choice, mode: str = "normal", watch: Coverage | None = None) -> _Play:
        env = Env(place / home, mode, several=True)
        env.watch = watch
        run = start(env.store, StartRequest(script, me, values=dict(values), run="test"), env.clock).run
        played = Player(env, given, choice).play(Run(env, run))
        return _Play(played, env.deaths)

    for choice in Choice:
        usual = play(f"{choice}", script, choice)
        plays.append(usual.played)
        proof.ways.append(Way(choice.value, "normal", usual.came_to, usual.played.stopped))
        for mode in harder:
            try:
                hard = play(f"{choice}-{mode}", script, choice, mode)
            except DwfError as error:
                proof.ways.append(Way(choice.value, mode, "an error", error.message))
                continue
            why = "" if hard.came_to == usual.came_to else f"without that it comes to: {usual.came_to}"
            proof.ways.append(Way(choice.value, mode, hard.came_to, hard.played.stopped or why, hard.deaths))
    proof.unheard = unheard(given, plays)
    if coverage:
        path, workflow = split_name(script)
        watch = Coverage(collect(path).files)
        watch.instrumented(place / "covered")
        copy = f"{place / 'covered' / Path(path).name}" + (f":{workflow}" if workflow else "")
        for choice in Choice:
            play(f"{choice}-covered", copy, choice, watch=watch)
        _tell_missed(proof, watch)
    return proof


def _tell_missed(proof: Proof, watch: Coverage) -> None:
    proof.lines, proof.branches = watch.lines, watch.branches
    missed = [(name, line) for name, lines in watch.missed().items() for line in lines]
    proof.missed_lines = [(f"{name}:{line}", watch.source(name, line)) for name, line in missed]
    ways = [(name, branch) for name, branches in watch.missed_branches().items() for branch in branches]
    proof.missed_branches = [(f"{name}:{way.line}", way.told) for name, way in ways]
    proof.missed_undos = [(site.at, f"undo={site.source}: never ran") for site in watch.missed_undos()]
    steps = steps_in(watch.files)
    proof.missed_steps = [(at, f"step {step}") for step, at in steps.items() if step not in watch.begun]


def unheard(given: Iterable[str], plays: Iterable[Played]) -> list[str]:
    """Names for which something was given, and which no play came to; none where children may have come to them."""
    events = [event for played in plays for event in played.events]
    if any(isinstance(event, ChildWorkflowRequested) for event in events):
        return []
    heard = {name for event in events if isinstance(event, ActivityScheduled) for name in names_of(event)}
    heard |= {event.name for event in events if isinstance(event, SignalWaitOpened | SignalsTaken | CallbackOpened)}
    heard |= {name for event in events if isinstance(event, HandlersRegistered) for name in event.signals}
    return [name for name in given if name not in heard]


@dataclass(frozen=True)
class _Play:
    played: Played
    deaths: int

    @property
    def came_to(self) -> str:
        """The end, and what it was with."""
        events, status = self.played.events, self.played.state.status.value
        last = next((e for e in reversed(events) if isinstance(e, WorkflowCompleted | WorkflowFailed)), None)
        if isinstance(last, WorkflowCompleted):
            return f"{status} -> {bytes(last.result).decode('utf-8', 'replace')[:200]}"
        return f"{status}: {last.error.type}: {last.error.message}" if last is not None else status

"""Playing a runbook through: real branches, time that leaps, steps that nobody performs, people who answer as assumed.

It is what `dwf plan` and `dwf test` are made of. What is assumed is told: a plan is one way that a run may go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from dwf.core import events as ev
from dwf.core.duration import stamp, unstamp
from dwf.core.events import Event, Identity
from dwf.core.runtime import ActivityCall
from dwf.core.state import RunState
from dwf.core.values import encode
from dwf.engine.runs import all_ids, folded, load
from dwf.errors import WrongState
from dwf.store.blobs import references
from dwf.store.files import read_regular
from dwf.store.history import History
from dwf.store.room import Store
from dwf.testing.env import Env
from dwf.testing.fitting import fitting
from dwf.testing.run import Run
from dwf.testing.stubs import names_of

_MOST_TURNS = 2_000
# What a signal brings that nothing is said of: the first of these that the script takes.
_PLAIN: tuple[Any, ...] = (None, 1, "text", True, 1.5, {}, [])
# So often one is sent of which nothing comes: a script may count them.
_MOST_SENT = 2 * len(_PLAIN)
_MOST_GIVEN = 50


class Choice(StrEnum):
    """What the first thing comes to that a play may choose; everything after it goes well."""

    YES = "yes"
    """questions are answered with yes, signals come, steps are done"""
    NO = "no"
    TIMEOUT = "timeout"
    """nobody answers: what has a deadline comes to that"""
    FAILURE = "failure"
    """the step that is open, or comes next, fails as often as it is tried"""


@dataclass(frozen=True)
class Turn:
    """Where a play could have gone another way, behind its first choice. what: the question, or the signal's name."""

    what: str
    options: tuple[Choice, ...]
    chosen: Choice


@dataclass(frozen=True)
class Played:
    """What became of it. events: those of the run itself, the new ones from `first` on. stopped: why the play ended
    before the run did, "" if it is over. turns: where else it could have gone, in order."""

    run: str
    began_us: int
    events: list[Event]
    first: int
    state: RunState
    stopped: str
    assumed: dict[int, str]
    """by the line of what was waited for: what was assumed"""
    turns: list[Turn]


class Player:
    """One play in an environment of its own. given: results by step, payloads by signal, as JSON values.

    later: what the questions behind the first choice come to, one after the other; yes, where nothing is said.
    """

    def __init__(
        self, env: Env, given: Mapping[str, Any], choice: Choice = Choice.YES, later: Sequence[Choice] = ()
    ) -> None:
        self._env, self._given, self._choice, self._later = env, dict(given), choice, later
        self._turns: list[Turn] = []
        self._left: set[tuple[str, int]] = set()
        self._chosen = choice is Choice.YES
        self._failing: int | None = None
        self._assumed: dict[int, str] = {}
        self._sent: dict[tuple[str, str], tuple[int, int]] = {}
        env.stub_rest(self._perform)

    def play(self, run: Run) -> Played:
        """On until it is over, or nothing can be assumed any more."""
        first, began_us = len(run.events), self._env.clock()
        stopped = f"it does not come to rest within {_MOST_TURNS:,} turns"
        for _ in range(_MOST_TURNS):
            self._env.tick()
            states = dict(self._open_states())
            if run.id not in states:
                stopped = ""
                break
            if (blocked := states[run.id].blocked) is not None:
                stopped = f"it is blocked: {blocked.message}" + (f" ({blocked.where})" if blocked.where else "")
                break
            if refused := next(filter(None, (self._refused(of, state) for of, state in states.items())), ""):
                stopped = refused
                break
            if any(self._answer(of, state) for of, state in states.items()):
                continue
            if not self._env.leap():
                stopped = f"it waits for what cannot be assumed: {run.told}"
                break
        view = load(self._env.store, run.id)
        state = folded(view.events, view.path)
        return Played(run.id, began_us, view.events, first, state, stopped, self._assumed, self._turns)

    def _open_states(self) -> Iterator[tuple[str, RunState]]:
        for run in all_ids(self._env.store):
            state = load(self._env.store, run).state
            if state is not None and (state.ended is None or state.continues):
                yield run, state

    # -- steps --------------------------------------------------------------------------------------------------

    def _perform(self, call: ActivityCall) -> Any:
        if self._choice is Choice.FAILURE and not self._chosen:
            self._chosen, self._failing = True, hash((call.name, bytes(call.input)))
        if self._failing is not None and self._failing == hash((call.name, bytes(call.input))):
            raise RuntimeError("assumed to fail")
        name = next((name for name in names_of(call) if name in self._given), None)
        if name is None:
            return fitting(call.result_type)
        value = self._given[name]
        return call.result_type(code=0, out=value, err="") if call.kind == "shell" and type(value) is str else value

    # -- people -------------------------------------------------------------------------------------------------

    def _answer(self, run: str, state: RunState) -> bool:
        """Answer one thing that is waited for; False if there is none, or it is left to time."""
        for command, approval in state.approvals.items():
            asked = approval.requested
            options = (Choice.YES, Choice.NO, *([Choice.TIMEOUT] if asked.deadline else []))
            choice = self._choose(run, asked, f'"{asked.prompt}"', options)
            if choice is Choice.TIMEOUT:
                continue
            self._assumed[asked.id] = choice.value
            self._record(run, [self._word(command, choice is Choice.YES, n) for n in range(asked.need)])
            return True
        for wait in state.signal_waits.values():
            name = wait.opened.name
            options = (Choice.YES, Choice.TIMEOUT) if state.timers else (Choice.YES,)
            if self._choose(run, wait.opened, name, options) is Choice.TIMEOUT:
                continue
            payload = self._payload(run, name, state.last_id, wait.opened.id)
            self._assumed[wait.opened.id] = f"it comes, with {encode(payload, 'a payload').decode()}"
            self._env.signal(run, name, payload)
            return True
        return False

    def _choose(self, run: str, opened: Event, what: str, options: tuple[Choice, ...]) -> Choice:
        if (run, opened.id) in self._left and Choice.TIMEOUT in options:
            return Choice.TIMEOUT
        choice = self._first_choice(options) if not self._chosen else self._later_choice(what, options)
        if choice is Choice.TIMEOUT:
            self._left.add((run, opened.id))
            self._assumed[opened.id] = "nobody answers"
        return choice

    def _first_choice(self, options: tuple[Choice, ...]) -> Choice:
        choice = self._choice if self._choice in options else Choice.YES
        # A question is answered one way or the other; only a step can fail.
        self._chosen = choice is not Choice.YES or (Choice.NO in options and self._choice is not Choice.FAILURE)
        return choice

    def _later_choice(self, what: str, options: tuple[Choice, ...]) -> Choice:
        if len(options) == 1:
            return options[0]
        wanted = self._later[len(self._turns)] if len(self._turns) < len(self._later) else Choice.YES
        self._turns.append(Turn(what, options, wanted if wanted in options else Choice.YES))
        return self._turns[-1].chosen

    def _payload(self, run: str, name: str, last: int, opened: int) -> Any:
        """Another one than before, if that one was passed over: nothing has come of it but the next wait."""
        before, number = self._sent.get((run, name), (-2, 0))
        number = number + 1 if opened == before + 2 else 0
        self._sent[run, name] = last, number
        return self._given[name] if name in self._given else _PLAIN[number % len(_PLAIN)]

    def _refused(self, run: str, state: RunState) -> str:
        """That the script takes no payload that is known here; "" while there is one that was not tried."""
        for wait in state.signal_waits.values():
            name = wait.opened.name
            before, number = self._sent.get((run, name), (-2, 0))
            tried = number + 1 if wait.opened.id == before + 2 else 0
            if tried >= (_MOST_GIVEN if name in self._given else _MOST_SENT):
                what = "with what was given for it" if name in self._given else "whatever plain value it brings"
                return f"signal {name} comes to nothing, {what}; --set {name}=JSON"
        return ""

    def _word(self, command: int, yes: bool, number: int) -> ev.ApprovalAnswered:
        by = Identity(uid=-1 - number, login="assumed")
        return ev.ApprovalAnswered(command=command, answer="approve" if yes else "reject", by=by)

    def _record(self, run: str, bodies: list[Event]) -> None:
        record(self._env, run, bodies)


def record(env: Env, run: str, bodies: list[Event]) -> None:
    """Write events into a history of the play, as if its engine had; who may answer is nobody's question there."""
    store = env.store
    with History.open(store.disk, store.history(run, store.latest_link(run)), env.clock()) as history:
        for body in bodies:
            history.stage(body, env.clock())
        history.commit()
    store.index.mark_due(run)
    store.index.wake(run)


def copied(env: Env, store: Store, run: str, now_us: int) -> Run:
    """A copy of an open run of a real state directory, in the environment; steps that run there begin anew.

    Raises what reading it raises, WrongState (7) for a run that is over.
    """
    view = load(store, run)
    if view.problem is not None:
        raise view.problem
    state = view.state
    assert state is not None
    if state.ended is not None:
        raise WrongState(what=f"run {run} is {state.status.value}; nothing comes next", hint=f"dwf show {run}")
    bundle = store.code.load(state.code, run)
    env.store.code.save(bundle.files, bundle.main)
    for blob in {reference.sha256 for event in view.events for reference in references(event)}:
        env.store.blobs.put(store.blobs.fetch(blob))
    target = Path(env.store.layout.history_path(run, view.link))
    raw = read_regular(view.path)
    target.write_bytes(raw[: raw.rfind(b"\n") + 1])
    env.clock.leap_to(max(now_us, unstamp(state.last_ts)))
    now = stamp(env.clock())
    cut_off = [
        ev.ActivityAttemptFailed(
            command=step.command,
            attempt=step.started.attempt,
            error=ev.ErrorInfo(type="Planned", message="it runs just now; here it begins anew"),
            retry_at=now,
            spared=True,
        )
        for step in state.steps.values()
        if step.started is not None
    ]
    record(env, run, [*cut_off])
    return Run(env, run)

"""Random histories: the fake engine under a random program, in random order, and what comes of it as one hash."""

from __future__ import annotations

import contextlib
import copy
import hashlib
from typing import Any

import msgspec

from dwf.core import events as ev
from dwf.core.duration import SECOND, stamp, unstamp
from dwf.core.events import Event, Opening, Payload
from dwf.core.replay import Program, Replay
from dwf.core.values import encode
from dwf.errors import DwfError, ScriptError
from tests.core import flow, kin, programs, scopes
from tests.core.driver import Fake, bare, following_openings, started
from tests.core.programs import SIGNALS, Chance

_ENOUGH = 70
_SCRIPTS = tuple(module.__file__ for module in (programs, flow, kin, scopes))


class Game:
    """One program, played to its end or until enough has happened. `machine` interprets it and keeps its trace.

    plain: of the grammar that the corpus was made with, which stays as it is.
    """

    def __init__(self, seed: object, *, plain: bool = False) -> None:
        self._plain = plain
        self.node = programs.make(seed, programs.PLAIN if plain else flow.GRAMMAR)
        self.chance = Chance(f"events {seed}")
        self.machines: list[flow.Flow] = []
        self.fake = Fake(Program(self._begin, is_script=lambda file: file in _SCRIPTS))
        self.trace: list[str] = []

    def _begin(self, _: bytes) -> Any:
        self.machines.append(flow.Flow(self.node))
        return self.machines[-1].main()

    def play(self) -> Game:
        fake = self.fake
        try:
            fake.start()
            while fake.outcome is None and len(fake.events) < _ENOUGH:
                batch = self._batch()
                if not batch:
                    break
                for event in batch:
                    self._give(event)
        except DwfError:
            assert fake.error is not None
        finally:
            self.trace = list(self.machines[0].trace)
            fake.replay.close()
        return self

    def _give(self, event: Event) -> None:
        """The engine looks again at the moment of delivery: what was overtaken is dropped."""
        fake = self.fake
        if fake.outcome is not None:
            return
        if isinstance(event, ev.Closing) and event.command not in fake.replay.commands.open_numbers():
            return
        if isinstance(event, ev.TimerFired):
            fire_at = fake.state().timers[event.command].started.fire_at
            fake.now_us = max(fake.now_us, unstamp(fire_at))
        if self.chance.happens(0.2):
            fake.now_us += self.chance.below(3 * SECOND)
        fake.deliver(event)
        state = fake.state()
        opened = [*state.steps, *state.timers, *state.signal_waits, *state.approvals, *state.callbacks]
        opened += [command for command, lock in state.locks.items() if not lock.since]
        opened += [*state.children, *state.outgoing]
        assert sorted(opened) == sorted(fake.replay.commands.open_numbers()), "people are told of something else"

    def _batch(self) -> list[Event]:
        state, chance = self.fake.state(), self.chance
        ready: list[Event] = [self._end_of(step) for step in state.steps.values() if chance.happens(0.8)]
        ready += [ev.TimerFired(command=n) for n in state.timers if chance.happens(0.5)]
        ready += [self._answer(n) for n in state.approvals if chance.happens(0.7)]
        if chance.happens(0.25 if ready else 0.9):
            name = chance.pick(SIGNALS)
            ready.append(ev.SignalReceived(name=name, payload=Payload(encode(len(self.fake.events)))))
        ready += [self._call_back(n) for n in state.callbacks if chance.happens(0.6)]
        ready += [
            ev.LockAcquired(command=n) for n, lock in state.locks.items() if not lock.since and chance.happens(0.6)
        ]
        ready += [self._end_of_child(n) for n in state.children if chance.happens(0.6)]
        ready += [self._fate_of(n) for n in state.outgoing if chance.happens(0.7)]
        updates = list(self.fake.replay.commands.handlers.updates)
        if updates and chance.happens(0.5):
            given = Payload(encode({"number": len(self.fake.events)}))
            ready.append(ev.UpdateAccepted(name=chance.pick(updates), input=given))
        if chance.happens(0.04):
            ready.append(ev.CancelRequested(reason="enough"))
        if not self._plain and chance.happens(0.02):
            ready.append(ev.DeadlinePassed(due=stamp(self.fake.now_us)))
        return chance.shuffled(ready)[: 1 + chance.below(5)]

    def _end_of(self, step: Any) -> Event:
        chance, number = self.chance, step.command
        error = ev.ErrorInfo(type="ValueError", message="no")
        if step.cancel_requested and chance.happens(0.7):
            return ev.ActivityCancelled(command=number, reason="asked to")
        if chance.happens(0.75):
            return ev.ActivityCompleted(command=number, result=Payload(encode(chance.below(100))))
        if chance.happens(0.5):
            return ev.ActivityFailed(command=number, error=error)
        return chance.pick((ev.ActivityTimedOut(command=number, timeout=SECOND), ev.ActivityCancelled(command=number)))

    def _answer(self, number: int) -> Event:
        return ev.ApprovalResolved(command=number, outcome=self.chance.pick(("approved", "rejected", "failed")))

    def _call_back(self, number: int) -> Event:
        error = ev.ErrorInfo(type="Failed", message="no")
        completed = ev.CallbackCompleted(command=number, result=Payload(encode(self.chance.below(100))))
        failed = ev.CallbackFailed(command=number, error=error)
        return self.chance.pick((completed, completed, failed, ev.CallbackTimedOut(command=number)))

    def _end_of_child(self, number: int) -> Event:
        chance = self.chance
        if chance.happens(0.6):
            return ev.ChildWorkflowCompleted(command=number, result=Payload(encode(chance.below(100))))
        if chance.happens(0.4):
            return ev.ChildWorkflowCancelled(command=number, reason="asked to")
        error = ev.ErrorInfo(type="Failure", message="no")
        outcome = chance.pick(("failed", "terminated", "timed-out", "moved", "refused"))
        return ev.ChildWorkflowFailed(command=number, error=error, outcome=outcome)

    def _fate_of(self, number: int) -> Event:
        if self.chance.happens(0.8):
            return ev.MessageSent(command=number, message=f"m{number}")
        return ev.MessageRefused(command=number, why="it is over")

    # -- proofs -------------------------------------------------------------------------------------------------

    def digest(self) -> str:
        """Everything that came out, as one hash."""
        fake = self.fake
        openings = [msgspec.json.encode(bare(o)) for o in fake.openings]
        outcome = type(fake.outcome).__name__ if fake.error is None else type(fake.error).__name__
        told = "\n".join(self.trace)
        return hashlib.sha256(b"\n".join([*openings, outcome.encode(), told.encode()])).hexdigest()

    def prove(self, lengths: list[int] | None = None) -> None:
        """Cut the history behind each event: what is missing comes again, and the rest goes on the same."""
        for length in lengths or range(1, len(self.fake.events) + 1):
            self._prove_from(length)

    def prove_block(self) -> None:
        """Facts recorded while a run is blocked are reacted to afterwards, with the same commands in the same order."""
        events = self.fake.events
        if self.fake.error is not None:
            return
        begins = [n for n, event in enumerate(events) if n and not isinstance(event, Opening)]
        cut = self.chance.pick(begins) if begins else len(events)
        facts = [event for event in events[cut:] if not isinstance(event, Opening)]
        blocked = [*events[:cut], ev.RunBlocked(code="bug", message="typo"), *facts, ev.RunUnblocked()]
        replay = Replay(self.fake.program, started(), [e for e in events[:cut] if isinstance(e, Opening)])
        fresh = replay.apply(blocked)
        assert [bare(o) for o in fresh] == [bare(e) for e in events[cut:] if isinstance(e, Opening)]
        assert replay.outcome == self.fake.outcome
        replay.close()

    def _prove_from(self, length: int) -> None:
        fake = self.fake
        events = fake.events
        replay = Replay(fake.program, started(), [e for e in events[:length] if isinstance(e, Opening)])
        try:
            self._go_on(replay, length)
        except DwfError as error:
            assert fake.error is not None and str(error) == str(fake.error), error
        else:
            assert fake.error is None
            assert replay.outcome == fake.outcome
        machine = self.machines[-1]
        assert machine.trace[: len(self.trace)] == self.trace
        assert len(self.machines) > 1
        replay.close()

    def _go_on(self, replay: Replay, length: int) -> None:
        events = self.fake.events
        fresh = replay.apply(events[:length])
        at = length
        while True:
            expected = following_openings(events[at:])
            assert [bare(o) for o in fresh] == [bare(o) for o in expected], (length, at)
            at += len(expected)
            if at >= len(events):
                return
            replay.live = True
            fresh = replay.apply([events[at]])
            at += 1

    def prove_edit(self) -> None:
        """Over an edited program the history fits, or it is said where it does not; nothing else ever happens."""
        edited = edit(self.node, self.chance)
        events = self.fake.events
        program = Program(lambda _: flow.Flow(edited).main(), is_script=lambda file: file in _SCRIPTS)
        replay = Replay(program, started(), [e for e in events if isinstance(e, Opening)])
        with contextlib.suppress(ScriptError):
            replay.apply(events)
        replay.close()


def edit(node: programs.Node, chance: Chance) -> programs.Node:
    """The program with one of its sequences changed: two parts swapped, one left out or doubled, or all at once."""
    edited = copy.deepcopy(node)
    sequence = chance.pick([found for found in _parts(edited) if found[0] == "seq" and len(found) > 1])
    at = 1 + chance.below(len(sequence) - 1)
    how = chance.below(4)
    if how == 0:
        sequence[at], sequence[-1] = sequence[-1], sequence[at]
    elif how == 1:
        del sequence[at]
    elif how == 2:
        sequence.insert(at, copy.deepcopy(sequence[at]))
    else:
        sequence[:] = ["gather", sequence[1:], chance.happens(0.5)]
    return edited


def _parts(node: programs.Node) -> list[programs.Node]:
    return [node, *(found for part in node if isinstance(part, list) for found in _parts(part))]

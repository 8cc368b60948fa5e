"""The journal: a history, its fold and its replay, moving together. What is recorded goes through here, once.

An event is applied in memory first; the openings that come out of it follow it in the file, in the same batch. If the
batch cannot be written, all three are ahead of the disk: the journal is closed and made anew from the file.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

from msgspec.structs import replace

from dwf.activities.prints import PRINTED, Printed
from dwf.core.duration import stamp
from dwf.core.events import ApprovalRequested, Event, Opening, RunBlocked, WorkflowStarted
from dwf.core.length import CURE, crossed, measure
from dwf.core.parts import Divergence
from dwf.core.replay import Replay
from dwf.core.runtime import ActivityCall
from dwf.core.state import RunState
from dwf.engine.arrivals import Arrival
from dwf.engine.context import Engine, Loaded, Unwatched
from dwf.engine.family import Family
from dwf.engine.runs import folded
from dwf.engine.tokens import sealed
from dwf.engine.watchdog import OutOfTime
from dwf.errors import (
    DiskError,
    DwfError,
    InternalError,
    NondeterminismError,
    NotPermitted,
    ValueRefused,
    WaitsForNothing,
)
from dwf.scripts.packages import likely_cause
from dwf.scripts.undoing import program_of
from dwf.store.history import PENDING_FULL, History


class Journal:
    """One run under its lock. Close it, whatever happens. Nothing may be done before the first `commit`.

    While it is blocked facts are recorded all the same, and nothing is begun.
    """

    def __init__(self, engine: Engine, run: str, link: int) -> None:
        self._engine = engine
        self.run, self.link = run, link
        path = engine.store.layout.history_path(run, link)
        named = engine.store.was_named(path)
        self.history = History.open(engine.store.disk, path, engine.clock(), lazily=True, named=named)
        try:
            self.state: RunState = folded(self.history.events, path)
        except BaseException:
            self.history.close()
            raise
        self._tell = None if type(engine.watch) is Unwatched else engine.watch.event
        self._herald = engine.hooks.herald(run, link, self.history.events)
        self._blocked = False
        self.family = Family(engine)
        self.loaded: Loaded | None = None
        self._replay: Replay | None = None
        self._watched: AbstractContextManager[None] = nullcontext()
        self._voice: Voice | None = None
        self._staged: list[Event] = []

    @property
    def blocked(self) -> bool:
        """Whether the script is not to be asked: it cannot be, or a person has paused the run."""
        return self._blocked or self.state.paused is not None

    @property
    def replay(self) -> Replay:
        if self._replay is None:
            raise InternalError(what=f"{self.run} was asked for its script before it was replayed")
        return self._replay

    @property
    def replayed(self) -> bool:
        """Whether its script stands where the file ends."""
        return self._replay is not None

    def call(self, command: int) -> ActivityCall | None:
        """An open step as the script asked for it; None if the script cannot be asked."""
        return None if self._replay is None else self._replay.commands.calls.get(command)

    def misfit(self, command: int, result: bytes) -> str | None:
        """Why a result does not fit what the script has annotated; None if it does, or nobody can say."""
        call = self.call(command)
        return None if call is None or call.result_type is None else call.misfit(result)

    def refusal(self, command: int, result: bytes) -> str | None:
        """Why a result that a person gives cannot be taken for that step's; None if it can."""
        if self.call(command) is None:
            return "the script has to be asked whether it fits, and the run is blocked: mend that first"
        return self.misfit(command, result)

    # -- the script ---------------------------------------------------------------------------------------------

    def replay_all(self, loaded: Loaded) -> None:
        """Run the script over the whole file, and stage the openings that a torn batch has left out.

        Raises the error that blocks the run; nothing is staged then.
        """
        events = self.history.events
        started = events[0]
        assert isinstance(started, WorkflowStarted)
        openings = [event for event in events if isinstance(event, Opening)]
        self.loaded = loaded
        program = program_of(loaded.script, started)
        self._replay = Replay(program, started, openings, self._engine.store.blobs.fetch, self.history.bytes_until)
        self._watched = self._engine.watchdog.over(self._replay)
        told = self._told(events)
        self._voice = Voice(self._replay.commands.say)
        fresh = self._activate(events[:told])
        self._replay.live = True
        fresh += self._activate(events[told:])
        for opening in self._acceptable(fresh):
            self.record(opening)

    def deliver(self, body: Event) -> None:
        """Stage an event, let the script react, and stage what it asks for. Raises the error that blocks the run.

        The event stays staged when the script stumbles over it: it is a fact.
        """
        event = self.record(body)
        for opening in self._acceptable(self._activate((event,))):
            self.record(opening)

    def look(self, reader: str, call: Callable[[], object]) -> object:
        """Call something of the live script that may only look. Raises what it raises; what it prints is said."""
        heard = PRINTED.set(self._voice)
        try:
            with self._engine.watchdog.over(self.replay):
                return self.replay.look(reader, call)
        except OutOfTime:
            self.replay.bug = self.replay.commands.void or InternalError(what="workflow code was cut short")
            raise self.replay.bug from None
        finally:
            PRINTED.reset(heard)

    def block(self, error: DwfError) -> bool:
        """Write down why the script cannot go on; True if that is news. Nothing of the void activation is recorded."""
        # A script that is merely stuck can still be cancelled.
        self._blocked = not isinstance(error, WaitsForNothing)
        now = RunBlocked(
            code=error.code,
            message=error.message,
            hint=_hint(error, self.state),
            where=str(error.facts.get("where", "")),
            code_hash=self.loaded.content if self.loaded else self.state.code,
            diverged=_sides(error),
        )
        before = self.state.blocked
        if before is not None and _reason(before) == _reason(now):
            if self._blocked:
                self._forget_said()
            return False
        self.record(now)
        return True

    def tell_handlers(self) -> None:
        """Record what the script takes by handlers, if that has changed: for people, and for who sends something."""
        handlers = self.replay.commands.handlers
        if not handlers.changed:
            return
        handlers.changed = False
        takes = handlers.registered()
        if takes != replace(self.state.takes, id=0, ts=""):
            self.record(takes)

    def _told(self, events: Sequence[Event]) -> int:
        """How many of the recorded events the script has reacted to before, so that it does not say things twice."""
        if self.state.blocked is not None:
            return self.state.blocked.id
        return len(events) if self.state.begun else 0

    def _activate(self, events: Sequence[Event]) -> list[Opening]:
        replay = self.replay
        heard = PRINTED.set(self._voice)
        try:
            with self._watched:
                fresh = replay.apply(events)
        except OutOfTime:
            raise replay.commands.void or InternalError(what="workflow code was cut short") from None
        finally:
            PRINTED.reset(heard)
        if replay.commands.void is not None:
            raise replay.commands.void  # its time was up in the moment in which it came to its end
        return fresh

    def _acceptable(self, openings: list[Opening]) -> list[Opening]:
        """Refuse what could never be answered, before it is recorded."""
        for opening in openings if not self._engine.store.has_several_people else ():
            if isinstance(opening, ApprovalRequested) and opening.need > 1:
                raise ValueRefused(
                    what=f"dwf.approve(need={opening.need})",
                    why="this state directory belongs to one user, who is one person",
                    hint="use need=1 here",
                )
        return [sealed(opening, self._engine.store, self.state) for opening in openings]

    # -- the file -----------------------------------------------------------------------------------------------

    def record(self, body: Event) -> Event:
        """Stage an event that the script does not see, or an opening that it has asked for."""
        engine, history = self._engine, self.history
        event = history.stage(engine.store.blobs.pack(body), engine.clock())
        self.state.apply(event)
        self._staged.append(event)
        if history.pending_bytes >= PENDING_FULL:
            # What is missing of this batch after a crash is asked for again by the replay.
            self.commit()
        return event

    @property
    def dirty(self) -> bool:
        """Whether anything is staged."""
        return bool(self._staged)

    @property
    def has_to_ask(self) -> bool:
        """Whether a lock was asked for in what is only staged."""
        return self.dirty and self.state.locks.waited_for

    def commit(self) -> None:
        """Put on disk what was found and what is staged, and only then let anybody know of it. Raises DiskError."""
        if self._herald is not None:
            self._herald.before(self._staged)
        self.history.commit()
        told, self._staged = self._staged, []
        if self._herald is not None:
            self._herald.after()
        self.tell(told)
        self._emit()

    def tell(self, events: Iterable[Event]) -> None:
        """Let whoever looks on know what is on disk."""
        if self._tell is not None:
            for event in events:
                self._tell(self.run, event)

    def heard_of_family(self) -> list[Arrival]:
        """What was made and sent of what is on disk, and who has ended. A blocked run asks nobody for anything."""
        return [] if self.blocked else self.family.work(self.state)

    def rollback(self) -> None:
        """Forget what is staged; state and replay are then of no use."""
        self.history.rollback()
        self._staged = []

    def remark(self, before: int) -> str:
        """A line of news: it was found not to fit its file since then, or has become so long; else ""."""
        refused, after = self.state.refused, self.history.length
        if refused is not None and refused.id > before:
            return f"{self.run} stays on {self.state.code[:7]}: {refused.message}"
        if self.state.ended is not None or not crossed(before, after):
            return ""
        return f"{self.run} has {measure(after)}: {CURE}"

    def may_be_kept(self) -> bool:
        """Whether the next process to drive it would come to just this: everything is on disk, and nothing runs."""
        state = self.state
        return not (
            self.blocked
            or self._replay is None
            or self._staged
            or state.blocked is not None
            or state.ended is not None
            or state.head.code_mode != "pinned"
            or any(step.started is not None for step in state.steps.values())
        )

    def leave(self) -> None:
        """Give it up for a while; it is either taken up again, or closed."""
        self._part_with_herald()
        self.history.leave()

    def is_as_it_was_left(self) -> bool:
        """With the run's lock again: whether nobody else has written to it since."""
        return self.history.is_as_it_was_left()

    def _part_with_herald(self) -> None:
        if self._herald is not None:
            self._herald.over()

    def close(self) -> None:
        """End the script where it waits, and close the file."""
        self._part_with_herald()
        if self._replay is not None:
            heard = PRINTED.set(self._voice)
            self._replay.close()
            PRINTED.reset(heard)
        self.history.close()

    # -- what the script says -----------------------------------------------------------------------------------

    def _forget_said(self) -> None:
        """Drop what a void activation said, if it was told before."""
        if self._replay is not None:
            self._replay.commands.emissions = []

    def _emit(self) -> None:
        if self._replay is None or not self._replay.commands.emissions:
            return
        said, self._replay.commands.emissions = self._replay.commands.emissions, []
        self._log(said)
        for level, _, text in said:
            self._engine.watch.said(self.run, level, text)

    def _log(self, said: Iterable[tuple[int, str, str]]) -> None:
        now = stamp(self._engine.clock())
        lines = [f"{now} {logging.getLevelName(level)} {name}: {text}\n" for level, name, text in said]
        # News, not truth: for want of a log line no run is stopped.
        with contextlib.suppress(DiskError, NotPermitted):
            self._engine.store.outputs.log(self.run, "".join(lines).encode("utf-8", "backslashreplace"), self.link)


class Voice(Printed):
    """Takes what workflow code writes to stdout and stderr by any other way than print(), line by line."""

    __slots__ = ("_begun", "_say")

    def __init__(self, say: Callable[[int, str, str], None]) -> None:
        super().__init__(None)
        self._say = say
        self._begun = ["", ""]

    def write(self, which: int, data: bytes) -> None:
        text = self._begun[which] + data.decode("utf-8", "backslashreplace")
        *lines, self._begun[which] = text.split("\n")
        for line in lines:
            self._say(logging.WARNING if which else logging.INFO, "print", line)


def _hint(error: DwfError, state: RunState) -> str:
    cause = likely_cause(state) if isinstance(error, NondeterminismError) else ""
    return "; ".join(part for part in (cause, error.hint) if part)


def _sides(error: DwfError) -> Divergence | None:
    if not isinstance(error, NondeterminismError):
        return None
    facts = error.facts
    return Divergence(line=int(facts["line"]), recorded=str(facts["recorded"]), asked=str(facts["asked"]))


def _reason(blocked: RunBlocked) -> tuple[str, str, str]:
    return blocked.code, blocked.message, blocked.code_hash

"""The journal: a history, its fold and its replay, moving together. What is recorded goes through here, once.

An event is applied in memory first; the openings that come out of it follow it in the file, in the same batch. If the
batch cannot be written, all three are ahead of the disk: the journal is closed and made anew from the file.
"""

from __future__ import annotations

import logging

from dwf.core.duration import stamp
from dwf.core.events import Event, Opening, WorkflowStarted
from dwf.core.replay import Replay
from dwf.core.state import RunState, fold
from dwf.engine.context import Engine, Loaded
from dwf.errors import InternalError
from dwf.store.history import History


class Journal:
    """One run under its lock. Close it, whatever happens."""

    def __init__(self, engine: Engine, run: str, link: int) -> None:
        self._engine = engine
        self.run, self.link = run, link
        path = engine.store.layout.history_path(run, link)
        self.history = History.open(engine.store.disk, path, engine.clock())
        self.state: RunState = fold(self.history.events)
        self.loaded: Loaded | None = None
        self._replay: Replay | None = None
        self._staged: list[Event] = []

    @property
    def replay(self) -> Replay:
        if self._replay is None:
            raise InternalError(what=f"{self.run} was asked for its script before it was replayed")
        return self._replay

    def replay_all(self, loaded: Loaded) -> list[Opening]:
        """Run the script over the whole file; the openings that a torn batch has left out. Raises ScriptError."""
        events = self.history.events
        started = events[0]
        assert isinstance(started, WorkflowStarted)
        openings = [event for event in events if isinstance(event, Opening)]
        program = loaded.script.program(started.workflow)
        self.loaded = loaded
        self._replay = Replay(program, started, openings, self._engine.store.blobs.fetch)
        with self._engine.watchdog.over(self._replay):
            fresh = self._replay.apply(events)
        self._replay.live = True
        return fresh

    def record(self, body: Event) -> Event:
        """Stage an event that the script does not see, or an opening that it has asked for."""
        event = self.history.stage(self._engine.store.blobs.pack(body), self._engine.clock())
        self.state.apply(event)
        self._staged.append(event)
        return event

    def deliver(self, body: Event) -> list[Event]:
        """Stage an event, let the script react, and stage what it asks for, which is returned. Raises ScriptError.

        The event stays staged when the script stumbles over it: it is a fact.
        """
        event = self.record(body)
        with self._engine.watchdog.over(self.replay):
            fresh = self.replay.apply((event,))
        return [self.record(opening) for opening in fresh]

    @property
    def dirty(self) -> bool:
        """Whether anything is staged."""
        return bool(self._staged)

    def commit(self) -> None:
        """Put on disk what is staged, and only then let anybody know of it. Raises DiskError."""
        self.history.commit()
        told, self._staged = self._staged, []
        for event in told:
            self._engine.watch.event(self.run, event)
        self._emit()

    def rollback(self) -> None:
        """Forget what is staged; state and replay are then of no use."""
        self.history.rollback()
        self._staged = []

    def close(self) -> None:
        """End the script where it waits, and close the file."""
        if self._replay is not None:
            self._replay.close()
        self.history.close()

    def forget_said(self) -> None:
        """Drop what an activation said that counts for nothing and was told before."""
        if self._replay is not None:
            self._replay.commands.emissions = []

    def _emit(self) -> None:
        if self._replay is None or not self._replay.commands.emissions:
            return
        said, self._replay.commands.emissions = self._replay.commands.emissions, []
        now = stamp(self._engine.clock())
        lines = [f"{now} {logging.getLevelName(level)} {name}: {text}\n" for level, name, text in said]
        self._engine.store.outputs.log(self.run, "".join(lines).encode("utf-8", "backslashreplace"), self.link)
        for level, _, text in said:
            self._engine.watch.said(self.run, level, text)



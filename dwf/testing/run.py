"""One run of a test: what became of it, for assertions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from dwf.core import events as ev
from dwf.core.duration import unstamp
from dwf.core.values import decode
from dwf.engine.runs import RunView, load

if TYPE_CHECKING:
    from dwf.testing.env import Env

E = TypeVar("E", bound=ev.Event)


class Run:
    """A run by its id, as it is when it is asked."""

    def __init__(self, env: Env, run: str) -> None:
        self._env, self.id = env, run

    def __repr__(self) -> str:
        return f"<Run {self.id}: {self.status}>"

    def _view(self) -> RunView:
        return load(self._env.store, self.id)

    @property
    def status(self) -> str:
        """The word that `dwf list` has for it: completed, failed, waiting, blocked, ..."""
        return self._view().status.value

    @property
    def events(self) -> list[ev.Event]:
        """Its history: of the newest instance, if it has continued as new."""
        return self._view().events

    def all(self, kind: type[E]) -> list[E]:
        """Its events of that type, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def result(self) -> Any:
        """What it returned. AssertionError with what there is instead, if it did not."""
        ends = self.all(ev.WorkflowCompleted)
        if not ends:
            raise AssertionError(f"{self.id} has no result: {self.told}")
        return decode(self._env.store.blobs.resolve(ends[0].result))

    @property
    def error(self) -> ev.ErrorInfo | None:
        """What it failed with; None if it has not failed."""
        ends = self.all(ev.WorkflowFailed)
        return ends[0].error if ends else None

    @property
    def steps(self) -> list[str]:
        """The steps that were completed, by name, in the order in which they ended."""
        names = {event.command: event.title or event.name for event in self.all(ev.ActivityScheduled)}
        return [names[event.command] for event in self.all(ev.ActivityCompleted)]

    def attempts(self, step: str) -> int:
        """How many attempts of the steps of that name were begun."""
        commands = {e.command for e in self.all(ev.ActivityScheduled) if step in (e.name, e.title)}
        return sum(event.command in commands for event in self.all(ev.ActivityStarted))

    @property
    def elapsed(self) -> timedelta:
        """From its start to the last thing that happened."""
        events = self.events
        return timedelta(microseconds=unstamp(events[-1].ts) - unstamp(events[0].ts))

    @property
    def told(self) -> str:
        """Where it is, in a line: its status, and what it waits for or why it ended."""
        view = self._view()
        state = view.state
        why = view.problem.message if view.problem is not None else ""
        if state is not None and state.blocked is not None:
            why = state.blocked.message
        elif state is not None and isinstance(state.ended, ev.WorkflowFailed):
            why = f"{state.ended.error.type}: {state.ended.error.message}"
        elif state is not None and state.ended is None:
            waits = [f"signal {wait.opened.name}" for wait in state.signal_waits.values()]
            waits += [f"approval {approval.requested.prompt!r}" for approval in state.approvals.values()]
            waits += [f"step {step.title}" for step in state.steps.values()]
            why = "it waits for " + (", ".join(waits) or "a time")
        return f"{view.status.value}{'; ' if why else ''}{why}"

    # -- what others do to it -----------------------------------------------------------------------------------

    def signal(self, name: str, payload: Any = None) -> None:
        """What `dwf signal` does."""
        self._env.signal(self.id, name, payload)

    def approve(self, comment: str = "", step: str | None = None) -> None:
        """What `dwf approve` does."""
        self._env.answer(self.id, True, comment, step)

    def reject(self, comment: str = "", step: str | None = None) -> None:
        """What `dwf reject` does."""
        self._env.answer(self.id, False, comment, step)

    def cancel(self, reason: str = "by the test") -> None:
        """What `dwf cancel` does."""
        self._env.cancel(self.id, reason)

    def query(self, name: str, **arguments: Any) -> Any:
        """What `dwf query` prints."""
        return self._env.query(self.id, name, arguments)

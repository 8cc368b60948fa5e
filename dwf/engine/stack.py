"""The stack: where each coroutine of an open run waits, found by replaying its history here, without a trace."""

from __future__ import annotations

from dataclasses import dataclass

from dwf.core.commands import waiting_lines
from dwf.core.replay import Replay
from dwf.core.tasks import WorkflowTask
from dwf.engine.reading import replayed
from dwf.engine.runs import load
from dwf.engine.summary import waits
from dwf.errors import WrongState
from dwf.store.room import Store


@dataclass(frozen=True)
class TaskStack:
    """One task of a run. lines: (`file.py:12 in name`, the source of that line), outermost first."""

    name: str
    lines: list[tuple[str, str]]
    awaits: str


def stack(store: Store, run: str, uid: int) -> list[TaskStack]:
    """The tasks of an open run. Runs its script as the caller, so it is refused for code that others own.

    Raises NotFound (4), WrongState (7), NotPermitted (77), and (65) what makes that it cannot be replayed.
    """
    view = load(store, run)
    if view.problem is not None:
        raise view.problem
    state = view.state
    assert state is not None
    if state.ended is not None:
        raise WrongState(what=f"run {run} is {state.status.value}; it waits nowhere", hint=f"dwf history {run}")
    with replayed(store, view, uid) as (replay, loaded):
        awaited = [f"{wait.kind} {wait.what}" for wait in waits(state)]
        source = dict(loaded.sources.files)
        return [_of(task, replay, source, awaited) for task in replay.stack()]


def _of(task: WorkflowTask, replay: Replay, source: dict[str, bytes], awaited: list[str]) -> TaskStack:
    lines = waiting_lines(task, replay.program.is_script)
    told = [(line, _source_line(line, source)) for line in lines]
    name = task.get_name()
    return TaskStack("main" if name == "t1" else name, told, "; ".join(awaited))


def _source_line(place: str, source: dict[str, bytes]) -> str:
    name, _, rest = place.partition(":")
    number = int(rest.split(" ", 1)[0])
    found = next((data for file, data in source.items() if file.rpartition("/")[2] == name), b"")
    lines = found.decode("utf-8", "replace").splitlines()
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""

"""The stack: where each coroutine of an open run waits, found by replaying its history here, without a trace."""

from __future__ import annotations

from dataclasses import dataclass

from dwf.core.commands import waiting_lines
from dwf.core.events import Opening
from dwf.core.replay import Program, Replay
from dwf.core.state import RunState
from dwf.core.tasks import WorkflowTask
from dwf.engine.context import Codes, Loaded
from dwf.engine.owners import require_readers
from dwf.engine.runs import load
from dwf.engine.summary import waits
from dwf.engine.watchdog import Watchdog
from dwf.errors import CannotReplay, NotFound, ScriptError, ScriptRefused, WrongState
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
    require_readers(store, state, uid)
    loaded, program = _code_of(store, state)
    openings = [event for event in view.events if isinstance(event, Opening)]
    replay = Replay(program, state.head, openings, store.blobs.fetch)
    watchdog = Watchdog()
    try:
        with watchdog.over(replay):
            replay.apply(view.events)
        awaited = [f"{wait.kind} {wait.what}" for wait in waits(state)]
        source = dict(loaded.sources.files)
        return [_of(task, replay, source, awaited) for task in replay.stack()]
    except ScriptError as error:
        error.facts.setdefault("run", run)  # for its hint
        raise
    finally:
        replay.close()
        watchdog.close()


def _code_of(store: Store, state: RunState) -> tuple[Loaded, Program]:
    try:
        loaded = Codes(store).of(state)
        return loaded, loaded.script.program(state.head.workflow)
    except (ScriptRefused, NotFound) as error:
        raise CannotReplay(run=state.head.run, why=error.message, hint=error.hint) from error


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

"""Replaying one run for who asks: up to a line of its history, on its own code or another, and where it stands then.

It leaves no trace. The script is the caller's process's to run, so it is refused for code of strangers (owners.py).
"""

from __future__ import annotations

import contextlib
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from dwf.core.events import Event, Opening
from dwf.core.matching import frames_of
from dwf.core.outcome import place
from dwf.core.replay import Replay
from dwf.core.state import RunState
from dwf.core.tasks import WorkflowTask
from dwf.engine.checking import other_end
from dwf.engine.context import Codes, Loaded
from dwf.engine.owners import require_mine
from dwf.engine.reading import code_of
from dwf.engine.routing import split_name
from dwf.engine.runs import RunView, load
from dwf.engine.watched import opened
from dwf.errors import CannotReplay, NotFound, ScriptRefused, UsageError
from dwf.scripts.collect import collect
from dwf.scripts.undoing import program_of
from dwf.store.code import bundle_hash
from dwf.store.room import Store

_MOST_VARIABLES = 40
_LONGEST = 200


@dataclass(frozen=True)
class Place:
    """A line of the script at which a task waits. variables: its local ones, each as `repr` has it, cut where long."""

    at: str
    source: str
    variables: dict[str, str]


@dataclass(frozen=True)
class Stopped:
    """One task, the outermost line first. frames: the same, for a debugger."""

    name: str
    places: list[Place]
    frames: list[FrameType] = field(repr=False)


@dataclass(frozen=True)
class Stand:
    """Where a replay has come to.

    last: the line that was delivered last, of `lines`. adds: what the script asks for that the history does not have.
    ended: what the script has come to, as the event that would say so; "" if it waits. why: how it differs from what
    is recorded, "" if it does not.
    """

    run: str
    code: str
    script: str
    last: Event
    lines: int
    adds: list[str]
    ended: str
    why: str
    tasks: list[Stopped]


@contextlib.contextmanager
def stood_at(store: Store, run: str, uid: int, against: str = "", line: int = 0) -> Iterator[Stand]:
    """Where a run stands when that line of its history was delivered; 0: the last one. Valid in the block only.

    against: a script to replay it on, instead of its own code. Raises NotFound (4), UsageError (2) for a line that is
    not there, NotPermitted (77), and (65) what makes that it cannot be replayed so far.
    """
    view = load(store, run)
    if view.problem is not None:
        raise view.problem
    state = view.state
    assert state is not None
    if line and not 1 <= line <= len(view.events):
        raise UsageError(what=f"{run} has no line {line}", hint=f"it has 1 to {len(view.events)}: dwf history {run}")
    loaded = _code(store, state, uid, against)
    with _replayed(store, view, state, loaded, line or len(view.events)) as (replay, fresh):
        yield _stand(view, state, loaded, replay, fresh, line or len(view.events))


def _code(store: Store, state: RunState, uid: int, against: str) -> Loaded:
    if not against:
        return code_of(store, state, uid)[0]
    path, _ = split_name(against)
    sources = collect(path)
    require_mine(store, sources, uid)
    try:
        return Codes(store).load(sources, bundle_hash(dict(sources.files), sources.main))
    except ScriptRefused as error:
        raise CannotReplay(run=state.head.run, why=error.message, hint=error.hint) from error


@contextlib.contextmanager
def _replayed(
    store: Store, view: RunView, state: RunState, loaded: Loaded, line: int
) -> Iterator[tuple[Replay, list[Opening]]]:
    """The time that the script takes is watched; what is done in the block is not."""
    try:
        program = program_of(loaded.script, state.head)
    except NotFound as error:
        raise CannotReplay(run=view.run, why=error.message, hint=error.hint) from error
    weigh = store.weight(view.run, view.link)
    with opened(program, state, view.events, store.blobs.fetch, weigh) as (replay, watchdog):
        with watchdog.over(replay):
            fresh = replay.apply(view.events[:line])
        yield replay, fresh


def _stand(view: RunView, state: RunState, loaded: Loaded, replay: Replay, fresh: list[Opening], line: int) -> Stand:
    outcome = replay.outcome
    return Stand(
        run=view.run,
        code=loaded.content,
        script=f"{loaded.sources.origin}/{loaded.sources.main}",
        last=view.events[line - 1],
        lines=len(view.events),
        adds=[type(opening).__name__ for opening in fresh],
        ended=type(outcome).__name__ if outcome is not None else "",
        why=other_end(state, outcome) if line == len(view.events) else "",
        tasks=[_stopped(task, replay, dict(loaded.sources.files)) for task in replay.stack()],
    )


def _stopped(task: WorkflowTask, replay: Replay, files: dict[str, bytes]) -> Stopped:
    frames = [frame for frame in frames_of(task) if replay.program.is_script(frame.f_code.co_filename)]
    name = task.get_name()
    return Stopped("main" if name == "t1" else name, [_place(frame, files) for frame in frames], frames)


def _place(frame: FrameType, files: dict[str, bytes]) -> Place:
    name, number = frame.f_code.co_filename.partition("@")[0], frame.f_lineno
    lines = files.get(name, b"").decode("utf-8", "replace").splitlines()
    source = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    at = f"{place(frame.f_code.co_filename, number)} in {frame.f_code.co_name}"
    values = list(frame.f_locals.items())[:_MOST_VARIABLES]
    return Place(at, source, {variable: _shown(value) for variable, value in values})


def _shown(value: Any) -> str:
    """A value in one line. What it is made of may have a __repr__ of the script's own."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = _LONGEST
    short.maxdict = short.maxlist = short.maxtuple = short.maxset = 12
    try:
        text = " ".join(short.repr(value).split())
    except Exception as error:
        text = f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."

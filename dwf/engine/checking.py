"""Checking: would the runs that there are still fit a script that has been edited? Nothing is recorded, nothing moved.

Each run's history is replayed over the file that is given, or over the code that it is on; what it then asks for that
it did not ask for is told with both sides, and with what would cure it (cures.py). One script is loaded once, for all
runs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

from dwf.core.duration import asked_span, unstamp
from dwf.core.events import (
    Event,
    Opening,
    TimerStarted,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowContinuedAsNew,
    WorkflowFailed,
)
from dwf.core.replay import Fetch
from dwf.core.state import RunState
from dwf.engine.context import Loaded
from dwf.engine.cures import candidates
from dwf.engine.lists import refined
from dwf.engine.owners import require_mine
from dwf.engine.runs import folded, load
from dwf.engine.upgrade import come_to
from dwf.errors import CannotReplay, DwfError, NotFound, ScriptError
from dwf.scripts.collect import Sources
from dwf.scripts.load import Script
from dwf.scripts.load import load as load_script
from dwf.scripts.undoing import UNDO, program_of
from dwf.store.blobs import same_payload
from dwf.store.choice import EVERY, Choice
from dwf.store.code import bundle_hash
from dwf.store.recorded import Recorded, histories_in, recorded
from dwf.store.room import Store

Progress = Callable[[int, int], None]
Weigh = Callable[[int], int]
_MOST_SEARCHES = 3
_ENDS_OF_SCRIPT = (WorkflowCompleted, WorkflowFailed, WorkflowCancelled, WorkflowContinuedAsNew)
_BY_PATH, _BY_NAME_OF_FILE, _BY_WORKFLOW, _OTHER = range(4)


class Fit(StrEnum):
    """What became of one history."""

    SAFE = "safe"
    DIVERGES = "diverges"
    """the script asks for something else than it did"""
    BREAKS = "breaks"
    """the script cannot be run over it: a bug, a guard, a parameter or a workflow that is not there"""
    UNREADABLE = "unreadable"
    """the history itself cannot be read"""


@dataclass(frozen=True)
class Verdict:
    """One run against one file.

    where: `book.py:31` in the file that was checked, "" if nowhere in particular. line, recorded, asked: the two sides
    of a divergence. why: in a sentence. adds: so many commands are new at the end of its history. cure: lines of Python
    that were tried, and with which it fits (or gets further); "" if none is known.
    """

    run: str
    workflow: str
    file: str
    fit: Fit
    why: str = ""
    where: str = ""
    line: int = 0
    recorded: str = ""
    asked: str = ""
    adds: int = 0
    cure: str = ""
    hint: str = ""
    error: DwfError | None = None


@dataclass(frozen=True)
class Subject:
    """A history to hold against the files. `known_as`: the run's id, or the path of its file."""

    known_as: str
    state: RunState
    events: list[Event]
    fetch: Fetch
    old: Callable[[], dict[str, bytes]]
    """the files of the code that it is on; empty if they are not to be had"""
    weigh: Weigh | None = None


@dataclass(frozen=True)
class Checked:
    """A file that was collected and loaded. `path`: as it was given."""

    path: str
    sources: Sources
    loaded: Loaded

    @property
    def place(self) -> str:
        return f"{self.sources.origin}/{self.sources.main}"


def prepared(store: Store | None, path: str, sources: Sources, uid: int) -> Checked:
    """Load a script that is to be checked. Raises NotPermitted (77) for a stranger's, ScriptRefused (2)."""
    require_mine(store, sources, uid)
    content = bundle_hash(dict(sources.files), sources.main)
    script = load_script(sources.files, sources.main, content, sources.origin)
    return Checked(path, sources, Loaded(script, content, sources))


# -- which runs -------------------------------------------------------------------------------------------------


def subjects(store: Store, closed: bool, progress: Progress | None = None) -> Iterator[Subject | Verdict]:
    """The histories of all open runs, or of all that are not in the archive; a Verdict for one that is unreadable."""
    rows = list(refined(store, EVERY if closed else Choice(open_only=True)))
    for number, row in enumerate(rows):
        if progress is not None:
            progress(number, len(rows))
        try:
            view = load(store, row.run)
        except NotFound:
            continue  # it went away in this moment
        if view.state is None or view.problem is not None:
            why = view.problem.message if view.problem is not None else "it has no first line"
            yield Verdict(row.run, row.workflow, "", Fit.UNREADABLE, why, error=view.problem)
        elif closed or view.state.ended is None:
            state = view.state
            old = partial(_stored, store, state)
            yield Subject(row.run, state, view.events, store.blobs.fetch, old, store.weight(view.run, view.link))
    if progress is not None:
        progress(len(rows), len(rows))


def _stored(store: Store, state: RunState) -> dict[str, bytes]:
    try:
        return dict(store.code.load(state.code, state.head.run).files)
    except DwfError:
        return {}  # not for this user to read, or gone


def recorded_subjects(store: Store | None, paths: list[str]) -> Iterator[Subject]:
    """Histories in files or directories. Raises what is wrong with one of them."""
    for path in (file for given in paths for file in histories_in(given)):
        found = recorded(path)
        state = folded(found.events, path)
        yield Subject(path, state, found.events, partial(_value, store, found), partial(found.code, state.code))


def _value(store: Store | None, found: Recorded, sha256: str) -> bytes:
    if sha256 in found.content:
        return found.content[sha256]
    if store is None:
        raise CannotReplay(run=found.path, why="a large value is not with it", hint="dwf export writes it with them")
    return store.blobs.fetch(sha256)


def check(files: list[Checked], found: Iterable[Subject | Verdict], ends: bool = False) -> tuple[list[Verdict], int]:
    """Hold each history against the file that it belongs to; and how many belong to none of them.

    That is the file at the path of the run's script; else one of the same name that has its workflow; else, for a
    workflow that no other file has had runs of, any that has it. ends: what is over must come to the same end, too.
    """
    cures = Cures()
    told: list[tuple[int, Verdict]] = []
    passed_over = 0
    for one in found:
        if isinstance(one, Verdict):
            told.append((_BY_PATH, one))
            continue
        near = [(_nearness(one.state, file), file) for file in files]
        best = min((level for level, _ in near), default=_OTHER)
        if best == _OTHER:
            passed_over += 1
        told += [(best, _verdict(one, file, cures, ends)) for level, file in near if level == best < _OTHER]
    sure = {(verdict.file, verdict.workflow) for level, verdict in told if level < _BY_WORKFLOW}
    kept = [v for level, v in told if level < _BY_WORKFLOW or (v.file, v.workflow) not in sure]
    return kept, passed_over + len(told) - len(kept)


def check_own(found: Iterable[Subject | Verdict], code: Callable[[RunState], Loaded]) -> Iterator[Verdict]:
    """Hold each history against the code that its run is on: it must ask for the same, and come to the same end.

    code: finds it; a DwfError that it raises is told of that run.
    """
    cures = Cures()
    for one in found:
        if isinstance(one, Verdict):
            yield one
            continue
        state = one.state
        try:
            loaded = code(state)
        except DwfError as error:
            why, hint = error.message, error.hint or ""
            yield Verdict(one.known_as, state.head.workflow, "", Fit.UNREADABLE, why, hint=hint, error=error)
        else:
            yield _verdict(one, Checked(state.script, loaded.sources, loaded), cures, ends=True)


def _nearness(state: RunState, file: Checked) -> int:
    if state.script == file.place:
        return _BY_PATH
    is_undo = state.head.follows is not None and state.head.follows.how == UNDO
    if is_undo or state.head.workflow not in file.loaded.script.workflows:
        return _OTHER
    return _BY_NAME_OF_FILE if state.script.rpartition("/")[2] == file.sources.main else _BY_WORKFLOW


# -- one run ----------------------------------------------------------------------------------------------------


def _verdict(one: Subject, file: Checked, cures: Cures, ends: bool) -> Verdict:
    safe = Verdict(one.known_as, one.state.head.workflow, file.path, Fit.SAFE)
    try:
        fresh, outcome = replayed(one, file.loaded.script)
        if ends and (why := other_end(one.state, outcome)):
            return replace(safe, fit=Fit.DIVERGES, why=why)
        # One that has not begun asks for everything: that is no news.
        return replace(safe, adds=len(fresh) if one.state.begun else 0)
    except ScriptError as error:
        return _refused(safe, error, one, file, cures)
    except DwfError as error:
        return replace(safe, fit=Fit.UNREADABLE, why=error.message, hint=error.hint or "", error=error)


def replayed(one: Subject, script: Script) -> tuple[list[Opening], Event | None]:
    """Replay a history over a script; what it asks for at its end, and its own end. Raises ScriptError."""
    try:
        program = program_of(script, one.state.head)
    except NotFound as error:
        raise ScriptError(what=error.message, hint=error.hint) from None
    return come_to(program, one.state, one.events, one.fetch, one.weigh)


def other_end(state: RunState, outcome: Event | None) -> str:
    """How the end of a script differs from that of its history, in words; "" if it does not, or the run is not over."""
    ended = state.ended
    if not isinstance(ended, _ENDS_OF_SCRIPT):
        return ""
    if isinstance(ended, WorkflowCompleted) and isinstance(outcome, WorkflowCompleted):
        if same_payload(ended.result, outcome.result):
            return ""
        now = "returns something else"
    elif type(ended) is type(outcome):
        return ""
    else:
        now = f"comes to {type(outcome).__name__}" if outcome is not None else "goes on"
    return f"line {ended.id} recorded {type(ended).__name__}, and the script {now}"


def _refused(safe: Verdict, error: ScriptError, one: Subject, file: Checked, cures: Cures) -> Verdict:
    facts = error.facts
    told = replace(
        safe, fit=Fit.BREAKS, why=error.message, where=_where(facts.get("where"), safe, file), hint=error.hint or ""
    )
    if error.code != "nondeterminism":
        return told
    told = replace(told, fit=Fit.DIVERGES, line=facts["line"], recorded=facts["recorded"], asked=facts["asked"])
    return _spoken_timers(replace(told, cure=cures.of(one, file, told)), one)


def _spoken_timers(told: Verdict, one: Subject) -> Verdict:
    """Of two timers how long they are, and not only until when."""
    event = next((event for event in one.events if event.id == told.line), None)
    asked = re.fullmatch(r"TimerStarted (\S+) \(command \d+\)", told.asked)
    if not isinstance(event, TimerStarted) or asked is None:
        return told
    ends = event.fire_at, asked[1]
    sides = (f"TimerStarted of {asked_span(unstamp(end) - unstamp(event.ts))}, until {end}" for end in ends)
    return replace(told, recorded=next(sides), asked=next(sides))


class Cures:
    """What was found to cure a divergence; tried first with the next run that parts from the script at that line."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], list[tuple[str, Script]]] = {}
        self._searches: Counter[tuple[str, ...]] = Counter()

    def of(self, one: Subject, file: Checked, told: Verdict) -> str:
        """Lines with which it fits, or if there are none with which it gets further; "" if none are known."""
        key = (one.state.code, file.path, told.where)
        known = self._known.setdefault(key, [])
        for lines, script in known:
            if _reached(one, script) is None:
                return lines
        self._searches[key] += 1
        # Many runs, each of which needs another one, or none of which has any: a search is dear.
        return self._found(one, file, told, known) if self._searches[key] <= _MOST_SEARCHES else ""

    def _found(self, one: Subject, file: Checked, told: Verdict, known: list[tuple[str, Script]]) -> str:
        further = ""
        for candidate in candidates(one.old(), file.sources, told.where):
            script = _loaded(file.sources, candidate.files)
            reached = 0 if script is None else _reached(one, script)
            if reached is None and script is not None:
                known.append((candidate.lines, script))
                return candidate.lines
            if reached is not None and reached > told.line:
                further = further or candidate.lines
        return further


def _loaded(sources: Sources, files: dict[str, bytes]) -> Script | None:
    try:
        return load_script(files, sources.main, bundle_hash(files, sources.main), sources.origin)
    except DwfError:
        return None


def _reached(one: Subject, script: Script) -> int | None:
    """Which line of a history a script comes to; None if all of it fits."""
    try:
        replayed(one, script)
    except DwfError as error:
        return int(error.facts.get("line", 0)) if error.code == "nondeterminism" else 0
    return None


def _where(said: object, safe: Verdict, file: Checked) -> str:
    """`book.py:31`; for the end of a script the last line of its workflow."""
    words = str(said or "").partition(" in ")[0]
    if ":" in words:
        return words
    workflow = file.loaded.script.workflows.get(safe.workflow)
    if workflow is None or not words:
        return ""
    lines = [line for *_, line in workflow.function.__code__.co_lines() if line]
    return f"{file.sources.main.rpartition('/')[2]}:{max(lines)}" if lines else ""

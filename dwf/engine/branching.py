"""Going on from a line of a run that went wrong, in a new history: reset and fork.

Nothing is edited: the old history stays as it is, and the new one says in its first line whose lines it begins with. A
reset is the next instance of the same id, of a run that is over; a fork has an id of its own, and its run may go on.
Before anything is made the lines are replayed against the code that is to go on with them.
"""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_fields

from msgspec.structs import replace

from dwf import __version__
from dwf.core import branch
from dwf.core import events as ev
from dwf.core.duration import stamp, unstamp
from dwf.core.events import Identity, Payload
from dwf.core.messages import check_run_id, quoted
from dwf.core.parts import Decision
from dwf.core.state import RunState
from dwf.engine.claims import taken_over
from dwf.engine.context import Codes, wall_clock_us
from dwf.engine.fitting import refuse
from dwf.engine.runs import RunView, load
from dwf.engine.start import lock_on
from dwf.engine.summary import row_of
from dwf.engine.tokens import sealed
from dwf.engine.upgrade import brought, replaying
from dwf.errors import CannotReplay, Conflict, NotFound, ScriptError, UsageError, WrongState
from dwf.scripts.collect import Sources
from dwf.scripts.load import Script
from dwf.scripts.packages import as_here, versions
from dwf.scripts.undoing import program_of
from dwf.store.creation import create_run
from dwf.store.history import believe_history
from dwf.store.record import Chain
from dwf.store.room import Store

FIRST, LAST_OK = "first", "last-ok"
RESET, RETRY, FORK = "reset", "retry", "fork"


@dataclass(frozen=True)
class Wish:
    """What is asked for. to: a step by number or name, `first`, or `last-ok`, which is before the step that failed
    last; or `line`: the last that is kept. ask_again: no answer of a person is kept. signals: what was sent later is
    sent again. script: other code. results: by step, in place of what was recorded. run: the id of a fork. how: what a
    reset is recorded as, RESET or RETRY.
    """

    to: str = ""
    line: int = 0
    ask_again: bool = False
    signals: bool = True
    script: str | None = None
    results: Mapping[str, bytes] | None = None
    run: str = ""
    how: str = RESET


@dataclass(frozen=True)
class Branch:
    """What was made. lines, answers: taken over; next: the step that it goes on with, "" if that is not a step."""

    run: str
    link: int
    of: str
    lines: int
    next: str
    answers: int
    signals: int


@dataclass(frozen=True)
class _Code:
    script: Script
    content: str
    place: str
    sources: Sources | None
    owner: int
    permissions: str
    packages: dict[str, str]


def reset(store: Store, run: str, wish: Wish, by: Identity, reason: str,
          clock: Callable[[], int] = wall_clock_us) -> Branch:  # fmt: skip
    """Make the next instance of a run that is over; when this returns it is there for good.

    Raises WrongState (7) for an open run, and where nothing can go on from there; UsageError (2); CannotReplay and
    NondeterminismError (65) if the code does not fit these lines; NotFound (4). Nothing is made then.
    """
    check_run_id(run)
    with lock_on(store, run):
        view = _readable(store, run)
        assert view.state is not None
        if not isinstance(view.state.ended, ev.TERMINAL):
            hint = f"of an open run: dwf step retry {run}; dwf fork {run} --id ... goes on beside it"
            what = f"run {run} is {view.state.status.value}; only what is over can begin again from a line of it"
            raise WrongState(what=what, hint=hint)
        return _branch(store, view, with_fields(wish, run=run), view.link + 1, wish.how, by, reason, clock())


def fork(store: Store, run: str, wish: Wish, by: Identity, reason: str,
         clock: Callable[[], int] = wall_clock_us) -> Branch:  # fmt: skip
    """Make another run that begins with lines of this one, whatever becomes of it. Raises what `reset` raises.

    Conflict (9) if its id is in use.
    """
    view = _readable(store, run)
    if not wish.run:
        raise UsageError(what="what is the fork to be called?", hint=f"dwf fork {run} --id {run}-b -m ...")
    check_run_id(wish.run)
    if os.path.lexists(store.history(wish.run)):
        raise Conflict(what=f"the id {wish.run} is in use", hint=f"see it: dwf show {wish.run}; choose another --id")
    return _branch(store, view, wish, 1, FORK, by, reason, clock())


def _readable(store: Store, run: str) -> RunView:
    view = load(store, run)
    if view.problem is not None or view.state is None:
        assert view.problem is not None
        raise view.problem
    believe_history(store.disk, view.path)
    return view


def _branch(
    store: Store, view: RunView, wish: Wish, link: int, how: str, by: Identity, reason: str, now_us: int
) -> Branch:
    if not reason.strip():
        raise UsageError(what=f"a {how} needs a reason", hint="-m 'why': it is recorded with your name")
    assert view.state is not None
    decided = Decision(by=by, reason=reason, posted=stamp(now_us))
    results = _results(view.events, wish, view.run)
    lines = _lines(view, wish, results)
    if why := branch.in_the_way(view.events, lines):
        what = f"nothing can go on from line {lines} of {view.run}: {why}"
        raise WrongState(what=what, hint=_elsewhere(view, lines))
    code = _code(store, view.state, wish.script)
    head = _head(view.state.head, view.events, lines, wish.run, link, how, code, by, reason, now_us)
    packed = {command: Payload(result) for command, result in results.items()}
    again = branch.signals_behind(view.events, lines) if wish.signals else []
    kept = branch.taken_over(view.events, lines, packed, decided, stamp(now_us))
    page = _Page(store, head, now_us)
    page.write(*kept)
    try:
        page.go_on(code.script, store.weight(view.run, view.link), again, results)
    except NotFound as error:
        raise CannotReplay(run=view.run, why=error.message, hint=error.hint) from error
    except ScriptError as error:
        error.hint = _own_id(error, wish.run, view.run) or _where_to_cut(view.run, results) or error.hint
        raise
    if code.sources is not None:
        store.code.save(dict(code.sources.files), code.sources.main)
    with taken_over(store, page.state):
        create_run(store.disk, store.layout, store.index, row_of(page.state, link, due_now=True), b"".join(page.lines))
    store.index.wake(wish.run)
    answers = sum(isinstance(event, ev.ApprovalAnswered) for event in kept)
    return Branch(wish.run, link, view.run, lines, _next(view.events, lines), answers, len(again))


def _where_to_cut(run: str, results: Mapping[int, bytes]) -> str:
    """With another result the script may go another way from there on: what was recorded behind it cannot be kept."""
    if not results:
        return ""
    return f"keep less: what follows the first changed result may not fit it (--line, see dwf history {run})"


def _own_id(error: ScriptError, fork: str, run: str) -> str:
    """What a script has asked for under its own id was done under that; under another it would not be found."""
    recorded, asked = (str(error.facts.get(side, "")) for side in ("recorded", "asked"))
    if fork == run or recorded == asked or recorded.replace(run, fork) != asked:
        return ""
    keeps = f"dwf reset {run} keeps it, once it is over"
    return f"it asks with its own id (dwf.info().run), and a fork has another; {keeps}"


def _elsewhere(view: RunView, lines: int) -> str:
    before, behind = branch.nearest(view.events, lines)
    places = [f"--line {before} is before it" if before else "", f"--line {behind} behind it" if behind else ""]
    return f"{', '.join(filter(None, places))}; see dwf history {view.run}"


def _head(
    head: ev.WorkflowStarted, events: Sequence[ev.Event], lines: int, run: str, link: int, how: str, code: _Code,
    by: Identity, reason: str, now_us: int,
) -> ev.WorkflowStarted:  # fmt: skip
    begins_anew = lines == 1
    follows = branch.follows_of(head, events, lines, how, stamp(now_us))
    return replace(
        head,
        id=0,
        ts="" if begins_anew else head.ts,
        run=run,
        nonce=secrets.token_hex(8),
        link=link,
        continues="",
        chain="",
        attempt=1,
        parent=None,
        script=code.place,
        code=code.content,
        code_owner=code.owner,
        code_permissions=code.permissions,
        code_from=head.code_from if code.content == head.code else ev.CodeFrom.FILE,
        by=by,
        reason=reason,
        start_at="" if begins_anew else head.start_at,
        deadline="",
        run_deadline=stamp(now_us + head.run_timeout) if head.run_timeout else "",
        python=platform.python_version(),
        dwf=__version__,
        packages=code.packages,
        follows=replace(follows, seed="") if begins_anew else follows,
    )


class _Page:
    """The lines of the new history, as they are written one after the other, and what they come to."""

    def __init__(self, store: Store, head: ev.WorkflowStarted, now_us: int) -> None:
        self._store, self._now_us = store, now_us
        self._chain = Chain.begin(head.run, head.nonce)
        self.events: list[ev.Event] = []
        self.lines: list[bytes] = []
        self.state = RunState()
        self.write(head)

    def write(self, *events: ev.Event) -> None:
        for event in events:
            at_us = unstamp(event.ts) if event.ts else self._now_us
            recorded, line = self._chain.append(self._store.blobs.pack(event), at_us)
            self.state.apply(recorded)
            self.events.append(recorded)
            self.lines.append(line)

    def go_on(
        self,
        script: Script,
        weight: Callable[[int], int],
        signals: Sequence[ev.SignalReceived],
        results: Mapping[int, bytes],
    ) -> None:
        """Replay what is there, and write down what the script asks for, and each signal with what it asks for then.

        Raises what the replay raises, and UsageError for one of `results` that its step cannot have.
        """
        with replaying(self._store, program_of(script, self.state.head), self.state, self.events, weight) as replay:
            events, done = list(self.events), 0
            for at, event in enumerate(events):
                if isinstance(event, ev.ActivityCompleted) and event.command in results:
                    replay.apply(events[done:at])
                    done = at
                    if (call := replay.commands.calls.get(event.command)) is not None:
                        refuse(call, results[event.command])
            self._ask(replay.apply(events[done:]))
            for signal in signals:
                self.write(replace(signal, id=0, ts=""))
                self._ask(replay.apply(self.events[-1:]))

    def _ask(self, openings: Sequence[ev.Opening]) -> None:
        for opening in openings:
            self.write(sealed(opening, self._store, self.state))


def _code(store: Store, state: RunState, script: str | None) -> _Code:
    """What is to go on: the code that the run was on, or another."""
    if script is None:
        found, permissions = Codes(store).of(state).script, state.head.code_permissions
        here = as_here(state.packages)
        return _Code(found, state.code, state.script, None, state.code_owner, permissions, here)
    sources, content, found = brought(state.head.run, script)
    place = f"{sources.origin}/{sources.main}"
    return _Code(found, content, place, sources, sources.owner, sources.permissions, versions(sources.imports))


# -- where ------------------------------------------------------------------------------------------------------


def _lines(view: RunView, wish: Wish, results: Mapping[int, bytes]) -> int:
    lines = _place(view, wish, results)
    answered = next((e.command for e in view.events if isinstance(e, ev.ApprovalAnswered)), None)
    if wish.ask_again and answered is not None:
        lines = min(lines, branch.begin_of(view.events, answered))
    return lines


def _place(view: RunView, wish: Wish, results: Mapping[int, bytes]) -> int:
    events, there = view.events, len(view.events)
    if wish.line:
        if not 0 < wish.line <= there:
            raise UsageError(
                what=f"{view.run} has no line {wish.line}", hint=f"lines 1 to {there}: dwf history {view.run}"
            )
        return wish.line
    if wish.to == FIRST:
        return 1
    if wish.to == LAST_OK:
        failed = branch.last_failure(events)
        if failed is None:
            raise WrongState(
                what=f"no step of {view.run} has failed",
                hint=f"say from where: dwf reset {view.run} --from STEP -m ...; dwf history {view.run} has the steps",
            )
        return branch.begin_of(events, failed.command)
    if wish.to:
        return branch.begin_of(events, _step(events, wish.to, view.run).command)
    if results:
        # As far as is certain: up to the last of them, each in place of what was recorded.
        return max(event.id for event in events if isinstance(event, ev.Closing) and event.command in results)
    if view.state is not None and view.state.ended is None:
        return there
    raise UsageError(what="from where is it to go on?", hint="--from STEP, --from last-ok, --from first, or --line N")


def _step(events: Sequence[ev.Event], text: str, run: str) -> ev.ActivityScheduled:
    steps = [event for event in events if isinstance(event, ev.ActivityScheduled)]
    fitting = [step for step in steps if text == str(step.command)]
    fitting = fitting or [step for step in steps if text in (step.title, step.name)]
    fitting = fitting or [step for step in steps if text.lower() in (step.title or step.name).lower()]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        hint = f"dwf history {run} shows them; from a wait or a question on: --line N"
        raise NotFound(what=f"{run} has no step {quoted(text)}", hint=hint)
    known = "; ".join(f"{step.command} {quoted(step.title or step.name)}" for step in fitting[:10])
    raise UsageError(what=f"{quoted(text)} names {len(fitting)} steps of {run}", hint=f"say which: {known}")


def _results(events: Sequence[ev.Event], wish: Wish, run: str) -> dict[int, bytes]:
    found = {}
    ended = {e.command for e in events if isinstance(e, ev.ActivityCompleted | ev.ActivityFailed | ev.ActivityTimedOut)}
    for name, result in (wish.results or {}).items():
        step = _step(events, name, run)
        if step.command not in ended:
            raise WrongState(
                what=f"{quoted(step.title or step.name)} has no result to replace", hint="dwf step complete"
            )
        found[step.command] = b'{"code":0}' if step.kind == "shell" and result == b"null" else result
    return found


def _next(events: Sequence[ev.Event], lines: int) -> str:
    following = next((e for e in events[lines:] if isinstance(e, ev.Opening)), None)
    return (following.title or following.name) if isinstance(following, ev.ActivityScheduled) else ""

"""Watch: show, history, logs, stack. They read one run, and change nothing."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from dwf.cli.catalog import nearest
from dwf.cli.exits import Exit, of_run
from dwf.cli.options import RunArgument, StepArgument, session_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import pick, warn_of_pause
from dwf.errors import DwfError, NotFound, UsageError

if TYPE_CHECKING:
    from dwf.cli.pages.history import HistoryPage
    from dwf.cli.pages.run import Facts, Posted
    from dwf.core.events import Event
    from dwf.engine.runs import RunView
    from dwf.engine.summary import HeldUp, Wait
    from dwf.store.letters import Letter
    from dwf.store.refused import BadMail
    from dwf.store.room import Store

_FOLLOW_SECONDS = 0.25
_LOG_READ = 256 * 1024
_SOON_US = 2_000_000


# -- show -------------------------------------------------------------------------------------------------------


def show(
    context: Context,
    run: RunArgument,
    exit_status: Annotated[
        bool,
        Option("--exit-status", help="exit by the run's state: 0 done, 1 failed, 3 not finished, 5 needs a person ..."),
    ] = False,
) -> int:
    """One run on one screen: where it is, what it waits for, since and until when, who must act, what to type now."""
    from dwf.cli.pages.documents import run_document
    from dwf.cli.pages.run import RunPage

    session = session_of(context)
    store = session.existing_store(run)
    view, facts = look(store, pick(session, store, run))
    screen = session.screen
    if session.is_json:
        screen.document(run_document(facts), one_line=session.output == "jsonl")
    elif session.output == "name":
        screen.line(view.run)
    else:
        width = 0 if session.output == "wide" else screen.width
        screen.lines(RunPage(facts, session.clock, screen.marks, width).lines())
        warn_of_pause(session, store)
    code = of_run(view.status, view.state)
    return code if exit_status or code is Exit.DAMAGED else Exit.OK


def look(store: Store, run: str) -> tuple[RunView, Facts]:
    """A run, and all that its screen is made of."""
    from dwf.cli.pages.run import Facts
    from dwf.core.status import Status
    from dwf.engine.beats import beats
    from dwf.engine.queueing import in_line
    from dwf.engine.runs import is_undriven, late_mail, pending_mail, refused_mail, someone_drives, standing
    from dwf.engine.stuck import stuck_at
    from dwf.engine.summary import waits
    from dwf.store.held import held

    view = standing(store, run)
    is_open = view.state is not None and view.state.ended is None and view.problem is None
    held_up = in_line(store, view.state) if is_open and view.state is not None else {}
    found = waits(view.state) if is_open and view.state is not None else []
    facts = Facts(
        run=view.run,
        status=Status.WAITING if held_up and view.status is Status.RUNNING else view.status,
        state=view.state,
        problem=view.problem,
        torn_bytes=view.torn_bytes,
        link=view.link,
        waits=[_held_up(store, view.run, wait, held_up.get(wait.command)) for wait in found],
        mail=tuple(_posted(letter) for letter in pending_mail(store, run)),
        late=tuple(_posted(letter) for letter in late_mail(store, run)),
        refused=tuple(_refused(bad) for bad in refused_mail(store, run)),
        last_tick_us=store.index.last_tick_us(),
        driving=someone_drives(store),
        undriven=is_open and not held_up and is_undriven(store, view.run, view.status),
        stuck=(stuck_at(store, view.state) or "") if is_open and view.state is not None else "",
        warnings=_warnings(store, view.run, view.link) if is_open else (),
        month=view.month,
        undo_run=_undo_run(store, view),
        beats=beats(store, view.state, view.link) if is_open and view.state is not None else {},
        held=held(store.layout) is not None,
    )
    return view, facts


def _held_up(store: Store, run: str, wait: Wait, held: HeldUp | None) -> Wait:
    """The same with what a step waits for, and until when if a rate lets it begin then."""
    if held is None:
        return wait
    from dwf.cli.times import now_us

    row = store.index.row(run)
    due = row.due_at if row is not None else None
    # Who is the first to wait for a slot is looked at each second: that is no time to be told.
    until = due if due is not None and due > now_us() + _SOON_US else None
    return replace(wait, detail=f"waits for {held.words}", until_us=until)


def _undo_run(store: Store, view: RunView) -> str:
    if view.state is None or view.state.ended is None or not view.state.undos.entries:
        return ""
    from dwf.engine.undo import undo_of

    found = undo_of(store, view)
    return found.run if found is not None else ""


def _warnings(store: Store, run: str, link: int) -> list[str]:
    """What the log of a run warns of, without times; as far as it is not very long."""
    from dwf.store.outputs import SCRIPT_LOG

    try:
        lines = store.outputs.read(run, SCRIPT_LOG, link, _LOG_READ).decode("utf-8", "replace").splitlines()
    except DwfError:
        return []
    split = [line.split(" ", 2) for line in lines]
    return [words[2] for words in split if len(words) == 3 and words[1] in ("WARNING", "ERROR")]


def _refused(bad: BadMail) -> str:
    from dwf.engine.identity import login_of

    sender = "" if bad.uid < 0 else f", by {login_of(bad.uid) or f'uid {bad.uid}'}"
    return f"a message{sender}: {bad.reason}"


def _posted(letter: Letter) -> Posted:
    from dwf.cli.pages.run import Posted
    from dwf.core.messages import in_words
    from dwf.engine.identity import login_of

    message = letter.message
    what = in_words(message) + (f' "{message.reason}"' if message.reason else "")
    return Posted(what, login_of(letter.uid) or f"uid {letter.uid}", letter.posted_us)


# -- history ----------------------------------------------------------------------------------------------------


def history(
    context: Context,
    run: RunArgument,
    follow: Annotated[bool, Option("-f", "--follow", help="go on as it grows, until the run ends")] = False,
    limit: Annotated[int | None, Option("-n", "--limit", metavar="N", min=1, help="only the last N events")] = None,
    reverse: Annotated[bool, Option("-r", "--reverse", help="the newest first")] = False,
    type_: Annotated[
        list[str] | None, Option("--type", metavar="TYPE", help="only events of this type; may be repeated")
    ] = None,
    detailed: Annotated[bool, Option("--detailed", help="all fields of each event")] = False,
    instance: Annotated[
        int | None, Option("--instance", metavar="N", min=1, help="only the N-th instance of a run that continues")
    ] = None,
) -> int:
    """Every event of a run, a line each, grouped by day; of all its instances, if it has continued as new.

    -o jsonl prints the stored lines as they are. Exit 65 if the history is damaged; what can be read is shown.
    """
    from dwf.cli.pages.history import HistoryPage
    from dwf.engine.runs import chain_of, load

    session = session_of(context)
    if follow and reverse:
        raise UsageError(what="-f and -r exclude each other", hint="give one of them")
    wanted = _types(type_ or [])
    store = session.existing_store(run)
    run = pick(session, store, run)
    view = _load(store, run)
    views = [one for one in chain_of(store, view) if instance in (None, one.link)]
    if instance is not None and instance < view.link and not views:
        views = [load(store, run, instance)]  # one that a reset has gone back to
    if not views:
        raise NotFound(what=f"{run} has no instance {instance}", hint=f"the newest is {view.link}")
    events = [event for one in views for event in one.events]
    chosen = [at for at, event in enumerate(events) if not wanted or type(event).__name__ in wanted]
    chosen = chosen[-limit:] if limit else chosen
    if session.is_json or session.output == "name":
        _print_stored(session, views, set(chosen), reverse)
    else:
        widest = max((len(type(events[at]).__name__) for at in chosen), default=0)
        page = HistoryPage(session.clock, session.screen.marks, session.screen.width, detailed=detailed, widest=widest)
        told = page.tell(events)
        session.screen.lines(page.lines(told[at] for at in (reversed(chosen) if reverse else chosen)))
        if follow:
            view = _follow(session, store, view, page, wanted)
    if view.torn_bytes and view.problem is None and not session.is_json:
        session.screen.say(f"1 incomplete record ({view.torn_bytes} bytes) at the end is left out")
    if view.problem is not None:
        raise view.problem
    return Exit.OK


def _load(store: Store, run: str) -> RunView:
    from dwf.engine.runs import load

    return load(store, run)


def _types(words: list[str]) -> set[str]:
    from dwf.core.events import EVENT_TYPES

    by_lower = {name.lower(): name for name in EVENT_TYPES}
    for word in words:
        if word.lower() not in by_lower:
            meant = nearest(word.lower(), list(by_lower))
            hint = f"did you mean {by_lower[meant]}?" if meant else f"one of {', '.join(sorted(EVENT_TYPES))}"
            raise UsageError(what=f"there is no event type {word!r}", hint=hint)
    return {by_lower[word.lower()] for word in words}


def _print_stored(session: Session, views: list[RunView], chosen: set[int], reverse: bool) -> None:
    """The lines of the files, untouched: what is piped to jq is what is hashed. `chosen`: their places among all."""
    screen, at, instances = session.screen, 0, []
    for view in views:
        numbered = list(enumerate(_stored(view), at))
        at += len(numbered)
        instances.append((view.link, [line for place, line in numbered if place in chosen]))
    if session.output == "json":
        *before, last = [_document(link, lines[::-1] if reverse else lines) for link, lines in instances]
        more = f',"before":[{",".join("{" + one + "}" for one in before)}]' if before else ""
        screen.text(f'{{"schema":"dwf.history/1","run":"{views[-1].run}",{last}{more}}}\n')
        return
    lines = [line for _, some in instances for line in some]
    if session.output == "name":
        numbers = [event.id for view in views for event in view.events]
        lines = [str(numbers[place]) for place in sorted(chosen)]
    screen.text("".join(f"{line}\n" for line in (reversed(lines) if reverse else lines)))


def _document(link: int, lines: list[str]) -> str:
    return f'"instance":{link},"events":[' + ",\n".join(lines) + "]"


def _stored(view: RunView) -> list[str]:
    from dwf.store.files import read_regular

    lines = read_regular(view.path).split(b"\n")[: len(view.events)]
    return [line.decode("ascii", "backslashreplace") for line in lines]


def _follow(session: Session, store: Store, view: RunView, page: HistoryPage, wanted: set[str]) -> RunView:
    """Tell what comes, until the run is closed or cannot be read. Ctrl-C ends the looking only."""
    while view.problem is None and view.state is not None and not view.status.closed:
        session.screen.flush()
        time.sleep(_FOLLOW_SECONDS)
        fresh = _load(store, view.run)
        told = page.tell(_newer(fresh.events, view))
        session.screen.lines(page.lines(line for line in told if not wanted or type(line[0]).__name__ in wanted))
        view = fresh
    return view


def _newer(events: list[Event], before: RunView) -> list[Event]:
    is_next = events[0].id == 1 and bool(before.events) and events[0] != before.events[0]
    return events if is_next else events[len(before.events) :]


# -- logs -------------------------------------------------------------------------------------------------------


def logs(
    context: Context,
    run: RunArgument,
    step: StepArgument = None,
    attempt: Annotated[
        int | None, Option("--attempt", metavar="N", min=1, help="only this attempt; else the last")
    ] = None,
    tail: Annotated[int | None, Option("--tail", metavar="N", min=0, help="only the last N lines of each")] = None,
) -> int:
    """What the steps of a run printed, and what its script logged. With STEP also where that step failed.

    In a pipe the bytes as they are; on a terminal control characters are shown, not obeyed. Headings go to stderr.
    """
    from dwf.cli.pages.logs import chosen_files, command_of, heading, last_lines, steps_of

    session = session_of(context)
    store = session.existing_store(run)
    run = pick(session, store, run)
    view = _load(store, run)
    steps = steps_of(view.events)
    names = store.outputs.names(view.run, view.link)
    files = chosen_files(view.run, steps, names, step, attempt)
    if session.output == "name":
        session.screen.lines([name] for name in files)
        return Exit.OK
    if not files:
        what = f"step {step}" if step else "run"
        session.screen.say(f"that {what} printed nothing" + (" in that attempt" if attempt else ""))
    for name in files:
        session.screen.say((heading(name, steps), "bold"))
        data = store.outputs.read(view.run, name, view.link)
        session.screen.output(data if tail is None else last_lines(data, tail))
    if step is not None:
        _tell_failure(session, view, command_of(view.run, steps, step), attempt)
    if view.problem is not None:
        raise view.problem
    return Exit.OK


def _tell_failure(session: Session, view: RunView, command: int, attempt: int | None) -> None:
    """How a step failed, with the lines that it came through. On stderr: the step did not print it."""
    from dwf.cli.pages.logs import error_of
    from dwf.cli.phrases import failure

    error = error_of(view.events, command, attempt)
    if error is not None:
        session.screen.say(("it failed: ", "bold"), failure(error))
        for line in error.traceback.splitlines():
            session.screen.say(f"  {line}")


# -- stack ------------------------------------------------------------------------------------------------------


def stack(context: Context, run: RunArgument) -> int:
    """Where in the script each task of an open run waits: file, line and source.

    It replays the history here, without a trace; so it is refused for code that belongs to somebody else.
    """
    from dwf.engine.stack import stack as stacks

    session = session_of(context)
    store = session.existing_store(run)
    run = pick(session, store, run)
    tasks = stacks(store, run, session.me.uid)
    screen = session.screen
    if session.is_json:
        found = [
            {"task": t.name, "awaits": t.awaits, "lines": [{"at": at, "source": source} for at, source in t.lines]}
            for t in tasks
        ]
        screen.document({"schema": "dwf.stack/1", "run": run, "tasks": found})
        return Exit.OK
    for task in tasks:
        screen.line((task.name, "bold"), f"  waits for {task.awaits}" if task.awaits else "")
        for place, source in task.lines:
            screen.line(f"  {place}")
            screen.line("    ", (source, "cyan"))
    if not tasks:
        raise NotFound(what=f"{run} has no task that waits", hint=f"dwf show {run}")
    return Exit.OK

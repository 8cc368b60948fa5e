"""Run: start, run, tick."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Context, Option

from dwf.cli.exits import Exit, of_run
from dwf.cli.explaining import explain
from dwf.cli.options import QueueOption, ReasonOption, TickOption, session_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import json_object, noted, pairs, refuse_both, say_tick, warn_of_pause
from dwf.errors import UsageError

if TYPE_CHECKING:
    from dwf.engine.start import Started, StartRequest
    from dwf.store.room import Store

# A time that has passed by less than this was meant as "now".
_PAST_US = 60_000_000

ScriptArgument = Annotated[
    str | None,
    Argument(metavar="SCRIPT[:WORKFLOW]", help="a runbook; with --help: its parameters", show_default=False),
]
ValuesArgument = Annotated[list[str] | None, Argument(metavar="[K=V ...]", help="its parameters", show_default=False)]
IdOption = Annotated[str | None, Option("--id", metavar="ID", help="the run id; made up if left out")]
InputOption = Annotated[
    str | None, Option("--input", metavar="JSON|@FILE|-", help="parameters as a JSON object; K=V words win")
]
TagOption = Annotated[list[str] | None, Option("--tag", metavar="K=V", help="what it is found by; may be repeated")]
MemoOption = Annotated[list[str] | None, Option("--memo", metavar="K=V", help="a note that goes with it, text or JSON")]
HeaderOption = Annotated[
    list[str] | None, Option("--header", metavar="K=V", help="goes along to steps and children; may be repeated")
]
AtOption = Annotated[str | None, Option("--at", metavar="TIME", help="not before: 22:00, 'tomorrow 09:00', RFC 3339")]
InOption = Annotated[str | None, Option("--in", metavar="DURATION", help="not before it has passed: 2h, 1h30m")]
PriorityOption = Annotated[
    int, Option("--priority", metavar="N", help="-100 to 100: who is higher goes first; an incident before a batch")
]
DeadlineOption = Annotated[
    str | None, Option("--deadline", metavar="DURATION", help="it has to be over after so long, else it is timed-out")
]
IfExistsOption = Annotated[
    Literal["fail", "use", "new", "terminate"],
    Option("--if-exists", help="if the id is in use: fail, use that run, new after it ended, terminate it"),
]
CodeOption = Annotated[
    str | None,
    Option("--code", metavar="CODE", help="of dwf versions; pinned: as the file is now; live: as it is at each tick"),
]
LiveOption = Annotated[bool, Option("--live", help="the same as --code live")]
EachOption = Annotated[
    str | None, Option("--each", metavar="FILE|-", help="a run for each line, a JSON object; --id may hold {name}")
]
HelpOption = Annotated[bool, Option("--help", "-h", help="this, or with SCRIPT its parameters")]


def start(
    context: Context,
    script: ScriptArgument = None,
    values: ValuesArgument = None,
    id_: IdOption = None,
    input_: InputOption = None,
    tag: TagOption = None,
    memo: MemoOption = None,
    header: HeaderOption = None,
    at: AtOption = None,
    in_: InOption = None,
    deadline: DeadlineOption = None,
    priority: PriorityOption = 0,
    step: Annotated[bool, Option("--step", help="each step waits until it is let begin: dwf step unpause")] = False,
    if_exists: IfExistsOption = "fail",
    code: CodeOption = None,
    live: LiveOption = False,
    reason: ReasonOption = "",
    each: EachOption = None,
    tick: TickOption = False,
    wait: Annotated[bool, Option("--wait", help="wait until it is done; the exit code is the outcome")] = False,
    timeout: Annotated[str | None, Option("--timeout", metavar="DURATION", help="with --wait: 124 after it")] = None,
    help_: HelpOption = False,
) -> int:
    """Start a run durably and print its id.

    When the id is printed, the run is on disk and survives anything but the disk. The next `dwf tick` runs it.
    """
    session = session_of(context)
    if help_:
        return explain(context, session, script)
    from dwf.cli.times import parse_duration

    timeout_us = None if timeout is None else parse_duration(timeout)
    if timeout is not None and not wait:
        raise UsageError(what="--timeout is for --wait", hint="give --wait too")
    request = _request(
        session, script, values, id_, input_, tag, memo, header, deadline, if_exists, _code(code, live), reason
    )
    request = dataclasses.replace(request, start_at_us=_when(session, at, in_), priority=priority, step_by_step=step)
    if each is not None:
        return _each(session, request, each, alone=not (tick or wait) and if_exists == "fail")
    if session.is_operator:
        from dwf.cli import requesting

        return requesting.start(session, request, tick=tick, wait=wait, timeout_us=timeout_us)
    store, started = _begin(session, request)
    _tell_started(session, store, started, here=tick)
    if tick:
        stopped = drive_once(session, store, started.run)
        if stopped:
            return stopped
    return _wait(session, store, started.run, timeout_us) if wait else Exit.OK


def _each(session: Session, request: StartRequest, path: str, *, alone: bool) -> int:
    from dwf.cli.each import start_all

    if not alone:
        raise UsageError(what="--each goes with none of --tick, --wait and --if-exists", hint="the next tick runs them")
    if session.is_operator:
        raise UsageError(what="--each is not for members of a shared directory", hint="start them one by one")
    return start_all(session, request, path)


def run(
    context: Context,
    script: ScriptArgument = None,
    values: ValuesArgument = None,
    id_: IdOption = None,
    input_: InputOption = None,
    tag: TagOption = None,
    memo: MemoOption = None,
    header: HeaderOption = None,
    deadline: DeadlineOption = None,
    priority: PriorityOption = 0,
    if_exists: IfExistsOption = "fail",
    code: CodeOption = None,
    live: LiveOption = False,
    reason: ReasonOption = "",
    help_: HelpOption = False,
) -> int:
    """Start a run and drive it here until it is done.

    What happens is told on stderr, the result is printed on stdout, the exit code is the outcome. On a terminal its
    questions are asked here. Ctrl-C leaves the run to the next tick; a step that is running is ended, and counts as a
    failed attempt.
    """
    session = session_of(context)
    if help_:
        return explain(context, session, script)
    request = _request(
        session, script, values, id_, input_, tag, memo, header, deadline, if_exists, _code(code, live), reason
    )
    request = dataclasses.replace(request, priority=priority)
    if session.is_operator:
        from dwf.cli import requesting

        return requesting.run(session, request)
    store, started = _begin(session, request)
    from dwf.cli.attended import attend

    return attend(session, store, started)


def tick(
    context: Context,
    jobs: Annotated[int, Option("--jobs", metavar="N", min=1, help="steps at a time")] = 8,
    max_seconds: Annotated[float | None, Option("--max-seconds", metavar="N", min=0, help="end after so long")] = None,
    witness: Annotated[
        str | None,
        Option("--witness", metavar="FILE|syslog:|'|CMD'", help="hand the heads of changed histories over to it"),
    ] = None,
    queue: QueueOption = None,
) -> int:
    """Drive everything that is due, until nothing is.

    For cron or a systemd timer. Prints nothing when there is nothing to say; a line on stderr and exit 1 when a run
    newly failed or is newly blocked. Any number of ticks may overlap.
    """
    if witness is not None:
        return _witnessed_tick(context, jobs, max_seconds, witness, queue or ())
    session = session_of(context)
    if not os.path.lexists(session.home):
        return Exit.OK  # also with --home: cron may tick before anybody has started anything
    store = session.store()
    from dwf.cli.driving import Stopper, drive

    if session.screen.err_is_terminal:  # cron would mail it every minute
        warn_of_pause(session, store)
    with Stopper() as stopper:
        report = drive(store, stopper, jobs=jobs, max_seconds=max_seconds, tell=_teller(session), queues=queue or ())
    return _tell_report(session, report, stopper.exit_code)


def _witnessed_tick(context: Context, jobs: int, max_seconds: float | None, witness: str, queues: Iterable[str]) -> int:
    """The same, and what it changed is told to a witness. A witness that cannot be told is an error; the runs go on."""
    from dwf.cli.driving import Stopper, drive
    from dwf.cli.times import now_us
    from dwf.engine.witness import Changed, hand_over, keeper
    from dwf.errors import DwfError

    session, where = session_of(context), keeper(witness)
    if not os.path.lexists(session.home):
        return Exit.OK
    store, changed = session.store(), Changed()
    with Stopper() as stopper:
        settings: dict[str, Any] = {"jobs": jobs, "max_seconds": max_seconds, "queues": queues}
        report = drive(store, stopper, watch=changed, tell=_teller(session), **settings)
    try:
        hand_over(store, where, changed.runs, now_us())
    except DwfError as error:
        report.errors.append(error)
    return _tell_report(session, report, stopper.exit_code)


start.own_help = run.own_help = True  # type: ignore[attr-defined]


# -- starting ---------------------------------------------------------------------------------------------------


def _request(
    session: Session,
    script: str | None,
    values: list[str] | None,
    id_: str | None,
    input_: str | None,
    tag: list[str] | None,
    memo: list[str] | None,
    header: list[str] | None,
    deadline: str | None,
    if_exists: Any,
    code: str,
    reason: str,
) -> StartRequest:
    from dwf.engine.start import StartRequest

    if not script:
        raise UsageError(
            what="which script?", hint="dwf start SCRIPT [K=V ...]; dwf start SCRIPT --help shows its parameters"
        )
    tags, notes = noted(tag, memo)
    return StartRequest(
        script=script,
        by=session.me,
        values=pairs(values or [], "a parameter"),
        json_input=None if input_ is None else json_object(input_, "--input"),
        run=id_,
        tags=tags,
        memo=notes,
        headers=pairs(header or [], "a header"),
        reason=reason,
        deadline_us=None if deadline is None else _length(deadline),
        code=code,
        if_exists=if_exists,
    )


def _length(deadline: str) -> int:
    from dwf.cli.times import parse_duration

    length = parse_duration(deadline)
    if not length:
        raise UsageError(what=f"--deadline {deadline}: a run cannot end before it has begun", hint="--deadline 2h")
    return length


def _code(code: str | None, live: bool) -> str:
    refuse_both(live, code not in (None, "live"), f"--live and --code {code}")
    if code == "":
        raise UsageError(what="--code is empty", hint="leave it out, or: dwf versions SCRIPT lists what there is")
    return "live" if live else code or ""


def _when(session: Session, at: str | None, in_: str | None) -> int | None:
    from dwf.cli.times import parse_duration, parse_when

    refuse_both(at is not None, in_ is not None, "--at and --in")
    now = session.clock.now
    if in_ is not None:
        return now + parse_duration(in_)
    if at is None:
        return None
    when = parse_when(at, now)
    if when < now - _PAST_US:
        raise UsageError(
            what=f"--at {at!r} lies in the past ({session.clock.full(when)})", hint="leave it out to start now"
        )
    return when


def _begin(session: Session, request: StartRequest) -> tuple[Store, Started]:
    from dwf.engine import start as engine

    # First what needs no state directory: a mistake must not leave an empty one behind.
    prepared = engine.prepare(request, store=session.store_if_made())
    store = session.store(create=True)
    return store, engine.make(store, prepared)


def _tell_started(session: Session, store: Store, started: Started, *, here: bool) -> None:
    from dwf.cli.phrases import code_from, script_name
    from dwf.cli.times import iso

    screen = session.screen
    if session.is_json:
        screen.document(
            {
                "schema": "dwf.started/1",
                "run": started.run,
                "nonce": started.nonce,
                "workflow": started.workflow,
                "script": started.script,
                "code": started.code,
                "code_from": started.origin,
                "created": started.created,
                "start_at": iso(started.start_at_us),
            }
        )
    else:
        screen.line(started.run)
    screen.flush()  # acknowledged now, whatever --wait or --tick bring
    if not started.created:
        screen.say(f"{started.run} is there already, with the same input")
    code = f"{script_name(started.script)} @ {started.code[:7]}{code_from(started.origin)}"
    if here:
        screen.say(f"{code}; driven here")
    elif started.start_at_us is not None:
        say_tick(session, store, f"{code}; starts {session.clock.point(started.start_at_us)}")
    else:
        say_tick(session, store, f"{code}; the next tick runs it")
    screen.say(("next: ", "cyan"), f"dwf show {started.run}")


def drive_once(session: Session, store: Store, run: str) -> int:
    """Drive one run here until it waits, telling what happens on stderr. 128 + n if a signal stopped it."""
    from dwf.cli.driving import Stopper, drive
    from dwf.cli.progress import Follower, PlainView
    from dwf.engine.runs import load

    watch = Follower(session.screen, PlainView(session.screen), run, utc=bool(session.options.get("utc")))
    watch.learn(load(store, run).events)
    with Stopper() as stopper:
        report = drive(store, stopper, only={run}, watch=watch)
    for error in report.errors:
        raise error
    return stopper.exit_code


def _wait(session: Session, store: Store, run: str, timeout_us: int | None) -> int:
    from dwf.engine.waiting import wait_for

    view = wait_for(store, run, timeout_us=timeout_us)
    session.screen.say(f"{run} is {view.status.value}")
    return of_run(view.status, view.state)


def _teller(session: Session) -> Callable[[str], None] | None:
    """Says news when it happens: the next run may end this process. A document holds them all at the end."""
    return None if session.is_json else lambda news: session.screen.tell(" ".join(news.split()))


def _tell_report(session: Session, report: Any, signalled: int) -> int:
    from dwf.cli.faults import fault_of

    screen = session.screen
    if session.is_json:
        errors = [fault_of(error).message for error in report.errors]
        screen.document(
            {
                "schema": "dwf.tick/1",
                "driven": report.driven,
                "news": report.news,
                "remarks": report.remarks,
                "errors": errors,
            }
        )
    else:
        for error in report.errors:
            fault_of(error).tell(screen, as_json=False)
        if session.verbose:
            screen.say(f"drove {report.driven} run{'' if report.driven == 1 else 's'}")
    if signalled:
        return signalled
    if report.errors:
        return int(report.errors[0].exit_code)
    return Exit.FAILED if report.news else Exit.OK

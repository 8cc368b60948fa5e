"""Watch: wait and result. What they answer is on disk, for others act on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Context, Option

from dwf.cli.exits import Exit, of_run, worst
from dwf.cli.options import RunArgument, RunsArgument, session_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import pick
from dwf.core import events as ev
from dwf.core.state import Status
from dwf.errors import UsageError

if TYPE_CHECKING:
    from dwf.core.events import Payload
    from dwf.engine.runs import RunView
    from dwf.store.room import Store

_WAITABLE = ("done", "waiting")


def wait(
    context: Context,
    run: RunsArgument,
    until: Annotated[str, Option("--until", metavar="WHAT", help="done, waiting, or step:NAME")] = "done",
    timeout: Annotated[str | None, Option("--timeout", metavar="DURATION", help="give up after it: 124")] = None,
) -> int:
    """Wait until runs are done, or blocked; print each with its status.

    It waits only: something has to tick. The exit code is the outcome; of several runs, the gravest.
    """
    from dwf.cli.times import now_us, parse_duration
    from dwf.engine.waiting import wait_for

    session = session_of(context)
    if until not in _WAITABLE and not (until.startswith("step:") and len(until) > 5):
        raise UsageError(
            what=f"--until {until!r} is none of done, waiting, step:NAME", hint="write it like --until step:drain"
        )
    deadline = None if timeout is None else now_us() + parse_duration(timeout)
    store = session.existing_store(run[0])
    runs = [pick(session, store, name) for name in run]
    views = []
    for name in runs:
        left = None if deadline is None else max(deadline - now_us(), 0)
        view = wait_for(store, name, until=until, timeout_us=left)
        views.append(view)
        _print_view(session, view)
        session.screen.flush()
    if until != "done" and not any(view.status.closed or view.status is Status.BLOCKED for view in views):
        return Exit.OK
    return worst(of_run(view.status, view.state) for view in views)


def _print_view(session: Session, view: RunView) -> None:
    if session.is_json:
        document = {"schema": "dwf.waited/1", "run": view.run, "status": view.status.value}
        session.screen.document(document, one_line=True)
    elif session.output == "name":
        session.screen.line(view.run)
    else:
        session.screen.line(f"{view.run} {view.status.value}")


def result(context: Context, run: RunArgument) -> int:
    """Print what a run returned, as JSON.

    Nothing is printed on stdout unless it completed: 3 if it is not finished, 1 if it failed, 6 if it was ended.
    """
    session = session_of(context)
    store = session.existing_store(run)
    view = _believed(store, pick(session, store, run))
    ended = view.state.ended if view.state is not None else None
    if isinstance(ended, ev.WorkflowCompleted):
        print_result(session, store, ended.result)
        return Exit.OK
    raise _no_result(view)


def _believed(store: Store, run: str) -> RunView:
    """The run; if it has ended, its end is on disk."""
    from dwf.engine.runs import load
    from dwf.engine.waiting import wait_for

    view = load(store, run)
    if view.problem is not None:
        raise view.problem
    return wait_for(store, run) if view.status.closed else view


def _no_result(view: RunView) -> NoResult:
    from dwf.cli.phrases import failure

    ended = view.state.ended if view.state is not None else None
    code = of_run(view.status, view.state)
    if isinstance(ended, ev.WorkflowFailed):
        return NoResult(
            f"{view.run} failed: {failure(ended.error)}", code, f"dwf history {view.run} shows what led to it"
        )
    hint = (
        f"dwf show {view.run}"
        if ended is not None
        else f"dwf wait {view.run}; dwf show {view.run} says what it waits for"
    )
    return NoResult(f"{view.run} is {view.status.value}; it has no result", code, hint)


class NoResult(UsageError):
    """The run has not returned anything; the exit code says why."""

    code = "no-result"

    def __init__(self, what: str, exit_code: int, hint: str) -> None:
        super().__init__(what=what, hint=hint)
        self.exit_code = int(exit_code)  # type: ignore[misc]


def print_result(session: Session, store: Store, raw: Payload, *, only_if_any: bool = False) -> None:
    """A result as JSON on stdout; fetched if it lies in a file of its own."""
    value = whole_value(store, raw)
    if value is not None or not only_if_any:
        session.screen.document(value)


def whole_value(store: Store, raw: Payload) -> Any:
    """A stored value, fetched if it lies in a file of its own."""
    from dwf.core.values import as_blob, decode

    reference = as_blob(raw)
    return decode(bytes(raw) if reference is None else store.blobs.fetch(reference.sha256))

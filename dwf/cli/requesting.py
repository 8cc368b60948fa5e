"""For members of a shared state directory: ask its engine for a run, and follow what it does.

Nothing is driven here. What `--tick` and `dwf run` do in a directory of one's own is, for a member, to look on.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dwf.cli.driving import Stopper
from dwf.cli.exits import Exit, of_run
from dwf.cli.progress import Follower, view_for
from dwf.cli.session import Session
from dwf.cli.verbs.shared import say_tick

if TYPE_CHECKING:
    from dwf.engine.requests import Requested
    from dwf.engine.runs import RunView
    from dwf.engine.start import StartRequest
    from dwf.store.room import Store

_PATIENCE = 2.0
# A member who looks on waits for a tick; one a minute is usual.
_LONG_PATIENCE = 150.0
_LOOK_SECONDS = 0.25


def ask(session: Session, request: StartRequest, *, follow: bool = False) -> tuple[Store, Requested]:
    """Post the wish for a run, and wait a moment for the answer. Raises what `engine.requests.request` raises."""
    from dwf.engine.requests import request as post

    store = session.store(post=True)
    asked = post(store, request, _LONG_PATIENCE if follow else _PATIENCE)
    _tell(session, store, asked)
    return store, asked


def start(session: Session, request: StartRequest, *, tick: bool, wait: bool, timeout_us: int | None) -> int:
    """`dwf start`: the id if the run is there, else that it is requested, and 3."""
    store, asked = ask(session, request, follow=tick or wait)
    if not asked.started:
        return Exit.UNFINISHED
    if wait:
        from dwf.engine.waiting import wait_for

        view = wait_for(store, asked.run, timeout_us=timeout_us)
        session.screen.say(f"{asked.run} is {view.status.value}")
        return of_run(view.status, view.state)
    return follow_run(session, store, asked.run, until_it_waits=True) if tick else Exit.OK


def signal_or_start(session: Session, request: StartRequest, name: str, data: bytes, key: str, *, tick: bool) -> int:
    """`dwf signal --start`: signal the run if it is open; else ask for one that begins with the signal."""
    from dwf.cli.verbs.answering import tell_posted
    from dwf.engine.beginning import ask_or_signal
    from dwf.engine.post import Posted

    store = session.store(post=True)
    done = ask_or_signal(store, request, name, data, key, _LONG_PATIENCE if tick else _PATIENCE)
    if isinstance(done, Posted):
        return tell_posted(session, store, done, tick)
    _tell(session, store, done)
    if not done.started:
        return Exit.UNFINISHED
    return follow_run(session, store, done.run, until_it_waits=True) if tick else Exit.OK


def run(session: Session, request: StartRequest) -> int:
    """`dwf run`: post and watch. The exit code is the outcome."""
    store, asked = ask(session, request, follow=True)
    if not asked.started:
        return Exit.UNFINISHED
    return follow_run(session, store, asked.run)


def in_catalogue(session: Session, script: str) -> str:
    """The path, with the workflow, of what a member means by a name of the catalogue."""
    from dwf.engine.requests import catalogued

    store = session.store(post=True)
    name = catalogued(store, script)
    assert store.layout.sharing is not None
    return f"{store.layout.sharing.catalogue}/{name}"


def _tell(session: Session, store: Store, asked: Requested) -> None:
    screen = session.screen
    if session.is_json:
        screen.document(
            {
                "schema": "dwf.requested/1",
                "message": asked.message,
                "run": asked.run,
                "workflow": asked.workflow,
                "started": asked.started,
            }
        )
    elif asked.started or session.output == "name":
        screen.line(asked.run)
    else:
        screen.line(f"requested {asked.run}")
    screen.flush()
    if not asked.started:
        say_tick(session, store, f"{asked.workflow} is started by the next tick, or refused: dwf inbox tells")
    screen.say(("next: ", "cyan"), f"dwf show {asked.run}")


def follow_run(session: Session, store: Store, run: str, *, until_it_waits: bool = False) -> int:
    """Tell what happens to a run until it is over or blocked, or needs a person while nobody can be asked."""
    from dwf.core.state import Status
    from dwf.engine.runs import load

    follower = Follower(session.screen, view_for(session.screen), run, utc=bool(session.options.get("utc")))
    with Stopper() as stopper:
        try:
            while True:
                view = load(store, run)
                follower.catch_up(view.events)
                rests = view.status is Status.WAITING and not store.mailbox.has_mail(run)
                if view.status.closed or view.problem is not None or view.status is Status.BLOCKED:
                    return _outcome(session, store, view)
                if rests and (until_it_waits or _asks(view)):
                    return Exit.OK if until_it_waits else Exit.NEEDS_PERSON
                if stopper.number:
                    session.screen.tell(f"left {run} where it is; the engine goes on with it")
                    return stopper.exit_code
                time.sleep(_LOOK_SECONDS)
        finally:
            follower.close()


def _asks(view: RunView) -> bool:
    """Whether it waits for people only."""
    state = view.state
    return state is not None and bool(state.approvals) and not state.steps and not state.timers


def _outcome(session: Session, store: Store, view: RunView) -> int:
    from dwf.cli.verbs.waiting import print_result
    from dwf.core.events import WorkflowCompleted

    if view.problem is not None:
        raise view.problem
    if view.state is not None and isinstance(view.state.ended, WorkflowCompleted):
        print_result(session, store, view.state.ended.result, only_if_any=True)
    return of_run(view.status, view.state)

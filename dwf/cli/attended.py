"""`dwf run`: a run driven in this process while somebody looks on, who may be asked its questions.

Others may drive it at the same time (cron does not stop for us): whatever they record is followed too. Ctrl-C leaves
the run where it is; the next tick goes on with it. Where nobody can be asked (no terminal, or --no-input), a run that
waits for a person alone is left in the same way: what it waits for cannot come from here.
"""

from __future__ import annotations

import select
import sys
from typing import TYPE_CHECKING

from dwf.cli.driving import Stopper, drive
from dwf.cli.exits import Exit, of_run
from dwf.cli.pages.advice import commands
from dwf.cli.progress import Follower, view_for
from dwf.cli.session import Session
from dwf.cli.times import now_us
from dwf.core.events import WorkflowCompleted
from dwf.core.state import OpenApproval, Status
from dwf.errors import DwfError

if TYPE_CHECKING:
    from dwf.engine.runs import RunView
    from dwf.engine.start import Started
    from dwf.store.room import Store

_LOOK_SECONDS = 0.25
_TAKE_OVER_US = 1_000_000


def attend(session: Session, store: Store, started: Started) -> int:
    """Drive the run until it is done, blocked, or somebody presses Ctrl-C. The exit code is the outcome."""
    screen = session.screen
    screen.say(("run ", "bold"), started.run)
    with Stopper() as stopper:
        attended = _Attended(session, store, started.run, stopper)
        try:
            view = attended.to_rest()
        finally:
            attended.follower.close()
    if view.state is not None and isinstance(view.state.ended, WorkflowCompleted):
        _print_result(session, store, view.state.ended)
    elif attended.needs_person:
        screen.tell(f"left {started.run} where it is: {attended.needs_person}")
        return Exit.NEEDS_PERSON
    elif stopper.number and not view.status.closed:
        screen.tell(f"left {started.run} where it is; the next tick goes on with it")
        screen.tell(("next: ", "cyan"), f"dwf show {started.run}", ("  where it is", "dim"))
        screen.tell(("next: ", "cyan"), f"dwf cancel {started.run} -m WHY", ("  to end it", "dim"))
        return stopper.exit_code
    else:
        _advise(session, view)
    return of_run(view.status, view.state)


def _print_result(session: Session, store: Store, ended: WorkflowCompleted) -> None:
    from dwf.cli.verbs.waiting import print_result

    print_result(session, store, ended.result, only_if_any=True)


def _load(store: Store, run: str) -> RunView:
    from dwf.engine.runs import load

    return load(store, run)


def _advise(session: Session, view: RunView) -> None:
    if view.problem is not None:
        raise view.problem
    for line, words in commands(view.run, view.status, view.state, [])[:3]:
        session.screen.say(("next: ", "cyan"), line, ("  " + words, "dim"))


def _wish(view: RunView) -> str:
    """What the run waits for, if only a person can give it, and what to type; else nothing.

    A step that will be tried again moves it on. So does a timer beside a signal: it is the time limit of the signal.
    """
    from dwf.cli.payloads import brief
    from dwf.core.messages import quoted

    state, run = view.state, view.run
    if state is None or state.starts_later or not all(step.asks for step in state.steps.values()):
        return ""
    if state.steps:
        asking = next(iter(state.steps.values()))
        return f"it asks whether {quoted(asking.title)} took effect; see: dwf show {run}"
    if state.approvals:
        asked = next(iter(state.approvals.values())).requested
        which = f" {asked.command}" if len(state.approvals) > 1 else ""
        shown = "" if bytes(asked.show) == b"null" else f" ({brief(asked.show)})"
        return f'it asks {quoted(asked.prompt, 200)}{shown}; answer with: dwf approve {run}{which} -m "..."'
    if state.signal_waits and not state.timers:
        name = next(iter(state.signal_waits.values())).opened.name
        return f"it waits for signal {name}; send it with: dwf signal {run} {name} [K=V ...]"
    return ""


class _Attended:
    def __init__(self, session: Session, store: Store, run: str, stopper: Stopper) -> None:
        self._session, self._store, self._run, self._stopper = session, store, run, stopper
        utc = bool(session.options.get("utc"))
        self.follower = Follower(session.screen, view_for(session.screen), run, utc=utc, everything=session.verbose)
        self._put_off: set[int] = set()
        self._told: set[int] = set()
        self._left_us = 0
        self._driven: set[str] = set()
        self.needs_person = ""

    def to_rest(self) -> RunView:
        """Until the run is closed, blocked or unreadable, or a signal came; or until it needs a person who is not here.

        Then `needs_person` says for what, and what to type.
        """
        self.follower.learn(_load(self._store, self._run).events)
        while True:
            report = drive(self._store, self._stopper, only={self._run, *self._driven}, watch=self.follower)
            for error in report.errors:
                raise error
            self._left_us = now_us()
            view = self._look()
            if view.status.closed or view.problem is not None or view.status is Status.BLOCKED:
                return view
            if self._stopper.number:
                return view
            if not self._session.interactive and not self._something_to_do(view):
                self.needs_person = _wish(view)
                if self.needs_person:
                    return view
            self._ask_or_wait(view)

    def _look(self) -> RunView:
        view = _load(self._store, self._run)
        self.follower.catch_up(view.events)
        return view

    # -- between two ticks -------------------------------------------------------------------------------------

    def _ask_or_wait(self, view: RunView) -> None:
        question = self._question(view)
        if question is not None and self._session.interactive:
            self._ask(question, view)
            return
        if question is not None and question.requested.command not in self._told:
            self._told.add(question.requested.command)
            self._session.screen.say(("next: ", "cyan"), f'dwf approve {self._run} -m "..."')
        while not self._stopper.flag.wait(_LOOK_SECONDS):
            if self._something_to_do(view) or self._moved(view):
                return

    def _question(self, view: RunView) -> OpenApproval | None:
        """The first open question that this person may answer and has not put off."""
        from dwf.engine.identity import may_answer

        assert view.state is not None
        uid = self._session.me.uid
        for command, approval in view.state.approvals.items():
            if command not in self._put_off and may_answer(approval.requested, uid) is None:
                return approval
        return None

    def _something_to_do(self, view: RunView) -> bool:
        """Whether time or mail gives the run something to do. Asked of its history, which is at hand."""
        with_mail = {self._store.mailbox.run_of(name) for name in self._store.mailbox.names()}
        from dwf.engine.runs import family

        self._driven = {one.run for one in family(self._store, view) if one.run in with_mail or self._is_due(one)}
        return bool(self._driven)

    def _is_due(self, view: RunView) -> bool:
        assert view.state is not None
        due = view.state.next_due_us()
        if due is not None and due <= now_us():
            return True
        # somebody else drove it, and may have died
        return view.status is Status.RUNNING and now_us() - self._left_us > _TAKE_OVER_US

    def _moved(self, before: RunView) -> bool:
        """Whether another process has driven it on."""
        return self._look().events[-1:] != before.events[-1:]

    # -- asking ------------------------------------------------------------------------------------------------

    def _ask(self, approval: OpenApproval, view: RunView) -> None:
        """Ask until there is an answer, or the run moves on by itself (a deadline, an answer from elsewhere)."""
        from dwf.cli.payloads import brief

        screen, asked = self._session.screen, approval.requested
        self.follower.pause()
        if bytes(asked.show) != b"null":
            screen.tell(brief(asked.show, 2000))
        screen.tell((asked.prompt, "bold"))
        answer = self._typed("approve? yes / no / later: ", view)
        if answer is None:
            return
        word, _, comment = answer.partition(" ")
        if word.lower() in ("y", "yes", "n", "no"):
            self._answer(approval, word.lower()[0] == "y", comment.strip())
        elif word.lower() in ("l", "later", ""):
            self._put_off.add(asked.command)
            screen.tell(f'answer it elsewhere: dwf approve {self._run} {asked.command} -m "..."')
        else:
            screen.tell("please type yes, no or later, and after it a comment if you like")

    def _typed(self, question: str, view: RunView) -> str | None:
        """A line from the terminal; None if the run has something to do before it came; "" at the end of input."""
        screen = self._session.screen
        screen.prompt(question)
        while not self._stopper.flag.is_set():
            if select.select([sys.stdin], [], [], _LOOK_SECONDS)[0]:
                return sys.stdin.readline().strip()
            if self._something_to_do(view) or self._moved(view):
                break
        screen.tell("")
        return None

    def _answer(self, approval: OpenApproval, yes: bool, comment: str) -> None:
        from dwf.engine.post import answer

        asked = approval.requested
        try:
            posted = answer(
                self._store,
                self._run,
                yes,
                self._session.me,
                comment,
                step=str(asked.command),
                if_hash=asked.fingerprint,
            )
        except DwfError as error:
            if error.exit_code not in (Exit.WRONG_STATE, Exit.NOT_PERMITTED):
                raise
            self._session.screen.tell(("not taken: ", "yellow"), error.message)
            return
        self._session.screen.say(posted.what)

"""Arrivals: what is ready to be delivered to a run, in the order of its own time.

A message counts from the moment the kernel linked its file, a finished step from its end, a timer from when it was
due: else a yes of 21:59 would lose against the deadline of 22:00 under a tick of 22:01. Ties: input, closing, timer.

Each arrival makes its events when its turn comes, from the state of that moment: what was overtaken makes none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from dwf.core import events as ev
from dwf.core import messages as mail
from dwf.core.deadlines import passed
from dwf.core.due import next_deadline
from dwf.core.duration import stamp, unstamp
from dwf.core.messages import quoted
from dwf.core.state import OpenApproval, RunState
from dwf.core.steps import Expiry
from dwf.core.values import decode
from dwf.engine.deciding import said_of
from dwf.engine.identity import may_answer
from dwf.engine.summary import who
from dwf.engine.wishes import Wish, wish_of
from dwf.errors import UsageError, ValueRefused
from dwf.store.blobs import same_payload
from dwf.store.letters import Letter

INPUT, CLOSING, TIMER = 0, 1, 2
Make = Callable[[RunState], list[ev.Event]]


@dataclass(order=True, slots=True)
class Arrival:
    """Something that is ready. `make` gives the events to deliver, none if it came too late."""

    at_us: int
    rank: int
    order: tuple[int, str]
    make: Make = field(compare=False)


class Late(Exception):
    """A letter that came too late to count: what it speaks of is over. It is kept and shown as that."""


class Unfit(Exception):
    """A letter that may not count. `why` is told to its sender."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


# -- time -------------------------------------------------------------------------------------------------------


def from_time(state: RunState, now_us: int) -> list[Arrival]:
    """Timers and deadlines that are due."""
    found = [
        Arrival(due, TIMER, (command, ""), _fires(command, timer.fire_at))
        for command, timer in state.timers.items()
        if (due := unstamp(timer.fire_at)) <= now_us
    ]
    found += [
        Arrival(unstamp(expiry.at), TIMER, (command, ""), _waited_too_long(command, expiry))
        for command, step in state.steps.items()
        if (expiry := step.expiry) is not None and unstamp(expiry.at) <= now_us
    ]
    end = next_deadline(state)
    if end and unstamp(end) <= now_us:
        found.append(Arrival(unstamp(end), TIMER, (0, ""), _passes))
    for command, approval in state.approvals.items():
        deadline = approval.requested.deadline
        if deadline and unstamp(deadline) <= now_us:
            found.append(Arrival(unstamp(deadline), TIMER, (command, ""), _expires(command)))
    found += [
        Arrival(callback.due_us, TIMER, (command, ""), _falls_silent(command, callback.due_us))
        for command, callback in state.callbacks.items()
        if callback.due_us is not None and callback.due_us <= now_us
    ]
    return found


def _falls_silent(command: int, at_us: int) -> Make:
    def make(state: RunState) -> list[ev.Event]:
        callback = state.callbacks.get(command)
        if callback is None or callback.due_us is None or callback.due_us > at_us:
            return []  # it has ended, or was heard of in time
        return [ev.CallbackTimedOut(command=command, heartbeat=callback.is_silent_first)]

    return make


def _fires(command: int, due: str) -> Make:
    def make(state: RunState) -> list[ev.Event]:
        timer = state.timers.get(command)
        # Somebody may have moved it before it was due, and no tick have come by in between.
        return [ev.TimerFired(command=command)] if timer is not None and timer.fire_at == due else []

    return make


def _waited_too_long(command: int, expiry: Expiry) -> Make:
    def make(state: RunState) -> list[ev.Event]:
        step = state.steps.get(command)
        if step is None or step.expiry != expiry:
            return []
        over = ev.ActivityTimedOut(
            command=command,
            timeout=expiry.limit_us,
            attempts=step.attempts,
            which=expiry.which,
            error=step.last_error,
        )
        return [over]

    return make


def _passes(state: RunState) -> list[ev.Event]:
    return [passed(state.head)] if next_deadline(state) else []


def _expires(command: int) -> Make:
    def make(state: RunState) -> list[ev.Event]:
        approval = state.approvals.get(command)
        if approval is None:
            return []
        outcome = {"approve": "approved", "reject": "rejected", "fail": "failed"}[approval.requested.on_timeout]
        return [_resolved(approval, outcome, timed_out=True)]

    return make


# -- mail -------------------------------------------------------------------------------------------------------


def from_letter(letter: Letter) -> Arrival:
    """A letter as an arrival. Its `make` gives no events if the history has it already; it raises Late or Unfit."""
    make = _MAKE.get(letter.message.kind, _nothing)

    def once(state: RunState) -> list[ev.Event]:
        return [] if letter.message.id in state.messages else make(letter, state)

    return Arrival(letter.posted_us, INPUT, (letter.posted_us, letter.name), once)


def sender_of(letter: Letter) -> ev.Identity:
    """Who posted it: the uid is the kernel's word, everything else the sender's."""
    claimed = letter.message.by
    if claimed is None or claimed.uid != letter.uid:
        return ev.Identity(uid=letter.uid)
    return claimed


def _signal(letter: Letter, state: RunState) -> list[ev.Event]:
    message = letter.message
    return _received(_as_signal(letter, message.name, message.payload, message.key), state)


def signal_of(wish: Wish, letter: Letter) -> ev.SignalReceived | None:
    """The signal that a start brings along."""
    first = wish.signal
    return _as_signal(letter, first.name, first.payload, first.key) if first is not None else None


def _as_signal(letter: Letter, name: str, payload: ev.Payload, key: str) -> ev.SignalReceived:
    return ev.SignalReceived(
        name=name,
        payload=payload,
        key=key,
        message=letter.message.id,
        by=sender_of(letter),
        reason=letter.message.reason,
        posted=stamp(letter.posted_us),
    )


def _received(signal: ev.SignalReceived, state: RunState) -> list[ev.Event]:
    before = state.keys.get(signal.key) if signal.key else None
    if before is not None:
        if before.name == signal.name and same_payload(before.payload, signal.payload):
            return []
        raise Unfit(f"its key {quoted(signal.key)} was used before, with another signal or payload")
    if len(state.unconsumed) >= mail.MOST_PENDING and state.keeps(signal.name):
        raise Unfit(f"{len(state.unconsumed):,} signals wait in the run that its script has not taken")
    return [signal]


def _nothing(letter: Letter, state: RunState) -> list[ev.Event]:
    return []


def _cancel(letter: Letter, _: RunState) -> list[ev.Event]:
    message = letter.message
    return [
        ev.CancelRequested(
            message=message.id, by=sender_of(letter), reason=message.reason, posted=stamp(letter.posted_us)
        )
    ]


def question_of(letter: Letter, state: RunState) -> OpenApproval | None:
    """The open question that a letter answers; None if it names none, or one that is decided."""
    return next((a for a in state.approvals.values() if a.requested.id == letter.message.question), None)


def _answer(letter: Letter, state: RunState) -> list[ev.Event]:
    message = letter.message
    approval = question_of(letter, state)
    if approval is None:
        raise Late
    asked = approval.requested
    if asked.fingerprint != message.fingerprint:
        raise Unfit("the question is not the one that was shown")
    refused = may_answer(asked, letter.uid)
    if refused is not None:
        raise Unfit(refused)
    if any(a.by is not None and a.by.uid == letter.uid for a in approval.answers):
        raise Unfit("the same person has answered before")
    given = ev.ApprovalAnswered(
        command=asked.command,
        answer=message.kind,
        message=message.id,
        by=sender_of(letter),
        comment=message.reason,
        posted=stamp(letter.posted_us),
    )
    return [given]


def _decision(letter: Letter) -> ev.Decision:
    message = letter.message
    return ev.Decision(
        by=sender_of(letter),
        reason=message.reason,
        message=message.id,
        posted=stamp(letter.posted_us),
        evidence=message.evidence,
    )


def _step(letter: Letter, state: RunState) -> list[ev.Event]:
    """A person's word on a step."""
    message = letter.message
    step = state.steps.get(message.command)
    try:
        if step is None:
            raise Late
        event = said_of(step, message.name, message.payload, message.attempt, _decision(letter))
    except ValueRefused as error:
        raise Unfit(error.message) from None
    if event is None:
        raise Late
    return [event]


def _timer(letter: Letter, state: RunState) -> list[ev.Event]:
    """A person's word on a timer. One that has fired meanwhile, or was cancelled, is not his to decide."""
    command, decided = letter.message.command, _decision(letter)
    if command not in state.timers:
        raise Late
    if letter.message.name == mail.FIRE:
        return [ev.TimerFired(command=command, decided=decided)]
    if letter.message.name == mail.MOVE:
        return [ev.TimerMoved(command=command, fire_at=_time_of(letter), decided=decided)]
    raise Unfit(f"there is no decision {quoted(letter.message.name)}")


def _time_of(letter: Letter) -> str:
    try:
        fire_at = decode(letter.message.payload, str)
        unstamp(fire_at)
    except (ValueRefused, ValueError):
        raise Unfit("what it says is no time") from None
    return str(fire_at)


def _unblock(letter: Letter, state: RunState) -> list[ev.Event]:
    if state.blocked is None:
        raise Late
    return [ev.RunUnblocked(decided=_decision(letter))]


def _hold(letter: Letter, state: RunState) -> list[ev.Event]:
    act = letter.message.name
    if act not in (mail.PAUSE, mail.RESUME):
        raise Unfit(f"there is no decision {quoted(act)}")
    if (state.paused is not None) == (act == mail.PAUSE):
        raise Late
    kind = ev.RunPaused if act == mail.PAUSE else ev.RunResumed
    return [kind(decided=_decision(letter))]


def _start(letter: Letter, state: RunState) -> list[ev.Event]:
    """A start that brings a signal along reaches the run as that signal, if it is there and runs what was meant."""
    try:
        signal = signal_of(wish_of(letter.message.payload), letter)
    except UsageError as error:
        raise Unfit(error.message) from None
    if signal is None or not _is_of(state.head, letter.message.name):
        raise Unfit(f"the id {state.head.run} is in use")
    return _received(signal, state)


def _is_of(head: ev.WorkflowStarted, catalogued: str) -> bool:
    file, _, workflow = catalogued.partition(":")
    return head.script.rpartition("/")[2] == file and workflow in ("", head.workflow)


_MAKE: dict[str, Callable[[Letter, RunState], list[ev.Event]]] = {
    mail.SIGNAL: _signal,
    mail.CANCEL: _cancel,
    mail.APPROVE: _answer,
    mail.REJECT: _answer,
    mail.STEP: _step,
    mail.TIMER: _timer,
    mail.UNBLOCK: _unblock,
    mail.START: _start,
    mail.HOLD: _hold,
}


def decided(state: RunState, command: int) -> ev.ApprovalResolved | None:
    """How an approval ends, once its answers decide it: one no, or enough yes from different people."""
    approval = state.approvals.get(command)
    if approval is None:
        return None
    if approval.given(mail.REJECT):
        return _resolved(approval, "rejected")
    people = {a.by.uid for a in approval.given(mail.APPROVE) if a.by is not None}
    return _resolved(approval, "approved") if len(people) >= approval.requested.need else None


def _resolved(approval: OpenApproval, outcome: str, *, timed_out: bool = False) -> ev.ApprovalResolved:
    wanted = mail.REJECT if outcome == "rejected" and not timed_out else mail.APPROVE
    answers = approval.given(wanted)
    return ev.ApprovalResolved(
        command=approval.requested.command,
        outcome=outcome,
        answers=[a.id for a in answers],
        by=[who(a.by) for a in answers],
        comment=answers[-1].comment if answers else "",
        timed_out=timed_out,
    )

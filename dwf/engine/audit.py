"""The audit: who did what, when, to which run, why, and what became of it; in one order of time.

What was done is in the histories, each act an event with who and why. What was refused, and what was archived, is in
a log of its own, and what was posted and did not count is in the mailbox. Nothing in here decides anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from dwf.core import events as ev
from dwf.core.duration import stamp, unstamp
from dwf.core.events import Identity
from dwf.core.messages import in_words
from dwf.core.parts import Follows
from dwf.engine.arrivals import sender_of
from dwf.engine.identity import login_of
from dwf.engine.summary import who
from dwf.errors import DwfError
from dwf.store.archive import entries, months
from dwf.store.auditlog import LONGEST_LINE, AuditLog
from dwf.store.history import read_history
from dwf.store.layout import run_of
from dwf.store.letters import Letter
from dwf.store.refused import BadMail
from dwf.store.room import Store
from dwf.store.survey import names_in

SCHEMA = "dwf.refused/1"
ARCHIVAL = "dwf.archived/1"
SETTING = "dwf.setting/1"
DONE, POSTED, LATE, REFUSED = "done", "posted", "late", "refused"
_MOST_MAIL = 1000
_LONGEST_TEXT = 400


@dataclass(frozen=True, slots=True)
class Act:
    """What one person did, or tried. `outcome`: done (as event number `event`), posted, late, refused; `why` that."""

    at_us: int
    who: str
    what: str
    run: str
    outcome: str
    why: str = ""
    reason: str = ""
    event: int = 0
    instance: int = 1
    by: Identity | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the log. `code` and `exit` are those of the error; `message` is what the person was told.

    note: the name of the note in which a member's own program told it; the uid and the time are then the kernel's.
    """

    schema: str = SCHEMA
    at: str
    verb: str
    run: str = ""
    reason: str = ""
    code: str
    exit: int
    message: str
    by: Identity
    note: str = ""


def note_refusal(store: Store, refusal: Refusal) -> None:
    """Append to the log. Raises NotPermitted, DiskError."""
    AuditLog(store.disk, store.layout).append(line_of(refusal), unstamp(refusal.at))


def line_of(refusal: Refusal) -> bytes:
    """A refusal as it is written, shortened so that it fits into a line of the log."""
    texts = {name: _short(getattr(refusal, name)) for name in ("verb", "run", "reason", "message")}
    return _ascii(msgspec.json.encode(msgspec.structs.replace(refusal, **texts)))


class Archival(msgspec.Struct, frozen=True, kw_only=True):
    """Another line of it: runs that were archived. Their histories are closed, and hold no more."""

    schema: str = ARCHIVAL
    at: str
    runs: list[str]
    reason: str = ""
    by: Identity


def note_archival(store: Store, archival: Archival) -> None:
    """Append to the log, in as many lines as the ids need. Raises NotPermitted, DiskError."""
    part: list[str] = []
    for run in archival.runs:
        if sum(map(len, part)) + len(run) > LONGEST_LINE // 2:
            _append(store, archival, part)
            part = []
        part.append(run)
    _append(store, archival, part)


def _append(store: Store, archival: Archival, runs: list[str]) -> None:
    line = msgspec.json.encode(msgspec.structs.replace(archival, runs=runs, reason=_short(archival.reason)))
    AuditLog(store.disk, store.layout).append(_ascii(line), unstamp(archival.at))


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Another: what was set for the whole directory, numbers of a limit, or (`act`) that nothing is driven."""

    schema: str = SETTING
    act: str = "limits"
    at: str
    name: str
    value: str
    reason: str = ""
    by: Identity


def note_setting(store: Store, setting: Setting) -> None:
    """Append to the log. Raises NotPermitted, DiskError."""
    short = msgspec.structs.replace(setting, name=_short(setting.name), reason=_short(setting.reason))
    AuditLog(store.disk, store.layout).append(_ascii(msgspec.json.encode(short)), unstamp(setting.at))


def acts(store: Store, run: str | None = None, since_us: int = 0) -> list[Act]:
    """Everything, or what concerns one run, the oldest first."""
    found = [
        *_recorded(store, run),
        *_refused(store, run),
        *_archived(store, run),
        *_settings(store, run),
        *_mail(store, run),
    ]
    return sorted((act for act in found if act.at_us >= since_us), key=lambda act: (act.at_us, act.run, act.event))


# -- histories --------------------------------------------------------------------------------------------------


def _histories(store: Store, run: str | None) -> Iterator[tuple[str, int, str]]:
    """Run, instance and path of what is asked for; of all runs, those in the archive come last."""
    if run is not None:
        for link in range(1, store.latest_link(run) + 1):
            yield run, link, store.history(run, link)
        return
    for known in filter(None, map(run_of, names_in(store.layout.runs))):
        yield (*known, store.layout.history_path(*known))
    for month in months(store.layout):
        yield from entries(store.layout, month)


def _recorded(store: Store, run: str | None) -> Iterator[Act]:
    for of, link, path in _histories(store, run):
        try:
            events = read_history(path).events
        except DwfError:
            continue  # doctor and verify speak of what cannot be read
        head = events[0] if events else None
        follows = head.follows if isinstance(head, ev.WorkflowStarted) else None
        for event in events:
            # On a step, a blocked run or a damaged history a person's word stands in a part of its own.
            act = getattr(event, "decided", None) or event
            by = getattr(act, "by", None)
            if follows is not None and _taken_over(event, follows):
                if isinstance(by, Identity) and _put_in_place(act, follows):
                    yield _of_event(event, act, by, of, link, f"{follows.how} --set")
                continue
            if isinstance(event, ev.Closing) and isinstance(act, ev.Decision) and not act.message:
                continue  # what was decided while the step ran, and is done now
            if isinstance(by, Identity):
                yield _of_event(event, act, by, of, link, _verb(event))


def _taken_over(event: ev.Event, follows: Follows) -> bool:
    """Whether a line came with the making of a history that goes on from another: people did that there, not here."""
    if event.id == 1 or not follows.at:
        return False
    return event.id <= follows.lines or (isinstance(event, ev.SignalReceived) and event.ts == follows.at)


def _put_in_place(act: object, follows: Follows) -> bool:
    """Whether a result is another one than was recorded there."""
    return isinstance(act, ev.Decision) and act.posted == follows.at


def _of_event(event: ev.Event, act: object, by: Identity, run: str, link: int, what: str) -> Act:
    at = getattr(act, "posted", "") or event.ts
    if isinstance(event, ev.WorkflowStarted) and event.follows is not None:
        at = event.follows.at or at  # the line itself has the time that the script was told, when it began
    reason = getattr(act, "reason", "") or getattr(act, "comment", "")
    return Act(unstamp(at), who(by), what, run, DONE, "", reason, event.id, link, by)


def _verb(event: ev.Event) -> str:
    """The command that led to an event."""
    if isinstance(event, ev.WorkflowStarted) and event.follows is not None:
        return event.follows.how  # undo, retry, reset, fork: each is the name of its verb
    if isinstance(event, ev.SignalReceived):
        return f"signal {event.name}"
    if isinstance(event, ev.UpdateAccepted):
        return f"update {event.name}"
    if isinstance(event, ev.ApprovalAnswered):
        return event.answer
    if isinstance(event, ev.ActivityOverruled):
        return f"step {event.act}"
    if isinstance(event, ev.ActivityCompleted) and event.skipped:
        return "step skip"
    known = _VERBS.get(type(event))
    # An event of a kind that nobody has thought of here is told all the same.
    return known or " ".join(re.findall(r"[A-Z][a-z]*", type(event).__name__)).lower()


_VERBS: dict[type[ev.Event], str] = {
    ev.WorkflowStarted: "start",
    ev.WorkflowTerminated: "terminate",
    ev.WorkflowCancelled: "cancel",
    ev.CancelRequested: "cancel",
    ev.CodeUpgraded: "upgrade",
    ev.ActivityCompleted: "step complete",
    ev.ActivityFailed: "step fail",
    ev.ActivityRetryRequested: "step retry",
    ev.ActivityPaused: "step pause",
    ev.ActivityUnpaused: "step unpause",
    ev.ActivityReset: "step reset",
    ev.ActivityOptionsChanged: "step set",
    ev.TimerFired: "timer fire",
    ev.TimerMoved: "timer move",
    ev.RunUnblocked: "unblock",
    ev.RunPaused: "pause",
    ev.RunResumed: "resume",
    ev.CallbackCompleted: "complete",
    ev.CallbackFailed: "complete --fail",
    ev.CallbackHeartbeat: "complete --heartbeat",
    ev.HistoryRepaired: "repair",
    ev.RunMoved: "export --move",
    ev.RunAdopted: "import --resume",
    ev.RunImported: "import",
}


# -- the log ---------------------------------------------------------------------------------------------------


def _refused(store: Store, run: str | None) -> Iterator[Act]:
    for said, at_us in refusals(store):
        if run is None or run in said.run.split():
            why = f"{said.message} ({said.exit})"
            yield Act(at_us, who(said.by), said.verb, said.run, REFUSED, why, said.reason, by=said.by)


def refusals(store: Store) -> Iterator[tuple[Refusal, int]]:
    """What the log has, each note once, with the time in microseconds."""
    notes = set[str]()
    for line in AuditLog(store.disk, store.layout).lines():
        try:
            said = msgspec.json.decode(line, type=Refusal)
            at_us = unstamp(said.at)
        except (msgspec.MsgspecError, ValueError):
            continue  # its writer was killed
        if said.note not in notes:
            yield said, at_us
        if said.note:
            notes.add(said.note)


def _archived(store: Store, run: str | None) -> Iterator[Act]:
    for line in AuditLog(store.disk, store.layout).lines():
        try:
            said = msgspec.json.decode(line, type=Archival)
            at_us = unstamp(said.at)
        except (msgspec.MsgspecError, ValueError):
            continue  # a refusal, or its writer was killed
        for one in said.runs if said.schema == ARCHIVAL else ():
            if run in (None, one):
                yield Act(at_us, who(said.by), "archive", one, DONE, "", said.reason, by=said.by)


def _settings(store: Store, run: str | None) -> Iterator[Act]:
    for line in AuditLog(store.disk, store.layout).lines() if run is None else ():
        try:
            said = msgspec.json.decode(line, type=Setting)
            at_us = unstamp(said.at)
        except (msgspec.MsgspecError, ValueError):
            continue
        if said.schema == SETTING:
            yield Act(at_us, who(said.by), f"{said.act} {said.name}", "", DONE, said.value, said.reason, by=said.by)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 3] + "..."


def _ascii(line: bytes) -> bytes:
    """Printable ASCII on one line, whatever was typed; a line that is too long is one of escapes, and cut as such."""
    import json

    fields = json.loads(line)
    text = json.dumps(fields, ensure_ascii=True).encode("ascii")
    if len(text) > LONGEST_LINE:
        for name in {"message", "reason", "run"} & set(fields):
            fields[name] = ascii(fields[name])[:_LONGEST_TEXT]
        text = json.dumps(fields, ensure_ascii=True).encode("ascii")
    return text


# -- mail -------------------------------------------------------------------------------------------------------


def _mail(store: Store, run: str | None) -> Iterator[Act]:
    waiting: dict[str, list[str]] = {}
    for name in store.mailbox.names():
        of = store.mailbox.run_of(name)
        if of is not None and run in (None, of):
            waiting.setdefault(of, []).append(name)
    for of, names in waiting.items():
        yield from _letters(store.mailbox.pending(of, names), POSTED, "the next tick takes it up")
    yield from _letters(store.mailbox.late(run, _MOST_MAIL), LATE, "it came after the end of what it is for")
    for bad in store.mailbox.bad(_MOST_MAIL):
        of = store.mailbox.run_of(bad.name)
        if run in (None, of):
            yield _of_bad(bad, of or "")


def _letters(letters: Iterable[Letter], outcome: str, why: str) -> Iterator[Act]:
    for letter in letters:
        message, by = letter.message, sender_of(letter)
        yield Act(letter.posted_us, who(by), in_words(message), message.run, outcome, why, message.reason, by=by)


def _of_bad(bad: BadMail, run: str) -> Act:
    sender = "somebody" if bad.uid < 0 else login_of(bad.uid) or f"uid {bad.uid}"
    by = None if bad.uid < 0 else Identity(uid=bad.uid)
    return Act(bad.at_us, sender, "mail", run, REFUSED, bad.reason, by=by)


def document_of(act: Act) -> dict[str, object]:
    """An act for programs."""
    return {
        "at": stamp(act.at_us),
        "who": act.who,
        "what": act.what,
        "run": act.run,
        "instance": act.instance,
        "outcome": act.outcome,
        "why": act.why,
        "reason": act.reason,
        "event": act.event or None,
        "by": msgspec.to_builtins(act.by),
    }

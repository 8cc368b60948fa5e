"""A run as JSON for programs: `"schema": "dwf.run/1"`, stable keys, valid even when the run is damaged."""

from __future__ import annotations

from typing import Any

from dwf.cli.pages.advice import commands
from dwf.cli.pages.history import fields_of
from dwf.cli.pages.run import Facts, Posted
from dwf.cli.payloads import plain_value
from dwf.cli.times import iso
from dwf.core import events as ev
from dwf.core.deadlines import earliest
from dwf.core.state import DoneStep, RunState
from dwf.core.tags import plain_tags
from dwf.errors import DwfError
from dwf.scripts.packages import changed_packages


def run_document(facts: Facts) -> dict[str, Any]:
    """Everything that `dwf show` says, and what it leaves out for lack of room."""
    state = facts.state
    document = {
        "schema": "dwf.run/1",
        "run": facts.run,
        "instance": facts.link,
        "status": facts.status.value,
        "problem": problem_document(facts.problem),
        "torn_bytes": facts.torn_bytes,
        "last_tick": iso(facts.last_tick_us),
    }
    document.update(_state(state) if state is not None else dict.fromkeys(_EMPTY))
    document["waits"] = [{**_wait(wait), **_beat(facts.beats.get(wait.command))} for wait in facts.waits]
    document["mail"] = [_posted(letter) for letter in facts.mail]
    document["late"] = [_posted(letter) for letter in facts.late]
    document["stuck"] = facts.stuck or None
    document["undriven"] = facts.undriven
    document["refused"] = len(facts.refused)
    document["refused_why"] = list(facts.refused)
    document["next"] = [line for line, _ in commands(facts.run, facts.status, state, facts.waits, facts.stuck)]
    return document


def _posted(letter: Posted) -> dict[str, Any]:
    return {"what": letter.what, "by": letter.by, "posted": iso(letter.posted_us)}


def problem_document(problem: DwfError | None) -> dict[str, Any] | None:
    """An error inside a document."""
    if problem is None:
        return None
    facts = {name: value for name, value in problem.facts.items() if isinstance(value, str | int)}
    return {"code": problem.code, "message": problem.message, "hint": problem.hint or "", **facts}


def _state(state: RunState) -> dict[str, Any]:
    head = state.head
    ended = state.ended
    return {
        "nonce": head.nonce,
        "workflow": head.workflow,
        "script": state.script,
        "code": state.code,
        "code_mode": head.code_mode,
        "code_from": head.code_from,
        "code_refused": fields_of(state.refused) if state.refused is not None else None,
        "python": head.python or None,
        "packages": dict(state.packages),
        "packages_changed": _changed_packages(state),
        "input": plain_value(head.input),
        "tags": plain_tags(state.tags),
        "memo": {name: plain_value(value) for name, value in state.memo.items()},
        "headers": dict(head.headers),
        "reason": head.reason,
        "by": _identity(head.by),
        "started": head.ts,
        "start_at": head.start_at or None,
        "attempt": head.attempt,
        "priority": head.priority,
        "deadline": earliest(head) or None,
        "on_deadline": head.on_deadline or None,
        "deadline_passed": state.overdue.ts if state.overdue is not None else None,
        "updated": state.last_ts,
        "ended": ended.ts if ended is not None else None,
        "events": state.last_id,
        "status_text": state.status_text,
        "degraded": list(state.degraded),
        "undos": [
            {"command": number, "of": entry.of, "state": entry.stand.value, "why": entry.why}
            for number, entry in state.undos.entries.items()
        ],
        "result": plain_value(ended.result) if isinstance(ended, ev.WorkflowCompleted) else None,
        "error": fields_of_error(ended.error) if isinstance(ended, ev.WorkflowFailed) else None,
        "blocked": _without(state.blocked) if state.blocked is not None else None,
        "cancel": _without(state.cancel) if state.cancel is not None else None,
        "moved": fields_of(state.moved) if state.moved is not None else None,
        "steps_done": state.steps_done,
        "done": [_done(step) for step in state.done],
        "signals": [_without(signal) for signal in state.unconsumed.values()],
        "approvals": [
            {**_without(a.requested), "answers": [_without(answer) for answer in a.answers]}
            for a in state.approvals.values()
        ],
    }


def _changed_packages(state: RunState) -> dict[str, Any]:
    """Of an open run, as on the screen: what has ended is driven by no package."""
    changes = changed_packages(state) if state.ended is None else []
    return {change.name: {"then": change.then, "now": change.now} for change in changes}


_EMPTY = (
    "nonce workflow script code code_mode code_from code_refused python packages packages_changed input tags memo "
    "headers reason by started start_at attempt priority deadline on_deadline deadline_passed updated ended events "
    "status_text degraded undos result error blocked cancel moved steps_done done signals approvals"
).split()


def fields_of_error(error: ev.ErrorInfo) -> dict[str, Any]:
    """A recorded exception."""
    return {
        "type": error.type,
        "message": error.message,
        "details": plain_value(error.details),
        "traceback": error.traceback,
    }


def _identity(by: ev.Identity | None) -> dict[str, Any] | None:
    if by is None:
        return None
    names = ("uid", "login", "sudo_user", "tty", "ssh_client", "host", "pid")
    return {name: getattr(by, name) for name in names}


def _without(event: ev.Event) -> dict[str, Any]:
    """An event without what the place in the document says already."""
    return {name: value for name, value in fields_of(event).items() if name != "type"}


def _done(step: DoneStep) -> dict[str, Any]:
    return {
        "command": step.command,
        "title": step.title,
        "outcome": step.outcome,
        "took_us": step.took_us,
        "attempts": step.attempts,
    }


def _beat(beat: Any) -> dict[str, Any]:
    return {} if beat is None else {"heartbeat": iso(beat.at_us), "heartbeat_details": beat.details}


def _wait(wait: Any) -> dict[str, Any]:
    return {
        "command": wait.command,
        "kind": wait.kind,
        "what": wait.what,
        "since": iso(wait.since_us),
        "until": iso(wait.until_us),
        "detail": wait.detail,
        "on_timeout": wait.on_timeout,
        "times_out": iso(wait.over_by_us),
    }

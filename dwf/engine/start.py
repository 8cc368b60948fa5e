"""Starting: a script and words become a run whose first line is on disk before its id is told to anybody."""

from __future__ import annotations

import dataclasses
import os
import platform
import secrets
import time
from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

from msgspec.structs import replace

from dwf import __version__
from dwf.authoring.workflow import Workflow
from dwf.core.duration import stamp
from dwf.core.events import TERMINAL, CodeFrom, Identity, Payload, SignalReceived, WorkflowStarted
from dwf.core.flow import check_priority
from dwf.core.headers import check_headers
from dwf.core.messages import check_run_id
from dwf.core.tags import check_noted, packed
from dwf.engine.context import wall_clock_us
from dwf.engine.routing import LIVE, PINNED, Offer, made_up_id, split_name
from dwf.engine.runs import folded
from dwf.engine.summary import who
from dwf.errors import Busy, Conflict
from dwf.scripts.collect import Sources
from dwf.scripts.packages import versions
from dwf.store.blobs import same_payload
from dwf.store.code import bundle_hash
from dwf.store.creation import create_run, require_room
from dwf.store.history import believe_history
from dwf.store.locks import RunLock
from dwf.store.record import Chain
from dwf.store.room import Store
from dwf.store.row import DUE_NOW, Row

IfExists = Literal["fail", "use", "new", "terminate"]
_LOCK_SECONDS = 5.0


@dataclass(frozen=True)
class StartRequest:
    """What `dwf start` was asked for.

    script: a path, or path:workflow. values: words K=V; json_input: JSON values by name. run: the id, made up if None.
    start_at_us: not before then. deadline_us: how long it may take, instead of what the workflow says.
    code: "" for what routes say; pinned for the file as it is now, live for it as it is at each tick; else the
    beginning of the hash of stored code. signal: comes before it begins.
    """

    script: str
    by: Identity
    values: dict[str, str] = field(default_factory=dict)
    json_input: dict[str, Any] | None = None
    run: str | None = None
    tags: dict[str, Payload] = field(default_factory=dict)
    memo: dict[str, Payload] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    start_at_us: int | None = None
    deadline_us: int | None = None
    priority: int = 0
    step_by_step: bool = False
    code: str = ""
    if_exists: IfExists = "fail"
    signal: SignalReceived | None = None


@dataclass(frozen=True)
class Started:
    """A run that is there for good. `created` is False if `--if-exists use` found it; `origin`: why on that code."""

    run: str
    nonce: str
    workflow: str
    script: str
    code: str
    created: bool = True
    start_at_us: int | None = None
    origin: CodeFrom = CodeFrom.FILE


@dataclass(frozen=True)
class Prepared:
    """A start of which everything is known but whether the id is free: the script is loaded, the words fit."""

    request: StartRequest
    sources: Sources
    workflow: Workflow
    given: bytes
    origin: CodeFrom = CodeFrom.FILE


def describe(script: str, store: Store | None = None) -> list[Workflow]:
    """The workflows that a start of a script would take. Raises what `Offer` and `collect` and `load` raise."""
    _, name = split_name(script)
    loaded = Offer(store, script).usual
    return [loaded.workflow(name)] if name else list(loaded.workflows.values())


def start(store: Store, request: StartRequest, clock: Callable[[], int] = wall_clock_us) -> Started:
    """Make a run; when this returns it is there for good. Raises what `prepare` and `make` raise."""
    return make(store, prepare(request, store=store), clock)


def prepare(
    request: StartRequest,
    trusted: Collection[int] | None = None,
    *,
    store: Store | None = None,
    offer: Offer | None = None,
) -> Prepared:
    """Whatever can be checked before there is a state directory, so that a mistake does not leave an empty one behind.

    trusted: the users that may be able to write the script; None is anybody, but for root, who trusts root only.
    store: whose routes say which code is taken, if it is there. offer: what this script offers, for who starts many.
    Raises NotPermitted (77) if others can, UsageError (2) for words that do not fit, and what `Offer`, `collect` and
    `load` raise for a script they cannot use.
    """
    if request.run is not None:
        check_run_id(request.run)
    check_headers(request.headers)
    check_noted(request.tags, request.memo)
    check_priority(request.priority)
    taken = (offer or Offer(store, request.script, request.code, trusted)).to(request.run)
    given = taken.workflow.bind(request.values, request.json_input)
    return Prepared(
        dataclasses.replace(request, run=taken.run or request.run), taken.sources, taken.workflow, given, taken.origin
    )


def make(
    store: Store,
    prepared: Prepared,
    clock: Callable[[], int] = wall_clock_us,
    *,
    nonce: str = "",
    locked: bool = False,
) -> Started:
    """Make a run; when this returns it is there for good. Raises Conflict (9) if the id is in use.

    nonce: of the instance, made up if empty. locked: the caller holds the lock on the id.
    """
    now_us = clock()
    return _create(store, opening(prepared, now_us, nonce), prepared, now_us, locked)


def opening(prepared: Prepared, now_us: int, nonce: str = "") -> WorkflowStarted:
    """The first event of the run."""
    request, sources = prepared.request, prepared.sources
    limits = prepared.workflow.limits
    if request.deadline_us is not None:
        limits = dataclasses.replace(limits, deadline_us=request.deadline_us)
    begins_us = now_us if request.start_at_us is None else max(now_us, request.start_at_us)
    return WorkflowStarted(
        run=request.run or made_up_id(prepared.workflow.name),
        nonce=nonce or secrets.token_hex(8),
        workflow=prepared.workflow.name,
        script=f"{sources.origin}/{sources.main}",
        code=bundle_hash(dict(sources.files), sources.main),
        code_mode=_mode(prepared),
        code_owner=sources.owner,
        code_permissions=sources.permissions,
        code_from=prepared.origin,
        input=Payload(prepared.given),
        by=request.by,
        reason=request.reason,
        tags=request.tags,
        memo=request.memo,
        headers=request.headers,
        start_at=stamp(request.start_at_us) if request.start_at_us is not None else "",
        step_by_step=request.step_by_step,
        priority=request.priority,
        **limits.at_start(begins_us),
        signals=[] if request.signal is None else [request.signal],
        python=platform.python_version(),
        dwf=__version__,
        packages=versions(sources.imports),
    )


def _mode(prepared: Prepared) -> str:
    if prepared.request.code == LIVE:
        return LIVE
    # Who asks for one version means that one.
    return PINNED if prepared.origin is CodeFrom.NAMED else prepared.workflow.upgrade


def _create(store: Store, event: WorkflowStarted, prepared: Prepared, now_us: int, locked: bool) -> Started:
    request, sources = prepared.request, prepared.sources
    link = 1
    while True:
        # Before the run, which needs it; but a start that is refused leaves nothing behind.
        require_room(store.layout)
        if not os.path.exists(store.layout.history_path(event.run, link)):  # noqa: PTH110
            store.code.save(dict(sources.files), sources.main)
        try:
            with lock_on(store, event.run) if link > 1 and not locked else nullcontext():
                line = first_line(store, replace(event, link=link), now_us)
                row = row_of_new(event, link, now_us)
                store.note_named(create_run(store.disk, store.layout, store.index, row, line))
        except Conflict:
            found = _existing(store, event, request)
            if isinstance(found, Started):
                return found
            # After the instance that was judged, and not after the newest: that may have been made since, and be open.
            link = found + 1
            continue
        return started(event, request)


def started(event: WorkflowStarted, request: StartRequest) -> Started:
    """A run that was just made, for whoever asked for it."""
    told = (event.run, event.nonce, event.workflow, event.script, event.code)
    return Started(*told, True, request.start_at_us, event.code_from)


def lock_on(store: Store, run: str) -> RunLock:
    """The lock on an id, for its next instance: whoever closes the one before must have left it. Raises Busy."""
    until = time.monotonic() + _LOCK_SECONDS
    while (lock := store.locks.take(run)) is None:
        if time.monotonic() > until:
            raise _busy(store, run)
        time.sleep(0.01)
    return lock


def _busy(store: Store, run: str) -> Busy:
    holder = store.locks.holder(run)
    return Busy(run=run, pid=holder.pid if holder else "?", hint="it will end soon; try again")


def first_line(store: Store, event: WorkflowStarted, now_us: int) -> bytes:
    """The first line of a new history."""
    if event.signals:
        event = replace(event, signals=[store.blobs.pack(signal) for signal in event.signals])
    _, line = Chain.begin(event.run, event.nonce).append(store.blobs.pack(event), now_us)
    return line


def row_of_new(event: WorkflowStarted, link: int, now_us: int) -> Row:
    """The index row of a run that is to be made."""
    return Row(
        run=event.run,
        nonce=event.nonce,
        link=link,
        workflow=event.workflow,
        due_at=DUE_NOW,
        since_us=now_us,
        started_us=now_us,
        updated_us=now_us,
        by=who(event.by),
        parent=event.parent.mark if event.parent else "",
        parent_run=event.parent.run if event.parent else "",
        tags=packed(event.tags),
        priority=event.priority,
    )


def _existing(store: Store, event: WorkflowStarted, request: StartRequest) -> Started | int:
    """The answer for an id that is in use; or the number of the closed instance after which a new one may be made."""
    from dwf.engine.chain import first_of_chain

    link = store.latest_link(event.run)
    path = store.history(event.run, link)
    reading = believe_history(store.disk, path)
    if reading.problem is not None:
        if reading.problem.facts.get("kind") == "foreign":
            # The name is taken and the content is another run's: where A and a are one name, that is an id in use.
            raise Conflict(what=f"the id {event.run} is in use, by another run", hint="choose another --id")
        raise reading.problem
    state = folded(reading.events, path)
    head = state.head
    if request.if_exists == "use":
        differs = _difference(first_of_chain(store, head), event)
        if differs is None:
            return Started(head.run, head.nonce, head.workflow, head.script, head.code, created=False)
        raise Conflict(what=f"the id {event.run} is in use, with another {differs}", hint="choose another --id")
    if request.if_exists in ("new", "terminate") and isinstance(state.ended, TERMINAL):
        return link
    if request.if_exists == "terminate":
        _end_by_force(store, state.head.run, link, request)
        return link
    how = "is done" if isinstance(state.ended, TERMINAL) else f"is {state.status.value}"
    differs = _difference(head, event)
    other = f", started with another {differs}" if differs else ""
    raise Conflict(
        what=f"the id {event.run} is in use: that run {how}{other}",
        hint=f"see it: dwf show {event.run}; choose another --id, or --if-exists use|new|terminate",
    )


def _difference(head: WorkflowStarted, event: WorkflowStarted) -> str | None:
    if head.workflow != event.workflow:
        return f"workflow ({head.workflow})"
    if not same_payload(head.input, event.input):
        return f"input ({bytes(head.input).decode('ascii', 'replace')[:200]})"
    return None


def _end_by_force(store: Store, run: str, link: int, request: StartRequest) -> None:
    """Terminate the open instance here and now, so that the new one can take its id."""
    from dwf.engine.post import terminate
    from dwf.engine.tick import tick

    terminate(store, run, request.by, f"replaced: {request.reason or 'dwf start --if-exists terminate'}")
    tick(store, only={run})
    path = store.layout.history_path(run, link)
    reading = believe_history(store.disk, path)
    if folded(reading.events, path).ended is None:
        raise _busy(store, run)

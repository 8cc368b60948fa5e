"""Hand-made histories, for tests of what is shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from dwf.core import events as ev
from dwf.core.duration import SECOND, stamp, unstamp
from dwf.core.state import RunState, fold
from dwf.core.values import encode

BEGAN = unstamp("2026-11-22T15:02:11.000000Z")
ANNA = ev.Identity(uid=1003, login="anna", ssh_client="10.0.0.7", host="bastion1")
BELA = ev.Identity(uid=1004, login="bela", ssh_client="10.0.0.9", host="bastion2")


def raw(value: Any) -> ev.Payload:
    return ev.Payload(encode(value))


def history(*bodies: ev.Event, seconds: Iterable[int] = ()) -> list[ev.Event]:
    """The events with ids from 1 and times: `seconds` after the first, one after another where none is given."""
    given = list(seconds)
    found = []
    for i, body in enumerate(bodies):
        at = given[i] if i < len(given) else (given[-1] if given else 0) + i
        found.append(msgspec.structs.replace(body, id=i + 1, ts=stamp(BEGAN + at * SECOND)))
    return found


def started(**changes: Any) -> ev.WorkflowStarted:
    fields: dict[str, Any] = {
        "run": "cert-rotation-7f3k9",
        "nonce": "00aa",
        "workflow": "rotate",
        "script": "/srv/books/cert_rotation.py",
        "code": "4be1c09" + "0" * 57,
        "input": raw({"host": "web1", "days": 30}),
        "by": ANNA,
    }
    return ev.WorkflowStarted(**{**fields, **changes})


def step(command: int, name: str, *args: Any) -> ev.ActivityScheduled:
    return ev.ActivityScheduled(command=command, name=name, kind="function", input=raw({"args": args}))


def approval(command: int, prompt: str = "Switch web1 to serial 3A:91?", **changes: Any) -> ev.ApprovalRequested:
    fields: dict[str, Any] = {
        "by": ["@security"],
        "need": 2,
        "deadline": stamp(BEGAN + 6 * 3600 * SECOND),
        "fingerprint": "ab12" * 16,
    }
    return ev.ApprovalRequested(command=command, prompt=prompt, **{**fields, **changes})


def rotation() -> list[ev.Event]:
    """A run that waits for the second of two yeses."""
    return history(
        started(),
        step(1, "expiry"),
        ev.ActivityStarted(command=1, attempt=1, pid=3321),
        ev.ActivityCompleted(command=1, result=raw(28)),
        step(2, "sign", "web1"),
        ev.ActivityStarted(command=2, attempt=1),
        ev.ActivityCompleted(command=2, result=raw({"serial": "3A:91"})),
        approval(3),
        ev.ApprovalAnswered(command=3, answer="approve", by=BELA, comment="checked the chain"),
        seconds=(0, 20, 20, 21, 21, 21, 22, 22, 10_800),
    )


def state_of(events: list[ev.Event]) -> RunState:
    return fold(events)


# One of every kind, so that a table of kinds can be held to be complete.
ONE_OF_EACH: list[ev.Event] = history(
    started(reason="expires soon", start_at=stamp(BEGAN + SECOND)),
    step(1, "drain", "web1"),
    ev.ActivityStarted(command=1, attempt=1, pid=77),
    ev.ActivityAttemptFailed(
        command=1,
        attempt=1,
        error=ev.ErrorInfo(type="OSError", message="no route\nto host"),
        retry_at=stamp(BEGAN + 60 * SECOND),
    ),
    ev.ActivityUnknown(command=1, attempt=1, why="dwf was killed while attempt 1 ran"),
    ev.ActivityRetryRequested(command=1, decided=ev.Decision(by=ANNA, reason="twice is harmless")),
    ev.ActivityPaused(command=1, decided=ev.Decision(by=ANNA, reason="the disk is full")),
    ev.ActivityUnpaused(command=1, decided=ev.Decision(by=ANNA, reason="it is not any more")),
    ev.ActivityReset(command=1, keep=True, decided=ev.Decision(by=ANNA, reason="from the beginning")),
    ev.ActivityOptionsChanged(
        command=1,
        options={"timeout": 7200 * SECOND, "max_attempts": 7, "heartbeat": 0},
        decided=ev.Decision(by=ANNA, reason="it needs longer"),
    ),
    ev.ActivityOverruled(command=1, act="skip", decided=ev.Decision(by=ANNA, reason="done by hand")),
    ev.ActivityStarted(command=1, attempt=2, pid=78),
    ev.ActivityCompleted(command=1, result=raw([1, 2])),
    step(2, "drain", "web2"),
    ev.ActivityFailed(command=2, error=ev.ErrorInfo(type="ExitCode", message="exit code 3"), attempts=2),
    step(3, "drain", "web3"),
    ev.ActivityTimedOut(command=3, timeout=30 * SECOND),
    step(4, "drain", "web4"),
    ev.ActivityCancelRequested(command=5, activity=4),
    ev.ActivityCancelled(command=4, reason="not needed"),
    ev.TimerStarted(command=6, fire_at=stamp(BEGAN + 600 * SECOND), purpose="settle"),
    ev.TimerMoved(command=6, fire_at=stamp(BEGAN + SECOND), decided=ev.Decision(by=ANNA, reason="not now")),
    ev.TimerFired(command=6),
    ev.TimerStarted(command=7, fire_at=stamp(BEGAN + 600 * SECOND)),
    ev.TimerCancelled(command=8, timer=7),
    ev.SignalWaitOpened(command=9, name="go"),
    ev.SignalReceived(name="go", payload=raw({"a": 1}), by=ANNA, reason="now"),
    ev.SignalWaitOpened(command=10, name="stop"),
    ev.SignalWaitClosed(command=11, wait=10),
    approval(12),
    ev.ApprovalAnswered(command=12, answer="reject", by=BELA, comment="wrong serial"),
    ev.ApprovalResolved(command=12, outcome="rejected", by=["bela"], comment="wrong serial"),
    approval(13, "Again?"),
    ev.ApprovalWithdrawn(command=14, approval=13),
    ev.VersionMarkerRecorded(command=15, patch="verify-first"),
    ev.SideEffectRecorded(command=16, name="pick", result=raw("web9")),
    ev.StatusChanged(command=17, text="draining 3/9"),
    ev.TagsChanged(command=45, tags={"env": raw("prod"), "hosts": raw(9), "old": raw(None)}),
    ev.MemoChanged(command=46, memo={"plan": raw({"a": 1})}),
    ev.RunDegraded(command=18, why="no mail was sent"),
    ev.SignalsTaken(command=30, name="vote", got=[40, 41]),
    ev.UndoRecorded(command=19, of="switch", name="switch", kind="function", input=raw({"args": ["old"]})),
    ev.FanOutStarted(command=22, name="patch", items=9, tolerated=1, stages=[1, 9]),
    ev.ItemCarried(command=23, part_of=22, name="patch", fingerprint="ab" * 16),
    ev.UndoSettled(command=20, undo=19, due=True),
    ev.CompensationStarted(command=21, why="the check failed", undos=[19]),
    ev.HandlersRegistered(signals=["go", "vote"], any_signal=True, updates=["limit"], queries=["left"]),
    ev.UpdateAccepted(name="limit", input=raw({"to": 5}), by=ANNA, reason="load"),
    ev.UpdateCompleted(command=31, update=44, result=raw(5)),
    ev.UpdateAccepted(name="limit", input=raw({"to": -1}), by=BELA),
    ev.UpdateFailed(command=32, update=46, error=ev.ErrorInfo(type="Failure", message="not\nnow")),
    ev.CallbackOpened(command=40, name="restore", deadline=stamp(BEGAN + 600 * SECOND), heartbeat=60 * SECOND),
    ev.CallbackHeartbeat(command=40, decided=ev.Decision(by=ANNA, reason="half way")),
    ev.CallbackCompleted(command=40, result=raw(5), decided=ev.Decision(by=ANNA)),
    ev.CallbackOpened(command=41, name="restore"),
    ev.CallbackFailed(
        command=41, error=ev.ErrorInfo(type="Failed", message="disk\nfull"), decided=ev.Decision(by=BELA)
    ),
    ev.CallbackOpened(command=42, name="restore"),
    ev.CallbackTimedOut(command=42, heartbeat=True),
    ev.CallbackOpened(command=43, name="restore"),
    ev.CallbackWithdrawn(command=44, callback=43),
    ev.LockRequested(command=47, name="db-prod", slots=2),
    ev.LockAcquired(command=47),
    ev.LockReleased(command=48, lock=47),
    ev.RunBlocked(code="script-bug", message="KeyError: 'x' at book.py:3"),
    ev.CodeUpgraded(code="77" * 32, script="/srv/books/cert_rotation.py", by=ANNA, reason="bug 4711"),
    ev.CodeRefused(code="88" * 32, script="/srv/books/cert_rotation.py", message="it does not fit", line=9),
    ev.RunUnblocked(),
    ev.LineLeftOut(was="RunBlocked"),
    ev.RunPaused(decided=ev.Decision(by=ANNA, reason="change freeze")),
    ev.RunResumed(decided=ev.Decision(by=ANNA, reason="it is over")),
    ev.HistoryRepaired(dropped_bytes=12, sha256="00" * 32),
    ev.RunMoved(to="/tmp/r1.dwf", by=ANNA, reason="web1 retires", machine="ab" * 8),
    ev.RunAdopted(by=BELA, machine="cd" * 8),
    ev.CancelRequested(reason="wrong host", by=ANNA),
    ev.DeadlinePassed(due=stamp(BEGAN + SECOND), reason="its deadline has passed"),
    ev.WorkflowCancelled(reason="wrong host", open=[4]),
    ev.ChildWorkflowRequested(command=31, workflow="drain", run="fleet.31", input=raw({"host": "web1"})),
    ev.ChildWorkflowCompleted(command=31, result=raw(7)),
    ev.ChildWorkflowRequested(command=32, workflow="drain", run="fleet.32", on_close="abandon"),
    ev.ChildWorkflowFailed(command=32, error=ev.ErrorInfo(type="Failure", message="no\nroute")),
    ev.ChildWorkflowRequested(command=33, workflow="drain", run="fleet.33"),
    ev.ChildWorkflowCancelled(command=33, reason="enough"),
    ev.MessageRequested(command=34, kind="signal", run="other", name="go", payload=raw({"n": 1})),
    ev.MessageSent(command=34, message="0006.ab.other"),
    ev.MessageRequested(command=35, kind="cancel", run="nobody"),
    ev.MessageRefused(command=35, why="there is no run nobody"),
)
ENDS: list[ev.Event] = [
    ev.WorkflowCompleted(result=raw({"serial": "3A:91"})),
    ev.WorkflowFailed(error=ev.ErrorInfo(type="Failure", message="not served", traceback="book.py:3 in rotate: raise")),
    ev.WorkflowTerminated(by=ANNA, reason="host is gone"),
    ev.RunMoved(to="/tmp/r1.dwf", by=ANNA, reason="web1 retires", machine="ab" * 8),
    ev.RunImported(by=BELA, machine="cd" * 8),
    ev.WorkflowTimedOut(due=stamp(BEGAN + SECOND), reason="its deadline has passed"),
    ev.WorkflowContinuedAsNew(nonce="ab" * 8, workflow="rotate", input=raw({"host": "web2"})),
]

"""dwf: durable runbooks in plain Python, on files, driven by cron.

What a runbook imports is here; everything else is private. The map of the house, from the ground (imports
go down only):

    errors.py     every exception, one tree
    core/         PURE: events, the deterministic loop, replay, state folded from a history
    host.py       what the kernel says about this machine and its processes
    store/        FILES: the only room that touches the state directory
    activities/   performs one attempt of a step: function, shell, process
    authoring/    what runbooks import
    scripts/      from a path or a stored hash to a loaded runbook
    engine/       drive one run; tick; start; what mail and time bring
    cli/          parse, call, render: the only room that prints and exits

Data flows one way: script -> command -> event -> file -> replay.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing costs 10 ms, which is much for an idle tick
    from typing import Any

    from dwf.activities.info import activity_info
    from dwf.authoring import (
        Approval,
        Child,
        Done,
        Host,
        Shell,
        activity,
        approve,
        callback,
        cancel_run,
        cleanup,
        continue_as_new,
        degrade,
        deprecate_patch,
        handlers_finished,
        info,
        inventory,
        log,
        map,  # noqa: A004
        memo,
        now,
        on_query,
        on_signal,
        on_unknown_signal,
        on_update,
        once,
        patched,
        poll,
        random,
        saga,
        secret,
        send_signal,
        sh,
        signals,
        sleep,
        sleep_until,
        ssh,
        start_child,
        status,
        step,
        tag,
        uuid4,
        wait_signal,
        wait_signals,
        wait_until,
        workflow,
    )
    from dwf.core.retry import Retry
    from dwf.errors import (
        ActivityCancelled,
        ActivityError,
        ActivityTimeout,
        ApprovalRejected,
        ChildError,
        CompensationFailed,
        DwfError,
        Expected,
        Failure,
        MapFailed,
        NotDelivered,
        RetryAfter,
    )

__version__ = "0.1.0"
__all__ = [
    "ActivityCancelled",
    "ActivityError",
    "ActivityTimeout",
    "Approval",
    "ApprovalRejected",
    "Child",
    "ChildError",
    "CompensationFailed",
    "Done",
    "DwfError",
    "Expected",
    "Failure",
    "Host",
    "Limit",
    "MapFailed",
    "NotDelivered",
    "Retry",
    "RetryAfter",
    "Shell",
    "activity",
    "activity_info",
    "approve",
    "callback",
    "cancel_run",
    "cleanup",
    "continue_as_new",
    "degrade",
    "deprecate_patch",
    "handlers_finished",
    "heartbeat",
    "info",
    "inventory",
    "lock",
    "log",
    "map",
    "memo",
    "now",
    "on_query",
    "on_signal",
    "on_unknown_signal",
    "on_update",
    "once",
    "patched",
    "poll",
    "random",
    "saga",
    "secret",
    "send_signal",
    "sh",
    "signals",
    "sleep",
    "sleep_until",
    "ssh",
    "start_child",
    "status",
    "step",
    "tag",
    "uuid4",
    "wait_signal",
    "wait_signals",
    "wait_until",
    "workflow",
]


_HOMES = {
    "Limit": "dwf.core.flow",
    "Retry": "dwf.core.retry",
    "activity_info": "dwf.activities.info",
    "heartbeat": "dwf.activities.info",
    **dict.fromkeys(
        "ActivityCancelled ActivityError ActivityTimeout ApprovalRejected ChildError CompensationFailed "
        "DwfError Expected Failure MapFailed NotDelivered RetryAfter".split(),
        "dwf.errors",
    ),
}
"""Where a name lives; all others are in authoring/. A room is never searched: it imports things of the same names."""


def __getattr__(name: str) -> Any:
    # Loaded when first used: an idle `dwf tick` must cost little more than starting Python.
    if name not in __all__:
        raise AttributeError(f"module 'dwf' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES.get(name, "dwf.authoring")), name)
    globals()[name] = value
    return value

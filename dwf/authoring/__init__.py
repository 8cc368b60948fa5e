"""What runbooks import. Thin: every function asks the runtime that it finds on the running loop.

Nothing in here touches files, processes or the engine, so that the same unchanged script runs on any runtime.
"""

from dwf.authoring.activity import Activity, activity
from dwf.authoring.callbacks import callback
from dwf.authoring.children import Child, cancel_run, continue_as_new, send_signal, start_child
from dwf.authoring.cleanup import cleanup
from dwf.authoring.crash import Done
from dwf.authoring.fanout import map  # noqa: A004 - what everybody calls it
from dwf.authoring.handlers import handlers_finished, on_query, on_signal, on_unknown_signal, on_update
from dwf.authoring.inline import step
from dwf.authoring.inventory import Host, inventory
from dwf.authoring.locks import lock
from dwf.authoring.poll import poll
from dwf.authoring.references import Secret, secret
from dwf.authoring.saga import saga
from dwf.authoring.shell import Shell, sh
from dwf.authoring.ssh import ssh
from dwf.authoring.tags import memo, tag
from dwf.authoring.waits import (
    Approval,
    approve,
    degrade,
    deprecate_patch,
    info,
    log,
    now,
    once,
    patched,
    random,
    signals,
    sleep,
    sleep_until,
    status,
    uuid4,
    wait_signal,
    wait_signals,
    wait_until,
)
from dwf.authoring.workflow import Workflow, workflow

__all__ = [
    "Activity",
    "Approval",
    "Child",
    "Done",
    "Host",
    "Secret",
    "Shell",
    "Workflow",
    "activity",
    "approve",
    "callback",
    "cancel_run",
    "cleanup",
    "continue_as_new",
    "degrade",
    "deprecate_patch",
    "handlers_finished",
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
